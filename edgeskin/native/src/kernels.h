// The inner loops, once per instruction set; every set gives the same bytes.
//
// A coefficient has 22 fractional bits, too many for 16-bit multiplies. So the horizontal kernels
// sum with the upper bits of the coefficients alone, and know from the bits left out how far off
// that sum can be at most; only where the rounded result could differ (about one pixel in fifty)
// they sum again with all bits. The vertical kernels split each coefficient in two digits.
#pragma once
#include <cstddef>
#include <cstdint>

#include "axis.h"

namespace es {

constexpr int kBatch = 4;      // rows that a horizontal kernel takes at once
constexpr int kTapGroup = 16;  // short coefficients of a window are padded with zeros to this
constexpr int kOverread = 64;  // bytes past the end of a window that a kernel may read

// The windows of one strip of output columns.
struct Taps {
  int32_t count;          // output columns
  int32_t exact_stride;   // coefficients from one window to the next
  int32_t upper_stride;   // the same for `upper`, a multiple of kTapGroup
  int32_t longest;        // of all windows
  int32_t shift;          // exact = upper * 2^shift + rest
  const Window *windows;  // first: pixels from the start of the row that the kernel gets
  const int32_t *exact;
  const int16_t *upper;
  const int32_t *below, *above;  // least and most that the rests can add, rounding half included
};

struct Chroma {  // the integers of edgeskin.h, in 1/8192
  int16_t y, rv, gu, gv, bu, black;
};

struct Kernels {
  const char *name;
  // `rows` rows of pixels of 1, 3 or 4 bytes to `taps.count` pixels of 1 or 3 bytes each. Columns
  // from `begin` up to `end` only.
  void (*horizontal)(const Taps &taps, int32_t begin, int32_t end, int step,
                     const uint8_t *const *in, uint8_t *const *out, int rows);
  // One row of `bytes` bytes from `count` rows.
  void (*vertical)(const uint8_t *const *rows, const int32_t *coefficients, int32_t count,
                   uint8_t *out, int32_t bytes);
  // `count` pixels of a 4:2:0 row to RGB; u and v step by chroma_step, the first pixel is even.
  void (*yuv_row)(const Chroma &chroma, const uint8_t *y, const uint8_t *u, const uint8_t *v,
                  int chroma_step, int32_t count, uint8_t *rgb);
};

extern const Kernels kScalar;
const Kernels *avx2_kernels();  // null where the CPU, or the compiler, has none
const Kernels *neon_kernels();
const Kernels &kernels();  // those in use

inline uint8_t clip(int32_t value) {
  return static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
}

// One output pixel with all bits; sums wrap, as two's complement does.
template <int kChannels>
inline void exact_pixel(const int32_t *coefficients, int32_t count, const uint8_t *in, int step,
                        uint8_t *out) {
  uint32_t sums[kChannels];
  for (uint32_t &sum : sums) sum = kHalf;
  for (int32_t i = 0; i < count; ++i, in += step)
    for (int c = 0; c < kChannels; ++c) sums[c] += static_cast<uint32_t>(coefficients[i]) * in[c];
  for (int c = 0; c < kChannels; ++c) out[c] = clip(static_cast<int32_t>(sums[c]) >> kPrecision);
}

}  // namespace es
