#!/bin/sh
# Each bad input gives exactly one line that names the thing, the documented exit code, nothing on stdout, and
# leaves nothing half-written.
. "$(dirname "$0")/lib.sh"

# The rows of ./job.yaml are 60; everything below spoils one thing.
refused() { # exit code, pattern of the line, arguments
    want=$1 pattern=$2
    shift 2
    expect "$want" "$@"
    [ "$(grep -c '^weft: error: ' err)" = 1 ] || { fail "weft $*: not one line of error"; cat err; }
    tail -n 1 err | grep -q '^weft: error: ' || fail "weft $*: the error is not the last line"
    tail -n 1 err | grep -q -e "$pattern" || { fail "weft $*: no '$pattern' in:"; tail -n 1 err; }
    lacks err 'Sanitizer\|runtime error\|assert\|\.c:[0-9]'
    [ ! -s out ] || fail "weft $*: something on stdout"
    no_leftovers
}
bad() { # exit code, pattern, options: a training that must not even begin
    want=$1 pattern=$2
    shift 2
    refused "$want" "$pattern" train job.yaml run.name=bad --quiet "$@"
    [ ! -e runs/bad ] || { fail "a run folder was made with: $*"; rm -r runs/bad; }
}

# ---- words and options
refused 2 "did you mean 'train'" trian job.yaml
refused 2 'unknown command' frobnicate
refused 2 'no command' 
refused 2 'did you mean --quiet' train job.yaml --quite
refused 2 "has no flag" plan job.yaml --predictions x
refused 2 'needs a value' train job.yaml --format
refused 2 'text or json' train job.yaml --format xml
refused 2 'at most 1' train job.yaml other.yaml
refused 2 'nope.yaml' train nope.yaml
refused 2 'job.yaml: not a folder' eval job.yaml job.yaml --adapter nope
refused 3 'runs/none: No such file' eval runs/none
refused 2 'which adapter' eval job.yaml
bad 2 'did you mean client.learning_rate' client.lerning_rate=1
bad 2 'outside \[0, 1000\]' client.learning_rate=1e30
bad 2 'not a whole number' fl.num_rounds=two
bad 2 'not one of' fl.strategy=fedfoo
bad 2 'more than fl.num_clients=6' fl.clients_per_round=7
bad 2 'more than the 60 training rows' fl.num_clients=61
bad 2 'model.path' model.path=
bad 2 'data.train' data.train=
bad 2 'client_column' partition.kind=natural data.client_column=
bad 2 'plain name' run.name=a/b
bad 2 'matches no linear' lora.target_modules=q_proj
printf 'fl: {num_rounds: 1\n' >broken.yaml
refused 2 'broken.yaml:[0-9]' train broken.yaml
printf 'client:\n  batch_sise: 4\n' >typo.yaml
refused 2 'typo.yaml:2.*did you mean client.batch_size' train typo.yaml
printf 'client:\n  batch_size: 4\n  batch_size: 5\n' >twice.yaml
refused 2 'twice.yaml:3' train twice.yaml
refused 3 'vanished' compare vanished
expect 2 info --nope

bad 2 'partition.min_rows' partition.kind=dirichlet partition.alpha=0.001
bad 2 'more than the 3 classes' partition.kind=pathological partition.classes_per_client=4
bad 2 'more shards than there are rows' partition.kind=shards partition.shards_per_client=50
bad 2 'nothing to train' lora.r=0 lora.modules_to_save=

# ---- rows
row() { # file of the first 9 rows with one spoilt
    sed -n '1,9p' train.jsonl >"$1"
    printf '%s\n' "$2" >>"$1"
    sed -n '10,60p' train.jsonl >>"$1"
}
bad 3 'nope.jsonl' data.train=nope.jsonl
bad 3 'nope.jsonl' data.test=nope.jsonl
bad 3 'no column "words"; there are: text' data.text_column=words
bad 3 'no column "class"' data.label_column=class
bad 3 'no column "owner"' data.client_column=owner
row malformed.jsonl '{"text": "good", "label": '
bad 3 'malformed.jsonl:10' data.train=malformed.jsonl
row array.jsonl '["good", "c0"]'
bad 3 'array.jsonl:10' data.train=array.jsonl
row nolabel.jsonl '{"text": "good", "who": "u1"}'
bad 3 'nolabel.jsonl:10' data.train=nolabel.jsonl
row number.jsonl '{"text": 5, "label": "c0", "who": "u1"}'
bad 3 'number.jsonl:10' data.train=number.jsonl data.labels=c0,c1,c2
row unseen.jsonl '{"text": "good", "label": "c9", "who": "u1"}'
bad 3 'unseen.jsonl:10.*c9' data.test=unseen.jsonl
bad 3 'train.jsonl:3.*"c2" is none of the 2 classes' data.labels=c0,c1
bad 3 'not a number' data.task=regression
row infinite.jsonl '{"text": "good", "label": "c0", "score": 1e999, "who": "u1"}'
bad 3 'infinite.jsonl:10' data.train=infinite.jsonl data.task=regression data.label_column=score
awk '{ sub(/"label": "c[0-9]"/, "\"label\": " (NR == 10 ? 7 : (NR % 3))); print }' train.jsonl >gap.jsonl
bad 3 'gap.jsonl' data.train=gap.jsonl data.test= data.labels=0,1,2
awk '{ sub(/"label": "c[0-9]"/, "\"label\": " (NR == 10 ? -1 : (NR % 3))); print }' train.jsonl >negative.jsonl
bad 3 'negative.jsonl' data.train=negative.jsonl data.test= data.labels=0,1,2
: >empty.jsonl
bad 3 'empty.jsonl' data.train=empty.jsonl
bad 3 'empty.jsonl' data.test=empty.jsonl
printf 'text,label\n"open quote,c0\n' >quote.csv
bad 3 'quote.csv' data.train=quote.csv data.client_column=
printf 'text,label\nshort\n' >short.csv
bad 3 'short.csv:2' data.train=short.csv data.client_column=
cp train.jsonl rows.parquet
bad 2 'rows.parquet\|data.format' data.train=rows.parquet
# Malformed rows may also be left out, with a warning.
expect 0 train job.yaml run.name=skip data.train=malformed.jsonl data.on_bad_row=skip
contains err 'skipped 1 malformed'

