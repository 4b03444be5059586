// ONNX models by the ONNX Runtime C API, version 15 of its table (ONNX Runtime 1.15 and newer); for
// a provider that is a library of its own, version 24.
//
// The table is an array of functions whose places never change; those that are used are declared
// here with their place.
#include <climits>
#include <cstring>

#include "abi.h"
#include "events.h"
#include "library.h"
#include "session.h"

namespace {

struct Opaque;  // OrtEnv, OrtSession, ..., by pointer only
using Status = Opaque *;
constexpr uint32_t kApiVersion = 15;

struct ApiBase {
  void *const *(*table)(uint32_t version);
  const char *(*version)();
};

class Api {
 public:
  explicit Api(const Library &from) {
    const ApiBase *(*base)() = nullptr;
    from.find(base, "OrtGetApiBase");
    version = base()->version();
    check_version("ONNX Runtime", version, {1, 15}, {1, INT_MAX}, "1.15 and newer of 1");
    table_ = base()->table(kApiVersion);
    if (!table_) throw std::runtime_error("ONNX Runtime " + version + " has no table of 1.15");
  }

  // Throws unless the places behind the table of 1.15 are there.
  void check_plugins() const {
    check_version("ONNX Runtime", version, {1, 24}, {1, INT_MAX},
                  "providers of their own from 1.24 on");
  }

  // What the function at a place says of something.
  std::string text(int place, const Opaque *of) const {
    return at<const char *(*)(const Opaque *)>(place)(of);
  }
  // Calls the function at a place of the table that returns a status.
  template <typename... Arguments>
  void call(int place, Arguments... arguments) const {
    check(at<Status (*)(Arguments...)>(place)(arguments...));
  }
  void release(int place, Opaque *what) const {
    if (what) at<void (*)(Opaque *)>(place)(what);
  }
  std::string version;

 private:
  template <typename Function>
  Function at(int place) const {
    return reinterpret_cast<Function>(table_[place]);
  }
  void check(Status status) const {
    if (!status) return;
    const std::string message = at<const char *(*)(const Opaque *)>(2)(status);
    release(93, status);
    throw std::runtime_error("ONNX Runtime: " + message);
  }
  void *const *table_;
};

enum Place {
  kCreateEnv = 3,
  kCreateSession = 7,
  kRun = 9,
  kCreateSessionOptions = 10,
  kEnableProfiling = 14,
  kSetLogSeverity = 22,
  kSetIntraThreads = 24,
  kSetInterThreads = 25,
  kInputCount = 30,
  kOutputCount = 31,
  kInputType = 33,
  kOutputType = 34,
  kInputName = 36,
  kOutputName = 37,
  kCreateTensorWithData = 49,
  kCastToTensorInfo = 55,
  kElementType = 60,
  kDimensionsCount = 61,
  kDimensions = 62,
  kCreateCpuMemoryInfo = 69,
  kAllocatorFree = 76,
  kDefaultAllocator = 78,
  kReleaseEnv = 92,
  kReleaseMemoryInfo = 94,
  kReleaseSession = 95,
  kReleaseValue = 96,
  kReleaseTypeInfo = 98,
  kReleaseSessionOptions = 100,
  kEndProfiling = 110,
  kAddConfigEntry = 130,
  kAppendTensorrt = 170,
  kCreateTensorrtOptions = 171,
  kUpdateTensorrtOptions = 172,
  kReleaseTensorrtOptions = 174,
  kAppendCuda = 204,
  kCreateCudaOptions = 205,
  kUpdateCudaOptions = 206,
  kReleaseCudaOptions = 208,
  kAppendProvider = 216,
  kRegisterLibrary = 301,  // from here on of version 24
  kDevices = 303,
  kAppendDevices = 304,
  kDeviceProvider = 312,
  kAssigned = 407,
  kAssignedProvider = 408,
  kAssignedNodes = 409,
  kNodeType = 412,
};

struct Type {
  const char *name;
  size_t bytes;
};

Type type_of(int element) {
  switch (element) {
    case 1: return {"float32", 4};
    case 2: return {"uint8", 1};
    case 3: return {"int8", 1};
    case 5: return {"int16", 2};
    case 6: return {"int32", 4};
    case 7: return {"int64", 8};
    case 9: return {"bool", 1};
    case 10: return {"float16", 2};
    case 11: return {"float64", 8};
    default: throw std::runtime_error("element type " + std::to_string(element) + " of ONNX");
  }
}

// Releases what it holds at the end of its block.
class Held {
 public:
  Held(const Api &api, int release) : api_(api), release_(release) {}
  ~Held() { api_.release(release_, held_); }
  Held(const Held &) = delete;
  Opaque **place() { return &held_; }
  operator Opaque *() const { return held_; }  // NOLINT

