#!/usr/bin/env python3
"""What looking at the variance between clients costs (fl.sync=fda, a check after every step), by estimator.

  fda_cost.py [--build FOLDER] [--model FOLDER] [--rows FILE] [--clients N] [--threads N] [--repeats N] [--json FILE]

Times rounds of `weft bench` on a real encoder: ten clients, steps of 4 rows and of 16, every estimator with the exact
variance logged at every check and without, in turns. Prints the time of a step and of a check in it, its share, and
the bytes that a client sends at a check beside those of its update. Then the operations of a check, by `bench_ops`: time, floor, and how much of it is reached. Every time is the best of
--repeats turns, every floor that of the highest rates seen: other work on the machine only ever adds.
Needs the model and rows of third_party/fetch/{minilm,wn10}.sh."""
import argparse
import json
import os
import subprocess
import sys
import tempfile

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
KINDS = {"naive": {}, "linear": {}, "sketch, hash 5x250": {"fda.sketch": "hash"},
         "sketch, xor 5x256": {"fda.sketch": "xor"}, "exact": {}}
CHECKS = 5  # of a round
OPS = ["range_sqdist", "project", "table_sketch", "drift", "update_add", "sum_read"]


def options(args, kind, more, batch, variance, folder):
    return {"model.path": args.model, "data.train": args.rows, "data.max_train_rows": 2000, "data.max_length": 64,
            "run.threads": args.threads, "run.output_dir": folder, "fl.num_clients": args.clients,
            "fl.clients_per_round": args.clients, "client.batch_size": batch, "fl.sync": "fda", "fda.theta": 1e9,
            "fda.max_checks": CHECKS, "fda.target": CHECKS, "fda.estimator": kind.split(",")[0], "fda.variance": variance, **more}


def run(args, verb, settings, *words):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as job:
        job.write("{}\n")
        job.flush()
        command = [os.path.join(args.build, "weft"), verb, job.name, *(f"{k}={v}" for k, v in settings.items()), "--format", "json", "--quiet", *words]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"fda_cost.py: {' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def sent(args, kind, folder):
    """-> bytes that a client sends at a check, and those of its update, as `weft plan` counts them."""
    plan = run(args, "plan", options(args, kind, KINDS[kind], 4, "rounds", folder))
    update = 4 * plan["adapter_parameters"]
    return round((plan["per_round"]["bytes_up"] / args.clients - update) / CHECKS), update


def processor():
    with open("/proc/cpuinfo") as f:
        return next((x.split(":", 1)[1].strip() for x in f if x.startswith("model name")), "unknown")


def operations(args):
    """-> bench_ops's name of the backend, the peak and copy rate, and its lines of the operations of a check."""
    best, note, peak, copy = {}, "", 0.0, 0.0
    for op in args.repeats * OPS:
        with tempfile.NamedTemporaryFile("r", suffix=".json") as out:
            command = [os.path.join(args.build, "bench", "bench_ops"), "--filter", op, "--threads", str(args.threads),
                       "--json", out.name]
            done = subprocess.run(command, stdout=subprocess.DEVNULL)
            if done.returncode:
                sys.exit(f"fda_cost.py: {' '.join(command)} ended with {done.returncode}")
            got = json.load(out)
        note, peak, copy = got["note"], max(peak, got["peak"]), max(copy, got["bandwidth"])
        for line in got["ops"]:
            key = line["op"], line["shape"]
            if line["op"].split()[0] == op and (key not in best or line["best_s"] < best[key]["best_s"]):
                best[key] = {k: line[k] for k in ("op", "shape", "best_s", "flops", "bytes")}
    for line in best.values():
        line["floor_s"] = max(line["flops"] / peak, line["bytes"] / copy)
    return note, peak, copy, list(best.values())


def main():
    p = argparse.ArgumentParser(description="the cost of checks; see the head of this file")
    p.add_argument("--build", default=os.path.join(TOP, "build-release"))
    p.add_argument("--model", default=os.path.join(TOP, "models", "all-minilm-l6-v2"))
    p.add_argument("--rows", default=os.path.join(TOP, "data", "wn10", "train.jsonl"))
    p.add_argument("--clients", type=int, default=10)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--repeats", type=int, default=1)
    p.add_argument("--json")
    args = p.parse_args()
    cases = [(batch, kind, variance) for batch in (4, 16) for kind in KINDS for variance in ("rounds", "checks")
             if kind != "exact" or variance == "checks"]
    times = {c: [] for c in cases}
    with tempfile.TemporaryDirectory(prefix="weft-fda-cost-") as folder:
        for _ in range(args.repeats):
            for case in cases:
                batch, kind, variance = case
                got = run(args, "bench", options(args, kind, KINDS[kind], batch, variance, folder))
                phase = {q["name"]: q["seconds"] for q in got["phases"]}
                times[case].append((sum(phase.values()), phase["variance"]))
        size = {kind: sent(args, kind, folder) for kind in KINDS}
    rows = []
    print(f"{'rows':>4} {'estimator':20} {'exact variance':>14} {'step ms':>8} {'check ms':>8} {'share':>7} "
          f"{'bytes':>7} {'of an update':>12}")
    for (batch, kind, variance), seconds in times.items():
        step, check = min(s for s, _ in seconds), min(c for _, c in seconds)
        share, (state, update) = check / step, size[kind]
        rows.append({"rows": batch, "estimator": kind, "variance": variance, "step_seconds": step,
                     "check_seconds": check, "share": share, "bytes": state, "update_bytes": update})
        print(f"{batch:>4} {kind:20} {'at every check' if variance == 'checks' else 'once a round':>14} "
              f"{1e3 * step:8.2f} {1e3 * check:8.3f} {100 * share:6.2f}% {state:7} {100 * state / update:11.3f}%")
    note, peak, copy, ops = operations(args)
    print(f"\n{'operation':20} {'shape':16} {'best ms':>8} {'floor ms':>8} {'reached':>8}")
    for line in ops:
        print(f"{line['op']:20} {line['shape']:16} {1e3 * line['best_s']:8.3f} {1e3 * line['floor_s']:8.3f} "
              f"{100 * line['floor_s'] / line['best_s']:7.0f}%")
    if args.json:
        report = {"machine": processor(), "cores": os.cpu_count(), "threads": args.threads, "backend": note,
                  "peak_flops": peak, "copy_bytes_per_s": copy, "clients": args.clients, "repeats": args.repeats,
                  "checks": rows, "operations": ops}
        with open(args.json, "w") as f:
            json.dump(report, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
