// Vector functions without branches and tables. The coefficients are minimax fits made for this file; a number in
// parentheses is the error of the fit before rounding to float.
#ifndef RTK_TRANSCENDENTAL_H
#define RTK_TRANSCENDENTAL_H

#include "vector.h"

// e^r - 1 - r = r² P(r) for |r| <= ln 2 / 2 (3e-9), with small relative error at 0.
RTK_INLINE vf vf_exp_curve(vf r) {
  vf p = vf_splat(0.0013814597623422742f);
  p = p * r + 0.008368716575205326f;
  p = p * r + 0.04166838899254799f;
  p = p * r + 0.1666652113199234f;
  p = p * r + 0.4999999403953552f;
  return r * r * p;
}

// x = n ln 2 + r with an integer n and |r| <= ln 2 / 2.
typedef struct {
  vf tail;   // e^r - 1
  vf power;  // 2^n for -126 <= n <= 127, 0 for n = -127
} vf_exp_parts;

RTK_INLINE vf_exp_parts vf_exp_split(vf x) {
  const float to_integer = 12582912.0f;  // 1.5 · 2^23: adding it leaves the rounded integer in the low bits
  vf shifted = x * 1.44269504089f + to_integer;
  vf n = shifted - to_integer;
  vf r = x - n * 0.693359375f;  // ln 2 in two parts, so that n times the first is exact
  r = r + n * 2.12194440055e-4f;
  // The shift left drops everything except n.
  return (vf_exp_parts){r + vf_exp_curve(r), (vf)(((vu)shifted << 23) + (127u << 23))};
}

// e^x to about 1 ulp; 0 below -87.7, where results would be subnormal and slow; e^88 above 88; NaN stays NaN.
RTK_INLINE vf vf_exp(vf x) {
  vf_exp_parts e = vf_exp_split(vf_min(vf_splat(88.0f), vf_max(vf_splat(-88.0f), x)));
  return e.power + e.power * e.tail;
}

// ln(1 + f) - f = -f²/2 + f³ P(f) for √½ <= 1 + f <= √2 (6e-9), with small relative error at 0.
RTK_INLINE vf vf_log_curve(vf f) {
  vf p = vf_splat(-0.07859616726636887f);
  p = p * f + 0.12881650030612946f;
  p = p * f - 0.13128753006458282f;
  p = p * f + 0.14181192219257355f;
  p = p * f - 0.16624553501605988f;
  p = p * f + 0.2000228613615036f;
  p = p * f - 0.25000810623168945f;
  p = p * f + 0.33333316445350647f;
  return f * f * (f * p - 0.5f);
}

// ln x for normal positive x, to about 1 ulp. x = 2^n (1 + f) with √½ <= 1 + f <= √2.
RTK_INLINE vf vf_log(vf x) {
  vi n = ((vi)x - 0x3f3504f3) >> 23;
  vf f = (vf)((vi)x - (n << 23)) - 1.0f;
  vf e = __builtin_convertvector(n, vf);
  vf tail = vf_log_curve(f) - e * 2.12194440055e-4f;
  return e * 0.693359375f + (f + tail);
}

// tanh x = (e^2|x| - 1) / (e^2|x| + 1) with the sign of x.
// e^y - 1 = (2^n - 1) + 2^n (e^r - 1) keeps its relative accuracy at small x.
RTK_INLINE vf vf_tanh(vf x) {
  vf_exp_parts e = vf_exp_split(vf_min(vf_splat(40.0f), 2.0f * vf_abs(x)));
  vf less_one = (e.power - 1.0f) + e.power * e.tail;
  vf t = less_one / (less_one + 2.0f);
  return (vf)((vi)t | ((vi)x & INT32_MIN));
}

// sigmoid x = 1 / (1 + e^-x); *complement receives 1 - sigmoid x to full accuracy.
RTK_INLINE vf vf_sigmoid_parts(vf x, vf *complement) {
  vf e = vf_exp(-x);
  vf s = 1.0f / (1.0f + e);
  *complement = e * s;
  return s;
}

RTK_INLINE vf vf_sigmoid(vf x) { return 1.0f / (1.0f + vf_exp(-x)); }

// Φ(x), the normal distribution function, with small relative error in both tails; density receives φ(x).
// The upper tail is e^(-z²/2) M(z) with z = |x|. M is a rational fit of Mills' ratio / √2π on [0, 14] (6e-9); all its
// terms are positive, so nothing cancels.
RTK_INLINE vf vf_normal_cdf(vf x, vf *density) {
  vf e = vf_exp(-0.5f * x * x);
  vf z = vf_min(vf_splat(16.0f), vf_abs(x));
  vf p = vf_splat(0.004077623598277569f);
  p = p * z + 0.040372639894485474f;
  p = p * z + 0.18246208131313324f;
  p = p * z + 0.4372512102127075f;
  p = p * z + 0.5f;
  vf q = vf_splat(0.010220957919955254f);
  q = q * z + 0.10120601207017899f;
  q = q * z + 0.4674297571182251f;
  q = q * z + 1.199291706085205f;
  q = q * z + 1.6723873615264893f;
  q = q * z + 1.0f;
  vf tail = e * p / q;
  *density = 0.3989422804014327f * e;
  return vf_select(x < 0.0f, tail, 1.0f - tail);
}

#endif
