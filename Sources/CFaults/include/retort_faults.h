// The last message of a process: a line on standard error and an exit code if a signal would end it without either.
#ifndef RETORT_FAULTS_H
#define RETORT_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

// Handles SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE and SIGABRT, and ignores SIGXFSZ, so that writing beyond a file size
// limit is an error of `write`. Once; `RETORT_CORE` in the environment leaves the six to the system and its core files.
void rtk_faults_install(void);
// Sets the line's rank and host; `host` is copied, up to 63 bytes.
void rtk_faults_identify(int rank, const char *host);
// Whether training has started: refused memory ends the process with 4 before it and with 1 during it.
void rtk_faults_set_training(bool training);
bool rtk_faults_is_training(void);

// Sets the line's phase; the first 63 bytes are copied.
void rtk_faults_set_phase(const char *name);

// Registers these bytes as a mapping of a file: SIGBUS in them names the file and ends with 3. Returns a slot to
// release, or -1 if all are used.
int rtk_faults_note_mapping(const void *start, size_t bytes, const char *path);
void rtk_faults_release_mapping(int slot);

// Gives malloc one arena for all threads, if the library supports it: each further one takes 128 MB of addresses.
void rtk_faults_spare_addresses(void);

// The bytes of the last request that malloc or a related function refused; 0 if there was none.
size_t rtk_faults_refused_bytes(void);

#endif
