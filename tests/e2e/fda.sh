#!/bin/sh
# fl.sync=fda and fda-opt: rounds end when the variance between clients says so. What is logged adds up, the special
# cases are those of fixed rounds to the byte, and a run that is cut anywhere ends as one that was not.
. "$(dirname "$0")/lib.sh"

# ---- one line from a FedOpt job
sed 's/^  num_rounds: 2$/  num_rounds: 8\n  strategy: fedadam/' job.yaml >fedopt.yaml
sed 's/^fl:$/fl:\n  sync: fda-opt/' fedopt.yaml >fdaopt.yaml
[ "$(diff fedopt.yaml fdaopt.yaml | grep -c '^[<>]')" = 1 ] || fail 'more than one line differs'
expect 0 train fedopt.yaml run.name=fedopt --quiet
expect 0 train fdaopt.yaml run.name=fdaopt --quiet
contains out 'checks of the variance'
contains out ' states  '
contains runs/fdaopt/log.txt 'fda-opt, the variance checked every epoch, at most 10 times a round, estimator sketch'
contains runs/fdaopt/log.txt 'round *1  1 check  train loss'
[ ! -e runs/fedopt/checks.csv ] || fail 'checks.csv of a run without checks'
for estimator in linear naive exact; do
    expect 0 train fdaopt.yaml run.name=$estimator fda.estimator=$estimator --quiet
done
expect 0 train fdaopt.yaml run.name=xor fda.sketch=xor fda.sketch_depth=5 fda.verdict=estimate --quiet
train fda fl.sync=fda fda.theta=3e-3 fl.num_rounds=8
cat >fda.py <<'END_PY'
"""A monitored run's files against each other: fda.py FOLDER TARGET MAX_CHECKS STATE_BYTES ONCE_BYTES VERDICT"""
import csv, json, math, sys

run, (target, most, state, once, verdict) = sys.argv[1], (int(a) for a in sys.argv[2:7])
table = lambda name: list(csv.DictReader(open(f"{run}/{name}")))
rounds, checks, clients = table("rounds.csv"), table("checks.csv"), table("clients.csv")
metrics = [json.loads(line) for line in open(f"{run}/metrics.jsonl")]
adapter = 4 * json.load(open(f"{run}/summary.json"))["adapter_parameters"]
assert list(checks[0]) == ("round check steps clients estimate variance error variance_a variance_b variance_saved "
                           "mean_sqnorm theta synchronise").split()
assert len(checks) == sum(int(r["checks"]) for r in rounds)
theta, total, seen = None, 0, set()
for r, m in zip(rounds, metrics):
    mine = [c for c in checks if c["round"] == r["round"]]
    who = {c["client"] for c in clients if c["round"] == r["round"]}
    n = len(mine)
    assert n == int(r["checks"]) == m["checks"] and 1 <= n <= most, (r, n)
    assert [int(c["check"]) for c in mine] == list(range(1, n + 1))
    assert [c["synchronise"] for c in mine] == ["0"] * (n - 1) + ["1"]
    if target:
        assert r["round"] != "1" or n == 1  # the first round is one check
        assert r["theta"] == ("" if theta is None else theta), (r["theta"], theta)
        assert float(r["theta_next"]) == target / n * float(r["variance"]), r
    for c in mine:
        estimate, variance = float(c["estimate"]), float(c["variance"])
        assert c["theta"] == r["theta"] and int(c["clients"]) == len(who) == 4
        assert float(c["error"]) == estimate / variance - 1
        groups = sum(float(c[f"variance_{g}"]) for g in ("a", "b", "saved"))
        assert math.isclose(groups, variance, rel_tol=1e-12)
        assert 0 < variance <= float(c["mean_sqnorm"]) * (1 + 1e-6)
        over = c["theta"] != "" and estimate > float(c["theta"]) or r["round"] == "1" and target > 0
        assert (c["synchronise"] == "1") == (over or int(c["check"]) == most), c
    for key in ("estimate", "variance", "theta"):
        assert mine[-1][key] == r[key] and r[key] == ("" if m[key] is None else repr(m[key])), key
    steps = [int(c["steps"]) for c in mine]
    assert steps == sorted(set(steps)) and steps[-1] == int(r["local_steps"])
    total += steps[-1]
    assert m["local_steps_total"] == total and m["barriers"] == 1 + n and m["kept_theta"] == 0
    # The ledger.
    assert m["wire_model_down_bytes"] >= 4 * adapter and m["wire_model_up_bytes"] == 4 * adapter
    assert m["wire_state_up_bytes"] == 4 * n * state and m["wire_state_down_bytes"] == 0
    assert m["wire_verdict_down_bytes"] == 4 * (n if verdict == 1 else 4 * (n + 1)), m
    assert m["wire_once_down_bytes"] == once * len(who - seen)
    seen |= who
    for way in "down", "up":
        kinds = sum(v for k, v in m.items() if k.startswith("wire_") and k.endswith(f"_{way}_bytes") and k.count("_") == 3)
        assert m[f"wire_{way}_bytes"] == kinds == sum(
            int(c[f"wire_{way}_bytes"]) for c in clients if c["round"] == r["round"])
        assert m[f"wire_{way}_total_bytes"] == sum(k[f"wire_{way}_bytes"] for k in metrics[:m["round"]])
    theta = r["theta_next"]
