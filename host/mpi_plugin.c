#include "host/mpi_plugin.h"

#include "host/plugin_file.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define PLUGIN "libweft_mpi.so"

static const wh_mpi_table *load(wh_mpi_plugin *out, const char *path) {
    wh_mpi_plugin_function function = NULL;
    /* Global, since the parts that MPI opens itself look for the symbols of its library. */
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
        const char *why = dlerror();
        (void)snprintf(out->note, sizeof out->note,
                       "MPI libraries missing: %.160s; install them or name their folder in "
                       "LD_LIBRARY_PATH",
                       why ? why : "unknown");
        return NULL;
    }
    if (!wh_plugin_symbol(library, "weft_mpi_plugin", &function)) {
        (void)snprintf(out->note, sizeof out->note, "%.200s is not a plugin of Weft", path);
        return NULL;
    }
    uint32_t interface = 0;
    const char *version = "";
    const wh_mpi_table *table = function(&interface, &version);
    if (interface == WH_MPI_INTERFACE && strcmp(version, WEFT_VERSION) == 0) {
        table->library(out->note, sizeof out->note);
        return table;
    }
    (void)snprintf(out->note, sizeof out->note,
                   PLUGIN " is of another build: Weft %.20s, interface %u; this program is %s, "
                          "interface %u; install both from one build",
                   version, (unsigned)interface, WEFT_VERSION, WH_MPI_INTERFACE);
    return NULL;
}

void wh_mpi_plugin_open(wh_mpi_plugin *out, const char *folder) {
    char path[4096];
    *out = (wh_mpi_plugin){0};
    if (wh_plugin_file(PLUGIN, folder, path, sizeof path))
        out->table = load(out, path);
    else
        (void)snprintf(out->note, sizeof out->note,
                       "the MPI plugin was not built (" PLUGIN " is not beside the program)");
}
