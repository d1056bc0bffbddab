/* A partition that came from outside, against the rows it speaks of. */
#include "engine/weft.h"
#include "kernels/base.h"

#include <inttypes.h>

static weft_status check_client(const weft_partition *p, int32_t client, int64_t n_rows,
                                uint8_t *taken, weft_error *err) {
    int64_t begin = p->offset[client], end = p->offset[client + 1];
    if (end <= begin)
        return WEFT_FAIL(err, WEFT_E_DATA, "partition: client %d holds no rows", client);
    for (int64_t i = begin; i < end; i++) {
        int32_t row = p->row[i];
        if (row < 0 || row >= n_rows)
            return WEFT_FAIL(err, WEFT_E_DATA,
                             "partition: client %d holds row %d, but there are %" PRId64
                             " training rows (from 0)",
                             client, row, n_rows);
        if (taken[row])
            return WEFT_FAIL(err, WEFT_E_DATA, "partition: row %d of client %d is given out twice",
                             row, client);
        if (i > begin && row < p->row[i - 1])
            return WEFT_FAIL(err, WEFT_E_DATA,
                             "partition: the rows of client %d are not ascending (%d after %d)",
                             client, row, p->row[i - 1]);
        taken[row] = 1;
    }
    return WEFT_OK;
}

/* WEFT_E_DATA names the client and the row. */
weft_status weft_partition_check(const weft_partition *partition, const weft_rows *rows,
                                 weft_error *err) {
    int32_t n = partition->n_clients;
    if (n < 1 || rows->n_rows < 1)
        return WEFT_FAIL(err, WEFT_E_DATA, "partition: %d clients over %" PRId64 " rows", n,
                         rows->n_rows);
    if (partition->offset[0] != 0)
        return WEFT_FAIL(err, WEFT_E_DATA, "partition: the first offset is %" PRId64 ", not 0",
                         partition->offset[0]);
    for (int32_t c = 0; c < n; c++) /* before any row is read */
        if (partition->offset[c + 1] < partition->offset[c] ||
            partition->offset[c + 1] > rows->n_rows)
            return WEFT_FAIL(err, WEFT_E_DATA,
                             "partition: client %d ends at %" PRId64 ", outside [%" PRId64
                             ", %" PRId64 "]",
                             c, partition->offset[c + 1], partition->offset[c], rows->n_rows);
    wk_ctx ctx;
    wk_ctx_init(&ctx, NULL);
    void *taken = NULL;
    weft_status st = wk_host_alloc(&ctx, &taken, (size_t)rows->n_rows, 1, "the partition check");
    if (st != WEFT_OK && err) *err = ctx.err;
    for (int32_t c = 0; c < n && st == WEFT_OK; c++)
        st = check_client(partition, c, rows->n_rows, taken, err);
    wk_host_free(&ctx, taken);
    return st;
}
