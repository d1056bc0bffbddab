#!/usr/bin/env python3
"""Compares the weft program with transformers + peft, model by model.

    parity.py --weft build-release/weft --dump build-release/tests/live/dump_hidden \\
              --model models/all-minilm-l6-v2 --data data/wn10/train.jsonl [--only minilm,roberta] [--table]

Run inside the environment of make_venv.sh. Data rows are JSON lines with "text" and "label". Besides the real
model at --model, small random encoders are made on the spot (live_models.py). For each, PEFT makes an adapter with
random A, B and head, and both programs start from it. Checked, dropout off, fp32, per tensor max|a-b| / max|b|:
  tokens      ids and types of every row                                  equal
  hidden      the embeddings and every layer's output                     1e-5
  logits      weft eval against peft, of the adapter that peft made       1e-5
  loss        of the first step of weft train                             1e-4
  gradients   one SGD step of weft train, start - end, against autograd   1e-4
  ten steps   losses of AdamW on one batch against torch.optim.AdamW      1e-5
  export      the adapter that weft trained, loaded in peft: same logits  1e-5
Prints one line per check; exit status 1 when one fails.
"""
import argparse
import csv
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings

import numpy
import peft
import tokenizers
import torch
import transformers
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file

import live_models

ACTIVATION, GRADIENT, LOSS, STEP_LOSS = 1e-5, 1e-4, 1e-4, 1e-5
ADAMW = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
STEPS = 10
# A step of 1 would lose digits of a small gradient to the rounding of the weights; a power of two costs nothing.
GRADIENT_LR = 512.0


# ---- the one place that knows weft's options, files and columns -------------------------------------------------

class Weft:
    """Runs the program on a case; every run trains or evaluates all rows as one batch of one client."""

    def __init__(self, program, dump, case, folder):
        self.program, self.dump, self.folder = program, dump, folder
        lora = case.lora
        self.base = {
            "run": {"output_dir": str(folder / "runs"), "seed": 1},
            "model": {"path": str(case.folder)},
            "data": {"text_column": "text", "label_column": "label", "max_length": case.max_length},
            "lora": {"r": lora.r, "alpha": lora.lora_alpha, "dropout": 0.0, "use_rslora": lora.use_rslora,
                     "target_modules": case.targets},
            "fl": {"num_clients": 1, "clients_per_round": 1, "num_rounds": 1, "strategy": "fedavg"},
            "client": {"batch_size": len(case.rows), "max_grad_norm": 0.0, "lr_scheduler": "constant"},
        }
        if case.pairs:
            self.base["data"]["text_pair_column"] = "pair"
        if case.classes is None:
            self.base["data"]["task"] = "regression"
        else:
            self.base["data"]["labels"] = ",".join(map(str, case.classes))
        self.rows_file = folder / "rows.jsonl"
        self.rows_file.write_text("".join(json.dumps(row) + "\n" for row in case.rows))

    def _job(self, name, **sections):
        """Rows go in as data.train or data.test, whichever the command reads."""
        job = {section: dict(values) for section, values in self.base.items()}
        job["run"]["name"] = name
        for section, values in sections.items():
            job.setdefault(section, {}).update(values)
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(job, indent=1))  # JSON is YAML
        return path

    @staticmethod
    def run(*words):
        command = list(map(str, words))
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"parity: {' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
        return done.stdout

    def logits(self, name, adapter):
        """Logits of every row, in order."""
        out = self.folder / f"{name}.jsonl"
        job = self._job(name, data={"test": str(self.rows_file)})
        self.run(self.program, "eval", adapter, job, "--predictions", out, "--quiet")
        return torch.tensor([json.loads(line)["logits"] for line in out.read_text().splitlines()])

    def hidden(self, adapter):
        """-> (token ids, token types, [hidden states (tokens, D)]), rows back to back."""
        out = self.folder / "hidden"
        out.mkdir()
        self.run(self.dump, adapter, self._job("dump", data={"test": str(self.rows_file)}), out)
        tokens, types = (numpy.fromfile(out / f"{what}.i32", numpy.int32) for what in ("tokens", "types"))
        layers = range(len(list(out.glob("hidden.*.f32"))))
        states = [numpy.fromfile(out / f"hidden.{i}.f32", numpy.float32).reshape(len(tokens), -1) for i in layers]
        return tokens, types, states

    def train(self, name, adapter, steps, **client):
        """-> (folder of the exported adapter, training loss before the last step)."""
        job = self._job(name, data={"train": str(self.rows_file)}, lora={"init_from": str(adapter)},
                        client=dict(client, local_steps=steps))
        self.run(self.program, "train", job, "--quiet", "--no-progress")
        run = self.folder / "runs" / name
        with open(run / "clients.csv", newline="") as f:
            row = list(csv.DictReader(f))[-1]
        return run / "adapter", float(row["last_loss"])

    def sgd_step(self, adapter, lr):
        return self.train("gradient", adapter, 1, optimizer="sgd", learning_rate=lr, momentum=0.0, weight_decay=0.0)

    def adamw_losses(self, adapter):
        """The optimizer starts anew in every round, so step k's loss is the last of a run of k steps.
        -> (adapter after the last step, losses)."""
        runs = [self.train(f"adamw{k}", adapter, k, optimizer="adamw", learning_rate=ADAMW["lr"],
                           beta1=ADAMW["betas"][0], beta2=ADAMW["betas"][1], epsilon=ADAMW["eps"],
                           weight_decay=ADAMW["weight_decay"]) for k in range(1, STEPS + 1)]
        return runs[-1][0], [loss for _, loss in runs]


