/* A fiber: a stack of its own that the OS thread can run on, and what the sanitizers must be told
 * of it. Knows nothing of CUDA. */
#ifndef SIMT_FIBER_H
#define SIMT_FIBER_H

#include <stddef.h>

#ifndef __has_feature
#    define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#    define SIMT_ASAN 1
#endif
#if __has_feature(memory_sanitizer)
#    define SIMT_MSAN 1
#endif
/* SIMT_TSAN is set by the build: the kernels are compiled with -fsanitize=thread, the emulator
 * itself must not be, or its own bookkeeping would be taken for the kernels'. */

#if !defined(__x86_64__) || defined(SIMT_UCONTEXT)
#    undef SIMT_UCONTEXT
#    define SIMT_UCONTEXT 1 /* portable; two system calls a switch, about 12 times slower */
#    include <ucontext.h>
#endif

namespace simt {

struct fiber {
    void *stack_pointer = nullptr;
    char *stack = nullptr;
    size_t stack_bytes = 0;
    void *asan_stack = nullptr;
    void *tsan_fiber = nullptr;
#ifdef SIMT_UCONTEXT
    ucontext_t context;
#endif
};

/* The fiber that the program itself runs on. */
void fiber_host(fiber *host);
/* Makes f run entry() at the next switch to it; entry may not return. Stack and TSan's thread are
 * kept from f's earlier lives. */
void fiber_start(fiber *f, void (*entry)());
/* What entry() does first; `from` is the fiber that it was entered from. */
void fiber_entered(fiber *from);
/* Runs `to` until it switches back. `last`: `from` is never entered again. */
void fiber_switch(fiber *from, fiber *to, bool last);

/* A fiber that lives again is one thread to TSan, which then finds no race between its lives.
 * Blocks take turns with so many sets of fibers, so that these many in a row are unordered; new
 * fibers for every block would be best, but cost 0.3 ms each. */
#ifdef SIMT_TSAN
const unsigned FIBER_SETS = 4;
#else
const unsigned FIBER_SETS = 1;
#endif

/* What was done before publish(tag) happens before what is done after observe(tag), for TSan. */
void publish(void *tag);
void observe(void *tag);

/* While one exists, TSan sees none of the running fiber's accesses, and memory allocated or
 * released has no past: for the emulator's own calls of the C and C++ libraries. */
struct unseen {
    unseen();
    ~unseen();
    unseen(const unseen &) = delete;
    unseen &operator=(const unseen &) = delete;
};

/* Memory filled with `byte`, unseen, so that threads that have not met yet may use it, and
 * uninitialised for MSan. */
void *fresh_alloc(size_t align, size_t bytes, unsigned char byte);
void fresh_free(void *p);

} // namespace simt
#endif
