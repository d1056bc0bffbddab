#!/bin/bash
# Makes the Python environment of the live tests: torch (CPU), transformers, peft and the numeric references,
# pinned in requirements.txt. Needs python3 >= 3.11 with venv, a C compiler and readelf. Run again, it does
# nothing when the environment is complete.
#
#   tests/live/make_venv.sh [FOLDER]        default .venv-live;  PYTHON=... chooses the interpreter
#
# PyPI's torch for x86-64 Linux is the CUDA build and lists several GB of CUDA libraries. Nothing here computes
# on a GPU, so only the wheel itself is installed, with the CUDA runtime (2.5 MB: it is called while torch is
# being loaded). Every other CUDA library that the loader asks for gets a stand-in of a few KB, put where torch's
# rpath looks first, whose functions only report failure. This environment therefore cannot use a GPU.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
venv=${1:-.venv-live}
wanted=$here/requirements.txt
stamp=$venv/weft-requirements.txt

say() { printf 'make_venv: %s\n' "$*" >&2; }

check() {
    "$venv/bin/python" - <<'PY'
import torch, transformers, peft, sklearn, scipy, numpy, safetensors, tokenizers
x = torch.ones(3, 3, requires_grad=True)
(x @ x).sum().backward()
assert not torch.cuda.is_available()
print(f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}, "
      f"numpy {numpy.__version__}, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}")
PY
}

if cmp -s "$wanted" "$stamp"; then
    say "$venv is complete: $(check)"
    exit 0
fi

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    say "$python is older than 3.11: name a newer one in PYTHON"
    exit 1
}
for tool in cc readelf; do
    command -v "$tool" >/dev/null || { say "needs $tool (install gcc and binutils)"; exit 1; }
done

say "creating $venv with $("$python" --version)"
"$python" -m venv "$venv"
say "installing the pinned packages (about 0.8 GB of downloads, most of it torch)"
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir --no-deps -r "$wanted"

# The stand-ins: the names, symbol versions and functions that torch was linked against, read from torch itself.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
cuda=$site/nvidia/cu13/lib
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$cuda"
LC_ALL=C readelf -dVW "$site"/torch/lib/*.so | awk '
    /\(NEEDED\)/ { gsub(/.*\[|\].*/, ""); print; next }
    / File: /    { for (i = 1; i < NF; i++) if ($i == "File:") file = $(i + 1) }
    / Name: /    { for (i = 1; i < NF; i++) if ($i == "Name:") print file, $(i + 1) }' |
    grep -E '^lib(cu|nccl|nv)' | grep -v '^libcuda\.so' | sort -u >"$work/needs"
LC_ALL=C readelf --dyn-syms -W "$site"/torch/lib/*.so |
    awk '$7 == "UND" { if (split($8, part, "@") < 2) part[2] = "none"; print part[2], part[1] }' |
    sort -u >"$work/functions"
stubs=0
for soname in $(cut -d' ' -f1 "$work/needs" | sort -u); do
    [ -e "$cuda/$soname" ] && continue
    : >"$work/stub.c"
    : >"$work/stub.map"
    for version in $(awk -v lib="$soname" '$1 == lib && NF == 2 { print $2 }' "$work/needs"); do
        names=$(awk -v v="$version" '$1 == v { print $2 ";" }' "$work/functions")
        printf '%s { %s };\n' "$version" "$names" >>"$work/stub.map"
        sed 's/\(.*\);/int \1(void) { return 999; }/' <<<"$names" >>"$work/stub.c"
    done
    if [ ! -s "$work/stub.map" ]; then # not versioned: its functions begin with the library's name
        prefix=$(sed 's/^lib//; s/[._].*//' <<<"$soname")
        names=$(awk '$1 == "none" { print $2 ";" }' "$work/functions" | grep -i "^$prefix" || true)
        sed 's/\(.*\);/int \1(void) { return 999; }/' <<<"$names" >>"$work/stub.c"
        echo "{ global: *; };" >"$work/stub.map"
    fi
    cc -w -shared -nostdlib -fno-builtin "$work/stub.c" -o "$cuda/$soname" \
        "-Wl,-soname,$soname,--version-script,$work/stub.map"
    stubs=$((stubs + 1))
done
say "made $stubs stand-ins for CUDA libraries"

versions=$(check)
cp "$wanted" "$stamp"
say "ready: $versions"
