// Attention within each sequence: no padding, no [S, S] matrix beyond a block of query rows.
//
// A block of queries reads only the keys that one of its queries attends to: with a window, work grows with S times
// the window.
//
// Scratch of one sequence and key/value head (D' and S' are rounded up to whole vectors, S" is S' or, with a window,
// the keys of a block rounded up):
//   keys_t [D, S'], values [S, D']               so that scores run over keys and outputs over the head's elements
//   scores [Q, S"], Q rows of a block            scores, then probabilities, then probabilities after dropout
// and in the backward pass
//   values_t [D, S'], keys [S, D'], gradients [Q, S"], queries [Q, D'], douts [Q, D']
#ifndef RTK_ATTENTION_H
#define RTK_ATTENTION_H

#include "include/retort_kernels.h"
#include "dropout.h"
#include "products.h"
#include "rows.h"
#include "scratch.h"
#include "transcendental.h"
#include "vector.h"

#define RTK_BLOCK_SCORES 16384
#define RTK_LEAST_ROWS 16
#define RTK_MOST_ROWS 128

// S' of a long sequence has one vector more: rows that are a power of two apart would share cache sets.
RTK_INLINE size_t key_row(size_t S) { return rtk_round_up(S) + (S >= 256 ? RTK_W : 0); }

// The number of queries whose scores fill RTK_BLOCK_SCORES floats.
RTK_INLINE size_t query_block(size_t S) {
  size_t fitting = RTK_BLOCK_SCORES / key_row(S);
  if (fitting < RTK_LEAST_ROWS) fitting = RTK_LEAST_ROWS;
  return rtk_least(S, fitting > RTK_MOST_ROWS ? RTK_MOST_ROWS : fitting);
}

// Enough for the block of every sequence up to the longest: the block of a shorter one may have more rows.
RTK_INLINE size_t block_scores(size_t longest) {
  size_t least = RTK_LEAST_ROWS * key_row(longest);
  return rtk_least(longest * key_row(longest), least > RTK_BLOCK_SCORES ? least : RTK_BLOCK_SCORES);
}

RTK_INLINE size_t longest_sequence(const rtk_attention_shape *shape) {
  int32_t longest = 0;
  for (size_t b = 0; b < shape->B; b++) {
    int32_t S = shape->offsets[b + 1] - shape->offsets[b];
    if (S > longest) longest = S;
  }
  return (size_t)longest;
}

// One head of one sequence.
typedef struct {
  const rtk_attention_shape *shape;
  size_t b, S, h, start;  // start: the first token of the sequence
  uint32_t key0, key1;
  dropout_rule rule;
  size_t key_row, width;  // S', D'
  size_t score_row, rows;  // S", the queries of a block
} attention_head;

// Whether some query of a sequence of S > 0 tokens does not attend to all keys that causality leaves it.
RTK_INLINE bool has_window(size_t reach, size_t S) { return reach < S - 1; }

// The rows of a block, and the distance between two rows of scores. A window's blocks have a quarter as many queries as
// a query has keys: fewer keys beyond a query's own are computed in vain, and products still have enough rows.
RTK_INLINE void set_block(size_t S, size_t reach, bool causal, size_t *rows, size_t *score_row) {
  *rows = query_block(S);
  *score_row = key_row(S);
  if (!has_window(reach, S)) return;
  size_t seen = causal ? reach + 1 : rtk_least(S, 2 * reach + 1), least = RTK_LEAST_ROWS;
  size_t most = seen / 4 > least ? seen / 4 : least;
  // RTK_W more, since the keys of a block begin at a whole vector.
  size_t fitting = RTK_BLOCK_SCORES / key_row(seen + most + RTK_W);
  size_t wanted = rtk_least(most, rtk_least(fitting, RTK_MOST_ROWS));
  *rows = rtk_least(S, wanted > least ? wanted : least);
  *score_row = rtk_least(*score_row, key_row(seen + *rows + RTK_W));
}

