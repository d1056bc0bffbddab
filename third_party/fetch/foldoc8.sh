#!/usr/bin/env bash
# foldoc8: entries of the Free On-line Dictionary of Computing in eight categories (Debian package dict-foldoc,
# unpacked only; GFDL).
# Usage: third_party/fetch/foldoc8.sh [DIR]        (default data/foldoc8; 2 MB)
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
dir=${1:-data/foldoc8}
if [ -s "$dir/train.jsonl" ] && [ -s "$dir/test.jsonl" ] && [ -f "$dir/LICENCE" ]; then
    say "foldoc8: already in $dir; remove the folder to build it anew"
    exit 0
fi
refuse_foreign "$dir" "is not a complete foldoc8 set"
need_python python
open_stage "$dir"
say "foldoc8: building from Debian package dict-foldoc (2 MB) ..."
unpack_deb dict-foldoc "$stage/foldoc"
python3 "$fetch_home/build_foldoc8.py" "$stage/foldoc/usr/share/dictd/foldoc.dict.dz" \
    "$stage/foldoc/usr/share/dictd/foldoc.index" "$stage/out"
cp "$stage/foldoc/usr/share/doc/dict-foldoc/copyright" "$stage/out/LICENCE"
publish "$dir"
say "foldoc8: in $dir"
