// Vectors of RTK_W floats. Each kernels_*.c defines RTK_W for its instruction set and includes this once, inside its
// target attribute; everything is static, so all sets use the same names.
#ifndef RTK_VECTOR_H
#define RTK_VECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A header that is read alone, by an editor or a check, gets the widest set of the compiler's own target.
#ifndef RTK_W
#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define RTK_W 16
#define RTK_HAS_BF16 1
#elif defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define RTK_W 16
#elif defined(__AVX2__) && defined(__FMA__)
#define RTK_W 8
#else
#define RTK_W 4
#endif
#endif

#if RTK_W > 4
#include <immintrin.h>
#endif

#define RTK_INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((ext_vector_type(RTK_W)));
typedef int32_t vi __attribute__((ext_vector_type(RTK_W)));
typedef uint32_t vu __attribute__((ext_vector_type(RTK_W)));

RTK_INLINE vf vf_splat(float x) { return (vf)(x); }

RTK_INLINE vf vf_load(const float *p) {
  vf v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

RTK_INLINE void vf_store(float *p, vf v) { __builtin_memcpy(p, &v, sizeof v); }

// The first n < RTK_W elements. The other lanes are 0 after a load, and memory past the n elements is not accessed.
#if RTK_W == 16
RTK_INLINE vf vf_load_part(const float *p, size_t n) {
  return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
RTK_INLINE void vf_store_part(float *p, vf v, size_t n) {
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
}
#elif RTK_W == 8
RTK_INLINE __m256i rtk_part_mask(size_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
RTK_INLINE vf vf_load_part(const float *p, size_t n) { return (vf)_mm256_maskload_ps(p, rtk_part_mask(n)); }
RTK_INLINE void vf_store_part(float *p, vf v, size_t n) { _mm256_maskstore_ps(p, rtk_part_mask(n), (__m256)v); }
#else
RTK_INLINE vf vf_load_part(const float *p, size_t n) {
  return (vf){n > 0 ? p[0] : 0, n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, 0};
}
RTK_INLINE void vf_store_part(float *p, vf v, size_t n) {
  if (n > 0) p[0] = v.x;
  if (n > 1) p[1] = v.y;
  if (n > 2) p[2] = v.z;
}
#endif

// For loops `for (size_t i = 0; i < N; i += RTK_W)` whose last step may have fewer elements.
RTK_INLINE vf vf_load_upto(const float *p, size_t n) { return n >= RTK_W ? vf_load(p) : vf_load_part(p, n); }
RTK_INLINE void vf_store_upto(float *p, vf v, size_t n) {
  if (n >= RTK_W) {
    vf_store(p, v);
  } else {
    vf_store_part(p, v, n);
  }
}

RTK_INLINE vi vi_lanes(void) {
#if RTK_W == 16
  return (vi){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif RTK_W == 8
  return (vi){0, 1, 2, 3, 4, 5, 6, 7};
#else
  return (vi){0, 1, 2, 3};
#endif
}

// All ones in the first n lanes (in all when n >= RTK_W).
RTK_INLINE vi vi_first(size_t n) { return vi_lanes() < (vi)((int32_t)(n < RTK_W ? n : RTK_W)); }

// Lanes of a where the mask is all ones, of b where it is 0.
RTK_INLINE vf vf_select(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
RTK_INLINE vf vf_where(vi mask, vf a) { return (vf)(mask & (vi)a); }
// A NaN in b propagates, a NaN in a does not.
#if RTK_W == 16
RTK_INLINE vf vf_max(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
RTK_INLINE vf vf_min(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
#elif RTK_W == 8
RTK_INLINE vf vf_max(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
RTK_INLINE vf vf_min(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
#else
RTK_INLINE vf vf_max(vf a, vf b) { return vf_select(a > b, a, b); }
RTK_INLINE vf vf_min(vf a, vf b) { return vf_select(a < b, a, b); }
#endif
RTK_INLINE vf vf_abs(vf x) { return (vf)((vi)x & 0x7fffffff); }

// Both reductions fold halves, in the same order on each call.
#if RTK_W == 16
#define RTK_FOLD(v, op) \
  __auto_type a8 = op((v).lo, (v).hi); \
  __auto_type a4 = op(a8.lo, a8.hi); \
  __auto_type a2 = op(a4.lo, a4.hi)
#elif RTK_W == 8
#define RTK_FOLD(v, op) \
  __auto_type a4 = op((v).lo, (v).hi); \
  __auto_type a2 = op(a4.lo, a4.hi)
#else
#define RTK_FOLD(v, op) __auto_type a2 = op((v).lo, (v).hi)
#endif
#define RTK_PLUS(a, b) ((a) + (b))
#define RTK_LARGER(a, b) __builtin_elementwise_max(a, b)

RTK_INLINE float vf_sum(vf v) {
  RTK_FOLD(v, RTK_PLUS);
  return a2.x + a2.y;
}

RTK_INLINE float vf_reduce_max(vf v) {
  RTK_FOLD(v, RTK_LARGER);
  return a2.x > a2.y ? a2.x : a2.y;
}

// Transposes a square of RTK_W rows in registers by exchanging blocks of half, a quarter, … of the width.
#define RTK_EXCHANGE_A(l, s) (((l) & (s)) ? RTK_W + (l) - (s) : (l))
#define RTK_EXCHANGE_B(l, s) (((l) & (s)) ? RTK_W + (l) : (l) + (s))
#define RTK_LANES4(F, l, s) F(l, s), F((l) + 1, s), F((l) + 2, s), F((l) + 3, s)
#if RTK_W == 16
#define RTK_LANES(F, s) RTK_LANES4(F, 0, s), RTK_LANES4(F, 4, s), RTK_LANES4(F, 8, s), RTK_LANES4(F, 12, s)
#elif RTK_W == 8
#define RTK_LANES(F, s) RTK_LANES4(F, 0, s), RTK_LANES4(F, 4, s)
#else
#define RTK_LANES(F, s) RTK_LANES4(F, 0, s)
#endif
#define RTK_EXCHANGE(rows, s) \
  _Pragma("clang loop unroll(full)") for (int r = 0; r < RTK_W; r++) { \
    if ((r & (s)) == 0) { \
      vf a = rows[r], b = rows[r + (s)]; \
      rows[r] = __builtin_shufflevector(a, b, RTK_LANES(RTK_EXCHANGE_A, s)); \
      rows[r + (s)] = __builtin_shufflevector(a, b, RTK_LANES(RTK_EXCHANGE_B, s)); \
    } \
  }

RTK_INLINE void vf_transpose(vf rows[RTK_W]) {
#if RTK_W >= 16
  RTK_EXCHANGE(rows, 8)
#endif
#if RTK_W >= 8
  RTK_EXCHANGE(rows, 4)
#endif
  RTK_EXCHANGE(rows, 2)
  RTK_EXCHANGE(rows, 1)
}

RTK_INLINE size_t rtk_round_up(size_t n) { return (n + RTK_W - 1) / RTK_W * RTK_W; }
RTK_INLINE size_t rtk_least(size_t a, size_t b) { return a < b ? a : b; }

#endif
