/* Patterns of Split and Replace: literal strings, and regular expressions written for Oniguruma.
 *
 * HF compiles its patterns with Oniguruma's Ruby syntax; PCRE2 reads nearly the same language.
 * Where the two differ, the pattern is rewritten (\w, \s, and letters and numbers of newer scripts
 * than PCRE2 knows) or refused with a message (\h, \b, x{n,m}+). */
#include "host/tokenizer_parts.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATTERN_MAX 65536
#define NEW_RANGES  128 /* more than any table of unicode_exceptions.h has */

/* What Oniguruma calls a word character, the circled letters being Other_Alphabetic. Outside of [ ]
 * it counts Latin-1's superscripts and fractions too; inside it does not. */
#define WORD_IN_CLASS                                                                              \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{"     \
    "1f169}"                                                                                       \
    "\\x{1f170}-\\x{1f189}"
#define WORD WORD_IN_CLASS "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
/* White_Space; PCRE2's own \s has U+180E too. */
static const char SPACE[] = "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}"
                            "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";

static weft_status add_class(wh_bytes *out, const char *body, const wh_code_range *extra,
                             size_t count, bool in_class, bool negated, weft_error *err) {
    if (!in_class) WEFT_TRY(wh_bytes_add(out, negated ? "[^" : "[", negated ? 2 : 1, err));
    WEFT_TRY(wh_bytes_add(out, body, strlen(body), err));
    for (size_t i = 0; i < count; i++) {
        char item[48];
        int n = snprintf(item, sizeof item, "\\x{%x}-\\x{%x}", (unsigned)extra[i].first,
                         (unsigned)extra[i].last);
        WEFT_TRY(wh_bytes_add(out, item, (size_t)n, err));
    }
    if (!in_class) WEFT_TRY(wh_bytes_add(out, "]", 1, err));
    return WEFT_OK;
}

/* Rewrites the escape at s (which begins with a backslash) and sets *used to its length. */
static weft_status rewrite_escape(wh_bytes *out, const char *s, size_t left, bool in_class,
                                  size_t *used, const char *where, weft_error *err) {
    wh_code_range extra[NEW_RANGES];
    char c = left > 1 ? s[1] : '\0';
    *used = left > 1 ? 2 : 1;
    switch (c) {
    case 'w':
    case 'W':
        if (in_class && c == 'W') break; /* a complement cannot be written inside a class */
        return add_class(out, in_class ? WORD_IN_CLASS : WORD, extra,
                         wh_new_words(extra, NEW_RANGES), in_class, c == 'W', err);
    case 's':
    case 'S':
        /* In a class PCRE2's own \S must do; the one difference is U+180E. */
        if (in_class && c == 'S') return wh_bytes_add(out, s, 2, err);
        return add_class(out, SPACE, NULL, 0, in_class, c == 'S', err);
    case 'p':
        if (left >= 5 && (memcmp(s, "\\p{L}", 5) == 0 || memcmp(s, "\\p{N}", 5) == 0)) {
            bool letter = s[3] == 'L';
            *used = 5;
            size_t n =
                letter ? wh_new_letters(extra, NEW_RANGES) : wh_new_numbers(extra, NEW_RANGES);
            return add_class(out, letter ? "\\p{L}" : "\\p{N}", extra, n, in_class, false, err);
        }
        return wh_bytes_add(out, s, 2, err);
    case 'b':
    case 'B':
    case 'h':
    case 'H':
        if (!in_class || c == 'h' || c == 'H') break;
        return wh_bytes_add(out, s, 2, err);
    default:
        return wh_bytes_add(out, s, *used, err);
    }
    return WEFT_FAIL(err, WEFT_E_DATA, "%s: the regular expression's \\%c is not supported", where,
                     c);
}

static weft_status rewrite(wh_bytes *out, const char *s, size_t len, const char *where,
                           weft_error *err) {
    size_t depth = 0; /* of [ ] */
    for (size_t i = 0; i < len;) {
        size_t used = 1;
        if (s[i] == '\\') {
            WEFT_TRY(rewrite_escape(out, s + i, len - i, depth > 0, &used, where, err));
            i += used;
            continue;
        }
        if (depth && ((s[i] == '&' && i + 1 < len && s[i + 1] == '&') ||
                      (s[i] == '[' && (i + 1 >= len || s[i + 1] != ':'))))
            return WEFT_FAIL(err, WEFT_E_DATA,
                             "%s: the regular expression nests character classes; not supported",
                             where);
        if (!depth && s[i] == '}' && i + 1 < len && s[i + 1] == '+')
            return WEFT_FAIL(err, WEFT_E_DATA,
                             "%s: the regular expression has {n,m}+, which means different things "
                             "to different engines; write (?:...{n,m})+ or {n,m}",
                             where);
        if (s[i] == '[') {
            depth++;
            /* "[]" and "[^]" begin with a literal bracket. */
            if (depth == 1) {
                if (i + used < len && s[i + used] == '^') used++;
                if (i + used < len && s[i + used] == ']') used++;
            }
        } else if (s[i] == ']' && depth) {
            depth--;
        }
        WEFT_TRY(wh_bytes_add(out, s + i, used, err));
        i += used;
    }
    return WEFT_OK;
}

