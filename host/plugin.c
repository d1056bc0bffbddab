#define _GNU_SOURCE /* readlink */

#include "host/plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLUGIN "libweft_cuda.so"

/* ---- driver ---- */

/* The few functions of the CUDA driver API that are asked; none of its headers is needed. They
 * return 0, or one of CUDA's numbers. */
typedef struct driver_api {
    int (*init)(unsigned flags);
    int (*version)(int *version);
    int (*count)(int *count);
    int (*name)(char *name, int bytes, int device);
    int (*error_name)(int error, const char **name);
} driver_api;

enum { NO_DEVICE = 100, STUB_LIBRARY = 34 };

static bool take_symbol(void *library, const char *name, void *function) {
    void *at = dlsym(library, name);
    memcpy(function, &at, sizeof at);
    return at != NULL;
}

static bool take_driver(void *library, driver_api *api) {
    return take_symbol(library, "cuInit", &api->init) &&
           take_symbol(library, "cuDriverGetVersion", &api->version) &&
           take_symbol(library, "cuDeviceGetCount", &api->count) &&
           take_symbol(library, "cuDeviceGetName", &api->name) &&
           take_symbol(library, "cuGetErrorName", &api->error_name);
}

typedef struct devices {
    int driver; /* the CUDA version that the driver supports, 13000 for 13.0 */
    int count;
    char first[96];
} devices;

static void no_device(wh_plugin *out) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (visible)
        (void)snprintf(out->note, sizeof out->note,
                       "no device visible (CUDA_VISIBLE_DEVICES=%.80s)", visible);
    else
        (void)snprintf(out->note, sizeof out->note, "no device visible");
}

/* Fills *found, or the reason. */
static bool ask_driver(wh_plugin *out, const char *name, devices *found) {
    driver_api api;
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *why = dlerror();
        /* The loader names the file that it misses, which may be one that the driver needs. */
        const bool absent = !why || strncmp(why, name, strlen(name)) == 0;
        (void)snprintf(out->note, sizeof out->note, "no NVIDIA driver (%.200s%s)",
                       absent ? name : why, absent ? " not found" : "");
        return false;
    }
    if (!take_driver(library, &api)) {
        (void)snprintf(out->note, sizeof out->note, "%s is not an NVIDIA driver", name);
        return false;
    }
    int e = api.init(0);
    if (e == 0) e = api.version(&found->driver);
    if (e == 0) e = api.count(&found->count);
    if (e == NO_DEVICE || (e == 0 && found->count == 0)) {
        no_device(out);
        return false;
    }
    if (e == 0) e = api.name(found->first, (int)sizeof found->first, 0);
    if (e == 0) return true;
    const char *text = NULL;
    if (e == STUB_LIBRARY)
        text = "it is the toolkit's stub; take its folder out of LD_LIBRARY_PATH";
    else if (api.error_name(e, &text) != 0 || !text)
        text = "unknown";
    (void)snprintf(out->note, sizeof out->note, "the NVIDIA driver fails: error %d (%s)", e, text);
    return false;
}

/* ---- plugin ---- */

/* As kernels/cuda/plugin.c declares it. */
typedef const struct wk_backend *(*plugin_function)(uint32_t *interface, int *runtime,
                                                    const char **version);

/* The program's own folder; false when the system does not tell. */
static bool own_folder(char *to, size_t bytes) {
    const ssize_t n = readlink("/proc/self/exe", to, bytes - 1);
    if (n <= 0) return false;
    to[n] = 0;
    char *slash = strrchr(to, '/');
    if (slash) *slash = 0;
    return slash != NULL;
}

/* The plugin's path if there is such a file in the folder. */
static bool is_there(const char *folder, char *path, size_t bytes) {
    const int n = snprintf(path, bytes, "%s/" PLUGIN, folder);
    return n > 0 && (size_t)n < bytes && access(path, R_OK) == 0;
}

static bool find_plugin(const char *folder, char *path, size_t bytes) {
    char own[3500], beside[3600];
    if (folder) return is_there(folder, path, bytes);
    if (!own_folder(own, sizeof own)) return false;
    (void)snprintf(beside, sizeof beside, "%s/../lib/weft", own);
    return is_there(own, path, bytes) || is_there(beside, path, bytes);
}

static const struct wk_backend *load(wh_plugin *out, const char *path, const devices *found) {
    plugin_function function = NULL;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *why = dlerror();
        (void)snprintf(out->note, sizeof out->note,
                       "CUDA libraries missing: %.160s; install them or name their folder in "
                       "LD_LIBRARY_PATH",
                       why ? why : "unknown");
        return NULL;
    }
    if (!take_symbol(library, "weft_plugin", &function)) {
        (void)snprintf(out->note, sizeof out->note, "%.200s is not a plugin of Weft", path);
        return NULL;
    }
    uint32_t interface = 0;
    int runtime = 0;
    const char *version = "";
    const struct wk_backend *backend = function(&interface, &runtime, &version);
    if (interface != weft_backend_interface() || strcmp(version, WEFT_VERSION) != 0) {
        (void)snprintf(out->note, sizeof out->note,
                       PLUGIN " is of another build: Weft %.20s, interface %u; this program is %s, "
                              "interface %u; install both from one build",
                       version, (unsigned)interface, WEFT_VERSION,
                       (unsigned)weft_backend_interface());
        return NULL;
    }
    /* A runtime works with every driver of its major version on. */
    if (found->driver / 1000 < runtime / 1000) {
        (void)snprintf(out->note, sizeof out->note,
                       "the NVIDIA driver supports CUDA %d.%d, the plugin needs %d.0: update the "
                       "driver or build Weft with a toolkit of CUDA %d",
                       found->driver / 1000, found->driver % 1000 / 10, runtime / 1000,
                       found->driver / 1000);
        return NULL;
    }
    (void)snprintf(out->note, sizeof out->note,
                   "%s, %d %s, driver for CUDA %d.%d, plugin for CUDA %d.%d", found->first,
                   found->count, found->count == 1 ? "device" : "devices", found->driver / 1000,
                   found->driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    return backend;
}

void wh_plugin_open(wh_plugin *out, const char *folder, const char *driver) {
    char path[4096];
    devices found = {0};
    memset(out, 0, sizeof *out);
    if (!ask_driver(out, driver ? driver : "libcuda.so.1", &found)) return;
    out->devices = found.count;
    if (find_plugin(folder, path, sizeof path))
        out->backend = load(out, path, &found);
    else
        (void)snprintf(out->note, sizeof out->note,
                       "the CUDA plugin was not built (" PLUGIN " is not beside the program)");
}
