/* What libweft_mpi.so offers the program. Neither side calls anything else of the other, and the
 * program knows nothing of MPI: it starts where there is none. */
#ifndef WEFT_HOST_MPI_TABLE_H
#define WEFT_HOST_MPI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WH_MPI_INTERFACE 1u /* of this file */

typedef enum wh_mpi_end {
    WH_MPI_OK,
    WH_MPI_OVER,   /* given up: `is_over` said so. No call but these may follow, nor `finish` */
    WH_MPI_FAILED, /* MPI says why */
} wh_mpi_end;

/* Looks at the world while a call waits. */
typedef struct wh_mpi_wait {
    bool (*is_over)(void *ud); /* asked now and then; true: give up */
    void *ud;
    char *why; /* (WH_MPI_WHY) filled on WH_MPI_FAILED */
} wh_mpi_wait;

#define WH_MPI_WHY 256

/* All but `library` are for one thread, the one that starts MPI. */
typedef struct wh_mpi_table {
    /* "Open MPI 4.1.4": what the loader found; before `start` too. */
    void (*library)(char *out, size_t n);
    /* Blocks until all ranks have called it. */
    wh_mpi_end (*start)(int32_t *rank, int32_t *size, char *why);
    /* data (bytes) of rank 0 → that of all. */
    wh_mpi_end (*share)(void *data, size_t bytes, const wh_mpi_wait *wait);
    /* As weft_comm has them. No message is longer than `most` bytes, a multiple of 8; 0: as long as
     * MPI can. */
    wh_mpi_end (*allgather)(const void *in, size_t bytes, void *out, size_t most,
                            const wh_mpi_wait *wait);
    wh_mpi_end (*sum)(int64_t *words, int64_t n, size_t most, const wh_mpi_wait *wait);
    /* Blocks until all ranks have called it. Not after a failure: the process ends without. */
    void (*finish)(void);
} wh_mpi_table;

/* The one function that it exports, as weft_mpi_plugin. *interface: WH_MPI_INTERFACE of its build;
 * *version: Weft's. */
typedef const wh_mpi_table *(*wh_mpi_plugin_function)(uint32_t *interface, const char **version);

#endif
