// Attention on bf16 queries, keys and values, as in attention.h: products of bf16 with f32 sums, the rest in f32.
//
// Scores are transposed, with a row for each key and a lane for each query of a block, so that softmax runs down the
// columns and needs no sum across a vector. A block reads only the keys that one of its queries attends to, from an
// even one on. Besides inputs and outputs, P∘M and dS are rounded to bf16, as factors of
// the second products. Scratch of a block of L queries (L whole vectors; D' is D rounded up to whole vectors, D" to
// pairs):
//   keys [S, D"], values [S/2, D'] words         of a key/value head
//   queries_t [D"/2, L] words, scores [S, L], weights [S/2, L] words
// and in the backward pass
//   values [S, D"], key_pairs [S/2, D'] words
//   douts_t [D"/2, L], queries [L/2, D'], douts [L/2, D'] words, gradients [S, L]
//   weight_rows, gradient_rows [S, L] bf16, dk, dv [S, D'] sums
#ifndef RTK_ATTENTION_BF16_H
#define RTK_ATTENTION_BF16_H

#include "attention.h"
#include "attention_widened.h"
#include "dropout.h"
#include "products_bf16.h"
#include "scratch.h"
#include "vector.h"

#ifdef RTK_HAS_BF16

// Lanes of a block: enough for full tiles, few enough that its scores stay in the nearest cache up to 256 keys. With a
// window few lanes compute fewer keys beyond a query's own in vain.
#define RTK_LANES_SCORES 4096
RTK_INLINE size_t block_lanes(const attention_head *head) {
  size_t S = head->S, most = rtk_least(RTK_TILE_VECTORS, RTK_LANES_SCORES / (S * RTK_W));
  if (has_window(head->shape->reach, S)) most = 2;
  return even_part((S + RTK_W - 1) / RTK_W, most < 2 ? 2 : most) * RTK_W;
}

// Enough for the scores of a block of every sequence up to the longest: a shorter one may have more lanes.
RTK_INLINE size_t block_scores_bf16(size_t longest) {
  size_t widest = RTK_TILE_VECTORS * RTK_W, tallest = longest * 2 * RTK_W;
  size_t wide = rtk_least(longest * widest, RTK_LANES_SCORES + widest);
  return tallest > wide ? tallest : wide;
}

// One block of queries of a sequence.
typedef struct {
  const attention_head *head;
  size_t i0, rows, first, keys, lanes;  // first query, number of queries, first key, number of keys, lanes
} query_block_bf16;

// e^x = 2^y 2^n, for y = x log2(e) - n, |y| <= 1/2; the polynomial is a minimax fit (8e-8). Underflows to 0 gradually.
RTK_INLINE vf exp_of_log2(vf x) {
  vf n = (vf)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  vf y = x - n;
  vf p = vf_splat(0.0013276472454890609f);
  p = p * y + 0.009675540961325169f;
  p = p * y + 0.05550713092088699f;
  p = p * y + 0.24022120237350464f;
  p = p * y + 0.6931469440460205f;
  p = p * y + 1.0f;
  return (vf)_mm512_scalef_ps((__m512)p, (__m512)n);
}
#define RTK_LOG2_E 1.44269504088896341f

// The keys of a block, from the first of the block on, that all lanes of a vector of queries attend to; `seen_lanes` is
// for the keys before and after.
typedef struct {
  size_t from, to;
} shared_keys;

RTK_INLINE shared_keys seen_by_all(const query_block_bf16 *block, size_t i) {
  const attention_head *head = block->head;
  // The last lanes of the last vector may have no query.
  size_t last = rtk_least(i + RTK_W, block->i0 + block->rows) - 1;
  size_t from = first_visible(head, last) - block->first, to = rtk_least(visible(head, i) - block->first, block->keys);
  return (shared_keys){rtk_least(from, to), to};
}

