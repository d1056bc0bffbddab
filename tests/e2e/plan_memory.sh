#!/bin/sh
# The memory that a plan names is what a run then takes: within 5 % of the highest anonymous memory of the process, for
# jobs of different kinds on a tiny transformer, and flat from round 2 on. Linux.
. "$(dirname "$0")/lib.sh"
[ -r /proc/self/status ] || { echo 'skipped: no /proc'; exit 77; }

"$python" - "$root" <<'END'
import sys
sys.path.insert(0, sys.argv[1] + "/bench")
import scale
scale.write_model("tiny", **scale.TINY)
scale.write_rows("few.csv", 600, 62)
scale.write_rows("many.csv", 60000, 62)
END

# name, then options
check_plan() {
    name=$1
    shift
    cat >"$name.yaml" <<END
run: {name: $name, device: cpu}
model: {path: tiny}
data: {text_column: text, label_column: label, max_length: 64}
client: {learning_rate: 1e-3, local_steps: 1}
END
    expect 0 plan "$name.yaml" --format json --quiet "$@"
    cp out plan.json
    expect 0 train "$name.yaml" --quiet "$@"
    check_python "$name: plan and run" "$name" <<'END'
import json, sys
name = sys.argv[1]
plan = json.load(open("plan.json"))["memory_bytes_total"]
rounds = [json.loads(line) for line in open("runs/%s/timing.jsonl" % name)]
peak, flat = rounds[-1]["peak_anonymous_bytes"], [r["anonymous_bytes"] for r in rounds[1:]]
print("%s: planned %.2f MiB, took %.2f MiB" % (name, plan / 2**20, peak / 2**20))
assert abs(plan / peak - 1) <= 0.05, (plan, peak)
assert max(flat) <= 1.01 * flat[0], flat
END
}

check_plan plain data.train=few.csv data.test=few.csv client.batch_size=8 fl.num_clients=20 fl.clients_per_round=4 \
    engine.slots=2 fl.num_rounds=6 eval.every=2
check_plan kept data.train=few.csv client.batch_size=4 fl.num_clients=100 fl.clients_per_round=50 engine.slots=5 \
    client.optimizer_state=keep fl.num_rounds=6
# Here the table of texts is the most.
check_plan crowd data.train=many.csv data.client_column=client partition.kind=natural client.batch_size=1 \
    fl.num_clients=60000 fl.clients_per_round=10 fl.num_rounds=20
finish
