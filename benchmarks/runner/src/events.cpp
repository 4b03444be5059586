#include "events.h"

#include <time.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

namespace {

std::string pending;
int64_t flushed_ns = 0;
constexpr int64_t kEvery_ns = 500'000'000;

}  // namespace

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

std::string quoted(const std::string &text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", c);
      out += code;
    } else {
      out += c;
    }
  }
  return out + '"';
}

Event::Event(const char *name) { text("event", name); }

void Event::key(const char *name) {
  line_ += line_.empty() ? '{' : ',';
  line_ += quoted(name) + ':';
}

Event &Event::text(const char *name, const std::string &value) { return json(name, quoted(value)); }

Event &Event::number(const char *name, int64_t value) { return json(name, std::to_string(value)); }

Event &Event::real(const char *name, double value) {
  char digits[32] = "null";
  if (std::isfinite(value)) std::snprintf(digits, sizeof digits, "%.9g", value);
  return json(name, digits);
}

Event &Event::json(const char *name, const std::string &value) {
  key(name);
  line_ += value;
  return *this;
}

void Event::emit() {
  pending += line_;
  pending += "}\n";
}

void flush_events(bool always) {
  const int64_t now = now_ns();
  if (!always && now - flushed_ns < kEvery_ns) return;
  for (size_t at = 0; at < pending.size();) {
    const ssize_t wrote = write(STDOUT_FILENO, pending.data() + at, pending.size() - at);
    if (wrote <= 0) break;  // nobody can be told
    at += static_cast<size_t>(wrote);
  }
  pending.clear();
  flushed_ns = now;
}
