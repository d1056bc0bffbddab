/* Character classes, lower case and the four normal forms, as HF tokenizers sees them: utf8proc's
 * tables with the forced answers of unicode_exceptions.h. */
#ifndef WH_UNICODE_H
#define WH_UNICODE_H

#include "engine/weft.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* White_Space. */
bool wh_is_space(uint32_t c);
/* Removed by BERT's clean-up: controls except tab, LF and CR; formats, private use, U+FFFD. */
bool wh_is_control(uint32_t c);
/* Category Mn. */
bool wh_is_nonspacing(uint32_t c);
/* Categories Mn, Mc and Me. */
bool wh_is_combining(uint32_t c);
/* ASCII punctuation and the categories P*. */
bool wh_is_punctuation(uint32_t c);
/* Categories N*, for the pre-tokenizer Digits. */
bool wh_is_numeric(uint32_t c);
/* \w of the pre-tokenizer Whitespace and of added tokens with single_word. */
bool wh_is_word(uint32_t c);
/* \p{L} and \p{N} of regular expressions. */
bool wh_is_letter(uint32_t c);
bool wh_is_number(uint32_t c);
/* The blocks that BERT sets apart with spaces. */
bool wh_is_cjk(uint32_t c);

/* Writes the lower case of c to out and returns the number of characters (1 or 2). */
size_t wh_lower(uint32_t c, uint32_t out[2]);

/* Ranges that PCRE2's \p{L}, \p{N} and word characters do not have yet; returns how many (<= room).
 */
typedef struct {
    uint32_t first, last;
} wh_code_range;
size_t wh_new_letters(wh_code_range *out, size_t room);
size_t wh_new_numbers(wh_code_range *out, size_t room);
size_t wh_new_words(wh_code_range *out, size_t room);

/* Characters in a growable array. Zero-initialise; free(v). */
typedef struct {
    int32_t *v;
    size_t n, cap;
} wh_points;
WEFT_NODISCARD weft_status wh_points_room(wh_points *points, size_t extra, weft_error *err);

/* Appends the decomposition of c (canonical, or compatibility) to out, marks not yet in order. */
WEFT_NODISCARD weft_status wh_decompose(wh_points *out, uint32_t c, bool compat, weft_error *err);
/* Puts marks into canonical order (stable by combining class). */
WEFT_NODISCARD weft_status wh_order_marks(wh_points *points, weft_error *err);
/* Composes decomposed, ordered characters in place. */
void wh_compose(wh_points *points);

#endif
