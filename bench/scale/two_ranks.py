#!/usr/bin/env python3
"""Two ranks of one thread against one rank of two threads, on two cores: the same jobs, in turns.

  two_ranks.py [--weft PROGRAM] [--repeats N] [--rounds N] [--json FILE] [--only NAME[,NAME]]

Throughput is tokens over the seconds of training (evaluation and start-up left out). A round is the same work in
every repeat, so each counts with the best of its repeats: other work on the machine can only add to it. The ratio of
medians, taken repeat by repeat, and its spread are printed beside it. Both must leave the same adapter, to the byte.
Processor seconds are of all ranks, whole processes, less those of a run of one round. They tell on a busy machine too:
with cores to themselves one rank of two threads takes at least half of its processor seconds, and two ranks take half of
theirs times how uneven their clients' tokens are; the column `by cpu` is that ratio."""
import argparse
import csv
import filecmp
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile

from deal import deal, imbalance

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
ARMS = {"one rank, two threads": (1, 2), "two ranks, one thread": (2, 0)}  # 0: the cores of the rank
GOAL = 0.9
# Cohorts of equal clients and uneven ones; steps of few tokens and of many; a check after every step.
CASES = {
    "minilm, 10 equal clients, 4 x 4 rows": {"fl.clients_per_round": 10, "client.batch_size": 4, "client.local_steps": 4},
    "minilm, 10 equal clients, 2 x 16 rows": {"fl.clients_per_round": 10, "client.batch_size": 16, "client.local_steps": 2},
    "minilm, 10 clients of Dirichlet 0.5, an epoch": {"fl.clients_per_round": 10, "fl.num_clients": 400, "client.batch_size": 16,
                                                      "partition.kind": "dirichlet", "partition.alpha": 0.5},
    "minilm, 3 equal clients, 4 x 4 rows": {"fl.clients_per_round": 3, "client.batch_size": 4, "client.local_steps": 4},
    "minilm, 10 equal clients, fda, a check a step": {"fl.clients_per_round": 10, "client.batch_size": 4, "fl.sync": "fda",
                                                      "fda.theta": 1e9, "fda.max_checks": 4, "fda.target": 4,
                                                      "fda.estimator": "sketch", "client.optimizer_state": "keep"},
}
CASES["the same, optimizer state reset"] = {**CASES["minilm, 10 equal clients, fda, a check a step"], "client.optimizer_state": "reset"}


def options(args, case, arm, folder, rounds):
    ranks, threads = ARMS[arm]
    model = os.path.join(TOP, "models", "all-minilm-l6-v2")
    rows = os.path.join(TOP, "data", "wn10", "train.jsonl")
    return ["--ranks", str(ranks), *(f"{k}={v}" for k, v in {
        "run.output_dir": folder, "run.name": f"{ranks}-{rounds}", "run.threads": threads, "model.path": model,
        "data.train": rows, "data.max_train_rows": 4000, "data.max_length": 64, "fl.num_clients": 40,
        "fl.num_rounds": rounds, **CASES[case]}.items()), "--quiet"]


