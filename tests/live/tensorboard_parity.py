#!/usr/bin/env python3
"""Reads the event file of a short run with the real tensorboard package and compares it with metrics.jsonl.

    python3 tests/live/tensorboard_parity.py --weft build-release/weft --model FOLDER --data train.jsonl
"""
import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as error:
    print(f"skipped: {error}; tests/live/make_venv.sh installs it")
    sys.exit(77)


def single(x):
    return struct.unpack("f", struct.pack("f", x))[0]


parser = argparse.ArgumentParser()
for name in ("weft", "model", "data"):
    parser.add_argument(f"--{name}", required=True)
args = parser.parse_args()

with tempfile.TemporaryDirectory() as folder:
    command = [args.weft, "train", f"model.path={args.model}", f"data.train={args.data}", f"data.test={args.data}",
               "data.max_train_rows=80", "data.max_test_rows=40", "data.max_length=16", "fl.num_clients=4",
               "fl.clients_per_round=2", "fl.num_rounds=5", "client.local_steps=1", "client.batch_size=4",
               "eval.every=2", "fl.sync=fda-opt", f"run.output_dir={folder}", "run.name=live", "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    run = os.path.join(folder, "live")
    events = EventAccumulator(os.path.join(run, "tb"), size_guidance={"scalars": 0})
    events.Reload()
    with open(os.path.join(run, "metrics.jsonl"), encoding="utf-8") as file:
        rounds = [json.loads(line) for line in file]

pairs = {"train/loss": "loss", "train/lr": "lr", "train/skipped_clients": "skipped", "eval/loss": "eval_loss",
         "eval/accuracy": "eval_accuracy", "eval/f1_macro": "eval_f1_macro", "eval/matthews": "eval_matthews",
         "wire/up_bytes": "wire_up_total_bytes", "wire/down_bytes": "wire_down_total_bytes",
         "fda/estimate": "estimate", "fda/variance": "variance", "fda/theta": "theta", "fda/checks": "checks"}
tags = set(events.Tags()["scalars"])
bad = 0
for tag, key in pairs.items():
    want = [(m["round"], single(m[key])) for m in rounds if m.get(key) is not None]
    got = [(e.step, e.value) for e in events.Scalars(tag)] if tag in tags else []
    if got != want or not want:
        print(f"{tag}: {got} is not {want}")
        bad += 1
for tag in ("speed/tokens_per_s", "speed/client_updates_per_s", "speed/round_seconds", "memory/peak_rss_bytes"):
    got = [(e.step, e.value > 0) for e in events.Scalars(tag)] if tag in tags else []
    if got != [(m["round"], True) for m in rounds]:
        print(f"{tag}: {got}")
        bad += 1
print(f"tensorboard: {len(tags)} tags, {len(rounds)} rounds, {bad} differ")
sys.exit(bad > 0)