# ---- clients
expect 0 partition job.yaml -o split.json --quiet
cp split.json good.json
expect 0 train job.yaml run.name=split --quiet partition.file=good.json
spoil() { "$python" -c 'import json, sys
split = json.load(open("good.json"))
exec(sys.argv[1])
json.dump(split, open("split.json", "w"))' "$1"; }
spoil 'split["rows_of_client"][2] = []'
bad 3 'split.json.*client 2' partition.file=split.json
spoil 'split["rows_of_client"][1][0] = 60'
bad 3 'split.json.*60' partition.file=split.json
spoil 'split["rows_of_client"][1][0] = split["rows_of_client"][0][0]'
bad 3 'split.json.*\(twice\|more than once\|already\|two\)' partition.file=split.json
spoil 'split["n_rows"] = 61'
bad 3 'split.json' partition.file=split.json
bad 3 'good.json' partition.file=good.json data.max_train_rows=50
printf '{"rows_of_client": [[0' >split.json
bad 3 'split.json' partition.file=split.json
bad 3 'nope.json' partition.file=nope.json
bad 2 'clients_per_round' partition.kind=natural fl.clients_per_round=8 fl.num_clients=8

# ---- the model
model() { # a fresh copy to spoil
    rm -rf model
    mkdir model
    cp "$golden/hf_bert/"* model
}
in_model() {
    code=$1 pattern=$2
    shift 2
    bad "$code" "$pattern" model.path=model "$@"
}
tensor() { # edits the safetensors file: `header` (dict) and `data` (bytearray) in Python
    "$python" - "$1" <<'END'
import json, struct, sys
path = "model/model.safetensors"
raw = open(path, "rb").read()
size = struct.unpack("<Q", raw[:8])[0]
header, data = json.loads(raw[8:8 + size]), bytearray(raw[8 + size:])
exec(sys.argv[1])
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)
END
}
bad 3 'nope' model.path=nope
model && rm model/config.json && in_model 3 'config.json'
model && printf '{' >model/config.json && in_model 3 'config.json'
model && sed 's/"bert"/"gpt_neox"/' "$golden/hf_bert/config.json" >model/config.json && in_model 3 'gpt_neox'
model && sed '/num_attention_heads/d' "$golden/hf_bert/config.json" >model/config.json && in_model 3 'num_attention_heads'
model && sed 's/"num_attention_heads": 4/"num_attention_heads": 5/' "$golden/hf_bert/config.json" >model/config.json && in_model 3 'heads'
model && sed 's/"hidden_size": 32/"hidden_size": 99999999999/' "$golden/hf_bert/config.json" >model/config.json && in_model 3 'hidden_size'
model && rm model/model.safetensors && in_model 3 'safetensors'
for bytes in 0 4 100 5000 60000; do
    model && head -c "$bytes" "$golden/hf_bert/model.safetensors" >model/model.safetensors && in_model 3 'model.safetensors'
done
model && printf '\377\377\377\377\377\377\377\177{}' >model/model.safetensors && in_model 3 'model.safetensors'
query=bert.encoder.layer.1.attention.self.query.weight
model && tensor "header['$query']['shape'] = [16, 64]" && in_model 3 "$query.*16.*32"
model && tensor "header['$query']['shape'] = [32, 33]" && in_model 3 "$query"
model && tensor "header['$query']['dtype'] = 'Q4'" && in_model 3 "$query"
model && tensor "header['$query']['data_offsets'][1] += 1 << 40" && in_model 3 "$query"
model && tensor "header['other'] = header.pop('$query')" && in_model 3 "$query"
model && tensor "at = header['$query']['data_offsets'][0] + 400; data[at:at + 4] = struct.pack('<f', float('nan'))" &&
    in_model 3 "$query.*nan"
