#!/bin/sh
# What the kernels take of a multiprocessor, as ptxas reports it: registers of a thread, static shared memory of
# a block, stack and spilled bytes of a thread.
#
#   resources.sh           prints the table
#   resources.sh --write   writes RESOURCES.md
#   resources.sh --check   compares with RESOURCES.md, so that a change of a kernel that costs registers is seen;
#                          fails at a spill, which RESOURCES.md may not hold. 77: no nvcc, or another than recorded
#
# Two compilations at a time. NVCC names another nvcc.
set -eu
cd "$(dirname "$0")/../.."
table=kernels/cuda/RESOURCES.md
nvcc=${NVCC:-nvcc}
if ! command -v "$nvcc" >/dev/null; then
    echo 'skipped: there is no nvcc'
    exit 77
fi
version=$("$nvcc" --version | sed -n 's/.*, V\([0-9.]*\)$/\1/p')
recorded=$(sed -n 's/.*nvcc \([0-9.]*[0-9]\).*/\1/p' "$table" 2>/dev/null | head -n 1)
if [ "${1:-}" = --check ] && [ "$version" != "$recorded" ]; then
    echo "skipped: $table was written with nvcc $recorded, this is $version"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export nvcc work
for arch in 80 90a; do
    for source in kernels/cuda/*.cu; do echo "$arch $source"; done
done | xargs -P 2 -L 1 sh -c '"$nvcc" -std=c++17 -O3 -DNDEBUG -I. -arch="sm_$0" -cubin -Xptxas -v "$1" \
    -o "$work/$(basename "$1").$0.cubin" >"$work/$(basename "$1" .cu).$0.log" 2>&1 || { cat "$work/$(basename "$1" .cu).$0.log"; exit 255; }'

# One line for each kernel and architecture: file, name, architecture, registers, shared, stack, spilled.
for log in "$work"/*.log; do
    file=$(basename "$log" .log)
    awk -v file="${file%.*}" -v q="'" '
        function number(word) { for (i = 2; i <= NF; i++) if ($i ~ "^" word) return $(i - 1); return 0 }
        /Compiling entry function/ { split($0, part, q); name = part[2]; arch = part[4]; spilled = stack = 0 }
        /bytes stack frame/ && name { stack = $1; spilled = $5 + $9 }
        /Used [0-9]+ registers/ && name {
            shared = 0
            for (i = 3; i <= NF; i++) if ($i ~ /^smem/) shared = $(i - 2)
            print file, name, arch, $5, shared, stack, spilled
            name = ""
        }' "$log"
done >"$work/lines"
[ -s "$work/lines" ] || { echo 'ptxas reported no kernel'; exit 1; }

# Readable names: template arguments without the parameters of the function.
cut -d ' ' -f 2 "$work/lines" | c++filt | sed 's/^void //; s/([A-Za-z_:]*)\([0-9]\)/\1/g; s/(.*$//; s/__nv_bfloat16/bf16/g; s/__half/f16/g' >"$work/names"
{
    cat <<END
# What the kernels take

Written by \`resources.sh --write\` with nvcc $version; \`resources.sh --check\` is a test. Registers of a thread,
bytes of static shared memory of a block, bytes of stack of a thread; no kernel spills. Dynamic shared memory is in
the launchers. The first three numbers are for sm_80, the others for sm_90a.
END
    paste -d '\t' "$work/names" "$work/lines" | LC_ALL=C sort | awk -F '\t' '
        { split($2, f, " "); key = f[1] "\t" $1; if (!(key in seen)) { seen[key] = 1; order[++n] = key }
          value[key, f[3]] = f[4] " | " f[5] " | " f[6] }
        END {
            for (i = 1; i <= n; i++) { split(order[i], k, "\t"); files[k[1]] = 1 }
            for (i = 1; i <= n; i++) {
                split(order[i], k, "\t")
                print k[1] "\t" k[2] "\t| `" k[2] "` | " value[order[i], "sm_80"] " | " value[order[i], "sm_90a"] " |"
            }
        }' | LC_ALL=C sort | awk -F '\t' '
        $1 != file { file = $1
            printf "\n## %s.cu\n\n| kernel | registers | shared | stack | registers | shared | stack |\n", file
            print "| --- | ---: | ---: | ---: | ---: | ---: | ---: |" }
        { print $3 }'
} >"$work/table"

spills=$(paste -d ' ' "$work/lines" "$work/names" | awk '$7 > 0')
if [ -n "$spills" ]; then
    echo "$spills" | awk '{ name = $8; for (i = 9; i <= NF; i++) name = name " " $i
                            printf "%s.cu: %s spills %d bytes on %s\n", $1, name, $7, $3 }'
    exit 1
fi
case ${1:-} in
--write) cp "$work/table" "$table" ;;
--check)
    diff -u "$table" "$work/table" || {
        echo 'a kernel takes other resources than recorded; if that is meant: kernels/cuda/resources.sh --write'
        exit 1
    }
    ;;
*) cat "$work/table" ;;
esac
