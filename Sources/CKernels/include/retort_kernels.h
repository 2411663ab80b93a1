#ifndef RETORT_KERNELS_H
#define RETORT_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The float loops of Retort. One legend for every pointer:
//   R rows, C columns, N elements, B sequences, T tokens (all sequences one after the other), H heads, D head size.
//   offsets [B+1]: sequence b is rows offsets[b] ..< offsets[b+1]. Matrices are row-major.
// Kernels allocate nothing that outlives the call, never fail, and give the same result for the same input.
// "+=" in a comment means that the kernel accumulates into the destination; "=" means that it overwrites.

// ---- instruction sets ---------------------------------------------------------------------------

// Chooses the kernels once: the best this CPU has, or the one named ("baseline", "avx2", "avx512",
// "avx512bf16", "neon").
// Returns 0, or -1 when the name is unknown or the CPU lacks it (nothing changes then).
int rtk_select_isa(const char *name_or_null);
// The instruction set in use; selects the best when nothing was selected yet.
const char *rtk_isa_name(void);
// Whether the CPU can run the named set.
bool rtk_isa_supported(const char *name);
// Whether the set in use multiplies bf16 natively (AVX512_BF16, which every CPU with AMX has too).
bool rtk_has_native_bf16(void);

// ---- elementwise --------------------------------------------------------------------------------

void rtk_add(float *out, const float *a, const float *b, size_t N);             // out = a + b
void rtk_axpy(float *y, float alpha, const float *x, size_t N);                 // y += alpha x
void rtk_scale(float *x, float alpha, size_t N);                                // x *= alpha
void rtk_fill(float *x, float value, size_t N);
double rtk_sum_of_squares(const float *x, size_t N);                            // summed in double
bool rtk_all_finite(const float *x, size_t N);
// out[i] = deviation · N(0, 1) from the numbers 2i + 1 and 2i + 2 of the SplitMix64 stream that stands at state
// (Box and Muller's polar-free form, in double); the same bits in every instruction set.
void rtk_normal_numbers(float *out, uint64_t state, float deviation, size_t N);
// out[i] = parts[0][i] + parts[1][i] + … in that order, parts being [P, N] with the given stride in elements.
void rtk_sum_parts(float *out, const float *parts, size_t P, size_t stride, size_t N);

void rtk_add_bias(float *x, const float *bias, size_t R, size_t C);             // x[r,c] += bias[c]
void rtk_column_sums(float *sums, const float *x, size_t R, size_t C);          // sums[c] += Σ_r x[r,c]
// The rtk_bf16_ kernels have bf16 in memory and float32 in between: each result is rounded once, to nearest even.
void rtk_bf16_add(uint16_t *out, const uint16_t *a, const uint16_t *b, size_t N);
void rtk_bf16_column_sums(float *sums, const uint16_t *x, size_t R, size_t C);

typedef enum {
  RTK_GELU,       // x Φ(x), with erf, as Hugging Face's "gelu"
  RTK_GELU_TANH,  // "gelu_new", "gelu_pytorch_tanh"
  RTK_RELU,
  RTK_TANH,
  RTK_SILU,       // x sigmoid(x), also "swish"
  RTK_SIGMOID,
} rtk_activation;
void rtk_activation_forward(rtk_activation kind, float *out, const float *x, size_t N);
void rtk_activation_backward(rtk_activation kind, float *dx, const float *dy, const float *x, size_t N);  // dx = dy f'(x)
void rtk_bf16_activation_forward(rtk_activation kind, uint16_t *out, const uint16_t *x, size_t N);
void rtk_bf16_activation_backward(rtk_activation kind, uint16_t *dx, const uint16_t *dy, const uint16_t *x, size_t N);

// ---- number formats -----------------------------------------------------------------------------

