// TFLite models by LiteRT's own C API, version 2.3: what LiteRT's libraries have since then instead
// of the TfLite C API.
//
// As in tflite.cpp, what is used is declared here; the struct layouts are those of 2.3. The library
// tells no version: each struct is checked as it is written (abi.h). Options are TOML text under
// the name of what reads them: `kernel_mode` is xnnpack, builtin or reference.
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <set>

#include "abi.h"
#include "events.h"
#include "library.h"
#include "session.h"
#include "tflite_types.h"

namespace {

struct Opaque;  // LiteRtEnvironment, LiteRtModel, ..., by pointer only
constexpr int kCpu = 1, kGpu = 2;
constexpr char kWebGpu[] = "webgpu";
constexpr int kDelegate = 51;      // among TFLite's operator codes
constexpr size_t kAlignment = 64;  // of a tensor buffer's memory

struct RankedType {
  int32_t element;  // numbered as TfLiteType
  uint32_t rank_and_flags;
  int32_t dimensions[8];
  uint32_t strides[8];

  int rank() const { return static_cast<int>(rank_and_flags & 127); }
};

struct PerTensor {
  float scale;
  int64_t zero_point;
};

struct ProfiledEvent {
  const char *tag;
  int32_t type;  // 2: an operator that TFLite ran itself, 4 and 8: one inside a delegate
  uint64_t start_us, took_us;
  uint64_t memory[6];
  uint64_t index, other;
  int32_t source;
};

static_assert(offsetof(RankedType, dimensions) == 8 && sizeof(RankedType) == 72);
static_assert(offsetof(PerTensor, zero_point) == 8 && sizeof(PerTensor) == 16);
static_assert(sizeof(void *) != 8 ||
              (offsetof(ProfiledEvent, start_us) == 16 && offsetof(ProfiledEvent, index) == 80 &&
               sizeof(ProfiledEvent) == 104));

struct Api {
  int (*environment)(int, const void *, Opaque **);
  int (*model)(Opaque *environment, const char *, Opaque **);
  int (*options)(Opaque **);
  int (*hardware)(Opaque *, int);
  int (*opaque_options)(const char *reader, void *text, void (*destroy)(void *), Opaque **);
  int (*add)(Opaque *options, Opaque *opaque);
  int (*compile)(Opaque *, Opaque *, Opaque *, Opaque **);
  int (*signature)(Opaque *, size_t, Opaque **);
  int (*subgraph)(Opaque *, Opaque **);
  int (*operator_count)(Opaque *, size_t *);
  int (*operator_at)(Opaque *, size_t, Opaque **);
  int (*operator_code)(Opaque *, int *);
  int (*input_count)(Opaque *, size_t *);
  int (*output_count)(Opaque *, size_t *);
  int (*input_name)(Opaque *, size_t, const char **);
  int (*output_name)(Opaque *, size_t, const char **);
  int (*input)(Opaque *, size_t, Opaque **);
  int (*output)(Opaque *, size_t, Opaque **);
  int (*type)(Opaque *, RankedType *);
  int (*quantization_kind)(Opaque *, int *);
  int (*quantization)(Opaque *, PerTensor *);
  int (*buffer)(const RankedType *, void *, size_t, void (*)(void *), Opaque **);
  int (*packed_size)(Opaque *buffer, size_t *);
  int (*whole)(Opaque *, bool *);
  int (*accelerator_count)(Opaque *environment, size_t *);
  int (*accelerator)(Opaque *environment, size_t, Opaque **);
  int (*accelerator_hardware)(Opaque *, int *);
  int (*run)(Opaque *, size_t, size_t, Opaque **, size_t, Opaque **);
  int (*profiler)(Opaque *, Opaque **);
  int (*start)(Opaque *);
  int (*event_count)(Opaque *, int *);
  int (*events)(Opaque *, int, ProfiledEvent *);
  void (*delete_environment)(Opaque *), (*delete_model)(Opaque *), (*delete_options)(Opaque *);
  void (*delete_compiled)(Opaque *), (*delete_buffer)(Opaque *);

