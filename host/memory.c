#include "host/memory.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef __GLIBC__
#    include <malloc.h>
#endif

static int64_t peak;

/* Pages: size resident shared …; shared are those of files. */
int64_t wh_memory_anonymous(void) {
    char text[128], *end;
    const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    const ssize_t n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (n <= 0) return 0;
    text[n] = '\0';
    (void)strtoll(text, &end, 10);
    const int64_t resident = strtoll(end, &end, 10), shared = strtoll(end, &end, 10);
    return (resident - shared) * (int64_t)sysconf(_SC_PAGESIZE);
}

void wh_memory_note(void) {
    const int64_t now = wh_memory_anonymous();
    if (now > peak) peak = now;
}

int64_t wh_memory_peak(void) {
    return peak;
}

int64_t wh_memory_peak_resident(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (int64_t)usage.ru_maxrss * 1024 : 0;
}

void wh_memory_setup(void) {
#ifdef __GLIBC__
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
#endif
}
