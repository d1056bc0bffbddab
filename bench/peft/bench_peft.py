#!/usr/bin/env python3
"""The rival of bench_round: the same federated job as a bare loop over clients on PyTorch and PEFT,
at its best settings. The same weights, rows and starting adapter (synthetic.py), so the losses
must agree.

  bench_peft.py [--device cuda|cpu] [--model NAME] [--dtype bf16|f32] [--steps N] [--modes MODE[,MODE...]]
                [--threads N] [--json FILE [--keep]] [--compare FILE] [--tolerance X] ID:CLIENTS [...]

ID is one of bench_round's experiments (e1-8x128, e1-32x128, e1-16xragged, e8-pack). A round: every client
starts from the global adapter with a fresh AdamW, does N steps on its batch, and the mean of the updates is
added. Round 1 warms up, round 2 is timed, as bench_round does. Frozen base in the given dtype, adapters and head
in float32, SDPA attention, fused AdamW, no dropout, no padding where lengths are equal. A mode is words joined
by "-":
  eager    as it stands
  compile  torch.compile of the model
  graph    forward, backward, clipping and AdamW of a step as one CUDA graph (equal lengths only)
  lean     no autocast: layer norms and the residual stream stay in the base's dtype, where autocast widens
           them; the adapters multiply in float32
  math     attention as plain products and a softmax instead of SDPA
  nodnn    without oneDNN (CPU)
  loop     AdamW and clipping one tensor after another instead of fused and in groups
Default: eager, compile, graph, compile-graph, graph-lean, compile-graph-lean.
--json is written after each mode; --keep leaves in it what an earlier run measured and measures only the rest.
--compare reads bench_round's JSON and prints ratios to the fastest mode of each job; the losses must agree
within the tolerance. Exit code: 0 good, 1 losses differ or nothing could be measured, 77 no such device or no
PyTorch."""
import argparse
import json
import os
import sys
import time

import synthetic

try:
    import torch
    import peft
    import transformers
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)

BATCHES = {"e1-8x128": (8, 128, False), "e1-32x128": (32, 128, False),
           "e1-16xragged": (16, 128, True), "e8-pack": (132, 128, False)}


def build(name, dtype, device, attention="sdpa"):
    kind, layers, d, heads, ffn, vocab, max_pos, types = synthetic.SHAPES[name]
    config_class = transformers.RobertaConfig if kind == "roberta" else transformers.BertConfig
    config = config_class(
        num_hidden_layers=layers, hidden_size=d, num_attention_heads=heads, intermediate_size=ffn,
        vocab_size=vocab, max_position_embeddings=max_pos, type_vocab_size=types, num_labels=2,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=1,
        # what the engine takes when config.json does not say
        layer_norm_eps=1e-12, attn_implementation=attention)
    model_class = (transformers.RobertaForSequenceClassification if kind == "roberta"
                   else transformers.BertForSequenceClassification)
    with torch.device("cpu"):
        model = model_class(config)
    site = 6 * layers
    with torch.no_grad():
        for key, p in model.named_parameters():
            if key.startswith("classifier."):
                trained = key.removeprefix("classifier.").split(".")
                where = site if trained[0] == "dense" else site + 1
                p.zero_() if key.endswith("bias") else p.copy_(
                    torch.from_numpy(synthetic.head_normal(where, tuple(p.shape))))
            elif key.endswith("LayerNorm.weight"):
                p.fill_(1.0)
            else:
                p.copy_(torch.from_numpy(synthetic.noise(tuple(p.shape)).copy()))
    model.to(dtype)
    # With it, some versions look for padding among the tokens, which waits for the device.
    model.config.pad_token_id = None
    lora = peft.LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules=["query", "value"])
    model = peft.get_peft_model(model, lora)
    view = 0
    with torch.no_grad():
        for key, p in model.named_parameters():
            if not p.requires_grad:
                continue
            p.data = p.data.float()
            if "lora_A" in key:
                p.copy_(torch.from_numpy(synthetic.lora_a(view, *p.shape)))
                view += 2  # A, then B, of each adapted linear in order
    return model.to(device).train(), vocab


