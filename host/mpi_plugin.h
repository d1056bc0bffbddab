/* The MPI plugin: libweft_mpi.so, which is opened only in processes that mpirun or a PMI launcher
 * started, so that the program starts where there is no MPI. */
#ifndef WEFT_HOST_MPI_PLUGIN_H
#define WEFT_HOST_MPI_PLUGIN_H

#include "host/mpi/table.h"

typedef struct wh_mpi_plugin {
    const wh_mpi_table *table; /* NULL: not to be had */
    char note[320];            /* then the reason, one line; else the library, "Open MPI 4.1.4" */
} wh_mpi_plugin;

/* Does not start MPI. What it opens stays open. `folder` holds the plugin; NULL: as wh_plugin_file.
 */
void wh_mpi_plugin_open(wh_mpi_plugin *out, const char *folder);

#endif
