/* The emulator's half of kernels/cuda/port.h, with launches that wait their turn in a stream of the
 * stand-in runtime (stream.h) and do not run at once. */
#ifndef FAKE_SIMT_HOST_H
#define FAKE_SIMT_HOST_H

#include "tests/simt/simt_host.h"

#include "tests/cuda/fake/stream.h"

namespace fake {
/* The emulator's own launch, kept before the name is taken. */
template <class K, class... A>
void run_kernel(dim3 grid, dim3 block, size_t smem, K kernel, A... a) {
    WK_LAUNCH(kernel, grid, block, smem, nullptr, a...);
}
template <class... P, class... A>
void launch(void *stream, dim3 grid, dim3 block, size_t smem, void (*kernel)(P...), A &&...a) {
    std::tuple<P...> args(std::forward<A>(a)...);
    enqueue(stream, [=] {
        std::apply([&](auto... p) { run_kernel(grid, block, smem, kernel, p...); }, args);
    });
}
} // namespace fake

#undef WK_LAUNCH
#define WK_LAUNCH(kernel, grid, block, smem, stream, ...)                                          \
    fake::launch(stream, grid, block, smem, kernel, __VA_ARGS__)

#endif