def tensors(clients, device):
    out = []
    for texts, labels in clients:
        longest = max(len(t) for t in texts)
        ids = torch.ones(len(texts), longest, dtype=torch.long)
        for i, t in enumerate(texts):
            ids[i, :len(t)] = torch.from_numpy(t)
        even = all(len(t) == longest for t in texts)
        mask = None if even else (torch.arange(longest)[None, :] <
                                  torch.tensor([len(t) for t in texts])[:, None]).long()
        out.append((ids.to(device), None if mask is None else mask.to(device),
                    torch.tensor(labels, device=device), sum(len(t) for t in texts)))
    return out


class Loop:
    """The federated loop around one step function."""

    def __init__(self, model, data, steps, device, dtype, mode):
        words = mode.split("-")
        self.model, self.data, self.steps, self.device = model, data, steps, device
        self.captures, lean = "graph" in words, "lean" in words
        self.params = [p for p in model.parameters() if p.requires_grad]
        self.grouped = "loop" not in words
        self.optimizer = torch.optim.AdamW(self.params, lr=1e-3, weight_decay=0.0, capturable=self.captures,
                                           **({"fused": True} if self.grouped else {"foreach": False}))
        self.autocast = torch.autocast(device, dtype=torch.bfloat16,
                                       enabled=dtype == torch.bfloat16 and not lean)
        if lean:  # the float32 head takes what comes
            for key, module in model.named_modules():
                if key.endswith("classifier"):
                    module.register_forward_pre_hook(lambda _, args: (args[0].float(), *args[1:]))
        self.forward = torch.compile(model) if "compile" in words else model
        self.graph = None
        self.loss = None

    def plain_step(self, ids, mask, labels):
        self.optimizer.zero_grad(set_to_none=not self.captures)
        with self.autocast:
            out = self.forward(input_ids=ids, attention_mask=mask)
            loss = torch.nn.functional.cross_entropy(out.logits.float(), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.params, 1.0, foreach=self.grouped)
        self.optimizer.step()
        return loss.detach()

    def capture(self):
        ids, mask, labels, _ = self.data[0]
        assert mask is None, "a graph needs equal lengths"
        self.ids, self.labels = ids.clone(), labels.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.plain_step(self.ids, None, self.labels)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = self.plain_step(self.ids, None, self.labels)

    def step(self, ids, mask, labels):
        if self.graph is None:
            return self.plain_step(ids, mask, labels)
        self.ids.copy_(ids)
        self.labels.copy_(labels)
        self.graph.replay()
        return self.loss.clone()

    def fresh_optimizer(self):
        values = [v for state in self.optimizer.state.values() for v in state.values()]
        if values:
            torch._foreach_zero_(values)

    def round(self, x, clients=None):
        """Trains the first `clients` (all) from x and adds the mean of their updates to it; the losses of
        the clients."""
        data = self.data[:clients]
        total = [torch.zeros_like(p) for p in x]
        losses = []
        for ids, mask, labels, _ in data:
            with torch.no_grad():
                torch._foreach_copy_(self.params, x)
            self.fresh_optimizer()
            mine = [self.step(ids, mask, labels) for _ in range(self.steps)]
            losses.append(torch.stack(mine).mean())
            with torch.no_grad():
                torch._foreach_add_(total, torch._foreach_sub(self.params, x))
        with torch.no_grad():
            torch._foreach_add_(x, total, alpha=1.0 / len(data))
        return torch.stack(losses).tolist()

    def run(self):
        x = [p.detach().clone() for p in self.params]
        if self.captures:
            self.capture()  # trains; every round starts its clients from x
        self.round(x)
        wait(self.device)
        start = time.perf_counter()
        losses = self.round(x)
        wait(self.device)
        return time.perf_counter() - start, sum(losses) / len(losses)


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def measure(args, experiment, clients, mode):
    batch, length, ragged = BATCHES[experiment]
    dtype = torch.bfloat16 if args.dtype == "bf16" else torch.float32
    model, vocab = build(args.model, dtype, args.device, "eager" if "math" in mode.split("-") else "sdpa")
    data = tensors(synthetic.rows(clients, batch, length, ragged, vocab), args.device)
    tokens = sum(n for *_, n in data)
    with torch.backends.mkldnn.flags(enabled="nodnn" not in mode.split("-")):
        seconds, loss = Loop(model, data, args.steps, args.device, dtype, mode).run()
    result = {"experiment": experiment, "clients": clients, "mode": mode, "model": args.model,
              "dtype": args.dtype, "steps": args.steps, "seconds": seconds, "loss": loss,
              "tokens_per_s": tokens * args.steps / seconds,
              "client_steps_per_s": clients * args.steps / seconds,
              "peak_bytes": torch.cuda.max_memory_allocated() if args.device == "cuda" else None}
    del model
    torch._dynamo.reset()
    if args.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return result


