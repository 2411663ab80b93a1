// Divergences between the softmax of a student's logits and that of a teacher's. A row's columns may come in blocks, in
// three passes: sums, values, gradient. Each divergence is a few lines: φ, whose sum over the classes is the value, and
// the slope φ' = ∂φ/∂log q. One driver does the rest, with the kind as a compile-time constant.
//
// φ and φ' have a form that is exact where p = q: terms that sum to 0 over the classes are added so that φ is never
// negative (p log(p/q) - p + q) and φ' is small where p and q are close. They change neither value nor gradient.
#ifndef RTK_DIVERGENCES_H
#define RTK_DIVERGENCES_H

#include "include/retort_kernels.h"
#include "head_loss.h"
#include "transcendental.h"
#include "vector.h"

// Sums are float within a block of this many columns, and double over blocks.
#define RTK_DIVERGENCE_BLOCK 512

// The constants of a row.
typedef struct {
  float student_max, teacher_max;
  float student_scale, teacher_scale;  // 1 / Σ e^((s - max)/T)
  float inverse, inverse_rest;         // 1/T as a sum of two floats
  float shift, shift_rest;             // log q - log p = (s - t)/T - shift, as a sum of two floats
  float slope;                         // Σ φ'
  float parameter, inverse_classes;
} divergence_constants;

// p, q, d = log q - log p and the larger of p and q, of one vector of classes.
typedef struct {
  vf p, q, d;
  vi grows;     // q > p
  vf larger;    // max(p, q)
  vf fraction;  // e^-|d|: the smaller over the larger
  vf loss;      // e^-|d| - 1
} divergence_pair;

typedef struct {
  vf value, slope;  // φ, φ'
} divergence_term;

// w l, and 0 where w = 0 whatever l is.
RTK_INLINE vf divergence_times(vf w, vf l) { return vf_where((vi)(w != 0.0f), w * l); }

RTK_INLINE vf divergence_scaled(vf x, const divergence_constants *row) {
  return x * row->inverse + vf_where((vi)(vf_abs(x) < __builtin_inff()), x * row->inverse_rest);
}

RTK_INLINE vf divergence_student(vf s, const divergence_constants *row) {
  return vf_exp(divergence_scaled(s - row->student_max, row)) * row->student_scale;
}

RTK_INLINE divergence_pair divergence_at(vf s, vf t, const divergence_constants *row) {
  divergence_pair at;
  at.q = divergence_student(s, row);
  at.p = vf_exp(divergence_scaled(t - row->teacher_max, row)) * row->teacher_scale;
  // s - t = x + rest exactly.
  vf x = s - t, part = s - x, rest = (s - (x + part)) + (part - t);
  rest = rest * row->inverse + x * row->inverse_rest - row->shift_rest;
  vf d = (x * row->inverse - row->shift) + vf_where((vi)(rest == rest), rest);  // rest is NaN where x is infinite
  at.d = vf_where((vi)(at.p != 0.0f) | (vi)(at.q != 0.0f), d);
  vf_exp_parts e = vf_exp_split(vf_max(vf_splat(-88), -vf_abs(at.d)));
  at.fraction = e.power + e.power * e.tail;
  at.loss = (e.power - 1.0f) + e.power * e.tail;
  at.grows = (vi)(at.d > 0.0f);
  at.larger = vf_select(at.grows, at.q, at.p);
  return at;
}

// The same with student and teacher exchanged.
RTK_INLINE divergence_pair divergence_exchanged(divergence_pair at) {
  vf p = at.p;
  at.p = at.q;
  at.q = p;
  at.d = -at.d;
  at.grows = (vi)(at.d > 0.0f);
  return at;
}

// q - p
RTK_INLINE vf divergence_difference(const divergence_pair *at) {
  return at->larger * vf_select(at->grows, -at->loss, at->loss);
}

// p log(p/q) - p + q
RTK_INLINE vf divergence_kl(const divergence_pair *at) {
  vf distance = vf_abs(at->d);
  vf far = vf_select(at->grows, -at->loss - divergence_times(at->fraction, distance), at->loss + distance);
  return vf_select((vi)(distance < 0.34f), at->p * vf_exp_curve(at->d), at->larger * far);
}