def train(args, case, arm, folder, rounds):
    """-> (run folder, seconds of each round, tokens of each of its clients, processor seconds of all ranks)"""
    cores = sorted(os.sched_getaffinity(0))[:2]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as job:
        job.write("{}\n")
        job.flush()
        command = [args.weft, "train", job.name, *options(args, case, arm, folder, rounds)]
        done = subprocess.run(command, capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, cores),
                              env={**os.environ, "OMP_WAIT_POLICY": "passive"}, check=False)
    if done.returncode:
        sys.exit(f"two_ranks.py: {' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = os.path.join(folder, f"{ARMS[arm][0]}-{rounds}")
    with open(os.path.join(run, "timing.jsonl")) as f:
        seconds = [json.loads(line)["seconds"] for line in f]
    tokens = [[] for _ in seconds]
    with open(os.path.join(run, "clients.csv"), newline="") as f:
        for row in csv.DictReader(f):
            tokens[int(row["round"]) - 1].append(int(row["tokens"]))
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return run, seconds, tokens, spent


def compare(args, case):
    seconds, spent, start, tokens = ({a: [] for a in ARMS} for _ in range(4))
    for repeat in range(args.repeats):
        with tempfile.TemporaryDirectory(prefix="weft-two-ranks-") as folder:
            runs = []
            for arm in ARMS if repeat % 2 == 0 else reversed(ARMS):
                run, took, tokens[arm], cpu = train(args, case, arm, folder, args.rounds)
                if repeat < 2:
                    start[arm].append(train(args, case, arm, folder, 1)[3])
                runs.append(os.path.join(run, "adapter", "adapter_model.safetensors"))
                seconds[arm].append(took[1:])  # the first warms up
                spent[arm].append(cpu)
            if not filecmp.cmp(*runs, shallow=False):
                sys.exit(f"two_ranks.py: {case}: the adapters differ")
    best = {a: sum(min(r) for r in zip(*seconds[a])) for a in ARMS}
    one, two = ARMS
    ratios = sorted(sum(a) / sum(b) for a, b in zip(seconds[one], seconds[two]))
    cpu = {a: (min(spent[a]) - min(start[a])) / (args.rounds - 1) for a in ARMS}
    total = sum(sum(t) for t in tokens[one][1:])
    uneven = sum(sum(t) * imbalance(t, deal(t, 2)) for t in tokens[one][1:]) / total
    return {"case": case, "tokens_per_s": {a: total / best[a] for a in ARMS}, "ratio_best": best[one] / best[two],
            "ratio_median": statistics.median(ratios), "ratio_low": ratios[0], "ratio_high": ratios[-1],
            "cpu_seconds_per_round": cpu, "uneven": uneven, "ratio_by_cpu": cpu[one] / cpu[two] / uneven, "rounds": args.rounds - 1,
            "repeats": args.repeats, "round_seconds_best": {a: best[a] / (args.rounds - 1) for a in ARMS}}


def main():
    p = argparse.ArgumentParser(description="two ranks against two threads; see the head of this file")
    p.add_argument("--weft", default=os.path.join(TOP, "build-release", "weft"))
    p.add_argument("--repeats", type=int, default=7)
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--only", help="cases whose names contain one of these")
    p.add_argument("--json")
    args = p.parse_args()
    if args.repeats < 1 or args.rounds < 2:
        p.error("at least 1 repeat and 2 rounds")
    wanted = [c for c in CASES if not args.only or any(w in c for w in args.only.split(","))]
    print(f"{'job':48} {'best':>6} {'median':>7} {'spread':>12} {'by cpu':>7} {'uneven':>6}   one rank, two ranks: tokens/s")
    rows, kept = [], []
    if args.json and os.path.exists(args.json):  # of cases that are not measured now
        with open(args.json) as f:
            kept = [r for r in json.load(f)["rows"] if r["case"] in CASES and r["case"] not in wanted]
    for case in wanted:
        row = {**compare(args, case), "load_average": os.getloadavg()[0]}
        rows.append(row)
        rate = row["tokens_per_s"].values()
        print(f"{case:48} {row['ratio_best']:6.3f} {row['ratio_median']:7.3f} {row['ratio_low']:5.2f} - {row['ratio_high']:4.2f} "
              f"{row['ratio_by_cpu']:7.2f} {row['uneven']:6.3f}   {', '.join(f'{r:.0f}' for r in rate)}", flush=True)
        if args.json:
            with open(args.json, "w") as f:
                json.dump({"goal": GOAL, "rows": sorted(kept + rows, key=lambda r: list(CASES).index(r["case"]))}, f, indent=1)
                f.write("\n")
    return 0 if all(r["ratio_best"] >= GOAL for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
