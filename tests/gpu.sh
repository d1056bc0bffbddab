#!/usr/bin/env bash
# Everything that only a machine with a GPU can show, in one run of bounded time. Needs nvcc, a C and C++
# compiler and CMake >= 3.25; PyTorch, transformers and peft for the comparison with them, compute-sanitizer
# for the memory checks; no network and nothing else. Without a GPU it builds, skips the rest and ends with 77.
#
#   tests/gpu.sh [--minutes N] [--no-build] [--only PART[,PART…]]
#
#   --minutes N   what does not fit in N minutes (9) is cut short or skipped, and said so
#   --no-build    use what an earlier run built in build-gpu-bare/
#   --only PART   build, tests, sanitizer, rounds, ceilings, peft, kernels, placement, swap, compile (in this order)
#
# Leaves in ${OUT:-gpu-results}: summary.txt (the table that it prints last), log.txt and build.log (all
# output), result.json (all measurements; bench/results/README.md). The exit code is the number of parts that
# failed, 77 when there is no GPU and the build is good.
set -u -o pipefail
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
minutes=9 build=yes only=
while (($#)); do
    case $1 in
    --minutes) minutes=${2:?} && shift ;;
    --only) only=,${2:?}, && shift ;;
    --no-build) build=no ;;
    -h | --help) sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "tests/gpu.sh: unknown argument '$1'; see --help" >&2; exit 2 ;;
    esac
    shift
done
out=${OUT:-gpu-results} dir=build-gpu-bare
mkdir -p "$out" "$dir/gpu" || exit 1
work=$(cd "$dir/gpu" && pwd)
export dir work
log=$out/log.txt
: >"$log"
SECONDS=0
deadline=$((minutes * 60 - 8)) # the rest is for the table
[ -d /usr/local/cuda/bin ] && PATH=$PATH:/usr/local/cuda/bin
experiments=e1-8x128,e1-16xragged,e8-pack steps=12

# ---- parts under a limit of time ----

