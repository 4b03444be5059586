#include "heads.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "events.h"

int32_t es_type_of(const std::string &type) {
  if (type == "uint8") return ES_UINT8;
  if (type == "int8") return ES_INT8;
  if (type == "float32") return ES_FLOAT32;
  return type == "float16" ? ES_FLOAT16 : -1;
}

namespace {

size_t output_named(const std::string &name, const std::vector<Tensor> &outputs) {
  for (size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i].name == name) return i;
  throw std::runtime_error("the model has no output " + name);
}

es_tensor as_core(const Tensor &tensor) {
  return {tensor.data, tensor.bytes, es_type_of(tensor.type), tensor.scale, tensor.zero_point};
}

}  // namespace

Answers::Answers(const Request &request, const std::vector<Tensor> &outputs) {
  for (const Head &head : request.heads)
    places_.push_back({head, output_named(head.output, outputs),
                       std::vector<float>(static_cast<size_t>(head.values))});
}

void Answers::read(const std::vector<Tensor> &outputs) {
  for (Place &place : places_) {
    const Head &head = place.head;
    const es_tensor tensor = as_core(outputs[place.output]);
    const size_t bytes = place.scores.size() * sizeof(float);
    es_error error;
    es_status status;
    if (head.kind == "classification") {
      es_class top = {};
      status = es_classify(&tensor, head.values, head.activation, place.scores.data(), bytes, &top,
                           1, &error);
      place.answer = top.index;
    } else if (head.kind == "labels") {
      status = es_classify(&tensor, head.values, head.activation, place.scores.data(), bytes,
                           nullptr, 0, &error);
      place.answer = static_cast<double>(std::count_if(place.scores.begin(), place.scores.end(),
                                                       [](float score) { return score >= 0.5f; }));
    } else if (head.kind == "distribution") {
      es_quantity found = {};
      status = es_measure(&tensor, head.values, head.activation, head.first, head.step, 0.8,
                          head.upper.data(), static_cast<int32_t>(head.upper.size()),
                          place.scores.data(), bytes, &found, &error);
      place.answer = found.grade < 0 ? found.expectation : found.grade;
    } else {
      throw std::runtime_error("no answer is known to a head of kind " + head.kind);
    }
    if (status != ES_OK) throw std::runtime_error(head.output + ": " + error.message);
  }
}

std::string Answers::json() const {
  std::string out = "{";
  for (const Place &place : places_) {
    char value[32];
    std::snprintf(value, sizeof value, "%.9g", place.answer);
    out += (out.size() > 1 ? "," : "") + quoted(place.head.output) + ':' + value;
  }
  return out + '}';
}
