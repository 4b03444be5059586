#include "output.h"

#include <cstring>

#include "real.h"

namespace es {

namespace {

uint8_t quantized(double real, const es_recipe &r) {
  const double q = round_half_even(real / r.scale) + r.zero_point;
  const double low = r.type == ES_INT8 ? -128 : 0;
  const double clamped = q < low ? low : q > low + 255 ? low + 255 : q;
  return static_cast<uint8_t>(static_cast<int32_t>(clamped));  // two's complement for int8
}

}  // namespace

Output::Output(const es_recipe &recipe, void *tensor, int channels, bool blue_first, int32_t left,
               int32_t top)
    : recipe_(recipe), tensor_(tensor), channels_(channels), left_(left), top_(top) {
  const bool swap = blue_first != (recipe.channels == ES_BGR);
  const int n = channel_count(recipe.channels);
  for (int c = 0; c < n; ++c) {
    from_[c] = channels == 1 ? 0 : swap ? 2 - c : c;
    plain_ = plain_ && from_[c] == c;
    for (int v = 0; v < 256; ++v) {
      const double real = (v / 255.0 - recipe.mean[c]) / recipe.std[c];
      switch (recipe.type) {
        case ES_FLOAT32: tables_.floats[c][v] = static_cast<float>(real); break;
        case ES_FLOAT16: tables_.halves[c][v] = to_half(real); break;
        default:
          tables_.bytes[c][v] = quantized(real, recipe);
          plain_ = plain_ && tables_.bytes[c][v] == v;
      }
    }
  }
  plain_ = plain_ && recipe.type <= ES_INT8 && (recipe.layout == ES_NHWC || n == 1) &&
           channels == n;
}

template <typename T>
void Output::write(int32_t x, int32_t y, int32_t count, const uint8_t *pixels, int step) const {
  const int n = channel_count(recipe_.channels);
  const size_t width = static_cast<size_t>(recipe_.width), plane = width * recipe_.height;
  const size_t at = static_cast<size_t>(y) * width + static_cast<size_t>(x);
  for (int c = 0; c < n; ++c) {
    const T *table = reinterpret_cast<const T *>(&tables_) + 256 * c;
    const uint8_t *in = pixels + from_[c];
    const bool planar = recipe_.layout == ES_NCHW;
    T *out = static_cast<T *>(tensor_) + (planar ? c * plane + at : at * n + c);
    const int stride = planar ? 1 : n;
    for (int32_t i = 0; i < count; ++i, out += stride, in += step) *out = table[*in];
  }
}

void Output::put(int32_t x, int32_t y, int32_t count, const uint8_t *pixels, int step) const {
  switch (recipe_.type) {
    case ES_FLOAT32: return write<float>(x, y, count, pixels, step);
    case ES_FLOAT16: return write<uint16_t>(x, y, count, pixels, step);
    default: return write<uint8_t>(x, y, count, pixels, step);
  }
}

void Output::take(int32_t x, int32_t y, int32_t count, const uint8_t *pixels) const {
  if (!plain_) return put(left_ + x, top_ + y, count, pixels, channels_);
  const size_t at = static_cast<size_t>(top_ + y) * recipe_.width + static_cast<size_t>(left_ + x);
  std::memcpy(static_cast<uint8_t *>(tensor_) + at * channels_, pixels,
              static_cast<size_t>(count) * channels_);
}

void Output::pad(Target covered) const {
  const uint8_t value = static_cast<uint8_t>(recipe_.pad_value), pixel[3] = {value, value, value};
  const int32_t right = covered.left + covered.width, bottom = covered.top + covered.height;
  for (int32_t y = 0; y < recipe_.height; ++y) {
    const bool inside = y >= covered.top && y < bottom;
    put(0, y, inside ? covered.left : recipe_.width, pixel, 0);
    if (inside) put(right, y, recipe_.width - right, pixel, 0);
  }
}

}  // namespace es
