// AVX2. Compiled into every x86-64 build by function attributes, run where the CPU has it.
#include "kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>
#include <immintrin.h>

#include <cstring>

#define AVX2 __attribute__((target("avx2")))

namespace es {

namespace {

AVX2 inline __m256i two_rows(const uint8_t *a, const uint8_t *b) {
  const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i *>(a));
  const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i *>(b));
  return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

AVX2 inline __m256i coefficient_pair(const int16_t *c) {
  int32_t pair;
  std::memcpy(&pair, c, sizeof pair);
  return _mm256_set1_epi32(pair);
}

// Bytes of two pixels, widened and paired by channel: r0 r1 g0 g1 b0 b1 - -.
AVX2 inline __m256i pairing(int first, int step) {
  const char a = static_cast<char>(first * step), b = static_cast<char>(a + step);
  const __m128i lane = _mm_setr_epi8(a, -1, b, -1, static_cast<char>(a + 1), -1,
                                     static_cast<char>(b + 1), -1, static_cast<char>(a + 2), -1,
                                     static_cast<char>(b + 2), -1, -1, -1, -1, -1);
  return _mm256_broadcastsi128_si256(lane);
}

// Sums of upper bits to pixel values, and whether all of them are certain.
AVX2 inline __m256i rounded(__m256i sums, __m128i shift, __m256i below, __m256i above,
                            __m256i *same) {
  const __m256i base = _mm256_sll_epi32(sums, shift);
  const __m256i least = _mm256_srai_epi32(_mm256_add_epi32(base, below), kPrecision);
  const __m256i most = _mm256_srai_epi32(_mm256_add_epi32(base, above), kPrecision);
  *same = _mm256_cmpeq_epi32(least, most);
  return least;
}

// Pixels of `kStep` bytes with all bits, where the quick sum left a doubt.
template <int kStep>
[[gnu::noinline]] AVX2 void doubted(const Taps &taps, int32_t x, const uint8_t *at, uint8_t *out) {
  const int32_t *exact = taps.exact + static_cast<size_t>(x) * taps.exact_stride;
  __m128i sum = _mm_set1_epi32(kHalf);
  for (int32_t i = 0; i < taps.windows[x].count; ++i, at += kStep) {
    int32_t pixel;
    std::memcpy(&pixel, at, sizeof pixel);
    const __m128i values = _mm_cvtepu8_epi32(_mm_cvtsi32_si128(pixel));
    sum = _mm_add_epi32(sum, _mm_mullo_epi32(values, _mm_set1_epi32(exact[i])));
  }
  const __m128i words = _mm_packs_epi32(_mm_srai_epi32(sum, kPrecision), sum);
  const int32_t pixel = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
  std::memcpy(out, &pixel, 3);
}

inline void store_pixel(uint8_t *out, int32_t pixel, bool may_spill) {
  if (may_spill)
    std::memcpy(out, &pixel, 4);
  else
    std::memcpy(out, &pixel, 3);
}

// kPairs pairs of rows, pixels of kStep bytes.
template <int kPairs, int kStep>
AVX2 void colour(const Taps &taps, int32_t begin, int32_t end, const uint8_t *const *in,
                 uint8_t *const *out, int rows) {
  const __m256i first = pairing(0, kStep), second = pairing(2, kStep);
  const __m128i shift = _mm_cvtsi32_si128(taps.shift);
  const int16_t *upper = taps.upper + static_cast<size_t>(begin) * taps.upper_stride;
  const ptrdiff_t ahead = (in[1] - in[0]) * 4;
  for (int32_t x = begin; x < end; ++x, upper += taps.upper_stride) {
    const Window window = taps.windows[x];
    const size_t offset = static_cast<size_t>(window.first) * kStep;
    // Windows differ by a pixel or two: the longest count for all keeps the branch predictable.
    const int32_t count = window.count + 3 < taps.longest ? window.count : taps.longest;
    __m256i sums[kPairs], more[kPairs];
    for (int p = 0; p < kPairs; ++p) sums[p] = more[p] = _mm256_setzero_si256();
    const uint8_t *a0 = in[0] + offset, *a1 = in[1] + offset;
    const uint8_t *b0 = in[2] + offset, *b1 = in[3] + offset;
    if constexpr (kPairs == 2) {  // the same columns of the next rows
      _mm_prefetch(reinterpret_cast<const char *>(a0 + ahead), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char *>(a1 + ahead), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char *>(b0 + ahead), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char *>(b1 + ahead), _MM_HINT_T0);
    }
    for (int32_t i = 0; i < count; i += 4) {
      const __m256i c01 = coefficient_pair(upper + i), c23 = coefficient_pair(upper + i + 2);
      const __m256i a = two_rows(a0 + i * kStep, a1 + i * kStep);
      sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(_mm256_shuffle_epi8(a, first), c01));
      more[0] = _mm256_add_epi32(more[0], _mm256_madd_epi16(_mm256_shuffle_epi8(a, second), c23));
      if constexpr (kPairs == 2) {
        const __m256i b = two_rows(b0 + i * kStep, b1 + i * kStep);
        sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(_mm256_shuffle_epi8(b, first), c01));
        more[1] = _mm256_add_epi32(more[1], _mm256_madd_epi16(_mm256_shuffle_epi8(b, second), c23));
      }
    }
    const __m256i below = _mm256_set1_epi32(taps.below[x]);
    const __m256i above = _mm256_set1_epi32(taps.above[x]);
    __m256i same[kPairs], values[kPairs];
    for (int p = 0; p < kPairs; ++p)
      values[p] = rounded(_mm256_add_epi32(sums[p], more[p]), shift, below, above, &same[p]);
    // Rows 0 and 2 in the lower lane, 1 and 3 in the upper one; four bytes a row.
    const __m256i words = _mm256_packs_epi32(values[0], values[kPairs - 1]);
    const __m256i bytes = _mm256_packus_epi16(words, words);
    const __m128i even = _mm256_castsi256_si128(bytes), odd = _mm256_extracti128_si256(bytes, 1);
    const size_t at = 3 * static_cast<size_t>(x);
    const bool spill = x + 1 < end;
    store_pixel(out[0] + at, _mm_cvtsi128_si32(even), spill);
    if (rows > 1) store_pixel(out[1] + at, _mm_cvtsi128_si32(odd), spill);
    if (rows > 2) store_pixel(out[2] + at, _mm_extract_epi32(even, 1), spill);
    if (rows > 3) store_pixel(out[3] + at, _mm_extract_epi32(odd, 1), spill);
    __m256i all = same[0];
    if constexpr (kPairs == 2) all = _mm256_and_si256(all, same[1]);
    if (__builtin_expect(_mm256_movemask_epi8(all) == -1, 1)) continue;
    for (int i = 0; i < rows; ++i) {
      const int mask = _mm256_movemask_ps(_mm256_castsi256_ps(same[i / 2 < kPairs ? i / 2 : 0]));
      if ((mask >> (4 * (i & 1)) & 15) != 15) doubted<kStep>(taps, x, in[i] + offset, out[i] + at);
    }
  }
}

