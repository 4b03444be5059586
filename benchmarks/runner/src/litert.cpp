// TFLite models by LiteRT's own C API, version 2.1: what LiteRT's libraries for x86-64 Linux have
// instead of the TfLite C API.
//
// As in tflite.cpp, what is used is declared here; the struct layouts are those of 2.1.
#include <cstdlib>
#include <map>

#include "events.h"
#include "library.h"
#include "session.h"
#include "tflite_types.h"

namespace {

struct Opaque;  // LiteRtEnvironment, LiteRtModel, ..., by pointer only
constexpr int kCpu = 1;
constexpr size_t kAlignment = 64;  // of a tensor buffer's memory

struct RankedType {
  int32_t element;  // numbered as TfLiteType
  uint32_t rank_and_flags;
  int32_t dimensions[8];
  uint32_t strides[8];
  char later_versions[64];

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

struct Api {
  int (*environment)(int, const void *, Opaque **);
  int (*model)(const char *, Opaque **);
  int (*options)(Opaque **);
  int (*hardware)(Opaque *, int);
  int (*cpu_options)(Opaque **);
  int (*find_cpu)(Opaque *, Opaque **);
  int (*set_threads)(Opaque *, int);
  int (*runtime_options)(Opaque **);
  int (*find_runtime)(Opaque *, Opaque **);
  int (*set_profiling)(Opaque *, bool);
  int (*add)(Opaque *options, Opaque *opaque);
  int (*compile)(Opaque *, Opaque *, Opaque *, Opaque **);
  int (*signature)(Opaque *, size_t, Opaque **);
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
  int (*run)(Opaque *, size_t, size_t, Opaque **, size_t, Opaque **);
  int (*profiler)(Opaque *, Opaque **);
  int (*start)(Opaque *);
  int (*event_count)(Opaque *, int *);
  int (*events)(Opaque *, int, ProfiledEvent *);
  const char *(*status_text)(int);
  void (*delete_environment)(Opaque *), (*delete_model)(Opaque *), (*delete_options)(Opaque *);
  void (*delete_compiled)(Opaque *), (*delete_buffer)(Opaque *);

  explicit Api(const Library &from) {
    from.find(environment, "LiteRtCreateEnvironment");
    from.find(model, "LiteRtCreateModelFromFile");
    from.find(options, "LiteRtCreateOptions");
    from.find(hardware, "LiteRtSetOptionsHardwareAccelerators");
    from.find(cpu_options, "LiteRtCreateCpuOptions");
    from.find(find_cpu, "LiteRtFindCpuOptions");
    from.find(set_threads, "LiteRtSetCpuOptionsNumThread");
    from.find(runtime_options, "LiteRtCreateRuntimeOptions");
    from.find(find_runtime, "LiteRtFindRuntimeOptions");
    from.find(set_profiling, "LiteRtSetRuntimeOptionsEnableProfiling");
    from.find(add, "LiteRtAddOpaqueOptions");
    from.find(compile, "LiteRtCreateCompiledModel");
    from.find(signature, "LiteRtGetModelSignature");
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
    from.find(run, "LiteRtRunCompiledModel");
    from.find(profiler, "LiteRtCompiledModelGetProfiler");
    from.find(start, "LiteRtStartProfiler");
    from.find(event_count, "LiteRtGetNumProfilerEvents");
    from.find(events, "LiteRtGetProfilerEvents");
    from.find(status_text, "LiteRtGetStatusString");
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
    if (request.accelerator != "xnnpack")
      throw std::runtime_error("LiteRT's own API is used with xnnpack only, not with " +
                               request.accelerator);
    api_.check(api_.model(request.model.c_str(), model_.place()), "read the model");
    set_options(request.threads, profiled);
    api_.check(api_.compile(environment, model_.get(), options_.get(), compiled_.place()),
               "prepare the model");
    if (profiled) {
      api_.check(api_.profiler(compiled_.get(), &profiler_), "give a profiler");
      api_.check(api_.start(profiler_), "profile");
    }
    bind();
  }
  ~LitertSession() override {
    for (Opaque *const buffer : buffers_) api_.delete_buffer(buffer);
  }

