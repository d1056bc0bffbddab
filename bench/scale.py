#!/usr/bin/env python3
"""Many clients on one machine: a tiny transformer, a million clients with a row each, ten of them a round, through
the real program.

  scale.py [--weft PROGRAM] [--clients N] [--cohort N] [--rounds N] [--words N] [--threads N] [--folder DIR]
           [--set KEY=VALUE ...] [--json FILE]

Makes a BERT of 4 layers and width 128 with random weights and a table of one row for each client (64 tokens at most)
in --folder (a temporary one without it; kept ones are used again), plans the job, trains it, one local step a
visit, and prints start-up, client updates a second, what a round takes beyond its passes, and the program's
memory in round 2, in the middle and at the end, beside what `weft plan` said. Needs nothing but Python. Exit code
1: memory grew by more than 1 % between round 2 and the last, or is more than 5 % away from the plan."""
import argparse
import array
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time

VOCAB = 8192  # of the tiny model and of the texts, which other models read too
TINY = {"layers": 4, "d": 128, "heads": 4, "vocab": VOCAB, "positions": 128}


def write_model(folder, layers, d, heads, vocab, positions):
    """A BERT with random weights and a vocabulary of made-up words."""
    os.makedirs(folder, exist_ok=True)
    ffn = 4 * d
    config = {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": d, "num_hidden_layers": layers,
              "num_attention_heads": heads, "intermediate_size": ffn, "vocab_size": vocab, "hidden_act": "gelu",
              "max_position_embeddings": positions, "type_vocab_size": 2, "pad_token_id": 0, "layer_norm_eps": 1e-12}
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    with open(os.path.join(folder, "vocab.txt"), "w") as f:
        f.write("".join(word + "\n" for word in special + [f"w{i}" for i in range(vocab - len(special))]))
    shapes = {"embeddings.word_embeddings.weight": (vocab, d), "embeddings.position_embeddings.weight": (positions, d),
              "embeddings.token_type_embeddings.weight": (2, d), "embeddings.LayerNorm.weight": (d,),
              "embeddings.LayerNorm.bias": (d,), "pooler.dense.weight": (d, d), "pooler.dense.bias": (d,)}
    for i in range(layers):
        for name, out, of in (("attention.self.query", d, d), ("attention.self.key", d, d),
                              ("attention.self.value", d, d), ("attention.output.dense", d, d),
                              ("intermediate.dense", ffn, d), ("output.dense", d, ffn)):
            shapes[f"encoder.layer.{i}.{name}.weight"] = (out, of)
            shapes[f"encoder.layer.{i}.{name}.bias"] = (out,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"encoder.layer.{i}.{name}.weight"] = shapes[f"encoder.layer.{i}.{name}.bias"] = (d,)
    noise = random.Random(1)
    block = array.array("f", (noise.gauss(0, 0.02) for _ in range(65536)))
    header, parts, at = {}, [], 0
    for name, shape in shapes.items():
        n = shape[0] * (shape[1] if len(shape) > 1 else 1)
        one = name.endswith("LayerNorm.weight")
        data = array.array("f", [1.0]) * n if one else (block * (n // len(block) + 1))[:n]
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + 4 * n]}
        at += 4 * n
        parts.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for data in parts:
            data.tofile(f)


def write_rows(path, clients, words):
    """One row for each client; texts are pieces of one long random one."""
    draw = random.Random(2)
    pool = [f"w{draw.randrange(VOCAB - 5)}" for _ in range(100000)]
    with open(path + ".part", "w") as f:
        f.write("client,label,text\n")
        for c in range(clients):
            at, n = draw.randrange(len(pool) - words), draw.randrange(words // 4, words + 1)
            f.write(f"c{c:07d},{'yes' if draw.random() < 0.5 else 'no'},{' '.join(pool[at:at + n])}\n")
    os.replace(path + ".part", path)


def make(folder, args):
    rows = os.path.join(folder, f"rows-{args.clients}-{args.words}.csv")
    if not os.path.exists(os.path.join(folder, "model", "model.safetensors")):
        write_model(os.path.join(folder, "model"), **TINY)
    if not os.path.exists(rows):
        write_rows(rows, args.clients, args.words)
    job = {"run": {"name": "scale", "output_dir": os.path.join(folder, "runs"), "overwrite": True, "device": "cpu",
                   "threads": args.threads},
           "model": {"path": os.path.join(folder, "model")},
           "data": {"train": rows, "text_column": "text", "label_column": "label", "client_column": "client",
                    "max_length": 64},
           "partition": {"kind": "natural"},
           "fl": {"num_clients": args.clients, "clients_per_round": args.cohort, "num_rounds": args.rounds},
           "lora": {"r": 8}, "client": {"optimizer": "adamw", "learning_rate": 1e-3, "batch_size": 1, "local_steps": 1}}
    path = os.path.join(folder, "job.yaml")
    with open(path, "w") as f:
        for section, options in job.items():
            f.write(f"{section}:\n" + "".join(f"  {k}: {json.dumps(v)}\n" for k, v in options.items()))
    return path


def run(command):
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"scale.py: {' '.join(command)} ended with {done.returncode}")
    return done.stdout, time.perf_counter() - start


