#include "host/client_ids.h"

#include "host/names.h"

#include <stdlib.h>

struct wh_client_ids {
    wh_names names;
    int32_t *of_row;
};

static const char *client_of(const void *table, int64_t row) {
    return wh_table_client(table, row);
}

void wh_client_ids_free(wh_client_ids *ids) {
    if (!ids) return;
    wh_names_free(&ids->names);
    free(ids->of_row);
    free(ids);
}

weft_status wh_client_ids_build(wh_client_ids **out, const wh_table *table, weft_error *err) {
    int64_t rows = wh_table_rows(table);
    if (!wh_table_client(table, 0))
        return WEFT_FAIL(err, WEFT_E_ARG, "%s: read without a client column", wh_table_path(table));
    wh_client_ids *ids = calloc(1, sizeof *ids);
    if (ids) ids->of_row = calloc((size_t)rows, sizeof *ids->of_row);
    if (!ids || !ids->of_row) {
        wh_client_ids_free(ids);
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the clients of %lld rows",
                         (long long)rows);
    }
    weft_status st = wh_names_build(&ids->names, rows, client_of, table, "clients", err);
    if (st != WEFT_OK) {
        wh_client_ids_free(ids);
        return st;
    }
    for (int64_t row = 0; row < rows; row++)
        ids->of_row[row] = wh_names_find(&ids->names, wh_table_client(table, row));
    *out = ids;
    return WEFT_OK;
}

int32_t wh_client_ids_count(const wh_client_ids *ids) {
    return ids->names.n;
}

const int32_t *wh_client_ids_of_rows(const wh_client_ids *ids) {
    return ids->of_row;
}

const char *wh_client_ids_name(const wh_client_ids *ids, int32_t client) {
    return ids->names.name[client];
}

int64_t wh_client_ids_rows(const wh_client_ids *ids, int32_t client) {
    return ids->names.count[client];
}