AVX2 void grey(const Taps &taps, int32_t begin, int32_t end, const uint8_t *const *in,
               uint8_t *const *out, int rows) {
  const __m128i shift = _mm_cvtsi32_si128(taps.shift);
  for (int32_t x = begin; x < end; ++x) {
    const Window window = taps.windows[x];
    const int16_t *upper = taps.upper + static_cast<size_t>(x) * taps.upper_stride;
    __m256i sums[kBatch];
    for (__m256i &sum : sums) sum = _mm256_setzero_si256();
    for (int32_t i = 0; i < window.count; i += 16) {
      const __m256i c = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(upper + i));
      for (int row = 0; row < kBatch; ++row) {
        const uint8_t *at = in[row] + window.first + i;
        const __m128i pixels = _mm_loadu_si128(reinterpret_cast<const __m128i *>(at));
        sums[row] = _mm256_add_epi32(sums[row], _mm256_madd_epi16(_mm256_cvtepu8_epi16(pixels), c));
      }
    }
    const __m256i halves = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]),
                                             _mm256_hadd_epi32(sums[2], sums[3]));
    const __m128i all = _mm_add_epi32(_mm256_castsi256_si128(halves),
                                      _mm256_extracti128_si256(halves, 1));
    __m256i same;
    const __m256i values = rounded(_mm256_castsi128_si256(all), shift,
                                   _mm256_set1_epi32(taps.below[x]),
                                   _mm256_set1_epi32(taps.above[x]), &same);
    alignas(16) int32_t value[4], certain[4];
    _mm_store_si128(reinterpret_cast<__m128i *>(value), _mm256_castsi256_si128(values));
    _mm_store_si128(reinterpret_cast<__m128i *>(certain), _mm256_castsi256_si128(same));
    for (int row = 0; row < rows; ++row)
      if (certain[row])
        out[row][x] = clip(value[row]);
      else
        exact_pixel<1>(taps.exact + static_cast<size_t>(x) * taps.exact_stride, window.count,
                       in[row] + window.first, 1, out[row] + x);
  }
}

