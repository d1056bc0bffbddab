/* The CUDA plugin: libweft_cuda.so, which is looked for only once the driver says that there is a
 * device, so that the program starts at once where there is none and can always say why it computes
 * on the processor. */
#ifndef WEFT_HOST_PLUGIN_H
#define WEFT_HOST_PLUGIN_H

#include "engine/weft.h"

struct wk_backend;

typedef struct wh_plugin {
    const struct wk_backend *backend; /* NULL: not to be had */
    int devices;                      /* visible to this process */
    char note[320];                   /* then the reason, one line; else what there is */
} wh_plugin;

/* Looks for driver, devices and plugin, in this order. What it opens stays open. `folder` holds the
 * plugin; NULL: the program's own folder, then ../lib/weft from there. `driver` is the library to
 * ask for devices; NULL: libcuda.so.1. */
void wh_plugin_open(wh_plugin *out, const char *folder, const char *driver);

#endif
