#include "fiber.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef SIMT_ASAN
#    include <sanitizer/asan_interface.h>
#    include <sanitizer/common_interface_defs.h>
#endif
#ifdef SIMT_MSAN
#    include <sanitizer/msan_interface.h>
#endif
#ifdef SIMT_TSAN
#    include <sanitizer/tsan_interface.h>
extern "C" void AnnotateIgnoreWritesBegin(const char *file, int line);
extern "C" void AnnotateIgnoreWritesEnd(const char *file, int line);
/* The fibers' threads never end; shared memory of a block is forgotten faster by writing. */
extern "C" const char *__tsan_default_options(void) {
    return "report_thread_leaks=0:clear_shadow_mmap_threshold=4194304";
}
#endif

namespace simt {

static const size_t STACK_BYTES = 256 << 10;
static const size_t PAGE = 4096;

/* ---- memory ---- */

unseen::unseen() {
#ifdef SIMT_TSAN
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__); /* ignores reads as well */
#endif
}
unseen::~unseen() {
#ifdef SIMT_TSAN
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
#endif
}

void *fresh_alloc(size_t align, size_t bytes, unsigned char byte) {
    const unseen from_here;
    void *p = nullptr;
    if (posix_memalign(&p, align, bytes)) {
        (void)fprintf(stderr, "simt: no memory\n");
        abort();
    }
    memset(p, byte, bytes);
#ifdef SIMT_MSAN
    __msan_poison(p, bytes);
#endif
    return p;
}

void fresh_free(void *p) {
    const unseen from_here;
    free(p);
}

/* The page below is a guard. */
static void take_stack(fiber *f) {
    if (f->stack) return;
    void *m = mmap(nullptr, PAGE + STACK_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED || mprotect(m, PAGE, PROT_NONE)) {
        perror("simt: stack");
        abort();
    }
    f->stack = static_cast<char *>(m) + PAGE;
}

/* ---- switching ---- */

#ifndef SIMT_UCONTEXT
/* Saves what the System V ABI lets a callee keep, and continues where `to` was saved. */
extern "C" void simt_switch(void **save, void *to);
asm(R"(
.text
.globl simt_switch
.type simt_switch, @function
simt_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size simt_switch, .-simt_switch
)");
static const int SAVED = 6;
#endif

void fiber_host(fiber *host) {
#ifdef SIMT_TSAN
    host->tsan_fiber = __tsan_get_current_fiber();
#endif
    (void)host;
}

void fiber_start(fiber *f, void (*entry)()) {
    take_stack(f);
    f->stack_bytes = STACK_BYTES;
#ifdef SIMT_ASAN
    __asan_unpoison_memory_region(f->stack, STACK_BYTES); /* the last thread's frames never left */
#endif
#ifdef SIMT_TSAN
    if (!f->tsan_fiber) f->tsan_fiber = __tsan_create_fiber(0);
#endif
#ifdef SIMT_UCONTEXT
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK_BYTES;
    f->context.uc_link = nullptr;
    makecontext(&f->context, entry, 0);
#else
    /* entry must see a stack pointer of 8 modulo 16, as after a call, and a return address. */
    void **top = reinterpret_cast<void **>(f->stack + STACK_BYTES) - 3;
    *top = nullptr;
    *--top = reinterpret_cast<void *>(entry);
    for (int i = 0; i < SAVED; i++) *--top = nullptr;
    f->stack_pointer = top;
#endif
}

void fiber_entered(fiber *from) {
#ifdef SIMT_ASAN
    const void *stack = nullptr;
    __sanitizer_finish_switch_fiber(nullptr, &stack, &from->stack_bytes);
    from->stack = static_cast<char *>(const_cast<void *>(stack));
#endif
    (void)from;
}

void fiber_switch(fiber *from, fiber *to, bool last) {
#ifdef SIMT_ASAN
    __sanitizer_start_switch_fiber(last ? nullptr : &from->asan_stack, to->stack, to->stack_bytes);
#endif
#ifdef SIMT_TSAN
    __tsan_switch_to_fiber(to->tsan_fiber, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef SIMT_UCONTEXT
    swapcontext(&from->context, &to->context);
#else
    simt_switch(&from->stack_pointer, to->stack_pointer);
#endif
#ifdef SIMT_ASAN
    __sanitizer_finish_switch_fiber(from->asan_stack, nullptr, nullptr);
#endif
    (void)last;
}

void publish(void *tag) {
#ifdef SIMT_TSAN
    __tsan_release(tag);
#endif
    (void)tag;
}

void observe(void *tag) {
#ifdef SIMT_TSAN
    __tsan_acquire(tag);
#endif
    (void)tag;
}

} // namespace simt
