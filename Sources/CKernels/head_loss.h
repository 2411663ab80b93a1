// The loss of a head of many classes, whose logits come in blocks of columns. Sums are float within a block and double
// over blocks; arithmetic that runs once a row is double.
#ifndef RTK_HEAD_LOSS_H
#define RTK_HEAD_LOSS_H

#include <stdlib.h>

#include "include/retort_kernels.h"
#include "formats.h"
#include "rows.h"
#include "transcendental.h"
#include "vector.h"
#ifdef RTK_HAS_BF16
#include "products_bf16.h"
#endif

#ifdef RTK_HAS_BF16
#define RTK_HEAD_ROUND store_rounded
#else
#define RTK_HEAD_ROUND vb_store_upto
#endif

// The relation of e^(s - m) to e^((s - m) / T).
enum { HEAD_SAME, HEAD_SQUARE, HEAD_OTHER };  // T = 1, T = 2, any T
// The format of the teacher's logits.
enum { HEAD_NO_TEACHER, HEAD_F32, HEAD_BF16 };

RTK_INLINE vf head_teacher(const void *t, size_t c, size_t n, const int teacher) {
  if (teacher == HEAD_BF16) return vb_load_upto((const uint16_t *)t + c, n);
  return teacher == HEAD_F32 ? vf_load_upto((const float *)t + c, n) : vf_splat(0);
}

static float head_row_max(const void *t, size_t C, bool bf16) {
  if (!bf16) return row_max(t, C);
  vf largest = vf_splat(-__builtin_inff());
  for (size_t c = 0; c < C; c += RTK_W) {
    vf here = vb_load_upto((const uint16_t *)t + c, C - c);
    largest = vf_max(largest, vf_select(vi_first(C - c), here, largest));
  }
  return vf_reduce_max(largest);
}

// Rescales the sums of a row to larger maxima.
static void head_raise(rtk_head_row *row, float student_max, float teacher_max, double inverse_temperature) {
  if (student_max > row->student_max) {
    double by = (double)row->student_max - (double)student_max;
    row->student_sum *= __builtin_exp(by);
    row->soft_student_sum *= __builtin_exp(by * inverse_temperature);
    if (row->teacher_sum != 0) row->difference -= row->teacher_sum * by * inverse_temperature;
    row->student_max = student_max;
  }
  if (teacher_max > row->teacher_max) {
    double by = ((double)row->teacher_max - (double)teacher_max) * inverse_temperature;
    if (row->teacher_sum != 0) {
      double factor = __builtin_exp(by);
      row->difference = factor * (row->difference + row->teacher_sum * by);
      row->teacher_sum *= factor;
    }
    row->teacher_max = teacher_max;
  }
}

RTK_INLINE void head_row_sums(rtk_head_row *row, const float *s, const void *t, size_t C, float inverse_temperature,
                              const int power, const int teacher) {
  float s_max = row->student_max, t_max = row->teacher_max;
  for (size_t start = 0; start < C; start += RTK_SUM_BLOCK) {
    size_t end = rtk_least(start + RTK_SUM_BLOCK, C);
    vf hard = vf_splat(0), soft = vf_splat(0), taught = vf_splat(0), difference = vf_splat(0);
    for (size_t c = start; c < end; c += RTK_W) {
      size_t n = end - c;
      vi here = vi_first(n);
      vf x = vf_load_upto(s + c, n) - s_max, a = x * inverse_temperature;
      vf exp_a = vf_where(here, vf_exp(a));
      soft += exp_a;
      if (power == HEAD_SQUARE) hard += exp_a * exp_a;
      if (power == HEAD_OTHER) hard += vf_where(here, vf_exp(x));
      if (teacher != HEAD_NO_TEACHER) {
        vf b = (head_teacher(t, c, n, teacher) - t_max) * inverse_temperature;
        vf exp_b = vf_where(here, vf_exp(b));
        taught += exp_b;
        difference += vf_where((vi)(exp_b != 0.0f), exp_b * (b - a));  // 0 for a class that the teacher excludes
      }
    }
    double sum = (double)vf_sum(soft);
    row->soft_student_sum += sum;
    row->student_sum += power == HEAD_SAME ? sum : (double)vf_sum(hard);
    row->teacher_sum += (double)vf_sum(taught);
    row->difference += (double)vf_sum(difference);
  }
}