// With m = keep p + (1 - keep) q:
typedef struct {
  vf kl;         // p log(p/m) - p + m
  vf log_ratio;  // log(m/p)
  vf share;      // (m - p)/m
} divergence_mixture;

RTK_INLINE divergence_mixture divergence_mix(divergence_pair at, float keep) {
  float rest = 1 - keep;
  vf x = rest * vf_select(at.grows, -at.loss / at.fraction, at.loss);  // m/p - 1
  vi near = (vi)(x > -0.29f) & (vi)(x < 0.41f);
  vf curve = vf_log_curve(x);
  // m over the larger of p and q, and its distance from p's share of the larger
  vf mixed = vf_select(at.grows, keep * at.fraction + rest, keep + rest * at.fraction);
  vf less = rest * vf_select(at.grows, -at.loss, at.loss);
  vf log_ratio = vf_log(mixed) + vf_where(at.grows, at.d);
  vf far = less - vf_select(at.grows, divergence_times(at.fraction, log_ratio), log_ratio);
  return (divergence_mixture){
    .kl = vf_select(near, -at.p * curve, at.larger * far),
    .log_ratio = vf_select(near, x + curve, log_ratio),
    .share = less / mixed,
  };
}

// φ and φ' of every divergence of p and q.
RTK_INLINE divergence_term divergence_of(const rtk_divergence_kind kind, const divergence_pair *at, float parameter) {
  divergence_mixture from_p, from_q;
  switch (kind) {
    case RTK_FORWARD_KL: return (divergence_term){divergence_kl(at), divergence_difference(at)};
    case RTK_REVERSE_KL: {
      divergence_pair exchanged = divergence_exchanged(*at);
      return (divergence_term){divergence_kl(&exchanged), divergence_times(at->q, at->d)};
    }
    case RTK_JENSEN_SHANNON:
      from_p = divergence_mix(*at, parameter);
      from_q = divergence_mix(divergence_exchanged(*at), 1 - parameter);
      return (divergence_term){parameter * from_p.kl + (1 - parameter) * from_q.kl,
                               (parameter - 1) * divergence_times(at->q, from_q.log_ratio)};
    case RTK_SKEW_FORWARD_KL:
      from_p = divergence_mix(*at, parameter);
      return (divergence_term){from_p.kl, (1 - parameter) * at->q * from_p.share};
    case RTK_SKEW_REVERSE_KL:
      from_q = divergence_mix(divergence_exchanged(*at), parameter);
      return (divergence_term){from_q.kl, parameter * at->q * from_q.share - divergence_times(at->q, from_q.log_ratio)};
    default: {  // total variation
      vf sign = vf_select(at->grows, vf_splat(0.5f), vf_select((vi)(at->d < 0.0f), vf_splat(-0.5f), at->d));
      return (divergence_term){-0.5f * at->larger * at->loss, sign * at->q};
    }
  }
}

// s - t, and 0 where both exclude the class.
RTK_INLINE vf divergence_of_logits(vf s, vf t) { return vf_where((vi)(s != t), s - t); }

RTK_INLINE void divergence_row_values(rtk_divergence_row *row, const float *s, const void *t, size_t C,
                                      const divergence_constants *constants, const rtk_divergence_kind kind,
                                      const int teacher) {
  double value = 0, slope = 0;
  for (size_t start = 0; start < C; start += RTK_DIVERGENCE_BLOCK) {
    size_t end = rtk_least(start + RTK_DIVERGENCE_BLOCK, C);
    vf values = vf_splat(0), slopes = vf_splat(0);
    for (size_t c = start; c < end; c += RTK_W) {
      size_t n = end - c;
      vi here = vi_first(n);
      vf student = vf_load_upto(s + c, n);
      if (kind == RTK_UNIFORM_CROSS_ENTROPY) {
        values += vf_where(here, divergence_scaled(student - constants->student_max, constants));
        continue;
      }
      vf taught = head_teacher(t, c, n, teacher);
      if (kind == RTK_LOGITS_MSE) {
        vf x = vf_where(here, divergence_of_logits(student, taught));
        values += x * x;
        continue;
      }
      divergence_pair at = divergence_at(student, taught, constants);
      divergence_term term = divergence_of(kind, &at, constants->parameter);
      values += vf_where(here, term.value);
      slopes += vf_where(here, term.slope);
    }
    value += (double)vf_sum(values);
    slope += (double)vf_sum(slopes);
  }
  row->value += value;
  // The slopes q - p sum to 0.
  if (kind != RTK_FORWARD_KL) row->slope += slope;
}

