#define _GNU_SOURCE
#include <retort_faults.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { slots = 4096, name_bytes = 256, stack_bytes = 1 << 16 };

// A mapping: `start` is 0 while the slot is free, 1 while it is being filled.
typedef struct {
  _Atomic uintptr_t start;
  uintptr_t end;
  char path[name_bytes];
} mapping;

static mapping mappings[slots];
static _Atomic size_t refused;
static _Atomic bool is_training;
static _Atomic bool is_ending;
static int own_rank = -1;
static char own_host[64];
static _Alignas(16) char stack[stack_bytes];

// A line put together without memory from anywhere.
typedef struct {
  char text[1024];
  size_t count;
} line;

static void add(line *l, const char *text) {
  while (*text && l->count < sizeof l->text - 1) l->text[l->count++] = *text++;
}

static void add_number(line *l, size_t number) {
  char digits[24];
  int count = 0;
  do digits[count++] = (char)('0' + number % 10);
  while ((number /= 10) > 0);
  while (count > 0 && l->count < sizeof l->text - 1) l->text[l->count++] = digits[--count];
}

static void add_place(line *l) {
  if (own_rank < 0) return;
  add(l, "rank ");
  add_number(l, (size_t)own_rank);
  add(l, " on ");
  add(l, own_host);
  add(l, ": ");
}

static const char *name(int number) {
  switch (number) {
  case SIGSEGV: return "SIGSEGV";
  case SIGBUS: return "SIGBUS";
  case SIGILL: return "SIGILL";
  case SIGTRAP: return "SIGTRAP";
  case SIGFPE: return "SIGFPE";
  default: return "SIGABRT";
  }
}

static const mapping *mapping_of(const void *address) {
  for (int i = 0; i < slots; i++) {
    uintptr_t start = atomic_load(&mappings[i].start), at = (uintptr_t)address;
    if (start > 1 && at >= start && at < mappings[i].end) return &mappings[i];
  }
  return NULL;
}

static void last_words(int number, siginfo_t *info, void *context) {
  (void)context;
  // The thread that comes second waits for the end that the first one makes.
  if (atomic_exchange(&is_ending, true))
    for (;;) pause();
  line l = {.count = 0};
  int code = 1;
  const mapping *file = number == SIGBUS && info ? mapping_of(info->si_addr) : NULL;
  size_t bytes = atomic_load(&refused);
  add(&l, "retort: ");
  add_place(&l);
  if (file) {
    code = 3;
    add(&l, file->path);
    add(&l, ": the file became shorter than it was, or its disk failed, while it was in use. Restore it, and run again.\n");
  } else if (bytes > 0) {
    code = atomic_load(&is_training) ? 1 : 4;
    add(&l, "out of memory: the system gave no more memory (");
    add_number(&l, bytes);
    add(&l, " bytes were asked for last). Use fewer ranks on a machine, a smaller batch or model, or raise the limit "
            "(ulimit -v, the job's memory).\n");
  } else {
    add(&l, "ended by ");
    add(&l, name(number));
    add(&l, ": memory could not be had, or this is a mistake of the program. Check the limits (ulimit -a); RETORT_CORE=1 "
            "leaves a core file.\n");
  }
  ssize_t written = write(STDERR_FILENO, l.text, l.count);
  (void)written;
  _exit(code);
}

void rtk_faults_install(void) {
  signal(SIGXFSZ, SIG_IGN);
  if (getenv("RETORT_CORE")) return;
  // A stack that has overflowed cannot hold a handler.
  stack_t own = {.ss_sp = stack, .ss_size = stack_bytes};
  sigaltstack(&own, NULL);
  struct sigaction action = {.sa_sigaction = last_words, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigemptyset(&action.sa_mask);
  const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaction(numbers[i], &action, NULL);
}

void rtk_faults_identify(int rank, const char *host) {
  own_rank = rank;
  strncpy(own_host, host, sizeof own_host - 1);
}

void rtk_faults_set_training(bool training) { atomic_store(&is_training, training); }
bool rtk_faults_is_training(void) { return atomic_load(&is_training); }

int rtk_faults_note_mapping(const void *start, size_t bytes, const char *path) {
  for (int i = 0; i < slots; i++) {
    uintptr_t expected = 0;
    if (!atomic_compare_exchange_strong(&mappings[i].start, &expected, 1)) continue;
    size_t length = strlen(path);
    // Of a long path the end tells more.
    const char *shown = length < name_bytes ? path : path + length - (name_bytes - 1);
    strncpy(mappings[i].path, shown, name_bytes - 1);
    mappings[i].path[name_bytes - 1] = 0;
    mappings[i].end = (uintptr_t)start + bytes;
    atomic_store(&mappings[i].start, (uintptr_t)start);
    return i;
  }
  return -1;
}

void rtk_faults_release_mapping(int slot) {
  if (slot >= 0 && slot < slots) atomic_store(&mappings[slot].start, 0);
}

size_t rtk_faults_refused_bytes(void) { return atomic_load(&refused); }

// Swift's runtime traps where malloc refuses, and says nothing. So the requests go through here, and what was refused
// last is known when the trap comes. Only the GNU library has the second names; under a sanitizer malloc is its own.
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#if !defined(__has_feature)
#define __has_feature(x) 0
#endif
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer) && !__has_feature(memory_sanitizer)

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static void *noted(void *memory, size_t bytes) {
  if (__builtin_expect(memory == NULL && bytes > 0, 0)) atomic_store(&refused, bytes);
  return memory;
}

void *malloc(size_t bytes) { return noted(__libc_malloc(bytes), bytes); }

void *calloc(size_t count, size_t bytes) {
  size_t total;
  if (__builtin_mul_overflow(count, bytes, &total)) total = SIZE_MAX;
  return noted(__libc_calloc(count, bytes), total);
}

void *realloc(void *memory, size_t bytes) { return noted(__libc_realloc(memory, bytes), bytes); }

void *aligned_alloc(size_t alignment, size_t bytes) { return noted(__libc_memalign(alignment, bytes), bytes); }

int posix_memalign(void **memory, size_t alignment, size_t bytes) {
  if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
  void *made = noted(__libc_memalign(alignment, bytes), bytes);
  if (made == NULL) return ENOMEM;
  *memory = made;
  return 0;
}

#endif
#endif
