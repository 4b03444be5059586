// edgeskin-runner REQUEST: runs a model on a pack's images and says what happened, a JSON object a
// line on stdout. The last line is the `end` event; without it the runner did not come to its end.
//
// Exit status 0: `end` with ok true. 2: `end` with ok false and the reason.
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <stdexcept>

#include "events.h"
#include "measure.h"
#include "sensors.h"

namespace {

constexpr int kVersion = 1;  // of the events

void emit_start() {
  utsname system = {};
  uname(&system);
  Event("start")
      .number("version", kVersion)
      .number("pid", getpid())
      .number("at_ns", now_ns())
      .text("system", system.sysname)
      .text("release", system.release)
      .text("machine", system.machine)
      .text("kernels", es_kernels_name())
      .emit();
  flush_events();
}

void run(const Request &request) {
  const int64_t start = now_ns();
  if (request.runtime != "tflite" && request.runtime != "onnx")
    throw std::runtime_error("the runtime is tflite or onnx, not " + request.runtime);
  const std::unique_ptr<Runtime> runtime = request.runtime == "tflite"
                                               ? tflite_runtime(request.library)
                                               : onnx_runtime(request.library);
  Event("runtime")
      .text("version", runtime->version())
      .number("library_ns", now_ns() - start)
      .number("threads", request.threads)
      .text("accelerator", request.accelerator)
      .emit();
  flush_events();
  if (request.only_load) {
    runtime->open(request, false);
    return;
  }
  {
    const std::unique_ptr<Session> session = measure_loads(*runtime, request);
    if (!request.outputs.empty()) run_all(*session, request);
    if (request.queries > 0) measure_latency(*session, request);
  }
  if (request.profile_runs > 0) profile(*runtime, request);
}

}  // namespace

int main(int count, char **arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: edgeskin-runner REQUEST\n");
    return 2;
  }
  emit_start();
  try {
    run(read_request(arguments[1]));
  } catch (const std::exception &error) {
    Event("end").json("ok", "false").text("error", error.what()).emit();
    flush_events();
    return 2;
  }
  Event("end").json("ok", "true").emit();
  flush_events();
  return 0;
}
