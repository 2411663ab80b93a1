// Small products of bf16 matrices with f32 sums, with the dot products of AVX512_BF16.
//
// The instruction multiplies pairs: each of its 32-bit words holds two neighbours along K, the first in the lower half.
// So A is read as words of two adjacent numbers, and B is laid out as rows of words, each a pair along K.
#ifndef RTK_PRODUCTS_BF16_H
#define RTK_PRODUCTS_BF16_H

#include "products.h"
#include "vector.h"

#ifdef RTK_HAS_BF16

typedef struct {
  const uint16_t *a;  // [M, K]: the word of pair (i, k) is at a + i * a_row + k * a_column
  size_t a_row, a_column;
  const uint32_t *b;  // [K, N] words, rows b_row apart, readable up to N rounded up to whole vectors
  size_t b_row;
  float *c;              // [M, N], rows c_row apart, overwritten or accumulated into; only N columns are written
  uint16_t *rounded;     // instead of c: [M, N], rows c_row apart, the sums times factors rounded once
  const float *factors;  // [M], or null for 1; for `rounded` only
  size_t c_row;
  size_t M, K, N;  // K in pairs
  bool accumulate;
} bf16_product;

RTK_INLINE uint32_t load_word(const uint16_t *p) {
  uint32_t word;
  __builtin_memcpy(&word, p, sizeof word);
  return word;
}

RTK_INLINE __m512i words_load(const uint32_t *p) { return _mm512_loadu_si512(p); }

RTK_INLINE vf dot_pairs(vf sums, uint32_t a, __m512i b) {
  return (vf)_mm512_dpbf16_ps((__m512)sums, (__m512bh)_mm512_set1_epi32((int)a), (__m512bh)b);
}

// The first n numbers of x as bf16.
RTK_INLINE void store_rounded(uint16_t *p, vf x, size_t n) {
  __m256i rounded = (__m256i)_mm512_cvtneps_pbh((__m512)x);
  if (n >= RTK_W) {
    _mm256_storeu_si256((__m256i *)p, rounded);
  } else {
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), rounded);
  }
}

// words[j] = (first[j], second[j]) of two rows.
RTK_INLINE __m512i pair_words(__m256i first, __m256i second) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(first), _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
}

RTK_INLINE void bf16_tile(const bf16_product *p, size_t i0, size_t j0, const size_t rows, const size_t vectors) {
  const uint16_t *a = p->a + i0 * p->a_row;
  const uint32_t *b = p->b + j0;
  size_t a_row = p->a_row, a_column = p->a_column, b_row = p->b_row;
  vf sums[8][RTK_TILE_VECTORS];
  RTK_UNROLL for (size_t i = 0; i < rows; i++) {
    RTK_UNROLL for (size_t j = 0; j < vectors; j++) sums[i][j] = vf_splat(0);
  }
  for (size_t k = p->K; k > 0; k--) {
    __m512i columns[RTK_TILE_VECTORS];
    RTK_UNROLL for (size_t j = 0; j < vectors; j++) columns[j] = words_load(b + j * RTK_W);
    RTK_UNROLL for (size_t i = 0; i < rows; i++) {
      uint32_t word = load_word(a + i * a_row);
      RTK_UNROLL for (size_t j = 0; j < vectors; j++) sums[i][j] = dot_pairs(sums[i][j], word, columns[j]);
    }
    a += a_column;
    b += b_row;
  }
  RTK_UNROLL for (size_t i = 0; i < rows; i++) {
    size_t at = (i0 + i) * p->c_row + j0;
    float factor = p->rounded && p->factors ? p->factors[i0 + i] : 1;
    RTK_UNROLL for (size_t j = 0; j < vectors; j++) {
      size_t n = p->N - j0 - j * RTK_W;
      vf sum = sums[i][j];
      if (p->rounded) {
        store_rounded(p->rounded + at + j * RTK_W, sum * factor, n);
      } else {
        if (p->accumulate) sum += vf_load_upto(p->c + at + j * RTK_W, n);
        vf_store_upto(p->c + at + j * RTK_W, sum, n);
      }
    }
  }
}

typedef void (*bf16_tile_function)(const bf16_product *p, size_t i0, size_t j0);
#undef RTK_TILE
#define RTK_TILE(rows, vectors) \
  static void bf16_tile_##rows##x##vectors(const bf16_product *p, size_t i0, size_t j0) { \
    bf16_tile(p, i0, j0, rows, vectors); \
  }
