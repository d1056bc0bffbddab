/* Grids and blocks: launching, a thread's place, shared memory, barriers, atomics. Every thread of
 * a block runs as a fiber on one OS thread; a barrier is a meeting of fibers. The scheduler is
 * scheduler.cpp. */
#ifndef SIMT_BLOCK_H
#define SIMT_BLOCK_H

#include "control.h"
#include "simt_types.h"

#include <tuple>
#include <type_traits>
#include <utility>

namespace simt {

/* What a running thread sees of itself. */
struct place {
    uint3 tid;
    unsigned lane, warp;
};
extern place *here;
extern uint3 block_idx;
extern dim3 grid_dim, block_dim;
extern void *dynamic_shared;

/* Blocks one after another: body(arg) as every thread. Aborts with a report when the launch would
 * fail on a GPU. `kernel` is the kernel's address, its identity for allow_shared. */
void launch_threads(const char *name, const void *kernel, dim3 grid, dim3 block, size_t smem,
                    void (*body)(void *), void *arg);
void allow_shared(const char *name, const void *kernel, size_t bytes);

/* The variable of this block that `tag` stands for. */
void *static_shared(const void *tag, size_t bytes);

enum barrier { SYNC, SYNC_COUNT, SYNC_OR, SYNC_AND };
/* All threads of the block meet in the same kind of barrier; returns how many gave true. */
int meet_block(barrier kind, bool predicate);

/* Structs may have holes, whose bytes mean nothing. */
template <class T> void trace_argument(const T &x) {
    if constexpr (std::is_scalar<T>::value) simt_trace_add(&x, sizeof x);
}

template <class... P, class... A>
void launch(const char *name, dim3 grid, dim3 block, size_t smem, void (*kernel)(P...),
            A &&...arguments) {
    struct call {
        void (*kernel)(P...);
        std::tuple<P...> arguments;
    } c{kernel, std::tuple<P...>(std::forward<A>(arguments)...)};
    std::apply([](const auto &...x) { (trace_argument(x), ...); }, c.arguments);
    launch_threads(
        name, reinterpret_cast<const void *>(kernel), grid, block, smem,
        [](void *arg) {
            call *c = static_cast<call *>(arg);
            std::apply(c->kernel, c->arguments);
        },
        &c);
}

} // namespace simt

#define threadIdx (simt::here->tid)
#define blockIdx  (simt::block_idx)
#define blockDim  (simt::block_dim)
#define gridDim   (simt::grid_dim)

#define WK_LAUNCH(kernel, grid, block, smem, stream, ...)                                          \
    ((void)(stream), simt::launch(#kernel, grid, block, smem, kernel, __VA_ARGS__))
#define WK_ALLOW_SHARED(kernel, bytes)                                                             \
    simt::allow_shared(#kernel, reinterpret_cast<const void *>(kernel), bytes)
#define WK_SHARED(T, name, dims)                                                                   \
    typedef T name##_type_ dims;                                                                   \
    static const char name##_tag_ = 0;                                                             \
    name##_type_ &name =                                                                           \
        *static_cast<name##_type_ *>(simt::static_shared(&name##_tag_, sizeof(name##_type_)))
#define WK_DYN_SHARED(T, name) T *name = static_cast<T *>(simt::dynamic_shared)

static inline void __syncthreads() {
    simt::meet_block(simt::SYNC, false);
}
static inline int __syncthreads_count(int p) {
    return simt::meet_block(simt::SYNC_COUNT, p != 0);
}
static inline int __syncthreads_or(int p) {
    return simt::meet_block(simt::SYNC_OR, p != 0) != 0;
}
static inline int __syncthreads_and(int p) {
    return simt::meet_block(simt::SYNC_AND, p == 0) == 0;
}
/* Memory is sequentially consistent here: a missing fence is not seen. */
static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __threadfence_system() {}

/* Real atomics, so that TSan knows them as such. None for floats: their sums depend on the order,
 * which ops may not. */
static inline int atomicAdd(int *p, int v) {
    return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
}
static inline unsigned atomicAdd(unsigned *p, unsigned v) {
    return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
}
template <class T> static inline T __ldg(const T *p) {
    return *p;
}

#endif