# ---- the reference -----------------------------------------------------------------------------------------------

def make_adapter(case, folder):
    """A PEFT adapter with everything away from its initial value, saved in `folder`."""
    model = peft.get_peft_model(case.load(), case.lora).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.copy_(0.05 * torch.randn(p.shape))
    model.save_pretrained(folder)
    return model


def trainable(model):
    """Trainable parameters under their keys in adapter_model.safetensors."""
    found = {n.replace(".modules_to_save.default.", ".").replace(".default.weight", ".weight"): p
             for n, p in model.named_parameters() if p.requires_grad}
    assert found.keys() == get_peft_model_state_dict(model).keys()
    return found


def reference_losses(model, batch, labels):
    optimizer = torch.optim.AdamW(trainable(model).values(), **ADAMW)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = model(**batch, labels=labels).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def max_norm(got, want):
    got, want = (torch.as_tensor(x, dtype=torch.float64) for x in (got, want))
    if got.shape != want.shape or not got.isfinite().all():
        return float("inf")
    return ((got - want).abs().max() / want.abs().max().clamp_min(1e-30)).item()


# ---- the checks --------------------------------------------------------------------------------------------------

class Report:
    def __init__(self):
        self.failed = 0
        self.table = {}  # check -> {case: measured}

    def line(self, case, check, measured, bound, note=""):
        ok = measured <= bound  # False for NaN
        self.failed += not ok
        self.table.setdefault(f"{check} ({bound:.0e})", {})[case.name] = measured
        print(f"{'ok  ' if ok else 'FAIL'} {check:<16} {measured:9.2e}  (bound {bound:.0e})  {note}", flush=True)

    def fail(self, what):
        self.failed += 1
        print(f"FAIL {what}", flush=True)

    def markdown(self):
        cases = list(dict.fromkeys(name for row in self.table.values() for name in row))
        lines = ["| check (bound) | " + " | ".join(cases) + " |", "| --- |" + " --- |" * len(cases)]
        lines += [f"| {check} | " + " | ".join(f"{row.get(name, float('nan')):.1e}" for name in cases) + " |"
                  for check, row in self.table.items()]
        return "\n".join(lines)


def check_hidden(report, case, got, batch, wanted):
    tokens, types, states = got
    kept = batch["attention_mask"].bool()
    wanted_types = batch.get("token_type_ids", torch.zeros_like(batch["input_ids"]))
    if tokens.tolist() != batch["input_ids"][kept].tolist():
        report.fail("token ids differ")
        return
    if types.tolist() != wanted_types[kept].tolist():
        report.fail("token types differ")
        return
    if len(states) != len(wanted):
        report.fail(f"{len(states)} hidden states instead of {len(wanted)}")
        return
    errors = [max_norm(a, b[kept]) for a, b in zip(states, wanted)]
    worst = max(range(len(errors)), key=errors.__getitem__)
    report.line(case, "hidden states", errors[worst], ACTIVATION, f"worst of {len(errors)}: after layer {worst}")


