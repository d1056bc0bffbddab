"""The model with this machine's figures, against what measure.py kept: every round with 2, 4 and 8 ranks is predicted from
the same job's round with one rank of one thread and from exchanges between two ranks."""
import json
import math
import statistics

from deal import deal
from links import depth
from model import MEETING, REPORT, WORD, WORDS

TREE_BYTES = 64 << 10  # up to so many a sum takes the tree: comm_tcp.c


class Host:
    """Ranks of one machine share its cores and memory: what all send together goes at one rate, that of two ranks."""

    def __init__(self, exchanges):
        two = next(e for e in exchanges if e["ranks"] == 2)
        self.alpha = two["meeting"]["best_seconds"]  # one step, in which both send
        self.sums = [(s["bytes"], s["best_seconds"]) for s in two["sums"]]
        self.copy = two["copy_bytes_per_s"]
        self.cores = two["cores"]

    def sum_of_two(self, size):
        """Between the sizes that were timed, by straight lines of the logarithms."""
        below = [s for s in self.sums if s[0] <= size] or self.sums[:1]
        above = [s for s in self.sums if s[0] >= size] or self.sums[-1:]
        (x0, y0), (x1, y1) = below[-1], above[0]
        if x0 == x1:
            return y0 * size / x0 if size > x0 else y0
        return math.exp(math.log(y0) + (math.log(y1) - math.log(y0)) * math.log(size / x0) / math.log(x1 / x0))

    def sum(self, n, size):
        """A ring sends 2 (n-1) vectors in all, two ranks 2; a tree has depth(n) levels, two ranks one."""
        return (depth(n) if size <= TREE_BYTES else n - 1) * self.sum_of_two(size)

    def allgather(self, n, size):
        """depth(n) steps of n messages; more ranks than cores take turns. Bytes as in a sum around the ring, which sends
        as many to every rank twice."""
        turns = max(1.0, n / self.cores)
        return turns * depth(n) * self.alpha + max(0.0, self.sum(n, size * n) / 2 - self.sum(n, MEETING * n) / 2)

    def meeting(self, n):
        return self.allgather(n, MEETING)


def busiest(tokens, n, cores):
    """Share of the round's tokens that the busiest core trains: rank r of more ranks than cores keeps core r cores/n."""
    load = [0] * cores
    for rank, own in enumerate(deal(tokens, n)):
        load[rank * cores // n if n > cores else rank] += sum(tokens[i] for i in own)
    return max(load) / sum(tokens)


def predict_round(host, row, alone, round_):
    """Seconds of one round of `row`'s job on row["ranks"], given the same round's on one thread."""
    n, tokens, words = row["ranks"], row["tokens"][round_], WORDS * WORD * row["parameters"]
    server = (words + 48 * row["parameters"]) / host.copy
    train = (alone - server) * busiest(tokens, n, host.cores)
    fixed = server * max(1, n / host.cores) * min(n, host.cores)  # the cores share the memory
    exchange = (4 * host.meeting(n) + host.allgather(n, -(-len(tokens) // n) * REPORT) + host.sum(n, words)
                + host.sum(n, WORD) + n * 2 * 2 * words / host.copy)  # words go down from the device and up again
    return train + fixed + exchange, exchange


def compare(path):
    with open(path) as f:
        kept = json.load(f)
    host = Host(kept["exchanges"])
    print(f"From two ranks: {1e6 * host.alpha:.0f} us a step; copies {host.copy / 1e9:.1f} GB/s; {host.cores} cores\n")
    print("| exchange | ranks | predicted, ms | measured, ms | error |\n| --- | --- | --- | --- | --- |")
    for e in kept["exchanges"]:
        if e["ranks"] == 2:
            continue
        cells = [("meeting", host.meeting(e["ranks"]), e["meeting"]["best_seconds"])]
        cells += [(f"sum of {s['bytes']:,} bytes", host.sum(e["ranks"], s["bytes"]), s["best_seconds"]) for s in e["sums"]]
        for what, ours, theirs in cells:
            print(f"| {what} | {e['ranks']} | {1e3 * ours:.3g} | {1e3 * theirs:.3g} | {ours / theirs - 1:+.0%} |")
    print("\n| model | clients | r | ranks | of it exchanges, ms | predicted, ms | measured, ms | error |")
    print("| --- |" + " --- |" * 7)
    errors = {}
    for row in kept["rounds"]:
        if row["ranks"] == 1:
            continue
        alone = next(o for o in kept["rounds"] if (o["model"], o["clients"], o["r"], o["ranks"], o["threads"])
                     == (row["model"], row["clients"], row["r"], 1, 1))
        both = [predict_round(host, row, a, i) for i, a in enumerate(alone["seconds"])]
        ours, theirs = statistics.mean(b[0] for b in both), statistics.mean(row["seconds"])
        errors.setdefault(row["ranks"], []).append(ours / theirs - 1)
        print(f"| {row['model']} | {row['clients']} | {row['r']} | {row['ranks']} | {1e3 * both[0][1]:.3g} | {1e3 * ours:.4g} | "
              f"{1e3 * theirs:.4g} | {ours / theirs - 1:+.0%} |")
    for n, e in sorted(errors.items()):
        print(f"\n{n} ranks: error {statistics.median(e):+.0%} in the middle, {min(e):+.0%} to {max(e):+.0%}")
    return 0
