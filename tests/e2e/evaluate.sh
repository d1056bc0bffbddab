#!/bin/sh
# weft eval and adapters in and out: the metrics of a run's end again, the rows' predictions, and an adapter
# that comes back bit for bit.
. "$(dirname "$0")/lib.sh"

train one lora.use_rslora=true lora.target_modules=all-linear
expect 0 eval runs/one --format json --quiet
cp out metrics
check_python 'metrics of the run again' <<'END'
import json
metrics, summary = json.load(open("metrics")), json.load(open("runs/one/summary.json"))
assert metrics == summary["federated"], (metrics, summary["federated"])
END
# An adapter folder with a job says the same; so does --adapter.
lora='lora.use_rslora=true lora.target_modules=all-linear'
# shellcheck disable=SC2086
expect 0 eval runs/one/adapter job.yaml $lora --format json --quiet
same out metrics
# shellcheck disable=SC2086
expect 0 eval job.yaml --adapter runs/one/adapter $lora --format json --quiet
same out metrics
expect 0 eval runs/one --quiet
contains out 'accuracy'

for split in test train; do
    expect 0 eval runs/one --split $split --predictions $split.out --format json --quiet
    check_python "predictions of $split" $split <<'END'
import json, math, sys
split = sys.argv[1]
rows = [json.loads(line) for line in open(f"{split}.out")]
data = [json.loads(line) for line in open(f"{split}.jsonl")]
metrics = json.load(open("out"))
assert metrics["n"] == len(rows) == len(data) == (24 if split == "test" else 60)
loss = right = 0
for i, (row, given) in enumerate(zip(rows, data)):
    assert row["row"] == i and row["label"] == int(given["label"][1]) and len(row["logits"]) == 3
    assert row["prediction"] == row["logits"].index(max(row["logits"]))
    top = max(row["logits"])
    loss += top + math.log(sum(math.exp(x - top) for x in row["logits"])) - row["logits"][row["label"]]
    right += row["prediction"] == row["label"]
assert metrics["accuracy"] == right / len(rows)
assert abs(metrics["loss"] - loss / len(rows)) < 1e-6, (metrics["loss"], loss / len(rows))
END
done

# Out and in again: a run that starts from an adapter and does not move leaves the same bytes.
train again lora.init_from=runs/one/adapter lora.use_rslora=true lora.target_modules=all-linear \
    client.learning_rate=0 fl.num_rounds=1
same runs/one/adapter/adapter_model.safetensors runs/again/adapter/adapter_model.safetensors
train more lora.init_from=runs/one/adapter lora.use_rslora=true lora.target_modules=all-linear
differ runs/one/adapter/adapter_model.safetensors runs/more/adapter/adapter_model.safetensors

# An adapter made by PEFT: it evaluates, and comes back with every tensor as it was.
expect 0 train job.yaml run.name=peft --quiet lora.init_from="$golden/peft_bert" lora.r=4 lora.alpha=8 \
    lora.target_modules=all-linear client.learning_rate=0 fl.num_rounds=1
check_python 'PEFT adapter out again' "$golden/peft_bert" runs/peft/adapter <<'END'
import json, struct, sys
def read(folder):
    raw = open(folder + "/adapter_model.safetensors", "rb").read()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    header.pop("__metadata__", None)
    return {k: (v["dtype"], v["shape"], raw[8 + size + v["data_offsets"][0]:8 + size + v["data_offsets"][1]])
            for k, v in header.items()}
given, back = (read(folder) for folder in sys.argv[1:])
assert sorted(given) == sorted(back), set(given) ^ set(back)
for name in given:
    assert given[name] == back[name], name
END
no_leftovers
finish
