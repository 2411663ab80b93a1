// Layer norm (Ba et al., 2016) of a float32 stream, with or without a shift: y = gamma (x - mean) rstd + beta,
// rstd = 1 / sqrt(var + eps).
#ifndef RTK_STREAM_NORM_H
#define RTK_STREAM_NORM_H

#include "elementwise.h"
#include "formats.h"
#include "rows.h"
#include "vector.h"

// One text for y and dy in float32 and in bf16: load and store read and write the format.
#define RTK_STREAM_NORM(prefix, element, load, store) \
  static void prefix##stream_norm_recompute(element *y, const float *x, const float *mean, const float *rstd, \
                                            const float *gamma, const float *beta, size_t R, size_t C) { \
    for (size_t r = 0; r < R; r++) { \
      for (size_t c = 0; c < C; c += RTK_W) { \
        size_t n = C - c, at = r * C + c; \
        vf normal = (vf_load_upto(x + at, n) - mean[r]) * rstd[r] * vf_load_upto(gamma + c, n); \
        store(y + at, beta ? normal + vf_load_upto(beta + c, n) : normal, n); \
      } \
    } \
  } \
\
  static void prefix##stream_norm_forward(element *y, float *sum, float *mean, float *rstd, const float *x, \
                                          const float *residual, const float *gamma, const float *beta, size_t R, \
                                          size_t C, float eps) { \
    for (size_t r = 0; r < R; r++) { \
      const float *row = x + r * C; \
      if (residual) { \
        add(sum + r * C, row, residual + r * C, C); \
        row = sum + r * C; \
      } \
      row_moments(row, C, eps, &mean[r], &rstd[r]); \
      prefix##stream_norm_recompute(y + r * C, row, mean + r, rstd + r, gamma, beta, 1, C); \
    } \
  } \
\
  static void prefix##stream_norm_backward(float *dx, float *dgamma, float *dbeta, const element *dy, const float *x, \
                                           const float *mean, const float *rstd, const float *gamma, size_t R, \
                                           size_t C, bool accumulate) { \
    for (size_t r = 0; r < R; r++) { \
      const element *given = dy + r * C; \
      const float *row = x + r * C; \
      float *to = dx + r * C; \
      /* The means of g = gamma dy and of g times the normalised x. */ \
      vf plain = vf_splat(0), along = vf_splat(0); \
      for (size_t c = 0; c < C; c += RTK_W) { \
        size_t n = C - c; \
        vf d = load(given + c, n), g = d * vf_load_upto(gamma + c, n); \
        vf normal = vf_where(vi_first(n), (vf_load_upto(row + c, n) - mean[r]) * rstd[r]); \
        plain += g; \
        along += g * normal; \
        if (dgamma) vf_store_upto(dgamma + c, vf_load_upto(dgamma + c, n) + d * normal, n); \
        if (dbeta) vf_store_upto(dbeta + c, vf_load_upto(dbeta + c, n) + d, n); \
      } \
      float g_mean = vf_sum(plain) / (float)C, g_along = vf_sum(along) / (float)C; \
      for (size_t c = 0; c < C; c += RTK_W) { \
        size_t n = C - c; \
        vf g = load(given + c, n) * vf_load_upto(gamma + c, n); \
        vf normal = (vf_load_upto(row + c, n) - mean[r]) * rstd[r], d = rstd[r] * (g - g_mean - normal * g_along); \
        if (accumulate) d += vf_load_upto(to + c, n); \
        vf_store_upto(to + c, d, n); \
      } \
    } \
  }

RTK_STREAM_NORM(, float, vf_load_upto, vf_store_upto)
RTK_STREAM_NORM(bf16_, uint16_t, vb_load_upto, vb_store_upto)

#endif
