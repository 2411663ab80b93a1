// Attention on bf16 queries, keys and values where the CPU has no products of bf16, and with a bias: the f32 kernels run
// on f32 copies of one key/value head of one sequence. This is slower; the probabilities are not rounded.
#ifndef RTK_ATTENTION_WIDENED_H
#define RTK_ATTENTION_WIDENED_H

#include "attention.h"
#include "formats.h"
#include "scratch.h"

static void widen_rows(float *wide, const uint16_t *x, size_t x_row, size_t S, size_t C) {
  for (size_t s = 0; s < S; s++) bf16_to_f32(wide + s * C, x + s * x_row, C);
}

static void narrow_rows(uint16_t *x, size_t x_row, const float *wide, size_t S, size_t C) {
  for (size_t s = 0; s < S; s++) f32_to_bf16(x + s * x_row, wide + s * C, C);
}

// The shape of the copies: rows without gaps; a token has one key/value head and the query heads that share it.
RTK_INLINE rtk_attention_shape widened_shape(const rtk_attention_shape *shape) {
  rtk_attention_shape wide = *shape;
  wide.q_stride = wide.out_stride = shape->H / shape->H_kv * shape->D;
  wide.k_stride = wide.v_stride = shape->D;
  return wide;
}

static void attention_forward_widened(const rtk_attention_shape *shape, uint16_t *out, float *lse,
                                      float *probabilities, const uint16_t *q, const uint16_t *k, const uint16_t *v,
                                      size_t from, size_t to) {
  rtk_attention_shape wide = widened_shape(shape);
  size_t longest = longest_sequence(shape), D = shape->D, queries = wide.q_stride, rest = forward_scratch(longest, D);
  if (longest == 0) return;
  float *scratch = floats_from_malloc(rest + 2 * longest * (queries + D));
  float *wide_q = scratch + rest, *wide_out = wide_q + longest * queries;
  float *wide_k = wide_out + longest * queries, *wide_v = wide_k + longest * D;
  for (size_t pair = from; pair < to; pair++) {
    attention_place at = place_of(shape, pair);
    size_t S = at.head.S;
    if (S == 0) continue;
    at.head.shape = &wide;
    widen_rows(wide_q, q + at.q, shape->q_stride, S, queries);
    widen_rows(wide_k, k + at.k, shape->k_stride, S, D);
    widen_rows(wide_v, v + at.v, shape->v_stride, S, D);
    attention_pair_forward(at.head, at.g, scratch, wide_out, lse + at.lse, probabilities, wide_q, wide_k, wide_v);
    narrow_rows(out + at.out, shape->out_stride, wide_out, S, queries);
  }
  free(scratch);
}

static void attention_backward_widened(const rtk_attention_shape *shape, uint16_t *dq, uint16_t *dk, uint16_t *dv,
                                       const uint16_t *dout, const float *lse, const uint16_t *q, const uint16_t *k,
                                       const uint16_t *v, size_t from, size_t to) {
  rtk_attention_shape wide = widened_shape(shape);
  size_t longest = longest_sequence(shape), D = shape->D, queries = wide.q_stride;
  if (longest == 0) return;
  attention_scratch scratch;
  float none[1];
  size_t rest = attention_scratch_of(&scratch, none, longest, D), q_size = longest * queries, k_size = longest * D;
  float *memory = floats_from_malloc(rest + 3 * q_size + 4 * k_size);
  attention_scratch_of(&scratch, memory, longest, D);
  float *wide_q = memory + rest, *wide_dout = wide_q + q_size, *wide_dq = wide_dout + q_size;
  float *wide_k = wide_dq + q_size, *wide_v = wide_k + k_size, *wide_dk = wide_v + k_size, *wide_dv = wide_dk + k_size;
  for (size_t pair = from; pair < to; pair++) {
    attention_place at = place_of(shape, pair);
    size_t S = at.head.S;
    if (S == 0) continue;
    at.head.shape = &wide;
    widen_rows(wide_q, q + at.q, shape->q_stride, S, queries);
    widen_rows(wide_dout, dout + at.out, shape->out_stride, S, queries);
    widen_rows(wide_k, k + at.k, shape->k_stride, S, D);
    widen_rows(wide_v, v + at.v, shape->v_stride, S, D);
    attention_pair_backward(at.head, at.g, &scratch, wide_dq, wide_dk, wide_dv, wide_dout, NULL, lse + at.lse, wide_q,
                            wide_k, wide_v);
    narrow_rows(dq + at.q, shape->q_stride, wide_dq, S, queries);
    narrow_rows(dk + at.k, shape->k_stride, wide_dk, S, D);
    narrow_rows(dv + at.v, shape->v_stride, wide_dv, S, D);
  }
  free(memory);
}

#ifndef RTK_HAS_BF16
static void attention_forward_bf16(const rtk_attention_shape *shape, uint16_t *out, float *lse, float *probabilities,
                                   const uint16_t *q, const uint16_t *k, const uint16_t *v, size_t from, size_t to) {
  attention_forward_widened(shape, out, lse, probabilities, q, k, v, from, to);
}

static void attention_backward_bf16(const rtk_attention_shape *shape, uint16_t *dq, uint16_t *dk, uint16_t *dv,
                                    const uint16_t *dout, const float *lse, const uint16_t *q, const uint16_t *k,
                                    const uint16_t *v, size_t from, size_t to) {
  attention_backward_widened(shape, dq, dk, dv, dout, lse, q, k, v, from, to);
}
#endif

#endif
