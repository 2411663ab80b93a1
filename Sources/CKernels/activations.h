// Activation functions, each derivative directly below its function.
#ifndef RTK_ACTIVATIONS_H
#define RTK_ACTIVATIONS_H

#include "include/retort_kernels.h"
#include "formats.h"
#include "transcendental.h"
#include "vector.h"

RTK_INLINE vf gelu(vf x) {
  vf density;
  return x * vf_normal_cdf(x, &density);
}
// d/dx x Φ(x) = Φ(x) + x φ(x)
RTK_INLINE vf gelu_derivative(vf x) {
  vf density;
  vf cdf = vf_normal_cdf(x, &density);
  return cdf + x * density;
}

// x/2 (1 + tanh u) = x sigmoid(2u), u = √(2/π) (x + 0.044715 x³)
#define RTK_GELU_SLOPE 1.5957691216057308f /* 2 √(2/π) */
RTK_INLINE vf gelu_tanh(vf x) { return x * vf_sigmoid(RTK_GELU_SLOPE * (x + 0.044715f * x * x * x)); }
// s + x s (1 - s) (2u)'
RTK_INLINE vf gelu_tanh_derivative(vf x) {
  vf rest, s = vf_sigmoid_parts(RTK_GELU_SLOPE * (x + 0.044715f * x * x * x), &rest);
  return s + x * s * rest * (RTK_GELU_SLOPE * (1.0f + 0.134145f * x * x));
}

RTK_INLINE vf relu(vf x) { return vf_max(vf_splat(0), x); }
RTK_INLINE vf relu_derivative(vf x) { return vf_where(x > 0.0f, vf_splat(1)); }

RTK_INLINE vf tanh_derivative(vf x) {
  vf t = vf_tanh(x);
  return 1.0f - t * t;
}

RTK_INLINE vf silu(vf x) { return x * vf_sigmoid(x); }
// s + x s (1 - s)
RTK_INLINE vf silu_derivative(vf x) {
  vf rest, s = vf_sigmoid_parts(x, &rest);
  return s + x * s * rest;
}

RTK_INLINE vf sigmoid_derivative(vf x) {
  vf rest, s = vf_sigmoid_parts(x, &rest);
  return s * rest;
}

// One text for float32 and for bf16 in memory: RTK_LOAD and RTK_STORE read and write the format.
#define RTK_MAP(function) \
  for (size_t i = 0; i < N; i += RTK_W) RTK_STORE(out + i, function(RTK_LOAD(x + i, N - i)), N - i)

#define RTK_ACTIVATION_FORWARD(name, element) \
  static void name(rtk_activation kind, element *out, const element *x, size_t N) { \
    switch (kind) { \
      case RTK_GELU: RTK_MAP(gelu); break; \
      case RTK_GELU_TANH: RTK_MAP(gelu_tanh); break; \
      case RTK_RELU: RTK_MAP(relu); break; \
      case RTK_TANH: RTK_MAP(vf_tanh); break; \
      case RTK_SILU: RTK_MAP(silu); break; \
      case RTK_SIGMOID: RTK_MAP(vf_sigmoid); break; \
    } \
  }

#define RTK_MAP_GRADIENT(derivative) \
  for (size_t i = 0; i < N; i += RTK_W) { \
    vf slope = derivative(RTK_LOAD(x + i, N - i)); \
    RTK_STORE(dx + i, RTK_LOAD(dy + i, N - i) * slope, N - i); \
  }

#define RTK_ACTIVATION_BACKWARD(name, element) \
  static void name(rtk_activation kind, element *dx, const element *dy, const element *x, size_t N) { \
    switch (kind) { \
      case RTK_GELU: RTK_MAP_GRADIENT(gelu_derivative); break; \
      case RTK_GELU_TANH: RTK_MAP_GRADIENT(gelu_tanh_derivative); break; \
      case RTK_RELU: RTK_MAP_GRADIENT(relu_derivative); break; \
      case RTK_TANH: RTK_MAP_GRADIENT(tanh_derivative); break; \
      case RTK_SILU: RTK_MAP_GRADIENT(silu_derivative); break; \
      case RTK_SIGMOID: RTK_MAP_GRADIENT(sigmoid_derivative); break; \
    } \
  }

#define RTK_LOAD vf_load_upto
#define RTK_STORE vf_store_upto
RTK_ACTIVATION_FORWARD(activation_forward, float)
RTK_ACTIVATION_BACKWARD(activation_backward, float)
#undef RTK_LOAD
#undef RTK_STORE

#define RTK_LOAD vb_load_upto
#define RTK_STORE vb_store_upto
RTK_ACTIVATION_FORWARD(bf16_activation_forward, uint16_t)
RTK_ACTIVATION_BACKWARD(bf16_activation_backward, uint16_t)
#undef RTK_LOAD
#undef RTK_STORE

#endif
