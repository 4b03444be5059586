// Plain C++: the definition of the bytes, and the path of CPUs without AVX2 or NEON.
#include "kernels.h"

namespace es {

namespace {

void horizontal(const Taps &taps, int32_t begin, int32_t end, int step, const uint8_t *const *in,
                uint8_t *const *out, int rows) {
  for (int row = 0; row < rows; ++row)
    for (int32_t x = begin; x < end; ++x) {
      const Window window = taps.windows[x];
      const int32_t *exact = taps.exact + static_cast<size_t>(x) * taps.exact_stride;
      const uint8_t *pixels = in[row] + static_cast<size_t>(window.first) * step;
      if (step == 1)
        exact_pixel<1>(exact, window.count, pixels, 1, out[row] + x);
      else
        exact_pixel<3>(exact, window.count, pixels, step, out[row] + 3 * static_cast<size_t>(x));
    }
}

void vertical(const uint8_t *const *rows, const int32_t *coefficients, int32_t count, uint8_t *out,
              int32_t bytes) {
  for (int32_t x = 0; x < bytes; ++x) {
    uint32_t sum = kHalf;
    for (int32_t i = 0; i < count; ++i) sum += static_cast<uint32_t>(coefficients[i]) * rows[i][x];
    out[x] = clip(static_cast<int32_t>(sum) >> kPrecision);
  }
}

void yuv_row(const Chroma &k, const uint8_t *y, const uint8_t *u, const uint8_t *v, int chroma_step,
             int32_t count, uint8_t *rgb) {
  for (int32_t x = 0; x < count; ++x, rgb += 3) {
    const int32_t chroma = (x / 2) * chroma_step;
    const int32_t luma = k.y * (y[x] - k.black) + 4096, a = u[chroma] - 128, b = v[chroma] - 128;
    rgb[0] = clip((luma + k.rv * b) >> 13);
    rgb[1] = clip((luma - k.gu * a - k.gv * b) >> 13);
    rgb[2] = clip((luma + k.bu * a) >> 13);
  }
}

}  // namespace

const Kernels kScalar = {"scalar", horizontal, vertical, yuv_row};

}  // namespace es
