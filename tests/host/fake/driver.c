/* A stand-in for libcuda.so.1 with the functions that host/plugin.c asks; FAKE_CU_INIT,
 * FAKE_CU_VERSION and FAKE_CU_COUNT in the environment say what it answers. */
#include <stdio.h>
#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))

static int from_environment(const char *name, int otherwise) {
    const char *value = getenv(name);
    return value ? (int)strtol(value, NULL, 10) : otherwise;
}

EXPORT int cuInit(unsigned flags);
EXPORT int cuDriverGetVersion(int *version);
EXPORT int cuDeviceGetCount(int *count);
EXPORT int cuDeviceGetName(char *name, int bytes, int device);
EXPORT int cuGetErrorName(int error, const char **name);

int cuInit(unsigned flags) {
    (void)flags;
    return from_environment("FAKE_CU_INIT", 0);
}

int cuDriverGetVersion(int *version) {
    *version = from_environment("FAKE_CU_VERSION", 13000);
    return 0;
}

int cuDeviceGetCount(int *count) {
    *count = from_environment("FAKE_CU_COUNT", 1);
    return 0;
}

int cuDeviceGetName(char *name, int bytes, int device) {
    (void)snprintf(name, (size_t)bytes, "Fake GPU %d", device);
    return 0;
}

int cuGetErrorName(int error, const char **name) {
    *name = "CUDA_ERROR_SYSTEM_NOT_READY";
    return error == 802 ? 0 : 1;
}
