#if defined(__x86_64__)
#include <immintrin.h>
#include <stdlib.h>

#include "table.h"

#define RTK_W 16
#define RTK_HAS_BF16 1
#define RTK_TABLE rtk_table_avx512bf16
#define RTK_NAME "avx512bf16"

// Without min_vector_width the compiler may split 512-bit vectors in two for CPUs that it believes to prefer 256 bits.
#pragma clang attribute push( \
  __attribute__((target("avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)
#pragma clang attribute push(__attribute__((min_vector_width(512))), apply_to = function)
#include "kernels.h"
#pragma clang attribute pop
#pragma clang attribute pop
#else
typedef int rtk_no_avx512bf16_here;  // a source file may not be empty
#endif
