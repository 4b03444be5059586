// A spec.json held against the rules of edgeskin.h, and its "input" as a recipe.
#include <cstdio>

#include "check.h"
#include "json.h"

namespace {

using es::Text;

constexpr double kBrightest = 4.0;  // of mean and std
constexpr int32_t kMostHeads = 64, kMostValues = 65536, kMostInARow = 1048576, kMostAxes = 4;
constexpr bool kRequired = true, kOptional = false;

const char *const kNoName[] = {""};
// A list of known words; not a template where it is used, which would be one function a length.
struct Names {
  const char *const *at;
  int count;
  template <int kCount>
  Names(const char *const (&names)[kCount]) : at(names), count(kCount) {}
};

// The fields of one object of the spec, and what they must be.
class Fields {
 public:
  Fields(const char *where, es_error *error) : error_(error) {
    std::snprintf(where_, sizeof where_, "%s", where);
  }

  // Each member a known one, given once. The other functions look for what was read here.
  COLD es_status read(Text object, Names names) {
    if (!object.is('{')) return refuse("is no object");
    names_ = names;
    for (Text name, value; es::next_member(object, name, value);) {
      int i = 0;
      while (i < names.count && !es::same(name, names.at[i])) ++i;
      if (i == names.count) return unknown(name);
      if (values_[i].given()) return refuse(names.at[i], "is given twice");
      values_[i] = value;
    }
    return ES_OK;
  }

  COLD Text operator[](const char *name) const {
    for (int i = 0; i < names_.count; ++i)
      if (!std::strcmp(names_.at[i], name)) return values_[i];
    return {};
  }

  COLD es_status text(const char *name, bool required) {
    const Text value = (*this)[name];
    if (!value.given()) return required ? refuse(name, "is missing") : ES_OK;
    return value.is('"') ? ES_OK : refuse(name, "is no text");
  }

  // Letters, digits and `signs`, a letter or digit first; of a head small letters only, one first.
  COLD es_status identifier(const char *signs, bool of_a_head) {
    ES_TRY(text("name", kRequired));
    bool good = false;
    for (Text t = es::content((*this)["name"]); t.at < t.end;) {
      const uint32_t c = es::next_character(t);
      const bool first = !good, small = c >= 'a' && c <= 'z', digit = c >= '0' && c <= '9';
      const bool sign = c > 0 && c < 128 && std::strchr(signs, static_cast<int>(c));
      good = small || (c >= 'A' && c <= 'Z' && !of_a_head) || (digit && !(first && of_a_head)) ||
             (sign && !first);
      if (!good) break;
    }
    return good ? ES_OK
                : refuse("name", of_a_head ? "is not of a-z, 0-9 and _, a letter first"
                                           : "is not of A-Z, a-z, 0-9, _, . and -");
  }

  COLD es_status whole(const char *name, int32_t low, int32_t high, bool required,
                       int32_t *result) {
    const Text value = (*this)[name];
    if (!value.given()) return required ? refuse(name, "is missing") : ES_OK;
    double x = 0;
    if (!es::to_number(value, x) || !(x >= low && x <= high) || x != static_cast<int32_t>(x))
      return es::report(error_, ES_BAD_SPEC, "the spec's %s%s is no whole number from %d to %d",
                        where_, name, low, high);
    *result = static_cast<int32_t>(x);
    return ES_OK;
  }

  COLD es_status real(const char *name, bool required, bool positive = false) {
    const Text value = (*this)[name];
    if (!value.given()) return required ? refuse(name, "is missing") : ES_OK;
    double x = 0;
    if (!es::to_number(value, x)) return refuse(name, "is no number");
    return positive && !(x > 0) ? refuse(name, "is not above 0") : ES_OK;
  }

  COLD es_status channels(const char *name, double *result) {
    Text rest = (*this)[name];
    if (!rest.given()) return refuse(name, "is missing");
    bool good = rest.is('[');
    int held = 0;
    for (Text item; good && es::next_item(rest, item); ++held)
      good = held < 3 && es::to_number(item, result[held]);
    return good && held == 3 ? ES_OK : refuse(name, "is not three numbers");
  }

