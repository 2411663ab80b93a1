// The last words of a process: a line on standard error and an exit code where a signal would end it without either.
#ifndef RETORT_FAULTS_H
#define RETORT_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

// Handles SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE and SIGABRT, and ignores SIGXFSZ, so that writing beyond a file size
// limit is an error of `write`. Once; `RETORT_CORE` in the environment leaves the six to the system and its core files.
void rtk_faults_install(void);
// What the line says of this process; `host` is copied, up to 63 bytes.
void rtk_faults_identify(int rank, const char *host);
// Whether training has begun: memory that is refused before it ends the process with 4, later with 1.
void rtk_faults_set_training(bool training);
bool rtk_faults_is_training(void);

// What the process does, for the line; the first 63 bytes are copied.
void rtk_faults_set_phase(const char *name);

// Notes that these bytes are a mapping of a file: SIGBUS in them is said to be the file's, and ends with 3. Returns a
// slot to release, -1 where all are taken.
int rtk_faults_note_mapping(const void *start, size_t bytes, const char *path);
void rtk_faults_release_mapping(int slot);

// Gives malloc one arena for all threads, where the library can: each further one takes 128 MB of addresses.
void rtk_faults_spare_addresses(void);

// Bytes of the last request for memory that malloc and its kin have refused; 0 where none was.
size_t rtk_faults_refused_bytes(void);

#endif
