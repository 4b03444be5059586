#include "tflite_types.h"

#include <stdexcept>

#include "events.h"

namespace {

struct Type {
  int number;
  const char *name;
  size_t bytes;
};

constexpr Type kTypes[] = {
    {1, "float32", 4}, {2, "int32", 4}, {3, "uint8", 1},    {4, "int64", 8},    {6, "bool", 1},
    {7, "int16", 2},   {9, "int8", 1},  {10, "float16", 2}, {11, "float64", 8},
};

const Type &type_of(int number) {
  for (const Type &type : kTypes)
    if (type.number == number) return type;
  throw std::runtime_error("a tensor has TfLiteType " + std::to_string(number));
}

}  // namespace

const char *tflite_type_name(int type) { return type_of(type).name; }

size_t tflite_type_bytes(int type) { return type_of(type).bytes; }

void OperatorTimes::add(int64_t index, const std::string &name, int64_t ns) {
  Sum &sum = sums_[{index, name}];
  sum.runs += 1;
  sum.ns += ns;
}

std::string OperatorTimes::json() const {
  std::string out = "[";
  for (const auto &[key, sum] : sums_)
    out += (out.size() > 1 ? "," : "") + ("{\"name\":" + quoted(key.second)) +
           ",\"index\":" + std::to_string(key.first) + ",\"runs\":" + std::to_string(sum.runs) +
           ",\"total_ns\":" + std::to_string(sum.ns) + "}";
  return out + ']';
}
