// Losses of rows of logits. Sums are float within a block and double over blocks; logarithms are double.
#ifndef RTK_LOSSES_H
#define RTK_LOSSES_H

#include "elementwise.h"
#include "rows.h"
#include "transcendental.h"
#include "vector.h"

static void cross_entropy(double *value, float *gradient, const float *logits, const int32_t *labels, size_t R,
                          size_t C) {
  for (size_t r = 0; r < R; r++) {
    const float *row = logits + r * C;
    float *g = gradient + r * C;
    if (labels[r] < 0) {
      value[r] = 0;
      fill(g, 0, C);
      continue;
    }
    size_t label = (size_t)labels[r];
    float shift = row_max(row, C), score = row[label];  // before g, which may be the logits, is written
    double sum = exponentiate(g, row, C, shift, 1);
    value[r] = __builtin_log(sum) - ((double)score - (double)shift);
    scale(g, (float)(1 / sum), C);
    g[label] -= 1;
  }
}

// Sums over one row, with a = (s - max s) / T and b = (t - max t) / T:
typedef struct {
  double student, teacher;  // Σ e^a, Σ e^b
  double difference;        // Σ e^b (b - a)
} kl_sums;

// g receives e^a.
RTK_INLINE kl_sums sum_kl(float *g, const float *s, const float *t, size_t C, float s_max, float t_max,
                          float inverse_temperature) {
  kl_sums sums = {0};
  for (size_t start = 0; start < C; start += RTK_SUM_BLOCK) {
    size_t end = rtk_least(start + RTK_SUM_BLOCK, C);
    vf student = vf_splat(0), teacher = vf_splat(0), difference = vf_splat(0);
    for (size_t c = start; c < end; c += RTK_W) {
      vi here = vi_first(end - c);
      vf a = (vf_load_upto(s + c, end - c) - s_max) * inverse_temperature;
      vf b = (vf_load_upto(t + c, end - c) - t_max) * inverse_temperature;
      vf exp_a = vf_where(here, vf_exp(a)), exp_b = vf_where(here, vf_exp(b));
      vf_store_upto(g + c, exp_a, end - c);
      student += exp_a;
      teacher += exp_b;
      difference += vf_where((vi)(exp_b != 0.0f), exp_b * (b - a));  // 0 for a class that the teacher excludes
    }
    sums.student += (double)vf_sum(student);
    sums.teacher += (double)vf_sum(teacher);
    sums.difference += (double)vf_sum(difference);
  }
  return sums;
}

// KL = Σ p (log p - log q) = Σ p (b - a) - log Σ e^b + log Σ e^a
static void forward_kl(double *value, float *gradient, const float *student, const float *teacher,
                       const float *weights, size_t R, size_t C, float temperature) {
  float inverse_temperature = 1.0f / temperature;
  for (size_t r = 0; r < R; r++) {
    const float *s = student + r * C, *t = teacher + r * C;
    float *g = gradient + r * C;
    float weight = weights ? weights[r] : 1;
    if (weight == 0) {
      value[r] = 0;
      fill(g, 0, C);
      continue;
    }
    float s_max = row_max(s, C), t_max = row_max(t, C);
    kl_sums sums = sum_kl(g, s, t, C, s_max, t_max, inverse_temperature);
    double kl = sums.difference / sums.teacher - __builtin_log(sums.teacher) + __builtin_log(sums.student);
    value[r] = (double)weight * (double)temperature * (double)temperature * kl;

    double factor = (double)weight * (double)temperature;
    float q_scale = (float)(factor / sums.student), p_scale = (float)(factor / sums.teacher);
    for (size_t c = 0; c < C; c += RTK_W) {
      vf exp_b = vf_exp((vf_load_upto(t + c, C - c) - t_max) * inverse_temperature);
      vf_store_upto(g + c, vf_load_upto(g + c, C - c) * q_scale - exp_b * p_scale, C - c);
    }
  }
}

#endif
