/* A stand-in for a libweft_mpi.so of another build of Weft. */
#include "host/mpi/table.h"

#include <stdlib.h>

__attribute__((visibility("default"))) const wh_mpi_table *weft_mpi_plugin(uint32_t *interface,
                                                                           const char **version);

const wh_mpi_table *weft_mpi_plugin(uint32_t *interface, const char **version) {
    const char *other = getenv("FAKE_PLUGIN_VERSION");
    *interface = WH_MPI_INTERFACE + (other ? 0 : 1);
    *version = other ? other : WEFT_VERSION;
    return NULL;
}
