/* Shared memory of the running block, and asynchronous copies into it. */
#include "scheduler.h"

#include <stdio.h>
#include <stdlib.h>

#include <string>

#ifdef SIMT_MSAN
#    include <sanitizer/msan_interface.h>
#endif
#ifdef SIMT_TSAN
extern "C" void __tsan_read16(void *p);
extern "C" void __tsan_write16(void *p);
#endif

namespace simt {

/* ---- what a block may have ---- */

static const size_t UNASKED = 48 << 10; /* static plus dynamic, without WK_ALLOW_SHARED */
static size_t limit = 227 << 10;
struct allowance {
    const void *kernel;
    size_t bytes;
};
/* Never destroyed, like all of the emulator's state. */
static std::vector<allowance> &allowances = *new std::vector<allowance>;
static size_t static_most; /* of the running block's static variables */
static size_t static_now;

static allowance *allowance_of(const void *kernel) {
    for (allowance &a : allowances)
        if (a.kernel == kernel) return &a;
    return nullptr;
}

void allow_shared(const char *name, const void *kernel, size_t bytes) {
    if (bytes > limit) {
        (void)fprintf(stderr, "simt: WK_ALLOW_SHARED(%s, %zu), but a block may have %zu bytes\n",
                      name, bytes, limit);
        abort();
    }
    if (allowance *a = allowance_of(kernel))
        a->bytes = bytes;
    else
        allowances.push_back({kernel, bytes});
}

void shared_check(const void *kernel, size_t dynamic) {
    const allowance *a = allowance_of(kernel);
    if (!a) {
        if (dynamic > UNASKED) die("more than 48 KiB of shared memory without WK_ALLOW_SHARED");
        static_most = UNASKED - dynamic;
    } else {
        if (dynamic > a->bytes) die("more shared memory than WK_ALLOW_SHARED asked for");
        static_most = limit - dynamic < UNASKED ? limit - dynamic : UNASKED;
    }
}

/* ---- variables ---- */

/* An allocation of exactly its size, so that ASan sees its end. */
struct variable {
    const void *tag; /* NULL: the dynamic part */
    char *p;
    size_t bytes;
};
static std::vector<variable> &variables = *new std::vector<variable>;
void *dynamic_shared;

static void *add(const void *tag, size_t bytes) {
    char *p = static_cast<char *>(fresh_alloc(128, bytes, simt_fresh_byte()));
    variables.push_back({tag, p, bytes});
    return p;
}

void *static_shared(const void *tag, size_t bytes) {
    for (const variable &v : variables)
        if (v.tag == tag) return v.p;
    const unseen from_here;
    static_now += bytes;
    if (static_now > static_most) die("too much static shared memory");
    return add(tag, bytes);
}

void shared_open(size_t dynamic) {
    static_now = 0;
    dynamic_shared = dynamic ? add(nullptr, dynamic) : nullptr;
}

void shared_close() {
    for (const variable &v : variables) fresh_free(v.p);
    variables.clear();
    dynamic_shared = nullptr;
}

/* ---- addresses that hardware would fault on or misread ---- */

void want_shared16(const char *what, const void *p) {
    const char *at = static_cast<const char *>(p);
    if (reinterpret_cast<uintptr_t>(p) % 16) die((std::string(what) + ": misaligned").c_str());
    for (const variable &v : variables)
        if (at >= v.p && at + 16 <= v.p + v.bytes) return;
    die((std::string(what) + ": not in shared memory").c_str());
}

void async_copy16(void *dst, const void *src) {
    want_shared16("cp.async", dst);
    if (reinterpret_cast<uintptr_t>(src) % 16) die("cp.async: misaligned source");
    const unseen from_here;
    self->copies.push_back({dst, src, self->group});
}

void async_commit() {
    self->group++;
}

void async_wait(int groups_left) {
    const int until = self->group - groups_left;
    size_t kept = 0;
    for (const async_copy &c : self->copies) {
        if (c.group >= until) {
            self->copies[kept++] = c;
            continue;
        }
#ifdef SIMT_TSAN
        if (c.src) __tsan_read16(const_cast<void *>(c.src));
        __tsan_write16(c.dst);
#endif
        if (c.src)
            memcpy(c.dst, c.src, 16);
        else
            memset(c.dst, 0, 16);
    }
    self->copies.resize(kept);
}

} // namespace simt

extern "C" void simt_shared_limit(size_t bytes) {
    simt::limit = bytes;
}

extern "C" void simt_forget(void *p, size_t bytes) {
    const simt::unseen from_here;
    memset(p, simt_fresh_byte(), bytes);
#ifdef SIMT_MSAN
    __msan_poison(p, bytes);
#endif
}