void rtk_bf16_to_f32(float *out, const uint16_t *x, size_t N);
void rtk_f16_to_f32(float *out, const uint16_t *x, size_t N);
void rtk_f32_to_bf16(uint16_t *out, const float *x, size_t N);                  // round to nearest even, NaN stays NaN
void rtk_f32_to_f16(uint16_t *out, const float *x, size_t N);

// ---- rows ---------------------------------------------------------------------------------------

void rtk_gather_rows(float *out, const float *table, const int32_t *ids, size_t R, size_t C);           // out[r] = table[ids[r]], 0 for an id below 0
void rtk_gather_rows_add(float *out, const float *table, const int32_t *ids, size_t R, size_t C);       // out[r] += table[ids[r]]
void rtk_scatter_add_rows(float *table, const float *x, const int32_t *ids, size_t R, size_t C);        // table[ids[r]] += x[r], but for ids below 0

void rtk_bf16_gather_rows(uint16_t *out, const uint16_t *table, const int32_t *ids, size_t R, size_t C);
void rtk_bf16_scatter_add_rows(uint16_t *table, const uint16_t *x, const int32_t *ids, size_t R, size_t C);

// y = gamma * (x - mean) / sqrt(var + eps) + beta, var being the biased variance; mean, rstd [R] are kept for backward.
void rtk_layer_norm_forward(float *y, float *mean, float *rstd, const float *x, const float *gamma, const float *beta,
                            size_t R, size_t C, float eps);
// dx = …; dgamma += Σ_r dy x̂; dbeta += Σ_r dy. dgamma and dbeta may both be null.
void rtk_layer_norm_backward(float *dx, float *dgamma, float *dbeta, const float *dy, const float *x,
                             const float *mean, const float *rstd, const float *gamma, size_t R, size_t C);
// sum = x + residual; y = layer_norm(sum). One pass over memory; backward is rtk_layer_norm_backward on sum.
void rtk_add_layer_norm_forward(float *y, float *sum, float *mean, float *rstd, const float *x, const float *residual,
                                const float *gamma, const float *beta, size_t R, size_t C, float eps);

// Columns from ..< to of y [R, N] = x [R, K] · w [N, K]ᵀ. A row of y depends on its own row of x alone, to the last
// bit: not on R, not on its place, and not on how the columns are cut into calls at multiples of 64.
void rtk_linear_rows(float *y, const float *x, const float *w, size_t R, size_t K, size_t N, size_t from, size_t to);

void rtk_softmax(float *out, const float *x, size_t R, size_t C, float inverse_temperature);             // softmax(x · inverse_temperature)

// ---- dropout: the mask is a pure function of (key of the sequence, element index in the sequence) ----

// out = keep ? x / (1 - p) : 0. keys [B, 2] are two 32-bit words for each sequence; the element counter of row r,
// column c in sequence b is (r - offsets[b]) * C + c. The backward pass is the same call on dy.
void rtk_dropout(float *out, const float *x, const int32_t *offsets, const uint32_t *keys, size_t B, size_t C, float p);
void rtk_bf16_dropout(uint16_t *out, const uint16_t *x, const int32_t *offsets, const uint32_t *keys, size_t B,
                      size_t C, float p);

// ---- norms of bf16 rows, with dropout on their input --------------------------------------------

// The arguments of rtk_dropout: for kernels that drop what they read.
typedef struct {
  const int32_t *offsets;  // [B+1], the last being R
  const uint32_t *keys;    // [B, 2]
  size_t B;
  float p;
  size_t first;            // the row of the sequences that is row 0 of the call
} rtk_dropout_mask;

// s = dropout(x) + residual; y = gamma * (s - mean) / sqrt(var + eps) + beta. mask, residual and sum may be null; sum
// receives s, and then y is that of the rounded s. mean, rstd [R].
void rtk_bf16_layer_norm_forward(uint16_t *y, uint16_t *sum, float *mean, float *rstd, const uint16_t *x,
                                 const rtk_dropout_mask *mask, const uint16_t *residual, const float *gamma,
                                 const float *beta, size_t R, size_t C, float eps);
