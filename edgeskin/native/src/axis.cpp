#include "axis.h"

#include "../edgeskin.h"
#include "real.h"

namespace es {

namespace {

double support_of(int32_t filter) {
  switch (filter) {
    case ES_BOX: return 0.5;
    case ES_BICUBIC: return 2.0;
    case ES_LANCZOS: return 3.0;
    default: return 1.0;
  }
}

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x = x * kPi;
  return sine(x) / x;
}

double bicubic(double x) {  // a = -0.5 (Keys, 1981)
  if (x < 1.0) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * -0.5;
  return 0.0;
}

double hamming(double x) {
  if (x == 0.0) return 1.0;
  if (x >= 1.0) return 0.0;
  x = x * kPi;
  // Pillow's constants are floats.
  return sine(x) / x * (static_cast<double>(0.54f) + static_cast<double>(0.46f) * cosine(x));
}

}  // namespace

Axis::Axis(int32_t filter, float from, float to, int32_t in_size, int32_t out_size)
    : filter_(filter), in_size_(in_size), from_(static_cast<double>(from)) {
  const float length = to - from;
  scale_ = static_cast<double>(length) / out_size;
  filter_scale_ = scale_ < 1.0 ? 1.0 : scale_;
  support_ = support_of(filter) * filter_scale_;
  const int32_t whole = static_cast<int32_t>(support_);
  const int64_t count = 2 * (static_cast<int64_t>(whole) + (support_ > whole)) + 1;
  max_count_ = count < in_size ? static_cast<int32_t>(count) : in_size;
}

double Axis::weight(double x) const {
  const double size = x < 0.0 ? -x : x;
  switch (filter_) {
    case ES_BOX: return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
    case ES_BILINEAR: return size < 1.0 ? 1.0 - size : 0.0;
    case ES_HAMMING: return hamming(size);
    case ES_BICUBIC: return bicubic(size);
    default: return -3.0 <= x && x < 3.0 ? sinc(size) * sinc(size / 3) : 0.0;
  }
}

Window Axis::window(int32_t out) const {
  const double middle = center(out);
  int32_t first = static_cast<int32_t>(middle - support_ + 0.5);
  int32_t last = static_cast<int32_t>(middle + support_ + 0.5);
  if (first < 0) first = 0;
  if (last > in_size_) last = in_size_;
  return {first, last - first};
}

double Axis::total(int32_t out, Window window) const {
  double sum = 0.0;
  for (int32_t i = 0; i < window.count; ++i) sum += weight_at(out, i + window.first);
  return sum;
}

int32_t Axis::coefficient(int32_t out, Window window, double total, int32_t i) const {
  double w = weight_at(out, i + window.first);
  if (total != 0.0) w /= total;
  w *= 1 << kPrecision;
  return static_cast<int32_t>(w < 0 ? w - 0.5 : w + 0.5);
}

void Axis::coefficients(int32_t out, Window window, int32_t *result) const {
  const double sum = total(out, window);
  for (int32_t i = 0; i < window.count; ++i) result[i] = coefficient(out, window, sum, i);
}

int32_t Axis::most_overlapping() const {
  return static_cast<int32_t>(2.0 * support_of(filter_)) + 1;  // one for rounding
}

double Axis::nearest_start(int32_t out) const {
  double position = from_ + scale_ * 0.5;
  for (int32_t i = 0; i < out; ++i) position += scale_;  // rounding included, as Pillow steps
  return position;
}

}  // namespace es
