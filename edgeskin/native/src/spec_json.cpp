// The "input" of a spec.json as a recipe: a strict JSON reader of just what is needed.
#include <clocale>
#include <cstdlib>
#include <cstring>

#include "check.h"

namespace {

constexpr int kDepth = 64;  // of nested arrays and objects

struct Text {
  const char *at, *end;
};

bool same(Text text, const char *word) {
  const size_t n = static_cast<size_t>(text.end - text.at);
  return std::strlen(word) == n && std::memcmp(text.at, word, n) == 0;
}

void skip_space(Text &t) {
  while (t.at < t.end && (*t.at == ' ' || *t.at == '\t' || *t.at == '\n' || *t.at == '\r')) ++t.at;
}

bool take(Text &t, char wanted) {
  skip_space(t);
  if (t.at == t.end || *t.at != wanted) return false;
  ++t.at;
  return true;
}

// A string's content, escapes left as they are: no name that is looked for holds one.
bool take_string(Text &t, Text &content) {
  if (!take(t, '"')) return false;
  content.at = t.at;
  for (; t.at < t.end && *t.at != '"'; ++t.at) {
    if (static_cast<unsigned char>(*t.at) < 0x20) return false;
    if (*t.at == '\\' && ++t.at == t.end) return false;
  }
  content.end = t.at;
  return take(t, '"');
}

bool take_value(Text &t, Text &value, int depth);

// Calls item() before each member or element; it reads up to the value.
template <typename Item>
bool take_items(Text &t, char close, const Item &item) {
  ++t.at;
  if (take(t, close)) return true;
  do {
    if (!item()) return false;
  } while (take(t, ','));
  return take(t, close);
}

bool take_value(Text &t, Text &value, int depth) {
  skip_space(t);
  value.at = t.at;
  if (t.at == t.end || depth > kDepth) return false;
  bool good = true;
  Text part;
  if (*t.at == '"') {
    good = take_string(t, part);
  } else if (*t.at == '{') {
    good = take_items(t, '}', [&] {
      Text inner;
      return take_string(t, part) && take(t, ':') && take_value(t, inner, depth + 1);
    });
  } else if (*t.at == '[') {
    good = take_items(t, ']', [&] { return take_value(t, part, depth + 1); });
  } else {
    while (t.at < t.end && std::strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE", *t.at) && *t.at)
      ++t.at;
  }
  value.end = t.at;
  return good && value.end > value.at;
}

// The member `key` of an object; false if there is none or it is no object.
bool member(Text object, const char *key, Text &value) {
  if (object.at == object.end || *object.at != '{') return false;
  bool found = false;
  take_items(object, '}', [&] {
    Text name, inner;
    if (!take_string(object, name) || !take(object, ':') || !take_value(object, inner, 1))
      return false;
    if (same(name, key)) {
      value = inner;
      found = true;
    }
    return true;
  });
  return found;
}

// Exact where one division or product of exact doubles gives it (Clinger, 1990); else the C
// library's, which is correctly rounded, with the locale's decimal point.
bool number(Text text, double &value) {
  char copy[64];
  const size_t n = static_cast<size_t>(text.end - text.at);
  if (n == 0 || n >= sizeof copy || !std::strchr("-0123456789", *text.at)) return false;
  uint64_t digits = 0;
  int scale = 0, read = 0;
  bool point = false, plain = true;
  for (size_t i = 0; i < n; ++i) {
    const char c = copy[i] = text.at[i];
    if (c == '-' && i == 0) continue;
    if (c == '.' && !point) {
      point = true;
    } else if (c >= '0' && c <= '9') {
      if (++read <= 18) digits = digits * 10 + static_cast<uint64_t>(c - '0');
      scale += point;
    } else if (c == 'e' || c == 'E' || c == '+' || c == '-') {
      plain = false;
    } else {
      return false;
    }
  }
  copy[n] = 0;
  if (read == 0) return false;
  if (plain && read <= 18 && digits < (uint64_t{1} << 53) && scale <= 18) {
    double power = 1.0;
    for (int i = 0; i < scale; ++i) power *= 10.0;
    value = static_cast<double>(digits) / power;
    if (*text.at == '-') value = -value;
    return true;
  }
  if (char *dot = std::strchr(copy, '.')) *dot = *std::localeconv()->decimal_point;
  char *end = nullptr;
  value = std::strtod(copy, &end);
  return *end == 0 && es::finite(value);
}

class Reader {
 public:
  Reader(Text object, es_error *error) : object_(object), error_(error) {}

  es_status integer(const char *key, int32_t otherwise, bool required, int32_t *result) {
    Text value;
    double x = 0;
    *result = otherwise;
    if (!member(object_, key, value) || (!required && same(value, "null")))
      return required ? bad(key, "is missing") : ES_OK;
    if (!number(value, x) || x != static_cast<double>(static_cast<int32_t>(x < 1e9 && x > -1e9 ? x : 0)))
      return bad(key, "is no whole number");
    *result = static_cast<int32_t>(x);
    return ES_OK;
  }

  template <int kCount>
  es_status name(const char *key, const char *const (&names)[kCount], int32_t *result) {
    Text value;
    if (!member(object_, key, value)) return ES_OK;
    for (int32_t i = 0; i < kCount; ++i)
      if (value.end - value.at > 2 && same({value.at + 1, value.end - 1}, names[i])) {
        *result = i;
        return ES_OK;
      }
    return bad(key, "has an unknown value");
  }

  es_status channels(const char *key, double *result) {
    Text list, value;
    if (!member(object_, key, list)) return bad(key, "is missing");
    int count = 0;
    const bool good = *list.at == '[' && take_items(list, ']', [&] {
      return take_value(list, value, 1) && count < 3 && number(value, result[count++]);
    });
    return good && count == 3 ? ES_OK : bad(key, "is not three numbers");
  }

 private:
  es_status bad(const char *key, const char *what) {
    return es::report(error_, ES_BAD_SPEC, "the spec's input.%s %s", key, what);
  }
  Text object_;
  es_error *error_;
};

}  // namespace

extern "C" es_status es_recipe_from_spec(const char *text, size_t bytes, es_recipe *recipe,
                                         es_error *error) {
  ES_NEED(text);
  ES_NEED(recipe);
  Text rest = {text, text + bytes}, document, input, version;
  if (!take_value(rest, document, 0) || (skip_space(rest), rest.at != rest.end))
    return es::report(error, ES_BAD_SPEC, "the spec is not JSON from byte %zu on",
                      static_cast<size_t>(rest.at - text));
  if (*document.at != '{')
    return es::report(error, ES_BAD_SPEC, "the spec is JSON, but no object");
  if (member(document, "version", version) && !same(version, "1"))
    return es::report(error, ES_BAD_SPEC, "the spec has another version than 1");
  if (!member(document, "input", input)) input = document;

  es_recipe r = {};
  Reader read(input, error);
  int32_t order = 0;
  r.fit = ES_SHORTEST_EDGE;
  r.filter = ES_BILINEAR;
  ES_TRY(read.integer("height", 0, true, &r.height));
  ES_TRY(read.integer("width", 0, true, &r.width));
  ES_TRY(read.integer("resize_to", 0, false, &r.resize_to));
  ES_TRY(read.integer("pad_value", 0, false, &r.pad_value));
  ES_TRY(read.name("color_order", {"RGB", "BGR"}, &order));
  ES_TRY(read.name("resize", {"squash", "shortest_edge", "letterbox"}, &r.fit));
  ES_TRY(read.name("filter", {"nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"},
                   &r.filter));
  ES_TRY(read.channels("mean", r.mean));
  ES_TRY(read.channels("std", r.std));
  r.channels = order == 0 ? ES_RGB : ES_BGR;
  r.type = ES_FLOAT32;
  r.layout = ES_NCHW;
  r.scale = 1.0 / 255.0;
  es_error inner;
  if (es::check_recipe(&r, &inner) != ES_OK)
    return es::report(error, ES_BAD_SPEC, "the spec's input: %.200s", inner.message);
  *recipe = r;
  return es::ok(error);
}