def compare(results, path, tolerance):
    try:
        with open(path) as f:
            ours = {(r["experiment"], r["clients"]): r for r in json.load(f)}
    except (OSError, ValueError) as e:
        print(f"nothing to compare with: {e}")
        return True
    good = True
    print(f"{'experiment':14} {'clients':>7} {'best mode':>18} {'theirs tok/s':>13} {'ours tok/s':>13} "
          f"{'ratio':>7} {'their loss':>10} {'our loss':>10}")
    for pair in dict.fromkeys((r["experiment"], r["clients"]) for r in results):
        if pair not in ours:
            continue
        best = max((r for r in results if (r["experiment"], r["clients"]) == pair),
                   key=lambda r: r["tokens_per_s"])
        us = ours[pair]
        far = abs(us["loss"] - best["loss"]) > tolerance * abs(best["loss"])
        good = good and not far
        print(f"{pair[0]:14} {pair[1]:7} {best['mode']:>18} {best['tokens_per_s']:13.0f} "
              f"{us['tokens_per_s']:13.0f} {us['tokens_per_s'] / best['tokens_per_s']:7.2f} "
              f"{best['loss']:10.5f} {us['loss']:10.5f}{'  LOSSES DIFFER' if far else ''}")
    return good


def main():
    p = argparse.ArgumentParser(description="the rival of bench_round; see the head of this file")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--model", default="roberta-base", choices=synthetic.SHAPES)
    p.add_argument("--dtype", choices=["bf16", "f32"])
    p.add_argument("--steps", type=int, default=12)
    p.add_argument("--modes", default="eager,compile,graph,compile-graph,graph-lean,compile-graph-lean")
    p.add_argument("--threads", type=int)
    p.add_argument("--json")
    p.add_argument("--keep", action="store_true")
    p.add_argument("--compare")
    p.add_argument("--tolerance", type=float, default=1e-2)
    p.add_argument("jobs", nargs="+")
    args = p.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print("skipped: no CUDA device")
        return 77
    args.dtype = args.dtype or ("bf16" if args.device == "cuda" else "f32")
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    name = torch.cuda.get_device_name() if args.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{args.model} {args.dtype} on {name}; torch {torch.__version__}, "
          f"transformers {transformers.__version__}, peft {peft.__version__}")
    results = kept(args)
    done = {(r["experiment"], r["clients"], r["mode"], r["steps"], r["model"], r["dtype"]) for r in results}
    for job in args.jobs:
        experiment, clients = job.split(":")
        for mode in args.modes.split(","):
            if "graph" in mode and (args.device != "cuda" or BATCHES[experiment][2]):
                continue
            if (experiment, int(clients), mode, args.steps, args.model, args.dtype) in done:
                continue
            try:
                r = measure(args, experiment, int(clients), mode)
            except Exception as e:  # a mode that this PyTorch cannot do is reported, not fatal
                print(f"{experiment:14} {clients:>7} {mode:>18}: failed: {type(e).__name__}: {str(e)[:300]}",
                      flush=True)
                continue
            results.append(r)
            print(f"{experiment:14} {clients:>7} {mode:>18}: {r['tokens_per_s']:12.0f} tok/s "
                  f"{r['client_steps_per_s']:9.1f} client steps/s, loss {r['loss']:.5f}", flush=True)
            write(args, name, results)
            if args.compare:  # after each, so that a run that is cut short has compared what it has
                compare(results, args.compare, args.tolerance)
    if not results:
        return 1
    if args.compare and not compare(results, args.compare, args.tolerance):
        return 1
    return 0


def kept(args):
    if not (args.keep and args.json and os.path.exists(args.json)):
        return []
    with open(args.json) as f:
        return json.load(f)["results"]


def write(args, name, results):
    if not args.json:
        return
    with open(args.json + ".part", "w") as f:
        json.dump({"versions": {"torch": torch.__version__, "transformers": transformers.__version__,
                                "peft": peft.__version__}, "device": name, "results": results}, f, indent=1)
    os.replace(args.json + ".part", args.json)  # a run that is stopped leaves a whole file


if __name__ == "__main__":
    sys.exit(main())
