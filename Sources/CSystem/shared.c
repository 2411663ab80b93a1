// Memory that the processes of a machine share, and counters in it.
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include <retort_system.h>

#include <errno.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

int rts_create_memory(const char *name, uint64_t bytes) {
#if defined(__linux__) && defined(SYS_memfd_create)
  const int descriptor = (int)syscall(SYS_memfd_create, name, 1u);  // MFD_CLOEXEC
  if (descriptor < 0) return -1;
  if (ftruncate(descriptor, (off_t)bytes) == 0) return descriptor;
  const int failure = errno;
  close(descriptor);
  errno = failure;
  return -1;
#else
  (void)name, (void)bytes;
  errno = ENOSYS;
  return -1;
#endif
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void pause_core(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// The half of the counter that changes with every step: the kernel waits on words of 32 bits.
static uint32_t *low_half(rts_signal *signal) {
  uint32_t *halves = (uint32_t *)&signal->value;
  return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? halves : halves + 1;
}

void rts_signal_post(rts_signal *signal, uint64_t value) {
  // Sequentially consistent with the sleeper's count, so that either it sees the value or this sees the sleeper.
  __atomic_store_n(&signal->value, value, __ATOMIC_SEQ_CST);
#if defined(__linux__)
  if (__atomic_load_n(&signal->sleepers, __ATOMIC_SEQ_CST) != 0) {
    syscall(SYS_futex, low_half(signal), FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0);
  }
#endif
}

uint64_t rts_signal_read(const rts_signal *signal) { return __atomic_load_n(&signal->value, __ATOMIC_ACQUIRE); }

static void sleep_on(rts_signal *signal, uint64_t value, uint64_t nanoseconds) {
#if defined(__linux__)
  struct timespec limit = {(time_t)(nanoseconds / 1000000000u), (long)(nanoseconds % 1000000000u)};
  __atomic_add_fetch(&signal->sleepers, 1, __ATOMIC_SEQ_CST);
  const uint64_t seen = __atomic_load_n(&signal->value, __ATOMIC_SEQ_CST);
  if (seen < value) syscall(SYS_futex, low_half(signal), FUTEX_WAIT, (uint32_t)seen, &limit, NULL, 0);
  __atomic_sub_fetch(&signal->sleepers, 1, __ATOMIC_SEQ_CST);
#else
  (void)signal, (void)value, (void)nanoseconds;
  sched_yield();
#endif
}

int rts_signal_wait(rts_signal *signal, uint64_t value, uint64_t spin_nanoseconds, uint64_t nanoseconds) {
  if (rts_signal_read(signal) >= value) return 1;
  const uint64_t start = now();
  uint64_t spent = 0;
  while (spent < spin_nanoseconds && spent < nanoseconds) {
    for (int turn = 0; turn < 64; turn++) {
      if (rts_signal_read(signal) >= value) return 1;
      pause_core();
    }
    spent = now() - start;
  }
  while (spent < nanoseconds) {
    sleep_on(signal, value, nanoseconds - spent);
    if (rts_signal_read(signal) >= value) return 1;
    spent = now() - start;
  }
  return rts_signal_read(signal) >= value;
}
