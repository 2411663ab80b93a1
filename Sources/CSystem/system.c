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

int rts_udp_open(uint16_t *port) {
  const int descriptor = socket(AF_INET, SOCK_DGRAM, 0);
  if (descriptor < 0) return -1;
  fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
  socklen_t size = sizeof address;
  if (bind(descriptor, (struct sockaddr *)&address, sizeof address) != 0 ||
      getsockname(descriptor, (struct sockaddr *)&address, &size) != 0) {
    const int failure = errno;
    close(descriptor);
    errno = failure;
    return -1;
  }
  *port = ntohs(address.sin_port);
  return descriptor;
}

ssize_t rts_udp_send(int descriptor, uint32_t address, uint16_t port, const void *bytes, size_t count) {
  const struct sockaddr_in target = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = address};
  return sendto(descriptor, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&target, sizeof target);
}

ssize_t rts_udp_receive(int descriptor, void *bytes, size_t capacity, int milliseconds, uint32_t *address,
                        uint16_t *port) {
  struct pollfd wanted = {.fd = descriptor, .events = POLLIN};
  const int ready = poll(&wanted, 1, milliseconds);
  // A socket that fails must not make its reader spin.
  if (ready < 0 && errno != EINTR) usleep((useconds_t)milliseconds * 1000);
  if (ready <= 0) return 0;
  struct sockaddr_in source;
  socklen_t size = sizeof source;
  const ssize_t count = recvfrom(descriptor, bytes, capacity, MSG_DONTWAIT, (struct sockaddr *)&source, &size);
  // An earlier datagram may have met a closed port (ECONNREFUSED): nothing has come.
  if (count < 0) return 0;
  *address = source.sin_addr.s_addr;
  *port = ntohs(source.sin_port);
  return count;
}

size_t rts_addresses(uint32_t *addresses, size_t capacity) {
  struct ifaddrs *list = NULL;
  if (getifaddrs(&list) != 0) return 0;
  size_t count = 0;
  for (int loopback = 0; loopback < 2; loopback++) {
    for (const struct ifaddrs *entry = list; entry && count < capacity; entry = entry->ifa_next) {
      if (!entry->ifa_addr || entry->ifa_addr->sa_family != AF_INET || !(entry->ifa_flags & IFF_UP)) continue;
      if (((entry->ifa_flags & IFF_LOOPBACK) != 0) != (loopback != 0)) continue;
      struct sockaddr_in address;
      memcpy(&address, entry->ifa_addr, sizeof address);
      addresses[count++] = address.sin_addr.s_addr;
    }
  }
  freeifaddrs(list);
  return count;
}

void rts_end_launcher(pid_t launcher, unsigned seconds) {
  if (launcher <= 1) return;
  // A shell rather than a fork: it holds none of the rank's memory, and nobody takes it for a rank.
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
  // A session of its own, so that it outlives the job; without the job's streams, so that no reader waits for it.
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
