// JSON (RFC 8259) read where it lies, without memory of its own. Once check_json() has passed, the
// other functions walk the text and cannot fail.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "exact.h"

#if defined(__GNUC__)
#define COLD __attribute__((cold))  // read once for a model: better small than fast
#else
#define COLD
#endif

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

// The members of an object, the items of an array, one by one: `rest` begins as the whole value.
bool next_member(Text &rest, Text &name, Text &value);  // false where no more follows
bool next_item(Text &rest, Text &value);

// A string's characters, escapes undone, one by one; begins with what lies between the quotes.
Text content(Text string);
uint32_t next_character(Text &content);

bool same(Text value, const char *ascii);            // is it the string `ascii`?
bool same(Text a, Text b, const char *suffix = "");  // is string a string b with the suffix?

bool to_number(Text value, double &number);  // false for another type

}  // namespace es
