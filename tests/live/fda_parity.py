#!/usr/bin/env python3
"""Compares fl.sync=fda and fda-opt of the weft program with FDA and FDA-Opt written in PyTorch, transformers and peft.

    fda_parity.py --weft build-release/weft --data data/wn10/train.jsonl

Run inside the environment of make_venv.sh. A small random encoder (live_models.py), four clients of 9, 7, 5 and 3
rows, each of whose epochs is one batch, so that the order of rows does not matter. The reference trains its clients
one after the other by torch.optim on copies of PEFT's parameters, has the server's step done by torch.optim, and
knows all updates when it computes a variance. Checked, for every check of every round:
  decisions   checks in each round                                        equal
  variance    the exact one, of all and of A, B and head, and |u|^2        1e-4 relative
  estimate    of exact, naive and linear FDA; theta where it adapts       1e-4 relative
  adapter     after the last round, per tensor max|a-b| / max|b|          1e-3
Adam's eps is as large as a usual update. With 1e-8 the last bits of an update that is nearly zero decide a whole
step of its number, and two references that differ by a bit of the start end up to 2e-3 apart.
Prints a line per scenario; exit status 1 when one fails.
"""
import argparse
import csv
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import peft
import torch
import transformers
from safetensors.torch import load_file
from torch.func import functional_call

import live_models
from parity import make_adapter, trainable

SIZES = [9, 7, 5, 3]
VALUE, ADAPTER = 1e-4, 1e-3

# name, rounds, options beside those of all, server optimizer (None: average), client optimizer, weights, rule
SCENARIOS = [
    dict(name="FDA, exact", rounds=4, estimator="exact", sync="fda", theta=0.2, most=12, momentum=0.9, lr=0.02,
         uniform=True),
    dict(name="FDA, naive", rounds=4, estimator="naive", sync="fda", theta=0.3, most=12, momentum=0.9, lr=0.02,
         uniform=True),
    dict(name="FDA-Opt SGD, exact", rounds=5, estimator="exact", sync="fda-opt", most=10, momentum=0.0, lr=0.05,
         uniform=True),
    dict(name="FDA-Opt Adam, naive", rounds=5, estimator="naive", sync="fda-opt", most=10, momentum=0.0, lr=0.05,
         uniform=False, server=dict(lr=0.003, eps=1e-4)),
    dict(name="FDA-Opt Adam, linear", rounds=5, estimator="linear", sync="fda-opt", most=10, momentum=0.0, lr=0.05,
         uniform=True, server=dict(lr=0.003, eps=1e-4)),
]


def group(key):
    return 0 if "lora_A" in key else 1 if "lora_B" in key else 2


class Reference:
    """FDA by its definition, on vectors of float64 made from float32 parameters."""

    def __init__(self, case, model, scenario):
        self.case, self.model, self.s = case, model, scenario
        self.names = {key: name for name, p in model.named_parameters() if p.requires_grad
                      for key, q in trainable(model).items() if q is p}
        self.world = {key: p.detach().clone() for key, p in trainable(model).items()}
        batch, self.client, at = case.batch(), [], 0
        for n in SIZES:
            self.client.append((dict((k, v[at:at + n]) for k, v in batch.items()), case.labels[at:at + n]))
            at += n
        weights = torch.tensor([1.0] * len(SIZES) if scenario["uniform"] else SIZES, dtype=torch.float64)
        self.share = weights / weights.sum()
        self.momentum = [None] * len(SIZES)
        server = scenario.get("server")
        self.server_params = [torch.nn.Parameter(p.clone()) for p in self.world.values()]
        self.server = torch.optim.Adam(self.server_params, **server) if server else None
        self.before, self.theta = None, None

    def start(self, i):
        own = {key: p.clone().requires_grad_() for key, p in self.world.items()}
        optimizer = torch.optim.SGD(own.values(), lr=self.s["lr"], momentum=self.s["momentum"])
        if self.momentum[i] is not None:  # FDA's workers keep it
            for p, buffer in zip(own.values(), self.momentum[i]):
                optimizer.state[p]["momentum_buffer"] = buffer
        return own, optimizer

    def step(self, i, own, optimizer):
        batch, labels = self.client[i]
        optimizer.zero_grad()
        params = {self.names[key]: p for key, p in own.items()}
        functional_call(self.model, params, kwargs=dict(batch, labels=labels), strict=False).loss.backward()
        optimizer.step()

    def drifts(self, workers):
        return [{key: p.detach().double() - self.world[key].double() for key, p in own.items()}
                for own, _ in workers]

    def look(self, workers):
        """-> (estimate, variance, [of A, of B, of the head], mean |u|^2)."""
        u = self.drifts(workers)
        parts, norms, along = [0.0] * 3, 0.0, 0.0
        for key in self.world:
            mean = sum(p * x[key] for p, x in zip(self.share, u))
            parts[group(key)] += sum(p * ((x[key] - mean) ** 2).sum() for p, x in zip(self.share, u)).item()
            norms += sum(p * (x[key] ** 2).sum() for p, x in zip(self.share, u)).item()
        variance = sum(parts)
        if self.s["estimator"] == "exact":
            return variance, variance, parts, norms
        if self.s["estimator"] == "linear" and self.before:
            xi = {key: self.world[key].double() - self.before[key].double() for key in self.world}
            length = sum((x ** 2).sum() for x in xi.values()).sqrt()
            along = sum(p * sum((xi[key] * x[key]).sum() for key in xi) for p, x in zip(self.share, u)) / length
            along = along.item()
        return norms - along ** 2, variance, parts, norms

    def synchronise(self, workers):
        u = self.drifts(workers)
        mean = {key: sum(p * x[key] for p, x in zip(self.share, u)) for key in self.world}
        self.before = {key: p.clone() for key, p in self.world.items()}
        if self.server:
            for p, key in zip(self.server_params, self.world):
                p.grad = -mean[key].float()
            self.server.step()
            self.world = {key: p.detach().clone() for p, key in zip(self.server_params, self.world)}
        else:
            self.world = {key: (p.double() + mean[key]).float() for key, p in self.world.items()}
        if self.s["momentum"]:
            self.momentum = [[optimizer.state[p]["momentum_buffer"] for p in own.values()] for own, optimizer in workers]

    def run(self):
        rounds, fixed = [], self.s["sync"] == "fda"
        for r in range(self.s["rounds"]):
            workers, looks, theta = [self.start(i) for i in range(len(SIZES))], [], self.theta
            while True:
                for i, (own, optimizer) in enumerate(workers):
                    self.step(i, own, optimizer)
                looks.append(self.look(workers))
                over = looks[-1][0] > (self.s["theta"] if fixed else theta) if fixed or r else True
                if over or len(looks) == self.s["most"]:
                    break
            self.synchronise(workers)
            if not fixed:
                self.theta = self.s["most"] / 2 / len(looks) * looks[-1][1]
            rounds.append((looks, theta))
        return rounds