# A whole run starts afresh; --only keeps what other parts measured.
[ -z "$only" ] && rm -f "$work"/*
names=() states=() times=() notes=()
record() { names+=("$1") states+=("$2") times+=("$3") notes+=("${4-}"); }
wanted() { [ -z "$only" ] || [[ $only == *",$1,"* ]]; }

declare -A pid began limit_of
# launch NAME MINIMUM LIMIT COMMAND…: starts it, unless less than MINIMUM seconds are left.
launch() {
    local name=$1 minimum=$2 limit=$3 left=$((deadline - SECONDS))
    shift 3
    wanted "$name" || return 1
    if ((left < minimum)); then
        record "$name" skipped 0 "wants $minimum s, $left s are left"
        return 1
    fi
    ((limit > left)) && limit=$left
    began[$name]=$SECONDS limit_of[$name]=$limit
    timeout -k 5 "$limit" "$@" >"$work/$name.txt" 2>&1 &
    pid[$name]=$!
}
# settle NAME: waits for it and records how it ended; returns its exit code.
settle() {
    local name=$1 rc=0 text=$work/$1.txt
    wait "${pid[$name]}" || rc=$?
    unset "pid[$name]"
    { printf '\n==== %s (exit code %d)\n' "$name" "$rc"; cat "$text"; } >>"$log"
    local took=$((SECONDS - began[$name])) last
    last=$(grep -v '^[[:space:]]*$' "$text" | tail -n 1 | cut -c 1-110)
    case $rc in
    0) record "$name" passed "$took" ;;
    77) record "$name" skipped "$took" "${last#skipped: }" ;;
    124 | 137) record "$name" FAILED "$took" "stopped after its limit of ${limit_of[$name]} s" ;;
    *) record "$name" FAILED "$took" "exit code $rc: $last" ;;
    esac
    return "$rc"
}
run() { launch "$@" && settle "$1"; }

# ---- the build ----

programs="gpu_ops gpu_gemm gpu_device gpu_nccl gpu_models gpu_packing gpu_pager gpu_ranks cuda_philox cuda_noise gpu_ceilings bench_ops_cuda
          bench_round_cuda weft_cuda"

# NCCL of the toolkit, or of PyTorch's packages.
nccl() {
    python3 - <<'PY' 2>/dev/null
import glob, os, sys
for site in sys.path:
    for header in sorted(glob.glob(os.path.join(site, "nvidia", "*", "include", "nccl.h"))):
        print("-DNCCL_ROOT=" + os.path.dirname(os.path.dirname(header)))
        sys.exit()
PY
}

# The code of this card alone, which takes a third of the time; without a card, of all.
architectures() {
    local cap
    cap=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d '. ')
    case $cap in
    90) echo '-DWEFT_CUDA_ARCHS=90a-real' ;;
    8[0-9]) echo '-DWEFT_CUDA_ARCHS=80-real' ;;
    esac
}

# A toolkit may come without cuBLAS, cuRAND's headers or NVTX; PyTorch's packages bring them.
libraries() {
    local root
    root=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")
    [ -e "$root/include/cublasLt.h" ] || [ -e "$root/targets/x86_64-linux/include/cublasLt.h" ] && return
    python3 - <<'PY' 2>/dev/null
import glob, os, sys
for site in sys.path:
    for header in sorted(glob.glob(os.path.join(site, "nvidia", "*", "include", "cublasLt.h"))):
        home = os.path.dirname(os.path.dirname(header))
        found = sorted(glob.glob(os.path.join(home, "lib", "libcublasLt.so*")))
        if found:
            print(f"-DCUDA_cublasLt_LIBRARY={found[0]}")
            print(f"-DCMAKE_C_FLAGS=-isystem {home}/include")
            print(f"-DCMAKE_CXX_FLAGS=-isystem {home}/include")
            print(f"-DCMAKE_CUDA_FLAGS=-isystem {home}/include")
            sys.exit()
PY
}

compile() {
    local flags
    command -v nvcc || { echo 'nvcc is not on PATH, nor in /usr/local/cuda/bin'; return 1; }
    cmake --version || { echo 'CMake is not on PATH'; return 1; }
    mapfile -t flags < <(architectures; libraries; nccl)
    # shellcheck disable=SC2086
    cmake --preset gpu-bare "${flags[@]}" && cmake --build "$dir" -j "$(nproc)" --target $programs -- -k
}

if [ "$build" = yes ] && wanted build; then
    export -f compile architectures libraries nccl
    export programs
    launch build 30 $((minutes * 60 * 3 / 5)) bash -c compile && settle build
    cp "$work/build.txt" "$out/build.log"
fi

# cuBLAS from PyTorch's packages lies where the loader does not look.
blas=$(sed -n 's|^CUDA_cublasLt_LIBRARY:[A-Z]*=\(.*/nvidia/.*\)/[^/]*$|\1|p' "$dir/CMakeCache.txt" 2>/dev/null)
[ -n "$blas" ] && export LD_LIBRARY_PATH=$blas${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

# ---- the device ----

card='no GPU' gpu=no
if [ -x "$dir/bench/gpu_ceilings" ]; then
    probe=$("$dir/bench/gpu_ceilings" --probe 2>&1) && gpu=yes card=$probe
    printf '\n==== device\n%s\n' "$probe" >>"$log"
elif nvidia-smi -L >/dev/null 2>&1; then
    gpu=yes card=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1)
fi
{ nvidia-smi; nvcc --version; } >>"$log" 2>&1
# True when the part is asked for and has a GPU to run on.
on_gpu() {
    wanted "$1" || return 1
    [ $gpu = yes ] && return 0
    record "$1" skipped 0 'no CUDA device'
    return 1
}

# ---- correctness: the tests, and beside them the same cases under compute-sanitizer ----

