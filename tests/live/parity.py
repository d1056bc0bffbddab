#!/usr/bin/env python3
"""Compares the weft program with transformers + peft on a real encoder, through public features only.

    parity.py --weft build/release/weft --model FOLDER --data rows.jsonl [--rows 16] [--targets all-linear]

Run inside the environment of make_venv.sh. Rows are JSON lines with "text" and "label". PEFT makes an adapter
with random A, B and head; both programs start from it. Checked, dropout off, fp32:
  logits      weft eval against peft                                      max|a-b| <= 1e-5 max|b|
  gradients   one SGD step of weft train, start - end, against autograd   per tensor, 1e-4
  ten steps   losses of AdamW on one batch against torch.optim.AdamW      1e-5
  export      the adapter that weft wrote, loaded in peft: same logits    1e-5
Prints one line per check; exit status 1 when one fails.
"""
import argparse
import copy
import csv
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from peft import LoraConfig, PeftModel, TaskType, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file

LOGITS, GRADIENT, LOSS = 1e-5, 1e-4, 1e-5
ADAMW = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
STEPS = 10
# A step of 1 would lose digits of a small gradient to the rounding of the weights; a power of two costs nothing.
GRADIENT_LR = 64.0


# ---- the one place that knows weft's options, files and columns -------------------------------------------------