def anonymous(plan):
    return plan["memory_bytes_total"]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description="many clients on one machine; see the head of this file")
    p.add_argument("--weft", default=os.path.join(here, "..", "build-release", "weft"))
    p.add_argument("--clients", type=int, default=1000000)
    p.add_argument("--cohort", type=int, default=10)
    p.add_argument("--rounds", type=int, default=1000)
    p.add_argument("--words", type=int, default=62, help="most words of a row; two tokens are added")
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--folder")
    p.add_argument("--set", nargs="*", default=[])
    p.add_argument("--json")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or temporary
        job = make(folder, args)
        plan, plan_s = run([args.weft, "plan", job, *args.set, "--format", "json", "--quiet"])
        _, total_s = run([args.weft, "train", job, *args.set, "--quiet"])
        return report(args, json.loads(plan), plan_s, total_s, os.path.join(folder, "runs", "scale"))


def report(args, plan, plan_s, total_s, folder):
    with open(os.path.join(folder, "timing.jsonl")) as f:
        rounds = [json.loads(line) for line in f]
    with open(os.path.join(folder, "events.jsonl")) as f:
        start = next(e for e in map(json.loads, f) if e["event"] == "start")
    phases = {k[:-8]: start[k] for k in ("rows_seconds", "partition_seconds", "engine_seconds", "files_seconds")}
    spent = sum(r["seconds"] for r in rounds)
    seconds = sorted(r["seconds"] for r in rounds[1:])
    memory = {r["round"]: r["anonymous_bytes"] for r in rounds}
    last = rounds[-1]["round"]
    result = {"clients": args.clients, "cohort": args.cohort, "rounds": last, "plan_s": plan_s, "total_s": total_s, "start_s": phases,
              "rounds_s": spent, "round_median_ms": 1e3 * seconds[len(seconds) // 2],
              "client_updates_per_s": last * args.cohort / spent,
              "anonymous_bytes": {str(r): memory[r] for r in (1, 2, 10, 100, last) if r in memory},
              "peak_anonymous_bytes": rounds[-1]["peak_anonymous_bytes"], "plan_bytes": anonymous(plan),
              "files": {name: os.path.getsize(os.path.join(folder, name)) for name in sorted(os.listdir(folder))
                        if os.path.isfile(os.path.join(folder, name))}}
    growth = memory[last] / memory[min(2, last)] - 1
    off = result["plan_bytes"] / result["peak_anonymous_bytes"] - 1
    mib = lambda n: f"{n / 2**20:.1f} MiB"
    print(f"{args.clients} clients, {args.cohort} a round, {last} rounds")
    print(f"start-up and end   {total_s - spent:.2f} s of {total_s:.2f} s; weft plan takes {plan_s:.2f} s")
    print("                   " + ", ".join(f"{name} {s:.2f} s" for name, s in phases.items()))
    print(f"rounds             {result['client_updates_per_s']:.0f} client updates/s, median round "
          f"{result['round_median_ms']:.2f} ms")
    print("memory             " + ", ".join(f"round {r}: {mib(b)}" for r, b in result["anonymous_bytes"].items()) +
          f"; grew by {100 * growth:.2f} % after round 2")
    print(f"plan               {mib(result['plan_bytes'])}, measured peak {mib(result['peak_anonymous_bytes'])}: "
          f"{100 * off:+.1f} %")
    print("files              " + ", ".join(f"{n} {mib(b)}" for n, b in result["files"].items() if b > 1 << 20))
    if args.json:
        with open(args.json, "w") as f:
            json.dump(result, f, indent=1)
    return 1 if growth > 0.01 or abs(off) > 0.05 else 0


if __name__ == "__main__":
    sys.exit(main())
