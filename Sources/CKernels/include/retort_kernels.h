#ifndef RETORT_KERNELS_H
#define RETORT_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The float loops of Retort: selection of the instruction set, the types of arguments, and the kernels, which
// retort_kernels.def lists. One legend for every pointer:
//   R rows, C columns, N elements, B sequences, T tokens (the sequences one after the other), H heads, D size of a
//   head, V rows of a table, K inner dimension of a product. Matrices are row-major.
//   offsets [B+1]: sequence b is rows offsets[b] ..< offsets[b+1].
// A kernel keeps no memory after the call, never fails, and gives the same result for the same input. "+=" in a comment
// means that it accumulates into the destination, "=" that it overwrites.
// Kernels named bf16_… have bf16 in memory and float32 in between: each result is rounded once, to nearest even.

// ---- instruction sets ---------------------------------------------------------------------------

// Selects the kernels that the calling thread's calls run: the named set ("baseline", "avx2", "avx512", "avx512bf16",
// "neon"), or for null the set of the process again, which is the best one of this CPU or that of RETORT_ISA. Returns
// 0, or -1 when the name is unknown or the CPU lacks the set; the selection then stays as it was.
int rtk_select_isa(const char *name_or_null);
// The instruction set in use by the calling thread.
const char *rtk_isa_name(void);
// Whether the CPU can run the named set.
bool rtk_isa_supported(const char *name);
// Whether the set in use multiplies bf16 natively (AVX512_BF16, which every CPU with AMX has too).
bool rtk_has_native_bf16(void);

// ---- types --------------------------------------------------------------------------------------

typedef enum {
  RTK_GELU,       // x Φ(x), with erf, as Hugging Face's "gelu"
  RTK_GELU_TANH,  // "gelu_new", "gelu_pytorch_tanh"
  RTK_RELU,
  RTK_TANH,
  RTK_SILU,       // x sigmoid(x), also "swish"
  RTK_SIGMOID,
} rtk_activation;

// The arguments of rtk_dropout, for kernels that apply it to their input.
typedef struct {
  const int32_t *offsets;  // [B+1], the last being R
  const uint32_t *keys;    // [B, 2]
  size_t B;
  float p;
  size_t first;            // the row of the sequences that is row 0 of the call
} rtk_dropout_mask;

typedef struct {
  const int32_t *offsets;  // [B+1]
  size_t B, H, H_kv, D;    // H query heads share H_kv key/value heads (H % H_kv == 0)
  size_t q_stride, k_stride, v_stride, out_stride;  // elements from one token's row to the next
  float scale;             // usually 1/sqrt(D)
  bool causal;             // query i attends to no key j > i
  size_t reach;            // and only to keys with |i - j| <= reach; SIZE_MAX for no window
  const float *bias;       // [H, bias_row] or null: head h adds bias[h, j - i + bias_center] to the score of (i, j)
  float *bias_gradients;   // [B, H, bias_row] or null: the backward pass adds each sequence's gradients of the bias
  size_t bias_row;         // at least bias_center + longest sequence + 16; the elements past the last are 0
  size_t bias_center;      // at least longest sequence - 1
  float dropout;           // probability, 0 in inference
  const uint32_t *keys;    // [B, 2] or null when dropout is 0; head h, query i, key j have counter (h S + i) S + j
} rtk_attention_shape;

// ---- the loss of a head of many classes

// The sums over the columns of a row so far: s are the student's logits, t the teacher's, a = (s - student_max) / T and
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

// A teacher's logits of some columns, f32 or bf16.
typedef struct {
  const void *logits;  // [R, C]
  size_t stride;       // elements from one row to the next
  bool is_bf16;
} rtk_head_teacher;

// The k classes that a teacher gives for each row.
typedef struct {
  size_t k;
  const float *logits;     // [R, k] of the teacher
  const float *log_rest;   // [R]: log Σ e^(t/T) of all other classes
  const int32_t *classes;  // [R, k]
  const double *scores;    // [R, k]: the student's logits of these classes
} rtk_head_top_k;

// ---- divergences

// s: the student's logits, t: the teacher's, p = softmax(t/T), q = softmax(s/T). A divergence is Σ φ over the classes.
typedef enum {
  RTK_FORWARD_KL,             // φ = p (log p - log q)
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

// The state of a row between the passes. Before the first columns the maxima are -inf and the rest 0.
typedef struct {
  float student_max, teacher_max;
  double student_sum, teacher_sum;  // Σ e^((s - student_max)/T), Σ e^((t - teacher_max)/T)
  double value, slope;              // Σ φ and Σ ∂φ/∂log q, without terms that sum to 0 over all classes
} rtk_divergence_row;

// ---- comparison of attention

typedef enum {
  RTK_COMPARE_SCORES,         // Σ (z - z')², z = scale q·k
  RTK_COMPARE_PROBABILITIES,  // Σ (P - P')², P = softmax over the keys of z
  RTK_COMPARE_KL,             // Σ over queries of KL(P'‖P)
} rtk_comparison;

// ' is the teacher's. Sequences are packed as in attention.
typedef struct {
  const int32_t *offsets;  // [B+1]
  size_t B;
  rtk_comparison kind;
  bool causal;                    // query i sees the keys j <= i
  size_t reach;                   // and only keys with |i - j| <= reach; SIZE_MAX for no window
  size_t heads, key_heads, size;  // of the student; query head h has key head h / (heads / key_heads); size is D
  size_t teacher_heads, teacher_key_heads, teacher_size;
  size_t q_stride, k_stride, teacher_q_stride, teacher_k_stride;  // elements from one token's row to the next
  float scale, teacher_scale;     // usually 1/sqrt(D)
} rtk_attention_comparison;

// ---- optimizer

// One step of AdamW (Loshchilov and Hutter, 2019): the constants as the loops need them.
typedef struct {
  float beta1, rest1, beta2, rest2;  // rest = 1 - beta
  float epsilon;
  float keep;                        // 1 - learning rate * weight decay
  float rate;                        // learning rate / (1 - beta1^t)
  float root_scale;                  // 1 / sqrt(1 - beta2^t)
  float gradient_scale;              // from clipping
} rtk_adamw_step;

// ---- kernels ------------------------------------------------------------------------------------

// RTK_EACH(F, (a, …), (b, …)): F(a, …), F(b, …), for at most 16.
#define RTK_EACH(F, ...) RTK_EXPAND(RTK_EACH_NEXT(F, __VA_ARGS__))
#define RTK_EACH_NEXT(F, first, ...) F first __VA_OPT__(, RTK_EACH_LATER RTK_NOTHING (F, __VA_ARGS__))
#define RTK_EACH_LATER() RTK_EACH_NEXT
#define RTK_NOTHING ()
#define RTK_EXPAND(...) RTK_EXPAND_4(RTK_EXPAND_4(RTK_EXPAND_4(RTK_EXPAND_4(__VA_ARGS__))))
#define RTK_EXPAND_4(...) RTK_EXPAND_1(RTK_EXPAND_1(RTK_EXPAND_1(RTK_EXPAND_1(__VA_ARGS__))))
#define RTK_EXPAND_1(...) __VA_ARGS__

// The parameters of a kernel's entry as C writes them.
#define RTK_PARAMETERS(...) RTK_EACH(RTK_PARAMETER, __VA_ARGS__)
#define RTK_PARAMETER(type, name, ...) type name

#define RTK_KERNEL(result, name, ...) result rtk_##name(RTK_PARAMETERS(__VA_ARGS__));
#include "retort_kernels.def"
#undef RTK_KERNEL

#endif