static int head_power(float temperature) {
  return temperature == 1 ? HEAD_SAME : temperature == 2 ? HEAD_SQUARE : HEAD_OTHER;
}

#define RTK_HEAD_CASES(call) \
  switch (power * 3 + teacher) { \
    case HEAD_SAME * 3 + HEAD_NO_TEACHER: call(HEAD_SAME, HEAD_NO_TEACHER); break; \
    case HEAD_SAME * 3 + HEAD_F32: call(HEAD_SAME, HEAD_F32); break; \
    case HEAD_SAME * 3 + HEAD_BF16: call(HEAD_SAME, HEAD_BF16); break; \
    case HEAD_SQUARE * 3 + HEAD_NO_TEACHER: call(HEAD_SQUARE, HEAD_NO_TEACHER); break; \
    case HEAD_SQUARE * 3 + HEAD_F32: call(HEAD_SQUARE, HEAD_F32); break; \
    case HEAD_SQUARE * 3 + HEAD_BF16: call(HEAD_SQUARE, HEAD_BF16); break; \
    case HEAD_OTHER * 3 + HEAD_NO_TEACHER: call(HEAD_OTHER, HEAD_NO_TEACHER); break; \
    case HEAD_OTHER * 3 + HEAD_F32: call(HEAD_OTHER, HEAD_F32); break; \
    default: call(HEAD_OTHER, HEAD_BF16); \
  }

static const char *head_teacher_row(const rtk_head_teacher *teacher, size_t r) {
  return (const char *)teacher->logits + r * teacher->stride * (teacher->is_bf16 ? 2 : 4);
}

static int head_teacher_kind(const rtk_head_teacher *teacher) {
  return !teacher ? HEAD_NO_TEACHER : teacher->is_bf16 ? HEAD_BF16 : HEAD_F32;
}

static void head_sums(rtk_head_row *rows, const float *student, const rtk_head_teacher *given, size_t R, size_t C,
                      float temperature) {
  float inverse_temperature = 1.0f / temperature;
  int power = head_power(temperature), kind = head_teacher_kind(given);
  for (size_t r = 0; r < R; r++) {
    const float *s = student + r * C;
    const void *t = given ? head_teacher_row(given, r) : NULL;
    float s_max = row_max(s, C), t_max = given ? head_row_max(t, C, given->is_bf16) : -__builtin_inff();
    head_raise(&rows[r], s_max, t_max, (double)inverse_temperature);
    if (s_max == -__builtin_inff() && !given) continue;  // every column is left out
    // A teacher that has excluded every class so far adds nothing.
    int teacher = rows[r].teacher_max == -__builtin_inff() ? HEAD_NO_TEACHER : kind;
#define RTK_HEAD_SUMS(power, teacher) head_row_sums(&rows[r], s, t, C, inverse_temperature, power, teacher)
    RTK_HEAD_CASES(RTK_HEAD_SUMS)
#undef RTK_HEAD_SUMS
  }
}

