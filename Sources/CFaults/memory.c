// Reports refused memory and refused threads on behalf of code that cannot report them.
#define _GNU_SOURCE
#include <retort_faults.h>

#include "last_line.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static _Atomic size_t refused;
// The number of consecutive refusals of the same number of bytes.
static _Atomic unsigned repeats;
static _Atomic bool is_training;
static int own_rank = -1;
static char own_host[64];
static char phase[64];

void rtk_faults_identify(int rank, const char *host) {
  own_rank = rank;
  strncpy(own_host, host, sizeof own_host - 1);
}

void rtk_faults_set_training(bool training) { atomic_store(&is_training, training); }
bool rtk_faults_is_training(void) { return atomic_load(&is_training); }
void rtk_faults_set_phase(const char *name) { strncpy(phase, name, sizeof phase - 1); }
size_t rtk_faults_refused_bytes(void) { return atomic_load(&refused); }

void rtk_faults_spare_addresses(void) {
#ifdef M_ARENA_MAX
  mallopt(M_ARENA_MAX, 1);
#endif
}

void begin_end(void) {
  static _Atomic bool is_ending;
  if (atomic_exchange(&is_ending, true))
    for (;;) pause();
}

void add_beginning(line *l) {
  add(l, "retort: ");
  if (own_rank < 0) return;
  add(l, "rank ");
  add_number(l, (size_t)own_rank);
  add(l, " on ");
  add(l, own_host);
  add(l, ": ");
}

static void add_limit(line *l, int resource, const char *what, const char *unit) {
  struct rlimit limit;
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  add(l, "; ");
  add(l, what);
  add_number(l, limit.rlim_cur);
  add(l, unit);
}

static _Noreturn void end_refused(line *l, const char *remedy) {
  if (phase[0]) {
    add(l, " in the phase \"");
    add(l, phase);
    add(l, "\"");
  }
  add_limit(l, RLIMIT_AS, "the address space is limited to ", " bytes (ulimit -v)");
  add_limit(l, RLIMIT_DATA, "data is limited to ", " bytes (ulimit -d)");
  add(l, remedy);
  end(l, atomic_load(&is_training) ? 1 : 4);
}

_Noreturn void rtk_end_without_memory(size_t bytes, const char *asker) {
  line l = {.count = 0};
  add_beginning(&l);
  add(&l, "out of memory: ");
  add_number(&l, bytes);
  add(&l, " bytes were refused");
  if (asker) {
    add(&l, " to ");
    add(&l, asker);
  }
  end_refused(&l, ". Use fewer ranks per machine, a smaller batch_size, max_length or model, activation_checkpointing: "
                  "true or student.sharding: parameters; or raise the limit (ulimit -v, the job's memory).\n");
}

// Only the GNU library has these second names; a sanitizer has a malloc of its own.
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#if !defined(__has_feature)
#define __has_feature(x) 0
#endif
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer) && !__has_feature(memory_sanitizer)

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static const char *library_of(const void *address) {
  Dl_info info;
  if (!dladdr(address, &info) || !info.dli_fname) return NULL;
  const char *slash = strrchr(info.dli_fname, '/');
  return slash ? slash + 1 : info.dli_fname;
}

// Swift's runtime traps without a message if malloc refuses; the handler of the trap reads the last refused size.
// A library may repeat a refused request; OpenBLAS does so forever.
static __attribute__((noinline, cold)) void note_refusal(size_t bytes, const void *caller) {
  unsigned count = atomic_exchange(&refused, bytes) == bytes ? atomic_fetch_add(&repeats, 1) : 0;
  if (count == 0) atomic_store(&repeats, 1);
  if (count < 4096) return;
  const char *library = library_of(caller);
  begin_end();
  rtk_end_without_memory(bytes, library);
}

static inline void *noted(void *memory, size_t bytes, const void *caller) {
  if (__builtin_expect(memory == NULL && bytes > 0, 0)) note_refusal(bytes, caller);
  return memory;
}

void *malloc(size_t bytes) { return noted(__libc_malloc(bytes), bytes, __builtin_return_address(0)); }

void *calloc(size_t count, size_t bytes) {
  size_t total;
  if (__builtin_mul_overflow(count, bytes, &total)) total = SIZE_MAX;
  return noted(__libc_calloc(count, bytes), total, __builtin_return_address(0));
}

void *realloc(void *memory, size_t bytes) {
  return noted(__libc_realloc(memory, bytes), bytes, __builtin_return_address(0));
}

void *aligned_alloc(size_t alignment, size_t bytes) {
  return noted(__libc_memalign(alignment, bytes), bytes, __builtin_return_address(0));
}

int posix_memalign(void **memory, size_t alignment, size_t bytes) {
  if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
  void *made = noted(__libc_memalign(alignment, bytes), bytes, __builtin_return_address(0));
  if (made == NULL) return ENOMEM;
  *memory = made;
  return 0;
}

typedef int thread_maker(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

// Libraries react to a refused thread with a signal, with waiting forever, or with an exit that waits for the thread.
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
  static _Atomic(thread_maker *) system_maker;
  thread_maker *make = atomic_load(&system_maker);
  if (!make) {
    make = (thread_maker *)dlsym(RTLD_NEXT, "pthread_create");
    if (!make) return EAGAIN;
    atomic_store(&system_maker, make);
  }
  int failure = make(thread, attributes, body, argument);
  if (failure != EAGAIN && failure != ENOMEM) return failure;
  line l = {.count = 0};
  const char *asker = library_of(__builtin_return_address(0));
  begin_end();
  add_beginning(&l);
  add(&l, "the system refused a thread, its stack or its number");
  if (asker) {
    add(&l, ", to ");
    add(&l, asker);
  }
  add_limit(&l, RLIMIT_NPROC, "the user is limited to ", " processes and threads (ulimit -u)");
  end_refused(&l, ". Use fewer ranks per machine or fewer threads_per_rank; or raise the limit (ulimit -v, ulimit -u, "
                  "the job's memory).\n");
}

#endif
#endif