  COLD es_status choice(const char *name, Names names, bool required, int32_t *result) {
    const Text value = (*this)[name];
    if (!value.given()) return required ? refuse(name, "is missing") : ES_OK;
    for (*result = 0; *result < names.count; ++*result)
      if (es::same(value, names.at[*result])) return ES_OK;
    return refuse(name, "has an unknown value");
  }

  // `least` or more texts, no two the same.
  COLD es_status labels(int32_t least, int32_t *count, const char *name = "labels") {
    const Text labels = (*this)[name];
    if (!labels.given()) return refuse(name, "is missing");
    uint64_t seen[1024] = {};  // a bit a hash: labels before are looked through where it is set
    *count = 0;
    bool good = labels.is('[');
    Text rest = labels;
    for (Text label; good && es::next_item(rest, label); ++*count) {
      if (!(good = label.is('"'))) break;
      uint32_t hash = 2166136261u;
      for (Text t = es::content(label); t.at < t.end;)
        hash = (hash ^ es::next_character(t)) * 16777619u;
      uint64_t &word = seen[hash >> 22];
      const uint64_t bit = uint64_t{1} << (hash >> 16 & 63);
      Text before = labels, other;
      while (good && (word & bit) && es::next_item(before, other) && other.at != label.at)
        good = !es::same(label, other);
      word |= bit;
    }
    if (good && *count >= least) return ES_OK;
    return refuse(name, least > 1 ? "is not two or more different texts"
                        : least   ? "is not one or more different texts"
                                  : "is not different texts");
  }

  COLD es_status refuse(const char *name, const char *what) {
    return es::report(error_, ES_BAD_SPEC, "the spec's %s%s %s", where_, name, what);
  }
  COLD es_status refuse(const char *what) {  // the object itself: "heads[1]." without the point
    const int length = static_cast<int>(std::strlen(where_));
    if (length == 0) return es::report(error_, ES_BAD_SPEC, "the spec %s", what);
    return es::report(error_, ES_BAD_SPEC, "the spec's %.*s %s", length - 1, where_, what);
  }

 private:
  static constexpr int kMost = 14;

  COLD es_status unknown(Text name) {
    char shown[33] = {};
    Text t = es::content(name);
    for (int i = 0; i < 32 && t.at < t.end; ++i) {
      const uint32_t c = es::next_character(t);
      shown[i] = c >= 0x20 && c < 0x7F ? static_cast<char>(c) : '?';
    }
    return refuse(shown, "is a field that this version does not know");
  }

