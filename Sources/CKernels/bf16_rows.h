// Row kernels with bf16 in memory. A few rows at a time are converted to float32 in scratch that stays in the cache;
// the loops of rows.h run there, and their results are rounded once.
#ifndef RTK_BF16_ROWS_H
#define RTK_BF16_ROWS_H

#include "include/retort_kernels.h"
#include "dropout.h"
#include "elementwise.h"
#include "formats.h"
#include "rows.h"
#include "scratch.h"
#include "vector.h"

static void bf16_gather_rows(uint16_t *out, const uint16_t *table, const int32_t *ids, size_t R, size_t C) {
  for (size_t r = 0; r < R; r++) __builtin_memcpy(out + r * C, table + (size_t)ids[r] * C, C * sizeof *out);
}

static void bf16_scatter_add_rows(uint16_t *table, const uint16_t *x, const int32_t *ids, size_t R, size_t C) {
  for (size_t r = 0; r < R; r++) {
    uint16_t *row = table + (size_t)ids[r] * C;
    bf16_add(row, row, x + r * C, C);
  }
}

// Finds the mask of each row in a walk over the rows in order.
typedef struct {
  const rtk_dropout_mask *mask;  // null: nothing is dropped
  dropout_rule rule;
  size_t b;
} mask_walk;

RTK_INLINE mask_walk walk_of(const rtk_dropout_mask *mask) {
  return (mask_walk){mask, dropout_rule_of(mask ? mask->p : 0), 0};
}

typedef struct {
  uint32_t counter, key0, key1;
} mask_row;

RTK_INLINE mask_row row_of_mask(mask_walk *walk, size_t r, size_t C) {
  const rtk_dropout_mask *mask = walk->mask;
  if (!mask) return (mask_row){0};
  r += mask->first;
  while (r >= (size_t)mask->offsets[walk->b + 1]) walk->b++;
  return (mask_row){(uint32_t)((r - (size_t)mask->offsets[walk->b]) * C), mask->keys[2 * walk->b],
                    mask->keys[2 * walk->b + 1]};
}

RTK_INLINE vf masked(const mask_walk *walk, mask_row row, vf x, size_t c) {
  if (!walk->mask) return x;
  return dropped(x, dropout_factors(walk->rule, row.counter + (uint32_t)c, row.key0, row.key1));
}

RTK_INLINE void widen_row(float *out, const uint16_t *x, size_t C) {
  for (size_t c = 0; c < C; c += RTK_W) vf_store(out + c, vb_load_upto(x + c, C - c));
}

// y = gamma x̂ + beta, rounded, for a row of scratch.
RTK_INLINE void bf16_normalise_row(uint16_t *y, const float *x, const float *gamma, const float *beta, size_t C,
                                   float mean, float rstd) {
  for (size_t c = 0; c < C; c += RTK_W) {
    size_t n = C - c;
    vf normal = (vf_load(x + c) - mean) * rstd;
    vb_store_upto(y + c, normal * vf_load_upto(gamma + c, n) + vf_load_upto(beta + c, n), n);
  }
}

static void bf16_layer_norm_forward(uint16_t *y, uint16_t *sum, float *mean, float *rstd, const uint16_t *x,
                                    const rtk_dropout_mask *mask, const uint16_t *residual, const float *gamma,
                                    const float *beta, size_t R, size_t C, float eps) {
  float small[RTK_STACK_FLOATS] __attribute__((aligned(64)));
  float *row = scratch_memory(small, rtk_round_up(C));
  mask_walk walk = walk_of(mask);
  for (size_t r = 0; r < R; r++) {
    mask_row place = row_of_mask(&walk, r, C);
    for (size_t c = 0; c < C; c += RTK_W) {
      size_t n = C - c, at = r * C + c;
      vf s = masked(&walk, place, vb_load_upto(x + at, n), c);
      if (residual) s += vb_load_upto(residual + at, n);
      // Backward reads the rounded sum, so forward normalises it too.
      if (sum) {
        s = vb_widen(vb_round(s));
        vb_store_upto(sum + at, s, n);
      }
      vf_store(row + c, s);
    }
    row_moments(row, C, eps, &mean[r], &rstd[r]);
    bf16_normalise_row(y + r * C, row, gamma, beta, C, mean[r], rstd[r]);
  }
  if (row != small) free(row);
}

static void bf16_layer_norm_recompute(uint16_t *y, const uint16_t *sum, const float *mean, const float *rstd,
                                  const float *gamma, const float *beta, size_t R, size_t C) {
  float small[RTK_STACK_FLOATS] __attribute__((aligned(64)));
  float *row = scratch_memory(small, rtk_round_up(C));
  for (size_t r = 0; r < R; r++) {
    widen_row(row, sum + r * C, C);
    bf16_normalise_row(y + r * C, row, gamma, beta, C, mean[r], rstd[r]);
  }
  if (row != small) free(row);
}

static void bf16_layer_norm_backward(uint16_t *dsum, uint16_t *dx, float *dgamma, float *dbeta, const uint16_t *dy,
                                     const uint16_t *sum, const float *mean, const float *rstd, const float *gamma,
                                     const rtk_dropout_mask *mask, size_t R, size_t C) {
  float small[RTK_STACK_FLOATS] __attribute__((aligned(64)));
  // Rows have no gaps, as the loops of rows.h expect; one more vector takes the end of the last row's last vector.
  size_t block = 4 * C + RTK_W;
  float *gradients = scratch_memory(small, 2 * block), *values = gradients + block;
  mask_walk walk = walk_of(mask);
  for (size_t r = 0; r < R; r += 4) {
    size_t rows = rtk_least(4, R - r);
    widen_row(gradients, dy + r * C, rows * C);
    widen_row(values, sum + r * C, rows * C);
    if (dgamma || dbeta) {
      layer_norm_weight_gradient(dgamma, dbeta, gradients, values, mean + r, rstd + r, rows, C);
    }
    for (size_t k = 0; k < rows; k++) {
      float *g = gradients + k * C;
      layer_norm_row_gradient(g, g, values + k * C, mean[r + k], rstd[r + k], gamma, C);
      mask_row place = row_of_mask(&walk, r + k, C);
      for (size_t c = 0; c < C; c += RTK_W) {
        size_t n = C - c, at = (r + k) * C + c;
        vf ds = vf_load_upto(g + c, n);
        vb_store_upto(dsum + at, ds, n);
        if (dx) vb_store_upto(dx + at, masked(&walk, place, ds, c), n);
      }
    }
  }
  if (gradients != small) free(gradients);
}

#endif