RTK_INLINE attention_head head_of(const rtk_attention_shape *shape, size_t b) {
  attention_head head = {.shape = shape, .b = b, .start = (size_t)shape->offsets[b]};
  head.S = (size_t)shape->offsets[b + 1] - head.start;
  head.rule = dropout_rule_of(shape->dropout);
  if (shape->dropout > 0) {
    head.key0 = shape->keys[2 * b];
    head.key1 = shape->keys[2 * b + 1];
  }
  head.key_row = key_row(head.S);
  head.width = rtk_round_up(shape->D);
  if (head.S > 0) set_block(head.S, shape->reach, shape->causal, &head.rows, &head.score_row);
  return head;
}

// The index at which the head's [S, S] begins in the probabilities of all sequences.
RTK_INLINE size_t map_start(const attention_head *head) {
  size_t cells = 0;
  for (size_t b = 0; b < head->b; b++) {
    size_t S = (size_t)(head->shape->offsets[b + 1] - head->shape->offsets[b]);
    cells += head->shape->H * S * S;
  }
  return cells + head->h * head->S * head->S;
}

// The indices at which a key/value head of one sequence begins in the tensors.
typedef struct {
  attention_head head;  // h is not set
  size_t g, q, k, v, out, lse;
} attention_place;

// pair: sequence · H_kv + key/value head.
RTK_INLINE attention_place place_of(const rtk_attention_shape *shape, size_t pair) {
  attention_place place = {.head = head_of(shape, pair / shape->H_kv), .g = pair % shape->H_kv};
  size_t start = place.head.start, first = place.g * (shape->H / shape->H_kv);
  place.q = start * shape->q_stride + first * shape->D;
  place.k = start * shape->k_stride + place.g * shape->D;
  place.v = start * shape->v_stride + place.g * shape->D;
  place.out = start * shape->out_stride + first * shape->D;
  place.lse = start * shape->H + first;
  return place;
}

// Query i attends to the keys first_visible(i) ..< visible(i).
RTK_INLINE size_t visible(const attention_head *head, size_t i) {
  return head->shape->causal ? i + 1 : i + 1 + rtk_least(head->shape->reach, head->S - 1 - i);
}
RTK_INLINE size_t first_visible(const attention_head *head, size_t i) {
  return i > head->shape->reach ? i - head->shape->reach : 0;
}

// The keys that a block of queries reads: `count` keys from a multiple of the vector's width on. A row of scores has
// the key `first` as its element 0.
typedef struct {
  size_t first, count;
} key_span;

RTK_INLINE key_span span_of(const attention_head *head, size_t i0, size_t rows) {
  size_t first = first_visible(head, i0) / RTK_W * RTK_W;
  return (key_span){first, visible(head, i0 + rows - 1) - first};
}

// Hides the elements before `from` of a row of scores: zeros in whole vectors, the lowest number in the vector that has
// `from`, whose index is returned. It is finite, so that two hidden scores are equal.
RTK_INLINE size_t hide_before(float *row, size_t from) {
  size_t start = from / RTK_W * RTK_W;
  for (size_t j = 0; j < start; j += RTK_W) vf_store(row + j, vf_splat(0));
  if (from > start) {
    vf_store(row + start, vf_select(vi_first(from - start), vf_splat(-__FLT_MAX__), vf_load(row + start)));
  }
  return start;
}

RTK_INLINE vf attention_dropout(const attention_head *head, size_t i, size_t j) {
  uint32_t counter = (uint32_t)((head->h * head->S + i) * head->S + j);
  return dropout_factors(head->rule, counter, head->key0, head->key1);
}

// The index in the bias of head h at which query i has the first key of the span.
RTK_INLINE size_t bias_start(const attention_head *head, size_t i, key_span keys) {
  return head->h * head->shape->bias_row + head->shape->bias_center + keys.first - i;
}

