#!/usr/bin/env bash
# Fashion-MNIST as its four IDX files (Debian package dataset-fashion-mnist; MIT): 60,000 + 10,000 of 28x28.
# Usage: third_party/fetch/fashion_mnist.sh [DIR]        (default data/fashion-mnist; 31 MB)
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
dir=${1:-data/fashion-mnist}

pins="cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa  t10k-images-idx3-ubyte.gz
8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05  t10k-labels-idx1-ubyte.gz
b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7  train-images-idx3-ubyte.gz
0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056  train-labels-idx1-ubyte.gz"
complete() { (cd "$1" 2>/dev/null && sha256sum --check --status <<<"$pins"); }

if complete "$dir"; then
    say "Fashion-MNIST: already in $dir"
    exit 0
fi
refuse_foreign "$dir" "is not the complete Fashion-MNIST set"
open_stage "$dir"
say "Fashion-MNIST: fetching Debian package dataset-fashion-mnist (31 MB) ..."
unpack_deb dataset-fashion-mnist "$stage/fashion"
mv "$stage/fashion/usr/share/datasets/fashion-mnist/"*.gz "$stage/out/"
cp "$stage/fashion/usr/share/doc/dataset-fashion-mnist/copyright" "$stage/out/LICENCE"
complete "$stage/out" || die "dataset-fashion-mnist: files differ from the pinned ones"
publish "$dir"
say "Fashion-MNIST: in $dir"
