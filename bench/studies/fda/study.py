#!/usr/bin/env python3
"""FDA-Opt beside FedOpt with fixed epochs, on real texts: how many rounds, bytes, local steps and seconds to a target.

  study.py [--weft PROGRAM] [--jobs N] [--minutes N] [--quick] [--tune-only] [--results DIR]

README.md says what is compared and why. Runs what is missing in --results (runs.jsonl, tuned.json), in two parts:
learning rates for every method, arm and data set on one seed and one alpha, then all runs; --jobs at a time, each on
one thread. Every finished run is a line of runs.jsonl, so a stop loses no more than the runs under way; --minutes
stops after that long. Ends with the tables, plots and verdict of summary.py. --quick: one data set, one alpha, one
seed, two methods, at the rates of the checked-in tuned.json, into quick* beside the full results, in place of what an
earlier --quick left. Needs the model and data of third_party/fetch/{minilm,wn10,foldoc8}.sh (--quick: not the last).
Exit code 1 when a run fails."""
import argparse
import concurrent.futures
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import summary

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.normpath(os.path.join(HERE, "..", "..", ".."))
DATA = {"wn10": "data/wn10", "foldoc8": "data/foldoc8"}
ALPHAS = [1.0, 0.2]
SEEDS = [1, 2, 3]
TUNE = {"alpha": 1.0, "seed": 100, "steps": 200}
STEPS = 300
M = 10  # checks of FDA-Opt for E = 1: 2 E + 8
METHODS = {
    "FedAvg": {"fl.strategy": "fedavg"},
    "FedAvgM": {"fl.strategy": "fedavgm"},
    "FedAdam": {"fl.strategy": "fedadam", "server.weight_decay": 0},
    "FedAdagrad": {"fl.strategy": "fedadagrad"},
}
# name: options, rounds between evaluations (at least every sixteen steps or so)
ARMS = {
    "E=1": ({"client.local_epochs": 1}, 4),
    f"E={M // 2}": ({"client.local_epochs": M // 2}, 1),
    f"E={M}": ({"client.local_epochs": M}, 1),
    "FDA-Opt": ({"fl.sync": "fda-opt"}, 1),
    f"always {M // 2}": ({"fl.sync": "fda-opt", "fda.rule": "always"}, 1),
}
# Client and server rates tried: six pairs for everybody.
RATES = {
    "FedAvg": [(c, 1.0) for c in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)],
    "FedAvgM": [(c, s) for c in (0.03, 0.1, 0.3) for s in (0.3, 1.0)],
    "FedAdam": [(c, s) for c in (0.03, 0.3, 1.0) for s in (0.001, 0.01)],
    "FedAdagrad": [(c, s) for c in (0.03, 0.3, 1.0) for s in (0.01, 0.1)],
}


def key_of(run):
    return (run["data"], run["method"], run["arm"], run["alpha"], run["seed"], run["client_lr"], run["server_lr"],
            run["steps"])


def options(run):
    arm, every = ARMS[run["arm"]]
    path = os.path.join(TOP, DATA[run["data"]])
    return {**METHODS[run["method"]], **arm, "data.train": f"{path}/train.jsonl", "data.test": f"{path}/test.jsonl",
            "partition.alpha": run["alpha"], "run.seed": run["seed"], "client.learning_rate": run["client_lr"],
            "server.learning_rate": run["server_lr"], "fl.total_steps": run["steps"], "eval.every": every}


def number(text):
    return float(text) if text else None


def train(weft, run):
    """-> the run with its rounds: checks, local steps, bytes, processor seconds so far, accuracy where there is one."""
    folder = tempfile.mkdtemp(prefix="weft-study-")
    try:
        words = [f"{k}={v}" for k, v in options(run).items()]
        done = subprocess.run([weft, "train", os.path.join(HERE, "job.yaml"), "--quiet", "--no-progress",
                               f"run.output_dir={folder}", "run.name=run", *words], capture_output=True, text=True,
                              cwd=TOP)
        result = dict(run, exit=done.returncode, rounds=[])
        if done.returncode not in (0, 5):  # 5: diverged, a result like others
            raise RuntimeError(f"{' '.join(words)}: exit code {done.returncode}: {done.stderr.strip()[-300:]}")
        seconds, spent = 0.0, []
        with open(os.path.join(folder, "run", "timing.jsonl")) as f:
            for line in f:
                seconds += json.loads(line)["cpu_seconds"]
                spent.append(seconds)
        with open(os.path.join(folder, "run", "rounds.csv"), newline="") as f:
            for row, s in zip(csv.DictReader(f), spent):
                result["rounds"].append([int(row["checks"]), int(row["local_steps_total"]),
                                         int(row["wire_down_total_bytes"]) + int(row["wire_up_total_bytes"]),
                                         round(s, 3), number(row["eval_accuracy"])])
        return result
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Store:
    """Results by key, a line each, written as they come."""

    def __init__(self, path):
        self.path, self.lock, self.runs = path, threading.Lock(), {}
        if os.path.exists(path):
            with open(path) as f:
                for line in f:
                    run = json.loads(line)
                    self.runs[key_of(run)] = run

    def add(self, run):
        with self.lock, open(self.path, "a") as f:
            f.write(json.dumps(run) + "\n")
            self.runs[key_of(run)] = run


def run_all(args, store, wanted, what):
    missing = [run for run in wanted if key_of(run) not in store.runs]
    print(f"{what}: {len(wanted)} runs, {len(missing)} to do", flush=True)
    failed, done = [], 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        def one(run):
            if time.monotonic() > args.end or failed:
                return None
            try:
                return train(args.weft, run)
            except RuntimeError as e:
                failed.append(str(e))
                return None
        for result in pool.map(one, missing):
            if result:
                store.add(result)
                done += 1
                if done % 10 == 0:
                    print(f"  {done} of {len(missing)}", flush=True)
    if failed:
        sys.exit(f"study.py: {failed[0]}")
    return done == len(missing)


def pick_rates(store, path):
    """The pair with the best mean accuracy over the last half of a run's evaluations."""
    tuned = {}
    for data in DATA:
        for method, rates in RATES.items():
            for arm in ARMS:
                def score(pair):
                    run = store.runs[key_of(tuning_run(data, method, arm, pair))]
                    accuracy = [r[4] for r in run["rounds"] if r[4] is not None]
                    last = accuracy[len(accuracy) // 2:]
                    return sum(last) / len(last) if last else 0.0
                tuned[f"{data} {method} {arm}"] = max(rates, key=score)
    with open(path, "w") as f:
        json.dump(tuned, f, indent=1)
        f.write("\n")
    return tuned


def tuning_run(data, method, arm, pair):
    return {"data": data, "method": method, "arm": arm, "client_lr": pair[0], "server_lr": pair[1], **TUNE}


def study_run(data, method, arm, alpha, seed, pair):
    return {"data": data, "method": method, "arm": arm, "alpha": alpha, "seed": seed, "client_lr": pair[0],
            "server_lr": pair[1], "steps": STEPS}


def main():
    p = argparse.ArgumentParser(description="FDA-Opt beside FedOpt; see the head of this file")
    p.add_argument("--weft", default=os.path.join(TOP, "build-release", "weft"))
    p.add_argument("--jobs", type=int, default=os.cpu_count())
    p.add_argument("--minutes", type=float, default=1e9)
    p.add_argument("--quick", action="store_true")
    p.add_argument("--tune-only", action="store_true")
    p.add_argument("--results", default=os.path.join(HERE, "results"))
    args = p.parse_args()
    args.end = time.monotonic() + 60 * args.minutes
    data, methods, alphas, seeds = list(DATA), list(METHODS), ALPHAS, SEEDS
    if args.quick:
        data, methods, alphas, seeds = ["wn10"], ["FedAvg", "FedAdam"], [1.0], [1]
    for folder in ["models/all-minilm-l6-v2", *(DATA[d] for d in data)]:
        if not os.path.isdir(os.path.join(TOP, folder)):
            sys.exit(f"study.py: {folder} is missing: third_party/fetch/ has a script for it")
    if not os.access(args.weft, os.X_OK):
        sys.exit(f"study.py: no program {args.weft}: build it, or name it with --weft")
    os.makedirs(args.results, exist_ok=True)
    results = os.path.join(args.results, "quick.jsonl" if args.quick else "runs.jsonl")
    if args.quick and os.path.exists(results):
        os.remove(results)
    store = Store(results)
    if args.quick:
        with open(os.path.join(HERE, "results", "tuned.json")) as f:
            tuned = json.load(f)
    else:
        trials = [tuning_run(d, m, a, pair) for d in DATA for m, rates in RATES.items() for a in ARMS for pair in rates]
        if not run_all(args, store, trials, "learning rates"):
            sys.exit("study.py: out of time; call it again")
        tuned = pick_rates(store, os.path.join(args.results, "tuned.json"))
        if args.tune_only:
            return
    wanted = [study_run(d, m, a, alpha, seed, tuned[f"{d} {m} {a}"])
              for seed in seeds for alpha in alphas for d in data for m in methods for a in ARMS]
    if not run_all(args, store, wanted, "study"):
        print("study.py: out of time; call it again for the rest")
    have = [store.runs[key_of(r)] for r in wanted if key_of(r) in store.runs]
    summary.write(have, args.results, "quick-" if args.quick else "")


if __name__ == "__main__":
    main()
