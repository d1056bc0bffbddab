#!/bin/sh
# Every header compiles alone; the public one as C17 and as C++17; what kernels share, under nvcc if there.
set -eu
cd "$1"
cc=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0
for h in $(find kernels engine host -name '*.h' ! -path 'kernels/cpu/vec*' ! -path kernels/cuda/port.h ! -path kernels/cuda/impl.h ! -path kernels/cuda/nccl_calls.h); do
    printf '#include "%s"\nint main(void) { return 0; }\n' "$h" >"$tmp/one.c"
    "$cc" -std=c17 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror -I. -fsyntax-only "$tmp/one.c" || bad=1
done
if command -v nvcc >/dev/null; then
    toolkit=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")/include
    printf '#include "kernels/cuda/impl.h"\nint main(void) { return 0; }\n' >"$tmp/one.c"
    "$cc" -std=c17 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror -I. -isystem "$toolkit" -fsyntax-only "$tmp/one.c" || bad=1
fi
for h in engine/weft.h kernels/cuda/cuda.h kernels/cuda/lru.h kernels/ops.h kernels/rng.h kernels/tensor.h; do
    printf '#include "%s"\nint main() { return 0; }\n' "$h" >"$tmp/one.cpp"
    cp "$tmp/one.cpp" "$tmp/one.cu"
    if command -v g++ >/dev/null; then g++ -std=c++17 -Wall -Wextra -Wno-missing-field-initializers -I. -fsyntax-only "$tmp/one.cpp" || bad=1; fi
    if command -v nvcc >/dev/null; then
        nvcc -std=c++17 -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90a,code=sm_90a \
            -Werror all-warnings -I. -c "$tmp/one.cu" -o "$tmp/one.o" || bad=1
    fi
done
exit $bad
