"""A cohort dealt to ranks as engine/ranks.c does, and what the busiest rank then has to do."""
import heapq
import random


def deal(costs, ranks):
    """The dearest first, each to the rank with the least to do that has fewer than ceil(cohort / ranks).
    -> for each rank the places in the cohort that it was given."""
    cap = -(-len(costs) // ranks)
    idle = [(0, r) for r in range(ranks)]
    own = [[] for _ in range(ranks)]
    for at in sorted(range(len(costs)), key=lambda i: -costs[i]):
        load, r = heapq.heappop(idle)
        own[r].append(at)
        if len(own[r]) < cap:
            heapq.heappush(idle, (load + costs[at], r))
    return own


def homes(costs, ranks, seed):
    """Where clients keep their optimizer state, each stays with its rank, whoever else the cohort brings there."""
    pick, own = random.Random(seed), [[] for _ in range(ranks)]
    for i in range(len(costs)):
        own[pick.randrange(ranks)].append(i)
    return own


def loads(costs, own_of):
    return [sum(costs[i] for i in own) for own in own_of]


def imbalance(costs, own_of):
    """The busiest rank's load over the mean: 1 is even."""
    all_of = loads(costs, own_of)
    return max(all_of) * len(all_of) / sum(all_of)


def cohort(sizes, n, seed):
    """n clients drawn from a partition's sizes; with repetition when it has fewer."""
    pick = random.Random(seed)
    return pick.sample(sizes, n) if n <= len(sizes) else pick.choices(sizes, k=n)


def visit_time(steps, gpu):
    """Seconds in which one device trains clients of so many local steps each, of gpu.step_tokens tokens. Clients go in
    waves of gpu.slots; a step of a wave is as many packs as its tokens fill, and every pack has a fixed price."""
    seconds = 0.0
    for first in range(0, len(steps), gpu.slots):
        wave = sorted(steps[first:first + gpu.slots])
        done = 0
        for i, until in enumerate(wave):  # len(wave) - i clients still train
            packs = -(-(len(wave) - i) * gpu.step_tokens // gpu.pack_tokens)
            seconds += (until - done) * packs * gpu.pack_seconds
            done = until
        seconds += sum(wave) * gpu.step_tokens / gpu.rate
    return seconds