// The y of the forward pass once more, to the last bit, from what it has kept.
void rtk_bf16_layer_norm_again(uint16_t *y, const uint16_t *sum, const float *mean, const float *rstd,
                               const float *gamma, const float *beta, size_t R, size_t C);
// dsum = dL/ds; dx = dropout(dsum), or null; dgamma += …; dbeta += …, both or neither null.
void rtk_bf16_layer_norm_backward(uint16_t *dsum, uint16_t *dx, float *dgamma, float *dbeta, const uint16_t *dy,
                                  const uint16_t *sum, const float *mean, const float *rstd, const float *gamma,
                                  const rtk_dropout_mask *mask, size_t R, size_t C);

// ---- attention on packed sequences ----------------------------------------------------------------

typedef struct {
  const int32_t *offsets;  // [B+1]
  size_t B, H, H_kv, D;    // H query heads share H_kv key/value heads (H % H_kv == 0)
  size_t q_stride, k_stride, v_stride, out_stride;  // elements from one token's row to the next
  float scale;             // usually 1/sqrt(D)
  bool causal;
  float dropout;           // probability, 0 in inference
  const uint32_t *keys;    // [B, 2] or null when dropout is 0; counter of (head h, query i, key j) = (h * S + i) * S + j
} rtk_attention_shape;

// The kernels do the pairs from ..< to of 0 ..< B·H_kv: pair b·H_kv + g is key/value head g of sequence b with the query
// heads that share it. A pair's result depends on nothing else, to the last bit.

// out[t, h*D ..] = Σ_j softmax_j(scale q_t·k_j) v_j over the keys of the same sequence. lse [T, H] = log Σ exp, kept for backward.
// probabilities: null, or for every sequence in turn [H, S_b, S_b] (before dropout).
void rtk_attention_forward(const rtk_attention_shape *shape, float *out, float *lse, float *probabilities,
                           const float *q, const float *k, const float *v, size_t from, size_t to);
// dq, dk, dv = … with the strides of q, k, v. Recomputes the probabilities from lse: no [S, S] matrix is kept.
// dprobabilities: null, or a gradient with the layout of probabilities that is added to what comes through out.
void rtk_attention_backward(const rtk_attention_shape *shape, float *dq, float *dk, float *dv, const float *dout,
                            const float *dprobabilities, const float *lse, const float *q, const float *k,
                            const float *v, size_t from, size_t to);

// The same in bf16: sums, softmax, lse and probabilities are f32. Where the set multiplies bf16 natively the factors of
// the second product of a pass (probabilities after dropout, gradients of scores) are rounded to bf16 as well.
void rtk_attention_forward_bf16(const rtk_attention_shape *shape, uint16_t *out, float *lse, float *probabilities,
                                const uint16_t *q, const uint16_t *k, const uint16_t *v, size_t from, size_t to);
void rtk_attention_backward_bf16(const rtk_attention_shape *shape, uint16_t *dq, uint16_t *dk, uint16_t *dv,
                                 const uint16_t *dout, const float *lse, const uint16_t *q, const uint16_t *k,
                                 const uint16_t *v, size_t from, size_t to);

// ---- decoders of the Llama kind: a float32 stream, y and dy in float32 or bf16 -------------------------

// y = gamma s rstd with s = x + residual and rstd = 1 / sqrt(mean_c(s²) + eps). residual and sum are both null (s = x)
// or neither: sum receives s. rstd [R] is kept for backward.
void rtk_rms_norm_forward(float *y, float *sum, float *rstd, const float *x, const float *residual,
                          const float *gamma, size_t R, size_t C, float eps);
void rtk_bf16_rms_norm_forward(uint16_t *y, float *sum, float *rstd, const float *x, const float *residual,
                               const float *gamma, size_t R, size_t C, float eps);
