#!/usr/bin/env python3
"""Weft beside PyTorch + PEFT on this CPU: the same federated rounds, in turns, over clients and tokens.

  sweep.py [--python PYTHON] [--build DIR] [--models minilm,bert-base] [--clients 1,4,16,64]
           [--tokens 64,256,1024,4096] [--dtype f32|bf16] [--threads N] [--steps N] [--modes MODE[,MODE...]]
           [--repeats N] [--limit SECONDS] [--wait passive|active] [--quick] [--fresh] [--show]
           [--json FILE] [--plot FILE]

Builds nothing: needs build-release/bench/bench_clients, and for the rival a PYTHON with torch, transformers, peft and
numpy (tests/live/make_venv.sh makes one). A cell is a model, K clients a round and T tokens in each client's step;
README.md says what each figure means. Both sides are processes that stay for the cell; while one runs rounds, the
other is stopped (SIGSTOP). --json is written after each cell and a later call with the same file does what is left;
--fresh starts over. --show only prints and plots the file. Exit code: 0 good, 1 losses differ or a side failed, 77 no
PyTorch."""
import argparse
import json
import math
import os
import platform
import signal
import statistics
import subprocess
import sys
import time

import sweep_plot

HERE = os.path.dirname(os.path.abspath(__file__))
SHAPES = {64: (2, 32), 256: (4, 64), 1024: (8, 128), 4096: (32, 128)}  # tokens of a step: rows x length
LONG_STEP = 65536  # tokens of all clients in a step, times the work of a token, from which a visit is one step
WORK = {"bert-base": 8, "roberta-base": 8, "roberta-large": 28}  # of a token; of MiniLM's 1
TAX_TOKENS = 16384  # of all clients in a step, up to which one client with the same rows is timed too
RACE_CLIENTS = 4
MODES = {"f32": ["eager", "math", "eager-nodnn", "compile"],
         "bf16": ["eager", "eager-lean", "compile", "compile-lean"]}
TOLERANCE = {"f32": 2e-3, "bf16": 3e-2}


class Failed(Exception):
    pass


class Side:
    """A process that answers a line of JSON to a line; stopped while it has nothing to do."""

    def __init__(self, command, wait, limit):
        environment = dict(os.environ, OMP_WAIT_POLICY=wait, TORCHINDUCTOR_COMPILE_THREADS="1")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE if not os.environ.get("SWEEP_DEBUG") else None,
                                        env=environment)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.rest = b""
        self.about = self.answer(limit)
        self.process.send_signal(signal.SIGSTOP)

    def answer(self, limit):
        end = time.monotonic() + limit
        while b"\n" not in self.rest:
            part = self.process.stdout.read()
            if part:
                self.rest += part
            elif part == b"" or self.process.poll() is not None:
                why = self.process.stderr.read().decode(errors="replace") if self.process.stderr else ""
                raise Failed((why.strip().splitlines() or ["it ended"])[-1])
            elif time.monotonic() > end:
                raise Failed(f"no answer in {limit:.0f} s")
            else:
                time.sleep(0.01)
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def ask(self, request, limit):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write((str(request) + "\n").encode())
        self.process.stdin.flush()
        result = self.answer(limit)
        self.process.send_signal(signal.SIGSTOP)
        if "error" in result:
            raise Failed(result["error"])
        return result

    def close(self):
        self.process.kill()
        self.process.wait()


class Ours(Side):
    def __init__(self, args, model, clients, batch, length, steps):
        program = os.path.join(args.build, "bench", "bench_clients")
        super().__init__([program, "--model", model, "--clients", str(clients), "--batch", str(batch), "--length",
                          str(length), "--steps", str(steps), "--dtype", args.dtype, "--threads", str(args.threads)],
                         args.wait, args.limit)

    def rounds(self, n, limit):
        return self.ask(n, limit)


class Rival(Side):
    def __init__(self, args, model, batch, length, steps):
        super().__init__([args.python, os.path.join(HERE, "peft", "serve_peft.py"), "--model", model, "--dtype",
                          args.dtype, "--batch", str(batch), "--length", str(length), "--clients",
                          str(max(args.clients)), "--steps", str(steps), "--threads", str(args.threads),
                          "--flush-denormal"], args.wait, args.limit)

    def rounds(self, n, limit, mode, clients, fresh=False):
        return self.ask(json.dumps({"mode": mode, "clients": clients, "rounds": n, "fresh": fresh}), limit)