static void head_finish(double *hard, double *soft, rtk_head_factors *factors, const rtk_head_row *rows,
                        const double *scores, const int32_t *labels, size_t R, bool has_teacher, double hard_weight,
                        double soft_weight, float temperature) {
  double T = (double)temperature;
  for (size_t r = 0; r < R; r++) {
    rtk_head_row row = rows[r];
    bool counts = labels[r] >= 0;
    hard[r] = counts ? __builtin_log(row.student_sum) + (double)row.student_max - scores[r] : 0;
    factors[r] = (rtk_head_factors){
      .student_shift = row.student_max, .hard = counts ? (float)(hard_weight / row.student_sum) : 0};
    soft[r] = 0;
    if (!has_teacher) continue;
    double kl = row.difference / row.teacher_sum - __builtin_log(row.teacher_sum) +
                __builtin_log(row.soft_student_sum);
    soft[r] = T * T * kl;
    factors[r].teacher_shift = row.teacher_max;
    factors[r].soft = (float)(soft_weight * T / row.soft_student_sum);
    factors[r].teacher = (float)(soft_weight * T / row.teacher_sum);
  }
}

// p log(p/q) - p + q, which is never negative, from p, log q - log p and q. The last two terms sum to 0 over all
// classes and keep rounding from making the sum negative.
static double head_bucket(double p, double log_ratio, double q) {
  if (p == 0) return q;
  double value = __builtin_fabs(log_ratio) < 0.1 ? p * (__builtin_expm1(log_ratio) - log_ratio)
                                                 : q - p - p * log_ratio;
  return value < 0 ? 0 : value;
}

static void head_finish_top_k(double *hard, double *soft, rtk_head_factors *factors, float *gradients,
                              const rtk_head_row *rows, const double *scores, const int32_t *labels,
                              const rtk_head_top_k *top, size_t R, double hard_weight, double soft_weight,
                              float temperature) {
  double T = (double)temperature, nothing = -__builtin_inf();
  size_t k = top->k;
  for (size_t r = 0; r < R; r++) {
    const float *z = top->logits + r * k;
    const double *s = top->scores + r * k;
    double weight = labels[r] >= 0 ? hard_weight : 0;
    double rest_max = (double)rows[r].student_max, rest_sum = rows[r].soft_student_sum;
    bool has_rest = rest_max > nothing;
    double largest = rest_max, teacher_max = (double)top->log_rest[r];
    for (size_t i = 0; i < k; i++) {
      largest = s[i] > largest ? s[i] : largest;
      teacher_max = (double)z[i] / T > teacher_max ? (double)z[i] / T : teacher_max;
    }
    double hard_rest = has_rest ? __builtin_exp(rest_max - largest) : 0;
    double soft_rest = has_rest ? __builtin_exp((rest_max - largest) / T) : 0;
    double hard_sum = has_rest ? rows[r].student_sum * hard_rest : 0;
    double soft_sum = has_rest ? rest_sum * soft_rest : 0;
    double teacher_rest = __builtin_exp((double)top->log_rest[r] - teacher_max), teacher_sum = teacher_rest;
    for (size_t i = 0; i < k; i++) {
      hard_sum += __builtin_exp(s[i] - largest);
      soft_sum += __builtin_exp((s[i] - largest) / T);
      teacher_sum += __builtin_exp((double)z[i] / T - teacher_max);
    }
    double log_student = __builtin_log(soft_sum), log_teacher = __builtin_log(teacher_sum);
    double kl = 0;
    for (size_t i = 0; i < k; i++) {
      double log_p = (double)z[i] / T - teacher_max - log_teacher, log_q = (s[i] - largest) / T - log_student;
      double p = __builtin_exp(log_p), q = __builtin_exp(log_q);
      kl += head_bucket(p, log_q - log_p, q);
      double g = weight * __builtin_exp(s[i] - largest) / hard_sum + soft_weight * T * (q - p);
      gradients[r * k + i] = (float)(top->classes[r * k + i] == labels[r] ? g - weight : g);
    }
    double p = teacher_rest / teacher_sum;
    if (has_rest) {
      double log_q = (rest_max - largest) / T + __builtin_log(rest_sum) - log_student;
      kl += head_bucket(p, log_q - __builtin_log(p), __builtin_exp(log_q));
    }
    hard[r] = labels[r] >= 0 ? __builtin_log(hard_sum) + largest - scores[r] : 0;
    soft[r] = T * T * kl;
    factors[r] = (rtk_head_factors){0};
    if (!has_rest) continue;
    factors[r].student_shift = (float)rest_max;
    factors[r].hard = (float)(weight * hard_rest / hard_sum);
    factors[r].soft = (float)(soft_weight * T * (soft_rest / soft_sum - p / rest_sum));
  }
}

