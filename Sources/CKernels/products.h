// Small matrix products: C = alpha A·B or C += alpha A·B, in tiles of rows × vectors held in registers.
#ifndef RTK_PRODUCTS_H
#define RTK_PRODUCTS_H

#include <stdlib.h>

#include "vector.h"

typedef struct {
  const float *a;  // [M, K]: element (i, k) is a[i * a_row + k * a_column]; strides express a transpose
  size_t a_row, a_column;
  const float *b;  // [K, N], rows b_row apart, readable up to N rounded up to whole vectors
  size_t b_row;
  float *c;  // [M, N], rows c_row apart; only N columns are written
  size_t c_row;
  size_t M, K, N;
  float alpha;
  bool accumulate;
} product;

// The largest tile: its sums, a row of B and a factor fill the registers (32 of AVX-512 and NEON, 16 otherwise).
#if RTK_W == 16 || defined(__aarch64__)
#define RTK_TILE_VECTORS 4
#define RTK_TILE_ROWS(vectors) ((vectors) == 4 ? 6 : 8)
#else
#define RTK_TILE_VECTORS 2
#define RTK_TILE_ROWS(vectors) ((vectors) == 2 ? 6 : 8)
#endif
#define RTK_UNROLL _Pragma("clang loop unroll(full)")

// One tile of rows × vectors; both are constants where this is inlined, so that the sums are registers.
RTK_INLINE void product_tile(const product *p, size_t i0, size_t j0, const size_t rows, const size_t vectors) {
  const float *a = p->a + i0 * p->a_row, *b = p->b + j0;
  size_t a_row = p->a_row, a_column = p->a_column, b_row = p->b_row;
  vf sums[8][RTK_TILE_VECTORS];
  RTK_UNROLL for (size_t i = 0; i < rows; i++) {
    RTK_UNROLL for (size_t j = 0; j < vectors; j++) sums[i][j] = vf_splat(0);
  }
  for (size_t k = p->K; k > 0; k--) {
    vf columns[RTK_TILE_VECTORS];
    RTK_UNROLL for (size_t j = 0; j < vectors; j++) columns[j] = vf_load(b + j * RTK_W);
    RTK_UNROLL for (size_t i = 0; i < rows; i++) {
      vf factor = vf_splat(a[i * a_row]);
      RTK_UNROLL for (size_t j = 0; j < vectors; j++) sums[i][j] += factor * columns[j];
    }
    a += a_column;
    b += b_row;
  }
  RTK_UNROLL for (size_t i = 0; i < rows; i++) {
    float *c = p->c + (i0 + i) * p->c_row + j0;
    RTK_UNROLL for (size_t j = 0; j < vectors; j++) {
      size_t n = p->N - j0 - j * RTK_W;
      vf sum = sums[i][j] * p->alpha;
      if (p->accumulate) sum += vf_load_upto(c + j * RTK_W, n);
      vf_store_upto(c + j * RTK_W, sum, n);
    }
  }
}

typedef void (*tile_function)(const product *p, size_t i0, size_t j0);
#define RTK_TILE(rows, vectors) \
  static void tile_##rows##x##vectors(const product *p, size_t i0, size_t j0) { \
    product_tile(p, i0, j0, rows, vectors); \
  }
#define RTK_TILES(vectors) \
  RTK_TILE(1, vectors) RTK_TILE(2, vectors) RTK_TILE(3, vectors) RTK_TILE(4, vectors) RTK_TILE(5, vectors) \
  RTK_TILE(6, vectors) RTK_TILE(7, vectors) RTK_TILE(8, vectors)
#define RTK_TILE_NAMES(vectors) \
  { tile_1x##vectors, tile_2x##vectors, tile_3x##vectors, tile_4x##vectors, tile_5x##vectors, tile_6x##vectors, \
    tile_7x##vectors, tile_8x##vectors }
RTK_TILES(1)
RTK_TILES(2)
#if RTK_TILE_VECTORS == 4
RTK_TILES(3)
RTK_TILES(4)
#endif

static const tile_function tiles[RTK_TILE_VECTORS][8] = {
  RTK_TILE_NAMES(1), RTK_TILE_NAMES(2),
#if RTK_TILE_VECTORS == 4
  RTK_TILE_NAMES(3), RTK_TILE_NAMES(4),
#endif
};

// The size of the next part when the rest is cut into equal parts: 13 rows are 7 and 6, not 8 and 5.
RTK_INLINE size_t even_part(size_t left, size_t largest) {
  size_t parts = (left + largest - 1) / largest;
  return (left + parts - 1) / parts;
}

static void multiply(const product *p) {
  size_t all_vectors = (p->N + RTK_W - 1) / RTK_W, vectors;
  for (size_t v = 0; v < all_vectors; v += vectors) {
    vectors = even_part(all_vectors - v, RTK_TILE_VECTORS);
    size_t rows;
    for (size_t i = 0; i < p->M; i += rows) {
      rows = even_part(p->M - i, RTK_TILE_ROWS(vectors));
      tiles[vectors - 1][rows - 1](p, i, v * RTK_W);
    }
  }
}

// copy[s, 0 ..< D] = x[s]; zeros fill the rows of copy up to whole vectors.
static void copy_rows(float *copy, const float *x, size_t x_row, size_t S, size_t D) {
  size_t width = rtk_round_up(D);
  for (size_t s = 0; s < S; s++) {
    for (size_t d = 0; d < D; d += RTK_W) vf_store(copy + s * width + d, vf_load_upto(x + s * x_row + d, D - d));
  }
}

// copy[d, s] = x[s, d]; rows of copy are copy_row apart, and zeros fill them up to whole vectors.
static void transpose_rows(float *copy, size_t copy_row, const float *x, size_t x_row, size_t S, size_t D) {
  for (size_t s = 0; s < S; s += RTK_W) {
    for (size_t d = 0; d < D; d += RTK_W) {
      vf square[RTK_W];
      for (size_t r = 0; r < RTK_W; r++) {
        square[r] = s + r < S ? vf_load_upto(x + (s + r) * x_row + d, D - d) : vf_splat(0);
      }
      vf_transpose(square);
      for (size_t r = 0; r < RTK_W && d + r < D; r++) vf_store(copy + (d + r) * copy_row + s, square[r]);
    }
  }
}

// Columns from ..< to of y = x Wᵀ. Packs W in panels of as many columns as a tile is wide and RTK_PANEL_DEPTH inputs.
// Each element is one chain of multiply-adds over k in order, in whichever tile it is: rows do not affect each other.
#define RTK_PANEL_DEPTH 512

static void linear_rows(float *y, const float *x, const float *w, size_t R, size_t K, size_t N, size_t from,
                        size_t to) {
  size_t widest = RTK_TILE_VECTORS * RTK_W, depth;
  float *panel = aligned_alloc(64, RTK_PANEL_DEPTH * widest * sizeof(float));
  if (!panel) abort();
  for (size_t n = from; n < to; n += widest) {
    size_t columns = rtk_least(widest, to - n);
    for (size_t k = 0; k < K; k += depth) {
      depth = even_part(K - k, RTK_PANEL_DEPTH);
      transpose_rows(panel, rtk_round_up(columns), w + n * K + k, K, columns, depth);
      multiply(&(product){
        .a = x + k, .a_row = K, .a_column = 1, .b = panel, .b_row = rtk_round_up(columns), .c = y + n, .c_row = N,
        .M = R, .K = depth, .N = columns, .alpha = 1, .accumulate = k > 0});
    }
  }
  free(panel);
}

#endif