// Whether some lane of the vector does not attend to the block's key j.
RTK_INLINE bool hides(shared_keys all, size_t j) { return j < all.from || j >= all.to; }

// The lanes whose query attends to key j; i is the query of lane 0.
RTK_INLINE vi seen_lanes(const attention_head *head, size_t i, size_t j) {
  int32_t distance = (int32_t)j - (int32_t)i;
  if (head->shape->causal && head->shape->reach >= head->S) return vi_lanes() >= (vi)(distance);
  int32_t reach = (int32_t)rtk_least(head->shape->reach, head->S);
  int32_t least = head->shape->causal ? distance : distance - reach;
  return (vi_lanes() >= (vi)(least)) & (vi_lanes() <= (vi)(distance + reach));
}

RTK_INLINE vf dropout_column(const attention_head *head, size_t i, size_t j) {
  uint32_t S = (uint32_t)head->S;
  vu counters = ((vu)vi_lanes() + (uint32_t)(head->h * head->S + i)) * S + (uint32_t)j;
  return dropout_factors_at(head->rule, counters, head->key0, head->key1);
}

// words[j] = (first[j], second[j]), rounded; also stores each of them as a row of bf16 unless the row is null.
RTK_INLINE void store_pair(uint32_t *words, uint16_t *first_row, uint16_t *second_row, vf first, vf second) {
  __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
  if (first_row) _mm256_storeu_si256((__m256i *)first_row, _mm512_castsi512_si256(both));
  if (second_row) _mm256_storeu_si256((__m256i *)second_row, _mm512_extracti64x4_epi64(both, 1));
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  _mm512_storeu_si512(words, _mm512_permutexvar_epi16(order, both));
}

// ---- forward ------------------------------------------------------------------------------------

typedef struct {
  uint16_t *keys;
  uint32_t *values, *queries_t, *weights;
  float *scores;
} forward_bf16_scratch;

// The probability of the block's key j before division by the sum, in a column whose largest score is
// `largest` / RTK_LOG2_E.
RTK_INLINE vf column_power(const query_block_bf16 *block, const float *column, vf largest, size_t i, size_t j,
                           bool hidden) {
  vf power = exp_of_log2(vf_load(column + j * block->lanes) * (block->head->shape->scale * RTK_LOG2_E) - largest);
  return hidden ? vf_where(seen_lanes(block->head, i, block->first + j), power) : power;
}

// The largest score so far, with the block's key j in the lanes whose query attends to it.
RTK_INLINE vf larger_seen(const query_block_bf16 *block, const float *column, vf largest, size_t i, size_t j) {
  vf larger = vf_max(vf_load(column + j * block->lanes), largest);
  return vf_select(seen_lanes(block->head, i, block->first + j), larger, largest);
}

// Softmax of a vector of queries that begins at i: words receive the probabilities after dropout and before division by
// the sum. Returns the sum; *lse receives log Σ exp. keep: e^… replaces the scores.
RTK_INLINE vf softmax_column(const query_block_bf16 *block, float *column, uint32_t *words, size_t i, bool keep,
                             vf *lse) {
  const attention_head *head = block->head;
  shared_keys all = seen_by_all(block, i);
  size_t keys = block->keys, lanes = block->lanes;
  vf largest = all.from < all.to ? vf_load(column + all.from * lanes) : vf_splat(-__builtin_inff());
  for (size_t j = all.from + 1; j < all.to; j++) largest = vf_max(vf_load(column + j * lanes), largest);
  for (size_t j = 0; j < all.from; j++) largest = larger_seen(block, column, largest, i, j);
  for (size_t j = all.to; j < keys; j++) largest = larger_seen(block, column, largest, i, j);
  vf base = largest * (head->shape->scale * RTK_LOG2_E), even = vf_splat(0), odd = vf_splat(0);
  for (size_t j = 0; j < keys; j += 2) {
    vf first = column_power(block, column, base, i, j, hides(all, j)), second = vf_splat(0);
    if (j + 1 < keys) second = column_power(block, column, base, i, j + 1, hides(all, j + 1));
    even += first;
    odd += second;
    if (keep) {
      vf_store(column + j * lanes, first);
      if (j + 1 < keys) vf_store(column + (j + 1) * lanes, second);
    }
    if (head->shape->dropout > 0) {
      first *= dropout_column(head, i, block->first + j);
      second *= dropout_column(head, i, block->first + j + 1);
    }
    store_pair(words + j / 2 * lanes, NULL, NULL, first, second);
  }
  vf sum = even + odd;
  *lse = largest * head->shape->scale + vf_log(sum);
  return sum;
}

