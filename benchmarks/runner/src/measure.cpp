#include "measure.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <numeric>
#include <stdexcept>

#include "events.h"
#include "heads.h"
#include "images.h"
#include "sensors.h"

namespace {

// Splitmix64 (Steele, Lea and Flood, 2014): the same order on every device.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t below(uint64_t limit) {
    uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (z ^ (z >> 31)) % limit;
  }

 private:
  uint64_t state_;
};

// Every image once in a random order, then again in another.
class Order {
 public:
  Order(size_t count, uint64_t seed) : random_(seed), order_(count), at_(count) {
    std::iota(order_.begin(), order_.end(), size_t{0});
  }
  size_t next() {
    if (at_ == order_.size()) {
      for (size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[random_.below(i)]);
      at_ = 0;
    }
    return order_[at_++];
  }

 private:
  Random random_;
  std::vector<size_t> order_;
  size_t at_;
};

// Asks the system to forget a file's pages; where it will not, the load is warm (see `dropped`).
bool drop_from_cache(const std::string &path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool dropped = fdatasync(file) == 0 && posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0;
  close(file);
  return dropped;
}

struct Timing {
  int64_t at, read, pre, run, post;  // nanoseconds; `at` is where pre starts
};

// One image through the model, each part timed apart.
class Query {
 public:
  Query(Session &session, const Request &request)
      : session_(session),
        images_(request),
        preprocess_(request, session.input),
        answers_(request, session.outputs) {}

  Timing operator()(size_t image) {
    const int64_t asked = now_ns();
    const es_image &pixels = images_.load(image);  // as a camera's frame: in memory already
    const int64_t start = now_ns();
    preprocess_(pixels, session_.input);
    const int64_t ready = now_ns();
    session_.run();
    const int64_t ran = now_ns();
    answers_.read(session_.outputs);
    return {start, start - asked, ready - start, ran - ready, now_ns() - ran};
  }
  const Answers &answers() const { return answers_; }

 private:
  Session &session_;
  Images images_;
  Preprocessor preprocess_;
  Answers answers_;
};

void emit_sample(const char *phase, size_t image, const Timing &t) {
  Event(phase)
      .number("image", static_cast<int64_t>(image))
      .number("at_ns", t.at)
      .number("read_ns", t.read)
      .number("pre_ns", t.pre)
      .number("run_ns", t.run)
      .number("post_ns", t.post)
      .emit();
}

int64_t median(std::vector<int64_t> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Stable: the last two blocks of runs have medians within 2 % of each other.
bool is_stable(const std::vector<int64_t> &runs) {
  constexpr std::ptrdiff_t kBlock = 16;
  if (runs.size() < 2 * kBlock) return false;
  const double last = static_cast<double>(median({runs.end() - kBlock, runs.end()}));
  const double before = static_cast<double>(median({runs.end() - 2 * kBlock, runs.end() - kBlock}));
  return last < 1.02 * before && before < 1.02 * last;
}

void warm_up(Query &query, Order &order, const Request &request) {
  const int64_t start = now_ns();
  std::vector<int64_t> runs;
  bool stable = false;
  const auto too_few = [&] { return static_cast<int>(runs.size()) < request.warmup_runs; };
  while (too_few() || (!stable && static_cast<double>(now_ns() - start) < request.warmup_s * 1e9)) {
    const size_t image = order.next();
    const Timing timing = query(image);
    emit_sample("warmup", image, timing);
    runs.push_back(timing.run);
    stable = is_stable(runs);
    flush_events(false);
  }
  Event("warm")
      .number("runs", static_cast<int64_t>(runs.size()))
      .json("stable", stable ? "true" : "false")
      .emit();
}

std::string shape_json(const std::vector<int64_t> &shape) {
  std::string out = "[";
  for (const int64_t size : shape) out += (out.size() > 1 ? "," : "") + std::to_string(size);
  return out + ']';
}

std::string tensor_json(const Tensor &t) {
  std::string out = "{\"name\":" + quoted(t.name) + ",\"dtype\":" + quoted(t.type) +
                    ",\"shape\":" + shape_json(t.shape) + ",\"bytes\":" + std::to_string(t.bytes);
  if (t.scale > 0) {
    char scale[32];
    std::snprintf(scale, sizeof scale, "%.9g", t.scale);
    out += std::string(",\"scale\":") + scale + ",\"zero_point\":" + std::to_string(t.zero_point);
  }
  return out + '}';
}

void emit_tensors(const Session &session) {
  std::string outputs = "[";
  for (const Tensor &t : session.outputs)
    outputs += (outputs.size() > 1 ? "," : "") + tensor_json(t);
  Event("tensors").json("input", tensor_json(session.input)).json("outputs", outputs + ']').emit();
}

}  // namespace

std::unique_ptr<Session> measure_loads(Runtime &runtime, const Request &request) {
  std::unique_ptr<Session> session;
  for (int i = 0; i < std::max(1, request.loads); ++i) {
    session.reset();
    const bool dropped = i == 0 && drop_from_cache(request.model);
    const int64_t start = now_ns();
    session = runtime.open(request, false);
    const int64_t loaded = now_ns();
    Event("load").json("cold", dropped ? "true" : "false").number("load_ns", loaded - start).emit();
    const Timing first = Query(*session, request)(0);
    emit_sample("first", 0, first);
    flush_events();
  }
  emit_tensors(*session);
  emit_memory("loaded");
  flush_events();
  return session;
}

void run_all(Session &session, const Request &request) {
  std::ofstream file(request.outputs, std::ios::binary | std::ios::trunc);
  Query query(session, request);
  for (size_t image = 0; image < request.places.size(); ++image) {
    const Timing timing = query(image);
    for (const Tensor &output : session.outputs)
      file.write(static_cast<const char *>(output.data),
                 static_cast<std::streamsize>(output.bytes));
    if (!file.flush())
      throw std::runtime_error("cannot write " + request.outputs + ": is the disk full?");
    Event("answer")
        .number("image", static_cast<int64_t>(image))
        .number("pre_ns", timing.pre)
        .number("run_ns", timing.run)
        .number("post_ns", timing.post)
        .number("input_crc32", crc32(session.input.data, session.input.bytes))
        .json("answers", query.answers().json())
        .emit();
    flush_events(false);
  }
  emit_memory("all images");
  flush_events();
}

void measure_latency(Session &session, const Request &request) {
  Query query(session, request);
  Order order(request.places.size(), request.seed);
  emit_sensors(request.sensors);
  warm_up(query, order, request);
  emit_sensors(request.sensors);
  const int64_t start = now_ns();
  int64_t sensed = start;
  for (int done = 0;; ++done) {
    const int64_t now = now_ns();
    if (done >= request.queries && static_cast<double>(now - start) >= request.seconds * 1e9) break;
    if (now - sensed >= int64_t{request.sensor_ms} * 1'000'000) {
      emit_sensors(request.sensors);
      sensed = now;
    }
    flush_events(false);
    const size_t image = order.next();
    emit_sample("sample", image, query(image));
  }
  emit_sensors(request.sensors);
  emit_memory("measured");
  flush_events();
}

void profile(Runtime &runtime, const Request &request) {
  const std::unique_ptr<Session> session = runtime.open(request, true);
  Query query(*session, request);
  for (int i = 0; i < request.profile_runs; ++i)
    query(static_cast<size_t>(i) % request.places.size());
  session->report();
  flush_events();
}
