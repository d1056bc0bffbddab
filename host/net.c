#define _GNU_SOURCE /* accept4 */
#include "host/net.h"

#include "host/progress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *wh_net_text(wh_net_end end) {
    switch (end) {
    case WH_NET_OK:
        return "";
    case WH_NET_LATE:
        return "no answer in time";
    case WH_NET_WOKEN:
        return "called off";
    case WH_NET_GONE:
        return "the connection was closed";
    case WH_NET_ERROR:
        break;
    }
    return strerror(errno);
}

void wh_net_close(int *fd) {
    if (*fd >= 0) (void)close(*fd);
    *fd = -1;
}

/* ---- waiting ---- */

static int milliseconds(double deadline) {
    if (isinf(deadline)) return -1;
    const double left = ceil((deadline - wh_clock()) * 1e3);
    return left <= 0.0 ? 0 : left > 1e6 ? 1000000 : (int)left;
}

/* Until one of n descriptors is ready; `set` has room for one more. */
static wh_net_end await(struct pollfd *set, nfds_t n, wh_patience patience) {
    set[n] = (struct pollfd){.fd = patience.wake, .events = POLLIN}; /* ignored when negative */
    for (;;) {
        const int ready = poll(set, n + 1, milliseconds(patience.deadline));
        if (ready < 0 && errno != EINTR) return WH_NET_ERROR;
        if (ready > 0 && set[n].revents) return WH_NET_WOKEN;
        if (ready > 0) return WH_NET_OK;
        if (ready == 0 && wh_clock() >= patience.deadline) return WH_NET_LATE;
    }
}

static bool would_block(void) {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* ---- connections ---- */

static void set_no_delay(int fd) {
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static int port_of(int fd) {
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &n) != 0) return 0;
    if (at.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&at)->sin6_port);
    return ntohs(((struct sockaddr_in *)&at)->sin_port);
}

static struct addrinfo *resolve(const char *host, int port, int flags, int *error) {
    char service[16];
    struct addrinfo *list = NULL;
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    (void)snprintf(service, sizeof service, "%d", port);
    *error = getaddrinfo(host, service, &hints, &list);
    return *error == 0 ? list : NULL;
}

static int open_socket(const struct addrinfo *a) {
    return socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
}

static int listen_at(const struct addrinfo *a) {
    const int on = 1, off = 0, fd = open_socket(a);
    if (fd < 0) return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->ai_family == AF_INET6) /* IPv4 too */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0) return fd;
    const int why = errno;
    (void)close(fd);
    errno = why;
    return -1;
}

/* Of the wildcard addresses IPv6's takes both kinds, but a system may have none. */
int wh_net_listen(const char *address, int *port) {
    int error = 0, fd = -1;
    struct addrinfo *list = resolve(address, *port, AI_PASSIVE, &error);
    for (int v6 = 1; v6 >= 0 && fd < 0; v6--)
        for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
            if ((a->ai_family == AF_INET6) == (v6 == 1)) fd = listen_at(a);
    if (!list) errno = EADDRNOTAVAIL;
    const int why = errno;
    if (list) freeaddrinfo(list);
    errno = why;
    if (fd >= 0) *port = port_of(fd);
    return fd;
}

/* IPv4 behind an IPv6 socket is written as IPv4. */
static void write_address(const struct sockaddr_storage *at, socklen_t n, char out[64]) {
    if (getnameinfo((const struct sockaddr *)at, n, out, 64, NULL, 0, NI_NUMERICHOST) != 0)
        out[0] = '\0';
    if (strncmp(out, "::ffff:", 7) == 0 && strchr(out, '.')) memmove(out, out + 7, strlen(out) - 6);
}

int wh_net_accept(int listener, wh_patience patience, char *address, wh_net_end *end) {
    for (;;) {
        struct sockaddr_storage at;
        socklen_t n = sizeof at;
        struct pollfd set[2] = {{.fd = listener, .events = POLLIN}};
        *end = await(set, 1, patience);
        if (*end != WH_NET_OK) return -1;
        const int fd = accept4(listener, (struct sockaddr *)&at, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            set_no_delay(fd);
            if (address) write_address(&at, n, address);
            return fd;
        }
        if (!would_block() && errno != ECONNABORTED) {
            *end = WH_NET_ERROR;
            return -1;
        }
    }
}

