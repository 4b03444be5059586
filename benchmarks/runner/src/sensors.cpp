#include "sensors.h"

#include <dirent.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

#include "events.h"

namespace {

std::string first_line(const std::string &path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Entries of a folder whose names start with `prefix` and go on with a digit or anything else.
std::vector<std::string> entries(const std::string &folder, const std::string &prefix = "") {
  std::vector<std::string> names;
  DIR *const opened = opendir(folder.c_str());
  if (!opened) return names;
  while (const dirent *entry = readdir(opened)) {
    const std::string name = entry->d_name;
    if (name[0] != '.' && name.compare(0, prefix.size(), prefix) == 0) names.push_back(name);
  }
  closedir(opened);
  std::sort(names.begin(), names.end());
  return names;
}

bool is_number(const std::string &text) {
  const size_t digits = text.find_first_not_of("0123456789", text[0] == '-');
  return !text.empty() && text != "-" && digits == std::string::npos;
}

// Members of a JSON object, empty texts left out.
class Members {
 public:
  void add(const std::string &name, const std::string &text) {
    if (!text.empty()) add_json(name, is_number(text) ? text : quoted(text));
  }
  void add_json(const std::string &name, const std::string &json) {
    all_ += (all_.empty() ? "" : ",") + quoted(name) + ':' + json;
  }
  std::string json() const { return '{' + all_ + '}'; }
  bool empty() const { return all_.empty(); }

 private:
  std::string all_;
};

// Thousandths of a degree Celsius by zone.
std::string thermal(const std::string &root) {
  Members zones;
  const std::string folder = root + "/sys/class/thermal/";
  for (const std::string &zone : entries(folder, "thermal_zone")) {
    const std::string type = first_line(folder + zone + "/type");
    zones.add(zone + (type.empty() ? "" : " " + type), first_line(folder + zone + "/temp"));
  }
  return zones.json();
}

std::string clocks(const std::string &root, const char *file) {
  Members found;
  const std::string folder = root + "/sys/devices/system/cpu/";
  for (const std::string &cpu : entries(folder, "cpu"))
    found.add(cpu, first_line(folder + cpu + "/cpufreq/" + file));
  return found.json();
}

std::string power(const std::string &root) {
  Members supplies;
  const std::string folder = root + "/sys/class/power_supply/";
  for (const std::string &supply : entries(folder)) {
    Members values;
    for (const char *name : {"type", "status", "capacity", "temp", "current_now", "voltage_now"})
      values.add(name, first_line(folder + supply + '/' + name));
    if (!values.empty()) supplies.add_json(supply, values.json());
  }
  return supplies.json();
}

int64_t realtime_ns() {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

int64_t own_cpu_ns() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

int64_t status_kb(const std::string &field) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.compare(0, field.size(), field) == 0) return std::stoll(line.substr(field.size() + 1));
  return 0;
}

}  // namespace

void emit_sensors(const std::string &root) {
  Event event("sensors");
  event.number("at_ns", now_ns()).number("realtime_ns", realtime_ns());
  event.number("own_cpu_ns", own_cpu_ns());
  event.text("cpu_ticks", first_line(root + "/proc/stat"));
  event.text("load", first_line(root + "/proc/loadavg"));
  event.json("thermal_mc", thermal(root));
  event.json("clock_khz", clocks(root, "scaling_cur_freq"));
  event.json("governor", clocks(root, "scaling_governor"));
  event.json("power", power(root));
  event.emit();
}

void emit_memory(const char *when) {
  Event("memory")
      .text("when", when)
      .number("rss_kb", status_kb("VmRSS:"))
      .number("peak_kb", status_kb("VmHWM:"))
      .emit();
}
