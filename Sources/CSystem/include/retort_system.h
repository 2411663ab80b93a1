// Calls of the operating system that Swift's own modules do not show.
#ifndef RETORT_SYSTEM_H
#define RETORT_SYSTEM_H

// Exchanges two names in one step. 0, or -1 with errno: ENOSYS or EINVAL where the file system cannot.
int rts_exchange_names(const char *first, const char *second);

#endif
