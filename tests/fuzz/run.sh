#!/usr/bin/env bash
# Runs the fuzz targets, one after another on one core, and takes what they found into their corpora.
#
#   tests/fuzz/run.sh MINUTES [TARGET...]
#
# MINUTES of processor time for each target (yaml, table, …; default all). What reaches new code is minimised
# into tests/fuzz/corpus/<target>/; files there whose names are not a hash are seeds and old findings and stay.
# A finding (crash, leak, hang, too much memory) ends its target and stays in fuzz-out/<target>/; the exit code
# is the number of targets with findings. Needs clang with libFuzzer (libclang-rt-14-dev).
set -euo pipefail
{ # read as a whole before it runs: a run takes hours, and the file may change
cd "$(dirname "$0")/../.."
[ $# -ge 1 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2; }
minutes=$1
shift
here=tests/fuzz build=build-fuzz
# Inputs are small, so memory is: a parser that wants more than this takes it from a number in the file.
limits=(-timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=64 -max_len=20000 -detect_leaks=1)
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:allocator_may_return_null=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
TIMEFORMAT='%U %S'

if [ $# -eq 0 ]; then
    for source in "$here"/fuzz_*.c; do
        name=$(basename "$source" .c)
        set -- "$@" "${name#fuzz_}"
    done
fi
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz -j1 --target $(printf "fuzz_%s " "$@") >build-fuzz.log 2>&1 || { tail -n 40 build-fuzz.log; exit 2; }

# The smallest files that reach every edge. (Counting how often an edge is taken keeps ten times as many.)
minimise() { # target, folder of what was found
    local corpus=$here/corpus/$1 new=fuzz-out/$1/minimised file
    rm -rf "$new"
    mkdir -p "$new"
    "$build/tests/fuzz/fuzz_$1" -merge=1 -use_counters=0 "${limits[@]}" "$new" "$corpus" "$2" >"fuzz-out/$1/merge.log" 2>&1
    find "$corpus" -type f -regex '.*/[0-9a-f]*' -delete
    # Files are named by the SHA-1 of what they hold; seeds are there under their own names.
    for file in $(sha1sum "$corpus"/* | cut -d' ' -f1); do rm -f "$new/$file"; done
    for file in "$new"/*; do cp "$file" "$corpus/"; done
}

bad=0
for target in "$@"; do
    program=$build/tests/fuzz/fuzz_$target
    [ -x "$program" ] || { echo "run.sh: no target '$target'" >&2; exit 2; }
    mkdir -p "fuzz-out/$target/found" "$here/corpus/$target"
    dict=()
    [ ! -f "$here/dict/$target.dict" ] || dict=(-dict="$here/dict/$target.dict")
    used=0 runs=0 code=0
    while [ "$used" -lt $((minutes * 60)) ] && [ "$code" = 0 ]; do
        left=$((minutes * 60 - used))
        { time "$program" "${limits[@]}" "${dict[@]}" -max_total_time=$((left < 300 ? left + 1 : 300)) \
            -artifact_prefix="fuzz-out/$target/" "fuzz-out/$target/found" "$here/corpus/$target" \
            >"fuzz-out/$target/log" 2>&1; } 2>"fuzz-out/$target/time" || code=$?
        used=$((used + $(awk '{ printf "%d", $1 + $2 + 0.5 }' "fuzz-out/$target/time")))
        runs=$((runs + $(LC_ALL=C sed -n 's/^#\([0-9][0-9]*\).*/\1/p' "fuzz-out/$target/log" | tail -n 1)))
    done
    cover=$(grep -ao 'cov: [0-9]* ft: [0-9]*' "fuzz-out/$target/log" | tail -n 1)
    if [ "$code" = 0 ]; then
        minimise "$target" "fuzz-out/$target/found"
        printf '%-14s %5d s of CPU, %9d runs, %s, corpus %s files, %s KiB\n' "$target" "$used" "$runs" "$cover" \
            "$(find "$here/corpus/$target" -type f | wc -l)" "$(du -sk --apparent-size "$here/corpus/$target" | cut -f1)"
    else
        bad=$((bad + 1))
        printf '%-14s FOUND after %d s, %d runs: see fuzz-out/%s/log\n' "$target" "$used" "$runs" "$target"
        grep -aE 'ERROR|SUMMARY|runtime error|fuzz_[a-z_]*\.c:' "fuzz-out/$target/log" | head -n 5 | sed 's/^/    /'
    fi
done
exit "$bad"
}
