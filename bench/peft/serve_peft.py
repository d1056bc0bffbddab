#!/usr/bin/env python3
"""Rounds of the rival on request: PyTorch and PEFT in a loop over clients on the CPU, for ../sweep.py.

  serve_peft.py --model NAME --dtype bf16|f32 --batch B --length L --clients MOST --steps N [--threads N]
                [--flush-denormal]

The same model, rows and starting adapter as bench_clients. One line of JSON says what was opened; then each line
of standard input is a request {"mode": MODE, "clients": K, "rounds": N, "fresh": bool}: N rounds of the first K
clients in a mode of bench_peft.py (built when first asked for; fresh: from the starting adapter again), and one
line of JSON answers with the seconds of each round, by the clock and of processors, and the losses of the last, or {"error": TEXT}."""
import argparse
import json
import sys
import time

import synthetic
from bench_peft import Loop, build, tensors

import peft
import torch
import transformers


class Server:
    def __init__(self, args):
        self.args = args
        self.dtype = torch.bfloat16 if args.dtype == "bf16" else torch.float32
        vocab = synthetic.SHAPES[args.model][5]
        self.data = tensors(synthetic.rows(args.clients, args.batch, args.length, False, vocab), "cpu")
        self.mode = self.loop = self.start = self.x = None

    def open(self, mode):
        """One model at a time, so that memory does not grow with the modes."""
        if mode == self.mode:
            return
        self.loop = self.mode = None
        torch._dynamo.reset()
        model, _ = build(self.args.model, self.dtype, "cpu", "eager" if "math" in mode.split("-") else "sdpa")
        self.loop = Loop(model, self.data, self.args.steps, "cpu", self.dtype, mode)
        self.start = [p.detach().clone() for p in self.loop.params]
        self.mode = mode

    def answer(self, request):
        self.open(request["mode"])
        if request["fresh"]:
            self.x = [p.clone() for p in self.start]
        seconds, cpu, losses = [], [], []
        with torch.backends.mkldnn.flags(enabled="nodnn" not in self.mode.split("-")):
            for _ in range(request["rounds"]):
                start, cpu_start = time.perf_counter(), time.process_time()
                losses = self.loop.round(self.x, request["clients"])
                seconds.append(time.perf_counter() - start)
                cpu.append(time.process_time() - cpu_start)
        return {"seconds": seconds, "cpu_seconds": cpu, "client_loss": losses, "loss": sum(losses) / len(losses)}


def main():
    p = argparse.ArgumentParser(description="the rival on request; see the head of this file")
    p.add_argument("--model", required=True, choices=synthetic.SHAPES)
    p.add_argument("--dtype", default="f32", choices=["bf16", "f32"])
    for name in ("batch", "length", "clients", "steps"):
        p.add_argument("--" + name, type=int, required=True)
    p.add_argument("--threads", type=int)
    p.add_argument("--flush-denormal", action="store_true")
    args = p.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.flush_denormal:
        torch.set_flush_denormal(True)
    server = Server(args)
    say({"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__,
         "threads": torch.get_num_threads(), "isa": torch.backends.cpu.get_cpu_capability()})
    for line in sys.stdin:
        try:
            say(server.answer(json.loads(line)))
        except Exception as e:  # a mode that this PyTorch cannot do is reported, not fatal
            server.mode = None
            say({"error": f"{type(e).__name__}: {str(e)[:300]}"})


def say(what):
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