weft_status wh_pattern_regex(wh_pattern *out, const char *regex, size_t len, const char *where,
                             weft_error *err) {
    if (len > PATTERN_MAX)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: a regular expression of %zu bytes; at most %d",
                         where, len, PATTERN_MAX);
    wh_bytes text = {0};
    weft_status st;
    pcre2_compile_context *context = NULL;
    WEFT_TRY_GOTO(st, rewrite(&text, regex, len, where, err), done);
    context = pcre2_compile_context_create(NULL);
    if (!context) {
        st = WEFT_FAIL(err, WEFT_E_MEM, "%s: no memory for a regular expression", where);
        goto done;
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    int code = 0;
    PCRE2_SIZE at = 0;
    /* MULTILINE: in Ruby's syntax ^ and $ always are line anchors. */
    pcre2_code *compiled = pcre2_compile(
        (PCRE2_SPTR)(text.data ? text.data : ""), text.len,
        PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code, &at, context);
    if (!compiled) {
        char why[128] = "";
        (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        st = WEFT_FAIL(err, WEFT_E_DATA, "%s: bad regular expression '%.*s': %s", where,
                       (int)(len < 100 ? len : 100), regex, why);
        goto done;
    }
    (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE); /* slower without, not wrong */
    out->regex = compiled;
done:
    pcre2_compile_context_free(context);
    wh_bytes_free(&text);
    return st;
}

weft_status wh_pattern_literal(wh_pattern *out, const char *text, size_t len, weft_error *err) {
    out->literal = malloc(len + 1);
    if (!out->literal) return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory for a pattern");
    if (len) memcpy(out->literal, text, len);
    out->literal[len] = '\0';
    out->literal_len = len;
    return WEFT_OK;
}

static weft_status find_regex(const pcre2_code *regex, wh_scratch *scratch, const char *text,
                              size_t len, size_t from, bool *found, weft_error *err) {
    if (!scratch->match) {
        scratch->match = pcre2_match_data_create(32, NULL);
        if (!scratch->match)
            return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory for a regular expression");
    }
    PCRE2_SPTR subject = (PCRE2_SPTR)text;
    int rc = pcre2_match(regex, subject, len, from, PCRE2_NO_UTF_CHECK, scratch->match, NULL);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(regex, subject, len, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                         scratch->match, NULL);
    *found = rc >= 0;
    if (rc >= 0 || rc == PCRE2_ERROR_NOMATCH) return WEFT_OK;
    char why[128] = "";
    (void)pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof why);
    return WEFT_FAIL(err, rc == PCRE2_ERROR_NOMEMORY ? WEFT_E_MEM : WEFT_E_DATA,
                     "tokenizer: the split pattern failed on a text of %zu bytes: %s", len, why);
}

weft_status wh_pattern_find(const wh_pattern *pattern, wh_scratch *scratch, const char *text,
                            size_t len, size_t from, bool *found, size_t *start, size_t *end,
                            weft_error *err) {
    *found = false;
    if (pattern->regex) {
        WEFT_TRY(find_regex(pattern->regex, scratch, text, len, from, found, err));
        if (!*found) return WEFT_OK;
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(scratch->match);
        *start = at[0];
        *end = at[1] < at[0] ? at[0] : at[1]; /* \K may put the start behind the end */
        return WEFT_OK;
    }
    size_t n = pattern->literal_len;
    while (from + n <= len) {
        const char *hit = memchr(text + from, pattern->literal[0], len - n + 1 - from);
        if (!hit) return WEFT_OK;
        from = (size_t)(hit - text);
        if (memcmp(hit, pattern->literal, n) == 0) {
            *found = true;
            *start = from;
            *end = from + n;
            return WEFT_OK;
        }
        from++;
    }
    return WEFT_OK;
}

void wh_pattern_free(wh_pattern *pattern) {
    free(pattern->literal);
    pcre2_code_free(pattern->regex);
    *pattern = (wh_pattern){0};
}