RTK_INLINE vf head_element(const float *s, const void *t, size_t c, size_t n, const rtk_head_factors *f,
                           float inverse_temperature, const int power, const int teacher) {
  vf x = vf_load_upto(s + c, n) - f->student_shift, exp_a = vf_exp(x * inverse_temperature), g;
  if (power == HEAD_SAME) g = exp_a * (f->hard + f->soft);
  if (power == HEAD_SQUARE) g = exp_a * (exp_a * f->hard + f->soft);
  if (power == HEAD_OTHER) g = vf_exp(x) * f->hard + exp_a * f->soft;
  if (teacher == HEAD_NO_TEACHER) return g;
  vf b = (head_teacher(t, c, n, teacher) - f->teacher_shift) * inverse_temperature;
  return g - vf_exp(b) * f->teacher;
}

RTK_INLINE void head_store(void *g, size_t c, vf x, size_t n, bool rounds) {
  if (rounds) {
    RTK_HEAD_ROUND((uint16_t *)g + c, x, n);
  } else {
    vf_store_upto((float *)g + c, x, n);
  }
}

RTK_INLINE void head_row_gradient(void *g, bool rounds, const float *s, const void *t, size_t C,
                                  const rtk_head_factors *f, float inverse_temperature, int32_t label,
                                  double hard_weight, const int power, const int teacher) {
  if (rounds) {
    for (size_t c = 0; c < C; c += RTK_W) {
      head_store(g, c, head_element(s, t, c, C - c, f, inverse_temperature, power, teacher), C - c, true);
    }
  } else {
    for (size_t c = 0; c < C; c += RTK_W) {
      head_store(g, c, head_element(s, t, c, C - c, f, inverse_temperature, power, teacher), C - c, false);
    }
  }
  if (label < 0 || (size_t)label >= C) return;
  size_t c = (size_t)label;
  head_store(g, c, head_element(s, t, c, 1, f, inverse_temperature, power, teacher) - (float)hard_weight, 1, rounds);
}

static void head_gradient(void *gradient, bool rounds, const float *student, const rtk_head_teacher *given,
                          const rtk_head_factors *factors, const int32_t *labels, size_t first, size_t R, size_t C,
                          double hard_weight, float temperature) {
  float inverse_temperature = 1.0f / temperature;
  int power = head_power(temperature), teacher = head_teacher_kind(given);
  for (size_t r = 0; r < R; r++) {
    const float *s = student + r * C;
    const void *t = given ? head_teacher_row(given, r) : NULL;
    void *g = (char *)gradient + r * C * (rounds ? 2 : 4);
    int32_t label = labels[r] < 0 ? -1 : (int32_t)(labels[r] - (int64_t)first);
#define RTK_HEAD_GRADIENT(power, teacher) \
  head_row_gradient(g, rounds, s, t, C, &factors[r], inverse_temperature, label, hard_weight, power, teacher)
    RTK_HEAD_CASES(RTK_HEAD_GRADIENT)
#undef RTK_HEAD_GRADIENT
  }
}

// Runs `body` for each of a row's classes that is among the columns, with its index i and the place of its logit. Most
// classes are not among the columns, so the loop skips whole vectors of them.
#define RTK_HEAD_EACH(body) \
  for (size_t r = 0; r < R; r++) { \
    const int32_t *row = classes + r * k; \
    for (size_t v = 0; v < k; v += RTK_W) { \
      size_t n = rtk_least(k - v, RTK_W); \
      if (n == RTK_W && !head_any_between(row + v, first, C)) continue; \
      for (size_t i = r * k + v; i < r * k + v + n; i++) { \
        int64_t at = (int64_t)classes[i] - (int64_t)first; \
        if (classes[i] >= 0 && at >= 0 && at < (int64_t)C) { \
          size_t place = r * C + (size_t)at; \
          body; \
        } \
      } \
    } \
  }