def apart(ours, theirs):
    """The largest relative difference of losses, of small ones to 0.1."""
    return max((abs(a - b) / max(abs(b), 0.1) for a, b in zip(ours, theirs)), default=0.0)


class RivalPool:
    """The rival for one model and T, with the mode that a race of short rounds found fastest."""

    def __init__(self, args, model, tokens):
        self.args, self.model, self.tokens = args, model, tokens
        self.side, self.key, self.best, self.race = None, None, None, {}

    def get(self, steps):
        if self.key != steps:
            self.close()
            self.side = Rival(self.args, self.model, *SHAPES[self.tokens], steps)
            self.key = steps
        if not self.race:
            self.run_race()
        return self.side

    def run_race(self):
        clients = min(RACE_CLIENTS, max(self.args.clients)) if self.tokens <= 1024 else 1
        for mode in self.args.modes:
            try:
                self.side.rounds(1, self.args.mode_limit, mode, clients, True)
                seconds = [min(self.side.rounds(2, self.args.limit, mode, clients)["seconds"]) for _ in range(2)]
                self.race[mode] = min(seconds) / clients / self.key
            except Failed as e:
                self.race[mode] = None
                print(f"  {mode}: {e}", file=sys.stderr, flush=True)
                if self.side.process.poll() is not None or "no answer" in str(e):
                    self.close()
                    self.side = Rival(self.args, self.model, *SHAPES[self.tokens], self.key)
        good = {m: s for m, s in self.race.items() if s}
        if not good:
            raise Failed("no mode of the rival ran")
        self.best = min(good, key=good.get)
        print(f"  rival, {self.model}, {self.tokens} tokens, ms a client step: " +
              ", ".join(f"{m} {1e3 * s:.1f}" for m, s in good.items()), flush=True)

    def close(self):
        if self.side:
            self.side.close()
        self.side = self.key = None


class Timed:
    """Blocks of rounds of one side: medians of wall and processor seconds of each."""

    def __init__(self, run, first):
        self.run, self.guess, self.wall, self.cpu = run, first, [], []

    def block(self, seconds):
        n = max(1, min(50, math.ceil(seconds / max(self.guess, 1e-4))))
        r = self.run(n)
        self.wall.append(statistics.median(r["seconds"]))
        self.cpu.append(statistics.median(r["cpu_seconds"]))
        self.guess = self.wall[-1]

    def best(self):
        return min(self.wall), min(self.cpu)


def measure(args, pool, model, clients, tokens):
    batch, length = SHAPES[tokens]
    steps = 1 if clients * tokens * WORK.get(model, 1) >= LONG_STEP else args.steps
    rival = pool.get(steps)
    per_step = pool.race[pool.best]
    few = max([k for k in args.clients if k <= clients and k * steps * per_step <= args.limit], default=1)
    sides = []
    try:
        ours = Ours(args, model, clients, batch, length, steps)
        sides.append(ours)
        wait = 3600
        one = ours.rounds(1, wait)
        his = rival.rounds(1, wait, pool.best, few, True)
        far = apart(one["client_loss"], his["client_loss"])
        slow = one["seconds"][0] > args.limit / 2  # the first is the only one
        if not slow and few == clients:
            two, his_two = ours.rounds(1, wait), rival.rounds(1, wait, pool.best, few)
            far = max(far, apart([two["loss"]], [his_two["loss"]]))
            one, his = two, his_two
        timed = {"ours": Timed(lambda n: ours.rounds(n, wait), one["seconds"][0]),
                 "rival": Timed(lambda n: rival.rounds(n, wait, pool.best, few), his["seconds"][0])}
        if clients > 1 and clients * tokens <= TAX_TOKENS:
            solo = Ours(args, model, 1, clients * batch, length, steps)
            sides.append(solo)
            first = solo.rounds(1, wait)["seconds"][0]
            timed["solo"] = Timed(lambda n: solo.rounds(n, wait), first)
        if slow:
            timed["ours"].wall, timed["ours"].cpu = one["seconds"], one["cpu_seconds"]
        for _ in range(1 if slow or one["seconds"][0] > args.limit / 10 else args.repeats):
            for name, t in timed.items():
                if name == "ours" and slow:
                    continue
                t.block(args.block)
        about = ours.about
    finally:
        for s in sides:
            s.close()
    (mine, mine_cpu), (his_s, his_cpu) = timed["ours"].best(), timed["rival"].best()
    cell = {"model": model, "dtype": args.dtype, "clients": clients, "tokens": tokens, "batch": batch,
            "length": length, "steps": steps, "threads": about["threads"], "backend": about["note"],
            "our_round_s": mine, "our_round_cpu_s": mine_cpu, "rival_clients": few, "rival_mode": pool.best,
            "rival_round_s": his_s * clients / few, "rival_round_cpu_s": his_cpu * clients / few,
            "rival_modes_s_per_client_step": pool.race, "needed_flops": about["needed_flops"],
            "computed_flops": about["computed_flops"], "peak_flops": about["peak_flops"], "warm": not slow,
            "loss_apart": far, "losses_agree": far <= TOLERANCE[args.dtype], "loss": one["loss"],
            "solo_round_s": timed["solo"].best()[0] if "solo" in timed else None,
            "blocks": {name: t.wall for name, t in timed.items()}}
    return cell, rival.about


