/* From a client column to dense client ids: names in byte order are 0, 1, 2 …, whatever the order
 * of rows. */
#ifndef WH_CLIENT_IDS_H
#define WH_CLIENT_IDS_H

#include "host/table.h"

typedef struct wh_client_ids wh_client_ids;

/* *Own*ed by the caller: wh_client_ids_free; does not refer to the table afterwards.
 * WEFT_E_ARG: the table was read without a client column. WEFT_E_MEM. */
WEFT_NODISCARD weft_status wh_client_ids_build(wh_client_ids **out, const wh_table *table,
                                               weft_error *err);
void wh_client_ids_free(wh_client_ids *ids);

int32_t wh_client_ids_count(const wh_client_ids *ids);
const int32_t *wh_client_ids_of_rows(const wh_client_ids *ids); /* (rows of the table) */
const char *wh_client_ids_name(const wh_client_ids *ids, int32_t client);
int64_t wh_client_ids_rows(const wh_client_ids *ids, int32_t client); /* at least 1 */

#endif