class Weft:
    """Runs the program; every run trains or evaluates `rows` as one batch of one client."""

    def __init__(self, program, model, rows_file, rows, labels, lora, folder):
        self.program, self.folder = program, folder
        self.base = {
            "run": {"output_dir": str(folder / "runs"), "seed": 1},
            "model": {"path": str(model)},
            "data": {"train": str(rows_file), "test": str(rows_file), "text_column": "text",
                     "label_column": "label", "labels": ",".join(labels), "max_length": lora["max_length"]},
            "lora": {"r": lora["r"], "alpha": lora["alpha"], "dropout": 0.0,
                     "target_modules": lora["target_modules"]},
            "fl": {"num_clients": 1, "clients_per_round": 1, "num_rounds": 1, "strategy": "fedavg"},
            "client": {"batch_size": rows, "max_grad_norm": 0.0, "lr_scheduler": "constant"},
        }

    def _job(self, name, adapter, **sections):
        job = copy.deepcopy(self.base)
        job["run"]["name"] = name
        job["lora"]["init_from"] = str(adapter)
        for section, values in sections.items():
            job.setdefault(section, {}).update(values)
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(job, indent=1))  # JSON is YAML
        return path

    def _run(self, *words):
        command = [str(self.program), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"parity: {' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
        return done.stdout

    def logits(self, name, adapter):
        """Logits of every row, in order."""
        out = self.folder / f"{name}.jsonl"
        self._run("eval", self._job(name, adapter), "--predictions", out)
        return torch.tensor([json.loads(line)["logits"] for line in out.read_text().splitlines()])

    def train(self, name, adapter, steps, **client):
        """-> (folder of the exported adapter, training loss before the last step)."""
        job = self._job(name, adapter, client=dict(client, local_steps=steps))
        self._run("train", job, "--quiet", "--no-progress")
        run = self.folder / "runs" / name
        with open(run / "clients.csv", newline="") as f:
            row = list(csv.DictReader(f))[-1]
        return run / "adapter", float(row["last_loss"])

    def sgd_step(self, name, adapter, lr):
        return self.train(name, adapter, 1, optimizer="sgd", learning_rate=lr, momentum=0.0, weight_decay=0.0)[0]

    def adamw_losses(self, adapter):
        """The optimizer starts anew in every round, so step k's loss is the last of a run of k steps."""
        return [self.train(f"adamw{k}", adapter, k, optimizer="adamw", learning_rate=ADAMW["lr"],
                           beta1=ADAMW["betas"][0], beta2=ADAMW["betas"][1], epsilon=ADAMW["eps"],
                           weight_decay=ADAMW["weight_decay"])[1] for k in range(1, STEPS + 1)]


# ---- the reference -----------------------------------------------------------------------------------------------

def load_base(folder, num_labels):
    """The head of the folder, if it has one, is of no interest: the adapter brings its own."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=num_labels, dtype=torch.float32, ignore_mismatched_sizes=True)
    return model.eval()


def make_adapter(base, targets, r, alpha, folder):
    """A PEFT adapter with everything away from its initial value, saved in `folder`."""
    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=r, lora_alpha=alpha, lora_dropout=0.0,
                        target_modules=targets if targets == "all-linear" else targets.split(","))
    if hasattr(base, "pre_classifier"):  # this peft would adapt and save it at once
        config.exclude_modules = ["pre_classifier"]
    model = get_peft_model(base, config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad:
                p.copy_(torch.randn(p.shape) * (0.02 if "lora_B" in name else 0.05))
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
    got, want = torch.as_tensor(got).double(), torch.as_tensor(want).double()
    if got.shape != want.shape or not got.isfinite().all():
        return float("inf")
    return ((got - want).abs().max() / want.abs().max().clamp_min(1e-30)).item()


# ---- the checks --------------------------------------------------------------------------------------------------

class Report:
    def __init__(self):
        self.failed = 0

    def line(self, what, measured, bound):
        ok = measured <= bound  # False for NaN
        self.failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {what:<58} {measured:9.2e}  (bound {bound:.0e})", flush=True)


def check_gradients(report, start_folder, end_folder, wanted):
    start = load_file(start_folder / "adapter_model.safetensors")
    end = load_file(end_folder / "adapter_model.safetensors")
    if start.keys() != end.keys():
        odd = sorted(start.keys() ^ end.keys())
        print(f"FAIL exported adapter: {len(odd)} keys differ from the imported ones, e.g. {odd[0]}")
        report.failed += 1
        return
    worst = {}
    for key, want in wanted.items():
        kind = key.rsplit(".", 2)[1] if "lora_" in key else "head"
        step = (start[key].double() - end[key].double()) / GRADIENT_LR
        worst[kind] = max(worst.get(kind, (0.0, "")), (max_norm(step, want), key))
    for kind, (measured, key) in sorted(worst.items()):
        report.line(f"gradient {kind}, worst: {key.removeprefix('base_model.model.')}", measured, GRADIENT)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weft", type=pathlib.Path, required=True)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--targets", default="all-linear", help="all-linear or names separated by commas")
    parser.add_argument("--r", type=int, default=8)
    parser.add_argument("--alpha", type=int, default=16)
    parser.add_argument("--max-length", type=int, default=64)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(1)

    every = [json.loads(line) for line in args.data.read_text().splitlines() if line.strip()]
    numbers = all(isinstance(row["label"], int) for row in every)
    classes = sorted({row["label"] for row in every}, key=None if numbers else str)
    rows = every[:args.rows]
    labels = torch.tensor([classes.index(row["label"]) for row in rows])
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    batch = tokenizer([row["text"] for row in rows], padding=True, truncation=True, max_length=args.max_length,
                      return_tensors="pt")

    with tempfile.TemporaryDirectory(prefix="weft-parity-") as temp:
        folder = pathlib.Path(temp)
        rows_file = folder / "rows.jsonl"
        rows_file.write_text("".join(json.dumps({"text": r["text"], "label": r["label"]}) + "\n" for r in rows))
        start = folder / "start"
        model = make_adapter(load_base(args.model, len(classes)), args.targets, args.r, args.alpha, start)
        weft = Weft(args.weft, args.model, rows_file, len(rows), [str(c) for c in classes],
                    dict(r=args.r, alpha=args.alpha, target_modules=args.targets, max_length=args.max_length), folder)
        report = Report()
        print(f"{args.model}: {len(rows)} rows of {int(batch['attention_mask'].sum(1).min())} to "
              f"{batch['input_ids'].shape[1]} tokens, {len(classes)} classes, LoRA on {args.targets}")

        out = model(**batch, labels=labels)
        report.line("logits of an adapter made by peft", max_norm(weft.logits("import", start), out.logits.detach()),
                    LOGITS)

        out.loss.backward()
        wanted = {key: p.grad.clone() for key, p in trainable(model).items()}
        model.zero_grad()
        check_gradients(report, start, weft.sgd_step("gradient", start, GRADIENT_LR), wanted)

        want = reference_losses(model, batch, labels)  # leaves the model ten steps on
        got = weft.adamw_losses(start)
        report.line(f"losses of {STEPS} AdamW steps ({want[0]:.4f} to {want[-1]:.4f})", max_norm(got, want), LOSS)

        exported = folder / "runs" / f"adamw{STEPS}" / "adapter"
        loaded = PeftModel.from_pretrained(load_base(args.model, len(classes)), exported).eval()
        with torch.no_grad():
            logits = loaded(**batch).logits
        report.line("logits of an adapter made by weft, loaded in peft",
                    max_norm(weft.logits("export", exported), logits), LOGITS)
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