races='layernorm_bwd attn_fwd attn_bwd seg_linear_fwd seg_linear_dw adamw_step grad_norm'
sanitize() { # TOOL, then nothing for all cases, or ops
    local tool=$1 rc=0 op
    shift
    (($#)) || set -- ''
    for op in "$@"; do
        # shellcheck disable=SC2086
        compute-sanitizer --tool "$tool" --error-exitcode 9 "$dir/tests/cuda/gpu_ops" $op 2>&1 || rc=$?
        [ "$rc" = 0 ] || break
    done | tee "$work/$tool-raw.txt"
    grep -qi 'device not supported' "$work/$tool-raw.txt" &&
        { echo 'skipped: compute-sanitizer does not support this device'; return 77; }
    ! grep -q 'ERROR SUMMARY: [1-9]' "$work/$tool-raw.txt" &&
        ! grep -q 'RACECHECK SUMMARY: [1-9]' "$work/$tool-raw.txt" &&
        [ "$(grep -c 'all checks held' "$work/$tool-raw.txt")" = $# ]
}
export -f sanitize

checking=()
if on_gpu sanitizer; then
    if command -v compute-sanitizer >/dev/null; then
        only_was=$only only=
        launch memcheck 20 150 bash -c 'sanitize memcheck' && checking+=(memcheck)
        launch racecheck 20 150 bash -c "sanitize racecheck $races" && checking+=(racecheck)
        only=$only_was
    else
        record sanitizer skipped 0 'no compute-sanitizer'
    fi
fi
if wanted tests && [ -f "$dir/CTestTestfile.cmake" ]; then
    run tests 20 240 ctest --test-dir "$dir" -L gpu --no-tests=error --output-on-failure --timeout 220
    grep -q ' Passed ' "$work/tests.txt" || [ "${states[-1]}" != passed ] ||
        { states[-1]=skipped && notes[-1]='every test skipped itself'; }
fi
for name in ${checking[@]+"${checking[@]}"}; do settle "$name"; done

# ---- speed ----

merge() { # all measurements so far as one JSON
    local commit part
    commit=$(git rev-parse --short HEAD 2>/dev/null)
    printf '{"card": "%s", "date": "%s", "commit": "%s", "driver": "%s", "nvcc": "%s", "cores": %d' "$card" \
        "$(date -u +%F)" "${commit:-unknown}" \
        "$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)" \
        "$(nvcc --version 2>/dev/null | sed -n 's/.*release [0-9.]*, V//p')" "$(nproc)"
    for part in ceilings kernels rounds placement swap peft; do
        [ -s "$work/$part.json" ] && printf ',\n"%s": %s' "$part" "$(cat "$work/$part.json")"
    done
    printf '}\n'
}
measured() { # PART
    [ -s "$work/$1.new" ] && mv "$work/$1.new" "$work/$1.json"
    merge >"$out/result.json"
}
# bench_round writes its jobs one by one: those that it finished count even when it was stopped.
rounds() { # PART LIMIT ARGUMENT…
    local name=$1 limit=$2 rc=0
    shift 2
    rm -f "$work/$name.new"
    run "$name" 20 "$limit" "$dir/bench/bench_round_cuda" --device cuda --steps $steps \
        --json "$work/$name.new" "$@" || rc=$?
    [ $rc = 0 ] || [ ! -s "$work/$name.new" ] || echo ']' >>"$work/$name.new"
    measured "$name"
}

on_gpu rounds && rounds rounds 90 --quick --only $experiments
if on_gpu ceilings; then
    run ceilings 20 75 "$dir/bench/gpu_ceilings" --json "$work/ceilings.new" && measured ceilings
fi
# Slow machines may not finish all modes; what is done is kept.
rival() { # NAME MINIMUM LIMIT MODES JOB…
    local name=$1 minimum=$2 limit=$3 modes=$4
    shift 4
    export PYTHONUNBUFFERED=1
    run "$name" "$minimum" "$limit" python3 bench/peft/bench_peft.py --device cuda --modes "$modes" \
        --steps $steps --json "$work/peft.json" --keep --compare "$work/rounds.json" "$@"
    local rc=$?
    merge >"$out/result.json"
    return $rc
}
on_gpu peft && rival peft 30 150 eager,graph,graph-lean e1-8x128:64 e8-pack:1 e1-16xragged:64
if on_gpu kernels; then
    run kernels 15 60 "$dir/bench/bench_ops_cuda" --json "$work/kernels.new" && measured kernels
fi
on_gpu placement && rounds placement 60 --quick --placement --only e1-8x128
on_gpu swap && rounds swap 60 --only e7
on_gpu compile && rival compile 60 240 compile-graph,compile-graph-lean,compile e1-8x128:64 e8-pack:1

# ---- the table ----

# Of bench_round's lines: thousands of tokens a second of EXPERIMENT with CLIENTS.
rate() { awk -v e="$2" -v c="$3" '$1 == e && $2 == c {print $6; exit}' "$work/$1.txt" 2>/dev/null; }
goal() { # LABEL VALUE GOAL UNIT
    [ -n "$2" ] || { printf '  %-44s not measured; goal >= %s %s\n' "$1" "$3" "$4"; return; }
    awk -v l="$1" -v v="$2" -v g="$3" -v u="$4" \
        'BEGIN {printf "  %-44s %.2f %s; goal >= %s: %s\n", l, v, u, g, v >= g ? "reached" : "NOT reached"}'
}
table() {
    local i failed=0 pairs
    printf 'Weft on %s, %d cores, %s, %d s\n' "$card" "$(nproc)" "$(date -u +%F)" "$SECONDS"
    for i in "${!names[@]}"; do
        printf '  %-11s %-8s %4d s  %s\n' "${names[i]}" "${states[i]}" "${times[i]}" "${notes[i]}"
    done
    [ -f "$work/tests.txt" ] && wanted tests &&
        sed -n 's|^ *[0-9]*/[0-9]* Test *#[0-9]*: \(cuda/[a-z_]*\) [.]*\**\(.*\)|    \1: \2|p' "$work/tests.txt" |
        tr -s ' ' ' ' | sed 's/^/   /'
    [ $gpu = yes ] || return
    grep -h '^ceiling:' "$work/ceilings.txt" 2>/dev/null | sed 's/^ceiling:/ /'
    [ -f "$work/rounds.txt" ] && awk '/^experiment/ && !n++ {print "  " $0} $1 ~ /^e[0-9]+-/ {print "  " $0}' \
        "$work/rounds.txt"
    [ -f "$work/swap.txt" ] && grep -E '^e7-|optimizer state:' "$work/swap.txt" | sed 's/^/  /'
    [ -f "$work/placement.txt" ] &&
        awk '$1 ~ /^e[0-9]+-/ {print "  " $0 "  (placement)"}' "$work/placement.txt"
    pairs=$(cat "$work/peft.txt" "$work/compile.txt" 2>/dev/null | awk '/best mode/ {keep = ""; on = 1}
        on {keep = keep "  " $0 "\n"} END {printf "%s", keep}')
    [ -n "$pairs" ] && printf '%s\n' "$pairs"
    echo '  goals (the rate is for an H200):'
    goal 'E1, 64 clients of 8x128, times PEFT' \
        "$(awk '$1 == "e1-8x128" && $2 == 64 {print $6; exit}' <<<"$pairs")" 10 x
    goal 'E1, 64 clients of 8x128' "$(rate rounds e1-8x128 64)" 1250 'thousand tokens/s'
}
merge >"$out/result.json"
table | tee "$out/summary.txt"
failed=0
for state in ${states[@]+"${states[@]}"}; do [ "$state" = FAILED ] && failed=$((failed + 1)); done
[ $failed = 0 ] && [ $gpu = no ] && exit 77
exit $failed
