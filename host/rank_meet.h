/* What ranks say to each other over their connections to rank 0, and how they come together at the
 * start. Of rank_watch.c alone. All ranks run the same build on the same kind of machine, so
 * structs travel as they are. */
#ifndef WEFT_HOST_RANK_MEET_H
#define WEFT_HOST_RANK_MEET_H

#include "host/net.h"
#include "host/rank_watch.h"

typedef enum wh_frame_kind {
    WH_FRAME_BEAT = 1, /* I live; text: my phase */
    WH_FRAME_FAIL,     /* the job is over: status and text */
    WH_FRAME_STOP,     /* status: the signal that was caught */
    WH_FRAME_BYE,      /* I am done */
    WH_FRAME_ALL,      /* all have come: a wh_member of each follows */
} wh_frame_kind;

typedef struct wh_frame {
    int32_t kind, rank, status;
    char text[340];
} wh_frame;

typedef enum wh_hello_kind { WH_HELLO_WATCH = 1, WH_HELLO_DATA } wh_hello_kind;

/* The first words over any connection. */
typedef struct wh_hello {
    char magic[16]; /* WH_HELLO_MAGIC */
    int32_t kind, rank, size, port;
    char host[WH_HOST_NAME];
    char job[128];
} wh_hello;

#define WH_HELLO_MAGIC "weft ranks 1"

void wh_hello_fill(wh_hello *out, wh_hello_kind kind, const wh_launch *launch, int port);
/* Whether it comes from another rank of this job; else `why`. */
bool wh_hello_is_ours(const wh_hello *hello, const wh_launch *launch, char *why, size_t n);

/* Both fill `member` (size) and `watch` (size), the connections to the other ranks, or to rank 0
 * alone; *listener is for the connections that come later. On failure all are closed. */
WEFT_NODISCARD weft_status wh_meet_as_first(const wh_watch_options *options, wh_member *member,
                                            int *watch, int *listener, weft_error *err);
WEFT_NODISCARD weft_status wh_meet_as_other(const wh_watch_options *options, wh_member *member,
                                            int *watch, int *listener, weft_error *err);

#endif
