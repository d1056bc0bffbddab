/* Memory of this process. ANONYMOUS is what it has written itself (heap, stacks): resident pages
 * that no file backs, so mapped weights and the program's text do not count. That is what `weft
 * plan` plans and what a full machine runs out of. */
#ifndef WH_MEMORY_H
#define WH_MEMORY_H

#include <stdint.h>

/* Anonymous resident bytes now; 0 where the system does not say. */
int64_t wh_memory_anonymous(void);
/* Looks, and remembers the highest. Called where memory is at a top: before the table of rows is
 * given back, once an engine is open, after training and evaluating in every round. */
void wh_memory_note(void);
/* The highest that was noted. */
int64_t wh_memory_peak(void);

/* Largest resident set of this process so far, pages of files included. */
int64_t wh_memory_peak_resident(void);

/* Freed blocks of a mebibyte and more go back to the system at once. Without it the C library keeps
 * tens of mebibytes after the first large block is freed. Call first in main. */
void wh_memory_setup(void);

#endif