// Whether one of RTK_W classes, all below 2^31, is in first ..< first + C.
RTK_INLINE bool head_any_between(const int32_t *classes, size_t first, size_t C) {
  vu x;
  __builtin_memcpy(&x, classes, sizeof x);
  vi outside = x - (vu)((uint32_t)first) >= (vu)((uint32_t)C);
  return !__builtin_reduce_and(outside);
}

static void head_pick(double *scores, const float *student, const int32_t *classes, size_t k, size_t first, size_t R,
                      size_t C) {
  RTK_HEAD_EACH(scores[i] = (double)student[place])
}

static void head_leave_out(float *student, const int32_t *classes, size_t k, size_t first, size_t R, size_t C) {
  RTK_HEAD_EACH(student[place] = -__builtin_inff())
}

static void head_put(void *gradient, bool rounds, const float *values, const int32_t *classes, size_t k, size_t first,
                     size_t R, size_t C) {
  RTK_HEAD_EACH(head_store(gradient, place, vf_splat(values[i]), 1, rounds))
}

// ---- the k largest of a row ---------------------------------------------------------------------

// A number that orders candidates: larger values are larger, then earlier classes; NaN is the largest value.
RTK_INLINE uint64_t top_key(float value, size_t at) {
  uint32_t bits = bits_of(value == 0 ? 0 : value);
  bits = value != value ? UINT32_MAX : bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return (uint64_t)bits << 32 | (UINT32_MAX - (uint32_t)at);
}

RTK_INLINE size_t top_class(uint64_t key) { return UINT32_MAX - (uint32_t)key; }

// Moves the k largest of n keys to the front, 0 < k <= n (Hoare's selection).
static void top_select(uint64_t *keys, size_t n, size_t k) {
  ptrdiff_t from = 0, to = (ptrdiff_t)n - 1, last = (ptrdiff_t)k - 1;
  while (from < to) {
    uint64_t pivot = keys[from + (to - from) / 2];
    ptrdiff_t i = from, j = to;
    while (i <= j) {
      while (keys[i] > pivot) i++;
      while (keys[j] < pivot) j--;
      if (i > j) break;
      uint64_t moved = keys[i];
      keys[i++] = keys[j];
      keys[j--] = moved;
    }
    if (last > j && last < i) return;
    if (last <= j) {
      to = j;
    } else {
      from = i;
    }
  }
}

static int top_order(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x > y ? -1 : x < y;
}

RTK_INLINE vf top_load(const void *x, size_t c, size_t n, bool is_bf16) {
  return is_bf16 ? vb_load_upto((const uint16_t *)x + c, n) : vf_load_upto((const float *)x + c, n);
}

RTK_INLINE float top_value(const void *x, size_t c, bool is_bf16) {
  return is_bf16 ? float_of((uint32_t)((const uint16_t *)x)[c] << 16) : ((const float *)x)[c];
}

// The capacity for the candidates of a row.
#define TOP_ROOM(k) (4 * (k) + 256)

// A lower bound for the k-th largest of C > TOP_ROOM(k) numbers: the k-th largest of the maxima of about 4 k parts.
static float top_bound(uint64_t *keys, const void *x, bool is_bf16, size_t C, size_t k) {
  size_t vectors = C / RTK_W, parts = (4 * k + RTK_W - 1) / RTK_W;
  for (size_t p = 0; p < parts; p++) {
    vf largest = vf_splat(-__builtin_inff());
    for (size_t v = vectors * p / parts; v < vectors * (p + 1) / parts; v++) {
      largest = vf_max(largest, top_load(x, v * RTK_W, RTK_W, is_bf16));
    }
    for (size_t i = 0; i < RTK_W; i++) keys[p * RTK_W + i] = top_key(largest[i], p * RTK_W + i);
  }
  top_select(keys, parts * RTK_W, k);
  uint64_t least = keys[0];
  for (size_t i = 1; i < k; i++) least = keys[i] < least ? keys[i] : least;
  uint32_t bits = (uint32_t)(least >> 32);
  return float_of(bits & 0x80000000u ? bits ^ 0x80000000u : ~bits);
}