// The y of the forward pass once more, to the last bit.
void rtk_rms_norm_again(float *y, const float *sum, const float *rstd, const float *gamma, size_t R, size_t C);
void rtk_bf16_rms_norm_again(uint16_t *y, const float *sum, const float *rstd, const float *gamma, size_t R, size_t C);
// dsum = … or, with accumulate, dsum += …; dgamma += Σ_r dy s rstd, or null.
void rtk_rms_norm_backward(float *dsum, float *dgamma, const float *dy, const float *sum, const float *rstd,
                           const float *gamma, size_t R, size_t C, bool accumulate);
void rtk_bf16_rms_norm_backward(float *dsum, float *dgamma, const uint16_t *dy, const float *sum, const float *rstd,
                                const float *gamma, size_t R, size_t C, bool accumulate);

// Turns the first H heads of each row, rows being stride elements apart, by the angles of the row's position, in place:
// elements i and i + D/2 of a head become (a cos - b sin, b cos + a sin). table [P, D]: for each position the D/2
// cosines, then the D/2 sines. inverse: turns back, which is the backward pass.
void rtk_rotate(float *x, const float *table, const int32_t *positions, size_t R, size_t stride, size_t H, size_t D,
                bool inverse);
void rtk_bf16_rotate(uint16_t *x, const float *table, const int32_t *positions, size_t R, size_t stride, size_t H,
                     size_t D, bool inverse);

// y [R, C] = f(gate) up, x [R, 2C] being a row's gates and then its ups.
void rtk_gated_forward(rtk_activation kind, float *y, const float *x, size_t R, size_t C);
void rtk_bf16_gated_forward(rtk_activation kind, uint16_t *y, const uint16_t *x, size_t R, size_t C);
// dx [R, 2C]: dgate = dy up f'(gate), dup = dy f(gate).
void rtk_gated_backward(rtk_activation kind, float *dx, const float *dy, const float *x, size_t R, size_t C);
void rtk_bf16_gated_backward(rtk_activation kind, uint16_t *dx, const uint16_t *dy, const uint16_t *x, size_t R,
                             size_t C);

// Elements from ..< to of y [N] = w [N, K] x: a product of one row, at the speed of memory.
void rtk_matvec(float *y, const float *x, const float *w, size_t K, size_t from, size_t to);
void rtk_bf16_matvec(float *y, const float *x, const uint16_t *w, size_t K, size_t from, size_t to);
// Attention of one token, the last of S: out [H·D] = Σ_j softmax_j(factor q·k_j) v_j with keys and values [S, H_kv·D].
// Key/value heads from ..< to, each with the query heads that share it.
void rtk_attention_step(float *out, const float *q, const float *keys, const float *values, size_t S, size_t H,
                        size_t H_kv, size_t D, float factor, size_t from, size_t to);
void rtk_bf16_attention_step(uint16_t *out, const uint16_t *q, const uint16_t *keys, const uint16_t *values, size_t S,
                             size_t H, size_t H_kv, size_t D, float factor, size_t from, size_t to);

// ---- losses: a value for each row (double) and its gradient with respect to the student's logits ------

// value[r] = -log softmax(logits)[label]; gradient = softmax - onehot. Rows with label < 0 give 0 and zero gradient.
void rtk_cross_entropy(double *value, float *gradient, const float *logits, const int32_t *labels, size_t R, size_t C);
// value[r] = T² KL(p‖q), p = softmax(teacher/T), q = softmax(student/T); gradient = T (q - p).
// weights: null, or [R]: multiplies value and gradient; weight 0 leaves the row out.
void rtk_forward_kl(double *value, float *gradient, const float *student, const float *teacher, const float *weights,
                    size_t R, size_t C, float temperature);

// ---- the loss of a head of many classes, whose logits come some columns at a time ---------------------

