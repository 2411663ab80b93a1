// Comparison of a student's attention with a teacher's within each sequence. No [S, S] matrix is kept: a block of query
// rows is compared at a time, as in attention.h.
//
// Scratch of one call (D' and S' are rounded up to whole vectors, Dt is the teacher's D):
//   keys_t [D, S'], taught_keys_t [Dt, S']    so that scores run over keys
//   keys [S, D'], queries [Q, D']             for the gradients
//   scores, target, other [Q, S']             the student's, the teacher's, and one of the teacher's heads for a mean
#ifndef RTK_COMPARE_ATTENTION_H
#define RTK_COMPARE_ATTENTION_H

#include "include/retort_kernels.h"
#include "attention.h"
#include "divergences.h"
#include "products.h"
#include "rows.h"
#include "transcendental.h"
#include "vector.h"

typedef struct {
  float *keys_t, *taught_keys_t, *keys, *queries, *scores, *target, *other;
} comparison_scratch;

// One block of query rows of a sequence.
typedef struct {
  const rtk_attention_comparison *shape;
  size_t S, i0, rows;
  size_t first, keys;  // the keys that the rows attend to are first ..< first + keys; first is a multiple of RTK_W
  size_t key_row;      // S'
} comparison_block;

// A row of scores as softmax: e^(z - shift) scale, and the logarithm of the sum.
typedef struct {
  float shift, scale, log_sum;
} comparison_softmax;

// Assigns the parts of the memory for sequences of at most S tokens, unless it is null; returns their size in floats.
static size_t comparison_scratch_of(comparison_scratch *scratch, float *memory, const rtk_attention_comparison *shape,
                                    size_t S) {
  size_t width = rtk_round_up(shape->size), scores = block_scores(S);
  size_t keys_t = shape->size * key_row(S), taught_keys_t = shape->teacher_size * key_row(S);
  size_t keys = S * width, queries = rtk_least(S, RTK_MOST_ROWS) * width;
  if (memory) {
    scratch->keys_t = memory;
    scratch->taught_keys_t = scratch->keys_t + keys_t;
    scratch->keys = scratch->taught_keys_t + taught_keys_t;
    scratch->queries = scratch->keys + keys;
    scratch->scores = scratch->queries + queries;
    scratch->target = scratch->scores + scores;
    scratch->other = scratch->target + scores;
  }
  return keys_t + taught_keys_t + keys + queries + 3 * scores;
}

static size_t compare_attention_scratch(const rtk_attention_comparison *shape, size_t S) {
  return comparison_scratch_of(NULL, NULL, shape, S);
}

// Row r attends to the keys first_compared(r) ..< end_compared(r) of the block, counted from its first.
RTK_INLINE size_t end_compared(const comparison_block *block, size_t r) {
  size_t i = block->i0 + r, later = block->shape->causal ? 0 : rtk_least(block->shape->reach, block->S - 1 - i);
  return i + 1 + later - block->first;
}
RTK_INLINE size_t first_compared(const comparison_block *block, size_t r) {
  size_t i = block->i0 + r, reach = block->shape->reach;
  return (i > reach ? i - reach : 0) - block->first;
}

// scores = or += scale q·k for the rows of the block.
RTK_INLINE void comparison_scores(const comparison_block *block, float *scores, const float *q, size_t q_stride,
                                  size_t size, const float *keys_t, float scale, bool accumulate) {
  multiply(&(product){
    .a = q + block->i0 * q_stride, .a_row = q_stride, .a_column = 1, .b = keys_t + block->first,
    .b_row = block->key_row,
    .c = scores, .c_row = block->key_row, .M = block->rows, .K = size, .N = rtk_round_up(block->keys), .alpha = scale,
    .accumulate = accumulate,
  });
}

