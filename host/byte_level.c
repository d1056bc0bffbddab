/* The pre-tokenizer ByteLevel: GPT-2's split into words, bytes written as printable characters. */
#include "host/tokenizer_parts.h"

#include <string.h>

/* GPT-2's table: printable Latin-1 stands for itself, other bytes for U+0100 and on, in order. */
static uint32_t byte_char(uint8_t b) {
    if ((b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae) return b;
    if (b <= ' ') return 0x100u + b;
    if (b == 0xad) return 0x143;
    return 0x121u + (b - 0x7fu); /* 0x7f..0xa0 */
}

weft_status wh_byte_chars(wh_bytes *out, const char *text, size_t len, weft_error *err) {
    WEFT_TRY(wh_bytes_room(out, len * 2, err));
    for (size_t i = 0; i < len; i++)
        out->len += wh_utf8_put(out->data + out->len, byte_char((uint8_t)text[i]));
    return WEFT_OK;
}

typedef enum { LETTER, NUMBER, SPACE, OTHER } char_kind;

static char_kind kind_of(const char *s, size_t *size) {
    uint32_t c = wh_utf8_get(s, size);
    if (wh_is_letter(c)) return LETTER;
    if (wh_is_number(c)) return NUMBER;
    return wh_is_space(c) ? SPACE : OTHER;
}

/* Length of an English clitic ('s 't 're 've 'm 'll 'd) at s, or 0. */
static size_t clitic(const char *s, size_t left) {
    if (left < 2 || s[0] != '\'') return 0;
    if (strchr("stmd", s[1]) && s[1]) return 2;
    if (left < 3) return 0;
    bool two =
        memcmp(s + 1, "re", 2) == 0 || memcmp(s + 1, "ve", 2) == 0 || memcmp(s + 1, "ll", 2) == 0;
    return two ? 3 : 0;
}

/* Length of the word at s (left > 0 bytes):
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * Every character belongs to some alternative, so words follow each other without gaps. */
static size_t gpt2_word(const char *s, size_t left) {
    size_t size, n = clitic(s, left);
    if (n) return n;
    size_t begin = s[0] == ' ' && left > 1 ? 1 : 0;
    char_kind kind = kind_of(s + begin, &size);
    if (kind != SPACE) {
        for (n = begin + size; n < left && kind_of(s + n, &size) == kind;) n += size;
        return n;
    }
    size_t last = 0; /* bytes before the last space of the run */
    for (n = 0; n < left && kind_of(s + n, &size) == SPACE; n += size) last = n;
    return n == left || last == 0 ? n : last;
}

weft_status wh_byte_level(const wh_pre_step *step, wh_scratch *s, weft_error *err) {
    s->next.n = 0;
    s->spare.len = 0;
    for (size_t k = 0; k < s->pieces.n; k++) {
        wh_piece p = s->pieces.v[k];
        if (p.id >= 0) {
            WEFT_TRY(wh_pieces_add(&s->next, 0, 0, p.id, p.first, err));
            continue;
        }
        const char *text = s->text.data + p.off;
        size_t len = p.len;
        if (step->prefix_space && text[0] != ' ') {
            s->other.len = 0;
            WEFT_TRY(wh_bytes_add(&s->other, " ", 1, err));
            WEFT_TRY(wh_bytes_add(&s->other, text, len, err));
            text = s->other.data;
            len++;
        }
        for (size_t i = 0, n; i < len; i += n) {
            size_t off = s->spare.len;
            n = step->regex ? gpt2_word(text + i, len - i) : len;
            WEFT_TRY(wh_byte_chars(&s->spare, text + i, n, err));
            WEFT_TRY(wh_pieces_add(&s->next, off, s->spare.len - off, -1, p.first && i == 0, err));
        }
    }
    wh_bytes text = s->text;
    s->text = s->spare;
    s->spare = text;
    wh_pieces pieces = s->pieces;
    s->pieces = s->next;
    s->next = pieces;
    return WEFT_OK;
}
