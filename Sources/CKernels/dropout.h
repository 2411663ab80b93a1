// Dropout. A pure function of two key words and a 32-bit counter (larger counters wrap), computed in integers, decides
// whether an element is kept: the same on every CPU, in every thread, and in the backward pass.
#ifndef RTK_DROPOUT_H
#define RTK_DROPOUT_H

#include "formats.h"
#include "vector.h"

// A 32-bit mixer: each input bit changes each output bit with a probability near one half.
RTK_INLINE vu mix(vu x) {
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  return x ^ (x >> 16);
}

RTK_INLINE vu dropout_random(vu counters, uint32_t key0, uint32_t key1) {
  return mix(mix(counters * 0x9e3779b9u + key0) ^ key1);
}

typedef struct {
  uint32_t threshold;  // p 2^32: an element is kept when its random word is at least this
  float scale;         // 1 / (1 - p), 0 when p is 1
} dropout_rule;

RTK_INLINE dropout_rule dropout_rule_of(float p) {
  // p close to 1 would round to 2^32, which does not fit.
  double threshold = (double)p * 4294967296.0;
  return (dropout_rule){threshold < 4294967295.0 ? (uint32_t)threshold : UINT32_MAX,
                        p < 1 ? 1.0f / (1.0f - p) : 0};
}

// The factors of the elements with these counters: 1 / (1 - p) or 0.
RTK_INLINE vf dropout_factors_at(dropout_rule rule, vu counters, uint32_t key0, uint32_t key1) {
  vi keep = (vi)(dropout_random(counters, key0, key1) >= rule.threshold);
  return vf_where(keep, vf_splat(rule.scale));
}

// The factors of RTK_W elements, the first having this counter.
RTK_INLINE vf dropout_factors(dropout_rule rule, uint32_t counter, uint32_t key0, uint32_t key1) {
  return dropout_factors_at(rule, (vu)vi_lanes() + counter, key0, key1);
}

// A selection, not only a product: a dropped infinity is 0.
RTK_INLINE vf dropped(vf x, vf factors) { return vf_where((vi)(factors != 0.0f), x * factors); }

#define RTK_DROPOUT(name, element, load, store) \
  static void name(element *out, const element *x, const int32_t *offsets, const uint32_t *keys, size_t B, size_t C, \
                   float p) { \
    dropout_rule rule = dropout_rule_of(p); \
    for (size_t b = 0; b < B; b++) { \
      size_t start = (size_t)offsets[b] * C, N = (size_t)offsets[b + 1] * C - start; \
      const element *from = x + start; \
      element *to = out + start; \
      if (p <= 0) { \
        if (to != from) __builtin_memmove(to, from, N * sizeof *to); \
        continue; \
      } \
      for (size_t i = 0; i < N; i += RTK_W) { \
        vf factors = dropout_factors(rule, (uint32_t)i, keys[2 * b], keys[2 * b + 1]); \
        store(to + i, dropped(load(from + i, N - i), factors), N - i); \
      } \
    } \
  }
RTK_DROPOUT(dropout, float, vf_load_upto, vf_store_upto)
RTK_DROPOUT(bf16_dropout, uint16_t, vb_load_upto, vb_store_upto)

#endif