RTK_INLINE void divergence_row_gradient(float *g, const float *s, const void *t, size_t C,
                                        const divergence_constants *constants, float factor,
                                        const rtk_divergence_kind kind, const int teacher) {
  for (size_t c = 0; c < C; c += RTK_W) {
    size_t n = C - c;
    vf student = vf_load_upto(s + c, n), change;
    if (kind == RTK_UNIFORM_CROSS_ENTROPY) {
      change = -constants->inverse_classes - divergence_student(student, constants) * constants->slope;
    } else if (kind == RTK_LOGITS_MSE) {
      change = divergence_of_logits(student, head_teacher(t, c, n, teacher));
    } else {
      divergence_pair at = divergence_at(student, head_teacher(t, c, n, teacher), constants);
      change = divergence_of(kind, &at, constants->parameter).slope;
      if (kind != RTK_FORWARD_KL) change -= at.q * constants->slope;
    }
    vf_store_upto(g + c, vf_load_upto(g + c, n) + factor * change, n);
  }
}

// Without skew the mixture is the other distribution, and the divergence the plain one.
RTK_INLINE rtk_divergence_kind divergence_kind_of(const rtk_divergence *divergence) {
  if (divergence->kind == RTK_SKEW_FORWARD_KL && divergence->parameter == 0) return RTK_FORWARD_KL;
  if (divergence->kind == RTK_SKEW_REVERSE_KL && divergence->parameter == 0) return RTK_REVERSE_KL;
  return divergence->kind;
}

RTK_INLINE divergence_constants divergence_constants_of(const rtk_divergence *divergence,
                                                        const rtk_divergence_row *row) {
  double T = (double)divergence->temperature;
  double shift = ((double)row->student_max - (double)row->teacher_max) / T +
                 __builtin_log(row->student_sum / row->teacher_sum);
  divergence_constants constants = {
    .student_max = row->student_max, .teacher_max = row->teacher_max,
    .student_scale = (float)(1 / row->student_sum), .teacher_scale = (float)(1 / row->teacher_sum),
    .inverse = (float)(1 / T), .shift = (float)shift, .slope = (float)row->slope,
    .parameter = divergence->parameter, .inverse_classes = (float)(1 / (double)divergence->classes),
  };
  constants.inverse_rest = (float)(1 / T - (double)constants.inverse);
  constants.shift_rest = (float)(shift - (double)constants.shift);
  return constants;
}

#define RTK_DIVERGENCE_CASE(kind, call) \
  case kind * 2: call(kind, HEAD_F32); break; \
  case kind * 2 + 1: call(kind, HEAD_BF16); break;
#define RTK_DIVERGENCE_CASES(kind, teacher, call) \
  switch ((int)kind * 2 + (teacher && teacher->is_bf16)) { \
    RTK_DIVERGENCE_CASE(RTK_FORWARD_KL, call) \
    RTK_DIVERGENCE_CASE(RTK_REVERSE_KL, call) \
    RTK_DIVERGENCE_CASE(RTK_JENSEN_SHANNON, call) \
    RTK_DIVERGENCE_CASE(RTK_SKEW_FORWARD_KL, call) \
    RTK_DIVERGENCE_CASE(RTK_SKEW_REVERSE_KL, call) \
    RTK_DIVERGENCE_CASE(RTK_TOTAL_VARIATION, call) \
    RTK_DIVERGENCE_CASE(RTK_LOGITS_MSE, call) \
    default: call(RTK_UNIFORM_CROSS_ENTROPY, HEAD_NO_TEACHER); \
  }