RTK_INLINE comparison_softmax comparison_softmax_of(const float *z, size_t n) {
  comparison_softmax softmax = {.shift = row_max(z, n)};
  vf total = vf_splat(0);
  for (size_t j = 0; j < n; j += RTK_W) total += vf_where(vi_first(n - j), vf_exp(vf_load(z + j) - softmax.shift));
  float sum = vf_sum(total);
  softmax.scale = 1 / sum;
  softmax.log_sum = (float)__builtin_log((double)sum);
  return softmax;
}

// Returns the row's value. z receives the gradients with respect to its n scores, and 0 on the rest of `padded`.
RTK_INLINE float compare_scores(float *z, const float *target, size_t n, size_t padded) {
  vf total = vf_splat(0);
  for (size_t j = 0; j < padded; j += RTK_W) {
    vf d = n > j ? vf_where(vi_first(n - j), vf_load(z + j) - vf_load(target + j)) : vf_splat(0);
    total += d * d;
    vf_store(z + j, d + d);
  }
  return vf_sum(total);
}

// target has the teacher's scores or, with is_mean, its mean probabilities.
RTK_INLINE float compare_probabilities(float *z, float *target, size_t n, size_t padded, bool is_mean) {
  comparison_softmax student = comparison_softmax_of(z, n), teacher = {0};
  if (!is_mean) teacher = comparison_softmax_of(target, n);
  vf total = vf_splat(0), along = vf_splat(0);
  for (size_t j = 0; j < n; j += RTK_W) {
    vf p = vf_exp(vf_load(z + j) - student.shift) * student.scale, taught = vf_load(target + j);
    if (!is_mean) taught = vf_exp(taught - teacher.shift) * teacher.scale;
    p = vf_where(vi_first(n - j), p);
    vf d = vf_where(vi_first(n - j), p - taught);
    total += d * d;
    along += p * d;
    vf_store(z + j, p);
    vf_store(target + j, d);
  }
  // ∂/∂z_j Σ (P - P')² = 2 P_j (d_j - Σ P d)
  float mean = vf_sum(along);
  size_t j = 0;
  for (; j < n; j += RTK_W) {
    vf p = vf_load(z + j);
    vf_store(z + j, (p + p) * (vf_load(target + j) - mean));
  }
  for (; j < padded; j += RTK_W) vf_store(z + j, vf_splat(0));
  return vf_sum(total);
}

// KL(P'‖P), whose gradient is P - P'.
RTK_INLINE float compare_kl(float *z, const float *target, size_t n, size_t padded, bool is_mean) {
  comparison_softmax student = comparison_softmax_of(z, n), teacher = {0};
  if (!is_mean) teacher = comparison_softmax_of(target, n);
  float moved = (student.shift - teacher.shift) + (student.log_sum - teacher.log_sum);
  vf total = vf_splat(0);
  size_t j = 0;
  for (; j < n; j += RTK_W) {
    vf x = vf_load(z + j), y = vf_load(target + j);
    vf p = vf_exp(x - student.shift) * student.scale, taught = y, d;
    if (is_mean) {
      d = (x - student.shift) - student.log_sum - vf_log(vf_max(vf_splat(1.17549435e-38f), y));
    } else {
      taught = vf_exp(y - teacher.shift) * teacher.scale;
      d = (x - y) - moved;  // log P - log P'
    }
    // P' (log P' - log P) - P' + P: never negative, and the same sum.
    vf change = p - taught;
    vf kl = vf_select((vi)(vf_abs(d) < 0.34f), taught * vf_exp_curve(d), change - divergence_times(taught, d));
    vi here = vi_first(n - j);
    total += vf_where(here, kl);
    vf_store(z + j, vf_where(here, change));
  }
  for (; j < padded; j += RTK_W) vf_store(z + j, vf_splat(0));
  return vf_sum(total);
}

