/* Numbers from and to text, whatever the locale of the process says. Strict: the whole text is the
 * number, in decimal, without spaces around it; no hexadecimal, infinity or NaN. */
#ifndef WH_NUMBER_H
#define WH_NUMBER_H

#include <stdint.h>

typedef enum wh_number {
    WH_NUMBER_OK = 0,
    WH_NUMBER_MALFORMED = 1, /* not a number of this kind */
    WH_NUMBER_RANGE = 2,     /* a number that the type cannot hold */
} wh_number;

/* "-12", "+3", "007". *out is untouched on failure. */
wh_number wh_parse_int64(const char *text, int64_t *out);
/* "1", "-.5", "1e-3"; correctly rounded. Below the smallest double: 0 or a subnormal. */
wh_number wh_parse_double(const char *text, double *out);

enum { WH_NUMBER_TEXT = 32 }; /* bytes that hold any number below */

/* The shortest of %.15g, %.16g, %.17g that reads back as the same bits; 1.0 is "1". Finite values.
 * Returns out, as the two below. */
const char *wh_format_double(char out[WH_NUMBER_TEXT], double value);
/* The same (floats: of %.6g to %.9g), with ".0" when it would look like an integer; "nan", "inf",
 * "-inf". A function of the bits only, so that files can be compared byte for byte. */
const char *wh_real_text(char out[WH_NUMBER_TEXT], double value);
const char *wh_float_text(char out[WH_NUMBER_TEXT], float value);

#endif
