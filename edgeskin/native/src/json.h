// JSON (RFC 8259) read where it lies, without memory of its own. Once check_json() has passed, the
// other functions walk the text and cannot fail.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace es {

// A part of a text: a value from its first to its last character. A string's quotes belong to it.
struct Text {
  const char *at = nullptr, *end = nullptr;
  bool given() const { return at != nullptr; }
  bool is(char first) const { return given() && *at == first; }
  bool is(const char *token) const {
    return std::strlen(token) == static_cast<size_t>(end - at) &&
           std::memcmp(at, token, std::strlen(token)) == 0;
  }
};

// Null for a text that is UTF-8, JSON and within the limits of edgeskin.h, else where it is not.
// `value` gets the text without the space around it.
const char *check_json(Text text, Text &value);

void skip_space(Text &text);
Text take_value(Text &text);  // the next value; `text` begins behind it afterwards

// Calls use(name, value) for each member of an object, and use(value) for each item of an array,
// until one of them returns false; false then.
template <typename Use>
bool each_member(Text object, const Use &use) {
  for (++object.at; skip_space(object), *object.at != '}';) {
    if (*object.at == ',') ++object.at;
    const Text name = take_value(object);
    skip_space(object);
    ++object.at;  // the colon
    if (!use(name, take_value(object))) return false;
  }
  return true;
}

template <typename Use>
bool each_item(Text array, const Use &use) {
  for (++array.at; skip_space(array), *array.at != ']';) {
    if (*array.at == ',') ++array.at;
    if (!use(take_value(array))) return false;
  }
  return true;
}

// A string's characters, escapes undone, one by one; begins with what lies between the quotes.
Text content(Text string);
uint32_t next_character(Text &content);

bool same(Text value, const char *ascii);                  // is it the string `ascii`?
bool same(Text a, Text b, const char *suffix = "");  // is string a string b with the suffix?

bool to_number(Text value, double &number);  // false for another type

}  // namespace es