// probabilities [S, S] of the n queries that begin at i, from their powers.
static void keep_probabilities(const query_block_bf16 *block, float *probabilities, const float *column, vf inverse,
                               size_t i, size_t n) {
  size_t S = block->head->S;
  for (size_t j = 0; j < S; j++) {
    float lanes[RTK_W];
    bool is_read = j >= block->first && j < block->first + block->keys;
    vf_store(lanes, is_read ? vf_load(column + (j - block->first) * block->lanes) * inverse : vf_splat(0));
    for (size_t r = 0; r < n; r++) probabilities[(i + r) * S + j] = lanes[r];
  }
}

static void forward_bf16_block(const query_block_bf16 *block, const forward_bf16_scratch *scratch, uint16_t *out,
                               float *lse, float *probabilities, const uint16_t *q) {
  const attention_head *head = block->head;
  const rtk_attention_shape *shape = head->shape;
  size_t pairs = (shape->D + 1) / 2, lanes = block->lanes;
  float inverses[RTK_TILE_VECTORS * RTK_W];
  transpose_pairs(scratch->queries_t, lanes, q + block->i0 * shape->q_stride, shape->q_stride, block->rows, shape->D);
  multiply_bf16(&(bf16_product){
    .a = scratch->keys + block->first * 2 * pairs, .a_row = 2 * pairs, .a_column = 2, .b = scratch->queries_t,
    .b_row = lanes, .c = scratch->scores, .c_row = lanes, .M = block->keys, .K = pairs, .N = rtk_round_up(block->rows),
  });
  for (size_t r0 = 0; r0 < block->rows; r0 += RTK_W) {
    size_t i = block->i0 + r0, n = rtk_least(RTK_W, block->rows - r0);
    vf log_sums, sums = softmax_column(block, scratch->scores + r0, scratch->weights + r0, i, probabilities, &log_sums);
    vf_store(inverses + r0, 1.0f / sums);
    if (probabilities) keep_probabilities(block, probabilities, scratch->scores + r0, 1.0f / sums, i, n);
    float values[RTK_W];
    vf_store(values, log_sums);
    for (size_t r = 0; r < n; r++) lse[(i + r) * shape->H] = values[r];
  }
  multiply_bf16(&(bf16_product){
    .a = (const uint16_t *)scratch->weights, .a_row = 2, .a_column = 2 * lanes,
    .b = scratch->values + block->first / 2 * head->width, .b_row = head->width,
    .rounded = out + block->i0 * shape->out_stride, .c_row = shape->out_stride, .factors = inverses,
    .M = block->rows, .K = (block->keys + 1) / 2, .N = shape->D,
  });
}

RTK_INLINE query_block_bf16 block_from(const attention_head *head, size_t i0) {
  size_t lanes = block_lanes(head), rows = rtk_least(lanes, head->S - i0), first = first_visible(head, i0) / 2 * 2;
  return (query_block_bf16){head, i0, rows, first, visible(head, i0 + rows - 1) - first, lanes};
}