// Adds the bias to the scores of the queries that begin at i0.
static void add_position_bias(const attention_head *head, float *scores, size_t i0, size_t rows, key_span keys) {
  for (size_t r = 0; r < rows; r++) {
    float *row = scores + r * head->score_row;
    const float *bias = head->shape->bias + bias_start(head, i0 + r, keys);
    for (size_t j = 0; j < keys.count; j += RTK_W) vf_store(row + j, vf_load(row + j) + vf_load(bias + j));
  }
}

// scores[q, 0 ..< keys.count] = scale q·k, and the bias, for `rows` queries that begin at i0.
RTK_INLINE void score_block(const attention_head *head, float *scores, const float *q, const float *keys_t, size_t i0,
                            size_t rows, key_span keys) {
  multiply(&(product){
    .a = q, .a_row = head->shape->q_stride, .a_column = 1, .b = keys_t + keys.first, .b_row = head->key_row,
    .c = scores, .c_row = head->score_row, .M = rows, .K = head->shape->D, .N = rtk_round_up(keys.count),
    .alpha = head->shape->scale,
  });
  if (head->shape->bias) add_position_bias(head, scores, i0, rows, keys);
}

// ---- forward ------------------------------------------------------------------------------------

// row = e^(row - max) on the first n of `padded` elements and 0 on the rest; returns max, *sum receives Σ row.
RTK_INLINE float exponentiate_row(float *row, size_t n, size_t padded, float *sum) {
  float largest = row_max(row, n);
  vf total = vf_splat(0);
  size_t j = 0;
  for (; j + RTK_W <= n; j += RTK_W) {
    vf e = vf_exp(vf_load(row + j) - largest);
    vf_store(row + j, e);
    total += e;
  }
  if (j < n) {
    vf e = vf_where(vi_first(n - j), vf_exp(vf_load(row + j) - largest));
    vf_store(row + j, e);
    total += e;
    j += RTK_W;
  }
  for (; j < padded; j += RTK_W) vf_store(row + j, vf_splat(0));
  *sum = vf_sum(total);
  return largest;
}

// Turns the powers of query i into probabilities, stores them in `kept` unless it is null, then applies dropout.
RTK_INLINE void finish_row(const attention_head *head, float *row, float *kept, size_t i, key_span keys, float sum) {
  float inverse = 1.0f / sum;
  size_t end = keys.first + keys.count;
  for (size_t j = 0; j < keys.count; j += RTK_W) {
    vf p = vf_load(row + j) * inverse;
    if (kept) vf_store_upto(kept + keys.first + j, p, keys.count - j);
    if (head->shape->dropout > 0) p *= attention_dropout(head, i, keys.first + j);
    vf_store(row + j, p);
  }
  if (kept && keys.first > 0) __builtin_memset(kept, 0, keys.first * sizeof(float));
  if (kept && end < head->S) __builtin_memset(kept + end, 0, (head->S - end) * sizeof(float));
}

static void attention_head_forward(const attention_head *head, float *scores, float *out, float *lse,
                                   float *probabilities, const float *q, const float *keys_t, const float *values) {
  const rtk_attention_shape *shape = head->shape;
  size_t S = head->S, block = head->rows;
  for (size_t i0 = 0; i0 < S; i0 += block) {
    size_t rows = rtk_least(block, S - i0);
    key_span keys = span_of(head, i0, rows);
    score_block(head, scores, q + i0 * shape->q_stride, keys_t, i0, rows, keys);
    for (size_t r0 = 0; r0 < rows; r0 += RTK_W) {
      size_t n = rtk_least(RTK_W, rows - r0);
      // Lanes without a row have the logarithm 0.
      float largest[RTK_W] = {0}, sums[RTK_W], logarithms[RTK_W];
      vf_store(sums, vf_splat(1));
      for (size_t r = 0; r < n; r++) {
        size_t i = i0 + r0 + r;
        float *row = scores + (r0 + r) * head->score_row;
        size_t start = hide_before(row, first_visible(head, i) - keys.first), hidden = keys.first + start;
        largest[r] =
          exponentiate_row(row + start, visible(head, i) - hidden, rtk_round_up(keys.count) - start, &sums[r]);
      }
      vf_store(logarithms, vf_load(largest) + vf_log(vf_load(sums)));
      for (size_t r = 0; r < n; r++) {
        size_t i = i0 + r0 + r;
        lse[i * shape->H] = logarithms[r];
        finish_row(head, scores + (r0 + r) * head->score_row, probabilities ? probabilities + i * S : NULL, i, keys,
                   sums[r]);
      }
    }
    multiply(&(product){
      .a = scores, .a_row = head->score_row, .a_column = 1, .b = values + keys.first * head->width,
      .b_row = head->width, .c = out + i0 * shape->out_stride, .c_row = shape->out_stride, .M = rows, .K = keys.count,
      .N = shape->D, .alpha = 1,
    });
  }
}

