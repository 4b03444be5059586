// One axis of Pillow's resize: which input samples make an output sample, with which weights.
// Formulas as in Pillow's Resample.c (its bytes are the promise); the code is our own.
#pragma once
#include <cstdint>

#include "exact.h"

namespace es {

constexpr int kPrecision = 22;  // fractional bits of a coefficient: 32 - 8 (pixel) - 2 (overshoot)
constexpr int32_t kHalf = 1 << (kPrecision - 1);

struct Window {
  int32_t first, count;
};

class Axis {
 public:
  Axis(int32_t filter, float from, float to, int32_t in_size, int32_t out_size);

  Window window(int32_t out) const;
  // The window's coefficients, rounded to kPrecision bits: all, or the i-th, given their total().
  void coefficients(int32_t out, Window window, int32_t *result) const;
  int32_t coefficient(int32_t out, Window window, double total, int32_t i) const;
  double total(int32_t out, Window window) const;
  // The input sample of ES_NEAREST; `position` starts at nearest_start(out) and steps by scale.
  double nearest_start(int32_t out) const;
  double scale() const { return scale_; }
  int32_t max_count() const { return max_count_; }
  // At most so many windows hold the same input sample, where the axis shrinks.
  int32_t most_overlapping() const;

 private:
  double weight(double x) const;
  double weight_at(int32_t out, int32_t in) const {
    return weight((in - center(out) + 0.5) * (1.0 / filter_scale_));
  }
  double center(int32_t out) const { return from_ + (out + 0.5) * scale_; }

  int32_t filter_;
  int32_t in_size_;
  double from_, scale_, filter_scale_, support_;
  int32_t max_count_;
};

}  // namespace es
