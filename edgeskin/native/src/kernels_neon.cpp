// NEON, for aarch64 and for armv7 builds that have it.
#include "kernels.h"

#if defined(__ARM_NEON)

#include <arm_neon.h>

#include <cstring>

namespace es {

namespace {

struct Three {
  uint8x8_t channel[3];
};

template <int kStep>
inline Three load_pixels(const uint8_t *at) {
  if constexpr (kStep == 3) {
    const uint8x8x3_t p = vld3_u8(at);
    return {{p.val[0], p.val[1], p.val[2]}};
  } else {
    const uint8x8x4_t p = vld4_u8(at);
    return {{p.val[0], p.val[1], p.val[2]}};
  }
}

inline int32x4_t multiply(int32x4_t sum, uint8x8_t bytes, int16x8_t c) {
  const int16x8_t words = vreinterpretq_s16_u16(vmovl_u8(bytes));
  sum = vmlal_s16(sum, vget_low_s16(words), vget_low_s16(c));
  return vmlal_s16(sum, vget_high_s16(words), vget_high_s16(c));
}

inline int32_t total(int32x4_t v) {
  const int32x2_t pairs = vadd_s32(vget_low_s32(v), vget_high_s32(v));
  return vget_lane_s32(vpadd_s32(pairs, pairs), 0);
}

// The value if it is certain from the upper bits alone, else -1.
inline int32_t certain(const Taps &taps, int32_t x, int32_t sum) {
  const int32_t base = static_cast<int32_t>(static_cast<uint32_t>(sum) << taps.shift);
  const int32_t least = (base + taps.below[x]) >> kPrecision;
  const int32_t most = (base + taps.above[x]) >> kPrecision;
  return least == most ? clip(least) : -1;
}

template <int kStep>
void colour(const Taps &taps, int32_t begin, int32_t end, const uint8_t *in, uint8_t *out) {
  for (int32_t x = begin; x < end; ++x) {
    const Window window = taps.windows[x];
    const uint8_t *at = in + static_cast<size_t>(window.first) * kStep;
    const int16_t *upper = taps.upper + static_cast<size_t>(x) * taps.upper_stride;
    int32x4_t sums[3] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
    for (int32_t i = 0; i < window.count; i += 8) {
      const int16x8_t c = vld1q_s16(upper + i);
      const Three pixels = load_pixels<kStep>(at + i * kStep);
      for (int k = 0; k < 3; ++k) sums[k] = multiply(sums[k], pixels.channel[k], c);
    }
    int32_t values[3];
    for (int k = 0; k < 3; ++k) values[k] = certain(taps, x, total(sums[k]));
    uint8_t *to = out + 3 * static_cast<size_t>(x);
    if ((values[0] | values[1] | values[2]) < 0)
      exact_pixel<3>(taps.exact + static_cast<size_t>(x) * taps.exact_stride, window.count, at,
                     kStep, to);
    else
      for (int k = 0; k < 3; ++k) to[k] = static_cast<uint8_t>(values[k]);
  }
}

void grey(const Taps &taps, int32_t begin, int32_t end, const uint8_t *in, uint8_t *out) {
  for (int32_t x = begin; x < end; ++x) {
    const Window window = taps.windows[x];
    const int16_t *upper = taps.upper + static_cast<size_t>(x) * taps.upper_stride;
    int32x4_t sum = vdupq_n_s32(0);
    for (int32_t i = 0; i < window.count; i += 8)
      sum = multiply(sum, vld1_u8(in + window.first + i), vld1q_s16(upper + i));
    const int32_t value = certain(taps, x, total(sum));
    if (value < 0)
      exact_pixel<1>(taps.exact + static_cast<size_t>(x) * taps.exact_stride, window.count,
                     in + window.first, 1, out + x);
    else
      out[x] = static_cast<uint8_t>(value);
  }
}

void horizontal(const Taps &taps, int32_t begin, int32_t end, int step, const uint8_t *const *in,
                uint8_t *const *out, int rows) {
  for (int row = 0; row < rows; ++row) {
    if (step == 1) grey(taps, begin, end, in[row], out[row]);
    if (step == 3) colour<3>(taps, begin, end, in[row], out[row]);
    if (step == 4) colour<4>(taps, begin, end, in[row], out[row]);
  }
}

// 32-bit multiplies: exact without further ado.
void vertical(const uint8_t *const *rows, const int32_t *coefficients, int32_t count, uint8_t *out,
              int32_t bytes) {
  int32_t x = 0;
  for (; x + 16 <= bytes; x += 16) {
    int32x4_t sums[4];
    for (int32x4_t &sum : sums) sum = vdupq_n_s32(kHalf);
    for (int32_t r = 0; r < count; ++r) {
      const uint8x16_t pixels = vld1q_u8(rows[r] + x);
      const int32x4_t c = vdupq_n_s32(coefficients[r]);
      const uint16x8_t low = vmovl_u8(vget_low_u8(pixels)), high = vmovl_u8(vget_high_u8(pixels));
      const uint16x4_t parts[4] = {vget_low_u16(low), vget_high_u16(low), vget_low_u16(high),
                                   vget_high_u16(high)};
      for (int i = 0; i < 4; ++i)
        sums[i] = vmlaq_s32(sums[i], vreinterpretq_s32_u32(vmovl_u16(parts[i])), c);
    }
    uint8x8_t packed[2];
    for (int i = 0; i < 2; ++i) {
      const int16x4_t a = vqmovn_s32(vshrq_n_s32(sums[2 * i], kPrecision));
      const int16x4_t b = vqmovn_s32(vshrq_n_s32(sums[2 * i + 1], kPrecision));
      packed[i] = vqmovun_s16(vcombine_s16(a, b));
    }
    vst1q_u8(out + x, vcombine_u8(packed[0], packed[1]));
  }
  for (; x < bytes; ++x) {
    uint32_t sum = kHalf;
    for (int32_t r = 0; r < count; ++r) sum += static_cast<uint32_t>(coefficients[r]) * rows[r][x];
    out[x] = clip(static_cast<int32_t>(sum) >> kPrecision);
  }
}

// 8 values: (ky y + ka a + kb b + 4096) >> 13, clipped to a byte.
inline uint8x8_t channel(int16x8_t y, int16x8_t a, int16x8_t b, int16_t ky, int16_t ka,
                         int16_t kb) {
  int16x4_t halves[2];
  const int16x4_t ys[2] = {vget_low_s16(y), vget_high_s16(y)};
  const int16x4_t as[2] = {vget_low_s16(a), vget_high_s16(a)};
  const int16x4_t bs[2] = {vget_low_s16(b), vget_high_s16(b)};
  for (int i = 0; i < 2; ++i) {
    int32x4_t sum = vmlal_n_s16(vdupq_n_s32(4096), ys[i], ky);
    sum = vmlal_n_s16(vmlal_n_s16(sum, as[i], ka), bs[i], kb);
    halves[i] = vqmovn_s32(vshrq_n_s32(sum, 13));
  }
  return vqmovun_s16(vcombine_s16(halves[0], halves[1]));
}

inline int16x8_t centred(uint8x8_t bytes, int16_t middle) {
  return vsubq_s16(vreinterpretq_s16_u16(vmovl_u8(bytes)), vdupq_n_s16(middle));
}

void yuv_row(const Chroma &k, const uint8_t *y, const uint8_t *u, const uint8_t *v, int chroma_step,
             int32_t count, uint8_t *rgb) {
  const uint8_t *both = u < v ? u : v;
  int32_t x = 0;
  for (; x + 16 <= count; x += 16) {
    uint8x8_t us, vs;
    if (chroma_step == 2) {
      const uint8x8x2_t pairs = vld2_u8(both + x);
      us = both == u ? pairs.val[0] : pairs.val[1];
      vs = both == u ? pairs.val[1] : pairs.val[0];
    } else {
      us = vld1_u8(u + x / 2);
      vs = vld1_u8(v + x / 2);
    }
    const uint8x8x2_t uu = vzip_u8(us, us), vv = vzip_u8(vs, vs);
    for (int i = 0; i < 2; ++i) {
      const int16x8_t luma = centred(vld1_u8(y + x + 8 * i), k.black);
      const int16x8_t a = centred(uu.val[i], 128), b = centred(vv.val[i], 128);
      uint8x8x3_t pixels;
      pixels.val[0] = channel(luma, a, b, k.y, 0, k.rv);
      pixels.val[1] = channel(luma, a, b, k.y, static_cast<int16_t>(-k.gu),
                              static_cast<int16_t>(-k.gv));
      pixels.val[2] = channel(luma, a, b, k.y, k.bu, 0);
      vst3_u8(rgb + 3 * (static_cast<size_t>(x) + 8 * static_cast<size_t>(i)), pixels);
    }
  }
  if (x < count)
    kScalar.yuv_row(k, y + x, u + x / 2 * chroma_step, v + x / 2 * chroma_step, chroma_step,
                    count - x, rgb + 3 * static_cast<size_t>(x));
}

const Kernels kNeon = {"neon", horizontal, vertical, yuv_row};

}  // namespace

const Kernels *neon_kernels() { return &kNeon; }

}  // namespace es

#else

namespace es {
const Kernels *neon_kernels() { return nullptr; }
}  // namespace es

#endif
