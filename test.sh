#!/usr/bin/env bash
# Installs what is missing, builds Weft and runs every test that needs no GPU. Idempotent.
#
#   ./test.sh           release build with gcc, then the same tests under ASan and UBSan, then builds with
#                       clang and with nothing but a C compiler
#   ./test.sh --quick   the release build and its tests only
#   ./test.sh --live    also real PyTorch, transformers and peft in a virtual environment, beside Weft on a
#                       real model (downloads about 1 GB the first time)
set -euo pipefail
cd "$(dirname "$0")"
quick=no live=no
for arg in "$@"; do
    case $arg in
    --quick) quick=yes ;;
    --live) live=yes ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "test.sh: unknown argument '$arg'; known are --quick and --live" >&2; exit 2 ;;
    esac
done
jobs=$(nproc)
start=$SECONDS
say() { printf '\n== %s (%d s)\n' "$*" $((SECONDS - start)); }

say 'packages'
third_party/install.sh build test

build() { # $1: preset
    cmake --preset "$1" >"build-$1.log" 2>&1 && cmake --build --preset "$1" -j "$jobs" >>"build-$1.log" 2>&1 ||
        { tail -n 60 "build-$1.log"; echo "test.sh: the $1 build failed; the log is build-$1.log" >&2; exit 1; }
}

# Tests that compute with two threads are counted twice (PROCESSORS), so that a machine is never loaded beyond its
# cores; the others use one, or mostly wait.
export OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive
tests() { # $1: preset, $2: further labels to leave out
    ctest --preset "$1" --label-exclude "live|gpu${2-}" -j "$jobs"
}
if command -v nvcc >/dev/null; then
    # The toolkit may come without NCCL, whose header and library the build and its tests need.
    toolkit=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")
    header=$(ls "$toolkit"/include/nccl.h "$toolkit"/targets/*/include/nccl.h /usr/include/nccl.h 2>/dev/null || true)
    [ -n "$header" ] || third_party/fetch/nccl.sh ||
        echo 'test.sh: no NCCL: sums between GPUs are neither built nor tested'
    say 'release: build, with the CUDA code for sm_80 and sm_90a'
else
    say 'release: build (there is no nvcc: the CUDA code is compiled for the emulator of tests/simt only)'
fi
build release
say 'release: tests'
tests release

if [ "$quick" = no ]; then
    say 'ASan and UBSan: build'
    build asan
    say 'ASan and UBSan: tests'
    tests asan '|lint|slurm'
    if command -v clang >/dev/null; then
        say 'clang: build'
        build clang
        say 'clang: tests of kernels and engine'
        tests clang '|simt|lint|e2e|slurm'
    fi
    say 'races (TSan) and memory errors (valgrind), the short forms'
    tests/sanitize.sh --short
    say 'minimal: build with the C library alone'
    build minimal
fi

if [ "$live" = yes ]; then
    say 'live: reference environment and model'
    tests/live/make_venv.sh .venv-live
    third_party/fetch/minilm.sh
    third_party/fetch/wn10.sh
    say 'live: tests'
    ctest --preset release --label-regex live
fi
say 'all tests passed'