#undef RTK_TILE_NAMES
#define RTK_TILE_NAMES(vectors) \
  { bf16_tile_1x##vectors, bf16_tile_2x##vectors, bf16_tile_3x##vectors, bf16_tile_4x##vectors, \
    bf16_tile_5x##vectors, bf16_tile_6x##vectors, bf16_tile_7x##vectors, bf16_tile_8x##vectors }
RTK_TILES(1)
RTK_TILES(2)
RTK_TILES(3)
RTK_TILES(4)

static const bf16_tile_function bf16_tiles[RTK_TILE_VECTORS][8] = {
  RTK_TILE_NAMES(1), RTK_TILE_NAMES(2), RTK_TILE_NAMES(3), RTK_TILE_NAMES(4),
};

static void multiply_bf16(const bf16_product *p) {
  size_t all_vectors = (p->N + RTK_W - 1) / RTK_W, vectors;
  for (size_t v = 0; v < all_vectors; v += vectors) {
    vectors = even_part(all_vectors - v, RTK_TILE_VECTORS);
    size_t rows;
    for (size_t i = 0; i < p->M; i += rows) {
      rows = even_part(p->M - i, RTK_TILE_ROWS(vectors));
      bf16_tiles[vectors - 1][rows - 1](p, i, v * RTK_W);
    }
  }
}

// A mask of the first n numbers of two vectors' width.
RTK_INLINE __mmask32 first_numbers(size_t n) { return n >= 2 * RTK_W ? ~(__mmask32)0 : ((__mmask32)1 << n) - 1; }

// Prefetches the next head of the row, which is computed next: rows are too far apart for the CPU to predict it. A
// prefetch past the end of the array does nothing.
RTK_INLINE void fetch_next_head(const uint16_t *x, size_t D) { __builtin_prefetch(x + D); }

// words[p, s] = (x[s, 2p], x[s, 2p + 1]): the pairs of a row become a column. Rows of words are words_row apart. Zeros
// fill them up to whole vectors, and the second half of the last row when D is odd.
static void transpose_pairs(uint32_t *words, size_t words_row, const uint16_t *x, size_t x_row, size_t S, size_t D) {
  size_t pairs = (D + 1) / 2;
  for (size_t s = 0; s < S; s += RTK_W) {
    for (size_t d = 0; d < D; d += 2 * RTK_W) {
      __mmask32 mask = first_numbers(D - d);
      vf square[RTK_W];
      for (size_t r = 0; r < RTK_W; r++) {
        fetch_next_head(x + (s + r) * x_row + d, D);
        square[r] = s + r < S ? (vf)_mm512_maskz_loadu_epi16(mask, x + (s + r) * x_row + d) : vf_splat(0);
      }
      vf_transpose(square);
      for (size_t r = 0; r < RTK_W && d / 2 + r < pairs; r++) {
        vf_store((float *)(words + (d / 2 + r) * words_row + s), square[r]);
      }
    }
  }
}

// words[p, d] = (x[2p, d], x[2p + 1, d]): two rows become one. When S is odd the last row is paired with zeros; zeros
// fill the rows of words up to whole vectors.
static void interleave_rows(uint32_t *words, const uint16_t *x, size_t x_row, size_t S, size_t D) {
  size_t width = rtk_round_up(D);
  for (size_t d = 0; d < D; d += RTK_W) {
    __mmask16 mask = (__mmask16)first_numbers(rtk_least(D - d, RTK_W));
    for (size_t s = 0; s < S; s += 2) {
      const uint16_t *row = x + s * x_row + d;
      fetch_next_head(row, D);
      fetch_next_head(row + x_row, D);
      __m256i first = _mm256_maskz_loadu_epi16(mask, row);
      __m256i second = s + 1 < S ? _mm256_maskz_loadu_epi16(mask, row + x_row) : _mm256_setzero_si256();
      _mm512_storeu_si512(words + s / 2 * width + d, pair_words(first, second));
    }
  }
}

// copy[s, 0 ..< D] = x[s]; a zero fills the rows up to whole pairs.
static void copy_pairs(uint16_t *copy, const uint16_t *x, size_t x_row, size_t S, size_t D) {
  size_t width = (D + 1) / 2 * 2;
  for (size_t d = 0; d < D; d += 2 * RTK_W) {
    __mmask32 from = first_numbers(D - d), to = first_numbers(width - d);
    for (size_t s = 0; s < S; s++) {
      fetch_next_head(x + s * x_row + d, D);
      _mm512_mask_storeu_epi16(copy + s * width + d, to, _mm512_maskz_loadu_epi16(from, x + s * x_row + d));
    }
  }
}

#endif

#endif