AVX2 void horizontal(const Taps &taps, int32_t begin, int32_t end, int step,
                     const uint8_t *const *in, uint8_t *const *out, int rows) {
  const uint8_t *full[kBatch];  // missing rows repeat the last one; their results are dropped
  for (int i = 0; i < kBatch; ++i) full[i] = in[i < rows ? i : rows - 1];
  if (step == 1) return grey(taps, begin, end, full, out, rows);
  if (step == 3)
    rows > 2 ? colour<2, 3>(taps, begin, end, full, out, rows)
             : colour<1, 3>(taps, begin, end, full, out, rows);
  else
    rows > 2 ? colour<2, 4>(taps, begin, end, full, out, rows)
             : colour<1, 4>(taps, begin, end, full, out, rows);
}

// Two digits of a coefficient: c = upper * 2^11 + lower, |upper| and |lower| below 2^15.
constexpr int kDigit = 11;

AVX2 inline __m256i digit_pair(int32_t a, int32_t b) {
  return _mm256_set1_epi32(
      static_cast<int32_t>(static_cast<uint32_t>(a & 0xffff) | static_cast<uint32_t>(b) << 16));
}

AVX2 void vertical(const uint8_t *const *rows, const int32_t *coefficients, int32_t count,
                   uint8_t *out, int32_t bytes) {
  const __m256i zero = _mm256_setzero_si256(), half = _mm256_set1_epi32(kHalf);
  int32_t x = 0;
  for (; x + 32 <= bytes; x += 32) {
    __m256i upper[4], lower[4];
    for (int i = 0; i < 4; ++i) upper[i] = lower[i] = zero;
    for (int32_t r = 0; r < count; r += 2) {
      const bool both = r + 1 < count;
      const int32_t c0 = coefficients[r], c1 = both ? coefficients[r + 1] : 0;
      const int32_t u0 = (c0 + (1 << (kDigit - 1))) >> kDigit;
      const int32_t u1 = (c1 + (1 << (kDigit - 1))) >> kDigit;
      const __m256i cu = digit_pair(u0, u1);
      const __m256i cl = digit_pair(c0 - u0 * (1 << kDigit), c1 - u1 * (1 << kDigit));
      const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(rows[r] + x));
      const __m256i b = both
                            ? _mm256_loadu_si256(reinterpret_cast<const __m256i *>(rows[r + 1] + x))
                            : zero;
      const __m256i low = _mm256_unpacklo_epi8(a, b), high = _mm256_unpackhi_epi8(a, b);
      const __m256i pairs[4] = {_mm256_unpacklo_epi8(low, zero), _mm256_unpackhi_epi8(low, zero),
                                _mm256_unpacklo_epi8(high, zero), _mm256_unpackhi_epi8(high, zero)};
      for (int i = 0; i < 4; ++i) {
        upper[i] = _mm256_add_epi32(upper[i], _mm256_madd_epi16(pairs[i], cu));
        lower[i] = _mm256_add_epi32(lower[i], _mm256_madd_epi16(pairs[i], cl));
      }
    }
    __m256i values[4];
    for (int i = 0; i < 4; ++i) {
      const __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(upper[i], kDigit), lower[i]);
      values[i] = _mm256_srai_epi32(_mm256_add_epi32(sum, half), kPrecision);
    }
    const __m256i packed = _mm256_packus_epi16(_mm256_packs_epi32(values[0], values[1]),
                                               _mm256_packs_epi32(values[2], values[3]));
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(out + x), packed);
  }
  for (; x < bytes; ++x) {
    uint32_t sum = kHalf;
    for (int32_t r = 0; r < count; ++r) sum += static_cast<uint32_t>(coefficients[r]) * rows[r][x];
    out[x] = clip(static_cast<int32_t>(sum) >> kPrecision);
  }
}

