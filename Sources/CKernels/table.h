// The kernels of one instruction set as a table of functions.
#ifndef RTK_TABLE_H
#define RTK_TABLE_H

#include "include/retort_kernels.h"

typedef struct {
  const char *name;
#define RTK_KERNEL(result, name, ...) result (*name)(RTK_PARAMETERS(__VA_ARGS__));
#include "include/retort_kernels.def"
#undef RTK_KERNEL
} rtk_table;

extern const rtk_table rtk_table_baseline;
#if defined(__x86_64__)
extern const rtk_table rtk_table_avx2;
extern const rtk_table rtk_table_avx512;
extern const rtk_table rtk_table_avx512bf16;
#endif

#endif
