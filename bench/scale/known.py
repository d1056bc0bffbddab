"""Answers that are known without the model, against what it gives."""
import math
from dataclasses import replace

import links
import model
from deal import cohort, deal, homes, imbalance, loads, visit_time

THIN = replace(model.LLAMA8B, pack_seconds=0.0)  # packs cost nothing by themselves


def one(alpha, beta):
    """A machine of a single node of any number of ranks and one kind of link."""
    p = links.Protocol(0.0, alpha, alpha, 0.0, alpha, alpha, beta, beta)
    return links.Machine("one link", (p,), per_node=1 << 20)


def bandwidth(wrong):
    for n in (2, 3, 8, 1000):
        wrong(links.ring(n, 1e9, one(0, 1e9)), 2 * (n - 1) / n, f"a ring of {n} sends 2 (n-1)/n of the vector")
        wrong(links.ring(n, 0, one(1e-6, 1e9)), 2e-6 * (n - 1), f"a ring of {n} takes 2 (n-1) steps")
    wrong(links.ring(1, 1e9, one(1, 1)), 0, "one rank sends nothing")
    wrong(links.tree(8, 1e9, one(0, 1e9)), 2, "a tree sends the vector up and down")
    wrong(links.hierarchical(8, 1e9, links.HOPPER), links.ring(8, 1e9, links.HOPPER), "in one node there is nothing between")
    tcp = links.Machine("tcp", (links.NOTHING,), tcp_near=links.Link(1.0, math.inf), tcp_far=links.Link(1.0, math.inf))
    for n, steps in ((2, 1), (3, 2), (4, 2), (5, 3), (1024, 10)):
        wrong(links.allgather(n, 304, tcp), steps, f"an allgather of {n} takes log2 of it steps")
    tcp = replace(tcp, tcp_near=links.Link(0.0, 1.0), tcp_far=links.Link(0.0, 1.0))
    for n in (2, 3, 5, 8, 1000):
        wrong(links.allgather(n, 7, tcp), 7 * (n - 1), f"each of {n} ranks receives everyone else's block once")


def small_on_published(wrong):
    """Two nodes of eight, as published (README.md): within half of it either way."""
    for size, seconds in ((8, 46e-6), (64 << 20, 467e-6)):
        ours = links.allreduce(16, size, links.HOPPER)
        wrong(0.5 < ours / seconds < 2, True, f"{size} bytes over 16 GPUs take {seconds:g} s, not {ours:g}")


def deals(wrong):
    wrong(loads([5, 4, 3, 3, 3], deal([5, 4, 3, 3, 3], 2)), [8, 10], "5 and 3 beside 4, 3 and 3: longest first, ties to the lower rank")
    wrong(sorted(loads([9, 1, 1, 1], deal([9, 1, 1, 1], 2))), [2, 10], "no rank has more than half of four clients, though 9 outweighs all")
    wrong(max(len(own) for own in deal(list(range(100)), 7)), 15, "at most ceil(100 / 7) clients")
    wrong(sorted(i for own in deal(list(range(100)), 7) for i in own), list(range(100)), "everyone is dealt once")
    wrong(imbalance([1] * 64, deal([1] * 64, 64)), 1, "equal clients, one each: even")
    wrong(imbalance([1] * 65, deal([1] * 65, 64)), 2 * 64 / 65, "one client too many: one rank has two")
    wrong(sorted(i for own in homes([1] * 99, 7, 1) for i in own), list(range(99)), "everyone has one home")
    wrong(len(set(cohort(list(range(50)), 50, 3))), 50, "a cohort of all has everyone once")


def visits(wrong):
    d = replace(THIN, rate=1000.0, step_tokens=100, pack_tokens=250, slots=4)
    wrong(visit_time([2, 1, 3], d), 0.6, "six steps of a tenth of a second")
    d = replace(d, pack_seconds=1.0, rate=math.inf)
    wrong(visit_time([2, 1, 3], d), 2 + 1 + 1, "three clients fill two packs, then two and one fill one")
    wrong(visit_time([1] * 5, d), 2 + 1, "four slots, then the fifth alone")


def rounds(wrong):
    for n in (1, 8, 64):
        wrong(model.efficiency(n, [8] * 64, links.FREE, THIN), 1, f"equal clients on {n} devices and a free network")
    wrong(model.efficiency(128, [8] * 64, links.FREE, THIN), 0.5, "more devices than clients: half have nothing to do")
    wrong(model.efficiency(2, [3, 1], links.FREE, THIN), 4 / 6, "a straggler of 3 beside 1")
    parts = model.round_time(8, [8] * 64, links.HOPPER, model.LLAMA8B)
    wrong(parts["sum"], links.ring(8, 16 * model.LLAMA8B.parameters, links.HOPPER), "two int64 for each number")
    wrong(parts["even"], 64 * 8 * 2048 / 21_100 / 8, "tokens over the devices' rate")
    more = [model.efficiency(g, [8] * 4096, links.HOPPER, THIN) for g in model.GPUS]
    wrong(all(a >= b for a, b in zip(more, more[1:])), True, "efficiency falls with devices")


def check():
    bad, done = [], 0

    def wrong(got, want, what):
        nonlocal done
        done += 1
        near = got == want or (isinstance(want, (int, float)) and not isinstance(want, bool) and math.isclose(got, want, rel_tol=1e-9))
        if not near:
            bad.append(f"{what}: {got}, not {want}")

    for part in (bandwidth, small_on_published, deals, visits, rounds):
        part(wrong)
    for line in bad:
        print(line)
    print(f"{done - len(bad)} of {done} known answers")
    return 1 if bad else 0
