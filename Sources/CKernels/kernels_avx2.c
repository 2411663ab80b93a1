#if defined(__x86_64__)
#include <immintrin.h>
#include <stdlib.h>

#include "table.h"

#define RTK_W 8
#define RTK_TABLE rtk_table_avx2
#define RTK_NAME "avx2"

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "kernels.h"
#pragma clang attribute pop
#else
typedef int rtk_no_avx2_here;  // a source file may not be empty
#endif
