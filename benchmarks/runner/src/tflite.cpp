// TFLite models by the TfLite C API (TensorFlow Lite 2.10 to 2.21, which is LiteRT 2.1).
//
// No header of TensorFlow's is used: only the functions and the first fields of the structs that
// all those versions share are declared here. Where the library has accessors for a struct too,
// they must say the same.
#include <cstdarg>
#include <cstddef>
#include <cstdio>

#include "abi.h"
#include "events.h"
#include "library.h"
#include "session.h"
#include "tflite_types.h"

namespace {

struct Opaque;  // TfLiteModel, TfLiteInterpreter, ..., by pointer only
struct IntArray {
  int size;
  int data[];
};
struct Quantization {
  float scale;
  int32_t zero_point;
};
// Returned in memory, so that room for a later version's fields is safe. Nothing but the first
// field stands at the same place in every version.
struct XnnpackOptions {
  int32_t num_threads;
  char rest[508];
};

// The start of TfLiteContext, TfLiteNode, TfLiteRegistration, TfLiteDelegateParams, TfLiteDelegate.
struct Node;
struct Operator;
struct Context {
  size_t tensors_size;
  int (*execution_plan)(Context *, IntArray **);
  void *tensors, *impl;
  void *resize_tensor, *report_error, *add_tensors;
  int (*node_and_operator)(Context *, int index, Node **, Operator **);
};
struct Node {
  IntArray *inputs, *outputs, *intermediates, *temporaries;
  void *user_data, *builtin_data;
  const void *custom_data;
  int custom_data_size;
  void *delegate;
};
struct Operator {
  void *init, *free, *prepare, *invoke, *profiling_string;
  int32_t builtin_code;
  const char *custom_name;
};
struct Delegate {
  void *data;
  int (*prepare)(Context *, Delegate *);
  void *copy_from, *copy_to, *free_buffer;
  int64_t flags;
  void *builder;
};
struct DelegateParams {
  void *delegate;
  IntArray *nodes_to_replace;
};

constexpr size_t kPointer = sizeof(void *);
constexpr int kOperators = 1024;  // more than TFLite will ever have codes for
static_assert(sizeof(Quantization) == 8 && sizeof(XnnpackOptions) == 512);
static_assert(offsetof(Context, execution_plan) == kPointer);
static_assert(offsetof(Context, node_and_operator) == 7 * kPointer);
static_assert(offsetof(Node, builtin_data) == 5 * kPointer);
static_assert(offsetof(Node, delegate) == 8 * kPointer);
static_assert(offsetof(Operator, builtin_code) == 5 * kPointer);
static_assert(offsetof(Operator, custom_name) == 6 * kPointer);
static_assert(kPointer != 8 || (offsetof(Delegate, flags) == 40 && sizeof(Delegate) == 56));
static_assert(offsetof(DelegateParams, nodes_to_replace) == kPointer);

// TfLiteTelemetryProfilerStruct.
struct Profiler {
  void *data;
  void (*event)(Profiler *, const char *, uint64_t);
  void (*op_event)(Profiler *, const char *, int64_t, int64_t, uint64_t);
  void (*settings)(Profiler *, const char *, const void *);
  uint32_t (*begin)(Profiler *, const char *op, int64_t index, int64_t subgraph);
  void (*end)(Profiler *, uint32_t handle);
  void (*timed)(Profiler *, const char *op, uint64_t us, int64_t index, int64_t subgraph);
};

static_assert(sizeof(Profiler) == 7 * kPointer);

struct Api {
  const char *(*version)();
  Opaque *(*model)(const char *);
  void (*delete_model)(Opaque *);
  Opaque *(*options)();
  void (*delete_options)(Opaque *);
  void (*set_threads)(Opaque *, int32_t);
  void (*set_reporter)(Opaque *, void (*)(void *, const char *, va_list), void *);
  void (*add_delegate)(Opaque *, void *);
  Opaque *(*interpreter)(const Opaque *, const Opaque *);
  void (*delete_interpreter)(Opaque *);
  int (*allocate)(Opaque *);
  int (*invoke)(Opaque *);
  int32_t (*input_count)(const Opaque *);
  int32_t (*output_count)(const Opaque *);
  Opaque *(*input)(const Opaque *, int32_t);
  const Opaque *(*output)(const Opaque *, int32_t);
  int (*tensor_type)(const Opaque *);
  int32_t (*dimensions)(const Opaque *);
  int32_t (*dimension)(const Opaque *, int32_t);
  size_t (*tensor_bytes)(const Opaque *);
  void *(*tensor_data)(const Opaque *);
  const char *(*tensor_name)(const Opaque *);
  Quantization (*quantization)(const Opaque *);
  XnnpackOptions (*xnnpack_defaults)();
  void *(*xnnpack)(const XnnpackOptions *);
  void (*delete_xnnpack)(void *);
  void (*set_profiler)(Opaque *, Profiler *);
  size_t (*tensor_count)(const Context *);
  int (*node_inputs)(const Node *), (*node_outputs)(const Node *);