# ---- what follows from a file ----

def derive(cells):
    """Adds ratios; the peak is the highest that any cell of the dtype measured."""
    for c in cells:
        peak = max(o["peak_flops"] for o in cells if o["dtype"] == c["dtype"])
        floor = c["needed_flops"] / peak
        c["ratio"] = c["rival_round_s"] / c["our_round_s"]
        c["cpu_ratio"] = c["rival_round_cpu_s"] / c["our_round_cpu_s"]
        c["most"] = c["rival_round_s"] / floor
        c["floor_share"] = floor / c["our_round_s"]
        c["tax"] = c["solo_round_s"] / c["our_round_s"] if c["solo_round_s"] else None
    return cells


def goal(c):
    if c["dtype"] != "f32":
        return None
    if c["model"] == "minilm" and c["clients"] > 1 and c["tokens"] <= 256:
        return 3.0 if c["tokens"] == 64 else 2.0
    if c["model"] == "bert-base" and c["clients"] > 1 and c["tokens"] <= 256:
        return 1.5
    return 1.2 if c["clients"] == 1 and c["tokens"] == 4096 else None


def table(cells):
    lines = [f"{'model':10} {'dtype':5} {'clients':>7} {'tokens':>6} {'rows':>7} {'rival':>14} {'theirs/s':>9} {'ours/s':>9} "
             f"{'ratio':>6} {'cpu':>6} {'at most':>7} {'goal':>5} {'floor':>6} {'tax':>5} {'losses':>8}  notes"]
    for c in sorted(cells, key=lambda c: (c["model"] != "minilm", c["model"], c["dtype"], c["tokens"], c["clients"])):
        updates = c["clients"] * c["steps"]
        notes = [] if c["losses_agree"] else ["LOSSES DIFFER"]
        if c["rival_clients"] < c["clients"]:
            notes.append(f"rival timed on {c['rival_clients']} clients")
        if not c["warm"]:
            notes.append("one round, not warmed up")
        g = goal(c)
        lines.append(
            f"{c['model']:10} {c['dtype']:5} {c['clients']:7} {c['tokens']:6} {c['batch']:>3}x{c['length']:<3} "
            f"{c['rival_mode']:>14} {updates / c['rival_round_s']:9.2f} {updates / c['our_round_s']:9.2f} "
            f"{c['ratio']:6.2f} {c['cpu_ratio']:6.2f} {c['most']:7.2f} {g or '':>5} {100 * c['floor_share']:5.0f}% "
            f"{'' if c['tax'] is None else format(c['tax'], '.2f'):>5} {c['loss_apart']:8.1e}  {', '.join(notes)}")
    return "\n".join(lines)


def processor():
    try:
        with open("/proc/cpuinfo") as f:
            return next((x.split(":", 1)[1].strip() for x in f if x.startswith("model name")), platform.machine())
    except OSError:
        return platform.machine()


