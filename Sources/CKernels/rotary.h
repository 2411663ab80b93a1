// Rotary positions (Su et al., 2021): element i of the first half of a head and element i of its second half are the
// coordinates of a point, which is rotated by an angle that depends on the token's position.
#ifndef RTK_ROTARY_H
#define RTK_ROTARY_H

#include "formats.h"
#include "vector.h"

// (a, b) becomes (a cos − b sin, b cos + a sin); the inverse negates the angle.
#define RTK_ROTATE(name, element, load, store) \
  static void name(element *x, const float *table, const int32_t *positions, size_t R, size_t stride, size_t H, \
                   size_t D, bool inverse) { \
    size_t half = D / 2; \
    for (size_t r = 0; r < R; r++) { \
      const float *cosines = table + (size_t)positions[r] * D, *sines = cosines + half; \
      for (size_t c = 0; c < half; c += RTK_W) { \
        size_t n = half - c; \
        vf cosine = vf_load_upto(cosines + c, n), sine = vf_load_upto(sines + c, n); \
        if (inverse) sine = -sine; \
        for (size_t h = 0; h < H; h++) { \
          element *first = x + r * stride + h * D + c, *second = first + half; \
          vf a = load(first, n), b = load(second, n); \
          store(first, a * cosine - b * sine, n); \
          store(second, b * cosine + a * sine, n); \
        } \
      } \
    } \
  }

RTK_ROTATE(rotate, float, vf_load_upto, vf_store_upto)
RTK_ROTATE(bf16_rotate, uint16_t, vb_load_upto, vb_store_upto)

#endif