// Compares all rows of a block; `scores` receives the gradients of the scores.
static double compare_block(const comparison_block *block, float *scores, float *target, bool is_mean) {
  double value = 0;
  size_t padded;
  for (size_t r = 0; r < block->rows; r++) {
    float *z = scores + r * block->key_row, *row = target + r * block->key_row;
    size_t start = hide_before(z, first_compared(block, r)), n = end_compared(block, r) - start;
    // Mean probabilities are already 0 where the query does not attend.
    if (!is_mean || block->shape->kind == RTK_COMPARE_SCORES) hide_before(row, first_compared(block, r));
    z += start;
    row += start;
    padded = rtk_round_up(block->keys) - start;
    float part;
    switch (block->shape->kind) {
      case RTK_COMPARE_SCORES: part = compare_scores(z, row, n, padded); break;
      case RTK_COMPARE_PROBABILITIES: part = compare_probabilities(z, row, n, padded, is_mean); break;
      default: part = compare_kl(z, row, n, padded, is_mean);
    }
    value += (double)part;
  }
  return value;
}

// target = the mean over the teacher's heads of its scores, or of its probabilities. q and k point to the sequence's
// first token.
static void comparison_mean(const comparison_block *block, const comparison_scratch *scratch, const float *q,
                            const float *k) {
  const rtk_attention_comparison *shape = block->shape;
  size_t group = shape->teacher_heads / shape->teacher_key_heads, padded = rtk_round_up(block->keys);
  float share = 1.0f / (float)shape->teacher_heads;
  bool of_scores = shape->kind == RTK_COMPARE_SCORES;
  for (size_t h = 0; h < shape->teacher_heads; h++) {
    if (h % group == 0) {
      transpose_rows(scratch->taught_keys_t, block->key_row, k + h / group * shape->teacher_size,
                     shape->teacher_k_stride, block->S, shape->teacher_size);
    }
    comparison_scores(block, of_scores ? scratch->target : scratch->other, q + h * shape->teacher_size,
                      shape->teacher_q_stride, shape->teacher_size, scratch->taught_keys_t,
                      of_scores ? shape->teacher_scale * share : shape->teacher_scale, of_scores && h > 0);
    if (of_scores) continue;
    for (size_t r = 0; r < block->rows; r++) {
      float *z = scratch->other + r * block->key_row, *sum = scratch->target + r * block->key_row;
      size_t start = hide_before(z, first_compared(block, r));
      comparison_softmax softmax = comparison_softmax_of(z + start, end_compared(block, r) - start);
      for (size_t j = start; j < padded; j += RTK_W) {
        vf p = vf_exp(vf_load(z + j) - softmax.shift) * (softmax.scale * share);
        vf_store(sum + j, h > 0 ? vf_load(sum + j) + p : p);
      }
    }
  }
}

// One student head against the teacher's head, or against the target for a null taught_q. The pointers point to the
// first token's element 0 of the head.
static double compare_head(const comparison_block *block, const comparison_scratch *scratch, float *dq, float *dk,
                           const float *q, const float *taught_q, float factor) {
  const rtk_attention_comparison *shape = block->shape;
  size_t D = shape->size, width = rtk_round_up(D);
  comparison_scores(block, scratch->scores, q, shape->q_stride, D, scratch->keys_t, shape->scale, false);
  float *target = scratch->target;
  if (taught_q) {
    comparison_scores(block, target, taught_q, shape->teacher_q_stride, shape->teacher_size, scratch->taught_keys_t,
                      shape->teacher_scale, false);
  } else if (shape->kind == RTK_COMPARE_PROBABILITIES) {
    // The comparison overwrites the target, which the other heads need too.
    target = scratch->other;
    for (size_t r = 0; r < block->rows; r++) {
      size_t at = r * block->key_row;
      __builtin_memcpy(target + at, scratch->target + at, rtk_round_up(block->keys) * sizeof *target);
    }
  }
  double value = compare_block(block, scratch->scores, target, !taught_q);
  if (dq) {
    multiply(&(product){
      .a = scratch->scores, .a_row = block->key_row, .a_column = 1,
      .b = scratch->keys + block->first * width, .b_row = width, .c = dq + block->i0 * shape->q_stride,
      .c_row = shape->q_stride, .M = block->rows, .K = block->keys, .N = D, .alpha = factor * shape->scale,
      .accumulate = true,
    });
  }
  if (dk) {
    copy_rows(scratch->queries, q + block->i0 * shape->q_stride, shape->q_stride, block->rows, D);
    multiply(&(product){
      .a = scratch->scores, .a_row = 1, .a_column = block->key_row, .b = scratch->queries, .b_row = width,
      .c = dk + block->first * shape->k_stride, .c_row = shape->k_stride, .M = block->keys, .K = block->rows, .N = D,
      .alpha = factor * shape->scale, .accumulate = true,
    });
  }
  return value;
}