// What has been seen of a row: s are the student's logits, t the teacher's, a = (s - student_max) / T and
// b = (t - teacher_max) / T. Before the first columns the maxima are -inf and the sums 0.
typedef struct {
  float student_max, teacher_max;
  double student_sum;       // Σ e^(s - student_max)
  double soft_student_sum;  // Σ e^a
  double teacher_sum;       // Σ e^b
  double difference;        // Σ e^b (b - a)
} rtk_head_row;

// A row's gradient is hard e^(s - student_shift) + soft e^((s - student_shift)/T) - teacher e^((t - teacher_shift)/T).
typedef struct {
  float student_shift, teacher_shift, hard, soft, teacher;
} rtk_head_factors;

// A teacher's logits of some columns, [R, C] with rows `stride` elements apart, f32 or bf16.
typedef struct {
  const void *logits;
  size_t stride;
  bool is_bf16;
} rtk_head_teacher;

// The k classes that a teacher gives for each row: its logits [R, k] and log Σ e^(t/T) of all others [R], classes
// [R, k], and the student's logits of these classes [R, k].
typedef struct {
  size_t k;
  const float *logits, *log_rest;
  const int32_t *classes;
  const double *scores;
} rtk_head_top_k;

// rows [R] += the columns of student [R, C] and of the teacher, which may be null. Columns of -inf are left out.
void rtk_head_sums(rtk_head_row *rows, const float *student, const rtk_head_teacher *teacher, size_t R, size_t C,
                   float temperature);
// Brings the sums of each row to these maxima [R], which are not smaller than its own.
void rtk_head_shift(rtk_head_row *rows, const float *student_max, const float *teacher_max, size_t R,
                    float temperature);
// From the sums over all columns: hard[r] = -log softmax(s)[label], 0 for label < 0; soft[r] = T² KL(p‖q), 0 without a
// teacher; factors of the gradient of Σ_r hard_weight hard[r] + soft_weight soft[r]. scores [R]: the labels' logits.
void rtk_head_finish(double *hard, double *soft, rtk_head_factors *factors, const rtk_head_row *rows,
                     const double *scores, const int32_t *labels, size_t R, bool has_teacher, double hard_weight,
                     double soft_weight, float temperature);
// The same with k classes of a teacher and one bucket for all others, KL being that of these k + 1. rows are the sums
// over the other classes alone. gradients [R, k] = those of the logits of the k classes.
void rtk_head_finish_top_k(double *hard, double *soft, rtk_head_factors *factors, float *gradients,
                           const rtk_head_row *rows, const double *scores, const int32_t *labels,
                           const rtk_head_top_k *top, size_t R, double hard_weight, double soft_weight,
                           float temperature);
// gradient [R, C] = that of the logits of the columns from `first` on, as f32, or rounded to bf16. labels [R].
void rtk_head_gradient(void *gradient, bool rounds, const float *student, const rtk_head_teacher *teacher,
                       const rtk_head_factors *factors, const int32_t *labels, size_t first, size_t R, size_t C,
                       double hard_weight, float temperature);
// For those of classes [R, k] that are among the columns first ..< first + C; a negative class is none.
// scores [R, k] = student[class]
void rtk_head_pick(double *scores, const float *student, const int32_t *classes, size_t k, size_t first, size_t R,
                   size_t C);
// student[class] = -inf
void rtk_head_leave_out(float *student, const int32_t *classes, size_t k, size_t first, size_t R, size_t C);
// gradient[class] = values [R, k], as f32, or rounded to bf16
void rtk_head_put(void *gradient, bool rounds, const float *values, const int32_t *classes, size_t k, size_t first,
                  size_t R, size_t C);

// The k largest of each row of x [R, C], f32 or bf16, 0 < k <= C: values and classes [R, k], the largest first, of
// equal ones the earlier class; log_rest[r] = log Σ e^(x/T) over the others. keys is scratch memory for 4 k + 256 numbers.
void rtk_top_k(float *values, int32_t *classes, float *log_rest, uint64_t *keys, const void *x, bool is_bf16, size_t R,
               size_t C, size_t k, float temperature);

