/* A set of distinct byte strings in byte order, each with how often it occurred: the classes of a
 * label column, the clients of a client column. Byte order makes ids a function of the data, not of
 * the order of rows. */
#ifndef WH_NAMES_H
#define WH_NAMES_H

#include "engine/weft.h"

typedef struct wh_names { /* zero-initialise; free with wh_names_free */
    int32_t n;
    const char **name; /* (n) ascending as strcmp; *own*ed */
    int64_t *count;    /* (n) occurrences */
    char *bytes;
} wh_names;

/* The distinct strings among get(ud, 0) … get(ud, n-1), copied. `what` names them in messages.
 * WEFT_E_MEM; WEFT_E_DATA for more than 2^31-1 distinct ones. */
WEFT_NODISCARD weft_status wh_names_build(wh_names *out, int64_t n,
                                          const char *(*get)(const void *ud, int64_t i),
                                          const void *ud, const char *what, weft_error *err);
/* Index of a name, or -1. */
int32_t wh_names_find(const wh_names *names, const char *name);
void wh_names_free(wh_names *names);

/* The entry of a list most like `name` by edit distance, or NULL when none is near (more than a
 * third of the letters differ). For "did you mean" in messages; names over 63 bytes are never near.
 */
const char *wh_nearest(const char *name, const char *const *list, size_t n);

/* "a, b, c" into out, cut with "…" when it does not fit. Returns out. */
const char *wh_join_names(char *out, size_t size, const char *const *list, size_t n);

#endif