static void attention_forward_bf16(const rtk_attention_shape *shape, uint16_t *out, float *lse, float *probabilities,
                                   const uint16_t *q, const uint16_t *k, const uint16_t *v, size_t from, size_t to) {
  size_t D = shape->D, pairs = (D + 1) / 2, longest = longest_sequence(shape), most = RTK_TILE_VECTORS * RTK_W;
  if (longest == 0) return;
  if (shape->bias) return attention_forward_widened(shape, out, lse, probabilities, q, k, v, from, to);
  size_t even = longest + longest % 2, scores = block_scores_bf16(even), width = rtk_round_up(D);
  float small[RTK_STACK_FLOATS] __attribute__((aligned(64)));
  float *memory = scratch_memory(small, scores + scores / 2 + pairs * most + even / 2 * width + pairs * even + 64);
  forward_bf16_scratch scratch = {.scores = memory};
  scratch.weights = (uint32_t *)(scratch.scores + scores);
  scratch.queries_t = scratch.weights + scores / 2;
  scratch.values = scratch.queries_t + pairs * most;
  scratch.keys = (uint16_t *)(scratch.values + even / 2 * width);
  for (size_t pair = from; pair < to; pair++) {
    attention_place at = place_of(shape, pair);
    size_t S = at.head.S, group = shape->H / shape->H_kv;
    if (S == 0) continue;
    copy_pairs(scratch.keys, k + at.k, shape->k_stride, S, D);
    interleave_rows(scratch.values, v + at.v, shape->v_stride, S, D);
    for (size_t r = 0; r < group; r++) {
      at.head.h = at.g * group + r;
      for (size_t i0 = 0; i0 < S; i0 += block_lanes(&at.head)) {
        query_block_bf16 block = block_from(&at.head, i0);
        forward_bf16_block(&block, &scratch, out + at.out + r * D, lse + at.lse + r,
                           probabilities ? probabilities + map_start(&at.head) : NULL, q + at.q + r * D);
      }
    }
  }
  if (memory != small) free(memory);
}

// ---- backward -----------------------------------------------------------------------------------
//
// As in attention.h; δ_i = Σ_j P_ij dP_ij is a sum of the unrounded numbers.

typedef struct {
  uint16_t *keys, *values, *weight_rows, *gradient_rows;
  uint32_t *key_pairs, *queries_t, *douts_t, *queries, *douts, *words;
  float *scores, *gradients, *dk, *dv;
} backward_bf16_scratch;

// P∘M and dS, rounded, of the vector of queries that begins at lane r0 of the block.
RTK_INLINE void backward_column(const query_block_bf16 *block, const backward_bf16_scratch *scratch, size_t r0,
                                vf lse) {
  const attention_head *head = block->head;
  size_t i = block->i0 + r0, keys = block->keys, lanes = block->lanes;
  shared_keys all = seen_by_all(block, i);
  float *scores = scratch->scores + r0, *gradients = scratch->gradients + r0;
  vf base = lse * RTK_LOG2_E, delta = vf_splat(0);
  for (size_t j = 0; j < keys; j++) {
    vf p = column_power(block, scores, base, i, j, hides(all, j)), dp = vf_load(gradients + j * lanes), weight = p;
    if (head->shape->dropout > 0) {
      vf factors = dropout_column(head, i, block->first + j);
      weight *= factors;
      dp *= factors;
      vf_store(gradients + j * lanes, dp);
    }
    vf_store(scores + j * lanes, p);
    store_rounded(scratch->weight_rows + j * lanes + r0, weight, RTK_W);
    delta += p * dp;
  }
  for (size_t j = 0; j < keys; j += 2) {
    size_t at = j * lanes, next = at + lanes;
    bool pair = j + 1 < keys;
    vf first = head->shape->scale * vf_load(scores + at) * (vf_load(gradients + at) - delta), second = vf_splat(0);
    if (pair) second = head->shape->scale * vf_load(scores + next) * (vf_load(gradients + next) - delta);
    uint16_t *rows = scratch->gradient_rows + r0;
    store_pair(scratch->words + at / 2 + r0, rows + at, pair ? rows + next : NULL, first, second);
  }
}