  explicit Api(const Library &from) {
    // Of 2.3, this one: before, signatures differ and kernel_mode is not read.
    from.find(whole, "LiteRtCompiledModelIsNonCpuFullyAccelerated");
    from.find(accelerator_count, "LiteRtGetNumAccelerators");
    from.find(accelerator, "LiteRtGetAccelerator");
    from.find(accelerator_hardware, "LiteRtGetAcceleratorHardwareSupport");
    from.find(environment, "LiteRtCreateEnvironment");
    from.find(model, "LiteRtCreateModelFromFile");
    from.find(options, "LiteRtCreateOptions");
    from.find(hardware, "LiteRtSetOptionsHardwareAccelerators");
    from.find(opaque_options, "LiteRtCreateOpaqueOptions");
    from.find(add, "LiteRtAddOpaqueOptions");
    from.find(compile, "LiteRtCreateCompiledModel");
    from.find(signature, "LiteRtGetModelSignature");
    from.find(subgraph, "LiteRtGetSignatureSubgraph");
    from.find(operator_count, "LiteRtGetNumSubgraphOps");
    from.find(operator_at, "LiteRtGetSubgraphOp");
    from.find(operator_code, "LiteRtGetOpCode");
    from.find(input_count, "LiteRtGetNumSignatureInputs");
    from.find(output_count, "LiteRtGetNumSignatureOutputs");
    from.find(input_name, "LiteRtGetSignatureInputName");
    from.find(output_name, "LiteRtGetSignatureOutputName");
    from.find(input, "LiteRtGetSignatureInputTensorByIndex");
    from.find(output, "LiteRtGetSignatureOutputTensorByIndex");
    from.find(type, "LiteRtGetRankedTensorType");
    from.find(quantization_kind, "LiteRtGetQuantizationTypeId");
    from.find(quantization, "LiteRtGetPerTensorQuantization");
    from.find(buffer, "LiteRtCreateTensorBufferFromHostMemory");
    from.find(packed_size, "LiteRtGetTensorBufferPackedSize");
    from.find(run, "LiteRtRunCompiledModel");
    from.find(profiler, "LiteRtCompiledModelGetProfiler");
    from.find(start, "LiteRtStartProfiler");
    from.find(event_count, "LiteRtGetNumProfilerEvents");
    from.find(events, "LiteRtGetProfilerEvents");
    from.find(delete_environment, "LiteRtDestroyEnvironment");
    from.find(delete_model, "LiteRtDestroyModel");
    from.find(delete_options, "LiteRtDestroyOptions");
    from.find(delete_compiled, "LiteRtDestroyCompiledModel");
    from.find(delete_buffer, "LiteRtDestroyTensorBuffer");
  }

  void check(int status, const char *what) const {
    if (status != 0)
      throw std::runtime_error(std::string("LiteRT failed to ") + what + ": " +
                               status_text(status));
  }

 private:
  static std::string status_text(int status) {
    switch (status) {
      case 3: return "runtime failure";
      case 5: return "unsupported";
      case 500: return "file not readable";
      case 501: return "not a TFLite model";
      case 504: return "compilation failed";
    }
    return "status " + std::to_string(status);
  }
};

// Owns an object of the API for as long as a session lives.
class Owned {
 public:
  explicit Owned(void (*destroy)(Opaque *)) : destroy_(destroy) {}
  ~Owned() {
    if (held_) destroy_(held_);
  }
  Owned(const Owned &) = delete;
  Opaque **place() { return &held_; }
  Opaque *get() const { return held_; }

 private:
  void (*destroy_)(Opaque *);
  Opaque *held_ = nullptr;
};

class LitertSession : public Session {
 public:
  LitertSession(const Api &api, Opaque *environment, const Request &request, bool profiled)
      : api_(api),
        model_(api.delete_model),
        options_(api.delete_options),
        compiled_(api.delete_compiled) {
    api_.check(api_.model(environment, request.model.c_str(), model_.place()), "read the model");
    set_options(request, profiled);
    api_.check(api_.compile(environment, model_.get(), options_.get(), compiled_.place()),
               "prepare the model");
    if (profiled && request.accelerator != kWebGpu) {
      api_.check(api_.profiler(compiled_.get(), &profiler_), "give a profiler");
      api_.check(api_.start(profiler_), "profile");
    }
    bind();
    if (request.accelerator == kWebGpu) report_whole(environment);
  }
  ~LitertSession() override {
    for (Opaque *const buffer : buffers_) api_.delete_buffer(buffer);
  }

  void run() override {
    api_.check(
        api_.run(compiled_.get(), 0, 1, buffers_.data(), outputs.size(), buffers_.data() + 1),
        "run the model");
  }