  explicit Api(const Library &from) {
    from.find(version, "TfLiteVersion");
    check_version("TensorFlow Lite", version(), {2, 10}, {2, 21}, "2.10 to 2.21");
    from.find(model, "TfLiteModelCreateFromFile");
    from.find(delete_model, "TfLiteModelDelete");
    from.find(options, "TfLiteInterpreterOptionsCreate");
    from.find(delete_options, "TfLiteInterpreterOptionsDelete");
    from.find(set_threads, "TfLiteInterpreterOptionsSetNumThreads");
    from.find(set_reporter, "TfLiteInterpreterOptionsSetErrorReporter");
    from.find(add_delegate, "TfLiteInterpreterOptionsAddDelegate");
    from.find(interpreter, "TfLiteInterpreterCreate");
    from.find(delete_interpreter, "TfLiteInterpreterDelete");
    from.find(allocate, "TfLiteInterpreterAllocateTensors");
    from.find(invoke, "TfLiteInterpreterInvoke");
    from.find(input_count, "TfLiteInterpreterGetInputTensorCount");
    from.find(output_count, "TfLiteInterpreterGetOutputTensorCount");
    from.find(input, "TfLiteInterpreterGetInputTensor");
    from.find(output, "TfLiteInterpreterGetOutputTensor");
    from.find(tensor_type, "TfLiteTensorType");
    from.find(dimensions, "TfLiteTensorNumDims");
    from.find(dimension, "TfLiteTensorDim");
    from.find(tensor_bytes, "TfLiteTensorByteSize");
    from.find(tensor_data, "TfLiteTensorData");
    from.find(tensor_name, "TfLiteTensorName");
    from.find(quantization, "TfLiteTensorQuantizationParams");
    from.find(xnnpack_defaults, "TfLiteXNNPackDelegateOptionsDefault", false);
    from.find(xnnpack, "TfLiteXNNPackDelegateCreate", false);
    from.find(delete_xnnpack, "TfLiteXNNPackDelegateDelete", false);
    from.find(set_profiler, "TfLiteInterpreterOptionsSetTelemetryProfiler", false);
    from.find(tensor_count, "TfLiteOpaqueContextGetNumTensors", false);
    from.find(node_inputs, "TfLiteOpaqueNodeNumberOfInputs", false);
    from.find(node_outputs, "TfLiteOpaqueNodeNumberOfOutputs", false);
  }
};

// What the runtime says about a refusal, kept for the error's line.
struct Complaints {
  std::string text;
  static void add(void *self, const char *format, va_list arguments) {
    char line[512];
    std::vsnprintf(line, sizeof line, format, arguments);
    std::string &text = static_cast<Complaints *>(self)->text;
    if (text.size() < 2000) text += (text.empty() ? "" : "; ") + std::string(line);
  }
};

// An operator as the graph names it: a builtin's code, or a custom or delegate's name.
std::string json_operator(const Operator &op, const Node &node) {
  std::string line = "{\"code\":" + std::to_string(op.builtin_code);
  if (op.custom_name) line += ",\"name\":" + quoted(op.custom_name);
  if (node.delegate && node.builtin_data) {
    const auto *params = static_cast<const DelegateParams *>(node.builtin_data);
    line += ",\"replaces\":[";
    for (int i = 0; i < params->nodes_to_replace->size; ++i)
      line += (i ? "," : "") + std::to_string(params->nodes_to_replace->data[i]);
    line += ']';
  }
  return line + '}';
}

// A delegate that takes nothing: TFLite shows it the graph, before or after the real delegate.
class Witness {
 public:
  explicit Witness(const Api &api)
      : api_(api), delegate_{this, see, nullptr, nullptr, nullptr, kDynamicShapes, nullptr} {}
  void *delegate() { return &delegate_; }
  const std::string &plan() const { return plan_; }
  // The struct that the library lays out otherwise than declared here; empty where none.
  const std::string &unlike() const { return unlike_; }

 private:
  static constexpr int64_t kDynamicShapes = 1;

