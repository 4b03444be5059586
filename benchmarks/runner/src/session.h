// One model loaded by one runtime's C API, found by dlopen: nothing is linked but the C library.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "request.h"

struct Tensor {
  std::string name, type;  // type as NumPy calls it
  std::vector<int64_t> shape;
  void *data = nullptr;
  size_t bytes = 0;
  double scale = 0;  // 0: not quantized
  int32_t zero_point = 0;
};

class Session {
 public:
  virtual ~Session() = default;
  virtual void run() = 0;
  // Emits events on which operators ran where and how long, as far as the runtime tells.
  virtual void report() {}
  Tensor input;                 // its data is written before run()
  std::vector<Tensor> outputs;  // valid until the next run()
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual std::string version() const = 0;
  // Loads the model and makes it ready to run; with `profiled`, at the price of speed, so that
  // report() knows the operators' times.
  virtual std::unique_ptr<Session> open(const Request &request, bool profiled) = 0;
};

std::unique_ptr<Runtime> tflite_runtime(const std::string &library);
std::unique_ptr<Runtime> onnx_runtime(const std::string &library);

// es_type of a NumPy name, -1 where the core has none.
int32_t es_type_of(const std::string &type);