// Adds a block of queries to the gradients of keys (from dS and the queries) or of values (from P∘M and dO).
RTK_INLINE void key_gradients_bf16(const query_block_bf16 *block, const uint16_t *rows, const uint32_t *pairs,
                                   float *sums, uint16_t *rounded, size_t stride, bool accumulate) {
  multiply_bf16(&(bf16_product){
    .a = rows, .a_row = block->lanes, .a_column = 2, .b = pairs, .b_row = block->head->width,
    .c = sums + block->first * block->head->width,
    .rounded = rounded, .c_row = rounded ? stride : block->head->width, .M = block->keys, .K = (block->rows + 1) / 2,
    .N = block->head->shape->D, .accumulate = accumulate,
  });
}

// dq of a block of queries; leaves P∘M and dS in the scratch for the gradients of keys and values.
static void backward_bf16_block(const query_block_bf16 *block, const backward_bf16_scratch *scratch, uint16_t *dq,
                                const uint16_t *dout, const float *lse, const uint16_t *q) {
  const attention_head *head = block->head;
  const rtk_attention_shape *shape = head->shape;
  size_t D = shape->D, pairs = (D + 1) / 2, lanes = block->lanes;
  q += block->i0 * shape->q_stride;
  dout += block->i0 * shape->out_stride;
  transpose_pairs(scratch->queries_t, lanes, q, shape->q_stride, block->rows, D);
  transpose_pairs(scratch->douts_t, lanes, dout, shape->out_stride, block->rows, D);
  interleave_rows(scratch->queries, q, shape->q_stride, block->rows, D);
  interleave_rows(scratch->douts, dout, shape->out_stride, block->rows, D);
  bf16_product scores = {
    .a = scratch->keys + block->first * 2 * pairs, .a_row = 2 * pairs, .a_column = 2, .b = scratch->queries_t,
    .b_row = lanes, .c = scratch->scores, .c_row = lanes, .M = block->keys, .K = pairs, .N = rtk_round_up(block->rows),
  };
  multiply_bf16(&scores);
  bf16_product gradients = scores;
  gradients.a = scratch->values + block->first * 2 * pairs;
  gradients.b = scratch->douts_t;
  gradients.c = scratch->gradients;
  multiply_bf16(&gradients);
  for (size_t r0 = 0; r0 < block->rows; r0 += RTK_W) {
    float log_sums[RTK_W] = {0};
    for (size_t r = 0; r < RTK_W && r0 + r < block->rows; r++) log_sums[r] = lse[(block->i0 + r0 + r) * shape->H];
    backward_column(block, scratch, r0, vf_load(log_sums));
  }
  multiply_bf16(&(bf16_product){
    .a = (const uint16_t *)scratch->words, .a_row = 2, .a_column = 2 * lanes,
    .b = scratch->key_pairs + block->first / 2 * head->width, .b_row = head->width,
    .rounded = dq + block->i0 * shape->q_stride, .c_row = shape->q_stride, .M = block->rows,
    .K = (block->keys + 1) / 2, .N = D,
  });
}

static void round_rows(uint16_t *rounded, size_t stride, const float *sums, size_t width, size_t S, size_t D) {
  for (size_t s = 0; s < S; s++) {
    for (size_t d = 0; d < D; d += RTK_W) store_rounded(rounded + s * stride + d, vf_load(sums + s * width + d), D - d);
  }
}

