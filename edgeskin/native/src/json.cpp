#include "json.h"

#include <clocale>
#include <cstdlib>

#include "check.h"

namespace es {

namespace {

constexpr int kDepth = 64;      // of arrays and objects in each other
constexpr size_t kNumber = 63;  // characters

bool digit(char c) { return c >= '0' && c <= '9'; }

int hex(char c) {
  if (digit(c)) return c - '0';
  const char small = static_cast<char>(c | 32);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

bool in(uint32_t value, uint32_t low, uint32_t high) { return value >= low && value <= high; }

// Exact where one division of exact doubles gives it (Clinger, 1990); else the C library's, which
// is correctly rounded, with the locale's decimal point.
COLD double value_of(const char *text, size_t length) {
  char copy[kNumber + 1] = {};
  uint64_t digits = 0;
  int read = 0, scale = 0;
  bool plain = true, point = false;
  for (size_t i = 0; i < length; ++i) {
    const char c = copy[i] = text[i];
    if (c == '.') {
      point = true;
      copy[i] = *std::localeconv()->decimal_point;
    } else if (digit(c)) {
      if (++read <= 18) digits = digits * 10 + static_cast<uint64_t>(c - '0');
      scale += point;
    } else {
      plain = plain && c == '-' && i == 0;
    }
  }
  if (!plain || read > 18 || digits >= (uint64_t{1} << 53)) return std::strtod(copy, nullptr);
  double power = 1.0;
  for (int i = 0; i < scale; ++i) power *= 10.0;
  const double size = static_cast<double>(digits) / power;
  return *text == '-' ? -size : size;
}

// Reads on in a text as long as it is what it must be; `t.at` is then where it is not.
class Checker {
 public:
  explicit Checker(Text text) : t_(text) {}

  COLD bool value(int depth) {
    space();
    if (t_.at == t_.end) return false;
    switch (*t_.at) {
      case '{': return depth < kDepth && members(depth);
      case '[': return depth < kDepth && items(depth);
      case '"': return string();
      case 't': return word("true");
      case 'f': return word("false");
      case 'n': return word("null");
      default: return number();
    }
  }

  void space() { skip_space(t_); }
  const char *at() const { return t_.at; }

 private:
  COLD bool take(char wanted) {
    space();
    if (t_.at == t_.end || *t_.at != wanted) return false;
    ++t_.at;
    return true;
  }

  COLD bool word(const char *wanted) {
    for (; *wanted; ++wanted, ++t_.at)
      if (t_.at == t_.end || *t_.at != *wanted) return false;
    return true;
  }

  COLD bool members(int depth) {
    ++t_.at;
    if (take('}')) return true;
    do {
      space();
      if (!string() || !take(':') || !value(depth + 1)) return false;
    } while (take(','));
    return take('}');
  }

  COLD bool items(int depth) {
    ++t_.at;
    if (take(']')) return true;
    do {
      if (!value(depth + 1)) return false;
    } while (take(','));
    return take(']');
  }

  COLD bool digits() {
    const char *const first = t_.at;
    while (t_.at < t_.end && digit(*t_.at)) ++t_.at;
    return t_.at > first;
  }

  COLD bool number() {
    const char *const first = t_.at;
    const auto next = [this](char a, char b) {
      return t_.at < t_.end && (*t_.at == a || *t_.at == b);
    };
    if (next('-', '-')) ++t_.at;
    if (next('0', '0'))
      ++t_.at;
    else if (!digits())
      return false;
    if (next('.', '.') && (++t_.at, !digits())) return false;
    if (next('e', 'E')) {
      ++t_.at;
      if (next('+', '-')) ++t_.at;
      if (!digits()) return false;
    }
    const size_t length = static_cast<size_t>(t_.at - first);
    return length <= kNumber && finite(value_of(first, length));
  }

  COLD bool string() {
    if (t_.at == t_.end || *t_.at != '"') return false;
    for (++t_.at; t_.at < t_.end && *t_.at != '"';)
      if (!(*t_.at == '\\' ? escape() : character())) return false;
    if (t_.at == t_.end) return false;
    ++t_.at;
    return true;
  }

  COLD bool escape() {
    if (t_.end - t_.at < 2) return false;
    if (t_.at[1] != 'u') {
      if (!std::strchr("\"\\/bfnrt", t_.at[1]) || !t_.at[1]) return false;
      t_.at += 2;
      return true;
    }
    const uint32_t first = unit();
    if (!in(first, 0xD800, 0xDFFF)) return first <= 0xFFFF;
    return first <= 0xDBFF && in(unit(), 0xDC00, 0xDFFF);
  }

  COLD uint32_t unit() {  // \uXXXX; beyond 16 bits if it is none
    if (t_.end - t_.at < 6 || t_.at[0] != '\\' || t_.at[1] != 'u') return UINT32_MAX;
    uint32_t value = 0;
    for (int i = 2; i < 6; ++i) {
      if (hex(t_.at[i]) < 0) return UINT32_MAX;
      value = value * 16 + static_cast<uint32_t>(hex(t_.at[i]));
    }
    t_.at += 6;
    return value;
  }

  COLD bool character() {  // the well-formed sequences of Unicode's table 3-7
    const auto byte = [this](int i) {
      return static_cast<uint32_t>(static_cast<uint8_t>(t_.at[i]));
    };
    const uint32_t lead = byte(0);
    const int length = in(lead, 0x20, 0x7F)   ? 1
                       : in(lead, 0xC2, 0xDF) ? 2
                       : in(lead, 0xE0, 0xEF) ? 3
                       : in(lead, 0xF0, 0xF4) ? 4
                                              : 0;
    if (length == 0 || t_.end - t_.at < length) return false;
    for (int i = 1; i < length; ++i)
      if (!in(byte(i), 0x80, 0xBF)) return false;
    if ((lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xED && byte(1) > 0x9F) ||
        (lead == 0xF0 && byte(1) < 0x90) || (lead == 0xF4 && byte(1) > 0x8F))
      return false;
    t_.at += length;
    return true;
  }

  Text t_;
};

}  // namespace

COLD const char *check_json(Text text, Text &value) {
  skip_space(text);
  Checker checker(text);
  const bool good = checker.value(0);
  value = {text.at, checker.at()};
  if (good) checker.space();
  return good && checker.at() == text.end ? nullptr : checker.at();
}

COLD void skip_space(Text &t) {
  while (t.at < t.end && (*t.at == ' ' || *t.at == '\t' || *t.at == '\n' || *t.at == '\r')) ++t.at;
}

COLD Text take_value(Text &t) {
  skip_space(t);
  const char *const first = t.at;
  int depth = 0;
  do {
    if (*t.at == '"') {
      for (++t.at; *t.at != '"'; ++t.at) t.at += *t.at == '\\';
      ++t.at;
    } else if (*t.at == '{' || *t.at == '[' || *t.at == '}' || *t.at == ']') {
      depth += *t.at == '{' || *t.at == '[' ? 1 : -1;
      ++t.at;
    } else if (depth > 0) {
      ++t.at;
    } else {  // a number or a word
      while (t.at < t.end && !std::strchr(" \t\n\r,]}:", *t.at)) ++t.at;
    }
  } while (depth > 0);
  return {first, t.at};
}

COLD bool next_item(Text &rest, Text &value) {
  ++rest.at;  // the bracket or the comma
  skip_space(rest);
  if (rest.at == rest.end || *rest.at == ']' || *rest.at == '}') return false;
  value = take_value(rest);
  skip_space(rest);
  return true;
}

COLD bool next_member(Text &rest, Text &name, Text &value) {
  return next_item(rest, name) && next_item(rest, value);  // the colon is passed like a comma
}

Text content(Text string) { return {string.at + 1, string.end - 1}; }

COLD uint32_t next_character(Text &t) {
  const auto byte = [&t] { return static_cast<uint32_t>(static_cast<uint8_t>(*t.at++)); };
  const auto unit = [&t] {
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value = value * 16 + static_cast<uint32_t>(hex(*t.at++));
    return value;
  };
  const uint32_t lead = byte();
  if (lead == '\\') {
    const char escaped = *t.at++;
    if (escaped != 'u') {
      const char *const known = std::strchr("b\bf\fn\nr\rt\t", escaped);
      return static_cast<uint32_t>(known ? known[1] : escaped);
    }
    const uint32_t first = unit();
    if (first < 0xD800 || first > 0xDBFF) return first;
    t.at += 2;
    return 0x10000 + ((first - 0xD800) << 10) + (unit() - 0xDC00);
  }
  uint32_t value = lead < 0x80   ? lead
                   : lead < 0xE0 ? lead & 31
                   : lead < 0xF0 ? lead & 15
                                 : lead & 7;
  for (uint32_t bit = 0x40; lead >= 0x80 && (lead & bit); bit >>= 1)
    value = value << 6 | (byte() & 63);
  return value;
}

namespace {

// Takes the characters of `ascii` from the front of `t`.
bool take(Text &t, const char *ascii) {
  for (; *ascii; ++ascii)
    if (t.at == t.end || next_character(t) != static_cast<uint32_t>(*ascii)) return false;
  return true;
}

}  // namespace

COLD bool same(Text value, const char *ascii) {
  if (!value.is('"')) return false;
  Text t = content(value);
  return take(t, ascii) && t.at == t.end;
}

COLD bool same(Text a, Text b, const char *suffix) {
  Text t = content(a);
  for (Text begin = content(b); begin.at < begin.end;)
    if (t.at == t.end || next_character(t) != next_character(begin)) return false;
  return take(t, suffix) && t.at == t.end;
}

COLD bool to_number(Text value, double &number) {
  if (!value.given() || !(digit(*value.at) || *value.at == '-')) return false;
  number = value_of(value.at, static_cast<size_t>(value.end - value.at));
  return true;
}

}  // namespace es
