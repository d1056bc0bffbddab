#!/usr/bin/env python3
"""The time of one round over G devices, from figures of devices and links: what it is made of, and where it stops paying.

  model.py                         tables of 8 to 1,024 GPUs
  model.py --svg FILE [--json FILE]
  model.py --tcp-step SECONDS --speed FACTOR    with slower small exchanges, faster devices
  model.py --measured [FILE]       the same model with this machine's figures against bench/results/ranks_cost.json
  model.py --check                 known answers; exit code 1 when one is wrong

A round is: the busiest rank's clients, the gathering of reports, the exact sum of the updates, the server's step on every
rank, four meetings, and under FDA checks. Nothing overlaps, as in the engine."""
import argparse
import json
import os
import statistics
import sys
from dataclasses import dataclass, replace

import links
from deal import cohort, deal, homes, imbalance, visit_time

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
RESULTS = os.path.join(TOP, "bench", "results")
MEETING, REPORT, NOTE = 304, 144, 40  # bytes that a rank or client sends: engine/ranks.c, weft.h, fda.h
WORD, WORDS = 8, 2                    # the exact sum: two int64 for each number (kernels/exact_sum.h)
SKETCH = 5 * 250
GPUS = [8, 16, 32, 64, 128, 256, 512, 1024]


@dataclass(frozen=True)
class Device:
    """A model on a device: assumed until a GPU has measured it."""
    name: str
    parameters: int         # of the adapter
    rate: float             # tokens a second in full packs
    pack_seconds: float     # of any pack, however empty
    pack_tokens: int
    step_tokens: int        # of a client's local step
    slots: int              # clients at once


LLAMA8B = Device("8B, r 16", 41_900_000, 21_100, 3.7e-3, 16_896, 2_048, 43)
LLAMA8B_R64 = replace(LLAMA8B, name="8B, r 64", parameters=167_600_000, slots=10)
ROBERTA = Device("RoBERTa-base, r 8", 890_000, 1_460_000, 0.66e-3, 16_896, 1_024, 2_000)


def train_times(steps, ranks, device):
    costs = [s * device.step_tokens for s in steps]
    return [visit_time([steps[i] for i in own], device) for own in deal(costs, ranks)]


