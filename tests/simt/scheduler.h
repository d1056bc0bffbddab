/* Inside the emulator: the running threads, as its two halves see them (scheduler.cpp runs them,
 * memory.cpp gives them shared memory). */
#ifndef SIMT_SCHEDULER_H
#define SIMT_SCHEDULER_H

#include "control.h"
#include "fiber.h"
#include "simt_host.h"

#include <vector>

namespace simt {

struct async_copy {
    void *dst;
    const void *src; /* NULL: zeros */
    int group;
};

enum progress { READY, AT_BARRIER, AT_WARP_OP, EXITED };

struct thread : fiber {
    place at;
    progress state = EXITED;
    int op = 0; /* last barrier or warp_op, for the report */
    unsigned mask = 0;
    std::vector<async_copy> copies; /* not yet performed */
    int group = 0;
};

extern thread *self;

/* Aborts with where the kernel is and what its threads wait for. */
[[noreturn]] void die(const char *what);

/* Before a launch, before and after each of its blocks. */
void shared_check(const void *kernel, size_t dynamic);
void shared_open(size_t dynamic);
void shared_close();

} // namespace simt
#endif
