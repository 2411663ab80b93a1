// Number formats, in integer arithmetic without branches: the same bits on every CPU.
#ifndef RTK_FORMATS_H
#define RTK_FORMATS_H

#include "vector.h"

// bf16 in memory, float32 in registers: RTK_W elements at once, rounded to nearest even, NaN stays NaN.
typedef uint16_t vb __attribute__((ext_vector_type(RTK_W)));

RTK_INLINE vf vb_widen(vb x) { return (vf)(__builtin_convertvector(x, vu) << 16); }

RTK_INLINE vb vb_round(vf x) {
  vu bits = (vu)x;
  vu rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  vu quiet = (bits >> 16) | 0x40u;
  return __builtin_convertvector((vu)vf_select(x != x, (vf)quiet, (vf)rounded), vb);
}

// As vf_load_upto and vf_store_upto: the first n elements when there are fewer than RTK_W.
RTK_INLINE vf vb_load_upto(const uint16_t *p, size_t n) {
  vb v = (vb)(0);
  if (n >= RTK_W) {
    __builtin_memcpy(&v, p, sizeof v);
  } else {
#if RTK_W == 16
    v = (vb)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p);
#else
    __builtin_memcpy(&v, p, n * sizeof *p);
#endif
  }
  return vb_widen(v);
}

RTK_INLINE void vb_store_upto(uint16_t *p, vf x, size_t n) {
  vb v = vb_round(x);
  if (n >= RTK_W) {
    __builtin_memcpy(p, &v, sizeof v);
  } else {
#if RTK_W == 16
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), (__m256i)v);
#else
    __builtin_memcpy(p, &v, n * sizeof *p);
#endif
  }
}

RTK_INLINE uint32_t bits_of(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  return bits;
}

RTK_INLINE float float_of(uint32_t bits) {
  float x;
  __builtin_memcpy(&x, &bits, 4);
  return x;
}

static void bf16_to_f32(float *out, const uint16_t *x, size_t N) {
  for (size_t i = 0; i < N; i++) out[i] = float_of((uint32_t)x[i] << 16);
}

static void f32_to_bf16(uint16_t *out, const float *x, size_t N) {
  for (size_t i = 0; i < N; i++) {
    uint32_t bits = bits_of(x[i]);
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    uint32_t quiet = (bits >> 16) | 0x40u;
    out[i] = (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
  }
}

static void f16_to_f32(float *out, const uint16_t *x, size_t N) {
  for (size_t i = 0; i < N; i++) {
    uint32_t half = x[i];
    uint32_t exponent = half & 0x7c00u;
    uint32_t moved = (half & 0x7fffu) << 13;
    uint32_t normal = moved + ((127u - 15u) << 23);
    uint32_t special = moved | 0x7f800000u;
    // A subnormal half is m 2^-24: 2^-14 with the fraction m, minus 2^-14.
    uint32_t subnormal = bits_of(float_of(moved | (113u << 23)) - float_of(113u << 23));
    uint32_t bits = exponent == 0x7c00u ? special : exponent == 0 ? subnormal : normal;
    out[i] = float_of(bits | (half & 0x8000u) << 16);
  }
}

static void f32_to_f16(uint16_t *out, const float *x, size_t N) {
  for (size_t i = 0; i < N; i++) {
    uint32_t bits = bits_of(x[i]);
    uint32_t magnitude = bits & 0x7fffffffu;
    // 65520 and more round to infinity.
    uint32_t large = magnitude > 0x7f800000u ? 0x7e00u | ((magnitude >> 13) & 0x3ffu) : 0x7c00u;
    uint32_t normal = (magnitude - ((127u - 15u) << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    // Below 2^-14: adding 0.5, whose last bit is 2^-24, rounds the significand to the last bit of a subnormal half.
    uint32_t subnormal = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);
    uint32_t half = magnitude >= 0x477ff000u ? large : magnitude < (113u << 23) ? subnormal : normal;
    out[i] = (uint16_t)(half | (bits >> 16 & 0x8000u));
  }
}

#endif
