// Gated units (Shazeer, 2020): y = f(gate) up. A row of x has the results of the gate projection, then of the up
// projection.
#ifndef RTK_GATED_H
#define RTK_GATED_H

#include "include/retort_kernels.h"
#include "activations.h"
#include "formats.h"
#include "vector.h"

#define RTK_GATED_ROWS(function) \
  for (size_t r = 0; r < R; r++) { \
    for (size_t c = 0; c < C; c += RTK_W) { \
      size_t n = C - c; \
      vf gate = RTK_LOAD(x + 2 * r * C + c, n), up = RTK_LOAD(x + (2 * r + 1) * C + c, n); \
      RTK_STORE(y + r * C + c, function(gate) * up, n); \
    } \
  }

#define RTK_GATED_FORWARD(name, element) \
  static void name(rtk_activation kind, element *y, const element *x, size_t R, size_t C) { \
    switch (kind) { \
      case RTK_GELU: RTK_GATED_ROWS(gelu); break; \
      case RTK_GELU_TANH: RTK_GATED_ROWS(gelu_tanh); break; \
      case RTK_RELU: RTK_GATED_ROWS(relu); break; \
      case RTK_TANH: RTK_GATED_ROWS(vf_tanh); break; \
      case RTK_SILU: RTK_GATED_ROWS(silu); break; \
      case RTK_SIGMOID: RTK_GATED_ROWS(vf_sigmoid); break; \
    } \
  }

// dgate = dy up f'(gate), dup = dy f(gate)
#define RTK_GATED_GRADIENT(function, derivative) \
  for (size_t r = 0; r < R; r++) { \
    for (size_t c = 0; c < C; c += RTK_W) { \
      size_t n = C - c, at = 2 * r * C + c; \
      vf gate = RTK_LOAD(x + at, n), up = RTK_LOAD(x + at + C, n), d = RTK_LOAD(dy + r * C + c, n); \
      RTK_STORE(dx + at, d * up * derivative(gate), n); \
      RTK_STORE(dx + at + C, d * function(gate), n); \
    } \
  }

#define RTK_GATED_BACKWARD(name, element) \
  static void name(rtk_activation kind, element *dx, const element *dy, const element *x, size_t R, size_t C) { \
    switch (kind) { \
      case RTK_GELU: RTK_GATED_GRADIENT(gelu, gelu_derivative); break; \
      case RTK_GELU_TANH: RTK_GATED_GRADIENT(gelu_tanh, gelu_tanh_derivative); break; \
      case RTK_RELU: RTK_GATED_GRADIENT(relu, relu_derivative); break; \
      case RTK_TANH: RTK_GATED_GRADIENT(vf_tanh, tanh_derivative); break; \
      case RTK_SILU: RTK_GATED_GRADIENT(silu, silu_derivative); break; \
      case RTK_SIGMOID: RTK_GATED_GRADIENT(vf_sigmoid, sigmoid_derivative); break; \
    } \
  }

#define RTK_LOAD vf_load_upto
#define RTK_STORE vf_store_upto
RTK_GATED_FORWARD(gated_forward, float)
RTK_GATED_BACKWARD(gated_backward, float)
#undef RTK_LOAD
#undef RTK_STORE

#define RTK_LOAD vb_load_upto
#define RTK_STORE vb_store_upto
RTK_GATED_FORWARD(bf16_gated_forward, uint16_t)
RTK_GATED_BACKWARD(bf16_gated_backward, uint16_t)
#undef RTK_LOAD
#undef RTK_STORE

#endif