model && tensor "at = header['$query']['data_offsets'][0]; data[at:at + 4] = struct.pack('<f', float('inf'))" &&
    in_model 3 "$query.*inf"

# ---- the tokenizer
model && rm model/tokenizer.json model/vocab.txt && in_model 3 'tokenizer'
model && printf '{"model": ' >model/tokenizer.json && in_model 3 'tokenizer.json'
model && printf '{}' >model/tokenizer.json && in_model 3 'tokenizer.json'
model && sed 's/"WordPiece"/"Quantum"/' "$golden/hf_bert/tokenizer.json" >model/tokenizer.json && in_model 3 'Quantum'
# A tokenizer with more words than the model has rows.
model && tensor 'name = "bert.embeddings.word_embeddings.weight"; h = header[name]; a, b = h["data_offsets"]
h["shape"][0] = 40; h["data_offsets"][1] = a + 40 * 32 * 4
cut = b - (a + 40 * 32 * 4); del data[a + 40 * 32 * 4:b]
for k, v in header.items():
    if k != "__metadata__" and v["data_offsets"][0] >= b: v["data_offsets"] = [x - cut for x in v["data_offsets"]]' &&
    sed 's/"vocab_size": 97/"vocab_size": 40/' "$golden/hf_bert/config.json" >model/config.json &&
    in_model 3 'vocabulary of 40'
awk 'NR == 1 { t = ""; for (i = 0; i < 90; i++) t = t " good"; sub(/"text": "/, "&" t) } { print }' train.jsonl >long.jsonl
bad 2 'data.max_length=64' data.train=long.jsonl
expect 0 train job.yaml run.name=long data.train=long.jsonl data.max_length=64 --quiet

# ---- adapters to start from
adapter() {
    rm -rf adapter
    mkdir adapter
    cp "$golden/peft_bert/"* adapter
}
from_adapter() { bad 3 "$1" lora.init_from=adapter lora.r=4 lora.alpha=8 lora.target_modules=all-linear; }
bad 3 'nope' lora.init_from=nope
adapter && bad 3 'lora.r=4' lora.init_from=adapter
adapter && bad 3 'target' lora.init_from=adapter lora.r=4 lora.alpha=8
adapter && rm adapter/adapter_model.safetensors && from_adapter 'adapter_model.safetensors'
adapter && head -c 9000 "$golden/peft_bert/adapter_model.safetensors" >adapter/adapter_model.safetensors &&
    from_adapter 'adapter_model.safetensors'
adapter && printf '[]' >adapter/adapter_config.json && from_adapter 'adapter_config.json'
adapter && sed 's/"use_dora": false/"use_dora": true/' "$golden/peft_bert/adapter_config.json" >adapter/adapter_config.json &&
    from_adapter 'dora'

# ---- where the run goes
expect 0 train job.yaml run.name=there --quiet
cp -r runs/there before
refused 8 'runs/there exists' train job.yaml run.name=there --quiet
diff -r runs/there before || fail 'the existing run was touched'
expect 0 train job.yaml run.name=there run.overwrite=true --quiet
mkdir -p runs/mine
echo precious >runs/mine/notes
refused 8 'not a run folder' train job.yaml run.name=mine run.overwrite=true --quiet
contains runs/mine/notes precious
bad 8 'is a file' run.output_dir=train.jsonl/runs
bad 8 '/proc' run.output_dir=/proc/weft
refused 8 'nowhere' eval runs/there --predictions nowhere/p.jsonl --quiet
refused 8 'nowhere' partition job.yaml -o nowhere/split.json --quiet

# A full disk, as a limit on the size of a file: each size stops another write.
for blocks in 0 1 2 4 8; do
    rm -rf runs/full
    code=0
    (
        ulimit -f $blocks
        exec "$weft" train job.yaml run.name=full --quiet fl.num_rounds=40
    ) 2>err.full >/dev/null || code=$?
    [ "$code" = 8 ] || fail "full disk at $blocks blocks: exit code $code, expected 8"
    no_leftovers
done
rm -rf runs/full

# Memory that is not there. (Sanitizers need an address space without a limit.)
if ! grep -q __asan_init "$weft"; then
    code=0
    (
        ulimit -v 1000000
        exec "$weft" train job.yaml run.name=bad --quiet engine.pack_tokens=16777216
    ) 2>err >/dev/null || code=$?
    [ "$code" = 4 ] || fail "no memory: exit code $code, expected 4"
    contains err '^weft: error: no memory for arena'
    [ ! -e runs/bad ] || fail 'no memory, but a run folder'
fi

# ---- training that diverges
refused 5 'not finite' train job.yaml run.name=diverged client.learning_rate=1000 client.optimizer=sgd \
    client.max_grad_norm=0 client.local_steps=30 --quiet
[ ! -e runs/diverged/adapter ] || fail 'a diverged run left an adapter'
contains runs/diverged/events.jsonl '"failed"'
contains runs/diverged/log.txt 'not finite'
finish
