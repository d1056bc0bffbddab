/* partition_summary.json: the split as a picture needs it, of bounded size for any number of
 * clients and labels. partition.json says which rows a client holds, this says what they are. */
#ifndef WH_PARTITION_SUMMARY_H
#define WH_PARTITION_SUMMARY_H

#include "engine/weft.h"

#include <jansson.h>

enum { WH_SHOWN_CLIENTS = 160, WH_SHOWN_LABELS = 20 };

/* {"n_clients", "rows", "rows_unused", "rows_min", "rows_median", "rows_max", and for
 * classification "classes_min", "classes_mean", "classes_max", "label_skew", "n_labels", "labels":
 * [names], "label_rows": [rows of each, of all clients]; "clients": [{"client", "rows",
 * "label_rows"}]}. Clients stand by falling number of rows; of more than WH_SHOWN_CLIENTS, that
 * many at even distances in this order, the first and the last among them. Of more than
 * WH_SHOWN_LABELS labels, the most frequent in class order and behind them one entry for the others
 * together. name(ud, label) may give NULL: then the number is the name. *out is *own*ed.
 * WEFT_E_MEM. */
WEFT_NODISCARD weft_status wh_partition_summary(json_t **out, const weft_partition *partition,
                                                const weft_rows *rows,
                                                const char *(*name)(const void *ud, int32_t label),
                                                const void *ud, weft_error *err);

#endif
