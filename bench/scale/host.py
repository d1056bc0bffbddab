"""The model with this machine's figures, against what measure.py kept: every round with 2, 4 and 8 ranks is predicted from
the same job's round with one rank of one thread and from exchanges between two ranks."""
import json
import math
import statistics

from deal import deal
from links import depth
from model import MEETING, REPORT, WORD, WORDS

R_OF_LINE = {"tiny": 4, "minilm": 8}  # of the rounds that differ in clients alone: measure.py
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


def shares(tokens, n):
    """Of the round's tokens, those that each rank trains."""
    return [sum(tokens[i] for i in own) / sum(tokens) for own in deal(tokens, n)]


def busiest(each, cores):
    """The busiest core: rank r of more ranks than cores keeps core r cores/n."""
    load = [0.0] * cores
    for rank, share in enumerate(each):
        load[rank * cores // len(each) if len(each) > cores else rank] += share
    return max(load)


def parts(host, row, round_):
    """-> (seconds of the server's step alone, of its exchanges, each rank's share of the training)"""
    n, tokens, words = row["ranks"], row["tokens"][round_], WORDS * WORD * row["parameters"]
    copies = 2 * 2 * words / host.copy  # words go down from the device and up again
    exchange = (4 * host.meeting(n) + host.allgather(n, -(-len(tokens) // n) * REPORT) + host.sum(n, words)
                + host.sum(n, WORD) + n * copies)
    return (words + 48 * row["parameters"]) / host.copy, exchange, shares(tokens, n)


def fixed_seconds(kept, row, key):
    """What a round takes however few clients a rank has: where the line through one thread's rounds of this model meets
    no clients. Its packs' own price, above all."""
    points = [(o["clients"], statistics.mean(o[key])) for o in kept["rounds"]
              if (o["model"], o["ranks"], o["threads"]) == (row["model"], 1, 1) and o["r"] == R_OF_LINE[row["model"]]]
    line = statistics.linear_regression(*zip(*points))
    return min(max(0.0, line.intercept), 0.9 * min(y for _, y in points))


def by_clock(host, row, alone, round_, fixed):
    """Seconds of the round on row["ranks"], given the same round's on one thread; the cores share the memory."""
    server, exchange, each = parts(host, row, round_)
    here = max(1.0, len(each) / host.cores)  # ranks of a core
    return (alone - fixed - server) * busiest(each, host.cores) + here * fixed + server * len(each) + exchange


def of_rank_0(host, row, alone, round_, fixed):
    """Its processor seconds: it waits for others asleep, so exchanges count with their share of one rank."""
    server, exchange, each = parts(host, row, round_)
    return (alone - fixed - server) * each[0] + fixed + server + exchange / len(each) * min(len(each), host.cores)


def compare_exchanges(host, kept):
    print("| exchange | ranks | predicted, ms | measured, ms | error |\n| --- | --- | --- | --- | --- |")
    for e in kept["exchanges"]:
        if e["ranks"] == 2:
            continue
        cells = [("meeting", host.meeting(e["ranks"]), e["meeting"]["best_seconds"])]
        cells += [(f"sum of {s['bytes']:,} bytes", host.sum(e["ranks"], s["bytes"]), s["best_seconds"]) for s in e["sums"]]
        for what, ours, theirs in cells:
            print(f"| {what} | {e['ranks']} | {1e3 * ours:.3g} | {1e3 * theirs:.3g} | {ours / theirs - 1:+.0%} |")


def compare_rounds(host, kept):
    errors = {}
    print("\n| model | clients | r | ranks | exchanges, ms | by the clock: predicted | measured | error | rank 0's processor: predicted "
          "| measured | error |\n| --- |" + " --- |" * 10)
    for row in kept["rounds"]:
        if row["ranks"] == 1:
            continue
        alone = next(o for o in kept["rounds"] if (o["model"], o["clients"], o["r"], o["ranks"], o["threads"])
                     == (row["model"], row["clients"], row["r"], 1, 1))
        cells = []
        for what, key, guess in (("by the clock", "seconds", by_clock), ("rank 0's processor time", "cpu_seconds", of_rank_0)):
            fixed = fixed_seconds(kept, row, key)
            ours = statistics.mean(guess(host, row, a, i, fixed) for i, a in enumerate(alone[key]))
            theirs = statistics.mean(row[key])
            errors.setdefault((what, row["model"], row["ranks"]), []).append(ours / theirs - 1)
            cells.append(f"{1e3 * ours:.4g} | {1e3 * theirs:.4g} | {ours / theirs - 1:+.0%}")
        print(f"| {row['model']} | {row['clients']} | {row['r']} | {row['ranks']} | {1e3 * parts(host, row, 0)[1]:.3g} | "
              + " | ".join(cells) + " |")
    print("\n| error | model | ranks | in the middle | from | to |\n| --- | --- | --- | --- | --- | --- |")
    for (what, model, n), e in sorted(errors.items()):
        print(f"| {what} | {model} | {n} | {statistics.median(e):+.0%} | {min(e):+.0%} | {max(e):+.0%} |")


def compare(path):
    with open(path) as f:
        kept = json.load(f)
    host = Host(kept["exchanges"])
    print(f"From two ranks: {1e6 * host.alpha:.0f} us a step; copies {host.copy / 1e9:.1f} GB/s; {host.cores} cores; load average "
          f"while measuring {kept['load_average'][0]:.1f}\n")
    compare_exchanges(host, kept)
    compare_rounds(host, kept)
    return 0