  void run() override {
    api_.check(api_.run(compiled_.get(), 0, 1, buffers_.data(), outputs.size(),
                        buffers_.data() + 1),
               "run the model");
  }

  void report() override {
    if (!profiler_) return;
    int count = 0;
    api_.check(api_.event_count(profiler_, &count), "count its events");
    std::vector<ProfiledEvent> events(static_cast<size_t>(count));
    api_.check(api_.events(profiler_, count, events.data()), "tell its events");
    OperatorTimes plan, inside;
    for (const ProfiledEvent &event : events) {
      const auto ns = static_cast<int64_t>(event.took_us) * 1000;
      if (event.type == 2) plan.add(static_cast<int64_t>(event.index), event.tag, ns);
      if (event.type == 4 || event.type == 8) inside.add(static_cast<int64_t>(event.index), event.tag, ns);
    }
    Event("profile").json("operators", plan.json()).json("delegated", inside.json()).emit();
  }

 private:
  void set_options(int threads, bool profiled) {
    Opaque *opaque = nullptr, *cpu = nullptr;
    api_.check(api_.options(options_.place()), "make options");
    api_.check(api_.hardware(options_.get(), kCpu), "choose the CPU");
    api_.check(api_.cpu_options(&opaque), "make CPU options");
    api_.check(api_.find_cpu(opaque, &cpu), "find CPU options");
    api_.check(api_.set_threads(cpu, threads), "set threads");
    api_.check(api_.add(options_.get(), opaque), "take CPU options");
    if (!profiled) return;
    api_.check(api_.runtime_options(&opaque), "make runtime options");
    api_.check(api_.find_runtime(opaque, &cpu), "find runtime options");
    api_.check(api_.set_profiling(cpu, true), "set profiling");
    api_.check(api_.add(options_.get(), opaque), "take runtime options");
  }

  void bind() {
    Opaque *signature = nullptr;
    size_t inputs = 0, count = 0;
    api_.check(api_.signature(model_.get(), 0, &signature), "find a signature");
    api_.check(api_.input_count(signature, &inputs), "count inputs");
    api_.check(api_.output_count(signature, &count), "count outputs");
    if (inputs != 1) throw std::runtime_error("the model has not one input");
    input = tensor(signature, 0, api_.input, api_.input_name);
    for (size_t i = 0; i < count; ++i)
      outputs.push_back(tensor(signature, i, api_.output, api_.output_name));
  }

  Tensor tensor(Opaque *signature, size_t index, int (*find)(Opaque *, size_t, Opaque **),
                int (*name)(Opaque *, size_t, const char **)) {
    Tensor made;
    Opaque *from = nullptr;
    const char *called = "";
    api_.check(find(signature, index, &from), "find a tensor");
    api_.check(name(signature, index, &called), "name a tensor");
    RankedType type = {};
    api_.check(api_.type(from, &type), "type a tensor");
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
    return made;
  }

  void quantize(Opaque *from, Tensor &made) const {
    int kind = 0;
    PerTensor found = {};
    api_.check(api_.quantization_kind(from, &kind), "tell a tensor's quantization");
    if (kind != 1) return;  // per tensor
    api_.check(api_.quantization(from, &found), "tell a tensor's scale");
    made.scale = found.scale;
    made.zero_point = static_cast<int32_t>(found.zero_point);
  }

  const Api &api_;
  Owned model_, options_, compiled_;
  Opaque *profiler_ = nullptr;  // the compiled model's
  std::vector<std::unique_ptr<void, void (*)(void *)>> memory_;
  std::vector<Opaque *> buffers_;  // the input, then the outputs
};

class LitertRuntime : public Runtime {
 public:
  explicit LitertRuntime(const Library &library)
      : api_(library), environment_(api_.delete_environment) {
    api_.check(api_.environment(0, nullptr, environment_.place()), "start");
  }
  std::string version() const override { return "LiteRT 2.1"; }
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
