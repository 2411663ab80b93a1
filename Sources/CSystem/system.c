#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include <retort_system.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#endif

int rts_exchange_names(const char *first, const char *second) {
#if defined(__linux__) && defined(SYS_renameat2)
  const unsigned exchange = 2;  // RENAME_EXCHANGE of linux/fs.h
  return (int)syscall(SYS_renameat2, AT_FDCWD, first, AT_FDCWD, second, exchange);
#else
  errno = ENOSYS;
  return -1;
#endif
}

int rts_write_back(int descriptor, off_t offset, off_t count) {
#if defined(__linux__)
  return sync_file_range(descriptor, offset, count,
                         SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
#else
  (void)descriptor, (void)offset, (void)count;
  errno = ENOSYS;
  return -1;
#endif
}

static rts_address mapped(struct in_addr address) {
  unsigned char bytes[16] = {[10] = 0xff, [11] = 0xff};
  memcpy(bytes + 12, &address.s_addr, 4);
  rts_address result;
  memcpy(&result, bytes, sizeof result);
  return result;
}

// The IPv4 address of a mapped address; 0 for any other address.
static int unmapped(rts_address address, struct in_addr *result) {
  static const unsigned char prefix[12] = {[10] = 0xff, [11] = 0xff};
  if (memcmp(&address, prefix, sizeof prefix) != 0) return 0;
  memcpy(&result->s_addr, (const unsigned char *)&address + 12, 4);
  return 1;
}

static int bound(int descriptor, struct sockaddr *address, socklen_t size) {
  fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  if (bind(descriptor, address, size) == 0 && getsockname(descriptor, address, &size) == 0) return descriptor;
  const int failure = errno;
  close(descriptor);
  errno = failure;
  return -1;
}

int rts_udp_open(uint16_t *port) {
  int descriptor = socket(AF_INET6, SOCK_DGRAM, 0);
  const int off = 0;
  if (descriptor >= 0 && setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = in6addr_any};
    descriptor = bound(descriptor, (struct sockaddr *)&address, sizeof address);
    *port = ntohs(address.sin6_port);
    if (descriptor >= 0) return descriptor;
  } else if (descriptor >= 0) {
    close(descriptor);
  }
  descriptor = socket(AF_INET, SOCK_DGRAM, 0);
  if (descriptor < 0) return -1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
  descriptor = bound(descriptor, (struct sockaddr *)&address, sizeof address);
  *port = ntohs(address.sin_port);
  return descriptor;
}

ssize_t rts_udp_send(int descriptor, rts_address address, uint16_t port, const void *bytes, size_t count) {
  struct sockaddr_storage own;
  socklen_t size = sizeof own;
  if (getsockname(descriptor, (struct sockaddr *)&own, &size) != 0) return -1;
  const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  if (own.ss_family == AF_INET) {
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (!unmapped(address, &target.sin_addr)) {
      errno = EAFNOSUPPORT;
      return -1;
    }
    return sendto(descriptor, bytes, count, flags, (const struct sockaddr *)&target, sizeof target);
  }
  struct sockaddr_in6 target = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  memcpy(&target.sin6_addr, &address, sizeof address);
  return sendto(descriptor, bytes, count, flags, (const struct sockaddr *)&target, sizeof target);
}

ssize_t rts_udp_receive(int descriptor, void *bytes, size_t capacity, int milliseconds, rts_address *address,
                        uint16_t *port) {
  struct pollfd wanted = {.fd = descriptor, .events = POLLIN};
  const int ready = poll(&wanted, 1, milliseconds);
  // The reader must not spin on a socket that fails.
  if (ready < 0 && errno != EINTR) usleep((useconds_t)milliseconds * 1000);
  if (ready <= 0) return 0;
  union {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
  } source;
  socklen_t size = sizeof source;
  const ssize_t count = recvfrom(descriptor, bytes, capacity, MSG_DONTWAIT, &source.any, &size);
  // ECONNREFUSED: an earlier datagram met a closed port, and no datagram has arrived.
  if (count < 0) return 0;
  if (source.any.sa_family == AF_INET) {
    *address = mapped(source.four.sin_addr);
    *port = ntohs(source.four.sin_port);
  } else {
    memcpy(address, &source.six.sin6_addr, sizeof *address);
    *port = ntohs(source.six.sin6_port);
  }
  return count;
}

size_t rts_addresses(rts_address *addresses, size_t capacity) {
  struct ifaddrs *list = NULL;
  if (getifaddrs(&list) != 0) return 0;
  size_t count = 0;
  for (int turn = 0; turn < 4; turn++) {
    const int loopback = turn / 2, family = turn % 2 == 0 ? AF_INET : AF_INET6;
    for (const struct ifaddrs *entry = list; entry && count < capacity; entry = entry->ifa_next) {
      if (!entry->ifa_addr || entry->ifa_addr->sa_family != family || !(entry->ifa_flags & IFF_UP)) continue;
      if (((entry->ifa_flags & IFF_LOOPBACK) != 0) != (loopback != 0)) continue;
      if (family == AF_INET) {
        struct sockaddr_in address;
        memcpy(&address, entry->ifa_addr, sizeof address);
        addresses[count++] = mapped(address.sin_addr);
        continue;
      }
      struct sockaddr_in6 address;
      memcpy(&address, entry->ifa_addr, sizeof address);
      // Such an address is valid on one link only, and another host does not know on which of its links.
      if (IN6_IS_ADDR_LINKLOCAL(&address.sin6_addr)) continue;
      memcpy(&addresses[count++], &address.sin6_addr, sizeof *addresses);
    }
  }
  freeifaddrs(list);
  return count;
}

int rts_is_loopback(rts_address address) {
  struct in_addr four;
  if (unmapped(address, &four)) return (ntohl(four.s_addr) >> 24) == 127;
  struct in6_addr six;
  memcpy(&six, &address, sizeof six);
  return IN6_IS_ADDR_LOOPBACK(&six);
}

void rts_end_launcher(pid_t launcher, unsigned seconds) {
  if (launcher <= 1) return;
  // A shell instead of a fork: it holds none of the rank's memory and cannot be mistaken for a rank.
  char script[512];
  snprintf(script, sizeof script,
           "n=0; while kill -0 %1$d; do [ $n -lt %2$u ] || { kill -KILL %1$d; exit; }; sleep 1; n=$((n+1)); done",
           (int)launcher, seconds);
  char *const arguments[] = {"sh", "-c", script, NULL};
  char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t actions;
  if (posix_spawnattr_init(&attributes) != 0) return;
  if (posix_spawn_file_actions_init(&actions) != 0) return;
  // A session of its own, so it outlives the job, and without the job's streams, so no reader waits for it.
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
  for (int descriptor = 0; descriptor < 3; descriptor++)
    posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
#endif
  pid_t helper;
  posix_spawn(&helper, "/bin/sh", &actions, &attributes, arguments, environment);
}
