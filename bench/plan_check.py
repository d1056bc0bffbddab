#!/usr/bin/env python3
"""What `weft plan` says a job takes beside what it took: anonymous memory at its highest.

  plan_check.py [--weft PROGRAM] [--only NAME,...] [--folder DIR] [--json FILE] [--tolerance 0.05]

Jobs of different kinds (JOBS below) on models of real shapes with random weights. Each is planned and trained, while
this program reads RssAnon of /proc/PID/status every few milliseconds; the highest reading is the measured peak. The
program's own figure, peak_anonymous_bytes of timing.jsonl, is printed beside it. Exit code 1: a plan is further
from the measured peak than the tolerance."""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import scale

SHAPES = {"tiny": scale.TINY,
          "minilm": {"layers": 6, "d": 384, "heads": 12, "vocab": 30522, "positions": 512},
          "bert-base": {"layers": 12, "d": 768, "heads": 12, "vocab": 30522, "positions": 512}}
ROWS = 4000
JOBS = {  # model, rows, options
    "minilm-2-slots": ("minilm", ROWS, {"fl.num_clients": 40, "fl.clients_per_round": 4, "engine.slots": 2,
                                        "client.batch_size": 16, "client.local_steps": 2, "test": True}),
    "bert-base-16-slots": ("bert-base", ROWS, {"fl.num_clients": 100, "fl.clients_per_round": 16,
                                               "client.batch_size": 4, "client.local_steps": 1}),
    "minilm-keep": ("minilm", ROWS, {"fl.num_clients": 200, "fl.clients_per_round": 20, "engine.slots": 4,
                                     "client.optimizer_state": "keep", "client.batch_size": 4,
                                     "client.local_steps": 1, "fl.num_rounds": 10}),
    "tiny-1m-clients": ("tiny", 1000000, {"fl.num_clients": 1000000, "fl.clients_per_round": 10,
                                          "client.batch_size": 1, "client.local_steps": 1, "fl.num_rounds": 50}),
}


def make(folder, name, shape, rows, options):
    options = dict(options)
    model = os.path.join(folder, shape)
    if not os.path.exists(os.path.join(model, "model.safetensors")):
        scale.write_model(model, **SHAPES[shape])
    table = os.path.join(folder, f"rows-{rows}-62.csv")
    if not os.path.exists(table):
        scale.write_rows(table, rows, 62)
    pairs = {"run.name": name, "run.output_dir": os.path.join(folder, "runs"), "run.overwrite": "true",
             "run.device": "cpu", "model.path": model, "data.train": table, "data.text_column": "text",
             "data.label_column": "label", "data.max_length": 64, "partition.kind": "iid", "fl.num_rounds": 3,
             "lora.r": 8, "client.optimizer": "adamw", "client.learning_rate": 1e-3}
    if options.pop("test", False):
        pairs["data.test"] = table
        pairs["data.max_test_rows"] = 500
    pairs.update(options)
    return [f"{k}={v}" for k, v in pairs.items()]


def anonymous(pid):
    try:
        with open(f"/proc/{pid}/status") as f:
            return next((1024 * int(line.split()[1]) for line in f if line.startswith("RssAnon")), 0)
    except OSError:
        return 0


def train(command):
    process, peak = subprocess.Popen(command, stdout=subprocess.DEVNULL), 0
    while process.poll() is None:
        peak = max(peak, anonymous(process.pid))
        time.sleep(0.003)
    if process.returncode != 0:
        sys.exit(f"plan_check.py: {' '.join(command)} ended with {process.returncode}")
    return peak


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description="plan and measured memory; see the head of this file")
    p.add_argument("--weft", default=os.path.join(here, "..", "build-release", "weft"))
    p.add_argument("--only", default=",".join(JOBS))
    p.add_argument("--set", nargs="*", default=[], help="options for all jobs, such as run.dtype=bf16")
    p.add_argument("--folder")
    p.add_argument("--json")
    p.add_argument("--tolerance", type=float, default=0.05)
    args = p.parse_args()
    results, good = [], True
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or temporary
        for name in args.only.split(","):
            shape, rows, options = JOBS[name]
            pairs = make(folder, name, shape, rows, options) + args.set
            plan = json.loads(subprocess.run([args.weft, "plan", *pairs, "--format", "json", "--quiet"], check=True,
                                             stdout=subprocess.PIPE).stdout)
            peak = train([args.weft, "train", *pairs, "--quiet"])
            with open(os.path.join(folder, "runs", name, "timing.jsonl")) as f:
                own = json.loads(f.readlines()[-1])["peak_anonymous_bytes"]
            planned = plan["memory_bytes_total"]
            off = planned / peak - 1
            good = good and abs(off) <= args.tolerance
            results.append({"job": name, "planned": planned, "measured": peak, "own": own, "off": off,
                            "items": plan["memory_bytes"]})
            print(f"{name:20} planned {planned / 2**20:8.1f} MiB, measured {peak / 2**20:8.1f} MiB: {100 * off:+5.1f} %; "
                  f"timing.jsonl says {own / 2**20:.1f} MiB", flush=True)
            if args.json:
                with open(args.json, "w") as f:
                    json.dump(results, f, indent=1)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
