/* A stand-in for libweft_cuda.so. Its backend is never opened. FAKE_PLUGIN_INTERFACE,
 * FAKE_PLUGIN_RUNTIME and FAKE_PLUGIN_VERSION in the environment say what it was built with. */
#include <stdint.h>
#include <stdlib.h>

#ifdef WITH_SYMBOL
struct wk_backend;
#    define EXPORT __attribute__((visibility("default")))
EXPORT const struct wk_backend *weft_plugin(uint32_t *interface, int *runtime,
                                            const char **version);
#    ifdef WITH_LIBRARY
int fake_library(void);
#    endif

static int from_environment(const char *name, int otherwise) {
    const char *value = getenv(name);
    return value ? (int)strtol(value, NULL, 10) : otherwise;
}

const struct wk_backend *weft_plugin(uint32_t *interface, int *runtime, const char **version) {
    static const int backend = 0;
    const char *as = getenv("FAKE_PLUGIN_VERSION");
    *interface = (uint32_t)from_environment("FAKE_PLUGIN_INTERFACE", WITH_INTERFACE);
    *runtime = from_environment("FAKE_PLUGIN_RUNTIME", 13000);
    *version = as ? as : WEFT_VERSION;
#    ifdef WITH_LIBRARY
    *runtime += fake_library();
#    endif
    return (const struct wk_backend *)(const void *)&backend;
}
#else
extern const int not_a_plugin;
const int not_a_plugin = 0;
#endif
