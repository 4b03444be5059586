// The few real functions the library needs, of our own: a C library's may differ in the last bit.
// sine and cosine give the nearest double nearly always, exp errs by about one unit; no fused
// multiply-add anywhere.
#pragma once
#include <cstdint>

#include "exact.h"

namespace es {

constexpr double kPi = 3.14159265358979323846;

double sine(double x);         // 0 <= x <= 3 pi
double cosine(double x);       // 0 <= x <= 3 pi
double exponential(double x);  // 0 below -745, infinity above 709.78, NaN for NaN
double round_half_even(double x);

uint16_t to_half(double x);  // IEEE binary16, nearest, ties to even
float from_half(uint16_t bits);

}  // namespace es
