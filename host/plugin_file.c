#define _GNU_SOURCE /* readlink */

#include "host/plugin_file.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool wh_plugin_symbol(void *library, const char *name, void *function) {
    void *at = dlsym(library, name);
    memcpy(function, &at, sizeof at);
    return at != NULL;
}

/* The program's own folder; false when the system does not tell. */
static bool own_folder(char *to, size_t bytes) {
    const ssize_t n = readlink("/proc/self/exe", to, bytes - 1);
    if (n <= 0) return false;
    to[n] = 0;
    char *slash = strrchr(to, '/');
    if (slash) *slash = 0;
    return slash != NULL;
}

static bool is_there(const char *name, const char *folder, char *path, size_t bytes) {
    const int n = snprintf(path, bytes, "%s/%s", folder, name);
    return n > 0 && (size_t)n < bytes && access(path, R_OK) == 0;
}

bool wh_plugin_file(const char *name, const char *folder, char *path, size_t bytes) {
    char own[3500], beside[3600];
    if (folder) return is_there(name, folder, path, bytes);
    if (!own_folder(own, sizeof own)) return false;
    (void)snprintf(beside, sizeof beside, "%s/../lib/weft", own);
    return is_there(name, own, path, bytes) || is_there(name, beside, path, bytes);
}
