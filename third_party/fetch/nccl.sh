#!/usr/bin/env bash
# NVIDIA NCCL, header and library, for building sums between GPUs and for the tests that link with it. Only where
# the CUDA toolkit comes without: cmake looks there first and then here.
# Usage: third_party/fetch/nccl.sh [DIR]        (default third_party/nccl; 290 MB to fetch)
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
dir=${1:-$fetch_home/../nccl}
name=nvidia-nccl-cu13 version=2.32.3
sha256=1459723080ac889d73a26edfa3e04383a7928ab31ac8f0ec43b3ea9548b04ff3
pins="7d36e8a70b3c3a0a135f3ab7c8422d1a9b0180f09774bd604d58a39d73bdcb6b  include/nccl.h
651cf05af28976ca8d996f4e2750e69db1fa427667ee3405b9e576e9d2960eaf  lib/libnccl.so.2"

complete() { (cd "$1" 2>/dev/null && sha256sum --check --status <<<"$pins"); }

if complete "$dir"; then
    say "NCCL $version: already in $dir"
    exit 0
fi
refuse_foreign "$dir" "is not NCCL $version"
[ "$(uname -m)" = x86_64 ] || die "the wheel of NCCL is for x86_64; install NCCL and name its folder with -DNCCL_ROOT"
need_python pip
open_stage "$dir"
say "NCCL $version: fetching from PyPI (290 MB) ..."
unpack_wheel "$name" "$version" "$sha256" "$stage/wheel" || die "NCCL could not be fetched (see above)"
mkdir "$stage/out/lib"
mv "$stage/wheel/nvidia/nccl/include" "$stage/out/include"
mv "$stage/wheel/nvidia/nccl/lib/libnccl.so.2" "$stage/out/lib/"
find "$stage/wheel" -name 'License.txt' -exec mv {} "$stage/out/LICENSE" \;
printf 'NVIDIA NCCL, from the PyPI package %s %s\n' "$name" "$version" >"$stage/out/SOURCE"
(cd "$stage/out" && sha256sum --check --quiet <<<"$pins") || die "$name $version: files differ from the pinned ones"
publish "$dir"
say "NCCL $version: in $dir ($(du -sm "$dir" | cut -f1) MB)"
