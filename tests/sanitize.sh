#!/usr/bin/env bash
# Races and memory errors: ThreadSanitizer over the loops of kernels/cpu and the threads of the host, valgrind's
# memcheck over the program that ships (its AVX2 path, for valgrind 3.19 knows no AVX-512).
#
#   tests/sanitize.sh [--short] [tsan] [valgrind]     both by default; --short is what test.sh runs
#
# TSan: preset `tsan` is clang with LLVM's OpenMP, whose tool Archer tells TSan what the runtime synchronises, so
# that a report means a race; oneDNN is left out, which is not instrumented. tests/sanitize/race.c proves that a
# race is reported and right loops are not. valgrind takes the release build.
set -euo pipefail
cd "$(dirname "$0")/.."
short=no what=()
for arg in "$@"; do
    case $arg in
    --short) short=yes ;;
    tsan | valgrind) what+=("$arg") ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done
[ "${#what[@]}" -gt 0 ] || what=(tsan valgrind)
jobs=${JOBS:-$(nproc)}
export OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

build() { # preset, targets…: all when none
    local preset=$1
    shift
    cmake --preset "$preset" >"build-$preset.log" 2>&1 &&
        cmake --build --preset "$preset" -j "$jobs" ${1+--target "$@"} >>"build-$preset.log" 2>&1 ||
        { tail -n 40 "build-$preset.log"; echo "sanitize.sh: the $preset build failed" >&2; exit 1; }
}

# A short federated run with two threads: baselines, kept optimizer state on disk, a checkpoint.
train() { # command line of a checker, then the program
    (cd "$scratch" && rm -rf runs && "$@" train job.yaml run.name=x run.threads=2 fl.num_rounds=2 eval.baselines=true \
        client.optimizer_state=keep engine.state_pool_mib=0 engine.slots=2 checkpoint.save_every=1 --quiet) >/dev/null
}
cat >"$scratch/job.yaml" <<END
model: {path: $PWD/tests/golden/hf_bert}
data: {train: rows.csv, test: rows.csv}
fl: {num_clients: 6, clients_per_round: 4}
client: {batch_size: 8}
END
awk 'BEGIN { print "text,label"; for (i = 0; i < 60; i++) print "the good word " i % 7 " is not a place,c" i % 3 }' \
    >"$scratch/rows.csv"

tsan() {
    local tests='^sanitize/'
    if [ "$short" = yes ]; then
        build tsan race kernels_ops_cpu kernels_cpu_bits kernels_ops_cpu_attn weft
        tests="$tests|^kernels/kernels_(ops_cpu|cpu_bits|ops_cpu_attn)$"
    else
        build tsan
        tests="$tests|^kernels/|^engine/|^host/|^api/"
    fi
    ctest --preset tsan -R "$tests"
    TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1 train "$PWD/build-tsan/weft"
    echo 'TSan: no race in the kernels and in a training run'
}

valgrind_() {
    command -v valgrind >/dev/null || { echo 'sanitize.sh: valgrind is not installed' >&2; exit 1; }
    [ -x build-release/weft ] || build release
    local check=(valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite) test
    train "${check[@]}" "$PWD/build-release/weft" || { echo 'valgrind: the training run failed' >&2; exit 1; }
    grep -q 'instruction set v3' "$scratch/runs/x/log.txt" || { echo 'valgrind: not the AVX2 path' >&2; exit 1; }
    if [ "$short" = no ]; then
        # Without oneDNN, whose generated code reads past the end of its own buffers.
        local tests=(kernels_ops_cpu kernels_ops_cpu_attn kernels_ops_cpu_optim kernels_cpu_gemm kernels_optimizers)
        cmake --preset release -B build-valgrind -DWEFT_ONEDNN=OFF -DWEFT_CUDA=OFF -DWEFT_SIMT=OFF >/dev/null
        cmake --build build-valgrind -j "$jobs" --target "${tests[@]}" >/dev/null
        for test in "${tests[@]}"; do
            "${check[@]}" "build-valgrind/tests/$test" >"$scratch/out" 2>&1 ||
                { grep -aA14 '^==[0-9]*== [A-Z]' "$scratch/out" | head -n 40; echo "valgrind: $test failed" >&2; exit 1; }
        done
    fi
    echo 'valgrind: no error and no definite leak in a training run and the kernels'
}

for tool in "${what[@]}"; do
    if [ "$tool" = tsan ]; then tsan; else valgrind_; fi
done