// ---- divergences of a student's and a teacher's softmax ------------------------------------------------

// s: the student's logits, t: the teacher's, p = softmax(t/T), q = softmax(s/T). A divergence is Σ φ over the classes.
typedef enum {
  RTK_FORWARD_KL,             // p (log p - log q)
  RTK_REVERSE_KL,             // q (log q - log p), +inf where the teacher excludes a class of the student
  RTK_JENSEN_SHANNON,         // β p (log p - log m) + (1-β) q (log q - log m), m = β p + (1-β) q
  RTK_SKEW_FORWARD_KL,        // p (log p - log m), m = λ p + (1-λ) q
  RTK_SKEW_REVERSE_KL,        // q (log q - log m), m = λ q + (1-λ) p
  RTK_TOTAL_VARIATION,        // ½ |p - q|
  RTK_LOGITS_MSE,             // (s - t)² / classes, without softmax and temperature
  RTK_UNIFORM_CROSS_ENTROPY,  // -log q / classes, without a teacher
} rtk_divergence_kind;

typedef struct {
  rtk_divergence_kind kind;
  float temperature;  // T
  float parameter;    // β of Jensen-Shannon, λ of the skewed divergences, from 0 to 1
  size_t classes;     // of the whole row
} rtk_divergence;

// What has been seen of a row. Before the first columns the maxima are -inf and the rest 0.
typedef struct {
  float student_max, teacher_max;
  double student_sum, teacher_sum;  // Σ e^((s - student_max)/T), Σ e^((t - teacher_max)/T)
  double value, slope;              // Σ φ and Σ ∂φ/∂log q, but for terms whose sum over all classes is 0
} rtk_divergence_row;

// The columns of a row may come in blocks, in three passes over all of them. The term of a row is factor · value:
// factor is T² for the KLs and Jensen-Shannon, T for total variation, and 1 for the last two kinds.
// First pass: the maxima and sums of rows [R] += the columns of student [R, C] and of the teacher, which may be null.
void rtk_divergence_sums(rtk_divergence_row *rows, const float *student, const rtk_head_teacher *teacher, size_t R,
                         size_t C, float temperature);
// Second pass: value and slope of rows [R] += the columns. The value is without the factor.
void rtk_divergence_values(const rtk_divergence *divergence, rtk_divergence_row *rows, const float *student,
                           const rtk_head_teacher *teacher, size_t R, size_t C);
// Third pass: gradient [R, C] += weights[r] · ∂term/∂s, with the factor. weights [R], or null for 1; a row of weight 0
// is left alone.
void rtk_divergence_gradient(const rtk_divergence *divergence, float *gradient, const rtk_divergence_row *rows,
                             const float *weights, const float *student, const rtk_head_teacher *teacher, size_t R,
                             size_t C);

// ---- distances of rows: value [R], gradient [R, C] = ∂value[r]/∂x, or null ------------------------------

// Σ (x - y)²
void rtk_rows_squared(double *value, float *gradient, const float *x, const float *y, size_t R, size_t C);
// 1 - x·y / (max(|x|, 1e-8) max(|y|, 1e-8))
void rtk_rows_cosine(double *value, float *gradient, const float *x, const float *y, size_t R, size_t C);
// Σ (x / max(|x|, 1e-12) - y / max(|y|, 1e-12))²
void rtk_rows_unit_squared(double *value, float *gradient, const float *x, const float *y, size_t R, size_t C);

// ---- losses of whole rows of classes: value [R], gradient [R, C] += weights[r] · ∂value[r]/∂s ------------