  static int see(Context *context, Delegate *delegate) {
    static_cast<Witness *>(delegate->data)->note(context);
    return 0;
  }

  void note(Context *context) {
    if (api_.tensor_count && api_.tensor_count(context) != context->tensors_size) {
      unlike_ = "TfLiteContext";
      return;
    }
    IntArray *plan = nullptr;
    if (context->execution_plan(context, &plan) != 0) return;
    std::string &out = plan_ = "[";
    for (int i = 0; i < plan->size; ++i) {
      Node *node = nullptr;
      Operator *op = nullptr;
      if (context->node_and_operator(context, plan->data[i], &node, &op) != 0) continue;
      if (!is_as_declared(*node, *op)) return;
      out += (out.size() > 1 ? "," : "") + json_operator(*op, *node);
    }
    out += ']';
  }

  bool is_as_declared(const Node &node, const Operator &op) {
    if ((api_.node_inputs && api_.node_inputs(&node) != node.inputs->size) ||
        (api_.node_outputs && api_.node_outputs(&node) != node.outputs->size))
      unlike_ = "TfLiteNode";
    else if (op.builtin_code < 0 || op.builtin_code >= kOperators)
      unlike_ = "TfLiteRegistration";
    return unlike_.empty();
  }

  const Api &api_;
  Delegate delegate_;
  std::string plan_ = "[]", unlike_;
};

// The telemetry profiler that times operators.
class Stopwatch {
 public:
  Stopwatch() {
    profiler_ = {this, [](auto...) {}, [](auto...) {}, [](auto...) {}, begin, end, timed};
  }
  Profiler *profiler() { return &profiler_; }
  std::string json() const { return times_.json(); }

 private:
  struct Running {
    int64_t index;
    std::string name;
    int64_t since;
  };

  static Stopwatch &of(Profiler *p) { return *static_cast<Stopwatch *>(p->data); }
  static uint32_t begin(Profiler *p, const char *op, int64_t index, int64_t) {
    of(p).running_.push_back({index, op, now_ns()});
    return static_cast<uint32_t>(of(p).running_.size() - 1);
  }
  static void end(Profiler *p, uint32_t handle) {
    std::vector<Running> &running = of(p).running_;
    if (handle >= running.size()) return;
    const Running &ended = running[handle];
    of(p).times_.add(ended.index, ended.name, now_ns() - ended.since);
    if (handle + 1 == running.size()) running.pop_back();
  }
  static void timed(Profiler *p, const char *op, uint64_t us, int64_t index, int64_t) {
    of(p).times_.add(index, op, static_cast<int64_t>(us) * 1000);
  }

  Profiler profiler_;
  std::vector<Running> running_;
  OperatorTimes times_;
};

// The delegate of a request, by whichever library has it.
class Accelerator {
 public:
  Accelerator(const Api &api, const Request &request) {
    if (request.accelerator == "xnnpack") {
      if (!api.xnnpack || !api.xnnpack_defaults || !api.delete_xnnpack)
        throw std::runtime_error(request.library + " has no XNNPACK delegate");
      XnnpackOptions options = api.xnnpack_defaults();
      options.num_threads = request.threads;
      made_ = api.xnnpack(&options);
      destroy_ = api.delete_xnnpack;
    } else if (request.accelerator == "gpu") {
      const Library library(request.accelerator_library);
      void *(*create)(const void *options) = nullptr;
      library.find(create, "TfLiteGpuDelegateV2Create");
      library.find(destroy_, "TfLiteGpuDelegateV2Delete");
      made_ = create(nullptr);
    } else if (request.accelerator == "external") {
      make_external(request);
    } else if (request.accelerator == "reference") {
      throw std::runtime_error(
          "the TfLite C API has no reference kernels: pass LiteRT 2.3 or newer with --library");
    } else if (request.accelerator != "none") {
      throw std::runtime_error("TFLite has no accelerator " + request.accelerator);
    }
    if (request.accelerator != "none" && !made_)
      throw std::runtime_error("the delegate " + request.accelerator + " refuses to be made here");
  }
  ~Accelerator() {
    if (made_) destroy_(made_);
  }
  Accelerator(const Accelerator &) = delete;
  void *delegate() const { return made_; }

