// RMS norm of each head of a token's queries and keys, which are followed by its values in a row.
#ifndef RTK_HEAD_NORM_H
#define RTK_HEAD_NORM_H

#include "formats.h"
#include "vector.h"

// One text for float32 and for bf16 in memory. y may be x, and dx may be dy: a vector is read before it is written.
#define RTK_HEAD_NORM(prefix, element, load, store) \
  static void prefix##head_norm_forward(element *y, float *rstd, const element *x, const float *query, \
                                        const float *key, size_t R, size_t H, size_t H_kv, size_t D, float eps) { \
    size_t heads = H + H_kv, values = H_kv * D, stride = heads * D + values; \
    for (size_t r = 0; r < R; r++, x += stride, y += stride) { \
      for (size_t h = 0; h < heads; h++) { \
        const element *from = x + h * D; \
        const float *gamma = h < H ? query : key; \
        vf square = vf_splat(0); \
        for (size_t c = 0; c < D; c += RTK_W) { \
          vf v = load(from + c, D - c); \
          square += v * v; \
        } \
        float scale = 1.0f / __builtin_sqrtf(vf_sum(square) / (float)D + eps); \
        for (size_t c = 0; c < D; c += RTK_W) { \
          size_t n = D - c; \
          store(y + h * D + c, load(from + c, n) * scale * vf_load_upto(gamma + c, n), n); \
        } \
        rstd[r * heads + h] = scale; \
      } \
      if (y != x) __builtin_memcpy(y + heads * D, x + heads * D, values * sizeof(element)); \
    } \
  } \
\
  static void prefix##head_norm_backward(element *dx, float *dquery, float *dkey, const element *dy, \
                                         const element *x, const float *rstd, const float *query, const float *key, \
                                         size_t R, size_t H, size_t H_kv, size_t D) { \
    size_t heads = H + H_kv, values = H_kv * D, stride = heads * D + values; \
    for (size_t r = 0; r < R; r++, x += stride, dx += stride, dy += stride) { \
      for (size_t h = 0; h < heads; h++) { \
        const element *row = x + h * D, *d = dy + h * D; \
        const float *gamma = h < H ? query : key; \
        float *dgamma = h < H ? dquery : dkey, scale = rstd[r * heads + h]; \
        vf sum = vf_splat(0); \
        for (size_t c = 0; c < D; c += RTK_W) { \
          size_t n = D - c; \
          sum += load(d + c, n) * vf_load_upto(gamma + c, n) * load(row + c, n); \
        } \
        float along = vf_sum(sum) * scale / (float)D; \
        for (size_t c = 0; c < D; c += RTK_W) { \
          size_t n = D - c; \
          vf slope = load(d + c, n), unit = load(row + c, n) * scale; \
          if (dgamma) vf_store_upto(dgamma + c, vf_load_upto(dgamma + c, n) + slope * unit, n); \
          store(dx + h * D + c, scale * (slope * vf_load_upto(gamma + c, n) - unit * along), n); \
        } \
      } \
      if (dx != dy) __builtin_memcpy(dx + heads * D, dy + heads * D, values * sizeof(element)); \
    } \
  }

RTK_HEAD_NORM(, float, vf_load_upto, vf_store_upto)
RTK_HEAD_NORM(bf16_, uint16_t, vb_load_upto, vb_store_upto)

#endif
