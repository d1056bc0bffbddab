/* partition.json: which rows each client holds, saved so that a run can be repeated or another
 * program can make the split; and the table that shows it. */
#ifndef WH_PARTITION_FILE_H
#define WH_PARTITION_FILE_H

#include "engine/weft.h"

#include <stdio.h>

/* How the split was made; written for people, not read back. */
typedef struct wh_partition_note {
    const char *kind; /* "dirichlet" */
    uint64_t seed;
    double alpha; /* NaN: does not apply, as 0 below */
    int32_t classes_per_client, shards_per_client, min_rows;
} wh_partition_note;

/* Writes atomically. The rows' labels go in as a checksum. WEFT_E_OUTPUT. */
WEFT_NODISCARD weft_status wh_partition_save(const char *path, const weft_partition *partition,
                                             const weft_rows *rows, const wh_partition_note *note,
                                             weft_error *err);

/* Reads a split made for exactly these rows. *out is *own*ed: wh_partition_free (not
 * weft_partition_free). Row numbers are checked against the range and for repetition; clients must
 * not be empty. WEFT_E_DATA: bad file, another number of rows, other labels. */
WEFT_NODISCARD weft_status wh_partition_load(weft_partition **out, const char *path,
                                             const weft_rows *rows, weft_error *err);
void wh_partition_free(weft_partition *partition);

/* At most 20 lines: number of clients, rows and classes per client, share of the most frequent
 * label, and the first clients with their label counts. WEFT_E_MEM. */
WEFT_NODISCARD weft_status wh_partition_print(FILE *out, const weft_partition *partition,
                                              const weft_rows *rows, const char *kind,
                                              weft_error *err);

/* CRC-32 (IEEE 802.3, as zlib) of n_rows labels, or of the bits of the targets, little-endian. */
uint32_t wh_label_crc(const weft_rows *rows);

#endif
