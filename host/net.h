/* TCP between ranks. Everything waits with a deadline (wh_clock) or until another thread calls it
 * off, never for ever. Sockets are file descriptors, non-blocking, *owned* by the caller (close).
 */
#ifndef WEFT_HOST_NET_H
#define WEFT_HOST_NET_H

#include "engine/weft.h"

/* What ends a wait early. */
typedef struct wh_patience {
    double deadline; /* wh_clock(); infinite: none */
    int wake;        /* a descriptor that becomes readable when the wait is to end; -1: none */
} wh_patience;

/* How a transfer ended. */
typedef enum wh_net_end {
    WH_NET_OK,
    WH_NET_LATE,  /* the deadline */
    WH_NET_WOKEN, /* patience.wake */
    WH_NET_GONE,  /* the other side closed the connection */
    WH_NET_ERROR, /* errno says */
} wh_net_end;

/* "" for WH_NET_OK. */
const char *wh_net_text(wh_net_end end);

/* Listens at the port (0: any, told in *port) of this host's address (NULL: all of them). -1 and
 * errno: not possible, such as EADDRINUSE. */
int wh_net_listen(const char *address, int *port);
/* The next connection, or -1. *end tells why. `address` (64, may be NULL) of the other side. */
int wh_net_accept(int listener, wh_patience patience, char *address, wh_net_end *end);
/* One attempt, at each address of the host in turn; -1 and one line of why. Looking the name up
 * takes as long as the system takes. */
int wh_net_connect(const char *host, int port, wh_patience patience, char *why, size_t n);

wh_net_end wh_net_send(int fd, const void *data, size_t bytes, wh_patience patience);
wh_net_end wh_net_receive(int fd, void *data, size_t bytes, wh_patience patience);
/* Both at once, so that two that send to each other cannot wait for each other. *failed is the
 * descriptor of the side that failed. */
wh_net_end wh_net_exchange(int to, const void *out, size_t n_out, int from, void *in, size_t n_in,
                           wh_patience patience, int *failed);
/* Addresses of this host's interfaces, loopback and link-local ones left out, IPv4 first; their
 * number. */
int wh_net_own_addresses(char (*out)[64], int most);
void wh_net_close(int *fd); /* and *fd = -1; fine on -1 */

#endif
