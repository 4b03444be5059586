#include "real.h"

#include <cstring>

namespace es {

namespace {

// high + low holds a value to about 100 bits (Dekker, 1971).
struct Pair {
  double high, low;
};

Pair sum(double a, double b) {
  const double total = a + b, part = total - a;
  return {total, (a - (total - part)) + (b - part)};
}

Pair product(double a, double b) {
  constexpr double kSplit = 134217729.0;  // 2^27 + 1
  const double ta = kSplit * a, ah = ta - (ta - a), al = a - ah;
  const double tb = kSplit * b, bh = tb - (tb - b), bl = b - bh;
  const double p = a * b;
  return {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

// Taylor series on |r| <= pi / 4; the first term left out is below 2e-21. The largest
// correction is kept as a pair, so that the result is the nearest double nearly always: a C
// library's is, too, and Pillow's weights come from one.
double sine_near_zero(Pair r) {
  const Pair square = product(r.high, r.high);
  const double s = square.high;
  double rest = 0.0;  // r^5/5! - r^7/7! ... = r s^2 / 120 (1 - s/42 (1 - s/72 ...))
  for (int n = 19; n >= 7; n -= 2) rest = (1.0 - rest) * s / (n * (n - 1));
  rest = r.high * s * s / 120.0 * (1.0 - rest);
  const Pair cube = product(r.high, s);
  const double third = cube.high / 6.0;
  const Pair back = product(third, 6.0);
  const double left = ((cube.high - back.high) - back.low + cube.low + r.high * square.low) / 6.0;
  const Pair head = sum(r.high, -third);
  return head.high + (head.low - left + rest + r.low * (1.0 - s / 2.0));
}

double cosine_near_zero(Pair r) {
  const Pair square = product(r.high, r.high);
  const double s = square.high;
  double rest = 0.0;  // s^2/4! - s^3/6! ...
  for (int n = 20; n >= 6; n -= 2) rest = (1.0 - rest) * s / (n * (n - 1));
  rest = s * s / 24.0 * (1.0 - rest);
  const Pair head = sum(1.0, -s / 2.0);
  return head.high + (head.low - square.low / 2.0 + rest - r.low * r.high);
}

// pi / 2 in three parts of 33 bits and the rest: small multiples of the first two are exact.
constexpr double kQuarter1 = 1.57079632673412561417e+00;
constexpr double kQuarter2 = 6.07710050630396597660e-11;
constexpr double kQuarter3 = 2.02226624879595063154e-21;

// sin(x + quarters * pi / 2)
double turned_sine(double x, int quarters) {
  const int n = static_cast<int>(x * (2.0 / kPi) + 0.5);
  const Pair near = sum(x - n * kQuarter1, -n * kQuarter2);
  const Pair r = sum(near.high, near.low - n * kQuarter3);
  const int quadrant = (n + quarters) & 3;
  const double value = quadrant & 1 ? cosine_near_zero(r) : sine_near_zero(r);
  return quadrant & 2 ? -value : value;
}

double power_of_two(int exponent) {  // -1022..1023
  const uint64_t bits = static_cast<uint64_t>(exponent + 1023) << 52;
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace

double sine(double x) { return turned_sine(x, 0); }
double cosine(double x) { return turned_sine(x, 1); }

double exponential(double x) {
  if (x != x) return x;
  if (x > 709.782712893384) return power_of_two(1023) * 2.0;
  if (x < -745.2) return 0.0;
  constexpr double kLn2High = 6.93147180369123816490e-01, kLn2Low = 1.90821492927058770002e-10;
  const double n = round_half_even(x * 1.44269504088896338700);
  const double r = (x - n * kLn2High) - n * kLn2Low;
  double sum = 0.0;  // r + r^2/2! + ...: |r| < 0.35, so term 14 is below 5e-18
  for (int k = 14; k >= 1; --k) sum = r * (1.0 + sum) / k;
  // In two steps, for the exponent may lie outside a normal double's.
  const int whole = static_cast<int>(n), part = whole / 2;
  return (1.0 + sum) * power_of_two(part) * power_of_two(whole - part);
}

double round_half_even(double x) {
  constexpr double kShift = 6755399441055744.0;  // 1.5 * 2^52: no fraction bits are left above it
  if (!(x > -1e15 && x < 1e15)) return x;
  const volatile double shifted = x + kShift;  // volatile: no compiler may fold this away
  return shifted - kShift;
}

uint16_t to_half(double x) {
  const uint16_t sign = x < 0 ? 0x8000 : 0;
  const double size = x < 0 ? -x : x;
  if (x != x) return 0x7e00;
  if (size >= 65520.0) return static_cast<uint16_t>(sign | 0x7c00);
  if (size < power_of_two(-14))  // subnormal: units of 2^-24
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(round_half_even(size * 16777216.0)));
  uint64_t bits;
  std::memcpy(&bits, &size, sizeof bits);
  const int exponent = static_cast<int>(bits >> 52) - 1023;
  // 1024..2048 units of 2^(exponent - 10); a carry runs into the exponent by itself.
  const double units = round_half_even(size * power_of_two(10 - exponent));
  return static_cast<uint16_t>(sign | (((exponent + 14) << 10) + static_cast<int>(units)));
}

float from_half(uint16_t bits) {
  const int exponent = (bits >> 10) & 31, fraction = bits & 1023;
  double value;
  if (exponent == 31)
    value = fraction ? power_of_two(1023) * 2.0 * 0.0 : power_of_two(1023) * 2.0;
  else if (exponent == 0)
    value = fraction * power_of_two(-24);
  else
    value = (1024 + fraction) * power_of_two(exponent - 25);
  return static_cast<float>(bits & 0x8000 ? -value : value);
}

}  // namespace es
