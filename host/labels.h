/* From a label column to class ids or regression targets.
 *
 * Classes come from the training rows (or a list in the configuration) and are then applied to any
 * table, so that train and test agree. Labels that are all integers keep their numeric order, other
 * labels their byte order: ids depend on which labels occur, never on the order of rows. */
#ifndef WH_LABELS_H
#define WH_LABELS_H

#include "host/table.h"

typedef struct wh_labels wh_labels;

/* Learn the classes from the label column of `train`.
 *   names       "neg, pos": class 0, 1 … in this order (data.labels); NULL or "": from the rows
 *   num_classes 0: as many as there are; else integer labels must lie in [0, num_classes) and are
 * the ids themselves, and there must be exactly (names: from a list or the rows) so many names
 * *Own*ed by the caller: wh_labels_free; does not refer to the table afterwards.
 * WEFT_E_DATA "path:line: …": a label not in the list, or outside [0, num_classes); fewer than two
 * classes. WEFT_E_CONFIG: an empty or repeated name in the list, or a list of another length than
 * num_classes. */
WEFT_NODISCARD weft_status wh_labels_build(wh_labels **out, const wh_table *train,
                                           const char *names, int32_t num_classes, weft_error *err);
void wh_labels_free(wh_labels *labels);

int32_t wh_labels_count(const wh_labels *labels);
const char *wh_labels_name(const wh_labels *labels, int32_t id); /* NULL out of range */
/* One line worth telling the user (integers that were mapped, listed names without rows), or "". */
const char *wh_labels_note(const wh_labels *labels);

/* id[row] for every row of a table. WEFT_E_DATA "path:line: …": a label that is no class, with the
 * nearest. */
WEFT_NODISCARD weft_status wh_labels_encode(const wh_labels *labels, const wh_table *table,
                                            int32_t *id, weft_error *err);

/* Regression: target[row]. WEFT_E_DATA "path:line: …": not a finite decimal number, or beyond a
 * float. */
WEFT_NODISCARD weft_status wh_labels_targets(const wh_table *table, float *target, weft_error *err);

#endif
