"""The twin of bench/synthetic.c and of the engine's initial adapter, in numpy: the same weights, rows
and starting point, so that losses can be compared. Philox 4x32-10 is Salmon et al. 2011, as in
kernels/rng.h."""
import numpy as np

TEST, INIT = 7, 1  # wk_rng_purpose

SHAPES = {  # name: model_type, layers, d, heads, ffn, vocab, max_pos, types
    "roberta-base": ("roberta", 12, 768, 12, 3072, 50265, 514, 1),
    "roberta-large": ("roberta", 24, 1024, 16, 4096, 50265, 514, 1),
    "bert-base": ("bert", 12, 768, 12, 3072, 30522, 512, 2),
    "minilm": ("bert", 6, 384, 12, 1536, 30522, 512, 2),
    "tiny": ("bert", 4, 128, 4, 512, 8192, 512, 2),
}


def mix64(z):
    mask = (1 << 64) - 1
    z = (z + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def key_of(seed, purpose, site):
    return mix64(mix64(seed) ^ ((purpose << 32) | site))


def philox(key, c0, c1, c2, c3):
    """Arrays of counters to an array (n, 4) of words."""
    low = np.uint64(0xFFFFFFFF)
    c = [np.broadcast_to(np.asarray(x, dtype=np.uint64), np.shape(c0)).copy() for x in (c0, c1, c2, c3)]
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & low,
             (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, axis=-1)


def unit53(hi, lo):
    return (((hi << np.uint64(32)) | lo) >> np.uint64(11)).astype(np.float64) / 9007199254740992.0


class Words:
    """A wk_stream: 32-bit words one after another."""

    def __init__(self, key, block=1 << 20):
        self.key, self.block, self.at, self.start = key, block, 0, 0
        self.words = self._make(0)

    def _make(self, start):
        blocks = np.arange(start // 4, (start + self.block) // 4, dtype=np.uint64)
        return philox(self.key, blocks, 0, 0, 0).reshape(-1)

    def take(self, n):
        out = np.empty(n, dtype=np.uint64)
        done = 0
        while done < n:
            here = self.at - self.start
            if here == self.block:
                self.start += self.block
                self.words, here = self._make(self.start), 0
            m = min(n - done, self.block - here)
            out[done:done + m] = self.words[here:here + m]
            done += m
            self.at += m
        return out

    def below(self, n, count):
        """Lemire 2019, as wk_stream_below."""
        save = self.at
        m = self.take(count) * np.uint64(n)
        floor = (2**32 - n) % n
        if not np.any((m & np.uint64(0xFFFFFFFF)) < np.uint64(floor)):
            return (m >> np.uint64(32)).astype(np.int64)
        self.at, self.start = save, save // self.block * self.block
        self.words = self._make(self.start)
        out = np.empty(count, dtype=np.int64)
        for i in range(count):
            m = int(self.take(1)[0]) * n
            while (m & 0xFFFFFFFF) < floor:
                m = int(self.take(1)[0]) * n
            out[i] = m >> 32
        return out

    def f64(self):
        hi, lo = self.take(2)
        return float(unit53(hi, lo))


def noise_block():
    w = philox(key_of(3, TEST, 0), np.arange(1 << 18, dtype=np.uint64), 0, 0, 0)
    u, v = 1.0 - unit53(w[:, 0], w[:, 1]), unit53(w[:, 2], w[:, 3])
    return (0.02 * np.sqrt(-2.0 * np.log(u)) * np.cos(6.283185307179586 * v)).astype(np.float32)


def noise(shape, block=noise_block()):
    n = int(np.prod(shape))
    return np.resize(block, n).reshape(shape)


def rows(clients, batch, length, ragged, vocab):
    """Per client (list of token arrays, labels)."""
    s = Words(key_of(4, TEST, 0))
    out = []
    for _ in range(clients):
        texts, labels = [], []
        for _ in range(batch):
            n = length
            if ragged:
                u = 1.0 - s.f64()
                v = s.f64()
                normal = np.sqrt(-2.0 * np.log(u)) * np.cos(6.283185307179586 * v)
                n = int(min(max(np.exp(3.746 + 0.5 * normal), 8), length))
            texts.append(4 + s.below(vocab - 4, n))
            labels.append(int(s.below(2, 1)[0]))
        out.append((texts, labels))
    return out


def lora_a(view, r, d_in, seed=0):
    j = np.arange(r * d_in, dtype=np.uint64)
    w = philox(key_of(seed, INIT, view), j >> np.uint64(2), 0, 0, 0)
    u = w[np.arange(r * d_in), (j & np.uint64(3)).astype(np.int64)]
    u = (u >> np.uint64(8)).astype(np.float32) * np.float32(1 / 16777216)
    bound = np.float32(1.0 / np.sqrt(d_in))
    return ((np.float32(2) * u - np.float32(1)) * bound).reshape(r, d_in)


def head_normal(site, shape, deviation=0.02, seed=0):
    i = np.arange(int(np.prod(shape)), dtype=np.uint64)
    w = philox(key_of(seed, INIT, 0x10000 + site), i & np.uint64(0xFFFFFFFF), i >> np.uint64(32), 1, 0)
    u, v = (w[:, 0].astype(np.float64) + 1) / 4294967296.0, w[:, 1].astype(np.float64) / 4294967296.0
    z = (np.sqrt(-2.0 * np.log(u)) * np.cos(6.283185307179586476925 * v)).astype(np.float32)
    return (z * np.float32(deviation)).reshape(shape)
