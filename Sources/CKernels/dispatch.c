// Selects a table of kernels once; the public functions call through it.
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

// The set of the process, and the one that a thread has selected for itself, if any.
static _Atomic(const rtk_table *) chosen;
static _Thread_local const rtk_table *chosen_here;

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
  const rtk_table *table = name_or_null ? find(name_or_null) : NULL;
  if (name_or_null && !table) return -1;
  chosen_here = table;
  return 0;
}

// RETORT_ISA, or the best set if it is unset, unknown or not this CPU's.
static const rtk_table *wished(void) {
  const char *wish = getenv("RETORT_ISA");
  const rtk_table *table = wish && *wish ? find(wish) : NULL;
  return table ? table : find(NULL);
}

// Threads that get here first at the same time select the same table.
static inline const rtk_table *current(void) {
  if (__builtin_expect(chosen_here != NULL, 0)) return chosen_here;
  const rtk_table *table = atomic_load_explicit(&chosen, memory_order_acquire);
  if (__builtin_expect(!table, 0)) {
    table = wished();
    atomic_store_explicit(&chosen, table, memory_order_release);
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
