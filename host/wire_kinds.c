#include "host/wire_kinds.h"

#include "host/json_util.h"

#include <string.h>

#define KIND(name, title, is_up)                                                                   \
    { #name, "wire_" #name "_bytes", title, offsetof(weft_wire, name), is_up }

const wh_wire_kind wh_wire_kinds[WH_WIRE_KINDS] = {
    KIND(model_down, "models", false),     KIND(model_up, "models", true),
    KIND(state_down, "states", false),     KIND(state_up, "states", true),
    KIND(verdict_down, "verdicts", false), KIND(once_down, "hash functions", false),
};

uint64_t wh_wire_bytes(const weft_wire *wire, int kind) {
    uint64_t bytes;
    memcpy(&bytes, (const char *)wire + wh_wire_kinds[kind].offset, sizeof bytes);
    return bytes;
}

bool wh_wire_has_more(const weft_wire *w) {
    return w->state_down + w->state_up + w->verdict_down + w->once_down > 0;
}

json_t *wh_wire_json(const weft_wire *wire) {
    json_t *o = json_object();
    for (int i = 0; i < WH_WIRE_KINDS; i++)
        o = wh_json_with(o, wh_wire_kinds[i].name,
                         json_integer((json_int_t)wh_wire_bytes(wire, i)));
    return o;
}

weft_status wh_wire_read(weft_wire *out, const json_t *object, const char *where, weft_error *err) {
    weft_wire w = {0};
    for (int i = 0; i < WH_WIRE_KINDS; i++) {
        const wh_wire_kind *kind = &wh_wire_kinds[i];
        int64_t bytes = 0;
        WEFT_TRY(wh_json_int(object, where, kind->name, 0, INT64_MAX, &bytes, err));
        memcpy((char *)&w + kind->offset, &(uint64_t){(uint64_t)bytes}, sizeof(uint64_t));
        *(kind->is_up ? &w.up : &w.down) += (uint64_t)bytes;
    }
    *out = w;
    return WEFT_OK;
}
