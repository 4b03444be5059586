// Runs every golden vector on every code path that this CPU has: golden_runner FOLDER
//
// Exit status 0: no difference. 1: differences, one line each. 2: the vectors cannot be read.
// The format is told in golden/README.md.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../edgeskin/native/edgeskin.h"

namespace {

using Bytes = std::vector<uint8_t>;
using Words = std::map<std::string, std::string>;

struct Case {
  std::string function, name;
  Words given, expected;
};

struct Refused {
  es_error error;
};

struct Unreadable : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// ---- Reading --------------------------------------------------------------------------------

std::string contents(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Unreadable("cannot open " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<std::string> split(const std::string &text, char separator) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

Words words(const std::vector<std::string> &parts, size_t first) {
  Words found;
  for (size_t i = first; i < parts.size(); ++i) {
    const size_t cut = parts[i].find('=');
    if (cut == std::string::npos) throw Unreadable("no '=' in " + parts[i]);
    found[parts[i].substr(0, cut)] = parts[i].substr(cut + 1);
  }
  return found;
}

Case parse(const std::string &line) {
  const size_t cut = line.find(" => ");
  if (cut == std::string::npos) throw Unreadable("no ' => ' in " + line);
  const auto left = split(line.substr(0, cut), ' ');
  std::string right = line.substr(cut + 4), message;
  const size_t at = right.find("message=");
  if (at != std::string::npos) {
    message = right.substr(at + 8);
    right.resize(at);
  }
  Case found{left.at(0), left.at(1), words(left, 2), words(split(right, ' '), 0)};
  if (at != std::string::npos) found.expected["message"] = message;
  return found;
}

std::vector<Case> read_cases(const std::string &path) {
  const auto lines = split(contents(path), '\n');
  if (lines.empty() || lines[0] != "# edgeskin golden vectors, version 3")
    throw Unreadable(path + " is not of version 3");
  std::vector<Case> cases;
  for (const auto &line : lines)
    if (!line.empty() && line[0] != '#') cases.push_back(parse(line));
  return cases;
}

// ---- Words to C -----------------------------------------------------------------------------

const std::map<std::string, int32_t> kEnums = {{"rgb", ES_RGB},
                                               {"bgr", ES_BGR},
                                               {"rgba", ES_RGBA},
                                               {"bgra", ES_BGRA},
                                               {"grey", ES_GREY},
                                               {"nv12", ES_NV12},
                                               {"nv21", ES_NV21},
                                               {"i420", ES_I420},
                                               {"bt601", ES_BT601},
                                               {"bt709", ES_BT709},
                                               {"video_range", ES_VIDEO_RANGE},
                                               {"full_range", ES_FULL_RANGE},
                                               {"squash", ES_SQUASH},
                                               {"shortest_edge", ES_SHORTEST_EDGE},
                                               {"letterbox", ES_LETTERBOX},
                                               {"nearest", ES_NEAREST},
                                               {"box", ES_BOX},
                                               {"bilinear", ES_BILINEAR},
                                               {"hamming", ES_HAMMING},
                                               {"bicubic", ES_BICUBIC},
                                               {"lanczos", ES_LANCZOS},
                                               {"uint8", ES_UINT8},
                                               {"int8", ES_INT8},
                                               {"float32", ES_FLOAT32},
                                               {"float16", ES_FLOAT16},
                                               {"nhwc", ES_NHWC},
                                               {"nchw", ES_NCHW},
                                               {"no_activation", ES_NO_ACTIVATION},
                                               {"softmax", ES_SOFTMAX},
                                               {"sigmoid", ES_SIGMOID}};

double real(const std::string &word) { return std::strtod(word.c_str(), nullptr); }

int32_t whole(const std::string &word) {
  const auto found = kEnums.find(word);
  return found != kEnums.end() ? found->second : std::atoi(word.c_str());
}

template <typename T>
void read_list(const std::string &word, T *values, size_t count) {
  const auto items = split(word, ',');
  for (size_t i = 0; i < items.size() && i < count; ++i) values[i] = static_cast<T>(real(items[i]));
}

void check(es_status status, const es_error &error) {
  if (status != ES_OK) throw Refused{error};
}

#define CALL(function, ...)                        \
  do {                                             \
    es_error error_;                               \
    check(function(__VA_ARGS__, &error_), error_); \
  } while (0)

// The arguments of one case, with the memory that they point to.
class Arguments {
 public:
  Arguments(const Words &given, const std::string &data) : given_(given), data_(data) {}

  bool has(const std::string &key) const { return given_.count(key) != 0; }
  const std::string &text(const std::string &key) const {
    const auto found = given_.find(key);
    if (found == given_.end()) throw Unreadable("no " + key);
    return found->second;
  }
  int32_t integer(const std::string &key) const { return whole(text(key)); }
  double number(const std::string &key) const { return real(text(key)); }

  // A copy of its own, so that memory checkers see where it ends.
  const Bytes &blob(const std::string &word) {
    size_t offset = 0, length = 0;
    if (std::sscanf(word.c_str(), "%zu:%zu", &offset, &length) != 2 || offset > data_.size() ||
        length > data_.size() - offset)
      throw Unreadable("not a blob: " + word);
    const char *at = data_.data() + offset;
    kept_.emplace_back(at, at + length);
    return kept_.back();
  }

  std::vector<double> reals(const std::string &key) const {
    std::vector<double> values;
    if (has(key))
      for (const auto &item : split(text(key), ',')) values.push_back(real(item));
    return values;
  }

  es_image image() {
    es_image image = {};
    CALL(es_image_init, has("image.format") ? integer("image.format") : int32_t{ES_RGB},
         integer("image.width"), integer("image.height"), &image);
    if (has("image.planes")) {
      const auto blobs = split(text("image.planes"), ',');
      for (size_t i = 0; i < blobs.size(); ++i) {
        const Bytes &content = blob(blobs[i]);
        image.planes[i] = content.data();
        image.bytes[i] = content.size();
      }
    }
    if (has("image.strides")) read_list(text("image.strides"), image.strides, 3);
    set("image.orientation", image.orientation);
    set("image.matrix", image.matrix);
    set("image.range", image.range);
    return image;
  }

  es_recipe recipe() {
    es_recipe recipe = {};
    CALL(es_recipe_init, integer("recipe.width"), integer("recipe.height"), &recipe);
    set("recipe.fit", recipe.fit);
    set("recipe.resize_to", recipe.resize_to);
    set("recipe.filter", recipe.filter);
    set("recipe.pad_value", recipe.pad_value);
    set("recipe.channels", recipe.channels);
    set("recipe.type", recipe.type);
    set("recipe.layout", recipe.layout);
    set("recipe.zero_point", recipe.zero_point);
    if (has("recipe.scale")) recipe.scale = number("recipe.scale");
    if (has("recipe.crop")) read_list(text("recipe.crop"), recipe.crop, 4);
    if (has("recipe.mean")) read_list(text("recipe.mean"), recipe.mean, 3);
    if (has("recipe.std")) read_list(text("recipe.std"), recipe.std, 3);
    return recipe;
  }

  es_tensor tensor(const std::string &name) {
    const Bytes &content = blob(text(name + ".data"));
    es_tensor tensor = {content.data(), content.size(), integer(name + ".type"), 1.0, 0};
    if (has(name + ".scale")) tensor.scale = number(name + ".scale");
    set(name + ".zero_point", tensor.zero_point);
    return tensor;
  }

  es_mask mask(const std::string &name) {
    const Bytes &content = blob(text(name + ".pixels"));
    const int32_t width = integer(name + ".width");
    return {content.data(), static_cast<size_t>(width), content.size(), width,
            integer(name + ".height")};
  }

  es_selection selection() {
    es_selection selection = {mask("selection.mask"), {}, {}};
    for (const double value : reals("selection.keep")) selection.keep[static_cast<int>(value)] = 1;
    if (has("selection.fill")) read_list(text("selection.fill"), selection.fill, 3);
    return selection;
  }

 private:
  void set(const std::string &key, int32_t &field) const {
    if (has(key)) field = integer(key);
  }

  const Words &given_;
  const std::string &data_;
  std::vector<Bytes> kept_;
};

// ---- Results against what is expected -------------------------------------------------------

// A result: bytes, or numbers that the text must read back to.
struct Result {
  std::string key;
  Bytes bytes;
  std::vector<double> numbers;
  std::string text;
};
using Results = std::vector<Result>;

template <typename T>
Result bytes_of(const std::string &key, const std::vector<T> &values) {
  const auto *at = reinterpret_cast<const uint8_t *>(values.data());
  return {key, Bytes(at, at + values.size() * sizeof(T)), {}, {}};
}

Result numbers(const std::string &key, std::vector<double> values) { return {key, {}, values, {}}; }

Result boxes_of(const std::vector<es_box> &boxes, int32_t count) {
  std::vector<double> values;
  for (int32_t i = 0; i < count; ++i) {
    const es_box &b = boxes[static_cast<size_t>(i)];
    for (double v : {double(b.left), double(b.top), double(b.width), double(b.height),
                     double(b.area), b.x, b.y})
      values.push_back(v);
  }
  return numbers("boxes", values);
}

// Empty when equal.
std::string difference(const Result &result, const std::string &expected, Arguments &arguments) {
  if (!result.text.empty() || result.key == "message")
    return result.text == expected ? "" : "is " + result.text + ", expected " + expected;
  if (!result.numbers.empty() || expected.empty()) {
    const auto items = split(expected, ',');
    if (items.size() != result.numbers.size())
      return "has " + std::to_string(result.numbers.size()) + " numbers, expected " + expected;
    for (size_t i = 0; i < items.size(); ++i) {
      const double want = kEnums.count(items[i]) ? whole(items[i]) : real(items[i]);
      char both[99];
      std::snprintf(both, sizeof both, "[%zu] is %.17g, expected %.17g", i, result.numbers[i],
                    want);
      if (std::memcmp(&want, &result.numbers[i], sizeof want) != 0) return both;
    }
    return "";
  }
  const Bytes &want = arguments.blob(expected);
  if (want.size() != result.bytes.size())
    return "has " + std::to_string(result.bytes.size()) + " bytes, expected " + expected;
  for (size_t i = 0; i < want.size(); ++i)
    if (want[i] != result.bytes[i])
      return "differs from byte " + std::to_string(i) + ": " + std::to_string(result.bytes[i]) +
             ", expected " + std::to_string(want[i]);
  return "";
}

// ---- One function a function ----------------------------------------------------------------

// By es_preprocess, or the other function with what there is of a selection.
Results preprocessed(Arguments &a, bool masked) {
  const es_image image = a.image();
  const es_recipe recipe = a.recipe();
  const bool all = !a.has("selection.mask.pixels");
  const es_selection selection = all ? es_selection{} : a.selection();
  size_t bytes = 0, scratch = 0;
  CALL(es_output_bytes, &recipe, &bytes);
  CALL(es_preprocess_workspace, &image, &recipe, &scratch);
  Bytes output(bytes), workspace(scratch);
  if (masked)
    CALL(es_preprocess_masked, &image, &recipe, all ? nullptr : &selection, output.data(), bytes,
         workspace.data(), scratch);
  else
    CALL(es_preprocess, &image, &recipe, output.data(), bytes, workspace.data(), scratch);
  return {bytes_of("output", output)};
}

Results preprocess(Arguments &a) { return preprocessed(a, false); }
Results preprocess_masked(Arguments &a) { return preprocessed(a, true); }

es_placement placed(Arguments &a) {
  const es_image image = a.image();
  const es_recipe recipe = a.recipe();
  es_placement placement;
  CALL(es_place, &image, &recipe, &placement);
  return placement;
}

Results place(Arguments &a) {
  const es_placement p = placed(a);
  Results results;
  const auto one = [&](const char *key, int32_t value) {
    results.push_back(numbers(key, {double(value)}));
  };
  one("image_width", p.image_width), one("image_height", p.image_height);
  one("orientation", p.orientation);
  results.push_back(numbers("crop", {p.crop, p.crop + 4}));
  one("resized_width", p.resized_width), one("resized_height", p.resized_height);
  one("left", p.left), one("top", p.top), one("width", p.width), one("height", p.height);
  return results;
}

Results recipe_from_spec(Arguments &a) {
  const Bytes &text = a.blob(a.text("text"));
  es_recipe r, plain;
  const char *at = text.empty() ? "" : reinterpret_cast<const char *>(text.data());  // never null
  CALL(es_recipe_from_spec, at, text.size(), &r);
  CALL(es_recipe_init, r.width, r.height, &plain);
  Results results = {numbers("recipe.width", {double(r.width)}),
                     numbers("recipe.height", {double(r.height)})};
  const auto list = [&](const char *key, std::vector<double> found, std::vector<double> initial) {
    if (found != initial) results.push_back(numbers(std::string("recipe.") + key, found));
  };
  const auto one = [&](const char *key, double found, double initial) {
    list(key, {found}, {initial});
  };
  one("fit", r.fit, plain.fit), one("resize_to", r.resize_to, plain.resize_to);
  one("filter", r.filter, plain.filter), one("pad_value", r.pad_value, plain.pad_value);
  list("crop", {r.crop, r.crop + 4}, {plain.crop, plain.crop + 4});
  one("channels", r.channels, plain.channels), one("type", r.type, plain.type);
  one("layout", r.layout, plain.layout);
  list("mean", {r.mean, r.mean + 3}, {plain.mean, plain.mean + 3});
  list("std", {r.std, r.std + 3}, {plain.std, plain.std + 3});
  one("scale", r.scale, plain.scale), one("zero_point", r.zero_point, plain.zero_point);
  return results;
}

Results dequantize(Arguments &a) {
  std::vector<float> values(static_cast<size_t>(a.integer("count")));
  const es_tensor tensor = a.tensor("tensor");
  CALL(es_dequantize, &tensor, values.size(), values.data(), values.size() * sizeof(float));
  return {bytes_of("values", values)};
}

Results classify(Arguments &a) {
  const es_tensor logits = a.tensor("logits");
  const int32_t classes = a.integer("classes"), count = a.integer("top_count");
  std::vector<float> scores(static_cast<size_t>(classes));
  std::vector<es_class> top(static_cast<size_t>(count));
  CALL(es_classify, &logits, classes, a.integer("activation"), scores.data(),
       scores.size() * sizeof(float), top.data(), count);
  std::vector<double> indices;
  for (const es_class &entry : top) indices.push_back(entry.index);
  return {bytes_of("scores", scores), numbers("top", indices)};
}

Results measure(Arguments &a) {
  const es_tensor logits = a.tensor("logits");
  const int32_t size = a.integer("size");
  const std::vector<double> upper = a.reals("upper");
  std::vector<float> mass(static_cast<size_t>(size));
  es_quantity q;
  CALL(es_measure, &logits, size, a.integer("activation"), a.number("first"), a.number("step"),
       a.number("share"), upper.data(), static_cast<int32_t>(upper.size()), mass.data(),
       mass.size() * sizeof(float), &q);
  return {bytes_of("mass", mass),    numbers("expectation", {q.expectation}),
          numbers("mode", {q.mode}), numbers("low", {q.low}),
          numbers("high", {q.high}), numbers("grade", {double(q.grade)})};
}

Results grade(Arguments &a) {
  const std::vector<double> upper = a.reals("upper");
  int32_t found = 0;
  CALL(es_grade, a.number("value"), upper.data(), static_cast<int32_t>(upper.size()), &found);
  return {numbers("grade", {double(found)})};
}

Results segment(Arguments &a) {
  const es_placement placement = placed(a);
  const es_segmentation task = {a.tensor("logits"), a.integer("classes"), a.integer("width"),
                                a.integer("height"), a.has("layout") ? a.integer("layout") : 0};
  size_t scratch = 0;
  CALL(es_segment_workspace, &task, &placement, &scratch);
  const size_t stride = static_cast<size_t>(placement.image_width);
  Bytes workspace(scratch), mask(stride * static_cast<size_t>(placement.image_height));
  std::vector<int64_t> counts(static_cast<size_t>(std::max(task.classes, 2)));
  CALL(es_segment, &task, &placement, mask.data(), stride, mask.size(), counts.data(),
       static_cast<int32_t>(counts.size()), workspace.data(), scratch);
  return {bytes_of("mask", mask), numbers("counts", {counts.begin(), counts.end()})};
}

Results components(Arguments &a) {
  const es_mask mask = a.mask("mask");
  const int32_t capacity = a.integer("capacity");
  size_t scratch = 0;
  CALL(es_components_workspace, mask.width, &scratch);
  Bytes workspace(scratch);
  std::vector<es_box> boxes(static_cast<size_t>(capacity));
  int32_t count = 0;
  CALL(es_components, &mask, a.integer("value"), a.integer("connectivity"), a.integer("min_area"),
       boxes.data(), capacity, &count, workspace.data(), scratch);
  return {numbers("count", {double(count)}), boxes_of(boxes, std::min(count, capacity))};
}

Results find_crops(Arguments &a) {
  const es_mask skin = a.mask("skin"), lesion = a.mask("lesion");
  const es_crop_rule rule = {a.integer("rule.side"),       a.integer("rule.step"),
                             a.integer("rule.skin_value"), a.integer("rule.lesion_value"),
                             a.number("rule.min_skin"),    a.number("rule.min_lesion"),
                             a.number("rule.max_overlap")};
  const int32_t capacity = a.integer("capacity");
  size_t scratch = 0;
  CALL(es_find_crops_workspace, skin.width, &scratch);
  Bytes workspace(scratch);
  std::vector<es_box> boxes(static_cast<size_t>(capacity));
  int32_t count = 0;
  CALL(es_find_crops, &skin, &lesion, &rule, boxes.data(), capacity, &count, workspace.data(),
       scratch);
  return {numbers("count", {double(count)}), boxes_of(boxes, count)};
}

const std::map<std::string, Results (*)(Arguments &)> kFunctions = {
    {"preprocess", preprocess},
    {"place", place},
    {"recipe_from_spec", recipe_from_spec},
    {"dequantize", dequantize},
    {"classify", classify},
    {"measure", measure},
    {"grade", grade},
    {"segment", segment},
    {"components", components},
    {"find_crops", find_crops},
    {"preprocess_masked", preprocess_masked}};

// The first difference of a case, empty when there is none.
std::string run(const Case &found, const std::string &data) {
  const auto function = kFunctions.find(found.function);
  if (function == kFunctions.end()) return "unknown function";
  Arguments arguments(found.given, data);
  Results results;
  try {
    results = function->second(arguments);
  } catch (const Refused &refused) {
    results = {{"status", {}, {}, es_status_name(refused.error.status)},
               {"message", {}, {}, refused.error.message}};
  }
  for (const Result &result : results) {
    const auto expected = found.expected.find(result.key);
    if (expected == found.expected.end()) return result.key + " is not expected";
    const std::string line = difference(result, expected->second, arguments);
    if (!line.empty()) return result.key + " " + line;
  }
  return results.size() == found.expected.size() ? "" : "fewer results than expected";
}

}  // namespace

int main(int count, char **arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: golden_runner FOLDER\n");
    return 2;
  }
  try {
    const std::string folder = arguments[1], data = contents(folder + "/data.bin");
    const auto cases = read_cases(folder + "/cases.txt");
    int differences = 0;
    for (int32_t path : {ES_KERNELS_SCALAR, ES_KERNELS_AVX2, ES_KERNELS_NEON}) {
      if (es_use_kernels(path, nullptr) != ES_OK) continue;
      for (const Case &found : cases) {
        const std::string line = run(found, data);
        if (line.empty()) continue;
        ++differences;
        std::printf("%s %s (%s): %s\n", found.function.c_str(), found.name.c_str(),
                    es_kernels_name(), line.c_str());
      }
      std::printf("%zu vectors, %s\n", cases.size(), es_kernels_name());
    }
    std::printf("%d differences\n", differences);
    return differences != 0;
  } catch (const std::exception &error) {
    std::fprintf(stderr, "golden_runner: %s\n", error.what());
    return 2;
  }
}
