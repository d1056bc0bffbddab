"""Links and what exchanges over them take. Seconds, bytes, bytes a second; README.md says where the figures come from.

A ring sends 2 (n-1)/n of the vector from every rank in 2 (n-1) steps, a binomial tree the whole vector 2 log2 n times."""
import math
from dataclasses import dataclass

GPUS_PER_NODE = 8


def depth(n):
    return max(0, (n - 1).bit_length())


@dataclass(frozen=True)
class Link:
    alpha: float  # of a step
    beta: float   # of one rank, while all send


@dataclass(frozen=True)
class Protocol:
    """How a library moves vectors: what a collective and its steps take, near (in a node) and far, and bytes a second
    of each rank in one node and over several."""
    ring_base: float
    ring_near: float
    ring_far: float
    tree_base: float
    tree_near: float
    tree_far: float
    rate: float
    far_rate: float
    tree_share: float = 1.0  # of the rate


@dataclass(frozen=True)
class Machine:
    """Nodes of `per_node` ranks. Vectors by the fastest of the protocols; small exchanges over TCP."""
    name: str
    protocols: tuple
    nic: float = math.inf          # of one rank's share of its node's network, bytes a second
    tcp_near: Link = Link(0.0, math.inf)
    tcp_far: Link = Link(0.0, math.inf)
    per_node: int = GPUS_PER_NODE
    memory: float = math.inf       # of one rank: bytes read and written a second
    host_copy: float = math.inf    # between device and host memory

    def nodes(self, n):
        return -(-n // self.per_node)


# Protocols Simple and LL, as NCCL's own tuning model has them for Hopper.
SIMPLE = Protocol(8.4e-6, 3.4e-6, 14e-6, 0.0, 28e-6, 28e-6, 370e9, 370e9, 0.92)
LL = Protocol(6.6e-6, 1.0e-6, 2.7e-6, 6.8e-6, 1.1e-6, 5.0e-6, 87.7e9, 20.4e9, 0.92)
HOPPER = Machine("H200, NVLink 4 and NDR InfiniBand", (SIMPLE, LL), nic=47e9, tcp_near=Link(25e-6, 1.5e9),
                 tcp_far=Link(30e-6, 1.5e9), memory=4.3e12, host_copy=50e9)
NOTHING = Protocol(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, math.inf, math.inf)
FREE = Machine("a free network", (NOTHING,))


# ---- all-reduce of a vector ----

def rate_of(n, m, p):
    """Every GPU of a node has a NIC and as many rings run side by side: NVLink or the node's NICs together limit."""
    return p.rate if m.nodes(n) == 1 else min(p.far_rate, m.nic * min(n, m.per_node))


def ring(n, size, m):
    """One ring through all ranks, which crosses every node's border twice."""
    if n == 1:
        return 0.0
    nodes, steps = m.nodes(n), 2 * (n - 1)
    far = min(steps, 2 * nodes) if nodes > 1 else 0
    return min(p.ring_base + (steps - far) * p.ring_near + far * p.ring_far + 2 * (n - 1) / n * size / rate_of(n, m, p)
               for p in m.protocols)


def tree(n, size, m):
    """A chain in the node and a tree between nodes, up and down, pipelined: half of a ring's bandwidth at most."""
    if n == 1:
        return 0.0
    inside, far = min(n, m.per_node) - 1, depth(m.nodes(n))
    return min(p.tree_base + 2 * (inside * p.tree_near + far * p.tree_far) + 2 * size / (p.tree_share * rate_of(n, m, p))
               for p in m.protocols)


def hierarchical(n, size, m):
    """Reduce-scatter in the node, each eighth around a ring or a tree of nodes over its own NIC, all-gather in the node."""
    inside, nodes = min(n, m.per_node), m.nodes(n)
    one, part = ring(inside, size, m), size / inside
    if nodes == 1:
        return one
    p = m.protocols[0]
    return one + min(2 * (nodes - 1) * (p.ring_far + part / nodes / m.nic), 2 * depth(nodes) * (p.ring_far + part / m.nic))


def allreduce(n, size, m):
    """The library takes the faster of ring and tree."""
    return min(ring(n, size, m), tree(n, size, m))


def host_sum(n, size, m):
    """Through host memory: down, around a ring of TCP (comm_tcp.c), up. Small ones go down and up a tree."""
    if n == 1:
        return 0.0
    if size <= 64 << 10:
        return sum(2 * (link.alpha + size / link.beta) for link in levels(n, m))
    far = m.nodes(n) > 1
    link = m.tcp_far if far else m.tcp_near
    return 2 * size / m.host_copy + 2 * (n - 1) * (link.alpha + size / n / link.beta)


# ---- small exchanges over TCP (comm_tcp.c) ----

def levels(n, m):
    """The link of each step or level: once there are several nodes, some rank or other crosses between them every time."""
    return [m.tcp_near if m.nodes(n) == 1 else m.tcp_far] * depth(n)


def allgather(n, size, m):
    """size of every rank: blocks double at every step, and all send at once."""
    return sum(link.alpha + min(1 << k, n - (1 << k)) * size / link.beta for k, link in enumerate(levels(n, m)))
