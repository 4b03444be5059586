// What TFLite's two C APIs have in common: element types, and operators' times.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

class Library;
class Runtime;

// NumPy's name and the size of a TfLiteType; throws std::runtime_error for one without.
const char *tflite_type_name(int type);
size_t tflite_type_bytes(int type);

// Times summed by an operator's place in the plan and its name.
class OperatorTimes {
 public:
  void add(int64_t index, const std::string &name, int64_t ns);
  std::string json() const;  // [{"name", "index", "runs", "total_ns"}, ...]

 private:
  struct Sum {
    int64_t runs = 0, ns = 0;
  };
  std::map<std::pair<int64_t, std::string>, Sum> sums_;
};

std::unique_ptr<Runtime> litert_runtime(const Library &library);