static int connect_to(const struct addrinfo *a, wh_patience patience, char *why, size_t n) {
    int error = 0, fd = open_socket(a);
    socklen_t size = sizeof error;
    if (fd < 0) {
        (void)snprintf(why, n, "%s", strerror(errno));
        return -1;
    }
    if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
        struct pollfd set[2] = {{.fd = fd, .events = POLLOUT}};
        wh_net_end end = errno == EINPROGRESS ? await(set, 1, patience) : WH_NET_ERROR;
        if (end == WH_NET_OK && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
            error != 0) {
            errno = error;
            end = WH_NET_ERROR;
        }
        if (end != WH_NET_OK) {
            (void)snprintf(why, n, "%s", wh_net_text(end));
            wh_net_close(&fd);
            return -1;
        }
    }
    set_no_delay(fd);
    return fd;
}

int wh_net_connect(const char *host, int port, wh_patience patience, char *why, size_t n) {
    int error = 0, fd = -1;
    struct addrinfo *list = resolve(host, port, 0, &error);
    if (!list) {
        (void)snprintf(why, n, "%s", gai_strerror(error));
        return -1;
    }
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
        fd = connect_to(a, patience, why, n);
    freeaddrinfo(list);
    return fd;
}

/* ---- transfers ---- */

/* Bytes that went at once; -1: gone or an error, see *end. */
static ssize_t put(int fd, const unsigned char *data, size_t bytes, wh_net_end *end) {
    const ssize_t n = send(fd, data, bytes, MSG_NOSIGNAL);
    if (n >= 0 || would_block()) return n > 0 ? n : 0;
    *end = errno == EPIPE || errno == ECONNRESET ? WH_NET_GONE : WH_NET_ERROR;
    return -1;
}

static ssize_t take(int fd, unsigned char *data, size_t bytes, wh_net_end *end) {
    const ssize_t n = recv(fd, data, bytes, 0);
    if (n > 0) return n;
    if (n < 0 && would_block()) return 0;
    *end = n == 0 || errno == ECONNRESET ? WH_NET_GONE : WH_NET_ERROR;
    return -1;
}

wh_net_end wh_net_exchange(int to, const void *out, size_t n_out, int from, void *in, size_t n_in,
                           wh_patience patience, int *failed) {
    const unsigned char *source = out;
    unsigned char *target = in;
    wh_net_end end = WH_NET_OK;
    int nobody;
    if (!failed) failed = &nobody;
    *failed = -1;
    while (n_out > 0 || n_in > 0) {
        struct pollfd set[3] = {{.fd = n_out > 0 ? to : -1, .events = POLLOUT},
                                {.fd = n_in > 0 ? from : -1, .events = POLLIN}};
        /* Mostly there is something to do at once. */
        const ssize_t sent = n_out > 0 ? put(to, source, n_out, &end) : 0;
        if (sent < 0) *failed = to;
        if (sent < 0) return end;
        const ssize_t got = n_in > 0 ? take(from, target, n_in, &end) : 0;
        if (got < 0) *failed = from;
        if (got < 0) return end;
        source += sent, n_out -= (size_t)sent;
        target += got, n_in -= (size_t)got;
        if (sent > 0 || got > 0 || (n_out == 0 && n_in == 0)) continue;
        end = await(set, 2, patience);
        if (end != WH_NET_OK) *failed = n_in > 0 ? from : to;
        if (end != WH_NET_OK) return end;
    }
    return WH_NET_OK;
}

wh_net_end wh_net_send(int fd, const void *data, size_t bytes, wh_patience patience) {
    return wh_net_exchange(fd, data, bytes, -1, NULL, 0, patience, NULL);
}

wh_net_end wh_net_receive(int fd, void *data, size_t bytes, wh_patience patience) {
    return wh_net_exchange(-1, NULL, 0, fd, data, bytes, patience, NULL);
}