def checks_time(n, clients, m, device, estimator):
    """One check of the variance: norms on the device, notes of all clients, the sketches' sum."""
    cap = -(-clients // n)
    seconds = 2 * 4 * device.parameters * cap / m.memory
    if n > 1:
        seconds += links.allgather(n, MEETING, m) + links.allgather(n, cap * NOTE, m)
        if estimator == "sketch":
            seconds += links.allgather(n, MEETING, m) + links.host_sum(n, WORDS * WORD * SKETCH, m)
    return seconds


def evaluation_time(n, rows, m, device, tokens=128, labels=10):
    """Forward passes alone take half of a training step's time; each rank has its share of the rows."""
    own = -(-rows // n)
    packs = -(-own * tokens // device.pack_tokens)
    seconds = own * tokens / (2 * device.rate) + packs * device.pack_seconds / 2
    return seconds + (2 * links.allgather(n, MEETING, m) + links.allgather(n, own * labels * 4, m) if n > 1 else 0.0)


def round_time(n, steps, m, device, checks=0, estimator="sketch", rows=0):
    """-> {part: seconds} of a round of len(steps) clients of so many local steps on n devices, `rows` evaluated after it."""
    clients, out = len(steps), {}
    cap = -(-clients // n)
    train = train_times(steps, n, device)
    out["even"] = visit_time(steps, replace(device, pack_seconds=0.0)) / n  # were tokens all, and dealt evenly
    out["thin packs"] = statistics.mean(train) - out["even"]
    out["stragglers"] = max(train) - statistics.mean(train)
    vector = WORDS * WORD * device.parameters
    out["server"] = (vector + 12 * 4 * device.parameters) / m.memory
    out["sum"] = links.allreduce(n, vector, m)
    out["meetings"] = 4 * links.allgather(n, MEETING, m) if n > 1 else 0.0
    out["reports"] = links.allgather(n, cap * REPORT, m) + links.host_sum(n, WORD, m) if n > 1 else 0.0
    out["checks"] = checks * checks_time(n, clients, m, device, estimator) if checks else 0.0
    if checks:  # the exact variance at the round's end: the vector once more, and the clients' distances
        out["checks"] += out["sum"] + 2 * vector / m.memory
        if n > 1:
            out["checks"] += 2 * links.allgather(n, MEETING, m) + links.allgather(n, 24 * cap, m)
    out["evaluation"] = evaluation_time(n, rows, m, device) if rows else 0.0
    return out


def total(parts):
    return sum(parts.values())


def efficiency(n, steps, m, device, **more):
    return total(round_time(1, steps, m, device, **more)) / (n * total(round_time(n, steps, m, device, **more)))


# ---- jobs ----

def load_sizes():
    with open(os.path.join(RESULTS, "ranks_sizes.json")) as f:
        return json.load(f)["rows"]


def job_steps(kind, clients, sizes, local=8, seed=1):
    """Local steps of each client: the same for all, or an epoch of a client's rows, of `local` steps in the mean."""
    if kind == "equal":
        return [local] * clients
    rows = cohort(sizes[kind], clients, seed)
    batch = statistics.mean(sizes[kind]) / local
    return [max(1, round(r / batch + 0.5)) for r in rows]


KINDS = {"equal": "equal clients", "1.0": "Dirichlet 1.0", "0.5": "Dirichlet 0.5", "0.1": "Dirichlet 0.1"}
COHORTS = [16, 64, 256, 1024, 4096, 16384]


def table(device, m, kind, sizes, **more):
    print(f"\n### {device.name}, {KINDS[kind]}{', ' + str(more['checks']) + ' checks a round' if more.get('checks') else ''}\n")
    print("| clients a round | " + " | ".join(str(g) for g in GPUS) + " | 80 % up to | 50 % up to |")
    print("| --- |" + " --- |" * (len(GPUS) + 2))
    out = []
    for clients in COHORTS:
        steps = job_steps(kind, clients, sizes)
        row = [efficiency(g, steps, m, device, **more) for g in GPUS]
        last = [max((g for g, e in zip(GPUS, row) if e >= least), default=None) for least in (0.8, 0.5)]
        print(f"| {clients} | " + " | ".join(f"{e:.2f}" for e in row) + " | " + " | ".join(str(x or "under 8") for x in last) + " |")
        out.append({"device": device.name, "kind": kind, "clients": clients, "efficiency": dict(zip(GPUS, row)), **more})
    return out


def parts_table(device, m, sizes, cases, **more):
    names = list(round_time(2, [1, 1], m, device))
    print(f"\n### {device.name}: milliseconds of a round, {more.get('checks', 0)} checks, {more.get('rows', 0):,} rows evaluated\n")
    print("| GPUs | clients | kind | " + " | ".join(names) + " | efficiency |")
    print("| --- |" * 1 + " --- |" * (len(names) + 3))
    for n, clients, kind in cases:
        steps = job_steps(kind, clients, sizes)
        parts = round_time(n, steps, m, device, **more)
        print(f"| {n} | {clients} | {KINDS[kind]} | " + " | ".join(f"{1e3 * parts[p]:.3g}" for p in names)
              + f" | {efficiency(n, steps, m, device, **more):.2f} |")


def sums_table(m):
    """What exactness costs: two int64 beside one float32, by algorithm, and through the host."""
    print("\n### Sums of an adapter, milliseconds\n")
    print("| adapter | MB exact | GPUs | ring | tree | in nodes, then between | NCCL's choice | float32 | exact over float32 | through the host |")
    print("| --- |" + " --- |" * 9)
    for device in (ROBERTA, LLAMA8B, LLAMA8B_R64):
        for n in (8, 64, 1024):
            exact, plain = WORDS * WORD * device.parameters, 4 * device.parameters
            cells = [f(n, exact, m) for f in (links.ring, links.tree, links.hierarchical, links.allreduce)]
            short = links.allreduce(n, plain, m)
            print(f"| {device.name} | {exact / 1e6:.0f} | {n} | " + " | ".join(f"{1e3 * c:.3g}" for c in cells)
                  + f" | {1e3 * short:.3g} | {cells[3] / short:.1f} | {1e3 * links.host_sum(n, exact, m):.4g} |")


def deal_table(sizes, ranks=64, draws=25):
    print(f"\n### Busiest of {ranks} ranks over the mean, by the deal alone (steps of a client's epoch)\n")
    print("| clients a rank | " + " | ".join(KINDS[k] for k in KINDS) + " | equal clients that keep their optimizer state |")
    print("| --- |" + " --- |" * (len(KINDS) + 1))
    for each in (1, 2, 4, 8, 16, 64):
        cells = []
        for kind in KINDS:
            jobs = [job_steps(kind, ranks * each, sizes, seed=d) for d in range(draws if kind != "equal" else 1)]
            cells.append(statistics.mean(imbalance(steps, deal(steps, ranks)) for steps in jobs))
        equal = [1] * (ranks * each)
        cells.append(statistics.mean(imbalance(equal, homes(equal, ranks, d)) for d in range(draws)))
        print(f"| {each} | " + " | ".join(f"{c:.2f}" for c in cells) + " |")


def faster(device, factor):
    return replace(device, rate=device.rate * factor, pack_seconds=device.pack_seconds / factor)


def predict(args):
    m, sizes, out = links.HOPPER, load_sizes(), []
    if args.tcp_step:
        m = replace(m, tcp_near=links.Link(args.tcp_step, m.tcp_near.beta), tcp_far=links.Link(args.tcp_step, m.tcp_far.beta))
    big, wide, small = (faster(d, args.speed) for d in (LLAMA8B, LLAMA8B_R64, ROBERTA))
    print("Efficiency: time on one GPU over G times the time on G, the same round.")
    for kind in KINDS:
        out += table(big, m, kind, sizes)
    out += table(wide, m, "equal", sizes)
    for kind in ("equal", "0.5"):
        out += table(small, m, kind, sizes)
    out += table(big, m, "equal", sizes, checks=8)
    out += table(small, m, "equal", sizes, checks=8)
    parts_table(big, m, sizes, [(8, 256, "equal"), (64, 256, "equal"), (64, 256, "0.5"), (256, 256, "equal"), (1024, 4096, "0.5")],
                rows=5000)
    parts_table(small, m, sizes, [(8, 256, "equal"), (64, 256, "equal"), (64, 1024, "0.5"), (1024, 16384, "equal")], checks=8,
                rows=5000)
    sums_table(m)
    deal_table(sizes)
    if args.json:
        with open(args.json, "w") as f:
            json.dump(out, f, indent=1)
            f.write("\n")
    if args.svg:
        import plot
        with open(args.svg, "w") as f:
            f.write(plot.svg(out, GPUS, COHORTS, KINDS))


def main():
    p = argparse.ArgumentParser(description="the time of a round over devices; see the head of this file")
    p.add_argument("--svg")
    p.add_argument("--json")
    p.add_argument("--tcp-step", type=float, metavar="SECONDS")
    p.add_argument("--speed", type=float, default=1.0, metavar="FACTOR")
    p.add_argument("--measured", nargs="?", const=os.path.join(RESULTS, "ranks_cost.json"), metavar="FILE")
    p.add_argument("--check", action="store_true")
    args = p.parse_args()
    if args.check:
        import known
        return known.check()
    if args.measured:
        import host
        return host.compare(args.measured)
    predict(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