// All query heads of key/value head g. The pointers point to the first token's element 0 of the first of these heads.
static void attention_pair_forward(attention_head head, size_t g, float *scratch, float *out, float *lse,
                                   float *probabilities, const float *q, const float *k, const float *v) {
  const rtk_attention_shape *shape = head.shape;
  size_t S = head.S, D = shape->D, group = shape->H / shape->H_kv;
  float *keys_t = scratch, *values = keys_t + D * head.key_row, *scores = values + S * head.width;
  transpose_rows(keys_t, head.key_row, k, shape->k_stride, S, D);
  copy_rows(values, v, shape->v_stride, S, D);
  for (size_t r = 0; r < group; r++) {
    head.h = g * group + r;
    attention_head_forward(&head, scores, out + r * D, lse + r, probabilities ? probabilities + map_start(&head) : NULL,
                           q + r * D, keys_t, values);
  }
}

RTK_INLINE size_t forward_scratch(size_t longest, size_t D) {
  return D * key_row(longest) + longest * rtk_round_up(D) + block_scores(longest);
}

static void attention_forward(const rtk_attention_shape *shape, float *out, float *lse, float *probabilities,
                              const float *q, const float *k, const float *v, size_t from, size_t to) {
  size_t longest = longest_sequence(shape);
  if (longest == 0) return;
  float small[RTK_STACK_FLOATS] __attribute__((aligned(64)));
  float *scratch = scratch_memory(small, forward_scratch(longest, shape->D));
  for (size_t pair = from; pair < to; pair++) {
    attention_place at = place_of(shape, pair);
    if (at.head.S == 0) continue;
    attention_pair_forward(at.head, at.g, scratch, out + at.out, lse + at.lse, probabilities, q + at.q, k + at.k,
                           v + at.v);
  }
  if (scratch != small) free(scratch);
}

// ---- backward -----------------------------------------------------------------------------------
//
// P = softmax(scale Q K^T), M the dropout factors, O = (P∘M) V:
//   dV = (P∘M)^T dO,  dP = (dO V^T)∘M + dprobabilities,  dS = scale P∘(dP - δ),  dQ = dS K,  dK = dS^T Q
//   δ_i = Σ_j P_ij dP_ij

typedef struct {
  float *keys_t, *values_t, *keys;              // of a key/value head
  float *scores, *gradients, *queries, *douts;  // of a block of queries
} attention_scratch;

// The gradient of the bias at each distance += P (dP - δ); gradient has P dP.
static void add_bias_gradients(const attention_head *head, const float *row, const float *gradient, size_t i,
                               key_span keys, size_t start, float delta) {
  const rtk_attention_shape *shape = head->shape;
  float *sums = shape->bias_gradients + head->b * shape->H * shape->bias_row + bias_start(head, i, keys);
  for (size_t j = start; j < keys.count; j += RTK_W) {
    vf_store(sums + j, vf_load(sums + j) + (vf_load(gradient + j) - vf_load(row + j) * delta));
  }
}

