#define _GNU_SOURCE
#include <retort_faults.h>

#include "last_line.h"

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
static _Alignas(16) char stack[stack_bytes];

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
  begin_end();
  int code = 1;
  const mapping *file = number == SIGBUS && info ? mapping_of(info->si_addr) : NULL;
  size_t bytes = rtk_faults_refused_bytes();
  if (!file && bytes > 0) rtk_end_without_memory(bytes, NULL);
  line l = {.count = 0};
  add_beginning(&l);
  if (file) {
    code = 3;
    add(&l, file->path);
    add(&l, ": the file became shorter, or its disk failed, while it was in use. Restore it, and run again.\n");
  } else {
    add(&l, "ended by ");
    add(&l, name(number));
    add(&l, ": memory was refused, or this is an error of the program. Check the limits (ulimit -a); RETORT_CORE=1 "
            "leaves a core file.\n");
  }
  end(&l, code);
}

void rtk_faults_install(void) {
  signal(SIGXFSZ, SIG_IGN);
  if (getenv("RETORT_CORE")) return;
  // The handler needs a stack of its own, since the thread's may have overflowed.
  stack_t own = {.ss_sp = stack, .ss_size = stack_bytes};
  sigaltstack(&own, NULL);
  struct sigaction action = {.sa_sigaction = last_words, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigemptyset(&action.sa_mask);
  const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaction(numbers[i], &action, NULL);
}

int rtk_faults_note_mapping(const void *start, size_t bytes, const char *path) {
  for (int i = 0; i < slots; i++) {
    uintptr_t expected = 0;
    if (!atomic_compare_exchange_strong(&mappings[i].start, &expected, 1)) continue;
    size_t length = strlen(path);
    // The end of a long path is more informative.
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
