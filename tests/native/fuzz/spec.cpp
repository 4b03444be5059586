// es_recipe_from_spec: any bytes. What it accepts is a recipe that es_output_bytes accepts.
#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Input in(data, size);
  const Buffer text = in.buffer(size);
  es_error error;
  es_recipe recipe;
  if (fine(es_recipe_from_spec(text.as<char>(), text.bytes, &recipe, &error), error)) {
    size_t bytes = 0;
    MUST(fine(es_output_bytes(&recipe, &bytes, &error), error) && bytes > 0);
  }
  return 0;
}
