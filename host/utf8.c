#include "host/utf8.h"

#include <stdlib.h>
#include <string.h>

weft_status wh_bytes_room(wh_bytes *text, size_t extra, weft_error *err) {
    /* First, so that what fails does not depend on what the buffer held before. */
    size_t limit = text->limit ? text->limit : WH_TEXT_LIMIT;
    if (text->len > limit || extra > limit - text->len)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "tokenizer: a text grows past %zu bytes while it is normalised", limit);
    if (extra <= text->cap - text->len) return WEFT_OK;
    void *data = text->data;
    if (!wh_grow(&data, &text->cap, text->len + extra, 1))
        return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory for %zu bytes of text",
                         text->len + extra);
    text->data = data;
    return WEFT_OK;
}

weft_status wh_bytes_add(wh_bytes *text, const char *bytes, size_t len, weft_error *err) {
    if (len == 0) return WEFT_OK;
    WEFT_TRY(wh_bytes_room(text, len, err));
    memcpy(text->data + text->len, bytes, len);
    text->len += len;
    return WEFT_OK;
}

void wh_bytes_free(wh_bytes *text) {
    free(text->data);
    *text = (wh_bytes){0};
}

/* Bytes of the valid sequence at s, or 0; then *bad is the length of the invalid part. */
static size_t sequence(const uint8_t *s, size_t left, size_t *bad) {
    uint8_t lead = s[0], low = 0x80, high = 0xbf;
    *bad = 1;
    if (lead < 0x80) return 1;
    if (lead < 0xc2 || lead > 0xf4) return 0;
    size_t size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
    for (size_t i = 1; i < size; i++) {
        if (i >= left || s[i] < low || s[i] > high) {
            *bad = i;
            return 0;
        }
        low = 0x80;
        high = 0xbf;
    }
    return size;
}

weft_status wh_utf8_repair(wh_bytes *out, const char *bytes, size_t len, weft_error *err) {
    const uint8_t *s = (const uint8_t *)bytes;
    size_t kept = 0, i = 0;
    while (i < len) {
        size_t bad, size = sequence(s + i, len - i, &bad);
        if (size) {
            i += size;
            continue;
        }
        WEFT_TRY(wh_bytes_add(out, bytes + kept, i - kept, err));
        WEFT_TRY(wh_bytes_add(out, "\xef\xbf\xbd", 3, err));
        i += bad;
        kept = i;
    }
    return wh_bytes_add(out, bytes + kept, len - kept, err);
}
