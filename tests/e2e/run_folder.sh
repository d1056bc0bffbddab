#!/bin/sh
# What a run leaves on disk: every file, valid, with stable keys, and a ledger that is exact.
. "$(dirname "$0")/lib.sh"

train one fl.num_rounds=3 eval.every=2 eval.baselines=true eval.clients_every=2
for f in config.resolved.yaml env.json command.txt metrics.jsonl rounds.csv clients.csv events.jsonl log.txt \
    partition.json summary.json timing.jsonl adapter/adapter_config.json adapter/adapter_model.safetensors \
    adapter/README.md plan.json partition_summary.json report.html tb/events.out.tfevents.weft \
    checkpoints/latest/state.json checkpoints/latest/state.safetensors; do
    [ -s "runs/one/$f" ] || fail "runs/one/$f is missing or empty"
done
found=$(find runs/one -type f ! -name .lock ! -path '*/checkpoints/*')
[ "$(printf '%s\n' "$found" | wc -l)" = 18 ] || fail "unexpected files: $found"
contains runs/one/command.txt 'train job.yaml run.name=one'
contains runs/one/config.resolved.yaml 'batch_size: 4'
contains runs/one/log.txt 'round *2'
no_leftovers

expect 0 plan job.yaml fl.num_rounds=3 --format json
mv out plan.json
check_python 'files of the run folder' runs/one <<'END'
import csv, json, struct, sys
run = sys.argv[1]
def lines(name):
    text = open(f"{run}/{name}").read()
    assert text.endswith("\n"), name
    return [json.loads(line) for line in text.splitlines()]
def table(name):
    return list(csv.DictReader(open(f"{run}/{name}")))
def keys(got, want):
    assert list(got) == want.split(), (list(got), want)

summary = json.load(open(f"{run}/summary.json"))
json.load(open(f"{run}/env.json"))
adapter = json.load(open(f"{run}/adapter/adapter_config.json"))
assert adapter["r"] == 8 and adapter["peft_type"] == "LORA" and adapter["task_type"] == "SEQ_CLS"

# Every trained number is in the adapter file, as float32.
raw = open(f"{run}/adapter/adapter_model.safetensors", "rb").read()
size = struct.unpack("<Q", raw[:8])[0]
header = json.loads(raw[8:8 + size])
numbers = 0
for name, tensor in header.items():
    if name == "__metadata__":
        continue
    assert tensor["dtype"] == "F32", name
    count = 1
    for d in tensor["shape"]:
        count *= d
    begin, end = tensor["data_offsets"]
    assert end - begin == 4 * count, name
    numbers += count
assert len(raw) == 8 + size + 4 * numbers
assert numbers == summary["adapter_parameters"], (numbers, summary["adapter_parameters"])

metrics, rounds, clients = lines("metrics.jsonl"), table("rounds.csv"), table("clients.csv")
common = "round loss lr clients skipped examples tokens steps wire_down_bytes wire_up_bytes " \
         "wire_down_total_bytes wire_up_total_bytes"
evaluated = " eval_n eval_loss eval_accuracy eval_f1_macro eval_matthews"
assert len(metrics) == len(rounds) == 3
more = " wire_model_down_bytes wire_model_up_bytes wire_state_down_bytes wire_state_up_bytes wire_verdict_down_bytes " \
       "wire_once_down_bytes local_steps local_steps_total barriers checks estimate variance theta theta_next kept_theta"
keys(metrics[0], common + more)                  # eval.every=2: not after round 1,
keys(metrics[1], common + evaluated + more)      # after round 2,
keys(metrics[2], common + evaluated + more)      # and after the last
keys(rounds[0], common + evaluated + more)
keys(clients[0], "round client rows steps examples tokens weight loss last_loss update_norm skipped "
                 "wire_down_bytes wire_up_bytes" + evaluated)
assert rounds[0]["eval_n"] == "" and rounds[1]["eval_n"] == "24"