// For query i: row has the scores and receives P∘M, gradient has dO V^T and receives dS.
RTK_INLINE void backward_row(const attention_head *head, float *row, float *gradient, const float *dprobabilities,
                             size_t i, key_span keys, float lse) {
  size_t n = visible(head, i) - keys.first, start = hide_before(row, first_visible(head, i) - keys.first);
  for (size_t j = 0; j < start; j += RTK_W) vf_store(gradient + j, vf_splat(0));
  vf sum = vf_splat(0);
  for (size_t j = start; j < keys.count; j += RTK_W) {
    vf p = vf_where(vi_first(n > j ? n - j : 0), vf_exp(vf_load(row + j) - lse)), dp = vf_load(gradient + j);
    vf factors = head->shape->dropout > 0 ? attention_dropout(head, i, keys.first + j) : vf_splat(1);
    dp *= factors;
    if (dprobabilities) dp += vf_load_upto(dprobabilities + keys.first + j, keys.count - j);
    sum += p * dp;
    vf_store(gradient + j, p * dp);
    vf_store(row + j, p);
  }
  float delta = vf_sum(sum);
  if (head->shape->bias_gradients) add_bias_gradients(head, row, gradient, i, keys, start, delta);
  for (size_t j = start; j < keys.count; j += RTK_W) {
    vf p = vf_load(row + j);
    vf_store(gradient + j, head->shape->scale * (vf_load(gradient + j) - p * delta));
    if (head->shape->dropout > 0) vf_store(row + j, p * attention_dropout(head, i, keys.first + j));
  }
}

// dk, dv += the contribution of one block of queries.
RTK_INLINE void key_gradients(const attention_head *head, const attention_scratch *scratch, float *dk, float *dv,
                              size_t rows, key_span keys, bool accumulate) {
  const rtk_attention_shape *shape = head->shape;
  multiply(&(product){
    .a = scratch->gradients, .a_row = 1, .a_column = head->score_row, .b = scratch->queries, .b_row = head->width,
    .c = dk + keys.first * shape->k_stride, .c_row = shape->k_stride, .M = keys.count, .K = rows, .N = shape->D,
    .alpha = 1, .accumulate = accumulate,
  });
  multiply(&(product){
    .a = scratch->scores, .a_row = 1, .a_column = head->score_row, .b = scratch->douts, .b_row = head->width,
    .c = dv + keys.first * shape->v_stride, .c_row = shape->v_stride, .M = keys.count, .K = rows, .N = shape->D,
    .alpha = 1, .accumulate = accumulate,
  });
}

static void zero_rows(float *x, size_t x_row, size_t S, size_t D) {
  for (size_t s = 0; s < S; s++) __builtin_memset(x + s * x_row, 0, D * sizeof *x);
}

// The pointers point to the first token's element 0 of the head.
// accumulate: dk and dv already have the sum over the earlier heads of the group.
static void attention_head_backward(const attention_head *head, const attention_scratch *scratch, float *dq, float *dk,
                                    float *dv, const float *dout, const float *dprobabilities, const float *lse,
                                    const float *q, bool accumulate) {
  const rtk_attention_shape *shape = head->shape;
  size_t S = head->S, D = shape->D, block = head->rows;
  // The last block comes first: without a window its queries attend to all keys, so it may overwrite dk and dv.
  if (!accumulate && has_window(shape->reach, S)) {
    zero_rows(dk, shape->k_stride, S, D);
    zero_rows(dv, shape->v_stride, S, D);
    accumulate = true;
  }
  for (size_t left = (S + block - 1) / block; left > 0; left--) {
    size_t i0 = (left - 1) * block, rows = rtk_least(block, S - i0);
    key_span keys = span_of(head, i0, rows);
    const float *block_dout = dout + i0 * shape->out_stride, *block_q = q + i0 * shape->q_stride;
    copy_rows(scratch->queries, block_q, shape->q_stride, rows, D);
    copy_rows(scratch->douts, block_dout, shape->out_stride, rows, D);
    score_block(head, scratch->scores, block_q, scratch->keys_t, i0, rows, keys);
    multiply(&(product){
      .a = block_dout, .a_row = shape->out_stride, .a_column = 1, .b = scratch->values_t + keys.first,
      .b_row = head->key_row, .c = scratch->gradients, .c_row = head->score_row, .M = rows, .K = D,
      .N = rtk_round_up(keys.count), .alpha = 1,
    });
    for (size_t r = 0; r < rows; r++) {
      size_t i = i0 + r;
      backward_row(head, scratch->scores + r * head->score_row, scratch->gradients + r * head->score_row,
                   dprobabilities ? dprobabilities + i * S : NULL, i, keys, lse[i * shape->H]);
    }
    multiply(&(product){
      .a = scratch->gradients, .a_row = head->score_row, .a_column = 1,
      .b = scratch->keys + keys.first * head->width, .b_row = head->width,
      .c = dq + i0 * shape->q_stride, .c_row = shape->q_stride, .M = rows, .K = keys.count, .N = D, .alpha = 1,
    });
    key_gradients(head, scratch, dk, dv, rows, keys, accumulate);
    accumulate = true;
  }
}

