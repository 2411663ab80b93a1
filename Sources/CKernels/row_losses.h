// Distances between rows of two matrices: hidden states, pooled outputs. The gradient is that with respect to x.
#ifndef RTK_ROW_LOSSES_H
#define RTK_ROW_LOSSES_H

#include "rows.h"
#include "vector.h"

static void rows_squared(double *value, float *gradient, const float *x, const float *y, size_t R, size_t C) {
  for (size_t r = 0; r < R; r++) {
    const float *a = x + r * C, *b = y + r * C;
    double total = 0;
    for (size_t start = 0; start < C; start += RTK_SUM_BLOCK) {
      size_t end = rtk_least(start + RTK_SUM_BLOCK, C);
      vf sum = vf_splat(0);
      for (size_t c = start; c < end; c += RTK_W) {
        vf d = vf_load_upto(a + c, end - c) - vf_load_upto(b + c, end - c);
        sum += d * d;
        if (gradient) vf_store_upto(gradient + r * C + c, d + d, end - c);
      }
      total += (double)vf_sum(sum);
    }
    value[r] = total;
  }
}

// Σ x² and Σ (x scale_x - y scale_y)²
RTK_INLINE double row_square(const float *x, size_t C) {
  double total = 0;
  for (size_t start = 0; start < C; start += RTK_SUM_BLOCK) {
    size_t end = rtk_least(start + RTK_SUM_BLOCK, C);
    vf sum = vf_splat(0);
    for (size_t c = start; c < end; c += RTK_W) {
      vf a = vf_load_upto(x + c, end - c);
      sum += a * a;
    }
    total += (double)vf_sum(sum);
  }
  return total;
}

RTK_INLINE double row_difference(const float *x, float scale_x, const float *y, float scale_y, size_t C) {
  double total = 0;
  for (size_t start = 0; start < C; start += RTK_SUM_BLOCK) {
    size_t end = rtk_least(start + RTK_SUM_BLOCK, C);
    vf sum = vf_splat(0);
    for (size_t c = start; c < end; c += RTK_W) {
      vf d = vf_load_upto(x + c, end - c) * scale_x - vf_load_upto(y + c, end - c) * scale_y;
      sum += d * d;
    }
    total += (double)vf_sum(sum);
  }
  return total;
}

// With x̂ = x / max(|x|, least): |x̂ - ŷ|², or with cosine 1 - x̂·ŷ, which is half of |x̂ - ŷ|² when both lengths are at
// least `least`. Computed so, nothing cancels where x̂ and ŷ are close.
RTK_INLINE void rows_unit(double *value, float *gradient, const float *x, const float *y, size_t R, size_t C,
                          double least, const bool cosine) {
  for (size_t r = 0; r < R; r++) {
    const float *a = x + r * C, *b = y + r * C;
    double x_square = row_square(a, C), y_square = row_square(b, C);
    double x_length = __builtin_sqrt(x_square), y_length = __builtin_sqrt(y_square);
    bool x_is_short = x_length < least, y_is_short = y_length < least;
    double x_scale = 1 / (x_is_short ? least : x_length), y_scale = 1 / (y_is_short ? least : y_length);
    double difference = row_difference(a, (float)x_scale, b, (float)y_scale, C);
    // |x̂|² and |ŷ|²
    double x_unit = x_is_short ? x_square * x_scale * x_scale : 1;
    double y_unit = y_is_short ? y_square * y_scale * y_scale : 1;
    value[r] = cosine ? 0.5 * difference + (1 - 0.5 * (x_unit + y_unit)) : difference;
    if (!gradient) continue;
    // With respect to x̂ the gradient is 2 (x̂ - ŷ), or -ŷ. Where x is divided by its own length, only the part that is
    // orthogonal to x̂ changes the value.
    double along = 0.5 * (difference + x_unit - y_unit);  // x̂·(x̂ - ŷ)
    double factor = (cosine ? 1 : 2) * x_scale;
    float of_x = (float)(factor * x_scale * (1 - (x_is_short ? 0 : along)));
    float of_y = (float)(factor * y_scale);
    if (cosine && x_is_short) of_x = 0;
    for (size_t c = 0; c < C; c += RTK_W) {
      size_t n = C - c;
      vf_store_upto(gradient + r * C + c, vf_load_upto(a + c, n) * of_x - vf_load_upto(b + c, n) * of_y, n);
    }
  }
}

static void rows_cosine(double *value, float *gradient, const float *x, const float *y, size_t R, size_t C) {
  rows_unit(value, gradient, x, y, R, C, 1e-8, true);
}

static void rows_unit_squared(double *value, float *gradient, const float *x, const float *y, size_t R, size_t C) {
  rows_unit(value, gradient, x, y, R, C, 1e-12, false);
}

#endif
