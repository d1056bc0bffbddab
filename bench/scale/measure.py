#!/usr/bin/env python3
"""What a round costs over ranks, clients and the size of the adapter, on this machine.

  measure.py [--weft PROGRAM] [--bench PROGRAM] [--repeats N] [--json FILE] [--models tiny,minilm]
  measure.py --only rounds|exchanges --json FILE    one half, which takes its place in the file
  measure.py --show FILE      the table of an earlier call
  measure.py --sizes FILE     only draws partitions of wn10 and keeps their clients' rows, which model.py deals

Trains the golden tiny BERT and MiniLM on rows of wn10 with one rank of one and of two threads and with 2, 4 and 8 ranks,
over cohorts and LoRA ranks, and runs bench_ranks. A round is the same work in every repeat and counts with the best of
them. Everything goes to a JSON file, from which model.py predicts and compares."""
import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
RANKS = [(1, 1), (1, 2), (2, 0), (4, 0), (8, 0)]  # ranks, threads (0: each rank's share of the cores)
MODELS = {"tiny": os.path.join(TOP, "tests", "golden", "hf_bert"), "minilm": os.path.join(TOP, "models", "all-minilm-l6-v2")}
# clients a round, r of LoRA; local steps of 4 rows
CASES = {"tiny": [(8, 4), (32, 4), (128, 4), (32, 16), (32, 64)], "minilm": [(4, 8), (8, 8), (16, 8), (8, 32), (8, 128)]}
STEPS = {"tiny": 8, "minilm": 1}
ROUNDS = 6


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_WAIT_POLICY": "passive"})
    if done.returncode:
        sys.exit(f"measure.py: {' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def train(args, model, clients, r, ranks, threads):
    """-> (lines of timing.jsonl, tokens of each round's clients, parameters)"""
    with tempfile.TemporaryDirectory(prefix="weft-ranks-cost-") as folder:
        job = os.path.join(folder, "job.yaml")
        with open(job, "w") as f:
            f.write("{}\n")
        options = {"run.output_dir": folder, "run.name": "one", "run.threads": threads, "model.path": MODELS[model],
                   "data.train": os.path.join(TOP, "data", "wn10", "train.jsonl"), "data.max_train_rows": 4000,
                   "data.max_length": 32, "fl.num_clients": clients, "fl.clients_per_round": clients,
                   "fl.num_rounds": ROUNDS, "client.batch_size": 4, "client.local_steps": STEPS[model], "lora.r": r,
                   "lora.target_modules": "all-linear", "checkpoint.save_every": 0}
        run([args.weft, "train", job, "--ranks", str(ranks), "--quiet", *(f"{k}={v}" for k, v in options.items())])
        one = os.path.join(folder, "one")
        with open(os.path.join(one, "timing.jsonl")) as f:
            lines = [json.loads(line) for line in f]
        with open(os.path.join(one, "summary.json")) as f:
            parameters = json.load(f)["adapter_parameters"]
        tokens = [[] for _ in lines]
        with open(os.path.join(one, "clients.csv"), newline="") as f:
            for row in csv.DictReader(f):
                tokens[int(row["round"]) - 1].append(int(row["tokens"]))
    return lines, tokens, parameters


def measure(args, model, clients, r):
    """Of every round the best repeat, by the clock and in processor seconds of rank 0; the first round warms up."""
    best = {}
    for _ in range(args.repeats):
        for ranks, threads in RANKS:
            if ranks > clients:
                continue
            lines, tokens, parameters = train(args, model, clients, r, ranks, threads)
            entry = best.setdefault((ranks, threads), {"model": model, "clients": clients, "r": r, "parameters": parameters,
                                                       "ranks": ranks, "threads": threads, "steps": STEPS[model],
                                                       "tokens": tokens[1:]})
            for key in ("seconds", "cpu_seconds", "exchange_seconds"):
                now = [t[key] for t in lines[1:] if key in t]
                entry[key] = [min(pair) for pair in zip(entry.get(key, now), now)]
    return list(best.values())


def exchanges(args):
    out = []
    for ranks in (2, 4, 8):
        tries = [json.loads(run([args.bench, "--ranks", str(ranks), "--samples", "11"])) for _ in range(args.repeats)]
        best = tries[0]
        for t in tries[1:]:
            for key in ("open_seconds", "message_seconds", "message_same_core_seconds"):
                best[key] = min(best[key], t[key])
            best["copy_bytes_per_s"] = max(best["copy_bytes_per_s"], t["copy_bytes_per_s"])
            for a, b in zip([best["meeting"], *best["sums"]], [t["meeting"], *t["sums"]]):
                for key in ("best_seconds", "median_seconds", "floor_seconds"):
                    a[key] = min(a[key], b[key])
        out.append(best)
    return out


def sizes(args):
    """Rows of each client. With alpha 0.1 more than a few hundred clients would leave some without any."""
    rows = {}
    for alpha, clients in (("1.0", 2000), ("0.5", 2000), ("0.1", 200)):
        with tempfile.TemporaryDirectory(prefix="weft-sizes-") as folder:
            split = os.path.join(folder, "split.json")
            run([args.weft, "partition", f"model.path={MODELS['minilm']}", "partition.kind=dirichlet", f"partition.alpha={alpha}",
                 f"data.train={os.path.join(TOP, 'data', 'wn10', 'train.jsonl')}", f"fl.num_clients={clients}", "--output", split])
            with open(split) as f:
                rows[alpha] = [len(r) for r in json.load(f)["rows_of_client"]]
    with open(args.sizes, "w") as f:
        json.dump({"what": "rows of each client by partition.alpha", "rows": rows}, f)
        f.write("\n")


def show(result):
    print(f"{'model':7} {'clients':>7} {'r':>4} {'numbers':>9} {'ranks':>5} {'threads':>7} {'best round, ms':>14} {'over one rank':>13} "
          f"{'rank 0, cpu ms':>14}")
    base = None
    for row in result.get("rounds", []):
        mean = sum(row["seconds"]) / len(row["seconds"])
        if row["ranks"] == 1 and row["threads"] == 1:
            base = mean
        print(f"{row['model']:7} {row['clients']:7} {row['r']:4} {row['parameters']:9} {row['ranks']:5} {row['threads'] or 'own':>7} "
              f"{1e3 * mean:14.2f} {base / mean:13.2f} {1e3 * sum(row['cpu_seconds']) / len(row['cpu_seconds']):14.2f}")
    for e in result.get("exchanges", []):
        m = e["meeting"]
        print(f"\n{e['ranks']} ranks on {e['cores']} cores: greeting {1e3 * e['open_seconds']:.1f} ms; a meeting "
              f"{1e6 * m['best_seconds']:.0f} us best, {1e6 * m['median_seconds']:.0f} median, floor {1e6 * m['floor_seconds']:.0f}")
        for s in e["sums"]:
            print(f"  sum of {s['bytes']:>9} bytes: {1e3 * s['best_seconds']:9.3f} ms best, {1e3 * s['median_seconds']:9.3f} median, "
                  f"floor {1e3 * s['floor_seconds']:8.3f} ({s['floor_seconds'] / s['best_seconds']:.2f} of it), "
                  f"{s['bytes'] / s['best_seconds'] / 1e9:.2f} GB/s")


def main():
    p = argparse.ArgumentParser(description="the cost of rounds over ranks; see the head of this file")
    p.add_argument("--weft", default=os.path.join(TOP, "build-release", "weft"))
    p.add_argument("--bench", default=os.path.join(TOP, "build-release", "bench", "bench_ranks"))
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--models", default="tiny,minilm")
    p.add_argument("--json")
    p.add_argument("--show", metavar="FILE", help="print what an earlier call kept, and measure nothing")
    p.add_argument("--only", choices=["rounds", "exchanges"])
    p.add_argument("--sizes", metavar="FILE")
    args = p.parse_args()
    if args.sizes:
        sizes(args)
        return
    if args.show:
        with open(args.show) as f:
            show(json.load(f))
        return
    if args.repeats < 1 or not set(args.models.split(",")) <= set(MODELS):
        p.error(f"--repeats from 1, --models of {', '.join(MODELS)}")
    result = {}
    if args.only and args.json and os.path.exists(args.json):
        with open(args.json) as f:
            result = json.load(f)
    result["cores"] = len(os.sched_getaffinity(0))
    if args.only != "rounds":
        result["exchanges"] = exchanges(args)
    if args.only != "exchanges":
        result["rounds"] = [row for model in args.models.split(",") for case in CASES[model] for row in measure(args, model, *case)]
    result["load_average"] = os.getloadavg()
    show(result)
    if args.json:
        with open(args.json, "w") as f:
            json.dump(result, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