// Candidates are not below a lower bound. When they fill their memory, the k-th largest of them is the new bound.
static void top_row(uint64_t *keys, const void *x, bool is_bf16, size_t C, size_t k) {
  size_t room = TOP_ROOM(k), count = 0;
  float least = C > room ? top_bound(keys, x, is_bf16, C, k) : -__builtin_inff();
  bool takes_equals = true;
  for (size_t c = 0; c < C; c += RTK_W) {
    size_t n = C - c;
    vf value = top_load(x, c, n, is_bf16);
    vi left = (takes_equals ? value < vf_splat(least) : value <= vf_splat(least)) | ~vi_first(n);
    if (__builtin_reduce_and(left)) continue;
    for (size_t i = 0; i < RTK_W; i++) {
      if (!left[i]) keys[count++] = top_key(value[i], c + i);
    }
    if (count + RTK_W <= room) continue;
    top_select(keys, count, k);
    uint64_t last = keys[0];
    for (size_t i = 1; i < k; i++) last = keys[i] < last ? keys[i] : last;
    least = top_value(x, top_class(last), is_bf16);
    takes_equals = false;
    count = k;
  }
  top_select(keys, count, k);
  qsort(keys, k, sizeof *keys, top_order);
}

// log Σ e^(x/T) over the columns that are not among the k largest: those below the k-th, and later ones equal to it.
static double top_rest(const uint64_t *keys, const void *x, bool is_bf16, size_t C, size_t k, float temperature) {
  float least = top_value(x, top_class(keys[k - 1]), is_bf16), inverse_temperature = 1.0f / temperature;
  double sum = 0;
  size_t equals = 0;
  for (size_t i = 0; i < k; i++) equals -= top_value(x, top_class(keys[i]), is_bf16) == least;
  for (size_t start = 0; start < C; start += RTK_SUM_BLOCK) {
    size_t end = rtk_least(start + RTK_SUM_BLOCK, C);
    vf part = vf_splat(0);
    vi same = (vi)(0);
    for (size_t c = start; c < end; c += RTK_W) {
      size_t n = end - c;
      vf value = top_load(x, c, n, is_bf16);
      vi here = vi_first(n);
      part += vf_where(here & (value < least), vf_exp((value - least) * inverse_temperature));
      same -= here & (value == least);
    }
    sum += (double)vf_sum(part);
    for (int lane = 0; lane < RTK_W; lane++) equals += (size_t)same[lane];
  }
  if (equals > 0 && least > -__builtin_inff()) sum += (double)equals;
  return __builtin_log(sum) + (double)least / (double)temperature;
}

static void top_k(float *values, int32_t *classes, float *log_rest, uint64_t *keys, const void *x, bool is_bf16,
                  size_t R, size_t C, size_t k, float temperature) {
  for (size_t r = 0; r < R; r++) {
    const void *row = (const char *)x + r * C * (is_bf16 ? 2 : 4);
    top_row(keys, row, is_bf16, C, k);
    for (size_t i = 0; i < k; i++) {
      classes[r * k + i] = (int32_t)top_class(keys[i]);
      values[r * k + i] = top_value(row, top_class(keys[i]), is_bf16);
    }
    log_rest[r] = k < C ? (float)top_rest(keys, row, is_bf16, C, k, temperature) : -__builtin_inff();
  }
}

#endif
