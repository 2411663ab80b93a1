#ifndef RTK_TABLE_H
#define RTK_TABLE_H

#include "include/retort_kernels.h"

// Every kernel once: result, name, parameters, arguments. From this list come the table's fields, the table of each
// instruction set, and the public functions.
#define RTK_KERNELS(K) \
  K(void, add, (float *out, const float *a, const float *b, size_t N), (out, a, b, N)) \
  K(void, axpy, (float *y, float alpha, const float *x, size_t N), (y, alpha, x, N)) \
  K(void, scale, (float *x, float alpha, size_t N), (x, alpha, N)) \
  K(void, fill, (float *x, float value, size_t N), (x, value, N)) \
  K(double, sum_of_squares, (const float *x, size_t N), (x, N)) \
  K(bool, all_finite, (const float *x, size_t N), (x, N)) \
  K(void, normal_numbers, (float *out, uint64_t state, float deviation, size_t N), (out, state, deviation, N)) \
  K(void, sum_parts, (float *out, const float *parts, size_t P, size_t stride, size_t N), \
    (out, parts, P, stride, N)) \
  K(void, add_bias, (float *x, const float *bias, size_t R, size_t C), (x, bias, R, C)) \
  K(void, column_sums, (float *sums, const float *x, size_t R, size_t C), (sums, x, R, C)) \
  K(void, activation_forward, (rtk_activation kind, float *out, const float *x, size_t N), (kind, out, x, N)) \
  K(void, activation_backward, (rtk_activation kind, float *dx, const float *dy, const float *x, size_t N), \
    (kind, dx, dy, x, N)) \
  K(void, bf16_to_f32, (float *out, const uint16_t *x, size_t N), (out, x, N)) \
  K(void, f16_to_f32, (float *out, const uint16_t *x, size_t N), (out, x, N)) \
  K(void, f32_to_bf16, (uint16_t *out, const float *x, size_t N), (out, x, N)) \
  K(void, f32_to_f16, (uint16_t *out, const float *x, size_t N), (out, x, N)) \
  K(void, gather_rows, (float *out, const float *table, const int32_t *ids, size_t R, size_t C), \
    (out, table, ids, R, C)) \
  K(void, gather_rows_add, (float *out, const float *table, const int32_t *ids, size_t R, size_t C), \
    (out, table, ids, R, C)) \
  K(void, scatter_add_rows, (float *table, const float *x, const int32_t *ids, size_t R, size_t C), \
    (table, x, ids, R, C)) \
  K(void, layer_norm_forward, \
    (float *y, float *mean, float *rstd, const float *x, const float *gamma, const float *beta, size_t R, size_t C, \
     float eps), \
    (y, mean, rstd, x, gamma, beta, R, C, eps)) \
  K(void, layer_norm_backward, \
    (float *dx, float *dgamma, float *dbeta, const float *dy, const float *x, const float *mean, const float *rstd, \
     const float *gamma, size_t R, size_t C), \
    (dx, dgamma, dbeta, dy, x, mean, rstd, gamma, R, C)) \
  K(void, add_layer_norm_forward, \
    (float *y, float *sum, float *mean, float *rstd, const float *x, const float *residual, const float *gamma, \
     const float *beta, size_t R, size_t C, float eps), \
    (y, sum, mean, rstd, x, residual, gamma, beta, R, C, eps)) \
  K(void, linear_rows, \
    (float *y, const float *x, const float *w, size_t R, size_t K, size_t N, size_t from, size_t to), \
    (y, x, w, R, K, N, from, to)) \
  K(void, softmax, (float *out, const float *x, size_t R, size_t C, float inverse_temperature), \
    (out, x, R, C, inverse_temperature)) \
  K(void, dropout, \
    (float *out, const float *x, const int32_t *offsets, const uint32_t *keys, size_t B, size_t C, float p), \
    (out, x, offsets, keys, B, C, p)) \
  K(void, bf16_add, (uint16_t *out, const uint16_t *a, const uint16_t *b, size_t N), (out, a, b, N)) \
  K(void, bf16_column_sums, (float *sums, const uint16_t *x, size_t R, size_t C), (sums, x, R, C)) \
  K(void, bf16_activation_forward, (rtk_activation kind, uint16_t *out, const uint16_t *x, size_t N), \
    (kind, out, x, N)) \
  K(void, bf16_activation_backward, \
    (rtk_activation kind, uint16_t *dx, const uint16_t *dy, const uint16_t *x, size_t N), (kind, dx, dy, x, N)) \
  K(void, bf16_gather_rows, (uint16_t *out, const uint16_t *table, const int32_t *ids, size_t R, size_t C), \
    (out, table, ids, R, C)) \
  K(void, bf16_scatter_add_rows, (uint16_t *table, const uint16_t *x, const int32_t *ids, size_t R, size_t C), \
    (table, x, ids, R, C)) \
  K(void, bf16_dropout, \
    (uint16_t *out, const uint16_t *x, const int32_t *offsets, const uint32_t *keys, size_t B, size_t C, float p), \
    (out, x, offsets, keys, B, C, p)) \
  K(void, bf16_layer_norm_forward, \
    (uint16_t *y, uint16_t *sum, float *mean, float *rstd, const uint16_t *x, const rtk_dropout_mask *mask, \
     const uint16_t *residual, const float *gamma, const float *beta, size_t R, size_t C, float eps), \
    (y, sum, mean, rstd, x, mask, residual, gamma, beta, R, C, eps)) \
  K(void, bf16_layer_norm_again, \
    (uint16_t *y, const uint16_t *sum, const float *mean, const float *rstd, const float *gamma, const float *beta, \
     size_t R, size_t C), \
    (y, sum, mean, rstd, gamma, beta, R, C)) \
  K(void, bf16_layer_norm_backward, \
    (uint16_t *dsum, uint16_t *dx, float *dgamma, float *dbeta, const uint16_t *dy, const uint16_t *sum, \
     const float *mean, const float *rstd, const float *gamma, const rtk_dropout_mask *mask, size_t R, size_t C), \
    (dsum, dx, dgamma, dbeta, dy, sum, mean, rstd, gamma, mask, R, C)) \
  K(void, attention_forward, \
    (const rtk_attention_shape *shape, float *out, float *lse, float *probabilities, const float *q, const float *k, \
     const float *v, size_t from, size_t to), \
    (shape, out, lse, probabilities, q, k, v, from, to)) \
  K(void, attention_backward, \
    (const rtk_attention_shape *shape, float *dq, float *dk, float *dv, const float *dout, \
     const float *dprobabilities, const float *lse, const float *q, const float *k, const float *v, size_t from, \
     size_t to), \
    (shape, dq, dk, dv, dout, dprobabilities, lse, q, k, v, from, to)) \
  K(void, attention_forward_bf16, \
    (const rtk_attention_shape *shape, uint16_t *out, float *lse, float *probabilities, const uint16_t *q, \
     const uint16_t *k, const uint16_t *v, size_t from, size_t to), \
    (shape, out, lse, probabilities, q, k, v, from, to)) \
  K(void, attention_backward_bf16, \
    (const rtk_attention_shape *shape, uint16_t *dq, uint16_t *dk, uint16_t *dv, const uint16_t *dout, \
     const float *lse, const uint16_t *q, const uint16_t *k, const uint16_t *v, size_t from, size_t to), \
    (shape, dq, dk, dv, dout, lse, q, k, v, from, to)) \
  K(void, rms_norm_forward, \
    (float *y, float *sum, float *rstd, const float *x, const float *residual, const float *gamma, size_t R, \
     size_t C, float eps), \
    (y, sum, rstd, x, residual, gamma, R, C, eps)) \
  K(void, bf16_rms_norm_forward, \
    (uint16_t *y, float *sum, float *rstd, const float *x, const float *residual, const float *gamma, size_t R, \
     size_t C, float eps), \
    (y, sum, rstd, x, residual, gamma, R, C, eps)) \
  K(void, rms_norm_again, \
    (float *y, const float *x, const float *rstd, const float *gamma, size_t R, size_t C), \
    (y, x, rstd, gamma, R, C)) \
  K(void, bf16_rms_norm_again, \
    (uint16_t *y, const float *x, const float *rstd, const float *gamma, size_t R, size_t C), \
    (y, x, rstd, gamma, R, C)) \
  K(void, rms_norm_backward, \
    (float *dx, float *dgamma, const float *dy, const float *x, const float *rstd, const float *gamma, size_t R, \
     size_t C, bool accumulate), \
    (dx, dgamma, dy, x, rstd, gamma, R, C, accumulate)) \
  K(void, bf16_rms_norm_backward, \
    (float *dx, float *dgamma, const uint16_t *dy, const float *x, const float *rstd, const float *gamma, size_t R, \
     size_t C, bool accumulate), \
    (dx, dgamma, dy, x, rstd, gamma, R, C, accumulate)) \
  K(void, rotate, \
    (float *x, const float *table, const int32_t *positions, size_t R, size_t stride, size_t H, size_t D, \
     bool inverse), \
    (x, table, positions, R, stride, H, D, inverse)) \
  K(void, bf16_rotate, \
    (uint16_t *x, const float *table, const int32_t *positions, size_t R, size_t stride, size_t H, size_t D, \
     bool inverse), \
    (x, table, positions, R, stride, H, D, inverse)) \
  K(void, gated_forward, \
    (rtk_activation kind, float *y, const float *x, size_t R, size_t C), \
    (kind, y, x, R, C)) \
  K(void, bf16_gated_forward, \
    (rtk_activation kind, uint16_t *y, const uint16_t *x, size_t R, size_t C), \
    (kind, y, x, R, C)) \
  K(void, gated_backward, \
    (rtk_activation kind, float *dx, const float *dy, const float *x, size_t R, size_t C), \
    (kind, dx, dy, x, R, C)) \
  K(void, bf16_gated_backward, \
    (rtk_activation kind, uint16_t *dx, const uint16_t *dy, const uint16_t *x, size_t R, size_t C), \
    (kind, dx, dy, x, R, C)) \
  K(void, matvec, (float *y, const float *x, const float *w, size_t K, size_t from, size_t to), \
    (y, x, w, K, from, to)) \
  K(void, attention_step, \
    (float *out, const float *q, const float *keys, const float *values, size_t S, size_t H, size_t H_kv, size_t D, \
     float factor, size_t from, size_t to), \
    (out, q, keys, values, S, H, H_kv, D, factor, from, to)) \
  K(void, bf16_matvec, (float *y, const float *x, const uint16_t *w, size_t K, size_t from, size_t to), \
    (y, x, w, K, from, to)) \
  K(void, bf16_attention_step, \
    (uint16_t *out, const uint16_t *q, const uint16_t *keys, const uint16_t *values, size_t S, size_t H, size_t H_kv, size_t D, \
     float factor, size_t from, size_t to), \
    (out, q, keys, values, S, H, H_kv, D, factor, from, to)) \
  K(void, cross_entropy, \
    (double *value, float *gradient, const float *logits, const int32_t *labels, size_t R, size_t C), \
    (value, gradient, logits, labels, R, C)) \
  K(void, forward_kl, \
    (double *value, float *gradient, const float *student, const float *teacher, const float *weights, size_t R, \
     size_t C, float temperature), \
    (value, gradient, student, teacher, weights, R, C, temperature)) \
  K(void, head_sums, \
    (rtk_head_row *rows, const float *student, const rtk_head_teacher *teacher, size_t R, size_t C, \
     float temperature), \
    (rows, student, teacher, R, C, temperature)) \
  K(void, head_shift, \
    (rtk_head_row *rows, const float *student_max, const float *teacher_max, size_t R, float temperature), \
    (rows, student_max, teacher_max, R, temperature)) \
  K(void, head_finish, \
    (double *hard, double *soft, rtk_head_factors *factors, const rtk_head_row *rows, const double *scores, \
     const int32_t *labels, size_t R, bool has_teacher, double hard_weight, double soft_weight, \
     float temperature), \
    (hard, soft, factors, rows, scores, labels, R, has_teacher, hard_weight, soft_weight, temperature)) \
  K(void, head_finish_top_k, \
    (double *hard, double *soft, rtk_head_factors *factors, float *gradients, const rtk_head_row *rows, \
     const double *scores, const int32_t *labels, const rtk_head_top_k *top, size_t R, double hard_weight, \
     double soft_weight, float temperature), \
    (hard, soft, factors, gradients, rows, scores, labels, top, R, hard_weight, soft_weight, temperature)) \
  K(void, head_gradient, \
    (void *gradient, bool rounds, const float *student, const rtk_head_teacher *teacher, \
     const rtk_head_factors *factors, const int32_t *labels, size_t first, size_t R, size_t C, double hard_weight, \
     float temperature), \
    (gradient, rounds, student, teacher, factors, labels, first, R, C, hard_weight, temperature)) \
  K(void, head_pick, \
    (double *scores, const float *student, const int32_t *classes, size_t k, size_t first, size_t R, size_t C), \
    (scores, student, classes, k, first, R, C)) \
  K(void, head_leave_out, \
    (float *student, const int32_t *classes, size_t k, size_t first, size_t R, size_t C), \
    (student, classes, k, first, R, C)) \
  K(void, head_put, \
    (void *gradient, bool rounds, const float *values, const int32_t *classes, size_t k, size_t first, size_t R, \
     size_t C), \
    (gradient, rounds, values, classes, k, first, R, C)) \
  K(void, top_k, \
    (float *values, int32_t *classes, float *log_rest, uint64_t *keys, const void *x, bool is_bf16, size_t R, \
     size_t C, size_t k, float temperature), \
    (values, classes, log_rest, keys, x, is_bf16, R, C, k, temperature)) \
  K(void, divergence_sums, \
    (rtk_divergence_row *rows, const float *student, const rtk_head_teacher *teacher, size_t R, size_t C, \
     float temperature), \
    (rows, student, teacher, R, C, temperature)) \
  K(void, divergence_values, \
    (const rtk_divergence *divergence, rtk_divergence_row *rows, const float *student, \
     const rtk_head_teacher *teacher, size_t R, size_t C), \
    (divergence, rows, student, teacher, R, C)) \
  K(void, divergence_gradient, \
    (const rtk_divergence *divergence, float *gradient, const rtk_divergence_row *rows, const float *weights, \
     const float *student, const rtk_head_teacher *teacher, size_t R, size_t C), \
    (divergence, gradient, rows, weights, student, teacher, R, C)) \
  K(void, rows_squared, (double *value, float *gradient, const float *x, const float *y, size_t R, size_t C), \
    (value, gradient, x, y, R, C)) \
  K(void, rows_cosine, (double *value, float *gradient, const float *x, const float *y, size_t R, size_t C), \
    (value, gradient, x, y, R, C)) \
  K(void, rows_unit_squared, (double *value, float *gradient, const float *x, const float *y, size_t R, size_t C), \
    (value, gradient, x, y, R, C)) \
  K(void, decoupled_kl, \
    (double *value, float *gradient, const float *weights, const float *student, const float *teacher, \
     const int32_t *labels, size_t R, size_t C, float temperature, double target_weight, double rest_weight), \
    (value, gradient, weights, student, teacher, labels, R, C, temperature, target_weight, rest_weight)) \
  K(void, sorted_l1, \
    (double *value, float *gradient, const float *weights, const float *student, const float *teacher, \
     uint64_t *scratch, size_t R, size_t C, size_t Ct, float temperature), \
    (value, gradient, weights, student, teacher, scratch, R, C, Ct, temperature)) \
  K(void, compare_attention, \
    (const rtk_attention_comparison *shape, double *values, float *dq, float *dk, const float *q, const float *k, \
     const float *teacher_q, const float *teacher_k, float factor, float *scratch, size_t from, size_t to), \
    (shape, values, dq, dk, q, k, teacher_q, teacher_k, factor, scratch, from, to)) \
  K(size_t, compare_attention_scratch, (const rtk_attention_comparison *shape, size_t S), (shape, S)) \
  K(void, adamw, (float *p, const float *g, float *m, float *v, size_t N, const rtk_adamw_step *step), \
    (p, g, m, v, N, step)) \
  K(void, adamw_idle, (float *p, float *m, float *v, size_t N, const rtk_adamw_step *steps, size_t K), \
    (p, m, v, N, steps, K))

typedef struct {
  const char *name;
#define RTK_FIELD(result, name, parameters, arguments) result(*name) parameters;
  RTK_KERNELS(RTK_FIELD)
#undef RTK_FIELD
} rtk_table;

extern const rtk_table rtk_table_baseline;
#if defined(__x86_64__)
extern const rtk_table rtk_table_avx2;
extern const rtk_table rtk_table_avx512;
extern const rtk_table rtk_table_avx512bf16;
#endif

#endif