  char where_[32];
  es_error *error_;
  Names names_ = kNoName;
  Text values_[kMost];
};

COLD es_status check_channels(Fields &input, const char *name, double *values) {
  ES_TRY(input.channels(name, values));
  for (int c = 0; c < 3; ++c)
    if (values[c] > kBrightest || values[c] < -kBrightest)
      return input.refuse(name, "looks like the 0 to 255 scale: divide it by 255");
  return ES_OK;
}

COLD es_status read_input(Text object, es_recipe *recipe, es_error *error) {
  static const char *const kNames[] = {"height", "width",     "color_order", "resize", "resize_to",
                                       "filter", "antialias", "pad_value",   "mean",   "std"};
  static const char *const kOrders[] = {"RGB", "BGR"};
  static const char *const kFits[] = {"squash", "shortest_edge", "letterbox"};
  static const char *const kFilters[] = {"nearest", "box", "bilinear", "bicubic", "lanczos"};
  es_recipe r = {};
  r.fit = ES_SHORTEST_EDGE;
  r.filter = ES_BILINEAR;
  r.type = ES_FLOAT32;
  r.layout = ES_NCHW;
  r.scale = 1.0 / 255.0;
  Fields input("input.", error);
  ES_TRY(input.read(object, kNames));
  ES_TRY(input.whole("height", 1, ES_MAX_OUTPUT, kRequired, &r.height));
  ES_TRY(input.whole("width", 1, ES_MAX_OUTPUT, kRequired, &r.width));
  ES_TRY(input.whole("pad_value", 0, 255, kOptional, &r.pad_value));
  ES_TRY(input.choice("color_order", kOrders, kOptional, &r.channels));
  ES_TRY(input.choice("resize", kFits, kOptional, &r.fit));
  ES_TRY(input.choice("filter", kFilters, kOptional, &r.filter));
  if (r.filter >= ES_HAMMING) ++r.filter;  // which a spec does not have
  const Text antialias = input["antialias"], resize_to = input["resize_to"];
  if (antialias.given() && !antialias.is("true")) return input.refuse("antialias", "is not true");
  if (resize_to.given() && !resize_to.is("null")) {
    ES_TRY(input.whole("resize_to", 1, ES_MAX_OUTPUT, kRequired, &r.resize_to));
    if (r.fit != ES_SHORTEST_EDGE)
      return input.refuse("resize_to", "belongs to shortest_edge alone");
  }
  ES_TRY(check_channels(input, "mean", r.mean));
  ES_TRY(check_channels(input, "std", r.std));
  es_error inner;
  if (es::check_recipe(&r, &inner) != ES_OK)
    return es::report(error, ES_BAD_SPEC, "the spec's input: %.200s", inner.message);
  *recipe = r;
  return ES_OK;
}

COLD es_status check_ranges(Text object, const char *where, es_error *error) {
  static const char *const kNames[] = {"labels", "upper", "source"};
  Fields ranges(where, error);
  int32_t labels = 0, bounds = 0;
  ES_TRY(ranges.read(object, kNames));
  ES_TRY(ranges.labels(2, &labels));
  ES_TRY(ranges.text("source", kOptional));
  double last = 0;
  Text rest = ranges["upper"];
  bool good = rest.is('[');
  for (Text item; good && es::next_item(rest, item); ++bounds) {
    const double before = last;
    good = es::to_number(item, last) && (bounds == 0 || last > before);
  }
  if (good && bounds == labels - 1) return ES_OK;
  return ranges.refuse("upper", "is not one number less than labels, increasing");
}

COLD es_status check_tensor(Fields &head) {
  int32_t sizes = 0, axes = 0;
  ES_TRY(head.text("unit", kOptional));
  Text rest = head["shape"];
  bool good = rest.is('[');
  for (Text item; good && es::next_item(rest, item); ++sizes) {
    double x = 0;
    good = sizes < kMostAxes && es::to_number(item, x) && x >= 1 && x <= kMostInARow &&
           x == static_cast<int32_t>(x);
  }
  if (!good) return head.refuse("shape", "is not up to 4 whole numbers from 1 to 1048576");
  if (head["axes"].given()) ES_TRY(head.labels(0, &axes, "axes"));
  return axes == 0 || axes == sizes ? ES_OK : head.refuse("axes", "are not as many as shape");
}

struct Output {
  Text name;
  bool distribution;
};

enum Kind : int32_t {
  kClassification,
  kDistribution,
  kRegression,
  kSegmentation,
  kEmbedding,
  kTensor
};

COLD es_status read_head(Text object, int32_t index, Output *output, es_error *error) {
  static const char *const kKinds[] = {"classification", "distribution", "regression",
                                       "segmentation",   "embedding",    "tensor"};
  static const char *const kActivations[] = {"softmax", "sigmoid"};
  static const char *const kNorms[] = {"none", "l2"};
  static const char *const kAny[] = {"name", "kind",   "labels", "activation", "first",
                                     "step", "size",   "unit",   "ranges",     "scale",
                                     "axes", "offset", "shape",  "normalize"};
  static const char *const kClasses[] = {"name", "kind", "labels", "activation"};
  static const char *const kValues[] = {"name", "kind", "first", "step", "size", "unit", "ranges"};
  static const char *const kNumber[] = {"name", "kind", "unit", "scale", "offset"};
  static const char *const kVector[] = {"name", "kind", "size", "normalize"};
  static const char *const kArray[] = {"name", "kind", "shape", "unit", "axes"};
  char where[32];
  std::snprintf(where, sizeof where, "heads[%d].", static_cast<int>(index));
  Fields any(where, error), head(where, error);
  int32_t kind = 0, number = 0;
  ES_TRY(any.read(object, kAny));
  ES_TRY(any.choice("kind", kKinds, kRequired, &kind));
  ES_TRY(any.identifier("_", true));
  *output = {any["name"], kind == kDistribution};
  switch (kind) {
    case kDistribution:
      ES_TRY(head.read(object, kValues));
      ES_TRY(head.real("first", kRequired));
      ES_TRY(head.real("step", kOptional, true));
      ES_TRY(head.whole("size", 2, kMostValues, kRequired, &number));
      ES_TRY(head.text("unit", kRequired));
      std::snprintf(where, sizeof where, "heads[%d].ranges.", static_cast<int>(index));
      if (!head["ranges"].given() || head["ranges"].is("null")) return ES_OK;
      return check_ranges(head["ranges"], where, error);
    case kRegression:
      ES_TRY(head.read(object, kNumber));
      ES_TRY(head.text("unit", kRequired));
      ES_TRY(head.real("scale", kOptional));
      return head.real("offset", kOptional);
    case kEmbedding:
      ES_TRY(head.read(object, kVector));
      ES_TRY(head.choice("normalize", kNorms, kOptional, &number));
      return head.whole("size", 1, kMostValues, kRequired, &number);
    case kTensor: ES_TRY(head.read(object, kArray)); return check_tensor(head);
    default: {  // labels; number is 1 for sigmoid
      ES_TRY(head.read(object, kClasses));
      ES_TRY(head.choice("activation", kActivations, kOptional, &number));
      const bool one_of_many = kind == kClassification && number == 0;
      return head.labels(one_of_many ? 2 : 1, &number);
    }
  }
}

bool clash(const Output &a, const Output &b) {
  return es::same(a.name, b.name) ||
         (a.distribution && es::same(b.name, a.name, "_distribution")) ||
         (b.distribution && es::same(a.name, b.name, "_distribution"));
}

COLD es_status check_heads(Fields &spec, es_error *error) {
  Text rest = spec["heads"];
  if (!rest.is('[')) return spec.refuse("heads", "is no array");
  Output outputs[kMostHeads];
  int32_t count = 0;
  for (Text head; es::next_item(rest, head); ++count) {
    if (count == kMostHeads) return spec.refuse("heads", "are more than 64");
    ES_TRY(read_head(head, count, &outputs[count], error));
    for (int32_t i = 0; i < count; ++i)
      if (clash(outputs[i], outputs[count]))
        return spec.refuse("heads", "give two outputs of the same name");
  }
  return count > 0 ? ES_OK : spec.refuse("heads", "are none");
}

COLD es_status read_spec(Text object, es_recipe *recipe, es_error *error) {
  static const char *const kNames[] = {"version",      "name",          "task",  "arch",
                                       "arch_args",    "input",         "heads", "license",
                                       "intended_use", "training_data", "limits"};
  Fields spec("", error);
  ES_TRY(spec.read(object, kNames));
  double version = 1;
  if (spec["version"].given() && !(es::to_number(spec["version"], version) && version == 1))
    return spec.refuse("version", "is another than 1");
  ES_TRY(spec.identifier("_.-", false));
  ES_TRY(spec.text("task", kRequired));
  ES_TRY(spec.text("license", kRequired));
  ES_TRY(spec.text("intended_use", kRequired));
  ES_TRY(spec.text("arch", kOptional));
  ES_TRY(spec.text("training_data", kOptional));
  ES_TRY(spec.text("limits", kOptional));
  if (spec["arch_args"].given() && !spec["arch_args"].is('{'))
    return spec.refuse("arch_args", "is no object");
  ES_TRY(read_input(spec["input"], recipe, error));
  return check_heads(spec, error);
}

}  // namespace

extern "C" es_status es_recipe_from_spec(const char *text, size_t bytes, es_recipe *recipe,
                                         es_error *error) {
  ES_NEED(text);
  ES_NEED(recipe);
  Text document;
  if (const char *wrong = es::check_json({text, text + bytes}, document))
    return es::report(error, ES_BAD_SPEC, "the spec is not JSON from byte %zu on",
                      static_cast<size_t>(wrong - text));
  if (!document.is('{')) return es::report(error, ES_BAD_SPEC, "the spec is JSON, but no object");
  bool whole = false;  // or the input alone
  Text rest = document;
  for (Text name, value; !whole && es::next_member(rest, name, value);)
    whole = es::same(name, "input");
  es_recipe found;
  ES_TRY(whole ? read_spec(document, &found, error) : read_input(document, &found, error));
  *recipe = found;
  return es::ok(error);
}