 private:
  const Api &api_;
  int release_;
  Opaque *held_ = nullptr;
};

// CUDA and TensorRT: options made, filled in, handed over.
void append_versioned(const Api &api, Opaque *options, int create, int update, int append,
                      int release, const std::vector<const char *> &keys,
                      const std::vector<const char *> &values) {
  Held provider(api, release);
  api.call(create, provider.place());
  api.call(update, static_cast<Opaque *>(provider), keys.data(), values.data(), keys.size());
  api.call(append, options, static_cast<const Opaque *>(static_cast<Opaque *>(provider)));
}

bool is_plugin(const Request &request) {
  return request.accelerator == "qnn" || request.accelerator == "qnn-simulated";
}

// The name that its library is registered by. One that ends so has ONNX Runtime list devices that
// are not in the machine.
std::string plugin_name(const Request &request) {
  return request.accelerator == "qnn" ? "qnn" : "qnn.virtual";
}

constexpr char kRecordAssignment[] = "session.record_ep_graph_assignment_info";

// A provider that is a library of its own, on the first device that it lists.
void append_plugin(const Api &api, const std::string &name, Opaque *env, Opaque *options,
                   const std::vector<const char *> &keys, const std::vector<const char *> &values) {
  const Opaque *const *devices = nullptr;
  size_t count = 0;
  api.call(kDevices, static_cast<const Opaque *>(env), &devices, &count);
  std::vector<const Opaque *> chosen;
  for (size_t i = 0; i < count && chosen.empty(); ++i)
    if (api.text(kDeviceProvider, devices[i]) == name) chosen.push_back(devices[i]);
  if (chosen.empty()) throw std::runtime_error("the provider's library finds no device here");
  api.call(kAppendDevices, options, env, static_cast<const Opaque *const *>(chosen.data()),
           chosen.size(), keys.data(), values.data(), keys.size());
  api.call(kAddConfigEntry, options, static_cast<const char *>(kRecordAssignment),
           static_cast<const char *>("1"));
}

void add_accelerator(const Api &api, Opaque *env, Opaque *options, const Request &request) {
  std::vector<const char *> keys, values;
  for (const auto &[key, value] : request.options) {
    if (key.rfind("session.", 0) == 0) {
      api.call(kAddConfigEntry, options, key.c_str(), value.c_str());
      continue;
    }
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  if (request.accelerator == "cuda") {
    append_versioned(api, options, kCreateCudaOptions, kUpdateCudaOptions, kAppendCuda,
                     kReleaseCudaOptions, keys, values);
  } else if (request.accelerator == "tensorrt") {
    append_versioned(api, options, kCreateTensorrtOptions, kUpdateTensorrtOptions, kAppendTensorrt,
                     kReleaseTensorrtOptions, keys, values);
  } else if (request.accelerator == "xnnpack") {
    api.call(kAppendProvider, options, static_cast<const char *>("XNNPACK"),
             static_cast<const char *const *>(keys.data()),
             static_cast<const char *const *>(values.data()), keys.size());
  } else if (is_plugin(request)) {
    append_plugin(api, plugin_name(request), env, options, keys, values);
  } else if (request.accelerator != "none") {
    throw std::runtime_error("ONNX Runtime has no accelerator " + request.accelerator);
  }
}

class OnnxSession : public Session {
 public:
  OnnxSession(const Api &api, Opaque *env, const Request &request, bool profiled)
      : api_(api),
        session_(api, kReleaseSession),
        memory_(api, kReleaseMemoryInfo),
        profiled_(profiled) {
    Held options(api_, kReleaseSessionOptions);
    api_.call(kCreateSessionOptions, options.place());
    Opaque *const given = options;
    api_.call(kSetIntraThreads, given, request.threads);
    api_.call(kSetInterThreads, given, 1);
    api_.call(kSetLogSeverity, given, 3);  // errors only
    if (profiled_) api_.call(kEnableProfiling, given, static_cast<const char *>("profile"));
    add_accelerator(api_, env, given, request);
    api_.call(kCreateSession, env, request.model.c_str(), given, session_.place());
    api_.call(kCreateCpuMemoryInfo, 1, 0, memory_.place());  // arena allocator, default memory
    api_.call(kDefaultAllocator, &allocator_);
    if (is_plugin(request)) report_assignment(plugin_name(request));
    bind();
  }
  ~OnnxSession() override {
    for (Opaque *const value : values_) api_.release(kReleaseValue, value);
  }

  void run() override {
    const char *const input_name = input.name.c_str();
    api_.call(kRun, static_cast<Opaque *>(session_), static_cast<const Opaque *>(nullptr),
              &input_name, values_.data(), size_t{1}, names_.data(), names_.size(),
              values_.data() + 1);
  }

  void report() override {
    if (!profiled_) return;
    char *file = nullptr;
    api_.call(kEndProfiling, static_cast<Opaque *>(session_), allocator_, &file);
    Event("profile").text("file", file).emit();
    api_.call(kAllocatorFree, allocator_, static_cast<void *>(file));
  }

 private:
  // Which provider took which operators, by the runtime's own record, a part of the graph each.
  void report_assignment(const std::string &plugin) const {
    const Opaque *const *parts = nullptr;
    size_t count = 0;
    api_.call(kAssigned, static_cast<const Opaque *>(session_), &parts, &count);
    std::string list;
    for (size_t i = 0; i < count; ++i) {
      const Opaque *const *nodes = nullptr;
      size_t held = 0;
      const char *provider = nullptr;
      api_.call(kAssignedProvider, parts[i], &provider);
      api_.call(kAssignedNodes, parts[i], &nodes, &held);
      std::string operators;
      for (size_t j = 0; j < held; ++j) {
        const char *type = nullptr;
        api_.call(kNodeType, nodes[j], &type);
        operators += (operators.empty() ? "" : ",") + quoted(type);
      }
      list += (list.empty() ? "" : ",") + std::string("{\"provider\":") + quoted(provider) +
              ",\"operators\":[" + operators + "]}";
    }
    Event("assigned").text("provider", plugin).json("parts", '[' + list + ']').emit();
  }

  // Memory of our own for every input and output: nothing is allocated while it runs.
  void bind() {
    size_t inputs = 0, count = 0;
    api_.call(kInputCount, static_cast<const Opaque *>(session_), &inputs);
    api_.call(kOutputCount, static_cast<const Opaque *>(session_), &count);
    if (inputs != 1) throw std::runtime_error("the model has not one input");
    buffers_.resize(count + 1);
    outputs.resize(count);
    input = tensor(0, kInputName, kInputType, buffers_[0]);
    for (size_t i = 0; i < count; ++i)
      outputs[i] = tensor(i, kOutputName, kOutputType, buffers_[i + 1]);
    for (const Tensor &output : outputs) names_.push_back(output.name.c_str());
  }

  Tensor tensor(size_t index, int name_place, int type_place, std::vector<uint64_t> &buffer) {
    Tensor made;
    char *name = nullptr;
    api_.call(name_place, static_cast<const Opaque *>(session_), index, allocator_, &name);
    made.name = name;
    api_.call(kAllocatorFree, allocator_, static_cast<void *>(name));
    Held type(api_, kReleaseTypeInfo);
    api_.call(type_place, static_cast<const Opaque *>(session_), index, type.place());
    const Opaque *info = nullptr;
    api_.call(kCastToTensorInfo, static_cast<const Opaque *>(type), &info);
    int element = 0;
    size_t rank = 0;
    api_.call(kElementType, info, &element);
    api_.call(kDimensionsCount, info, &rank);
    made.shape.resize(rank);
    api_.call(kDimensions, info, made.shape.data(), rank);
    made.type = type_of(element).name;
    made.bytes = type_of(element).bytes;
    for (int64_t &size : made.shape) {
      if (size < 0) size = 1;  // a free dimension: the batch
      made.bytes *= static_cast<size_t>(size);
    }
    buffer.resize((made.bytes + 7) / 8);
    made.data = buffer.data();
    Opaque *value = nullptr;
    api_.call(kCreateTensorWithData, static_cast<const Opaque *>(memory_), made.data, made.bytes,
              static_cast<const int64_t *>(made.shape.data()), rank, element, &value);
    values_.push_back(value);
    return made;
  }

  const Api &api_;
  Held session_, memory_;
  bool profiled_;
  Opaque *allocator_ = nullptr;
  std::vector<std::vector<uint64_t>> buffers_;
  std::vector<Opaque *> values_;  // the input, then the outputs
  std::vector<const char *> names_;
};

class OnnxRuntime : public Runtime {
 public:
  explicit OnnxRuntime(const Library &library) : api_(library), env_(api_, kReleaseEnv) {
    api_.call(kCreateEnv, 3, static_cast<const char *>("edgeskin"), env_.place());
  }
  std::string version() const override { return "ONNX Runtime " + api_.version; }
  std::unique_ptr<Session> open(const Request &request, bool profiled) override {
    if (is_plugin(request)) add_plugin(request);
    return std::make_unique<OnnxSession>(api_, env_, request, profiled);
  }

 private:
  void add_plugin(const Request &request) {
    if (plugin_) return;
    api_.check_plugins();
    const std::string name = plugin_name(request), path = "./" + request.accelerator_library;
    api_.call(kRegisterLibrary, static_cast<Opaque *>(env_), name.c_str(), path.c_str());
    plugin_ = true;
  }

  Api api_;
  Held env_;
  bool plugin_ = false;
};

}  // namespace

std::unique_ptr<Runtime> onnx_runtime(const std::string &library) {
  return std::make_unique<OnnxRuntime>(Library(library));
}
