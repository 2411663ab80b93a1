// 1 - beta as the user wrote it. A float just below 1 is known to 3e-8, so 1 - 0.999f is 0.00099998…, 1e-5 off;
// seven decimals give 0.001 back.
RTK_INLINE float complement(float beta) { return (float)(__builtin_rint((1 - (double)beta) * 1e7) / 1e7); }

static void adamw(float *p, const float *g, float *m, float *v, size_t N, const rtk_adamw_step *step) {
  float decay = (float)(1 - (double)step->learning_rate * (double)step->weight_decay);
  float rate = (float)((double)step->learning_rate / (double)step->bias_correction1);
  float root_scale = (float)(1 / __builtin_sqrt((double)step->bias_correction2));
  float beta1 = step->beta1, beta2 = step->beta2;
  float rest1 = complement(beta1), rest2 = complement(beta2);
  float gradient_scale = step->gradient_scale, epsilon = step->epsilon;
  for (size_t i = 0; i < N; i += RTK_W) {
    size_t n = N - i;
    vf gradient = vf_load_upto(g + i, n) * gradient_scale;
    vf first = beta1 * vf_load_upto(m + i, n) + rest1 * gradient;
    vf second = beta2 * vf_load_upto(v + i, n) + rest2 * (gradient * gradient);
    vf denominator = __builtin_elementwise_sqrt(second) * root_scale + epsilon;
    vf_store_upto(m + i, first, n);
    vf_store_upto(v + i, second, n);
    vf_store_upto(p + i, vf_load_upto(p + i, n) * decay - rate * first / denominator, n);
  }
}