# The ledger: the adapter's numbers as float32, for each client of the round, both ways.
for i, m in enumerate(metrics):
    mine = [c for c in clients if c["round"] == str(i + 1)]
    assert m["round"] == i + 1 and m["clients"] == len(mine) == 4 and m["skipped"] == 0
    assert m["wire_down_bytes"] == m["wire_up_bytes"] == 4 * numbers * 4
    assert m["wire_model_down_bytes"] == m["wire_model_up_bytes"] == 4 * numbers * 4
    assert all(m[f"wire_{k}_bytes"] == 0 for k in ("state_down", "state_up", "verdict_down", "once_down"))
    assert m["local_steps"] == max(int(c["steps"]) for c in mine) and m["barriers"] == 1
    assert m["local_steps_total"] == sum(k["local_steps"] for k in metrics[:i + 1])
    assert m["checks"] == m["kept_theta"] == 0
    assert m["estimate"] is m["variance"] is m["theta"] is m["theta_next"] is None
    assert m["wire_down_total_bytes"] == m["wire_up_total_bytes"] == 4 * numbers * 4 * (i + 1)
    assert abs(sum(float(c["weight"]) for c in mine) - 1) < 1e-12
    assert abs(sum(float(c["weight"]) * float(c["loss"]) for c in mine) - m["loss"]) < 1e-12
    for key in ("examples", "tokens", "steps"):
        assert sum(int(c[key]) for c in mine) == m[key], key
    assert len({c["client"] for c in mine}) == 4
    for key, cell in rounds[i].items():
        assert cell == "" and m.get(key) is None or float(cell) == m[key], (key, cell)
assert summary["bytes_up"] == summary["bytes_down"] == metrics[-1]["wire_up_total_bytes"]
for key in ("examples", "tokens", "steps", "local_steps", "barriers", "checks"):
    assert summary[key] == sum(m[key] for m in metrics), key
assert summary["bytes_by_kind"] == {k: sum(m[f"wire_{k}_bytes"] for m in metrics) for k in summary["bytes_by_kind"]}
for key in ("n", "loss", "accuracy", "f1_macro", "matthews"):
    assert summary["federated"][key] == metrics[-1]["eval_" + key], key
assert summary["federated_round"] == summary["rounds_done"] == 3
assert summary["majority"]["accuracy"] == 1 / 3 and 0 <= summary["linear_probe"]["accuracy"] <= 1

# Times stand only where they belong.
assert [t["round"] for t in lines("timing.jsonl")] == [1, 2, 3]
assert [e["event"] for e in lines("events.jsonl")] == ["start", "baselines", "end"]
partition = json.load(open(f"{run}/partition.json"))
rows = sorted(r for c in partition["rows_of_client"] for r in c)
measured = lines("events.jsonl")[1]
assert measured["majority"] == summary["majority"] and measured["linear_probe"] == summary["linear_probe"]
assert summary["train_loss"] == metrics[-1]["loss"]

# The plan is that of `weft plan` for this job; what the process held stands beside it.
plan, same = json.load(open(f"{run}/plan.json")), json.load(open("plan.json"))
assert plan == same and plan["memory_bytes_total"] == sum(plan["memory_bytes"].values()) > 0
assert all(t["peak_rss_bytes"] >= t["peak_anonymous_bytes"] > 0 for t in lines("timing.jsonl"))

# The picture of the split is that of the split.
short = json.load(open(f"{run}/partition_summary.json"))
train = [json.loads(line) for line in open("train.jsonl")]
sizes = [len(c) for c in partition["rows_of_client"]]
assert short["n_clients"] == len(sizes) and short["rows"] == 60 and short["labels"] == ["c0", "c1", "c2"]
assert [c["rows"] for c in short["clients"]] == sorted(sizes, reverse=True)
for c in short["clients"]:
    labels = [train[r]["label"] for r in partition["rows_of_client"][c["client"]]]
    assert c["label_rows"] == [labels.count(name) for name in short["labels"]], c
assert rows == list(range(60)), rows
END
finish