// *sum += Σ e^((x - max)/T), after rescaling it to the larger maximum.
RTK_INLINE void divergence_row_sum(float *max, double *sum, const void *x, size_t C, double T, const int format) {
  float largest = head_row_max(x, C, format == HEAD_BF16);
  if (largest > *max) {
    *sum *= __builtin_exp(((double)*max - (double)largest) / T);
    *max = largest;
  }
  // While the maximum is -inf every number is -inf or NaN.
  float shift = *max == -__builtin_inff() ? 0 : *max;
  divergence_constants constants = {.inverse = (float)(1 / T)};
  constants.inverse_rest = (float)(1 / T - (double)constants.inverse);
  for (size_t start = 0; start < C; start += RTK_DIVERGENCE_BLOCK) {
    size_t end = rtk_least(start + RTK_DIVERGENCE_BLOCK, C);
    vf part = vf_splat(0);
    for (size_t c = start; c < end; c += RTK_W) {
      vf element = head_teacher(x, c, end - c, format);
      part += vf_where(vi_first(end - c), vf_exp(divergence_scaled(element - shift, &constants)));
    }
    *sum += (double)vf_sum(part);
  }
}

static void divergence_sums(rtk_divergence_row *rows, const float *student, const rtk_head_teacher *teacher, size_t R,
                            size_t C, float temperature) {
  double T = (double)temperature;
  for (size_t r = 0; r < R; r++) {
    rtk_divergence_row *row = &rows[r];
    divergence_row_sum(&row->student_max, &row->student_sum, student + r * C, C, T, HEAD_F32);
    if (!teacher) continue;
    const void *t = head_teacher_row(teacher, r);
    if (teacher->is_bf16) {
      divergence_row_sum(&row->teacher_max, &row->teacher_sum, t, C, T, HEAD_BF16);
    } else {
      divergence_row_sum(&row->teacher_max, &row->teacher_sum, t, C, T, HEAD_F32);
    }
  }
}

static void divergence_values(const rtk_divergence *divergence, rtk_divergence_row *rows, const float *student,
                              const rtk_head_teacher *teacher, size_t R, size_t C) {
  rtk_divergence_kind kind = divergence_kind_of(divergence);
  double classes = (double)divergence->classes;
  for (size_t r = 0; r < R; r++) {
    const float *s = student + r * C;
    const void *t = teacher ? head_teacher_row(teacher, r) : NULL;
    divergence_constants constants = divergence_constants_of(divergence, &rows[r]);
    double before = rows[r].value;
#define RTK_DIVERGENCE_VALUES(kind, format) divergence_row_values(&rows[r], s, t, C, &constants, kind, format)
    RTK_DIVERGENCE_CASES(kind, teacher, RTK_DIVERGENCE_VALUES)
#undef RTK_DIVERGENCE_VALUES
    if (kind == RTK_LOGITS_MSE) rows[r].value = before + (rows[r].value - before) / classes;
    if (kind == RTK_UNIFORM_CROSS_ENTROPY) {
      double logits = rows[r].value - before;
      rows[r].value = before + ((double)C * __builtin_log(rows[r].student_sum) - logits) / classes;
      rows[r].slope -= (double)C / classes;
    }
  }
}

static void divergence_gradient(const rtk_divergence *divergence, float *gradient, const rtk_divergence_row *rows,
                                const float *weights, const float *student, const rtk_head_teacher *teacher, size_t R,
                                size_t C) {
  rtk_divergence_kind kind = divergence_kind_of(divergence);
  // The factor of the term over T.
  double scale = (double)divergence->temperature;
  if (kind == RTK_TOTAL_VARIATION) scale = 1;
  if (kind == RTK_UNIFORM_CROSS_ENTROPY) scale = 1 / (double)divergence->temperature;
  if (kind == RTK_LOGITS_MSE) scale = 2 / (double)divergence->classes;
  for (size_t r = 0; r < R; r++) {
    float factor = (float)(scale * (weights ? (double)weights[r] : 1));
    if (weights && weights[r] == 0) continue;
    const float *s = student + r * C;
    const void *t = teacher ? head_teacher_row(teacher, r) : NULL;
    divergence_constants constants = divergence_constants_of(divergence, &rows[r]);
#define RTK_DIVERGENCE_GRADIENT(kind, format) \
  divergence_row_gradient(gradient + r * C, s, t, C, &constants, factor, kind, format)
    RTK_DIVERGENCE_CASES(kind, teacher, RTK_DIVERGENCE_GRADIENT)
#undef RTK_DIVERGENCE_GRADIENT
  }
}

#endif
