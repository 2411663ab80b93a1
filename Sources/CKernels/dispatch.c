// Selects a table of kernels once; the public functions call through it.
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

static _Atomic(const rtk_table *) chosen;

#if defined(__x86_64__)
static bool cpu_has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

static bool cpu_has_avx512(void) {
  return cpu_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static bool cpu_has_avx512bf16(void) { return cpu_has_avx512() && __builtin_cpu_supports("avx512bf16"); }
#endif

// The named table, or the best one for null; null when the name is unknown or this CPU cannot run the set.
static const rtk_table *find(const char *name) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if ((!name || strcmp(name, rtk_table_avx512bf16.name) == 0) && cpu_has_avx512bf16()) return &rtk_table_avx512bf16;
  if ((!name || strcmp(name, rtk_table_avx512.name) == 0) && cpu_has_avx512()) return &rtk_table_avx512;
  if ((!name || strcmp(name, rtk_table_avx2.name) == 0) && cpu_has_avx2()) return &rtk_table_avx2;
#endif
  // Every CPU accepts "baseline"; on arm64 its name is "neon".
  if (!name || strcmp(name, "baseline") == 0 || strcmp(name, rtk_table_baseline.name) == 0) return &rtk_table_baseline;
  return NULL;
}

bool rtk_isa_supported(const char *name) { return name && find(name); }

int rtk_select_isa(const char *name_or_null) {
  if (name_or_null) {
    const rtk_table *table = find(name_or_null);
    if (!table) return -1;
    atomic_store_explicit(&chosen, table, memory_order_release);
    return 0;
  }
  const char *wish = getenv("RETORT_ISA");
  if (wish && !*wish) wish = NULL;
  const rtk_table *table = find(wish);
  atomic_store_explicit(&chosen, table ? table : find(NULL), memory_order_release);
  return table ? 0 : -1;
}

// Threads that get here first at the same time select the same table.
static inline const rtk_table *current(void) {
  const rtk_table *table = atomic_load_explicit(&chosen, memory_order_acquire);
  if (__builtin_expect(!table, 0)) {
    rtk_select_isa(NULL);
    table = atomic_load_explicit(&chosen, memory_order_acquire);
  }
  return table;
}

const char *rtk_isa_name(void) { return current()->name; }

bool rtk_has_native_bf16(void) {
#if defined(__x86_64__)
  return current() == &rtk_table_avx512bf16;
#else
  return false;
#endif
}

// The public functions.
#define RTK_ARGUMENTS(...) RTK_EACH(RTK_ARGUMENT, __VA_ARGS__)
#define RTK_ARGUMENT(type, name, ...) name
#define RTK_KERNEL(result, name, ...) \
  result rtk_##name(RTK_PARAMETERS(__VA_ARGS__)) { return current()->name(RTK_ARGUMENTS(__VA_ARGS__)); }
#include "include/retort_kernels.def"
#undef RTK_KERNEL
