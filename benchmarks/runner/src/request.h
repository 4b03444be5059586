// What the runner is asked to do: a text file, one `key value...` a line, written by request.py.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "edgeskin.h"

struct ImagePlace {
  uint64_t offset;  // bytes from the start of the shard
  int32_t width, height;
};

// How one output is read. `values` is the number of classes or of the distribution's steps.
struct Head {
  std::string output, kind;  // classification, distribution, segmentation
  int32_t activation = ES_NO_ACTIVATION;
  int32_t values = 0;
  double first = 0, step = 1;
  std::vector<double> upper;
};

struct Request {
  std::string runtime, library, model, images, outputs;
  std::string accelerator = "none";                          // as request.py names them
  std::string accelerator_library;                           // of gpu, external, qnn
  std::string sensors = "/";                                 // the root that holds sys/ and proc/
  std::vector<std::pair<std::string, std::string>> options;  // of the accelerator
  std::vector<ImagePlace> places;
  std::vector<Head> heads;
  es_recipe recipe = {};
  bool app_io = true;
  bool only_load = false;  // say what the accelerator took, and run nothing
  int threads = 1;
  int loads = 0, profile_runs = 0, sensor_ms = 1000;
  int warmup_runs = 0, queries = 0;
  double warmup_s = 0, seconds = 0;
  uint64_t seed = 1;
};

// Throws std::runtime_error, naming the line that does not fit.
Request read_request(const std::string &path);
