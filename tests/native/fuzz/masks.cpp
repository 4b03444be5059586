// es_segment, es_components, es_find_crops and their workspaces: any logits, placement and mask.
#include "input.h"

namespace {

void segment(Input &in) {
  es_error error;
  es_image image;
  es_recipe recipe;
  if (!fine(es_image_init(ES_GREY, in.number(1, 60), in.number(1, 60), &image, &error), error))
    return;
  if (image.bytes[0] > 1 << 20) return;  // fine, and slow
  image.orientation = in.number(1, 8);
  if (!fine(es_recipe_init(in.number(1, 40), in.number(1, 40), &recipe, &error), error)) return;
  recipe.fit = in.number(0, 2);
  recipe.resize_to = in.number(40, 60);
  if (in.raw<uint8_t>() & 1)
    for (float &edge : recipe.crop) edge = static_cast<float>(in.raw<uint8_t>()) / 4.0f;
  es_placement p;
  if (!fine(es_place(&image, &recipe, &p, &error), error)) return;
  if (in.raw<uint8_t>() >= 240) {  // a placement that no es_place gave
    int32_t *const fields[] = {&p.image_width,   &p.image_height,   &p.orientation,
                               &p.resized_width, &p.resized_height, &p.left,
                               &p.top,           &p.width,          &p.height};
    *fields[in.raw<uint8_t>() % 9] = in.number(-100, 100);
    if (in.raw<uint8_t>() & 1) p.crop[in.raw<uint8_t>() % 4] = in.raw<float>();
  }
  const int32_t type = in.number(0, 3), classes = in.number(1, 5), width = in.number(1, 20),
                height = in.number(1, 20);
  const bool usual = classes > 0 && classes < 9 && width > 0 && width < 30 && height > 0 &&
                     height < 30;
  const size_t values = usual ? static_cast<size_t>(classes * width * height) : 64;
  const Buffer data = in.buffer(in.enough(values * element_bytes(type)));
  const es_segmentation task = {tensor(in, data, type), classes, width, height, in.number(0, 1)};
  size_t scratch = 0;
  if (!fine(es_segment_workspace(&task, &p, &scratch, &error), error)) scratch = 4096;
  MUST(scratch <= 2000000);
  const size_t stride = static_cast<size_t>(image.width) + in.raw<uint8_t>() % 4;
  const size_t needed = stride * static_cast<size_t>(image.height - 1) +
                        static_cast<size_t>(image.width);
  const Buffer workspace(in.enough(scratch)), mask(in.enough(needed));
  const int32_t counted = in.number(2, 6);
  const bool room = counted > 0 && counted < 300;
  const Buffer counts(room ? static_cast<size_t>(counted) * sizeof(int64_t) : 0);
  if (!fine(es_segment(&task, &p, mask.as<uint8_t>(), stride, mask.bytes,
                       room ? counts.as<int64_t>() : nullptr, counted, workspace.data.get(),
                       workspace.bytes, &error),
            error))
    return;
  for (int32_t y = 0; y < p.image_height; ++y)
    for (int32_t x = 0; x < p.image_width; ++x) {
      const uint8_t value =
          mask.as<uint8_t>()[static_cast<size_t>(y) * stride + static_cast<size_t>(x)];
      MUST(value == ES_OUTSIDE || value < (classes > 2 ? classes : 2));
    }
}

void components(Input &in) {
  es_error error;
  const Mask m(in, in.number(1, 60), in.number(1, 60));
  size_t scratch = 0;
  if (!fine(es_components_workspace(m.mask.width, &scratch, &error), error)) scratch = 4096;
  MUST(scratch <= 2000000);
  const Buffer workspace(in.enough(scratch));
  const int32_t capacity = in.number(0, 20), value = in.number(0, 2);
  const bool room = capacity > 0 && capacity < 999;
  const Buffer boxes(room ? static_cast<size_t>(capacity) * sizeof(es_box) : 0);
  const int32_t connectivity = in.raw<uint8_t>() & 1 ? 8 : in.number(4, 8);
  const int64_t least = in.number(0, 20);
  int32_t count = -1;
  if (!fine(es_components(&m.mask, value, connectivity, least, room ? boxes.as<es_box>() : nullptr,
                          capacity, &count, workspace.data.get(), workspace.bytes, &error),
            error))
    return;
  for (int32_t i = 0; i < count && i < capacity; ++i) {
    const es_box &b = boxes.as<es_box>()[i];
    MUST(b.left >= 0 && b.top >= 0 && b.width > 0 && b.height > 0);
    MUST(b.left + b.width <= m.mask.width && b.top + b.height <= m.mask.height);
    MUST(b.area >= least && b.area <= int64_t{b.width} * b.height);
    MUST(i == 0 || boxes.as<es_box>()[i - 1].area >= b.area);
  }
}

void find_crops(Input &in) {
  es_error error;
  const int32_t width = in.number(1, 60), height = in.number(1, 60);
  const Mask skin(in, width, height), lesion(in, in.raw<uint8_t>() >= 250 ? 7 : width, height);
  const es_crop_rule rule = {in.number(1, 30), in.number(1, 20), in.number(0, 2), in.number(0, 2),
                             in.real(1.0),     in.real(1.0),     in.real(1.0)};
  size_t scratch = 0;
  if (!fine(es_find_crops_workspace(width, &scratch, &error), error)) scratch = 4096;
  MUST(scratch <= 2000000);
  const Buffer workspace(in.enough(scratch));
  const int32_t capacity = in.number(0, 20);
  const bool room = capacity > 0 && capacity < 999;
  const Buffer boxes(room ? static_cast<size_t>(capacity) * sizeof(es_box) : 0);
  int32_t count = -1;
  if (!fine(es_find_crops(&skin.mask, &lesion.mask, &rule, room ? boxes.as<es_box>() : nullptr,
                          capacity, &count, workspace.data.get(), workspace.bytes, &error),
            error))
    return;
  MUST(count >= 0 && count <= capacity);
  for (int32_t i = 0; i < count; ++i) {
    const es_box &b = boxes.as<es_box>()[i];
    MUST(b.left >= 0 && b.top >= 0 && b.width == rule.side && b.height == rule.side);
    MUST(b.left + b.width <= width && b.top + b.height <= height);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Input in(data, size);
  const uint8_t function = in.raw<uint8_t>();
  if (function % 3 == 0) segment(in);
  if (function % 3 == 1) components(in);
  if (function % 3 == 2) find_crops(in);
  return 0;
}
