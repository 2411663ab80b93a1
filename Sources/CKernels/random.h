// Random numbers, each a function of its place in the stream only. Every operation is rounded as written, so that every
// instruction set gives the same bits.
#ifndef RTK_RANDOM_H
#define RTK_RANDOM_H

#include "vector.h"

RTK_INLINE uint64_t split_mix(uint64_t word) {
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
  word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
  return word ^ (word >> 31);
}

// ln u for 2^-53 <= u <= 1. u = 2^n m with √½ <= m <= √2; ln m = 2 artanh s with s = (m - 1) / (m + 1), |s| < 0.172, by
// the series of artanh (5e-17).
RTK_INLINE double log_of_uniform(double u) {
#pragma clang fp contract(off)
  int64_t bits;
  __builtin_memcpy(&bits, &u, 8);
  int64_t n = (bits - 0x3fe6a09e667f3bcd) >> 52;
  int64_t mantissa = bits - (int64_t)((uint64_t)n << 52);
  double m;
  __builtin_memcpy(&m, &mantissa, 8);
  double s = (m - 1) / (m + 1), t = s * s;
  double p = 1.0 / 19;
  p = p * t + 1.0 / 17;
  p = p * t + 1.0 / 15;
  p = p * t + 1.0 / 13;
  p = p * t + 1.0 / 11;
  p = p * t + 1.0 / 9;
  p = p * t + 1.0 / 7;
  p = p * t + 1.0 / 5;
  p = p * t + 1.0 / 3;
  return (double)(int32_t)n * 0.6931471805599453 + 2 * (s + s * t * p);
}

// cos 2πv for 0 <= v < 1. v is q quarters of a turn plus a rest of at most an eighth. The series of the rest's sine and
// cosine (1e-16) are summed; q selects one of them and its sign.
RTK_INLINE double cosine_of_turn(double v) {
#pragma clang fp contract(off)
  int32_t q = (int32_t)(v * 4 + 0.5);
  double x = (v - (double)q * 0.25) * 6.283185307179586, t = x * x;
  double c = 1.0 / 20922789888000.0;
  c = c * t - 1.0 / 87178291200.0;
  c = c * t + 1.0 / 479001600.0;
  c = c * t - 1.0 / 3628800.0;
  c = c * t + 1.0 / 40320.0;
  c = c * t - 1.0 / 720.0;
  c = c * t + 1.0 / 24.0;
  c = c * t - 0.5;
  c = c * t + 1;
  double s = -1.0 / 1307674368000.0;
  s = s * t + 1.0 / 6227020800.0;
  s = s * t - 1.0 / 39916800.0;
  s = s * t + 1.0 / 362880.0;
  s = s * t - 1.0 / 5040.0;
  s = s * t + 1.0 / 120.0;
  s = s * t - 1.0 / 6.0;
  s = s * t * x + x;
  double of = (q & 1) ? s : c;
  return ((q + 1) & 2) ? -of : of;
}

static void normal_numbers(float *out, uint64_t state, float deviation, size_t N) {
#pragma clang fp contract(off)
  const uint64_t step = 0x9e3779b97f4a7c15u;
  for (size_t i = 0; i < N; i++) {
    uint64_t first = split_mix(state + (2 * i + 1) * step), second = split_mix(state + (2 * i + 2) * step);
    double u = (double)(int64_t)((first >> 11) + 1) * 0x1p-53, v = (double)(int64_t)(second >> 11) * 0x1p-53;
    out[i] = deviation * (float)(__builtin_sqrt(-2 * log_of_uniform(u)) * cosine_of_turn(v));
  }
}

#endif
