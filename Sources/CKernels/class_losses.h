// Losses of whole rows of classes: the label against the rest, and sorted probabilities.
#ifndef RTK_CLASS_LOSSES_H
#define RTK_CLASS_LOSSES_H

#include "formats.h"
#include "head_loss.h"
#include "rows.h"
#include "vector.h"

// log Σ e^(x/T) over all classes except one.
static double rest_log_sum(const float *x, size_t C, size_t left_out, double T) {
  double largest = -__builtin_inf(), sum = 0;
  for (size_t c = 0; c < C; c++) {
    if (c != left_out && (double)x[c] > largest) largest = (double)x[c];
  }
  if (largest == -__builtin_inf()) largest = 0;
  for (size_t c = 0; c < C; c++) {
    if (c != left_out) sum += __builtin_exp(((double)x[c] - largest) / T);
  }
  return largest / T + __builtin_log(sum);
}

// log (e^a / (e^a + e^b))
RTK_INLINE double log_share(double a, double b) {
  double difference = b - a;
  if (difference > 0) return -difference - __builtin_log1p(__builtin_exp(-difference));
  return -__builtin_log1p(__builtin_exp(difference));
}

// The row's loss; gradient += weight ∂loss/∂s.
static double decoupled_row(float *gradient, double weight, const float *s, const float *t, size_t label, size_t C,
                            double T, double target_weight, double rest_weight) {
  double s_target = (double)s[label] / T, t_target = (double)t[label] / T;
  double s_rest = rest_log_sum(s, C, label, T), t_rest = rest_log_sum(t, C, label, T);
  double log_q = log_share(s_target, s_rest), log_p = log_share(t_target, t_rest);
  double log_q_rest = log_share(s_rest, s_target), log_p_rest = log_share(t_rest, t_target);
  double q = __builtin_exp(log_q), p = __builtin_exp(log_p);
  double q_rest = __builtin_exp(log_q_rest), p_rest = __builtin_exp(log_p_rest);
  double target = head_bucket(p, log_q - log_p, q) + head_bucket(p_rest, log_q_rest - log_p_rest, q_rest);
  // q - p without cancellation where both are close to 1
  double moves = target_weight * (q < 0.5 ? q - p : p_rest - q_rest), rest = 0;
  for (size_t c = 0; c < C; c++) {
    double g = moves;
    if (c != label) {
      double log_b = (double)s[c] / T - s_rest, log_a = (double)t[c] / T - t_rest;
      double b = __builtin_exp(log_b), a = __builtin_exp(log_a);
      rest += head_bucket(a, log_b - log_a, b);
      g = rest_weight * (b - a) - moves * b;
    }
    if (weight != 0) gradient[c] += (float)(weight * T * g);
  }
  return T * T * (target_weight * target + rest_weight * rest);
}

static void decoupled_kl(double *value, float *gradient, const float *weights, const float *student,
                         const float *teacher, const int32_t *labels, size_t R, size_t C, float temperature,
                         double target_weight, double rest_weight) {
  for (size_t r = 0; r < R; r++) {
    value[r] = 0;
    if (labels[r] < 0 || C < 2) continue;
    double weight = !gradient ? 0 : weights ? (double)weights[r] : 1;
    value[r] = decoupled_row(gradient + r * C, weight, student + r * C, teacher + r * C, (size_t)labels[r], C,
                             (double)temperature, target_weight, rest_weight);
  }
}

// ---- sorted probabilities -----------------------------------------------------------------------

// A float from 0 to 1 has 30 significant bits, which a radix sort takes in three passes.
#define RTK_SORT_BITS 10
#define RTK_SORT_BUCKETS (1u << RTK_SORT_BITS)

// Sorts keys [N] by bits 32 to 61, the least first. The result is in keys or in other [N]; returns which.
static uint64_t *sort_keys(uint64_t *keys, uint64_t *other, size_t N) {
  uint32_t starts[3][RTK_SORT_BUCKETS] = {{0}};
  for (size_t i = 0; i < N; i++) {
    uint32_t bits = (uint32_t)(keys[i] >> 32);
    for (int pass = 0; pass < 3; pass++) starts[pass][bits >> (pass * RTK_SORT_BITS) & (RTK_SORT_BUCKETS - 1)]++;
  }
  for (int pass = 0; pass < 3; pass++) {
    uint32_t total = 0, most = 0;
    for (size_t b = 0; b < RTK_SORT_BUCKETS; b++) {
      uint32_t count = starts[pass][b];
      starts[pass][b] = total;
      total += count;
      if (count > most) most = count;
    }
    if (most == N) continue;  // all have the same digit
    int shift = 32 + pass * RTK_SORT_BITS;
    for (size_t i = 0; i < N; i++) other[starts[pass][keys[i] >> shift & (RTK_SORT_BUCKETS - 1)]++] = keys[i];
    uint64_t *sorted = other;
    other = keys;
    keys = sorted;
  }
  return keys;
}

// Sorted keys (bits of e^((x - max x)/T), class) in memory of 3 C numbers; *scale_of receives 1 / Σ e^….
static uint64_t *sorted_exponentials(uint64_t *memory, float *scale_of, const float *x, size_t C, float temperature) {
  float *exponentials = (float *)(memory + 2 * C);
  double sum = exponentiate(exponentials, x, C, row_max(x, C), 1.0f / temperature);
  *scale_of = (float)(1 / sum);
  for (size_t c = 0; c < C; c++) memory[c] = (uint64_t)bits_of(exponentials[c]) << 32 | (uint32_t)c;
  return sort_keys(memory, memory + C, C);
}

static void sorted_l1(double *value, float *gradient, const float *weights, const float *student, const float *teacher,
                      uint64_t *scratch, size_t R, size_t C, size_t Ct, float temperature) {
  size_t both = rtk_least(C, Ct);
  for (size_t r = 0; r < R; r++) {
    float q_scale, p_scale;
    const uint64_t *q_keys = sorted_exponentials(scratch, &q_scale, student + r * C, C, temperature);
    const uint64_t *p_keys = sorted_exponentials(scratch + 3 * C, &p_scale, teacher + r * Ct, Ct, temperature);
    double total = q_scale == q_scale && p_scale == p_scale ? 0 : __builtin_nan(""), slope = 0;
    // The last key is the largest.
    for (size_t i = 0; i < both; i++) {
      double q = (double)(float_of((uint32_t)(q_keys[C - 1 - i] >> 32)) * q_scale);
      double p = (double)(float_of((uint32_t)(p_keys[Ct - 1 - i] >> 32)) * p_scale);
      total += q > p ? q - p : p - q;
      slope += q > p ? q : q < p ? -q : 0;
    }
    for (size_t i = both; i < C; i++) {
      double q = (double)(float_of((uint32_t)(q_keys[C - 1 - i] >> 32)) * q_scale);
      total += q;
      slope += q;
    }
    for (size_t i = both; i < Ct; i++) total += (double)(float_of((uint32_t)(p_keys[Ct - 1 - i] >> 32)) * p_scale);
    value[r] = total;
    float factor = (weights ? weights[r] : 1) / temperature;
    if (!gradient || factor == 0) continue;
    for (size_t i = 0; i < C; i++) {
      uint64_t key = q_keys[C - 1 - i];
      float q = float_of((uint32_t)(key >> 32)) * q_scale;
      float p = i < Ct ? float_of((uint32_t)(p_keys[Ct - 1 - i] >> 32)) * p_scale : 0;
      float sign = q > p ? 1 : q < p ? -1 : 0;
      gradient[r * C + (uint32_t)key] += factor * q * (sign - (float)slope);
    }
  }
}

#endif
