// AdamW. Steps of weights without a gradient may be taken later, with the same arithmetic.
#ifndef RTK_OPTIMIZER_H
#define RTK_OPTIMIZER_H

#include "include/retort_kernels.h"
#include "vector.h"

// One step of one vector of weights. Both kernels use it, so that a step taken later gives the same bits.
RTK_INLINE void adamw_vector(vf *p, vf *m, vf *v, vf gradient, const rtk_adamw_step *step) {
  vf first = step->beta1 * *m + step->rest1 * gradient;
  vf second = step->beta2 * *v + step->rest2 * (gradient * gradient);
  vf denominator = __builtin_elementwise_sqrt(second) * step->root_scale + step->epsilon;
  *m = first;
  *v = second;
  *p = *p * step->keep - step->rate * first / denominator;
}

static void adamw(float *p, const float *g, float *m, float *v, size_t N, const rtk_adamw_step *step) {
  const rtk_adamw_step constants = *step;  // a copy, so that stores do not force the compiler to reload it
  for (size_t i = 0; i < N; i += RTK_W) {
    size_t n = N - i;
    vf weight = vf_load_upto(p + i, n), first = vf_load_upto(m + i, n), second = vf_load_upto(v + i, n);
    adamw_vector(&weight, &first, &second, vf_load_upto(g + i, n) * constants.gradient_scale, &constants);
    vf_store_upto(m + i, first, n);
    vf_store_upto(v + i, second, n);
    vf_store_upto(p + i, weight, n);
  }
}

// K steps of `count` vectors in registers; several vectors hide the latency of the square root.
RTK_INLINE void adamw_idle_vectors(float *p, float *m, float *v, size_t n, const rtk_adamw_step *steps, size_t K,
                                   const int count) {
  vf weight[4], first[4], second[4];
  for (int j = 0; j < count; j++) {
    size_t rest = n - (size_t)j * RTK_W;
    weight[j] = vf_load_upto(p + j * RTK_W, rest);
    first[j] = vf_load_upto(m + j * RTK_W, rest);
    second[j] = vf_load_upto(v + j * RTK_W, rest);
  }
  for (size_t k = 0; k < K; k++) {
    // A product, as in adamw, that the compiler does not know to be 0, so that it cannot round in another order.
    vf gradient = vf_splat(0) * steps[k].gradient_scale;
    for (int j = 0; j < count; j++) adamw_vector(&weight[j], &first[j], &second[j], gradient, &steps[k]);
  }
  for (int j = 0; j < count; j++) {
    size_t rest = n - (size_t)j * RTK_W;
    vf_store_upto(m + j * RTK_W, first[j], rest);
    vf_store_upto(v + j * RTK_W, second[j], rest);
    vf_store_upto(p + j * RTK_W, weight[j], rest);
  }
}

static void adamw_idle(float *p, float *m, float *v, size_t N, const rtk_adamw_step *steps, size_t K) {
  size_t i = 0;
  for (; i + 4 * RTK_W <= N; i += 4 * RTK_W) adamw_idle_vectors(p + i, m + i, v + i, 4 * RTK_W, steps, K, 4);
  for (; i < N; i += RTK_W) adamw_idle_vectors(p + i, m + i, v + i, N - i, steps, K, 1);
}

#endif
