#!/bin/sh
# Every way to split, train, aggregate, evaluate and read rows: each runs, and leaves finite metrics.
. "$(dirname "$0")/lib.sh"

# Runs are numbered; what is expected of their files is written down and checked at the end, by one Python.
n=0
ran() { # options
    n=$((n + 1))
    train "run$n" "$@"
    echo "$*" >"options$n"
}
is() { # value as JSON, file, key
    echo "run$n $2 $3 $1" >>expected
}

for kind in iid dirichlet pathological shards quantity; do
    ran partition.kind=$kind
    is "\"$kind\"" partition.json kind
    is 6 partition.json n_clients
done
ran partition.kind=natural
is 7 partition.json n_clients
expect 0 partition job.yaml fl.num_clients=3 fl.clients_per_round=3 -o split.json --quiet
ran partition.file=split.json fl.clients_per_round=3
is 3 partition.json n_clients
same split.json "runs/run$n/partition.json"

for strategy in fedavg fedavgm fedadagrad fedadam fedyogi fedprox; do
    ran fl.strategy=$strategy
    is "\"$strategy\"" summary.json strategy
    ran fl.strategy=$strategy server.preset=torch
done
ran client.optimizer=sgd client.momentum=0.9 client.nesterov=true client.weight_decay=0.01
ran fl.weighting=uniform
for option in fda.sketch=hash fda.sketch=hash-xor fda.sketch=xor fda.estimator=linear fda.estimator=naive \
    fda.estimator=exact fda.theta_from=estimate fda.failure=0.05 fda.epsilon=0.5 fda.weight_a=0 fda.weight_saved=3 \
    fda.variance=rounds fda.target=1 fda.check_every=2 client.epoch_length=longest client.epoch_length=shortest \
    ledger.topology=allreduce fl.total_steps=20 fl.strategy=fedavgm client.optimizer=sgd client.local_steps=2; do
    ran fl.sync=fda-opt fl.num_rounds=3 $option
done
ran fl.sampling=pass fl.num_rounds=3
check_python 'a pass visits every client before any comes again' "runs/run$n" <<'END'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1] + "/clients.csv")))
visited = [row["client"] for row in rows]
assert set(visited[:8]) == {str(c) for c in range(6)}, visited    # 4 of 6 a round: twice round in three
assert all(visited.count(c) == 2 for c in visited), visited
END
ran client.local_steps=5
is 40 summary.json steps
ran client.local_epochs=3
ran client.lr_scheduler=cosine client.warmup_ratio=0.5
ran eval.clients_every=1 eval.baselines=true
ran run.device=ref fl.num_rounds=1

# Gradients added up over micro-batches are those of the batch, up to rounding.
ran client.optimizer=sgd
cp "runs/run$n/metrics.jsonl" whole.jsonl
ran client.optimizer=sgd client.micro_batch_size=3
check_python 'micro-batches add up' "runs/run$n/metrics.jsonl" <<'END'
import json, sys
for a, b in zip(open("whole.jsonl"), open(sys.argv[1])):
    a, b = json.loads(a), json.loads(b)
    assert abs(a["loss"] - b["loss"]) < 1e-5 and a["steps"] == b["steps"], (a["loss"], b["loss"])
END

# r=0 trains the head alone: 3 x 32 weights and 3 biases.
ran lora.r=0
is 99 summary.json adapter_parameters
ran lora.target_modules=query,key,dense lora.dropout=0.2
ran lora.target_modules=all-linear lora.use_rslora=true lora.alpha=8
ran lora.modules_to_save=classifier
ran data.max_length=6 data.max_train_rows=30 data.max_test_rows=9
is 30 summary.json train_rows

# The same rows in three formats give the same run.
ran eval.every=0
cp "runs/run$n/metrics.jsonl" jsonl
for format in csv tsv; do
    ran data.train=train.$format eval.every=0
    same jsonl "runs/run$n/metrics.jsonl"
done

ran data.text_pair_column=pair
ran data.task=regression data.label_column=score client.learning_rate=0.01 eval.baselines=true
check_python 'regression metrics' "runs/run$n" <<'END'
import json, math, sys
summary = json.load(open(sys.argv[1] + "/summary.json"))
for who in "federated", "majority", "linear_probe":
    assert "accuracy" not in summary[who]
    for key in "pearson", "spearman", "mse", "loss":
        assert summary[who][key] is None or math.isfinite(summary[who][key]), (who, key)
    assert abs(summary[who]["mse"] - summary[who]["loss"]) < 1e-6
END
expect 0 eval "runs/run$n" --quiet
contains out Pearson
contains out Spearman

# Two classes have a binary F1; no test rows, no metrics of a test.
awk '!/c2/' train.jsonl >two.jsonl
ran data.train=two.jsonl data.test=two.jsonl data.labels=c0,c1
check_python 'binary F1' "runs/run$n" <<'END'
import json, sys
assert "f1_binary" in json.load(open(sys.argv[1] + "/summary.json"))["federated"]
END
ran data.test=
lacks "runs/run$n/metrics.jsonl" eval_

# The other architectures, with the tokenizer of the first.
for model in roberta distilbert; do
    mkdir hf_$model
    cp "$golden/hf_$model/"* hf_$model
    cp "$golden/hf_bert/tokenizer.json" "$golden/hf_bert/tokenizer_config.json" "$golden/hf_bert/vocab.txt" hf_$model
    ran model.path=hf_$model lora.target_modules=all-linear eval.baselines=true
    is "\"$model\"" summary.json architecture
done
# A sharded model is the same model.
mkdir sharded
cp "$golden/hf_bert_sharded/"* "$golden/hf_bert/"tok* "$golden/hf_bert/vocab.txt" sharded
ran
cp "runs/run$n/metrics.jsonl" single.jsonl
ran model.path=sharded
same single.jsonl "runs/run$n/metrics.jsonl"
check_python 'metrics of all runs' "$n" <<'END'
import csv, json, math, sys
for n in range(1, int(sys.argv[1]) + 1):
    run, options = f"runs/run{n}", open(f"options{n}").read().strip()
    rows = [json.loads(line) for line in open(run + "/metrics.jsonl")]
    assert rows, options
    for row in rows:
        assert row["skipped"] == 0, options
        look, theta = [row.pop("estimate"), row.pop("variance")], [row.pop("theta"), row.pop("theta_next")]
        assert [x is None for x in look] == [row["checks"] == 0] * 2, (options, look)
        assert theta == [None, None] if row["checks"] == 0 else row["round"] == 1 or None not in theta, (options, theta)
        for key, value in row.items():
            assert value is not None and math.isfinite(value), (options, key)
    for name in ["rounds.csv", "clients.csv"] + ["checks.csv"] * ("fl.sync" in options):
        for row in csv.DictReader(open(f"{run}/{name}")):
            for key, cell in row.items():
                assert math.isfinite(float(cell or 0)), (options, name, key, cell)
for line in open("expected"):
    run, name, key, want = line.split(maxsplit=3)
    got = json.load(open(f"runs/{run}/{name}"))[key]
    assert got == json.loads(want), (open("options" + run[3:]).read(), key, got, want)
END
no_leftovers
finish