// Assigns the parts of the memory for sequences up to the longest; returns their size in floats.
RTK_INLINE size_t attention_scratch_of(attention_scratch *scratch, float *memory, size_t longest, size_t D) {
  size_t transposed_size = D * key_row(longest), keys_size = longest * rtk_round_up(D);
  size_t queries_size = rtk_least(longest, RTK_MOST_ROWS) * rtk_round_up(D), scores_size = block_scores(longest);
  scratch->keys_t = memory;
  scratch->values_t = scratch->keys_t + transposed_size;
  scratch->keys = scratch->values_t + transposed_size;
  scratch->queries = scratch->keys + keys_size;
  scratch->douts = scratch->queries + queries_size;
  scratch->scores = scratch->douts + queries_size;
  scratch->gradients = scratch->scores + scores_size;
  return 2 * transposed_size + keys_size + 2 * queries_size + 2 * scores_size;
}

// All query heads of key/value head g. The pointers point to the first token's element 0 of the first of these heads.
static void attention_pair_backward(attention_head head, size_t g, const attention_scratch *scratch, float *dq,
                                    float *dk, float *dv, const float *dout, const float *dprobabilities,
                                    const float *lse, const float *q, const float *k, const float *v) {
  const rtk_attention_shape *shape = head.shape;
  size_t S = head.S, D = shape->D, group = shape->H / shape->H_kv;
  transpose_rows(scratch->keys_t, head.key_row, k, shape->k_stride, S, D);
  transpose_rows(scratch->values_t, head.key_row, v, shape->v_stride, S, D);
  copy_rows(scratch->keys, k, shape->k_stride, S, D);
  for (size_t r = 0; r < group; r++) {
    head.h = g * group + r;
    attention_head_backward(&head, scratch, dq + r * D, dk, dv, dout + r * D,
                            dprobabilities ? dprobabilities + map_start(&head) : NULL, lse + r, q + r * D, r > 0);
  }
}

static void attention_backward(const rtk_attention_shape *shape, float *dq, float *dk, float *dv, const float *dout,
                               const float *dprobabilities, const float *lse, const float *q, const float *k,
                               const float *v, size_t from, size_t to) {
  size_t longest = longest_sequence(shape);
  if (longest == 0) return;
  attention_scratch scratch;
  float small[RTK_STACK_FLOATS] __attribute__((aligned(64)));
  float *memory = scratch_memory(small, attention_scratch_of(&scratch, small, longest, shape->D));
  attention_scratch_of(&scratch, memory, longest, shape->D);
  for (size_t pair = from; pair < to; pair++) {
    attention_place at = place_of(shape, pair);
    if (at.head.S == 0) continue;
    attention_pair_backward(at.head, at.g, &scratch, dq + at.q, dk + at.k, dv + at.v, dout + at.out, dprobabilities,
                            lse + at.lse, q + at.q, k + at.k, v + at.v);
  }
  if (memory != small) free(memory);
}

#endif
