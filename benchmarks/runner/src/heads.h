// From a model's outputs to answers by edgeskin's native core, as an app does it.
#pragma once
#include <string>
#include <vector>

#include "request.h"
#include "session.h"

class Answers {
 public:
  Answers(const Request &request, const std::vector<Tensor> &outputs);
  // Reads every head; what is slow about an answer happens here.
  void read(const std::vector<Tensor> &outputs);
  // The last answers, {"severity": 2, ...}: the index of a class or grade, the expectation, or how
  // many labels reach 0.5.
  std::string json() const;

 private:
  struct Place {
    Head head;
    size_t output;
    std::vector<float> scores;
    double answer = 0;
  };
  std::vector<Place> places_;
};