// 16 words of one channel: (y, c) pairs times (ky, kc), plus more, over 2^13.
AVX2 inline __m128i channel(__m256i y, __m256i c, int32_t ky, int32_t kc, __m256i more_low,
                            __m256i more_high) {
  const __m256i k = digit_pair(ky, kc);
  const __m256i low = _mm256_madd_epi16(_mm256_unpacklo_epi16(y, c), k);
  const __m256i high = _mm256_madd_epi16(_mm256_unpackhi_epi16(y, c), k);
  const __m256i words = _mm256_packs_epi32(
      _mm256_srai_epi32(_mm256_add_epi32(low, more_low), 13),
      _mm256_srai_epi32(_mm256_add_epi32(high, more_high), 13));
  return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

// Each chroma value twice: 8 words to 16.
AVX2 inline __m256i doubled(__m128i words) {
  const __m256i low = _mm256_castsi128_si256(_mm_unpacklo_epi16(words, words));
  return _mm256_inserti128_si256(low, _mm_unpackhi_epi16(words, words), 1);
}

AVX2 inline void store_rgb(uint8_t *out, __m128i r, __m128i g, __m128i b) {
  // Byte j of part p is channel (16 p + j) % 3 of pixel (16 p + j) / 3.
  alignas(16) static constexpr int8_t kPlaces[3][3][16] = {
      {{0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5},
       {-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1},
       {-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1}},
      {{-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1},
       {5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10},
       {-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1}},
      {{-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1},
       {-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1},
       {10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15}}};
  for (int part = 0; part < 3; ++part) {
    const __m128i *places = reinterpret_cast<const __m128i *>(kPlaces[part]);
    const __m128i bytes = _mm_or_si128(
        _mm_or_si128(_mm_shuffle_epi8(r, places[0]), _mm_shuffle_epi8(g, places[1])),
        _mm_shuffle_epi8(b, places[2]));
    _mm_storeu_si128(reinterpret_cast<__m128i *>(out + 16 * part), bytes);
  }
}

AVX2 void yuv_row(const Chroma &k, const uint8_t *y, const uint8_t *u, const uint8_t *v,
                  int chroma_step, int32_t count, uint8_t *rgb) {
  const __m256i black = _mm256_set1_epi16(k.black), one = _mm256_set1_epi16(1);
  const __m256i half = _mm256_set1_epi32(4096);
  const __m128i middle = _mm_set1_epi16(128), low_byte = _mm_set1_epi16(255);
  const uint8_t *both = u < v ? u : v;
  int32_t x = 0;
  for (; x + 16 <= count; x += 16) {
    const __m256i luma = _mm256_sub_epi16(
        _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(y + x))), black);
    __m128i us, vs;
    if (chroma_step == 2) {
      const __m128i pairs = _mm_loadu_si128(reinterpret_cast<const __m128i *>(both + x));
      const __m128i even = _mm_and_si128(pairs, low_byte), odd = _mm_srli_epi16(pairs, 8);
      us = both == u ? even : odd;
      vs = both == u ? odd : even;
    } else {
      us = _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(u + x / 2)));
      vs = _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(v + x / 2)));
    }
    const __m256i a = doubled(_mm_sub_epi16(us, middle)), b = doubled(_mm_sub_epi16(vs, middle));
    const __m256i kv = digit_pair(-k.gv, 4096);
    const __m256i more_low = _mm256_madd_epi16(_mm256_unpacklo_epi16(b, one), kv);
    const __m256i more_high = _mm256_madd_epi16(_mm256_unpackhi_epi16(b, one), kv);
    store_rgb(rgb + 3 * static_cast<size_t>(x), channel(luma, b, k.y, k.rv, half, half),
              channel(luma, a, k.y, -k.gu, more_low, more_high),
              channel(luma, a, k.y, k.bu, half, half));
  }
  if (x < count)
    kScalar.yuv_row(k, y + x, u + x / 2 * chroma_step, v + x / 2 * chroma_step, chroma_step,
                    count - x, rgb + 3 * static_cast<size_t>(x));
}

const Kernels kAvx2 = {"avx2", horizontal, vertical, yuv_row};

// The CPU has AVX2 and the operating system saves its registers.
bool available() {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return false;
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  return (b & bit_AVX2) != 0;
}

}  // namespace

const Kernels *avx2_kernels() { return available() ? &kAvx2 : nullptr; }

}  // namespace es

#else

namespace es {
const Kernels *avx2_kernels() { return nullptr; }
}  // namespace es

#endif
