// Decoding, one token at a time. Reading weights, keys and values once takes all the time, so nothing is copied.
#ifndef RTK_DECODING_H
#define RTK_DECODING_H

#include "attention.h"
#include "elementwise.h"
#include "formats.h"
#include "products.h"
#include "scratch.h"
#include "vector.h"

// Sums run over k in four chains of vectors; the first chain takes the rest.
#define RTK_MATVEC(name, element, load) \
  static void name(float *y, const float *x, const element *w, size_t K, size_t from, size_t to) { \
    for (size_t n = from; n < to; n++) { \
      const element *row = w + n * K; \
      vf sums[4] = {0}; \
      size_t k = 0; \
      for (; k + 4 * RTK_W <= K; k += 4 * RTK_W) { \
        RTK_UNROLL for (size_t i = 0; i < 4; i++) { \
          sums[i] += load(row + k + i * RTK_W, RTK_W) * vf_load(x + k + i * RTK_W); \
        } \
      } \
      for (; k < K; k += RTK_W) sums[0] += load(row + k, K - k) * vf_load_upto(x + k, K - k); \
      y[n] = vf_sum((sums[0] + sums[1]) + (sums[2] + sums[3])); \
    } \
  }

RTK_MATVEC(matvec, float, vf_load_upto)
RTK_MATVEC(bf16_matvec, uint16_t, vb_load_upto)

// Scratch of a key/value head: queries [group, D'] times the factor, sums [group, D'], scores [group, S'].
#define RTK_ATTENTION_STEP(name, element, load, store) \
  static void name(element *out, const element *q, const element *keys, const element *values, size_t S, size_t H, \
                   size_t H_kv, size_t D, float factor, size_t from, size_t to) { \
    size_t group = H / H_kv, row = H_kv * D, width = rtk_round_up(D), length = rtk_round_up(S); \
    float small[RTK_STACK_FLOATS] __attribute__((aligned(64))); \
    float *queries = scratch_memory(small, group * (2 * width + length)); \
    float *sums = queries + group * width, *scores = sums + group * width; \
    for (size_t g = from; g < to; g++) { \
      for (size_t r = 0; r < group; r++) { \
        for (size_t d = 0; d < D; d += RTK_W) { \
          vf_store(queries + r * width + d, factor * load(q + (g * group + r) * D + d, D - d)); \
          vf_store(sums + r * width + d, vf_splat(0)); \
        } \
      } \
      for (size_t j = 0; j < S; j++) { \
        const element *key = keys + j * row + g * D; \
        for (size_t r = 0; r < group; r++) { \
          vf sum = vf_splat(0); \
          for (size_t d = 0; d < D; d += RTK_W) sum += load(key + d, D - d) * vf_load(queries + r * width + d); \
          scores[r * length + j] = vf_sum(sum); \
        } \
      } \
      for (size_t r = 0; r < group; r++) { \
        float total; \
        exponentiate_row(scores + r * length, S, length, &total); \
        scale(scores + r * length, 1.0f / total, S); \
      } \
      for (size_t j = 0; j < S; j++) { \
        const element *value = values + j * row + g * D; \
        for (size_t d = 0; d < D; d += RTK_W) { \
          vf v = load(value + d, D - d); \
          for (size_t r = 0; r < group; r++) { \
            float *sum = sums + r * width + d; \
            vf_store(sum, vf_load(sum) + scores[r * length + j] * v); \
          } \
        } \
      } \
      for (size_t r = 0; r < group; r++) { \
        for (size_t d = 0; d < D; d += RTK_W) { \
          store(out + (g * group + r) * D + d, vf_load(sums + r * width + d), D - d); \
        } \
      } \
    } \
    if (queries != small) free(queries); \
  }

RTK_ATTENTION_STEP(attention_step, float, vf_load_upto, vf_store_upto)
RTK_ATTENTION_STEP(bf16_attention_step, uint16_t, vb_load_upto, vb_store_upto)

#endif
