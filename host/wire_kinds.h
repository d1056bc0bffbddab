/* The ledger's kinds of bytes by name, for everything that lists them: files, summary, report. */
#ifndef WH_WIRE_KINDS_H
#define WH_WIRE_KINDS_H

#include "engine/weft.h"

#include <jansson.h>

enum { WH_WIRE_KINDS = 6 };

typedef struct wh_wire_kind {
    const char *name;   /* its field of weft_wire: "model_down" */
    const char *column; /* in the files of rounds: "wire_model_down_bytes" */
    const char *title;  /* for people, without the direction: "models" */
    size_t offset;      /* of a uint64_t in weft_wire */
    bool is_up;
} wh_wire_kind;

/* Models first; of a kind that goes both ways, down before up. */
extern const wh_wire_kind wh_wire_kinds[WH_WIRE_KINDS];

uint64_t wh_wire_bytes(const weft_wire *wire, int kind);
/* Whether anything but models was sent. */
bool wh_wire_has_more(const weft_wire *wire);

/* {"model_down": bytes, …}, *own*ed; NULL: out of memory. */
json_t *wh_wire_json(const weft_wire *wire);
/* Reads it back and sets the sums. WEFT_E_DATA: a kind is missing or negative. */
WEFT_NODISCARD weft_status wh_wire_read(weft_wire *out, const json_t *object, const char *where,
                                        weft_error *err);

#endif
