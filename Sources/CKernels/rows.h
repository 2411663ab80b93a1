// Kernels over rows of a matrix: lookups, layer norm, exponentials.
#ifndef RTK_ROWS_H
#define RTK_ROWS_H

#include "elementwise.h"
#include "transcendental.h"
#include "vector.h"

static void gather_rows(float *out, const float *table, const int32_t *ids, size_t R, size_t C) {
  for (size_t r = 0; r < R; r++) {
    if (ids[r] < 0) {
      __builtin_memset(out + r * C, 0, C * sizeof(float));
    } else {
      __builtin_memcpy(out + r * C, table + (size_t)ids[r] * C, C * sizeof(float));
    }
  }
}

static void gather_rows_add(float *out, const float *table, const int32_t *ids, size_t R, size_t C) {
  for (size_t r = 0; r < R; r++) add(out + r * C, out + r * C, table + (size_t)ids[r] * C, C);
}

static void scatter_add_rows(float *table, const float *x, const int32_t *ids, size_t R, size_t C) {
  for (size_t r = 0; r < R; r++) {
    if (ids[r] < 0) continue;
    float *row = table + (size_t)ids[r] * C;
    add(row, row, x + r * C, C);
  }
}

// Mean and 1 / sqrt(var + eps) of one row. A second pass for var loses no digits, and the row is in the cache.
RTK_INLINE void row_moments(const float *x, size_t C, float eps, float *mean, float *rstd) {
  vf sum[4] = {0};
  size_t c = 0;
  for (; c + 4 * RTK_W <= C; c += 4 * RTK_W) {
    for (int k = 0; k < 4; k++) sum[k] += vf_load(x + c + k * RTK_W);
  }
  for (; c < C; c += RTK_W) sum[0] += vf_load_upto(x + c, C - c);
  float m = vf_sum((sum[0] + sum[1]) + (sum[2] + sum[3])) / (float)C;

  vf square[4] = {0};
  for (c = 0; c + 4 * RTK_W <= C; c += 4 * RTK_W) {
    for (int k = 0; k < 4; k++) {
      vf d = vf_load(x + c + k * RTK_W) - m;
      square[k] += d * d;
    }
  }
  for (; c < C; c += RTK_W) {
    vf d = vf_where(vi_first(C - c), vf_load_upto(x + c, C - c) - m);
    square[0] += d * d;
  }
  float var = vf_sum((square[0] + square[1]) + (square[2] + square[3])) / (float)C;
  *mean = m;
  *rstd = 1.0f / __builtin_sqrtf(var + eps);
}

RTK_INLINE void normalise_row(float *y, const float *x, const float *gamma, const float *beta, size_t C, float mean,
                              float rstd) {
  for (size_t c = 0; c < C; c += RTK_W) {
    size_t n = C - c;
    vf normal = (vf_load_upto(x + c, n) - mean) * rstd;
    vf_store_upto(y + c, normal * vf_load_upto(gamma + c, n) + vf_load_upto(beta + c, n), n);
  }
}

static void layer_norm_forward(float *y, float *mean, float *rstd, const float *x, const float *gamma,
                               const float *beta, size_t R, size_t C, float eps) {
  for (size_t r = 0; r < R; r++) {
    row_moments(x + r * C, C, eps, &mean[r], &rstd[r]);
    normalise_row(y + r * C, x + r * C, gamma, beta, C, mean[r], rstd[r]);
  }
}

static void add_layer_norm_forward(float *y, float *sum, float *mean, float *rstd, const float *x,
                                   const float *residual, const float *gamma, const float *beta, size_t R, size_t C,
                                   float eps) {
  for (size_t r = 0; r < R; r++) {
    add(sum + r * C, x + r * C, residual + r * C, C);
    row_moments(sum + r * C, C, eps, &mean[r], &rstd[r]);
    normalise_row(y + r * C, sum + r * C, gamma, beta, C, mean[r], rstd[r]);
  }
}