  void report() override {
    if (!profiler_) return;
    int count = 0;
    api_.check(api_.event_count(profiler_, &count), "count its events");
    Written<ProfiledEvent> events(static_cast<size_t>(count));
    api_.check(api_.events(profiler_, count, events.data()), "tell its events");
    const ProfiledEvent *const first = events.read(&ProfiledEvent::source, "ProfiledEventData");
    OperatorTimes plan, inside;
    std::set<size_t> own;
    for (int i = 0; i < count; ++i) {
      const ProfiledEvent &event = first[i];
      const auto ns = static_cast<int64_t>(event.took_us) * 1000;
      if (event.type == 2) own.insert(event.index);
      if (event.type == 2) plan.add(static_cast<int64_t>(event.index), event.tag, ns);
      if (event.type == 4 || event.type == 8)
        inside.add(static_cast<int64_t>(event.index), event.tag, ns);
    }
    report_placement(own);
    Event("profile").json("operators", plan.json()).json("delegated", inside.json()).emit();
  }

 private:
  void set_options(const Request &request, bool profiled) {
    api_.check(api_.options(options_.place()), "make options");
    const bool gpu = request.accelerator == kWebGpu;
    api_.check(api_.hardware(options_.get(), gpu ? kGpu | kCpu : kCpu), "choose the hardware");
    if (gpu) set_gpu(request);
    const std::string cpu = "kernel_mode = \"" + kernel_mode(request.accelerator) +
                            "\"\nnum_threads = " + std::to_string(request.threads) + "\n";
    set("cpu_delegate", cpu);  // read where operators are resolved: reference or not
    set("xnnpack", cpu);       // read where the delegate is made: at all or not
    // The GPU's delegate fails to run where it is to be profiled.
    if (profiled && !gpu) set("runtime_options_string", "enable_profiling = true\n");
  }

  // Whether the GPU took all of the graph. What it left and why, its delegate prints, and no more.
  void report_whole(Opaque *environment) const {
    check_gpu(environment);
    bool whole = false;
    api_.check(api_.whole(compiled_.get(), &whole), "tell what the GPU took");
    Opaque *subgraph = nullptr;
    size_t count = 0;
    api_.check(api_.subgraph(signature_, &subgraph), "find the graph");
    api_.check(api_.operator_count(subgraph, &count), "count operators");
    Event("assigned")
        .text("provider", "WebGPU")
        .json("whole", whole ? "true" : "false")
        .number("operators", count)
        .emit();
  }

  // Where LiteRT finds no GPU, it remarks so and runs on the CPU.
  void check_gpu(Opaque *environment) const {
    size_t count = 0;
    api_.check(api_.accelerator_count(environment, &count), "count accelerators");
    for (size_t i = 0; i < count; ++i) {
      Opaque *accelerator = nullptr;
      int hardware = 0;
      api_.check(api_.accelerator(environment, i, &accelerator), "find an accelerator");
      api_.check(api_.accelerator_hardware(accelerator, &hardware), "tell an accelerator's kind");
      if (hardware & kGpu) return;
    }
    throw std::runtime_error("LiteRT finds no GPU here that it can use");
  }

  // What the GPU leaves runs on XNNPACK.
  void set_gpu(const Request &request) {
    std::string text;
    for (const auto &[key, value] : request.options) text += key + " = " + value + "\n";
    set("gpu_options", text);
  }

  static std::string kernel_mode(const std::string &accelerator) {
    if (accelerator == "none") return "builtin";
    if (accelerator == kWebGpu) return "xnnpack";
    if (accelerator == "xnnpack" || accelerator == "reference") return accelerator;
    throw std::runtime_error("LiteRT's own API takes no delegate such as " + accelerator +
                             ": pass a library that has the TfLite C API");
  }

  void set(const char *reader, const std::string &text) {
    Opaque *made = nullptr;
    api_.check(api_.opaque_options(reader, strdup(text.c_str()), std::free, &made), "make options");
    api_.check(api_.add(options_.get(), made), "take options");
  }

