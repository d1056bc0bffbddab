/* libweft_mpi.so: the exchanges of ranks by MPI. Nothing blocks inside MPI but its start and its
 * end: a rank that waits asks MPI again and again, and between that whether there is anything left
 * to wait for. */
#include "host/mpi/table.h"

#include "host/ring.h"

#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Counts of MPI are int. Half a GiB also bounds what MPI may want for itself. */
#define MOST ((size_t)1 << 29)
/* Up to so many bytes a sum takes MPI's tree, whose time is in its steps; above, the ring. */
#define TREE_BYTES ((size_t)64 << 10)
/* Turns of about a microsecond; whoever is late by more is computing and may need this core. */
enum { SPINS = 100, TURNS_PER_LOOK = 64 };

static void library(char *out, size_t n) {
    char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    if (n == 0) return;
    if (MPI_Get_library_version(text, &length) != MPI_SUCCESS) text[0] = '\0';
    text[strcspn(text, ",\n")] = '\0'; /* then: who packed it when */
    size_t used = 0;
    for (const char *c = text; *c && used + 1 < n; c++) {
        if (*c == 'v' && used > 0 && out[used - 1] == ' ' && c[1] >= '0' && c[1] <= '9') continue;
        out[used++] = *c == '\t' ? ' ' : *c;
    }
    out[used] = '\0';
}

static wh_mpi_end failed(int error, char *why) {
    char text[MPI_MAX_ERROR_STRING];
    int length;
    if (MPI_Error_string(error, text, &length) != MPI_SUCCESS)
        (void)snprintf(text, sizeof text, "error %d", error);
    (void)snprintf(why, WH_MPI_WHY, "%.200s", text);
    return WH_MPI_FAILED;
}

static wh_mpi_end start(int32_t *rank, int32_t *size, char *why) {
    int level, number, count;
    /* An error before the end of this one ends the process, whatever anybody asks for. */
    int e = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    if (e == MPI_SUCCESS) e = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (e == MPI_SUCCESS) e = MPI_Comm_rank(MPI_COMM_WORLD, &number);
    if (e == MPI_SUCCESS) e = MPI_Comm_size(MPI_COMM_WORLD, &count);
    if (e != MPI_SUCCESS) return failed(e, why);
    *rank = number, *size = count;
    if (level >= MPI_THREAD_FUNNELED) return WH_MPI_OK;
    (void)snprintf(why, WH_MPI_WHY, "it was built without support for threads");
    return WH_MPI_FAILED;
}

static void rest(void) {
    const struct timespec pause = {0, 50000};
    (void)nanosleep(&pause, NULL);
}

/* After WH_MPI_OVER the request lives on, and with it the buffers it writes to, as long as nobody
 * calls MPI again: this library moves data in calls only. */
static wh_mpi_end finish_request(int error, MPI_Request *request, const wh_mpi_wait *wait) {
    for (long turn = 0;; turn++) {
        int done = 0;
        if (error == MPI_SUCCESS) error = MPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (error != MPI_SUCCESS) return failed(error, wait->why);
        if (done) return WH_MPI_OK;
        if (turn % TURNS_PER_LOOK == 0 && wait->is_over(wait->ud)) return WH_MPI_OVER;
        if (turn < SPINS)
            (void)sched_yield();
        else
            rest();
    }
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static wh_mpi_end share(void *data, size_t bytes, const wh_mpi_wait *wait) {
    wh_mpi_end end = WH_MPI_OK;
    for (size_t at = 0; at < bytes && end == WH_MPI_OK; at += MOST) {
        MPI_Request request;
        const int n = (int)least(bytes - at, MOST);
        const int e = MPI_Ibcast((char *)data + at, n, MPI_BYTE, 0, MPI_COMM_WORLD, &request);
        end = finish_request(e, &request, wait);
    }
    return end;
}

/* A piece of n bytes of every rank, into blocks that lie `bytes` apart. */
static wh_mpi_end gather_piece(const void *in, int n, void *out, size_t bytes,
                               const wh_mpi_wait *wait) {
    MPI_Datatype piece = MPI_DATATYPE_NULL, spaced = MPI_DATATYPE_NULL;
    MPI_Request request;
    wh_mpi_end end;
    int e = MPI_Type_contiguous(n, MPI_BYTE, &piece);
    if (e == MPI_SUCCESS) e = MPI_Type_create_resized(piece, 0, (MPI_Aint)bytes, &spaced);
    if (e == MPI_SUCCESS) e = MPI_Type_commit(&spaced);
    if (e == MPI_SUCCESS && in)
        e = MPI_Iallgather(in, n, MPI_BYTE, out, 1, spaced, MPI_COMM_WORLD, &request);
    else if (e == MPI_SUCCESS)
        e = MPI_Iallgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, out, 1, spaced, MPI_COMM_WORLD,
                           &request);
    end = finish_request(e, &request, wait);
    if (end == WH_MPI_OVER) return end;
    if (spaced != MPI_DATATYPE_NULL) (void)MPI_Type_free(&spaced);
    if (piece != MPI_DATATYPE_NULL) (void)MPI_Type_free(&piece);
    return end;
}

