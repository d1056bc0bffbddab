/* What every rank gets from libweft_mpi.so, against formulas: lengths around those at which a
 * message is cut into pieces. Usage: mpirun -n N mpi_exchange FOLDER-OF-PLUGIN [GIB]. With GIB one
 * allgather of so many GiB and a bit follows, past what an int counts. */
#include "host/mpi_plugin.h"
#include "host/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const wh_mpi_table *mpi;
static int32_t rank, size;
static int failures;

static bool never(void *ud) {
    (void)ud;
    return false;
}

static char why[WH_MPI_WHY];
static const wh_mpi_wait WAIT = {never, NULL, why};

static void check(bool fine, const char *what, size_t n, size_t most) {
    if (fine) return;
    failures++;
    printf("FAIL: rank %d of %d: %s of %zu, pieces of %zu: %s\n", rank, size, what, n, most, why);
}

static unsigned char byte_of(int32_t r, size_t i) {
    return (unsigned char)(((size_t)r * 131 + i * 7 + i / 251) & 255);
}

static void *take(size_t bytes) {
    void *p = malloc(bytes + 1);
    if (!p) {
        printf("FAIL: rank %d: out of memory\n", rank);
        exit(1);
    }
    return p;
}

static void try_allgather(size_t n, size_t most, bool in_place) {
    unsigned char *out = take(n * (size_t)size), *other = in_place ? NULL : take(n);
    unsigned char *in = in_place ? out + n * (size_t)rank : other;
    memset(out, 0xee, n * (size_t)size);
    for (size_t i = 0; i < n; i++) in[i] = byte_of(rank, i);
    bool fine = mpi->allgather(in, n, out, most, &WAIT) == WH_MPI_OK;
    for (int32_t r = 0; r < size && fine; r++)
        for (size_t i = 0; i < n && fine; i++) fine = out[(size_t)r * n + i] == byte_of(r, i);
    check(fine, in_place ? "allgather in place" : "allgather", n, most);
    free(other);
    free(out);
}

/* Large enough to wrap around. */
static uint64_t word_of(int32_t r, size_t i) {
    return ((uint64_t)r + 1) * 0x9e3779b97f4a7c15u + (uint64_t)i * 0xd1b54a32d192ed03u;
}

static void try_sum(size_t n, size_t most) {
    int64_t *words = take(n * sizeof *words);
    for (size_t i = 0; i < n; i++) words[i] = (int64_t)word_of(rank, i);
    bool fine = mpi->sum(words, (int64_t)n, most, &WAIT) == WH_MPI_OK;
    for (size_t i = 0; i < n && fine; i++) {
        uint64_t expected = 0;
        for (int32_t r = 0; r < size; r++) expected += word_of(r, i);
        fine = (uint64_t)words[i] == expected;
    }
    check(fine, "sum", n, most);
    free(words);
}

static void try_share(size_t n) {
    unsigned char *data = take(n);
    for (size_t i = 0; i < n; i++) data[i] = byte_of(rank, i);
    bool fine = mpi->share(data, n, &WAIT) == WH_MPI_OK;
    for (size_t i = 0; i < n && fine; i++) fine = data[i] == byte_of(0, i);
    check(fine, "share", n, 0);
    free(data);
}

int main(int argc, char **argv) {
    static const size_t LENGTHS[] = {0,   1,   7,   8,    255,  256,   257,
                                     511, 512, 513, 1000, 4099, 20000, 1000003};
    wh_mpi_plugin plugin;
    if (argc < 2) return 2;
    wh_mpi_plugin_open(&plugin, argv[1]);
    mpi = plugin.table;
    if (!mpi || mpi->start(&rank, &size, why) != WH_MPI_OK) {
        printf("FAIL: %s %s\n", plugin.note, why);
        return 1;
    }
    for (size_t k = 0; k < sizeof LENGTHS / sizeof *LENGTHS; k++) {
        const size_t n = LENGTHS[k];
        for (size_t most = n < 100000 ? 256 : 65536; most != SIZE_MAX; most = most ? 0 : SIZE_MAX) {
            try_allgather(n, most, false);
            try_allgather(n, most, true);
            try_sum(n, most);
        }
        try_share(n);
    }
    int64_t gib = 0;
    if (argc > 2 && wh_parse_int64(argv[2], &gib) == WH_NUMBER_OK && gib > 0)
        try_allgather(((size_t)gib << 30) + 12345, 0, true);
    mpi->finish();
    if (rank == 0 && failures == 0) printf("%d ranks, %s\n", size, plugin.note);
    return failures ? 1 : 0;
}
