// Loops over N elements. Destinations may be the same memory as a source.
#ifndef RTK_ELEMENTWISE_H
#define RTK_ELEMENTWISE_H

#include "formats.h"
#include "vector.h"

static void add(float *out, const float *a, const float *b, size_t N) {
  for (size_t i = 0; i < N; i++) out[i] = a[i] + b[i];
}

static void scale(float *x, float alpha, size_t N) {
  for (size_t i = 0; i < N; i++) x[i] *= alpha;
}

static void fill(float *x, float value, size_t N) {
  for (size_t i = 0; i < N; i++) x[i] = value;
}

static double sum_of_squares(const float *x, size_t N) {
#pragma clang fp reassociate(on) contract(fast)
  double sum = 0;
  for (size_t i = 0; i < N; i++) sum += (double)x[i] * (double)x[i];
  return sum;
}

static void sum_parts(float *out, const float *parts, size_t P, size_t stride, size_t N) {
  for (size_t i = 0; i < N; i += RTK_W) {
    vf sum = vf_splat(0);
    for (size_t p = 0; p < P; p++) {
      vf part = vf_load_upto(parts + p * stride + i, N - i);
      sum = p == 0 ? part : sum + part;
    }
    vf_store_upto(out + i, sum, N - i);
  }
}

static void add_bias(float *x, const float *bias, size_t R, size_t C) {
  for (size_t r = 0; r < R; r++) {
    float *row = x + r * C;
    for (size_t c = 0; c < C; c++) row[c] += bias[c];
  }
}

// The gradient of add_bias. Eight rows at a time need few passes over the sums and still read memory in order.
#define RTK_COLUMN_SUMS(name, element, load) \
  static void name(float *sums, const element *x, size_t R, size_t C) { \
    size_t r = 0; \
    for (; r + 8 <= R; r += 8) { \
      const element *rows = x + r * C; \
      for (size_t c = 0; c < C; c += RTK_W) { \
        size_t n = C - c; \
        vf s[8]; \
        for (int k = 0; k < 8; k++) s[k] = load(rows + (size_t)k * C + c, n); \
        vf sum = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7])); \
        vf_store_upto(sums + c, vf_load_upto(sums + c, n) + sum, n); \
      } \
    } \
    for (; r < R; r++) { \
      for (size_t c = 0; c < C; c += RTK_W) { \
        vf_store_upto(sums + c, vf_load_upto(sums + c, C - c) + load(x + r * C + c, C - c), C - c); \
      } \
    } \
  }
RTK_COLUMN_SUMS(column_sums, float, vf_load_upto)
RTK_COLUMN_SUMS(bf16_column_sums, uint16_t, vb_load_upto)

static void bf16_add(uint16_t *out, const uint16_t *a, const uint16_t *b, size_t N) {
  for (size_t i = 0; i < N; i += RTK_W) {
    vb_store_upto(out + i, vb_load_upto(a + i, N - i) + vb_load_upto(b + i, N - i), N - i);
  }
}

#endif