def run_weft(program, case, start, folder, scenario):
    s = scenario
    rows = folder / "rows.jsonl"
    client = [c for c, n in enumerate(SIZES) for _ in range(n)]
    rows.write_text("".join(json.dumps(dict(row, client=f"c{c}")) + "\n" for row, c in zip(case.rows, client)))
    job = {
        "run": {"output_dir": str(folder / "runs"), "name": "fda", "overwrite": True},
        "model": {"path": str(case.folder)},
        "data": {"train": str(rows), "client_column": "client", "max_length": case.max_length,
                 "labels": ",".join(map(str, case.classes))},
        "partition": {"kind": "natural"},
        "lora": {"r": case.lora.r, "alpha": case.lora.lora_alpha, "target_modules": case.targets,
                 "init_from": str(start)},
        "fl": {"clients_per_round": len(SIZES), "num_rounds": s["rounds"], "sync": s["sync"],
               "weighting": "uniform" if s["uniform"] else "examples",
               "strategy": "fedadam" if s.get("server") else "fedavg"},
        "server": {"preset": "torch"},
        "client": {"batch_size": max(SIZES), "optimizer": "sgd", "learning_rate": s["lr"], "momentum": s["momentum"],
                   "weight_decay": 0, "max_grad_norm": 0},
        "fda": {"estimator": s["estimator"], "max_checks": s["most"]},
    }
    if s["sync"] == "fda":
        job["fda"]["theta"] = s["theta"]
    if s.get("server"):
        job["server"].update(learning_rate=s["server"]["lr"], tau=s["server"]["eps"], weight_decay=0)
    path = folder / "job.yaml"
    path.write_text(json.dumps(job))
    done = subprocess.run([program, "train", path, "--quiet", "--no-progress"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"fda_parity: weft train ended with {done.returncode}:\n{done.stderr}")
    run = folder / "runs" / "fda"
    with open(run / "checks.csv", newline="") as f:
        checks = list(csv.DictReader(f))
    return checks, load_file(run / "adapter" / "adapter_model.safetensors")


def relative(got, want):
    return abs(float(got) - want) / max(abs(want), 1e-30)


def compare(scenario, rounds, world, checks, adapter):
    """-> (checks in each round as text, worst of the values, worst of the adapter, what differs or '')."""
    got = [[c for c in checks if int(c["round"]) == r + 1] for r in range(len(rounds))]
    counts = " ".join(str(len(looks)) for looks, _ in rounds)
    if [len(g) for g in got] != [len(looks) for looks, _ in rounds]:
        return counts, 0, 0, f"weft had {' '.join(str(len(g)) for g in got)}"
    worst = 0.0
    for r, (looks, theta) in enumerate(rounds):
        for c, (estimate, variance, parts, norms) in zip(got[r], looks):
            pairs = [("variance", variance), ("mean_sqnorm", norms), ("variance_a", parts[0]),
                     ("variance_b", parts[1]), ("variance_saved", parts[2])]
            if scenario["estimator"] != "linear" or r > 0:  # the first direction is weft's own
                pairs.append(("estimate", estimate))
            if theta is not None:
                pairs.append(("theta", theta))
            for name, want in pairs:
                worst = max(worst, relative(c[name], want))
    far = max(((adapter[key].double() - world[key].double()).abs().max() / world[key].abs().max()).item()
              for key in world)
    return counts, worst, far, "" if worst <= VALUE and far <= ADAPTER else "out of bounds"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weft", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    args = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)  # of transformers, about itself
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(2)
    data = [json.loads(line) for line in args.data.read_text().splitlines() if line.strip()]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="weft-fda-") as temp:
        folder = pathlib.Path(temp)
        torch.manual_seed(1)
        case = live_models.CASES["distilbert"]("distilbert", None, data, folder)
        start = folder / "start"
        model = make_adapter(case, start)
        for s in SCENARIOS:
            model.load_state_dict(peft.PeftModel.from_pretrained(case.load(), start, is_trainable=True).state_dict())
            reference = Reference(case, model, s)
            rounds = reference.run()
            checks, adapter = run_weft(args.weft, case, start, folder, s)
            counts, worst, far, wrong = compare(s, rounds, reference.world, checks, adapter)
            failed += bool(wrong)
            print(f"{'FAIL' if wrong else 'ok  '} {s['name']:<22} checks a round {counts:<16} values {worst:.1e} "
                  f"(bound {VALUE:.0e})  adapter {far:.1e} (bound {ADAPTER:.0e})  {wrong}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
