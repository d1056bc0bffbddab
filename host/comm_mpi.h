/* The exchanges of ranks (weft_comm) by MPI, through its plugin, and what MPI knows that mpirun's
 * variables do not tell: where rank 0 is. As over TCP, a rank that dies ends an exchange with the
 * watch's verdict. */
#ifndef WEFT_HOST_COMM_MPI_H
#define WEFT_HOST_COMM_MPI_H

#include "host/mpi_plugin.h"
#include "host/rank_watch.h"

typedef struct wh_mpi wh_mpi;

/* Starts MPI. *out is NULL when it is not to be had or not the launcher's, and `why` (n) says so.
 * A process whose other ranks do not start MPI within `timeout` seconds ends there and then, with
 * a line and the exit code of WEFT_E_COMM: MPI offers no way back. */
WEFT_NODISCARD weft_status wh_mpi_open(wh_mpi **out, const wh_mpi_plugin *plugin,
                                       const wh_launch *launch, double timeout, char *why, size_t n,
                                       weft_error *err);
/* Rank 0 listens and tells the others where: fills launch->host and port, and of *watch the
 * listener, which is the watch's, and addresses. */
WEFT_NODISCARD weft_status wh_mpi_meet(wh_mpi *mpi, wh_launch *launch, wh_watch_options *watch,
                                       weft_error *err);
/* The watch must stay open. */
const weft_comm *wh_mpi_comm(wh_mpi *mpi, wh_watch *watch, const wh_launch *launch);
/* `well`: all ranks close, so that MPI can come to its end; otherwise it is left as it is. Fine on
 * NULL. */
void wh_mpi_close(wh_mpi *mpi, bool well);

#endif
