/* partition.json for twelve fixed rows. What is accepted gives each row to at most one client and
 * none to nobody, passes the library's own check, and is the same when written and read again. */
#include "host/partition_file.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <string.h>

enum { ROWS = 12 };
static const int32_t label[ROWS] = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2};
static const weft_rows rows = {.n_rows = ROWS, .label = label, .num_labels = 3};

static void round_trip(const weft_partition *p) {
    const wh_partition_note note = {.kind = "file", .seed = 1, .alpha = (double)NAN};
    weft_error err = {0};
    weft_partition *again = NULL;
    const char *path = fuzz_path("again.json");
    FUZZ_CHECK(wh_partition_save(path, p, &rows, &note, &err) == WEFT_OK, "%s", err.text);
    FUZZ_CHECK(wh_partition_load(&again, path, &rows, &err) == WEFT_OK, "%s", err.text);
    size_t n = (size_t)p->n_clients;
    FUZZ_CHECK(again->n_clients == p->n_clients &&
                   memcmp(again->offset, p->offset, (n + 1) * sizeof *p->offset) == 0 &&
                   memcmp(again->row, p->row, (size_t)p->offset[n] * sizeof *p->row) == 0,
               "the partition came back differently");
    wh_partition_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    weft_error err = {0};
    weft_partition *p = NULL;
    weft_status st = wh_partition_load(&p, fuzz_file("split.json", data, size), &rows, &err);
    if (st != WEFT_OK) {
        fuzz_refused(st, &err, "split.json");
        return 0;
    }
    int owners[ROWS] = {0};
    FUZZ_CHECK(p->n_clients >= 1 && p->n_clients <= ROWS && p->offset[0] == 0, "clients");
    for (int32_t c = 0; c < p->n_clients; c++) {
        FUZZ_CHECK(p->offset[c] < p->offset[c + 1], "client %d is empty", (int)c);
        for (int64_t i = p->offset[c]; i < p->offset[c + 1]; i++) {
            FUZZ_CHECK(p->row[i] >= 0 && p->row[i] < ROWS && owners[p->row[i]]++ == 0, "row %d",
                       (int)p->row[i]);
            FUZZ_CHECK(i == p->offset[c] || p->row[i - 1] < p->row[i], "rows are not ascending");
        }
    }
    FUZZ_CHECK(weft_partition_check(p, &rows, &err) == WEFT_OK, "%s", err.text);
    round_trip(p);
    wh_partition_free(p);
    return 0;
}
