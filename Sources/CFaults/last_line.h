// The last line of a process, put together without memory from anywhere.
#ifndef RETORT_LAST_LINE_H
#define RETORT_LAST_LINE_H

#include <stddef.h>
#include <unistd.h>

typedef struct {
  char text[1024];
  size_t count;
} line;

static inline void add(line *l, const char *text) {
  while (*text && l->count < sizeof l->text - 1) l->text[l->count++] = *text++;
}

static inline void add_number(line *l, size_t number) {
  char digits[24];
  int count = 0;
  do digits[count++] = (char)('0' + number % 10);
  while ((number /= 10) > 0);
  while (count > 0 && l->count < sizeof l->text - 1) l->text[l->count++] = digits[--count];
}

// The first thread that comes here makes the end; one that comes later waits for it.
void begin_end(void);

// "retort: rank 3 on node7: "; without the rank while the process has none.
void add_beginning(line *l);

static inline _Noreturn void end(const line *l, int code) {
  ssize_t written = write(STDERR_FILENO, l->text, l->count);
  (void)written;
  _exit(code);
}

// Says that these bytes were refused, and ends with 4 before training, with 1 in it; `asker` is what they were for, or
// NULL where that is not known.
_Noreturn void rtk_end_without_memory(size_t bytes, const char *asker);

#endif
