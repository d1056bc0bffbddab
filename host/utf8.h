/* UTF-8 text in growable buffers: decode, encode, and repair of invalid input. */
#ifndef WH_UTF8_H
#define WH_UTF8_H

#include "engine/weft.h"
#include "host/grow.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most bytes one text may grow to while it is normalised. */
#define WH_TEXT_LIMIT ((size_t)1 << 30)

/* Bytes, not NUL-terminated. Zero-initialise; wh_bytes_free. */
typedef struct {
    char *data;
    size_t len, cap;
    size_t limit; /* of len; 0: WH_TEXT_LIMIT */
} wh_bytes;

/* Makes room for `extra` more bytes; `len` is unchanged. WEFT_E_MEM, or WEFT_E_DATA past the limit.
 */
WEFT_NODISCARD weft_status wh_bytes_room(wh_bytes *text, size_t extra, weft_error *err);
WEFT_NODISCARD weft_status wh_bytes_add(wh_bytes *text, const char *bytes, size_t len,
                                        weft_error *err);
void wh_bytes_free(wh_bytes *text);

/* Appends valid UTF-8: each invalid part of `bytes` becomes one U+FFFD, where a part is the longest
 * prefix of a valid sequence or else one byte (Unicode 15, 3.9 "maximal subparts"; what Python's
 * errors="replace" does). */
WEFT_NODISCARD weft_status wh_utf8_repair(wh_bytes *out, const char *bytes, size_t len,
                                          weft_error *err);

/* Decodes the character at s (valid UTF-8, at least one byte) and sets *size to its bytes. */
static inline uint32_t wh_utf8_get(const char *s, size_t *size) {
    const uint8_t *b = (const uint8_t *)s;
    if (b[0] < 0x80) {
        *size = 1;
        return b[0];
    }
    if (b[0] < 0xe0) {
        *size = 2;
        return (uint32_t)(b[0] & 0x1f) << 6 | (b[1] & 0x3f);
    }
    if (b[0] < 0xf0) {
        *size = 3;
        return (uint32_t)(b[0] & 0x0f) << 12 | (uint32_t)(b[1] & 0x3f) << 6 | (b[2] & 0x3f);
    }
    *size = 4;
    return (uint32_t)(b[0] & 0x07) << 18 | (uint32_t)(b[1] & 0x3f) << 12 |
           (uint32_t)(b[2] & 0x3f) << 6 | (b[3] & 0x3f);
}

/* The character that ends at s[-1]. */
static inline uint32_t wh_utf8_before(const char *s, size_t *size) {
    const char *p = s - 1;
    while (((uint8_t)*p & 0xc0) == 0x80) p--;
    return wh_utf8_get(p, size);
}

/* Writes c at s (4 bytes of room) and returns the bytes written. */
static inline size_t wh_utf8_put(char *s, uint32_t c) {
    if (c < 0x80) {
        s[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        s[0] = (char)(0xc0 | c >> 6);
        s[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        s[0] = (char)(0xe0 | c >> 12);
        s[1] = (char)(0x80 | (c >> 6 & 0x3f));
        s[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    s[0] = (char)(0xf0 | c >> 18);
    s[1] = (char)(0x80 | (c >> 12 & 0x3f));
    s[2] = (char)(0x80 | (c >> 6 & 0x3f));
    s[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

#endif