// The pairs from ..< to of one sequence. The pointers point to its first token, but `values` to the pair `from`.
static void compare_sequence(const rtk_attention_comparison *shape, const comparison_scratch *scratch, size_t S,
                             double *values, float *dq, float *dk, const float *q, const float *k,
                             const float *taught_q, const float *taught_k, float factor, size_t from, size_t to) {
  size_t D = shape->size, Dt = shape->teacher_size, group = shape->heads / shape->key_heads;
  size_t taught_group = shape->teacher_heads / shape->teacher_key_heads;
  bool is_mean = shape->teacher_heads != shape->heads;
  for (size_t g = from; g < to; g++) values[g - from] = 0;
  if (S == 0) return;
  size_t rows = query_block(S);
  for (size_t i0 = 0; i0 < S; i0 += rows) {
    comparison_block block = {
      .shape = shape, .S = S, .i0 = i0, .rows = rtk_least(rows, S - i0), .key_row = key_row(S)};
    block.first = first_compared(&block, 0) / RTK_W * RTK_W;
    block.keys = end_compared(&block, block.rows - 1);
    if (is_mean) comparison_mean(&block, scratch, taught_q, taught_k);
    size_t transposed = SIZE_MAX;  // the teacher's key head that taught_keys_t has
    for (size_t g = from; g < to; g++) {
      transpose_rows(scratch->keys_t, block.key_row, k + g * D, shape->k_stride, S, D);
      if (dq) copy_rows(scratch->keys, k + g * D, shape->k_stride, S, D);
      for (size_t h = g * group; h < (g + 1) * group; h++) {
        if (!is_mean && h / taught_group != transposed) {
          transposed = h / taught_group;
          transpose_rows(scratch->taught_keys_t, block.key_row, taught_k + transposed * Dt, shape->teacher_k_stride, S,
                         Dt);
        }
        values[g - from] += compare_head(&block, scratch, dq ? dq + h * D : NULL, dk ? dk + g * D : NULL, q + h * D,
                                         is_mean ? NULL : taught_q + h * Dt, factor);
      }
    }
  }
}

static void compare_attention(const rtk_attention_comparison *shape, double *values, float *dq, float *dk,
                              const float *q, const float *k, const float *taught_q, const float *taught_k,
                              float factor, float *memory, size_t from, size_t to) {
  size_t pairs = shape->key_heads, next;
  comparison_scratch scratch;
  size_t longest = 0;
  for (size_t b = from / pairs; b * pairs < to; b++) {
    size_t S = (size_t)(shape->offsets[b + 1] - shape->offsets[b]);
    if (S > longest) longest = S;
  }
  comparison_scratch_of(&scratch, memory, shape, longest);
  for (size_t pair = from; pair < to; pair = next) {
    size_t b = pair / pairs, start = (size_t)shape->offsets[b], S = (size_t)shape->offsets[b + 1] - start;
    next = rtk_least(to, (b + 1) * pairs);
    compare_sequence(shape, &scratch, S, values + pair, dq ? dq + start * shape->q_stride : NULL,
                     dk ? dk + start * shape->k_stride : NULL, q + start * shape->q_stride,
                     k + start * shape->k_stride, taught_q + start * shape->teacher_q_stride,
                     taught_k + start * shape->teacher_k_stride, factor, pair - b * pairs, next - b * pairs);
  }
}

#endif