static wh_mpi_end allgather(const void *in, size_t bytes, void *out, size_t most,
                            const wh_mpi_wait *wait) {
    int rank;
    wh_mpi_end end = WH_MPI_OK;
    const int e = MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (e != MPI_SUCCESS) return failed(e, wait->why);
    const bool in_place = in == (char *)out + (size_t)rank * bytes;
    if (most == 0 || most > MOST) most = MOST;
    for (size_t at = 0; at < bytes && end == WH_MPI_OK; at += most)
        end = gather_piece(in_place ? NULL : (const char *)in + at, (int)least(bytes - at, most),
                           (char *)out + at, bytes, wait);
    return end;
}

/* Unsigned numbers wrap around; the bits are those of the signed sum modulo 2^64. */
static wh_mpi_end sum_by_mpi(int64_t *words, int64_t n, const wh_mpi_wait *wait) {
    MPI_Request request;
    const int e = MPI_Iallreduce(MPI_IN_PLACE, words, (int)n, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD,
                                 &request);
    return finish_request(e, &request, wait);
}

typedef struct ring {
    int before, next;
    size_t most;
    const wh_mpi_wait *wait;
} ring;

/* Both ways piece by piece; a neighbour's pieces come in order. */
static int step(void *ud, const int64_t *out, int64_t n_out, int64_t *in, int64_t n_in) {
    const ring *r = ud;
    const int64_t most = (int64_t)(r->most / sizeof *out);
    for (int64_t at = 0; at < n_out || at < n_in; at += most) {
        MPI_Request to = MPI_REQUEST_NULL, from = MPI_REQUEST_NULL;
        const int64_t left_in = n_in - at, left_out = n_out - at;
        int e = MPI_SUCCESS;
        if (left_in > 0)
            e = MPI_Irecv(in + at, (int)(left_in < most ? left_in : most), MPI_UINT64_T, r->before,
                          0, MPI_COMM_WORLD, &from);
        if (e == MPI_SUCCESS && left_out > 0)
            e = MPI_Isend(out + at, (int)(left_out < most ? left_out : most), MPI_UINT64_T, r->next,
                          0, MPI_COMM_WORLD, &to);
        wh_mpi_end end = finish_request(e, &from, r->wait);
        if (end == WH_MPI_OK) end = finish_request(MPI_SUCCESS, &to, r->wait);
        if (end != WH_MPI_OK) return (int)end;
    }
    return WH_MPI_OK;
}

/* MPI's own sums that do not block send the whole vector up and down a tree. */
static wh_mpi_end sum_by_ring(int64_t *words, int64_t n, int rank, int size, size_t most,
                              const wh_mpi_wait *wait) {
    static int64_t *scratch; /* grows with the largest sum, and stays */
    static int64_t has;
    ring r = {(rank + size - 1) % size, (rank + 1) % size, most, wait};
    const int64_t needs = wh_ring_scratch(n, size);
    if (needs > has) {
        int64_t *larger = realloc(scratch, (size_t)needs * sizeof *larger);
        if (!larger) {
            (void)snprintf(wait->why, WH_MPI_WHY, "out of memory for a sum of %lld numbers",
                           (long long)n);
            return WH_MPI_FAILED;
        }
        scratch = larger, has = needs;
    }
    return (wh_mpi_end)wh_ring_sum(words, n, rank, size, scratch, step, &r);
}

static wh_mpi_end sum(int64_t *words, int64_t n, size_t most, const wh_mpi_wait *wait) {
    int rank, size;
    int e = MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (e == MPI_SUCCESS) e = MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (e != MPI_SUCCESS) return failed(e, wait->why);
    if (most == 0 || most > MOST) most = MOST;
    const size_t bytes = (size_t)n * sizeof *words;
    if (bytes <= TREE_BYTES && bytes <= most) return sum_by_mpi(words, n, wait);
    return sum_by_ring(words, n, rank, size, most, wait);
}

static void finish(void) {
    (void)MPI_Finalize();
}

__attribute__((visibility("default"))) const wh_mpi_table *weft_mpi_plugin(uint32_t *interface,
                                                                           const char **version);

const wh_mpi_table *weft_mpi_plugin(uint32_t *interface, const char **version) {
    static const wh_mpi_table TABLE = {library, start, share, allgather, sum, finish};
    *interface = WH_MPI_INTERFACE;
    *version = WEFT_VERSION;
    return &TABLE;
}
