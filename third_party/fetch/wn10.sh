#!/usr/bin/env bash
# wn10, the default text classification set: ten topics of WordNet 3.0 noun glosses (Debian package wordnet-base).
# Usage: third_party/fetch/wn10.sh [--rows N] [DIR]        (default data/wn10; 3 MB)
# --rows N also writes DIR/train-N.jsonl, the first N rows of train.jsonl. Rows stand in hash order, so that any
# prefix is a fixed random sample.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
rows=
if [ "${1:-}" = --rows ]; then
    [[ "${2:-}" =~ ^[1-9][0-9]*$ ]] || die "--rows wants a number, got '${2:-}'"
    rows=$2
    shift 2
fi
dir=${1:-data/wn10}

# WordNet 3.0 is static: the input and the built files are pinned.
noun=fea17d2f9656611334eac790e5d69e47645fa180c4aa481fb4cd9b3520754ca2
train=440be7b4f3d4191d4a13435fa9dca59ed5145beb6296b784a5ae574a4750ffe3
test=46010557c725c93a1a9ced832d9ef08d462ad2676b44b16d1d91d4b927dd2d35

if sha_is "$dir/train.jsonl" $train && sha_is "$dir/test.jsonl" $test; then
    say "wn10: already in $dir"
else
    refuse_foreign "$dir" "is not the complete wn10 set"
    need_python python
    open_stage "$dir"
    say "wn10: building from Debian package wordnet-base (6 MB) ..."
    unpack_deb wordnet-base "$stage/wordnet"
    check_sha "$stage/wordnet/usr/share/wordnet/data.noun" $noun
    python3 "$fetch_home/build_wn10.py" "$stage/wordnet/usr/share/wordnet/data.noun" "$stage/out"
    check_sha "$stage/out/train.jsonl" $train
    check_sha "$stage/out/test.jsonl" $test
    cp "$stage/wordnet/usr/share/doc/wordnet-base/copyright" "$stage/out/LICENCE"
    publish "$dir"
    say "wn10: in $dir"
fi
if [ -n "$rows" ]; then
    small=$dir/train-$rows.jsonl
    head -n "$rows" "$dir/train.jsonl" >"$small.tmp"
    [ "$(wc -l <"$small.tmp")" = "$rows" ] || { rm -f "$small.tmp"; die "wn10 has fewer than $rows training rows"; }
    mv "$small.tmp" "$small"
    say "wn10: $small ($rows rows)"
fi