// dx = rstd (g - mean_c(g) - x̂ mean_c(g x̂)), g = dy gamma, for one row.
RTK_INLINE void layer_norm_row_gradient(float *dx, const float *dy, const float *x, float mean, float rstd,
                                        const float *gamma, size_t C) {
  vf sum_g[2] = {0}, sum_gx[2] = {0};
  size_t c = 0;
  for (; c + 2 * RTK_W <= C; c += 2 * RTK_W) {
    for (int k = 0; k < 2; k++) {
      vf normal = (vf_load(x + c + k * RTK_W) - mean) * rstd;
      vf g = vf_load(dy + c + k * RTK_W) * vf_load(gamma + c + k * RTK_W);
      sum_g[k] += g;
      sum_gx[k] += g * normal;
    }
  }
  for (; c < C; c += RTK_W) {
    size_t n = C - c;
    vf normal = (vf_load_upto(x + c, n) - mean) * rstd;
    vf g = vf_load_upto(dy + c, n) * vf_load_upto(gamma + c, n);  // 0 past the end of the row
    sum_g[0] += g;
    sum_gx[0] += g * normal;
  }
  float mean_g = vf_sum(sum_g[0] + sum_g[1]) / (float)C;
  float mean_gx = vf_sum(sum_gx[0] + sum_gx[1]) / (float)C;
  for (c = 0; c < C; c += RTK_W) {
    size_t n = C - c;
    vf normal = (vf_load_upto(x + c, n) - mean) * rstd;
    vf g = vf_load_upto(dy + c, n) * vf_load_upto(gamma + c, n);
    vf_store_upto(dx + c, rstd * (g - mean_g - normal * mean_gx), n);
  }
}

// dgamma += Σ dy x̂ and dbeta += Σ dy over at most 4 rows, which are still in the cache.
RTK_INLINE void layer_norm_weight_gradient(float *dgamma, float *dbeta, const float *dy, const float *x,
                                           const float *mean, const float *rstd, size_t rows, size_t C) {
  for (size_t c = 0; c < C; c += RTK_W) {
    size_t n = C - c;
    vf sum = vf_splat(0), sum_x = vf_splat(0);
    for (size_t r = 0; r < rows; r++) {
      vf g = vf_load_upto(dy + r * C + c, n);
      sum += g;
      sum_x += g * ((vf_load_upto(x + r * C + c, n) - mean[r]) * rstd[r]);
    }
    if (dgamma) vf_store_upto(dgamma + c, vf_load_upto(dgamma + c, n) + sum_x, n);
    if (dbeta) vf_store_upto(dbeta + c, vf_load_upto(dbeta + c, n) + sum, n);
  }
}

static void layer_norm_backward(float *dx, float *dgamma, float *dbeta, const float *dy, const float *x,
                                const float *mean, const float *rstd, const float *gamma, size_t R, size_t C) {
  for (size_t r = 0; r < R; r += 4) {
    size_t rows = rtk_least(4, R - r);
    // Before dx is written, which may be dy.
    if (dgamma || dbeta) {
      layer_norm_weight_gradient(dgamma, dbeta, dy + r * C, x + r * C, mean + r, rstd + r, rows, C);
    }
    for (size_t k = r; k < r + rows; k++) {
      layer_norm_row_gradient(dx + k * C, dy + k * C, x + k * C, mean[k], rstd[k], gamma, C);
    }
  }
}

RTK_INLINE float row_max(const float *x, size_t C) {
  vf largest[2] = {vf_splat(-__builtin_inff()), vf_splat(-__builtin_inff())};
  size_t c = 0;
  for (; c + 2 * RTK_W <= C; c += 2 * RTK_W) {
    largest[0] = vf_max(largest[0], vf_load(x + c));
    largest[1] = vf_max(largest[1], vf_load(x + c + RTK_W));
  }
  for (; c < C; c += RTK_W) {
    vf rest = vf_select(vi_first(C - c), vf_load_upto(x + c, C - c), largest[0]);
    largest[0] = vf_max(largest[0], rest);
  }
  return vf_reduce_max(vf_max(largest[0], largest[1]));
}

// Sums over a row are float within blocks of this many elements and double over the blocks.
#define RTK_SUM_BLOCK 2048

// out = e^((x - shift) scale); returns the sum. out may be x.
RTK_INLINE double exponentiate(float *out, const float *x, size_t C, float shift, float scale) {
  double total = 0;
  for (size_t start = 0; start < C; start += RTK_SUM_BLOCK) {
    size_t end = rtk_least(start + RTK_SUM_BLOCK, C), c = start;
    vf sum = vf_splat(0);
    for (; c + RTK_W <= end; c += RTK_W) {
      vf e = vf_exp((vf_load(x + c) - shift) * scale);
      vf_store(out + c, e);
      sum += e;
    }
    if (c < end) {
      vf e = vf_where(vi_first(end - c), vf_exp((vf_load_part(x + c, end - c) - shift) * scale));
      vf_store_part(out + c, e, end - c);
      sum += e;
    }
    total += (double)vf_sum(sum);
  }
  return total;
}

#endif
