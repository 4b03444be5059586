/* LD_PRELOAD for adbd, which listens on every interface: holds its listeners to loopback, and its
 * port 5555 to $ADBD_PORT, so that several phones fit on one machine and nobody else reaches them.
 * The environment is cleaned of it at once: what adbd starts runs without it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static in_port_t port;

__attribute__((constructor)) static void start(void) {
  const char *wanted = getenv("ADBD_PORT");
  port = htons(wanted ? (in_port_t)atoi(wanted) : 5555);
  unsetenv("LD_PRELOAD");
  unsetenv("ADBD_PORT");
}

int bind(int descriptor, const struct sockaddr *address, socklen_t length) {
  int (*next)(int, const struct sockaddr *, socklen_t);
  *(void **)&next = dlsym(RTLD_NEXT, "bind");
  if (address->sa_family == AF_VSOCK) return errno = EACCES, -1;
  struct sockaddr_storage held;
  memcpy(&held, address, length);
  if (address->sa_family == AF_INET) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)&held;
    v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (v4->sin_port == htons(5555)) v4->sin_port = port;
  } else if (address->sa_family == AF_INET6) {
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&held;
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &v6->sin6_addr);
    if (v6->sin6_port == htons(5555)) v6->sin6_port = port;
  }
  return next(descriptor, (struct sockaddr *)&held, length);
}
