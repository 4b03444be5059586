#include "request.h"

#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <sstream>
#include <stdexcept>

namespace {

std::string contents(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

es_recipe recipe_of(const std::string &path) {
  const std::string text = contents(path);
  es_recipe recipe;
  es_error error;
  if (es_recipe_from_spec(text.data(), text.size(), &recipe, &error) != ES_OK)
    throw std::runtime_error(path + ": " + error.message);
  return recipe;
}

Head read_head(std::istream &words) {
  Head head;
  std::string activation;
  words >> head.output >> head.kind >> activation >> head.values;
  if (activation == "softmax") head.activation = ES_SOFTMAX;
  if (activation == "sigmoid") head.activation = ES_SIGMOID;
  if (head.kind == "distribution") words >> head.first >> head.step;
  for (double bound; words >> bound;) head.upper.push_back(bound);
  if (words.eof()) words.clear();
  return head;
}

using Reader = std::function<void(Request &, std::istream &)>;

template <typename T>
Reader into(T Request::*member) {
  return [member](Request &request, std::istream &words) { words >> request.*member; };
}

// A text goes to the end of its line: a file's name may have spaces in it.
Reader into(std::string Request::*member) {
  return [member](Request &request, std::istream &words) {
    std::getline(words >> std::ws, request.*member);
  };
}

const std::map<std::string, Reader> &readers() {
  static const std::map<std::string, Reader> known = {
      {"runtime", into(&Request::runtime)},
      {"library", into(&Request::library)},
      {"model", into(&Request::model)},
      {"images", into(&Request::images)},
      {"outputs", into(&Request::outputs)},
      {"accelerator", into(&Request::accelerator)},
      {"accelerator_library", into(&Request::accelerator_library)},
      {"sensors", into(&Request::sensors)},
      {"sensor_ms", into(&Request::sensor_ms)},
      {"app_io", into(&Request::app_io)},
      {"threads", into(&Request::threads)},
      {"loads", into(&Request::loads)},
      {"profile_runs", into(&Request::profile_runs)},
      {"warmup_runs", into(&Request::warmup_runs)},
      {"warmup_s", into(&Request::warmup_s)},
      {"queries", into(&Request::queries)},
      {"seconds", into(&Request::seconds)},
      {"seed", into(&Request::seed)},
      {"head", [](Request &r, std::istream &words) { r.heads.push_back(read_head(words)); }},
      {"image",
       [](Request &r, std::istream &words) {
         ImagePlace place;
         words >> place.offset >> place.width >> place.height;
         r.places.push_back(place);
       }},
      {"option",
       [](Request &r, std::istream &words) {
         std::pair<std::string, std::string> option;
         words >> option.first >> std::ws;
         std::getline(words, option.second);
         r.options.push_back(option);
       }},
      {"spec",
       [](Request &r, std::istream &words) {
         std::string path;
         words >> path;
         r.recipe = recipe_of(path);
       }},
      {"only_load", [](Request &r, std::istream &) { r.only_load = true; }},
      // The images are of the model's size already: `squash` to it changes no pixel.
      {"ready", [](Request &r, std::istream &) { r.recipe.fit = ES_SQUASH; }},
  };
  return known;
}

}  // namespace

Request read_request(const std::string &path) {
  Request request;
  std::istringstream lines(contents(path));
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    std::istringstream words(line);
    std::string key;
    words >> key;
    const auto reader = readers().find(key);
    if (reader == readers().end()) throw std::runtime_error(path + ": unknown line: " + line);
    reader->second(request, words);
    if (words.fail()) throw std::runtime_error(path + ": not readable: " + line);
  }
  if (request.places.empty() && !request.only_load)
    throw std::runtime_error(path + " names no image");
  return request;
}
