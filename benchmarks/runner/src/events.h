// The runner's report: one JSON object a line on stdout, written in large pieces between queries.
#pragma once
#include <cstdint>
#include <string>

// CLOCK_MONOTONIC, nanoseconds: what every duration is taken from.
int64_t now_ns();

class Event {
 public:
  explicit Event(const char *name);
  Event &text(const char *key, const std::string &value);
  Event &number(const char *key, int64_t value);
  Event &real(const char *key, double value);
  Event &json(const char *key, const std::string &value);  // JSON already
  // Appends the line; it reaches stdout at the next flush().
  void emit();

 private:
  void key(const char *name);
  std::string line_;
};

std::string quoted(const std::string &text);

// Writes what was emitted since the last time, if it is old or `always`.
void flush_events(bool always = true);
