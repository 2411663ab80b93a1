#ifndef RETORT_ONEDNN_H
#define RETORT_ONEDNN_H

// Matrix multiply on oneDNN: one product of fixed shape, prepared once and run often.
// The descriptors are structs in oneDNN 2 and handles in oneDNN 3; this header hides both.

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t onednn_layout;
typedef const_dnnl_memory_desc_t onednn_const_layout;
#define ONEDNN_REF(layout) (layout)
#else
typedef dnnl_memory_desc_t onednn_layout;
typedef const dnnl_memory_desc_t *onednn_const_layout;
#define ONEDNN_REF(layout) (&(layout))
#endif

// C [m, n] = f(A·B + bias), or C += A·B with accumulate. A is [m, k], or [k, m] with transpose_a; B is [k, n], or [n, k]
// with transpose_b; all row-major without gaps, except a packed B, see onednn_packed_matrix. A and B are bf16, C is f32
// or bf16, bias is null or f32 [n].
typedef struct {
  int64_t m, n, k;
  bool transpose_a, transpose_b, packed_b, accumulate, has_bias, rounds_c;
  dnnl_alg_kind_t activation;  // f, one of oneDNN's elementwise functions, or dnnl_alg_kind_undef for none
} onednn_problem;

typedef struct {
  dnnl_primitive_t primitive;
  dnnl_stream_t stream;
  dnnl_memory_t a, b, bias, c, scratch;
  size_t scratch_bytes;
} onednn_product;

static inline dnnl_engine_t onednn_make_engine(void) {
  dnnl_engine_t engine = NULL;
  return dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success ? engine : NULL;
}

static inline void onednn_free_layout(onednn_layout *layout) {
#if DNNL_VERSION_MAJOR >= 3
  if (*layout) dnnl_memory_desc_destroy(*layout);
#endif
  (void)layout;
}

static inline bool onednn_matrix(onednn_layout *layout, bool is_bf16, int64_t rows, int64_t columns, bool transposed) {
  dnnl_dims_t extents = {rows, columns};
  dnnl_dims_t strides = {transposed ? 1 : columns, transposed ? rows : 1};
  dnnl_data_type_t type = is_bf16 ? dnnl_bf16 : dnnl_f32;
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_memory_desc_create_with_strides(layout, 2, extents, type, strides) == dnnl_success;
#else
  return dnnl_memory_desc_init_by_strides(layout, 2, extents, type, strides) == dnnl_success;
#endif
}

// B [k, n] in blocks of 32 × 64, one block of 64 columns after the other; within a block pairs of rows are interleaved:
// 16 × 64 × 2, the order in which the bf16 dot products of AVX-512 and AMX read them.
static inline bool onednn_packed_matrix(onednn_layout *layout, int64_t rows, int64_t columns) {
  dnnl_dims_t extents = {rows, columns};
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_memory_desc_create_with_tag(layout, 2, extents, dnnl_bf16, dnnl_BA16a64b2a) == dnnl_success;
#else
  return dnnl_memory_desc_init_by_tag(layout, 2, extents, dnnl_bf16, dnnl_BA16a64b2a) == dnnl_success;
#endif
}

static inline dnnl_memory_t onednn_place(dnnl_primitive_desc_t product, dnnl_query_t query, dnnl_engine_t engine) {
  dnnl_memory_t memory = NULL;
  onednn_const_layout layout = dnnl_primitive_desc_query_md(product, query, 0);
  return layout && dnnl_memory_create(&memory, layout, engine, DNNL_MEMORY_NONE) == dnnl_success ? memory : NULL;
}

static inline void onednn_free_product(onednn_product *product) {
  if (product->primitive) dnnl_primitive_destroy(product->primitive);
  if (product->stream) dnnl_stream_destroy(product->stream);
  dnnl_memory_t memories[5] = {product->a, product->b, product->bias, product->c, product->scratch};
  for (int i = 0; i < 5; i++) {
    if (memories[i]) dnnl_memory_destroy(memories[i]);
  }
  *product = (onednn_product){0};
}

static inline dnnl_status_t onednn_describe(dnnl_primitive_desc_t *result, dnnl_engine_t engine,
                                            onednn_const_layout a, onednn_const_layout b,
                                            onednn_const_layout bias, onednn_const_layout c,
                                            const_dnnl_primitive_attr_t attributes) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_matmul_primitive_desc_create(result, engine, a, b, bias, c, attributes);
#else
  dnnl_matmul_desc_t operation;
  dnnl_status_t status = dnnl_matmul_desc_init(&operation, a, b, bias, c);
  if (status != dnnl_success) return status;
  return dnnl_primitive_desc_create(result, &operation, attributes, engine, NULL);
#endif
}

// Whether oneDNN chose an optimised implementation; its reference loops are slower than converting to f32.
static inline bool onednn_is_fast(const_dnnl_primitive_desc_t description) {
  const char *name = NULL;
  return dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, &name) == dnnl_success && name &&
         strncmp(name, "ref", 3) != 0;
}

