#!/usr/bin/env bash
# Text classification with natural clients, from the package index of the machine's Debian release:
#   debdesc10   ten topical sections (net science games ...), about 6,000 descriptions of 76 words, imbalanced;
#               clients are maintainers: 75 with at least ten texts
#   deblang10   ten language sections, about 18,000 of 56 words; most maintainers know one class (strong skew)
# Usage: third_party/fetch/debian_texts.sh debdesc10|deblang10 [--unseen-clients] [DIR]      (default data/SET)
# --unseen-clients splits train from test by maintainer instead of by source package.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
set=${1:-}
case $set in
debdesc10 | deblang10) shift ;;
*) die "usage: debian_texts.sh debdesc10|deblang10 [--unseen-clients] [DIR]" ;;
esac
split=source
if [ "${1:-}" = --unseen-clients ]; then
    split=maintainer
    shift
fi
dir=${1:-data/$set}

if [ -f "$dir/SOURCE" ] && [ -s "$dir/train.jsonl" ] && [ -s "$dir/test.jsonl" ]; then
    say "$set: already in $dir ($(cat "$dir/SOURCE")); remove the folder to build it anew"
    exit 0
fi
refuse_foreign "$dir" "is not a complete $set set"
need_python python
open_stage "$dir"
say "$set: fetching the package index with English descriptions (16 MB) ..."
private_index
python3 "$fetch_home/build_debian.py" "$set" $split "$lists" "$stage/out"
release=$(. /etc/os-release && printf '%s %s' "${NAME:-unknown}" "${VERSION_ID:-}")
printf '%s split by %s, package index of %s\n' "$set" "$split" "$release" >"$stage/out/SOURCE"
publish "$dir"
say "$set: in $dir"
