#!/bin/sh
# plan, bench, partition, config, info, compare and help print what they should.
. "$(dirname "$0")/lib.sh"

train one
expect 0 plan job.yaml --format json --quiet
cp out plan.json
expect 0 train job.yaml --dry-run --format json --quiet run.name=dry
same out plan.json
[ ! -e runs/dry ] || fail 'a dry run left a run folder'
check_python 'the plan adds up and is what the run did' <<'END'
import json
plan, summary = json.load(open("plan.json")), json.load(open("runs/one/summary.json"))
first = json.loads(open("runs/one/metrics.jsonl").readline())
assert sum(plan["memory_bytes"].values()) == plan["memory_bytes_total"]
assert all(b > 0 for b in plan["memory_bytes"].values())
for key in "base_parameters", "adapter_parameters":
    assert plan[key] == summary[key], key
once = plan["per_round"]
assert once["bytes_up"] == first["wire_up_bytes"] and once["bytes_down"] == first["wire_down_bytes"]
for key in "steps", "examples", "tokens":     # this job's clients are of one size
    assert abs(once[key] - first[key]) <= 0.2 * first[key], (key, once[key], first[key])
assert once["flops"] > 2 * once["tokens"] * plan["adapter_parameters"]
END
expect 0 plan job.yaml --quiet
contains out 'total'
contains out 'wire, up'
# Rank and slots move what they should.
expect 0 plan job.yaml --format json --quiet lora.r=16 engine.slots=2
check_python 'plan with other options' <<'END'
import json
a, b = json.load(open("plan.json")), json.load(open("out"))
assert b["slots"] == 2 and a["slots"] == 4
lora = a["adapter_parameters"] - 99           # the head: 3 x 32 + 3
assert b["adapter_parameters"] == 2 * lora + 99
assert b["memory_bytes_total"] != a["memory_bytes_total"]
END
# A plan needs no weights.
mkdir bare
cp "$golden/hf_bert/"*.json "$golden/hf_bert/vocab.txt" bare
expect 0 plan job.yaml --format json --quiet model.path=bare
same out plan.json

# bench times the round that the plan counts, and writes nothing.
touch before
find . | sort >before
# It evaluates nothing, so neither does the plan here.
expect 0 plan job.yaml --format json --quiet client.local_steps=6 fl.num_clients=4 data.test=
cp out plan6.json
expect 0 bench job.yaml --format json --quiet client.local_steps=6 fl.num_clients=4
cp out bench.json
check_python 'the figures of a benchmark are positive and belong together' <<'END'
import json, math
b, plan = json.load(open("bench.json")), json.load(open("plan6.json"))
def near(x, y):
    assert x > 0 and math.isclose(x, y, rel_tol=1e-6), (x, y)
near(b["tokens_per_s"] * b["seconds"], b["tokens"])
near(b["client_steps_per_s"] * b["seconds"], b["client_steps"])
near(b["flops_per_s"] * b["seconds"], b["flops"])
near(b["flops_share"], b["flops_per_s"] / b["ceiling_flops_per_s"])
near(b["model_flops_per_s"] * b["seconds"], b["model_flops"])
near(b["frozen_mfu"], b["model_flops_per_s"] / b["ceiling_flops_per_s"])
assert 0 < b["step_seconds_median"] <= b["step_seconds_p95"] <= b["seconds"]
assert b["steps"] == 6 and b["client_steps"] == 24 and b["clients"] == 4 and b["ceiling_bytes_per_s"] > 0
assert 0 <= b["waiting_share"] < 1 and b["loss"] > 0 and b["device_reason"]
near(sum(p["share"] for p in b["phases"]), 1)
near(sum(p["flops"] for p in b["phases"]) * b["steps"], b["flops"])
for p in b["phases"]:
    near(p["floor_seconds"], max(p["flops"] / b["ceiling_flops_per_s"], p["bytes"] / b["ceiling_bytes_per_s"]))
# All clients take part, so the plan's means are this round.
once = plan["per_round"]
near(once["steps"], b["client_steps"])
near(once["flops"], b["flops"] * once["tokens"] / b["tokens"])
assert plan["backend"] == b["backend"] and plan["dtype"] == b["dtype"]
assert sum(b["memory_bytes"].values()) == b["memory_bytes_total"] > b["device_bytes"] > 0
for item, bytes in b["memory_bytes"].items():
    assert bytes == plan["memory_bytes"][item], item
END
expect 0 bench job.yaml --quiet client.local_steps=6
contains out '^  frozen-MFU  [0-9]'
contains out 'backward: attention'
contains out 'held on the device'
expect 2 bench job.yaml --quiet client.local_steps=3
contains err '3 optimizer steps, a median needs 4: set client.local_steps'
rm plan6.json bench.json
find . | sort | diff before - || fail 'bench left something behind'
rm before

# partition prints and saves what train draws.
expect 0 partition job.yaml -o split.json --quiet
contains out '6 clients, 60 of 60 rows'
same split.json runs/one/partition.json
expect 0 partition job.yaml --format json --quiet
check_python 'partition as JSON' <<'END'
import json
json.load(open("out"))
END

# config: defaults, a section, the complete configuration of a job, which reads back as the same.
expect 0 config
contains out 'client.learning_rate'
expect 0 config server
contains out 'server.tau'
lacks out 'lora.r '
expect 0 config job.yaml lora.r=5
contains out '  r: 5'
contains out 'batch_size: 4'
cp out whole.yaml
expect 0 config whole.yaml
same out whole.yaml
expect 0 config job.yaml --format json
check_python 'config as JSON' <<'END'
import json
json.load(open("out"))
END
# The command line wins over the job, the job over the environment.
export WEFT_CLIENT_BATCH_SIZE=9 WEFT_LORA_R=3
expect 0 config job.yaml
contains out 'batch_size: 4'
contains out '  r: 3'
expect 0 config job.yaml lora.r=7 batch_size=2
contains out 'batch_size: 2'
contains out '  r: 7'
unset WEFT_CLIENT_BATCH_SIZE WEFT_LORA_R

expect 0 info
contains out 'backend cpu'
contains out 'weft 0'
expect 0 info "$golden/hf_bert"
contains out '23,523 in 41 tensors'
contains out 'attention.self.query'
expect 0 info "$golden/hf_bert" --format json
check_python 'info as JSON' <<'END'
import json
json.load(open("out"))
END

train two fl.strategy=fedadam eval.baselines=true
expect 0 compare runs/one runs/two
contains out '^one .*fedavg'
contains out '^two .*fedadam'
contains out 'majority'
[ "$(grep -c '^one \|^two ' out)" = 2 ] || fail 'compare: not one row per run'
expect 0 compare runs/one runs/two --format json
check_python 'compare as JSON' <<'END'
import json
json.load(open("out"))
END
expect 0 train job.yaml run.name=json --format json --quiet
check_python 'the summary on stdout is the one on disk' <<'END'
import json
assert json.load(open("out")) == json.load(open("runs/json/summary.json"))
END

expect 0 help
contains out 'exit codes'
for verb in train eval plan bench partition compare report config info; do
    expect 0 help $verb
    cp out help
    expect 0 $verb -h
    same out help
    contains out "usage: weft $verb"
    [ ! -s err ] || fail "$verb -h wrote to stderr"
done
expect 0 --version
contains out '^weft [0-9]'
# The examples of the source hold what the program knows.
for job in "$root"/host/examples/*.yaml; do
    [ -e "$job" ] || continue
    expect 0 config "$job"
done
finish