static inline bool onednn_attributes(dnnl_primitive_attr_t *attributes, const onednn_problem *problem) {
  if (dnnl_primitive_attr_create(attributes) != dnnl_success) return false;
  // The caller provides the scratch memory, since the library's own belongs to the thread that prepared the product.
  if (dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user) != dnnl_success) return false;
  dnnl_post_ops_t after = NULL;
  if (dnnl_post_ops_create(&after) != dnnl_success) return false;
  bool done = true;
  // alpha: the factor inside swish's sigmoid; relu's slope below zero.
  float alpha = problem->activation == dnnl_eltwise_swish ? 1 : 0;
#if DNNL_VERSION_MAJOR >= 3
  if (problem->accumulate) done = dnnl_post_ops_append_sum(after, 1, 0, dnnl_data_type_undef) == dnnl_success;
  if (problem->activation != dnnl_alg_kind_undef) {
    done = done && dnnl_post_ops_append_eltwise(after, problem->activation, alpha, 0) == dnnl_success;
  }
#else
  if (problem->accumulate) done = dnnl_post_ops_append_sum(after, 1) == dnnl_success;
  if (problem->activation != dnnl_alg_kind_undef) {
    done = done && dnnl_post_ops_append_eltwise(after, 1, problem->activation, alpha, 0) == dnnl_success;
  }
#endif
  done = done && dnnl_primitive_attr_set_post_ops(*attributes, after) == dnnl_success;
  dnnl_post_ops_destroy(after);
  return done;
}

// Prepares a product; false, with nothing to free, if this CPU or this oneDNN has no such product.
static inline bool onednn_make_product(onednn_product *product, const onednn_problem *problem, dnnl_engine_t engine) {
  *product = (onednn_product){0};
  onednn_layout a = {0}, b = {0}, bias = {0}, c = {0};
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_primitive_desc_t description = NULL;
  bool done = onednn_matrix(&a, true, problem->m, problem->k, problem->transpose_a) &&
              (problem->packed_b ? onednn_packed_matrix(&b, problem->k, problem->n)
                                 : onednn_matrix(&b, true, problem->k, problem->n, problem->transpose_b)) &&
              onednn_matrix(&bias, false, 1, problem->n, false) &&
              onednn_matrix(&c, problem->rounds_c, problem->m, problem->n, false) &&
              onednn_attributes(&attributes, problem) &&
              onednn_describe(&description, engine, ONEDNN_REF(a), ONEDNN_REF(b),
                              problem->has_bias ? ONEDNN_REF(bias) : NULL, ONEDNN_REF(c), attributes) ==
                dnnl_success &&
              onednn_is_fast(description) &&
              dnnl_stream_create(&product->stream, engine, dnnl_stream_default_flags) == dnnl_success &&
              dnnl_primitive_create(&product->primitive, description) == dnnl_success;
  if (done) {
    product->a = onednn_place(description, dnnl_query_src_md, engine);
    product->b = onednn_place(description, dnnl_query_weights_md, engine);
    product->c = onednn_place(description, dnnl_query_dst_md, engine);
    product->scratch = onednn_place(description, dnnl_query_scratchpad_md, engine);
    product->scratch_bytes =
      dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0));
    done = product->a && product->b && product->c && product->scratch;
    if (done && problem->has_bias) {
      done = dnnl_memory_create(&product->bias, ONEDNN_REF(bias), engine, DNNL_MEMORY_NONE) == dnnl_success;
    }
  }
  if (description) dnnl_primitive_desc_destroy(description);
  if (attributes) dnnl_primitive_attr_destroy(attributes);
  onednn_free_layout(&a);
  onednn_free_layout(&b);
  onednn_free_layout(&bias);
  onednn_free_layout(&c);
  if (!done) onednn_free_product(product);
  return done;
}

// Runs a product on these matrices; bias is null if the product has none; scratch has scratch_bytes. Only one thread at
// a time may run a product.
static inline bool onednn_run(const onednn_product *product, const void *a, const void *b, const float *bias, void *c,
                              void *scratch) {
  dnnl_memory_set_data_handle(product->a, (void *)a);
  dnnl_memory_set_data_handle(product->b, (void *)b);
  dnnl_memory_set_data_handle(product->c, c);
  dnnl_memory_set_data_handle(product->scratch, scratch);
  if (product->bias) dnnl_memory_set_data_handle(product->bias, (void *)bias);
  dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, product->a},
                                 {DNNL_ARG_WEIGHTS, product->b},
                                 {DNNL_ARG_DST, product->c},
                                 {DNNL_ARG_SCRATCHPAD, product->scratch},
                                 {DNNL_ARG_BIAS, product->bias}};
  int count = product->bias ? 5 : 4;
  return dnnl_primitive_execute(product->primitive, product->stream, count, arguments) == dnnl_success &&
         dnnl_stream_wait(product->stream) == dnnl_success;
}

#endif