 private:
  void make_external(const Request &request) {
    const Library library(request.accelerator_library);
    void *(*create)(const char **, const char **, size_t, void (*)(const char *)) = nullptr;
    library.find(create, "tflite_plugin_create_delegate");
    library.find(destroy_, "tflite_plugin_destroy_delegate");
    std::vector<const char *> keys, values;
    for (const auto &option : request.options) {
      keys.push_back(option.first.c_str());
      values.push_back(option.second.c_str());
    }
    const auto complain = [](const char *text) { std::fprintf(stderr, "%s\n", text); };
    made_ = create(keys.data(), values.data(), keys.size(), complain);
  }

  void *made_ = nullptr;
  void (*destroy_)(void *) = nullptr;
};

class TfliteSession : public Session {
 public:
  TfliteSession(const Api &api, const Request &request, bool profiled)
      : api_(api),
        before_(api),
        after_(api),
        accelerator_(api, request),
        profiled_(profiled && api.set_profiler) {
    model_ = api_.model(request.model.c_str());
    if (!model_) throw std::runtime_error("TFLite cannot read " + request.model);
    interpret(request);
    if (!interpreter_ || api_.allocate(interpreter_) != 0) {
      close();
      throw std::runtime_error("TFLite refuses " + request.model + ": " + complaints_.text);
    }
    for (const Witness *witness : {&before_, &after_})
      if (!witness->unlike().empty()) {
        close();
        throw std::runtime_error("TensorFlow Lite " + std::string(api_.version()) +
                                 " has another " + witness->unlike() +
                                 " than 2.10 to 2.21, which the runner knows");
      }
    if (api_.input_count(interpreter_) != 1) {
      close();
      throw std::runtime_error(request.model + " has not one input");
    }
    input = tensor(api_.input(interpreter_, 0));
    for (int32_t i = 0; i < api_.output_count(interpreter_); ++i)
      outputs.push_back(tensor(api_.output(interpreter_, i)));
  }
  ~TfliteSession() override { close(); }

  void run() override {
    if (api_.invoke(interpreter_) != 0)
      throw std::runtime_error("TFLite failed to run: " + complaints_.text);
    for (size_t i = 0; i < outputs.size(); ++i)
      outputs[i].data = api_.tensor_data(api_.output(interpreter_, static_cast<int32_t>(i)));
  }

  void report() override {
    Event("placement").json("graph", before_.plan()).json("plan", after_.plan()).emit();
    if (profiled_) Event("profile").json("operators", stopwatch_.json()).emit();
  }

 private:
  void interpret(const Request &request) {
    Opaque *const options = api_.options();
    api_.set_threads(options, request.threads);
    api_.set_reporter(options, Complaints::add, &complaints_);
    api_.add_delegate(options, before_.delegate());
    if (accelerator_.delegate()) api_.add_delegate(options, accelerator_.delegate());
    api_.add_delegate(options, after_.delegate());
    if (profiled_) api_.set_profiler(options, stopwatch_.profiler());
    interpreter_ = api_.interpreter(model_, options);
    api_.delete_options(options);
  }

  Tensor tensor(const Opaque *from) const {
    Tensor made;
    const char *const name = api_.tensor_name(from);
    made.name = name ? name : "";
    made.type = tflite_type_name(api_.tensor_type(from));
    for (int32_t i = 0; i < api_.dimensions(from); ++i)
      made.shape.push_back(api_.dimension(from, i));
    made.bytes = api_.tensor_bytes(from);
    made.data = api_.tensor_data(from);
    const Quantization q = api_.quantization(from);
    made.scale = q.scale;
    made.zero_point = q.zero_point;
    return made;
  }

  void close() {
    if (interpreter_) api_.delete_interpreter(interpreter_);
    if (model_) api_.delete_model(model_);
    interpreter_ = model_ = nullptr;
  }

  const Api &api_;
  Complaints complaints_;
  Stopwatch stopwatch_;
  Witness before_, after_;
  Accelerator accelerator_;
  bool profiled_;
  Opaque *model_ = nullptr, *interpreter_ = nullptr;
};

class TfliteRuntime : public Runtime {
 public:
  explicit TfliteRuntime(const Library &library) : api_(library) {}
  std::string version() const override { return std::string("TensorFlow Lite ") + api_.version(); }
  std::unique_ptr<Session> open(const Request &request, bool profiled) override {
    return std::make_unique<TfliteSession>(api_, request, profiled);
  }

 private:
  Api api_;
};

}  // namespace

std::unique_ptr<Runtime> tflite_runtime(const std::string &path) {
  const Library library(path);
  const char *(*version)() = nullptr;
  library.find(version, "TfLiteVersion", false);
  if (!version) return litert_runtime(library);
  return std::make_unique<TfliteRuntime>(library);
}
