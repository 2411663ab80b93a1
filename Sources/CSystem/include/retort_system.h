// Calls of the operating system that Swift's own modules do not show.
#ifndef RETORT_SYSTEM_H
#define RETORT_SYSTEM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Exchanges two names in one step. 0, or -1 with errno: ENOSYS or EINVAL where the file system cannot.
int rts_exchange_names(const char *first, const char *second);

// A UDP socket of IPv4 on every interface: its descriptor, and its port in host order; -1 with errno.
int rts_udp_open(uint16_t *port);
// Sends a datagram to an address in network order and a port in host order; bytes sent, or -1 with errno.
ssize_t rts_udp_send(int descriptor, uint32_t address, uint16_t port, const void *bytes, size_t count);
// Waits up to `milliseconds` for a datagram: its bytes; 0 where none came.
ssize_t rts_udp_receive(int descriptor, void *bytes, size_t capacity, int milliseconds, uint32_t *address,
                        uint16_t *port);
// The IPv4 addresses of the interfaces that are up, in network order, loopback last; how many, `capacity` at most.
size_t rts_addresses(uint32_t *addresses, size_t capacity);

// Starts a process that waits `seconds` for `launcher` to end, and then sends it SIGKILL: a launcher can wait for ever
// for a host that is gone. Not SIGTERM, at which Open MPI 4's mpirun crashes while it waits.
void rts_end_launcher(pid_t launcher, unsigned seconds);

#endif
