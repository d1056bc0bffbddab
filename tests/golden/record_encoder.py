#!/usr/bin/env python3
"""Records what PyTorch, transformers and peft compute on tiny random encoders (see README.md for the contents).

Run inside the environment of tests/live/make_venv.sh:  python tests/golden/record_encoder.py
It rewrites the golden sets, the hf_*/ and peft_*/ folders, peft_logits.json and PROVENANCE.md beside itself. The
same versions on the same machine give the same bytes.
"""
import copy
import json
import os
import pathlib
import platform
import shutil
import sys

if os.environ.get("PYTHONHASHSEED") != "0":  # peft writes target_modules, a set, in hash order
    os.environ["PYTHONHASHSEED"] = "0"
    os.execv(sys.executable, [sys.executable, *sys.argv])

import numpy
import peft
import safetensors.torch
import tokenizers
import torch
import transformers
from peft import LoraConfig, TaskType, get_peft_model, get_peft_model_state_dict

from golden_writer import Writer

HERE = pathlib.Path(__file__).resolve().parent
ADAMW = dict(lr=5e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
SGD = dict(lr=0.1, momentum=0.9, weight_decay=0.0)
SGD_CLIP = 0.5
LENGTHS = ([7, 17, 1, 12, 4], [16, 2, 9])  # tokens of every sequence of client 0 and client 1

BERT = dict(vocab_size=97, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=64)
ROBERTA = dict(BERT, num_hidden_layers=3, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2,
               layer_norm_eps=1e-5)
DISTILBERT = dict(vocab_size=97, dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=64)

CASES = {
    "bert": dict(
        seed=11, model=transformers.BertForSequenceClassification, num_labels=3,
        config=transformers.BertConfig(**BERT), pairs=True, sgd=True,
        lora=dict(r=4, lora_alpha=8, target_modules="all-linear")),
    "roberta": dict(
        seed=22, model=transformers.RobertaForSequenceClassification, num_labels=3,
        config=transformers.RobertaConfig(**ROBERTA),
        lora=dict(r=4, lora_alpha=8, target_modules="all-linear", use_rslora=True)),
    "distilbert": dict(
        seed=33, model=transformers.DistilBertForSequenceClassification, num_labels=3,
        config=transformers.DistilBertConfig(**DISTILBERT),
        lora=dict(r=4, lora_alpha=8, target_modules=["q_lin", "v_lin", "lin1"])),
    "bert_regression": dict(
        seed=44, model=transformers.BertForSequenceClassification, num_labels=1,
        config=transformers.BertConfig(**BERT), pairs=True,
        lora=dict(r=4, lora_alpha=8, target_modules=["query", "value"])),
}


def max_norm(got, want):
    """max|got-want| / max|want|, the measure of the tests."""
    got, want = got.double(), want.double()
    return ((got - want).abs().max() / want.abs().max().clamp_min(1e-30)).item()


def randomize(model, generator):
    """Weights large enough that a wrong operation shows: std 0.2, embeddings 0.3, LayerNorm 1 +- 0.2."""
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        with torch.no_grad():
            if "layernorm" in name.lower() or "layer_norm" in name:
                p.copy_(1 + 0.2 * noise if name.endswith("weight") else 0.1 * noise)
            elif "embeddings" in name:
                p.copy_(0.3 * noise)
            else:
                p.copy_(0.2 * noise if name.endswith("weight") else 0.1 * noise)


def randomize_adapter(model, generator):
    """B as well as A away from zero, and a head of this client's own."""
    for name, p in model.named_parameters():
        if p.requires_grad:
            with torch.no_grad():
                p.copy_(0.15 * torch.randn(p.shape, generator=generator))


def key_of(name):
    """Parameter name in memory -> key in adapter_model.safetensors."""
    return name.replace(".modules_to_save.default.", ".").replace(".default.weight", ".weight")


def trainable(model):
    found = {key_of(n): p for n, p in model.named_parameters() if p.requires_grad}
    assert found.keys() == get_peft_model_state_dict(model).keys()
    return dict(sorted(found.items()))


def make_batch(case, lengths, generator):
    """A ragged batch and its padded form."""
    config, n, width = case["config"], len(lengths), max(lengths)
    pad = config.pad_token_id
    roberta, distilbert = config.model_type == "roberta", config.model_type == "distilbert"
    ids = torch.full((n, width), pad)
    types = torch.zeros(n, width, dtype=torch.long)
    mask = torch.zeros(n, width, dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(3, config.vocab_size, (length,), generator=generator)
        mask[row, :length] = 1
        if case.get("pairs"):
            types[row, (length + 1) // 2:length] = 1
    if case["num_labels"] == 1:
        labels = torch.randn(n, generator=generator)
    else:
        labels = torch.randint(0, case["num_labels"], (n,), generator=generator)
    if roberta:
        positions = transformers.models.roberta.modeling_roberta.RobertaEmbeddings \
            .create_position_ids_from_input_ids(ids, pad)
    else:
        positions = torch.arange(width).expand(n, width)
    inputs = dict(input_ids=ids, attention_mask=mask)
    if not distilbert:
        inputs["token_type_ids"] = types
    return inputs, positions, labels


def final_linear(model):
    """The linear that makes the logits; its input is recorded as `pooled`."""
    head = model.base_model.model.classifier.modules_to_save["default"]
    return getattr(head, "out_proj", head)


def run(model, inputs, labels):
    """Forward on padded rows -> (output, pooled)."""
    seen = []
    hook = final_linear(model).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    out = model(**inputs, labels=labels, output_hidden_states=True)
    hook.remove()
    return out, seen[0]


def gradients(model):
    return {key: p.grad for key, p in trainable(model).items()}


def doubled(model, inputs, labels):
    """The same in double precision: hidden states, logits, loss, gradients."""
    model = copy.deepcopy(model).double()
    out, _ = run(model, inputs, labels.double() if labels.is_floating_point() else labels)
    out.loss.backward()
    return out, gradients(model)


def check_against_doubles(model, inputs, labels, out):
    """Padded batch against one sequence at a time and SDPA against eager (both in fp64), fp32 against fp64."""
    exact, exact_grads = doubled(model, inputs, labels)
    lengths = inputs["attention_mask"].sum(1).tolist()
    for row, length in enumerate(lengths):
        alone, _ = doubled(model, {k: v[row:row + 1, :length] for k, v in inputs.items()}, labels[row:row + 1])
        assert max_norm(alone.logits[0], exact.logits[row]) < 1e-9, "padding changes the logits"
        for a, b in zip(alone.hidden_states, exact.hidden_states):
            assert max_norm(a[0], b[row, :length]) < 1e-9, "padding changes the hidden states"
    sdpa = copy.deepcopy(model)
    sdpa.base_model.model.config._attn_implementation = "sdpa"
    assert max_norm(doubled(sdpa, inputs, labels)[0].logits, exact.logits) < 1e-9
    kept = inputs["attention_mask"].bool()
    return dict(
        hidden=max(max_norm(a[kept], b[kept]) for a, b in zip(out.hidden_states, exact.hidden_states)),
        logits=max_norm(out.logits, exact.logits), loss=max_norm(out.loss, exact.loss),
        gradients=max(max_norm(g, exact_grads[k]) for k, g in gradients(model).items()))


def record_steps(writer, prefix, model, inputs, labels, make, steps, clip=None):
    """Loss before each of the steps on the same batch, then the trainable tensors after the last."""
    model = copy.deepcopy(model)
    params = trainable(model)
    optimizer = make(list(params.values()))
    losses, norms = [], []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        if clip is not None:
            norms.append(torch.nn.utils.clip_grad_norm_(list(params.values()), clip).item())
        optimizer.step()
        losses.append(loss.item())
    writer.add(f"{prefix}.losses", losses)
    if clip is not None:
        writer.add(f"{prefix}.norms", norms)
    for key, p in params.items():
        writer.add(f"{prefix}/{key}", p)
    return losses


def record_client(writer, index, case, model, generator):
    inputs, positions, labels = make_batch(case, LENGTHS[index], generator)
    kept = inputs["attention_mask"].bool()
    prefix = f"c{index}"
    writer.add(f"{prefix}/seq_off", [0, *numpy.cumsum(LENGTHS[index])])
    writer.add(f"{prefix}/input_ids", inputs["input_ids"][kept])
    if "token_type_ids" in inputs:
        writer.add(f"{prefix}/token_type_ids", inputs["token_type_ids"][kept])
    writer.add(f"{prefix}/position_ids", positions[kept])
    writer.add(f"{prefix}/labels", labels)
    for key, p in trainable(model).items():
        writer.add(f"{prefix}/adapter/{key}", p)

    out, pooled = run(model, inputs, labels)
    out.loss.backward()
    for layer, hidden in enumerate(out.hidden_states):
        writer.add(f"{prefix}/hidden.{layer}", hidden[kept])
    writer.add(f"{prefix}/pooled", pooled)
    writer.add(f"{prefix}/logits", out.logits)
    writer.add(f"{prefix}/loss", out.loss)
    for key, grad in gradients(model).items():
        writer.add(f"{prefix}/grad/{key}", grad)
    errors = check_against_doubles(model, inputs, labels, out)
    model.zero_grad()

    def adamw(params):
        return torch.optim.AdamW(params, **ADAMW)

    losses = record_steps(writer, f"{prefix}/adamw", model, inputs, labels, adamw, 10)
    exact = record_steps(Writer(), "exact", copy.deepcopy(model).double(), inputs,
                         labels.double() if labels.is_floating_point() else labels, adamw, 10)
    errors["steps"] = max(abs(a - b) for a, b in zip(losses, exact)) / max(exact)
    if case.get("sgd"):
        record_steps(writer, f"{prefix}/sgd", model, inputs, labels, lambda p: torch.optim.SGD(p, **SGD), 5,
                     SGD_CLIP)
    return dict(errors, first_loss=losses[0], last_loss=losses[-1]), inputs, out.logits


def save_folders(name, base, model, inputs, logits):
    """The base as an HF folder, client 0's adapter as peft saves it, and its logits."""
    for folder in (f"hf_{name}", f"peft_{name}"):
        shutil.rmtree(HERE / folder, ignore_errors=True)
    base.save_pretrained(HERE / f"hf_{name}")
    if name == "bert":
        shutil.rmtree(HERE / "hf_bert_sharded", ignore_errors=True)
        base.save_pretrained(HERE / "hf_bert_sharded", max_shard_size="40KB")
        save_tokenizer(HERE / "hf_bert", base.config.vocab_size)
    model.peft_config["default"].base_model_name_or_path = f"hf_{name}"
    model.save_pretrained(HERE / f"peft_{name}")
    for written in HERE.glob("*/*.safetensors"):
        written.chmod(0o644)
    (HERE / f"peft_{name}" / "README.md").unlink()  # peft's empty model card

    # The folders alone must give the recorded logits back.
    again = type(base).from_pretrained(HERE / f"hf_{name}", attn_implementation="eager")
    again = peft.PeftModel.from_pretrained(again, HERE / f"peft_{name}").eval()
    with torch.no_grad():
        assert torch.equal(again(**inputs).logits, logits), name
    lengths = inputs["attention_mask"].sum(1).tolist()
    ragged = {k: [row[:n] for row, n in zip(v.tolist(), lengths)] for k, v in inputs.items()
              if k != "attention_mask"}
    return dict(model=f"hf_{name}", adapter=f"peft_{name}", **ragged, logits=logits.tolist())


def save_tokenizer(folder, vocab_size):
    """A WordPiece vocabulary of letters and some common pieces, so that the folder can read text."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["the", "of", "and", "to", "in", "is", "##es", "##ed", "##ing", "##er", "good", "bad", "small", "big",
             "plant", "animal", "person", "place", "water", "time", "word", "number", "not", "very", "with", "for",
             "on", "as", "##ly", "##al", "a1", ".", ",", "?", "!", "0", "1", "2", "3", "4"]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + c for c in letters), *words]
    vocab = vocab[:vocab_size]
    assert len(set(vocab)) == vocab_size
    tokenizer = transformers.BertTokenizerFast(vocab={token: i for i, token in enumerate(vocab)},
                                               model_max_length=64)
    tokenizer.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n")


def record(name, case):
    generator = torch.Generator().manual_seed(case["seed"])
    config = case["config"]
    config.num_labels = case["num_labels"]
    config._attn_implementation = "eager"
    base = case["model"](config).eval()
    randomize(base, generator)

    writer = Writer()
    writer.set(json.loads(config.to_json_string(use_diff=False)))
    for key, tensor in base.state_dict().items():
        writer.add(f"base/{key}", tensor)

    report, logits_entry = [], None
    for index in range(len(LENGTHS)):
        model = get_peft_model(copy.deepcopy(base), LoraConfig(task_type=TaskType.SEQ_CLS, **case["lora"])).eval()
        randomize_adapter(model, generator)
        errors, inputs, logits = record_client(writer, index, case, model, generator)
        report.append(errors)
        if index == 0 and name != "bert_regression":
            logits_entry = save_folders(name, base, model, inputs, logits)

    adapted = sorted(n for n, m in model.base_model.model.named_modules() if hasattr(m, "lora_A"))
    scale = {m.scaling["default"] for m in model.modules() if hasattr(m, "lora_A")}.pop()
    saved = sorted(key.removeprefix("base_model.model.") for key in trainable(model) if "lora_" not in key)
    writer.set(dict(
        r=case["lora"]["r"], alpha=case["lora"]["lora_alpha"], scale=scale,
        use_rslora=case["lora"].get("use_rslora", False), target_modules=case["lora"]["target_modules"],
        adapted=adapted, saved=saved), "lora.")
    writer.set(dict(ADAMW, beta1=ADAMW["betas"][0], beta2=ADAMW["betas"][1], steps=10), "adamw.")
    if case.get("sgd"):
        writer.set(dict(SGD, max_grad_norm=SGD_CLIP, steps=5), "sgd.")
    writer.set(versions(), "versions.")
    size = writer.write(HERE, name, f"Tiny {name} in PyTorch, transformers and peft, by record_encoder.py.")
    return dict(size=size, tensors=len(writer.tensors), adapted=adapted, saved=saved, clients=report), logits_entry


def versions():
    return dict(torch=torch.__version__.split("+")[0], transformers=transformers.__version__,
                peft=peft.__version__, safetensors=safetensors.__version__, tokenizers=tokenizers.__version__,
                numpy=numpy.__version__, python=platform.python_version())


def provenance(reports):
    lines = ["# Where the recorded numbers come from", "",
             "Written by `record_encoder.py`; do not edit. fp32 on a CPU, one thread, eager attention, eval mode.", ""]
    lines += [f"- {key} {value}" for key, value in versions().items()]
    lines += ["", "Checked while recording, in double precision to 1e-9: the padded batch against one sequence at a"
              " time, SDPA against eager attention; and that the saved folders give the recorded logits back.", "",
              "Distance of the recorded fp32 numbers from the same computation in double precision (per tensor,"
              " max|a-b| / max|b|, worst tensor), the noise floor of a comparison with them:", "",
              "| set | client | hidden | logits | loss | gradients | ten AdamW losses | loss before step 1 | loss before step 10 |",
              "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for name, report in reports.items():
        for index, c in enumerate(report["clients"]):
            lines.append(f"| {name} | {index} | {c['hidden']:.1e} | {c['logits']:.1e} | {c['loss']:.1e} | "
                         f"{c['gradients']:.1e} | {c['steps']:.1e} | {c['first_loss']:.4f} | {c['last_loss']:.4f} |")
    lines += ["", "| set | bytes | tensors | modules with LoRA | trained head |", "| --- | --- | --- | --- | --- |"]
    for name, r in reports.items():
        lines.append(f"| {name} | {r['size']} | {r['tensors']} | {len(r['adapted'])} | {', '.join(r['saved'])} |")
    return "\n".join(lines) + "\n"


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    reports, logits = {}, {}
    for name, case in CASES.items():
        reports[name], entry = record(name, case)
        if entry:
            logits[name] = entry
    (HERE / "peft_logits.json").write_text(json.dumps(logits, indent=1) + "\n")
    (HERE / "PROVENANCE.md").write_text(provenance(reports))
    print(provenance(reports))


if __name__ == "__main__":
    main()
