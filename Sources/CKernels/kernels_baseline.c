// Vectors of 4 floats, which every CPU has: SSE2 on x86-64, NEON on arm64.
#include <stdlib.h>

#include "table.h"

#define RTK_W 4
#define RTK_TABLE rtk_table_baseline
#if defined(__aarch64__)
#define RTK_NAME "neon"
#else
#define RTK_NAME "baseline"
#endif

#include "kernels.h"
