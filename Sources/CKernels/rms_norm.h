// RMS norm (Zhang and Sennrich, 2019) of a float32 stream: y = gamma x rstd, rstd = 1 / sqrt(mean(x²) + eps).
#ifndef RTK_RMS_NORM_H
#define RTK_RMS_NORM_H

#include "elementwise.h"
#include "formats.h"
#include "vector.h"

RTK_INLINE float row_rstd(const float *x, size_t C, float eps) {
  vf square[4] = {0};
  size_t c = 0;
  for (; c + 4 * RTK_W <= C; c += 4 * RTK_W) {
    for (int k = 0; k < 4; k++) {
      vf v = vf_load(x + c + k * RTK_W);
      square[k] += v * v;
    }
  }
  for (; c < C; c += RTK_W) {
    vf v = vf_load_upto(x + c, C - c);
    square[0] += v * v;
  }
  float mean = vf_sum((square[0] + square[1]) + (square[2] + square[3])) / (float)C;
  return 1.0f / __builtin_sqrtf(mean + eps);
}

// mean_c(dy gamma x rstd): the component of the gradient along x.
#define RTK_RMS_MEAN(load) \
  vf sum[2] = {0}; \
  for (size_t c = 0, k = 0; c < C; c += RTK_W, k ^= 1) { \
    size_t n = C - c; \
    sum[k] += load(dy + c, n) * vf_load_upto(gamma + c, n) * vf_load_upto(x + c, n); \
  } \
  float along = vf_sum(sum[0] + sum[1]) * rstd / (float)C

// One text for y and dy in float32 and in bf16: load and store read and write the format.
#define RTK_RMS_NORM(prefix, element, load, store) \
  static void prefix##rms_norm_recompute(element *y, const float *x, const float *rstd, const float *gamma, size_t R, \
                                     size_t C) { \
    for (size_t r = 0; r < R; r++) { \
      for (size_t c = 0; c < C; c += RTK_W) { \
        size_t n = C - c, at = r * C + c; \
        store(y + at, vf_load_upto(x + at, n) * rstd[r] * vf_load_upto(gamma + c, n), n); \
      } \
    } \
  } \
\
  static void prefix##rms_norm_forward(element *y, float *sum, float *rstd, const float *x, const float *residual, \
                                       const float *gamma, size_t R, size_t C, float eps) { \
    for (size_t r = 0; r < R; r++) { \
      const float *row = x + r * C; \
      if (residual) { \
        add(sum + r * C, row, residual + r * C, C); \
        row = sum + r * C; \
      } \
      rstd[r] = row_rstd(row, C, eps); \
      prefix##rms_norm_recompute(y + r * C, row, rstd + r, gamma, 1, C); \
    } \
  } \
\
  RTK_INLINE void prefix##rms_norm_row_gradient(float *dx, const element *dy, const float *x, float rstd, \
                                                const float *gamma, size_t C, bool accumulate) { \
    RTK_RMS_MEAN(load); \
    for (size_t c = 0; c < C; c += RTK_W) { \
      size_t n = C - c; \
      vf g = load(dy + c, n) * vf_load_upto(gamma + c, n); \
      vf d = rstd * (g - vf_load_upto(x + c, n) * (rstd * along)); \
      if (accumulate) d += vf_load_upto(dx + c, n); \
      vf_store_upto(dx + c, d, n); \
    } \
  } \
\
  static void prefix##rms_norm_backward(float *dx, float *dgamma, const element *dy, const float *x, \
                                        const float *rstd, const float *gamma, size_t R, size_t C, \
                                        bool accumulate) { \
    for (size_t r = 0; r < R; r++) { \
      const float *row = x + r * C; \
      prefix##rms_norm_row_gradient(dx + r * C, dy + r * C, row, rstd[r], gamma, C, accumulate); \
      if (!dgamma) continue; \
      for (size_t c = 0; c < C; c += RTK_W) { \
        size_t n = C - c; \
        vf d = load(dy + r * C + c, n) * (vf_load_upto(row + c, n) * rstd[r]); \
        vf_store_upto(dgamma + c, vf_load_upto(dgamma + c, n) + d, n); \
      } \
    } \
  }

RTK_RMS_NORM(, float, vf_load_upto, vf_store_upto)
RTK_RMS_NORM(bf16_, uint16_t, vb_load_upto, vb_store_upto)

#endif