// weights [R], or null for 1, multiply the gradient and not the value. gradient may be null.
// T² (target_weight KL(of label and rest) + rest_weight KL(inside the rest)) of softmax(t/T) and softmax(s/T), 0 for a
// label below 0.
void rtk_decoupled_kl(double *value, float *gradient, const float *weights, const float *student, const float *teacher,
                      const int32_t *labels, size_t R, size_t C, float temperature, double target_weight,
                      double rest_weight);
// Σ_i |p_(i) - q_(i)| of softmax(t/T) [R, Ct] and softmax(s/T) [R, C], each sorted, the largest first; the shorter ends
// with zeros. The slope of |0| is 0. scratch is memory for 4 (C + Ct) numbers.
void rtk_sorted_l1(double *value, float *gradient, const float *weights, const float *student, const float *teacher,
                   uint64_t *scratch, size_t R, size_t C, size_t Ct, float temperature);

// ---- comparison of a student's attention with a teacher's ------------------------------------------------

typedef enum {
  RTK_COMPARE_SCORES,         // Σ (z - z')², z = scale q·k
  RTK_COMPARE_PROBABILITIES,  // Σ (P - P')², P = softmax over the keys of z
  RTK_COMPARE_KL,             // Σ over queries of KL(P'‖P)
} rtk_comparison;

// ' is the teacher's. Sequences are packed as in attention; strides are floats from one token's row to the next.
typedef struct {
  const int32_t *offsets;  // [B+1]
  size_t B;
  rtk_comparison kind;
  bool causal;                      // query i sees the keys j <= i
  size_t heads, key_heads, size;    // of the student: query head h has key head h / (heads / key_heads); size is D
  size_t teacher_heads, teacher_key_heads, teacher_size;
  size_t q_stride, k_stride, teacher_q_stride, teacher_k_stride;
  float scale, teacher_scale;       // usually 1/sqrt(D)
} rtk_attention_comparison;

// For the pairs from ..< to of 0 ..< B·key_heads (pair b·key_heads + g is key head g of sequence b with the query heads
// that share it): values[pair] = the sum over its heads; dq and dk += factor · ∂values/∂q, ∂k with the strides of q and
// k. Without dq and dk there are values only. q and k may be the same memory (a relation of vectors with themselves),
// and dq and dk too: both contributions are added. With as many heads head h is compared with the teacher's head h,
// otherwise each with the mean over the teacher's heads of z' or P'. A pair's result depends on nothing else, to the
// last bit. scratch has room for rtk_compare_attention_scratch floats.
void rtk_compare_attention(const rtk_attention_comparison *shape, double *values, float *dq, float *dk, const float *q,
                           const float *k, const float *teacher_q, const float *teacher_k, float factor, float *scratch,
                           size_t from, size_t to);
// The floats of scratch that a call needs for sequences of at most S tokens, with the set in use.
size_t rtk_compare_attention_scratch(const rtk_attention_comparison *shape, size_t S);

// ---- optimizer ------------------------------------------------------------------------------------

// One step of AdamW (Loshchilov and Hutter, 2019): the constants as the loops need them.
typedef struct {
  float beta1, rest1, beta2, rest2;  // rest = 1 - beta
  float epsilon;
  float keep;                        // 1 - learning rate * weight decay
  float rate;                        // learning rate / (1 - beta1^t)
  float root_scale;                  // 1 / sqrt(1 - beta2^t)
  float gradient_scale;              // from clipping
} rtk_adamw_step;
// One pass: g *= gradient_scale; m = beta1 m + rest1 g; v = beta2 v + rest2 g²;
// p = keep p - rate m / (sqrt(v) root_scale + epsilon).
void rtk_adamw(float *p, const float *g, float *m, float *v, size_t N, const rtk_adamw_step *step);
// steps [K], one after the other, with g = 0: bit for bit what K calls of rtk_adamw do, in one pass over memory.
void rtk_adamw_idle(float *p, float *m, float *v, size_t N, const rtk_adamw_step *steps, size_t K);

#endif