def check_gradients(report, case, start_folder, end_folder, wanted):
    start = load_file(start_folder / "adapter_model.safetensors")
    end = load_file(end_folder / "adapter_model.safetensors")
    if not start.keys() == end.keys() == wanted.keys():
        odd = sorted((start.keys() ^ end.keys()) | (start.keys() ^ wanted.keys()))
        report.fail(f"exported adapter: {len(odd)} keys differ from the imported ones, e.g. {odd[0]}")
        return
    worst, count = {}, {}
    for key, want in wanted.items():
        kind = key.rsplit(".", 2)[1] if "lora_" in key else "head"
        step = (start[key].double() - end[key].double()) / GRADIENT_LR
        worst[kind] = max(worst.get(kind, (0.0, "")), (max_norm(step, want), key))
        count[kind] = count.get(kind, 0) + 1
    for kind, (measured, key) in sorted(worst.items()):
        report.line(case, f"gradient {kind}", measured, GRADIENT,
                    f"worst of {count[kind]}: {key.removeprefix('base_model.model.')}")


def check_case(report, case, args, folder):
    batch = case.batch()
    lengths = batch["attention_mask"].sum(1)
    start = folder / "start"
    model = make_adapter(case, start)
    weft = Weft(args.weft, args.dump, case, folder)
    print(f"\n{case.name}: {len(case.rows)} rows of {int(lengths.min())} to {int(lengths.max())} tokens, "
          f"{case.about}, {len(trainable(model))} trained tensors")

    out = model(**batch, labels=case.labels, output_hidden_states=True)
    check_hidden(report, case, weft.hidden(start), batch, [h.detach() for h in out.hidden_states])
    report.line(case, "logits, import", max_norm(weft.logits("import", start), out.logits.detach()), ACTIVATION)

    out.loss.backward()
    wanted = {key: p.grad.clone() for key, p in trainable(model).items()}
    model.zero_grad()
    stepped, loss = weft.sgd_step(start, GRADIENT_LR)
    report.line(case, "loss", max_norm(loss, out.loss.detach()), LOSS)
    check_gradients(report, case, start, stepped, wanted)

    want = reference_losses(model, batch, case.labels)
    exported, got = weft.adamw_losses(start)
    report.line(case, f"{STEPS} AdamW losses", max_norm(got, want), STEP_LOSS, f"{want[0]:.4f} to {want[-1]:.4f}")

    loaded = PeftModel.from_pretrained(case.load(), exported).eval()
    with torch.no_grad():
        logits = loaded(**batch).logits
    report.line(case, "logits, export", max_norm(weft.logits("export", exported), logits), ACTIVATION)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weft", type=pathlib.Path, required=True)
    parser.add_argument("--dump", type=pathlib.Path, required=True)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--only", help="names of cases, separated by commas")
    parser.add_argument("--table", action="store_true", help="end with the Markdown table of README.md")
    args = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)  # of transformers, about itself
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(2)
    began = time.monotonic()

    names = args.only.split(",") if args.only else list(live_models.CASES)
    if unknown := set(names) - live_models.CASES.keys():
        sys.exit(f"parity: no such case: {', '.join(sorted(unknown))}; there are {', '.join(live_models.CASES)}")
    data = [json.loads(line) for line in args.data.read_text().splitlines() if line.strip()]
    report = Report()
    for name in names:
        torch.manual_seed(1)
        with tempfile.TemporaryDirectory(prefix="weft-parity-") as temp:
            folder = pathlib.Path(temp)
            check_case(report, live_models.CASES[name](name, args.model, data, folder), args, folder)
    info = json.loads(Weft.run(args.weft, "info", "--format", "json"))
    print(f"\nweft {info['weft_version']} on {info['environment']['cpu']} with {info['cpu_features']}, "
          f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}, "
          f"tokenizers {tokenizers.__version__}; {time.monotonic() - began:.0f} s; {report.failed} failed")
    if args.table:
        print("\n" + report.markdown())
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
