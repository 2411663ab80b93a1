// Operating system calls that Swift's modules do not export.
#ifndef RETORT_SYSTEM_H
#define RETORT_SYSTEM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Exchanges two names atomically. 0, or -1 with errno: ENOSYS or EINVAL if the file system does not support it.
int rts_exchange_names(const char *first, const char *second);

// Writes a range of a file's dirty pages to the disk and waits for them; not a flush by itself. 0, or -1 with errno:
// ENOSYS if there is no such call.
int rts_write_back(int descriptor, off_t offset, off_t count);

// An IPv6 address in network order, as the memory of two words; IPv4 addresses are mapped (::ffff:a.b.c.d).
typedef struct {
  uint64_t high, low;
} rts_address;

// A UDP socket on every interface, for IPv6 and IPv4, or for IPv4 only if the system has no IPv6: its descriptor, and
// its port in host order; -1 with errno.
int rts_udp_open(uint16_t *port);
// Sends a datagram to an address and a port in host order; bytes sent, or -1 with errno.
ssize_t rts_udp_send(int descriptor, rts_address address, uint16_t port, const void *bytes, size_t count);
// Waits up to `milliseconds` for a datagram: its bytes, or 0 if none arrived.
ssize_t rts_udp_receive(int descriptor, void *bytes, size_t capacity, int milliseconds, rts_address *address,
                        uint16_t *port);
// The addresses of the interfaces that are up, IPv4 first, loopback last, without link-local ones; returns their
// number, at most `capacity`.
size_t rts_addresses(rts_address *addresses, size_t capacity);
// Whether an address is a loopback address.
int rts_is_loopback(rts_address address);

// Starts a process that waits `seconds` for `launcher` to end and then sends it SIGKILL, since a launcher can wait
// forever for a host that is gone. SIGTERM would crash Open MPI 4's mpirun while it waits.
void rts_end_launcher(pid_t launcher, unsigned seconds);

// Anonymous memory of `bytes` zeros that only its descriptor gives access to; -1 with errno, ENOSYS without such memory.
int rts_create_memory(const char *name, uint64_t bytes);

// A counter in memory that several processes share: one of them raises it, the others wait for it. It starts as zeros.
typedef struct {
  uint64_t value;
  uint32_t sleepers;
  uint32_t padding[13];  // a cache line, so that counters do not disturb each other
} rts_signal;

// Raises the counter; everything that the caller has written before is visible to those who see the value.
void rts_signal_post(rts_signal *signal, uint64_t value);
uint64_t rts_signal_read(const rts_signal *signal);
// Waits until the counter is at least `value` and returns 1, or gives up after about `nanoseconds` and returns 0. It
// spins for at most `spin_nanoseconds` of it, then sleeps.
int rts_signal_wait(rts_signal *signal, uint64_t value, uint64_t spin_nanoseconds, uint64_t nanoseconds);

#endif
