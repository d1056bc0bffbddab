/* Where plugins lie, and what is in them. */
#ifndef WEFT_HOST_PLUGIN_FILE_H
#define WEFT_HOST_PLUGIN_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* The path of the plugin if there is such a file in `folder`; NULL: in the program's own folder, or
 * in ../lib/weft from there. */
bool wh_plugin_file(const char *name, const char *folder, char *path, size_t bytes);

/* `function` points at a pointer to a function. */
bool wh_plugin_symbol(void *library, const char *name, void *function);

#endif