print(f"{run}: checks a round {[m['checks'] for m in metrics]}, error {checks[-1]['error']}")
END_PY
consistent() {
    "$python" fda.py "runs/$@" || fail "files of $1 do not agree"
}
consistent fdaopt 5 10 6004 72 1
consistent linear 5 10 8 0 1
consistent naive 5 10 4 0 1
consistent exact 5 10 $((4 * $(sed -n 's/.*"adapter_parameters": \([0-9]*\).*/\1/p' runs/exact/summary.json))) 0 1
consistent xor 5 10 5124 120 4
consistent fda 0 10000 5004 120 1
check_python 'estimators' <<'END'
import csv, json
rows = lambda run: list(csv.DictReader(open(f"runs/{run}/checks.csv")))
assert all(c["estimate"] == c["mean_sqnorm"] for c in rows("naive"))
assert all(c["estimate"] == c["variance"] and c["error"] == "0.0" for c in rows("exact"))
assert all(float(c["error"]) >= -1e-6 for run in ("naive", "linear") for c in rows(run))
# Round 1 is one epoch either way.
first = lambda run: json.loads(open(f"runs/{run}/metrics.jsonl").readline())
a, b = first("fedopt"), first("fdaopt")
for key in ("loss", "steps", "examples", "tokens", "eval_loss", "eval_accuracy", "local_steps"):
    assert a[key] == b[key], key
END
expect 0 train fdaopt.yaml run.name=threads run.threads=2 engine.pack_tokens=60 --quiet
same_run fdaopt threads

# What people see.
contains runs/fdaopt/report.html 'Variance between the clients when a round ends'
contains runs/fdaopt/report.html 'of these, states'
lacks runs/fedopt/report.html 'Variance between'
lacks runs/fedopt/report.html 'of these'
expect 0 compare runs/fedopt runs/fdaopt --plot cmp.html
contains out 'local steps  barriers'
contains cmp.html 'Test accuracy by local steps'
expect 0 plan fdaopt.yaml
contains out 'fl.sync=fda-opt decides how long a round is'

# ---- special cases, to the byte
adapter=adapter/adapter_model.safetensors
train one_epoch fl.num_rounds=4 fl.strategy=fedadam client.local_epochs=1
train m1 fl.num_rounds=4 fl.strategy=fedadam fl.sync=fda-opt fda.max_checks=1
same runs/one_epoch/$adapter runs/m1/$adapter
train three_epochs fl.num_rounds=4 fl.strategy=fedadam client.local_epochs=3
train m3 fl.num_rounds=4 fl.strategy=fedadam fl.sync=fda-opt fda.rule=fixed fda.theta=1e300 fda.max_checks=3
same runs/three_epochs/$adapter runs/m3/$adapter
differ runs/one_epoch/$adapter runs/three_epochs/$adapter
# A threshold that everything exceeds: a check a round.
train tight fl.num_rounds=4 fl.strategy=fedadam fl.sync=fda-opt fda.rule=fixed fda.theta=-1
same runs/one_epoch/$adapter runs/tight/$adapter
lacks runs/m3/report.html 'theta, round' # out of reach of a chart

# ---- resume: from each checkpoint, with the files as long as they had become
steady='checkpoint.save_every=1 checkpoint.save_total_limit=0 fl.num_rounds=5 fl.strategy=fedadam eval.every=2'
back() { # name, options…
    name=$1
    shift
    train "$name" $steady "$@"
    for round in 1 3 4; do
        cp -r "runs/$name" "runs/$name-back"
        expect 0 train --resume "runs/$name-back/checkpoints/round_00000$round" --quiet
        same_run "$name" "$name-back"
        same "runs/$name/checkpoints/latest/state.safetensors" "runs/$name-back/checkpoints/latest/state.safetensors"
        rm -r "runs/$name-back"
    done
}
for estimator in sketch linear naive exact; do
    back back-$estimator fl.sync=fda-opt fda.estimator=$estimator
done
back back-always fl.sync=fda-opt fda.rule=always fda.target=2
back back-fda fl.sync=fda fda.theta=3e-3 fda.estimator=linear fl.sampling=pass engine.state_pool_mib=0
contains runs/back-fda/config.resolved.yaml 'optimizer_state: keep'
cp -r runs/back-sketch runs/other
expect 7 train --resume runs/other fda.estimator=naive
contains err 'fda.estimator=sketch, now it is naive'
cp -r runs/back-sketch runs/torn # the state is not of the round that the run's summary tells of
sed -i 's/"local_steps_total": /&1/' runs/torn/checkpoints/*/state.json
expect 7 train --resume runs/torn fl.num_rounds=6
contains err 'summary counts 5 rounds and [0-9]* local steps, the state 5 and 1[0-9]*'
sed -i 's/"format": 2/"format": 1/' runs/other/checkpoints/*/state.json
expect 7 train --resume runs/other fl.num_rounds=6
contains err 'checkpoint format 1, this is 2'

