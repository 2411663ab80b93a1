// Scratch memory of one call.
#ifndef RTK_SCRATCH_H
#define RTK_SCRATCH_H

#include <stdlib.h>

#include "vector.h"

// The size of an array on the stack that is enough for most calls.
#define RTK_STACK_FLOATS 16384

static float *floats_from_malloc(size_t count) {
  float *memory = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);
  if (!memory) abort();
  return memory;
}

// The caller's small array when it is large enough, else memory from malloc, which the caller frees.
static float *scratch_memory(float *small, size_t count) {
  return count <= RTK_STACK_FLOATS ? small : floats_from_malloc(count);
}

#endif