// All query heads of key/value head g. The pointers point to the first token's element 0 of the first of these heads.
static void backward_bf16_pair(attention_head head, size_t g, const backward_bf16_scratch *scratch, uint16_t *dq,
                               uint16_t *dk, uint16_t *dv, const uint16_t *dout, const float *lse, const uint16_t *q,
                               const uint16_t *k, const uint16_t *v) {
  const rtk_attention_shape *shape = head.shape;
  size_t S = head.S, D = shape->D, group = shape->H / shape->H_kv, lanes = block_lanes(&head);
  size_t blocks = (S + lanes - 1) / lanes;
  bool whole = group == 1 && blocks == 1, accumulate = false;
  copy_pairs(scratch->keys, k, shape->k_stride, S, D);
  copy_pairs(scratch->values, v, shape->v_stride, S, D);
  interleave_rows(scratch->key_pairs, k, shape->k_stride, S, D);
  if (!whole && has_window(shape->reach, S)) {
    zero_rows(scratch->dk, head.width, S, head.width);
    zero_rows(scratch->dv, head.width, S, head.width);
    accumulate = true;
  }
  for (size_t r = 0; r < group; r++) {
    head.h = g * group + r;
    // The last block comes first: without a window its queries attend to all keys, so it may overwrite the sums.
    for (size_t left = blocks; left > 0; left--) {
      query_block_bf16 block = block_from(&head, (left - 1) * lanes);
      backward_bf16_block(&block, scratch, dq + r * D, dout + r * D, lse + r, q + r * D);
      key_gradients_bf16(&block, scratch->gradient_rows, scratch->queries, scratch->dk, whole ? dk : NULL,
                         shape->k_stride, accumulate);
      key_gradients_bf16(&block, scratch->weight_rows, scratch->douts, scratch->dv, whole ? dv : NULL,
                         shape->v_stride, accumulate);
      accumulate = true;
    }
  }
  if (whole) return;
  round_rows(dk, shape->k_stride, scratch->dk, head.width, S, D);
  round_rows(dv, shape->v_stride, scratch->dv, head.width, S, D);
}

static void attention_backward_bf16(const rtk_attention_shape *shape, uint16_t *dq, uint16_t *dk, uint16_t *dv,
                                    const uint16_t *dout, const float *lse, const uint16_t *q, const uint16_t *k,
                                    const uint16_t *v, size_t from, size_t to) {
  size_t S = longest_sequence(shape), pairs = (shape->D + 1) / 2, most = RTK_TILE_VECTORS * RTK_W;
  if (S == 0) return;
  if (shape->bias) return attention_backward_widened(shape, dq, dk, dv, dout, lse, q, k, v, from, to);
  size_t even = S + S % 2, width = rtk_round_up(shape->D), scores = block_scores_bf16(even);
  float small[RTK_STACK_FLOATS] __attribute__((aligned(64)));
  float *memory = scratch_memory(small, 7 * scores / 2 + 2 * pairs * most + most * width + 2 * pairs * even +
                                          even / 2 * width + 2 * S * width + 64);
  backward_bf16_scratch scratch = {.scores = memory};
  scratch.gradients = scratch.scores + scores;
  scratch.words = (uint32_t *)(scratch.gradients + scores);
  scratch.weight_rows = (uint16_t *)(scratch.words + scores / 2);
  scratch.gradient_rows = scratch.weight_rows + scores;
  scratch.queries_t = (uint32_t *)(scratch.gradient_rows + scores);
  scratch.douts_t = scratch.queries_t + pairs * most;
  scratch.queries = scratch.douts_t + pairs * most;
  scratch.douts = scratch.queries + most / 2 * width;
  scratch.key_pairs = scratch.douts + most / 2 * width;
  scratch.dk = (float *)(scratch.key_pairs + even / 2 * width);
  scratch.dv = scratch.dk + S * width;
  scratch.keys = (uint16_t *)(scratch.dv + S * width);
  scratch.values = scratch.keys + 2 * pairs * even;
  for (size_t pair = from; pair < to; pair++) {
    attention_place at = place_of(shape, pair);
    if (at.head.S == 0) continue;
    backward_bf16_pair(at.head, at.g, &scratch, dq + at.q, dk + at.k, dv + at.v, dout + at.out, lse + at.lse, q + at.q,
                       k + at.k, v + at.v);
  }
  if (memory != small) free(memory);
}

#endif

#endif