# Killed and stopped at any time.
long='fl.sync=fda-opt fl.num_rounds=60 checkpoint.save_every=4 eval.every=7 fl.strategy=fedadam'
train long $long
interrupted KILL long-kill $long
same_run long long-kill
slow='fl.sync=fda-opt fl.num_rounds=40 checkpoint.save_every=3 data.test=long.jsonl eval.clients_every=2
      fda.sketch=xor lora.dropout=0.1'
i=0
while [ "$i" -lt 30 ]; do cat train.jsonl; i=$((i + 1)); done >long.jsonl
train slow $slow
stopped_in_evaluations slow slow-int $slow

# ---- a budget of local steps
steps='fl.num_rounds=100 eval.every=0 checkpoint.save_every=1000'
train budget $steps fl.total_steps=10
train budget-opt $steps fl.total_steps=20 fl.sync=fda-opt
check_python 'runs that local steps end' <<'END'
import csv, json
for run, total in ("budget", 10), ("budget-opt", 20):
    metrics = [json.loads(line) for line in open(f"runs/{run}/metrics.jsonl")]
    summary = json.load(open(f"runs/{run}/summary.json"))
    last = metrics[-1]
    assert last["local_steps_total"] == sum(m["local_steps"] for m in metrics) == total == summary["local_steps"], run
    assert summary["rounds_done"] == len(metrics) < 100 and summary["total_steps"] == total
    # 3 batches an epoch: the last round ends within one.
    assert last["local_steps"] % 3 != 0 and all(m["local_steps"] % 3 == 0 for m in metrics[:-1])
    # Evaluated and saved after the last round, which shows only once it is over.
    assert ["eval_n" in m for m in metrics] == [False] * (len(metrics) - 1) + [True]
    assert summary["federated_round"] == len(metrics)
    state = json.load(open(f"runs/{run}/checkpoints/latest/state.json"))
    assert state["round"] == len(metrics) and state["local_steps_total"] == total
    assert state["wire_total_bytes"] == summary["bytes_by_kind"]
    assert sum(v for k, v in summary["bytes_by_kind"].items() if k.endswith("_up")) == summary["bytes_up"]
    assert all(m["wire_model_up_bytes"] == 4 * 4 * summary["adapter_parameters"] for m in metrics)
checks = [c for c in csv.DictReader(open("runs/budget-opt/checks.csv")) if int(c["round"]) == len(metrics)]
assert int(checks[-1]["steps"]) == last["local_steps"] and checks[-1]["synchronise"] == "1"
END
expect 0 compare runs/budget runs/budget-opt
contains out '^budget .* 4/6 *4 '
lacks out '/100'
contains runs/budget/report.html '4 rounds'
lacks runs/budget/report.html 'of 100'
cp runs/budget/metrics.jsonl before
expect 0 train job.yaml run.name=budget --resume auto --quiet $steps fl.total_steps=10
same before runs/budget/metrics.jsonl
expect 7 train job.yaml run.name=budget --resume auto --quiet $steps fl.total_steps=15
contains err 'fl.total_steps=10, now it is 15'
expect 0 plan job.yaml $steps fl.total_steps=10
contains out 'about 4 rounds of 4 clients'
train budget-int $steps fl.total_steps=20 fl.sync=fda-opt checkpoint.save_every=1 checkpoint.save_total_limit=0
expect 0 train --resume runs/budget-int/checkpoints/round_000002 --quiet
same_run budget-opt budget-int

# ---- what is refused
refused() { # pattern of the line, options
    pattern=$1
    shift
    expect 2 train job.yaml run.name=refused --quiet "$@"
    [ "$(grep -c '^weft: error: ' err)" = 1 ] || { fail "weft $*: not one line of error"; cat err; }
    contains err "^weft: error: .*$pattern"
    [ ! -s out ] || fail "$*: something on stdout"
    [ ! -e runs/refused ] || { fail "a run folder was made with: $*"; rm -r runs/refused; }
}
refused 'fl.sync=fda with fda.rule=fixed needs fda.theta' fl.sync=fda
refused 'fda.theta=1.* is for fl.sync=fda' fda.theta=1
refused 'fda.theta=1.* is for fl.sync=fda' fl.sync=fda-opt fda.theta=1
refused 'fda.sketch_depth=2 .*make it odd' fl.sync=fda-opt fda.sketch_depth=2
refused 'engine.slots=3 is less than fl.clients_per_round=4' fl.sync=fda-opt engine.slots=3
refused 'fda.sketch_width is 500' fl.sync=fda-opt fda.sketch=xor fda.sketch_width=500
refused 'are all 0' fl.sync=fda-opt fda.weight_a=0 fda.weight_b=0 fda.weight_saved=0
refused 'knows no fda.weight' fl.sync=fda-opt fda.sketch=xor fda.weight_a=2
refused 'not one of' fl.sync=fdaopt
refused 'outside' fl.sync=fda-opt fda.failure=0.9
no_leftovers
finish
