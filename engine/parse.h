/* Numbers and text, in both directions, whatever the process's locale says. Strict: the whole text
 * is the number, without spaces around it, hexadecimal, infinities or NaN. */
#ifndef WE_PARSE_H
#define WE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a text failed to be a number. */
typedef enum we_parse {
    WE_PARSE_OK = 0,
    WE_PARSE_MALFORMED = 1, /* not a number of this kind */
    WE_PARSE_RANGE = 2,     /* a number that the type cannot hold */
} we_parse;

/* "-12", "+3"; digits only. *out is untouched on failure. */
we_parse we_parse_i64(const char *text, int64_t *out);
/* "18446744073709551615"; no minus sign. */
we_parse we_parse_u64(const char *text, uint64_t *out);
/* "1", "-.5", "1e-3"; correctly rounded. Values below the smallest double give 0 or a subnormal;
 * values above the largest are WE_PARSE_RANGE. */
we_parse we_parse_f64(const char *text, double *out);

#define WE_F64_TEXT 32 /* bytes that hold any double as text */

/* The shortest of 15 to 17 digits that reads back as the same double, with a '.'. */
void we_format_f64(char out[WE_F64_TEXT], double value);

#endif