def write(path, report):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path + ".part", "w") as f:
        json.dump(report, f, indent=1)
        f.write("\n")
    os.replace(path + ".part", path)


def arguments():
    p = argparse.ArgumentParser(description="Weft beside PyTorch + PEFT; see the head of this file")
    numbers = lambda text: sorted(int(x) for x in text.split(","))
    p.add_argument("--python", default=os.path.join(HERE, "..", ".venv-live", "bin", "python"))
    p.add_argument("--build", default=os.path.join(HERE, "..", "build-release"))
    p.add_argument("--models", type=lambda t: t.split(","), default=["minilm", "bert-base"])
    p.add_argument("--clients", type=numbers, default=[1, 4, 16, 64])
    p.add_argument("--tokens", type=numbers, default=sorted(SHAPES))
    p.add_argument("--dtype", choices=sorted(TOLERANCE), default="f32")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--steps", type=int, default=4)
    p.add_argument("--modes", type=lambda t: t.split(","), default=None)
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--block", type=float, default=1.0, help="seconds of rounds in a turn")
    p.add_argument("--limit", type=float, default=120, help="longest round, seconds: beyond, the rival has fewer clients")
    p.add_argument("--mode-limit", type=float, default=400, help="a mode of the rival has to be ready by then")
    p.add_argument("--wait", choices=["passive", "active"], default="active", help="OMP_WAIT_POLICY of both")
    p.add_argument("--quick", action="store_true", help="MiniLM, small cells, the rival eager: about a minute")
    p.add_argument("--fresh", action="store_true")
    p.add_argument("--show", action="store_true")
    p.add_argument("--json", default=os.path.join(HERE, "results", "cpu_sweep.json"))
    p.add_argument("--plot", default=None)
    args = p.parse_args()
    if args.quick:
        args.models, args.clients, args.tokens = args.models[:1], args.clients[:3], args.tokens[:2]
        args.modes, args.block = ["eager"], 0.3
    if not args.modes:
        args.modes = MODES[args.dtype]
    if any(t not in SHAPES for t in args.tokens):
        p.error(f"--tokens are of {sorted(SHAPES)}")
    args.plot = args.plot or os.path.splitext(args.json)[0] + ".svg"
    return args


def run(args, report):
    key = lambda c: (c["model"], c["dtype"], c["clients"], c["tokens"], c["threads"])
    done = {key(c) for c in report["cells"]}
    failed = False
    for model in args.models:  # cells of one model and T share a rival, whose modes race once
        for tokens in args.tokens:
            pool = RivalPool(args, model, tokens)
            for clients in args.clients:
                if (model, args.dtype, clients, tokens, args.threads) in done:
                    continue
                try:
                    cell, versions = measure(args, pool, model, clients, tokens)
                except Failed as e:
                    print(f"{model} {clients} x {tokens}: failed: {e}", file=sys.stderr, flush=True)
                    failed = True
                    continue
                report["versions"] = versions
                report["cells"].append(cell)
                write(args.json, report)
                print(table(derive([dict(c) for c in report["cells"]])[-1:]), flush=True)
            pool.close()
    return failed


def main():
    args = arguments()
    report = {"machine": processor(), "cores": os.cpu_count(), "wait": args.wait, "cells": []}
    if os.path.exists(args.json) and (args.show or not args.fresh):
        with open(args.json) as f:
            report = json.load(f)
    failed = False
    if not args.show:
        have = subprocess.run([args.python, "-c", "import torch, transformers, peft"], capture_output=True)
        if have.returncode != 0:
            print(f"skipped: {args.python} has no torch, transformers and peft; see --python")
            return 77
        failed = run(args, report)
    if not report["cells"]:
        return 1
    cells = derive(report["cells"])
    print(f"{report['machine']}, {report['cores']} cores; {json.dumps(report.get('versions', {}))}")
    print(table(cells))
    with open(args.plot, "w") as f:
        f.write(sweep_plot.svg(cells))
    return 1 if failed or not all(c["losses_agree"] for c in cells) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FileNotFoundError as e:
        sys.exit(f"sweep.py: {e.filename}: not there; build it, or see --build and --python")
