#!/bin/sh
# Every deliberately wrong kernel of bugs.cu against what this build of it must and need not catch.
#   bugs.sh TOOL PROGRAM    TOOL: plain, asan, tsan or msan; PROGRAM: simt_bugs built with it
# Plain means a report of the emulator, a result that is not a number, or one that differs between the three
# orders of threads. What a tool catches beyond the table is a failure too: the table is what README.md says.
set -u
tool=$1 program=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

# Reports of the emulator stop the program in every build.
reports='copy_misaligned ldmatrix_global divergent early_return two_barriers half_shuffle two_shuffles
    shared_unasked shared_too_much shared_beyond_device shared_both_parts grid_y block_size'
case $tool in
plain) caught="$reports missing_sync missing_syncwarp overwritten copy_no_wait copy_no_sync two_stages
    absent_lane static_end unwritten unwritten_max" ;;
asan) caught="$reports static_end dynamic_end global_end misaligned" ;;
tsan) caught="$reports missing_sync missing_syncwarp shuffle_no_sync overwritten shared_sum two_stages
    copy_no_wait copy_no_sync" ;;
msan) caught="$reports missing_sync missing_syncwarp copy_no_wait copy_no_sync absent_lane static_end unwritten
    unwritten_max unwritten_global" ;;
*) echo "bugs.sh: unknown tool $tool" >&2; exit 2 ;;
esac

is_caught() { # $1: bug
    if [ "$tool" = plain ]; then
        for order in 0 1 2; do "$program" "$1" $order; done >"$work/out" 2>&1
        grep -qE 'nan|simt: ' "$work/out" && return 0
        [ "$(grep -c checksum "$work/out")" = 3 ] || { cat "$work/out"; echo "$1: did not run"; bad=1; return 1; }
        [ "$(sort -u "$work/out" | wc -l)" != 1 ]
    else
        "$program" "$1" >"$work/out" 2>&1
        grep -qE 'Sanitizer|runtime error|simt: ' "$work/out" && return 0
        grep -q checksum "$work/out" || { cat "$work/out"; echo "$1: did not run"; bad=1; }
        return 1
    fi
}

names=$("$program") || exit 1
for bug in $caught; do
    echo "$names" | grep -qx "$bug" || { echo "$bug: no such bug in bugs.cu"; bad=1; }
done
n=0
for bug in $names; do
    n=$((n + 1))
    case " $(echo $caught) " in *" $bug "*) want=caught ;; *) want=missed ;; esac
    if is_caught "$bug"; then got=caught; else got=missed; fi
    [ $got = $want ] && continue
    printf '%s under %s: %s, but the table says %s\n' "$bug" "$tool" $got $want
    sed -n '1,12p' "$work/out"
    bad=1
done
echo "$n kernels under $tool"
exit $bad
