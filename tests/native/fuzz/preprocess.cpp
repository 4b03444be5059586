// es_image_init, es_recipe_init, es_output_bytes, es_place, es_preprocess_workspace, es_preprocess,
// es_preprocess_masked, es_use_kernels: any image, recipe and mask, on every code path, with the
// same bytes.
#include "input.h"

namespace {

constexpr size_t kLargest = 1 << 17;  // bytes of a plane or output that is worth the time

es_recipe any_recipe(Input &in) {
  es_error error;
  es_recipe recipe = {};
  fine(es_recipe_init(in.number(1, 40), in.number(1, 40), &recipe, &error), error);
  recipe.fit = in.number(0, 2);
  recipe.resize_to = in.number(1, 90);
  recipe.filter = in.number(0, 5);
  recipe.pad_value = in.number(0, 255);
  const int32_t channels[] = {ES_RGB, ES_BGR, ES_GREY, in.number(0, 7)};
  recipe.channels = channels[in.raw<uint8_t>() % 4];
  recipe.type = in.number(0, 3);
  recipe.layout = in.number(0, 1);
  for (int i = 0; i < 3; ++i) {
    recipe.mean[i] = in.real(2.0);
    recipe.std[i] = 1.5 + in.real(1.4);
  }
  recipe.scale = 1.5 + in.real(1.5);
  recipe.zero_point = in.number(-128, 255);
  return recipe;
}

void any_crop(Input &in, const es_image &image, es_recipe &recipe) {
  if (in.raw<uint8_t>() & 1) return;
  for (int i = 0; i < 4; ++i) {
    const int32_t side = (i & 1) == (image.orientation > 4) ? image.width : image.height;
    recipe.crop[i] = in.raw<uint8_t>() >= 250 ? in.raw<float>()
                                              : static_cast<float>(in.raw<uint16_t>()) / 65535.0f *
                                                    static_cast<float>(side);
  }
}

es_selection any_selection(Input &in, const es_mask &mask) {
  es_selection selection = {mask, {}, {}};
  const int kept = in.raw<uint8_t>() + 1;  // zeros, behind the input's end, keep a value too
  for (int value = 0; value < 3; ++value) selection.keep[value] = kept >> value & 1;
  for (uint8_t &channel : selection.fill) channel = in.raw<uint8_t>();
  return selection;
}

// Runs with buffers of exactly these sizes; whether all was well.
bool run(const es_image &image, const es_recipe &recipe, const es_selection *selection,
         const Buffer &output, size_t scratch) {
  es_error error;
  const Buffer workspace(scratch);
  void *const out = output.data.get(), *const space = workspace.data.get();
  return fine(selection ? es_preprocess_masked(&image, &recipe, selection, out, output.bytes, space,
                                               scratch, &error)
                        : es_preprocess(&image, &recipe, out, output.bytes, space, scratch, &error),
              error);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Input in(data, size);
  es_error error;
  es_image image;
  const int32_t width = in.raw<uint8_t>() >= 250 ? in.number(1, ES_MAX_SIDE) : in.number(1, 70);
  const int32_t height = in.raw<uint8_t>() >= 250 ? in.number(1, ES_MAX_SIDE) : in.number(1, 70);
  if (!fine(es_image_init(in.number(0, 7), width, height, &image, &error), error)) return 0;
  image.orientation = in.number(1, 8);
  image.matrix = in.number(0, 1);
  image.range = in.number(0, 1);
  es_recipe recipe = any_recipe(in);
  any_crop(in, image, recipe);

  const size_t extra = in.raw<uint8_t>() >= 128 ? in.raw<uint8_t>() : 0;
  const size_t short_by = in.raw<uint8_t>() >= 250 ? in.raw<uint8_t>() : 0;
  Buffer planes[3] = {Buffer(0), Buffer(0), Buffer(0)};
  for (int i = 0; i < 3 && image.bytes[i]; ++i) {
    const size_t rows = image.bytes[i] / image.strides[i];
    size_t bytes = image.bytes[i] + (rows - 1) * extra;
    bytes = bytes > short_by ? bytes - short_by : 0;
    image.strides[i] = in.raw<uint8_t>() >= 254 ? in.raw<size_t>() : image.strides[i] + extra;
    planes[i] = in.buffer(bytes > kLargest ? kLargest : bytes);
    image.planes[i] = planes[i].as<uint8_t>();
    image.bytes[i] = planes[i].bytes;
  }

  es_placement placement;
  size_t bytes = 0, scratch = 0;
  const bool placed = fine(es_place(&image, &recipe, &placement, &error), error);
  const bool sized = fine(es_output_bytes(&recipe, &bytes, &error), error);
  MUST(fine(es_preprocess_workspace(&image, &recipe, &scratch, &error), error) == placed);
  MUST(!placed || (sized && scratch <= 2000000));
  const size_t given = in.enough(scratch);
  const size_t room = in.enough(bytes < kLargest ? bytes : kLargest);
  const Buffer first(room), second(room);
  const Mask mask(in, in.number(width, width), in.number(height, height));
  const es_selection behind = any_selection(in, mask.mask);
  const es_selection *const without_and_with[] = {nullptr, &behind};
  for (const es_selection *selection : without_and_with) {
    MUST(es_use_kernels(ES_KERNELS_SCALAR, nullptr) == ES_OK);
    const bool done = run(image, recipe, selection, first, given);
    MUST(es_use_kernels(ES_KERNELS_BEST, nullptr) == ES_OK);
    MUST(run(image, recipe, selection, second, given) == done);
    MUST(!done || (placed && room == bytes && given == scratch));
    MUST(!done || std::memcmp(first.data.get(), second.data.get(), bytes) == 0);
  }
  return 0;
}
