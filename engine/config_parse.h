/* One option from text: parsing, bounds, and messages that help. Used by config.c alone. */
#ifndef WE_CONFIG_PARSE_H
#define WE_CONFIG_PARSE_H

#include "engine/weft.h"

/* A row of the table: what the public sees, exact bounds, and where the value lies in weft_config.
 */
typedef struct we_option_row {
    weft_option option;
    int64_t int_min, int_max;
    uint64_t uint_min, uint_max;
    double real_min, real_max;
    size_t offset, set_offset;
    size_t index;
} we_option_row;

/* key is the option's key or one of its aliases. */
bool we_option_is_named(const weft_option *option, const char *key);
/* How unlike a key is to an option's names: edit distance (Levenshtein 1966) to the closest of
 * them, the section apart, so that "client.lr" finds the alias "lr" of client.learning_rate. */
size_t we_option_distance(const weft_option *option, const char *key);

/* WEFT_E_CONFIG that names the key and the nearest known one. */
WEFT_NODISCARD weft_status we_option_unknown(const char *key, const char *nearest,
                                             const char *where, weft_error *err);
/* Parse anything but a string into *field (int64_t, uint64_t, double, bool, or int for an enum).
 * `key` is the name the user gave. WEFT_E_CONFIG; *field is then untouched. */
WEFT_NODISCARD weft_status we_option_parse(const we_option_row *row, const char *key,
                                           const char *value, const char *where, void *field,
                                           weft_error *err);

#endif