  // The graph, and what became of it: the operators that TFLite ran itself, and one entry for all
  // that XNNPACK took, in however many parts.
  void report_placement(const std::set<size_t> &own) const {
    Opaque *subgraph = nullptr, *op = nullptr;
    size_t count = 0;
    api_.check(api_.subgraph(signature_, &subgraph), "find the graph");
    api_.check(api_.operator_count(subgraph, &count), "count operators");
    std::string graph, plan, taken;
    for (size_t i = 0; i < count; ++i) {
      int code = 0;
      api_.check(api_.operator_at(subgraph, i, &op), "find an operator");
      api_.check(api_.operator_code(op, &code), "name an operator");
      const std::string entry = "{\"code\":" + std::to_string(code) + "}";
      append(graph, entry);
      if (own.count(i))
        append(plan, entry);
      else
        append(taken, std::to_string(i));
    }
    if (!taken.empty())
      append(plan, "{\"code\":" + std::to_string(kDelegate) +
                       ",\"name\":\"TfLiteXNNPackDelegate\",\"replaces\":[" + taken + "]}");
    Event("placement").json("graph", '[' + graph + ']').json("plan", '[' + plan + ']').emit();
  }

  static void append(std::string &list, const std::string &item) {
    list += (list.empty() ? "" : ",") + item;
  }

  void bind() {
    size_t inputs = 0, count = 0;
    api_.check(api_.signature(model_.get(), 0, &signature_), "find a signature");
    api_.check(api_.input_count(signature_, &inputs), "count inputs");
    api_.check(api_.output_count(signature_, &count), "count outputs");
    if (inputs != 1) throw std::runtime_error("the model has not one input");
    input = tensor(0, api_.input, api_.input_name);
    for (size_t i = 0; i < count; ++i) outputs.push_back(tensor(i, api_.output, api_.output_name));
  }

  Tensor tensor(size_t index, int (*find)(Opaque *, size_t, Opaque **),
                int (*name)(Opaque *, size_t, const char **)) {
    Tensor made;
    Opaque *from = nullptr;
    const char *called = "";
    api_.check(find(signature_, index, &from), "find a tensor");
    api_.check(name(signature_, index, &called), "name a tensor");
    Written<RankedType> written;
    api_.check(api_.type(from, written.data()), "type a tensor");
    const RankedType &type = *written.read(&RankedType::strides, "LiteRtRankedTensorType");
    made.name = called;
    made.type = tflite_type_name(type.element);
    made.bytes = tflite_type_bytes(type.element);
    for (int i = 0; i < type.rank(); ++i) {
      made.shape.push_back(type.dimensions[i]);
      made.bytes *= static_cast<size_t>(type.dimensions[i]);
    }
    quantize(from, made);
    const size_t room = (made.bytes + kAlignment - 1) / kAlignment * kAlignment;
    memory_.emplace_back(std::aligned_alloc(kAlignment, room), std::free);
    made.data = memory_.back().get();
    Opaque *buffer = nullptr;
    api_.check(api_.buffer(&type, made.data, made.bytes, nullptr, &buffer), "take a buffer");
    buffers_.push_back(buffer);
    size_t bytes = 0;
    api_.check(api_.packed_size(buffer, &bytes), "tell a buffer's size");
    if (bytes != made.bytes)
      throw std::runtime_error("LiteRT makes " + std::to_string(bytes) + " bytes of a tensor of " +
                               std::to_string(made.bytes) + ": its structs are not those of 2.3");
    return made;
  }

  void quantize(Opaque *from, Tensor &made) const {
    int kind = 0;
    api_.check(api_.quantization_kind(from, &kind), "tell a tensor's quantization");
    if (kind != 1) return;  // per tensor
    Written<PerTensor> written;
    api_.check(api_.quantization(from, written.data()), "tell a tensor's scale");
    const PerTensor &found = *written.read(&PerTensor::zero_point, "LiteRtQuantizationPerTensor");
    made.scale = found.scale;
    made.zero_point = static_cast<int32_t>(found.zero_point);
  }

  const Api &api_;
  Owned model_, options_, compiled_;
  Opaque *signature_ = nullptr;  // the model's
  Opaque *profiler_ = nullptr;   // the compiled model's
  std::vector<std::unique_ptr<void, void (*)(void *)>> memory_;
  std::vector<Opaque *> buffers_;  // the input, then the outputs
};

class LitertRuntime : public Runtime {
 public:
  explicit LitertRuntime(const Library &library)
      : api_(library), environment_(api_.delete_environment) {
    api_.check(api_.environment(0, nullptr, environment_.place()), "start");
  }
  std::string version() const override { return "LiteRT, API of 2.3"; }
  std::unique_ptr<Session> open(const Request &request, bool profiled) override {
    return std::make_unique<LitertSession>(api_, environment_.get(), request, profiled);
  }

 private:
  Api api_;
  Owned environment_;
};

}  // namespace

std::unique_ptr<Runtime> litert_runtime(const Library &library) {
  return std::make_unique<LitertRuntime>(library);
}
