#!/usr/bin/env python3
"""Trains four small tokenizers with HF `tokenizers` and records what they make of multilingual text.

    python3 tests/golden/make_tokenizer_fixture.py        (writes tests/golden/tokenizer/)

The text is tokenizer_text.py's: sentences written for this project, changed by a seeded generator, and
stretches of Unicode. Folders: wordpiece-uncased and wordpiece-cased (BERT), byte-bpe (RoBERTa's
post-processor), legacy-vocab (vocab.txt alone) and legacy-merges (vocab.json and merges.txt).

texts.bin: for each text its length in bytes (u32, little endian) and the bytes. <folder>.ids: a line for
each text alone, then for the pairs (2k, 2k+1) of the first 200 texts cut to 24 tokens, "ids|type ids".
Recorded with tokenizers 0.23.3.
"""
import json
import os
import struct

import tokenizer_text
from tokenizers import AddedToken, Tokenizer, models, trainers
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P
from tokenizers import processors as X

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizer")
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, special=True)]


def bert(texts, lower):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = N.BertNormalizer(lowercase=lower)
    t.pre_tokenizer = P.BertPreTokenizer()
    t.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=2500, limit_alphabet=1200, special_tokens=BERT,
                                                           show_progress=False))
    cls, sep = t.token_to_id("[CLS]"), t.token_to_id("[SEP]")
    if lower:
        t.post_processor = X.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1",
                                                [("[CLS]", cls), ("[SEP]", sep)])
    else:
        t.post_processor = X.BertProcessing(("[SEP]", sep), ("[CLS]", cls))
    return t


def roberta(texts, prefix):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = P.ByteLevel(add_prefix_space=prefix)
    t.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=1500, special_tokens=ROBERTA, initial_alphabet=sorted(P.ByteLevel.alphabet()),
        show_progress=False))
    t.post_processor = X.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>")),
                                           add_prefix_space=prefix)
    return t


def write(name, data):
    with open(os.path.join(HERE, name), "wb") as f:
        f.write(data)


def record(folder, tokenizer, texts):
    def line(e):
        return " ".join(map(str, e.ids)) + "|" + " ".join(map(str, e.type_ids)) + "\n"

    tokenizer.no_truncation()
    lines = [line(e) for e in tokenizer.encode_batch(texts)]
    tokenizer.enable_truncation(24)
    lines += [line(e) for e in tokenizer.encode_batch(list(zip(texts[:200:2], texts[1:200:2])))]
    write(folder + ".ids", "".join(lines).encode())
    tokenizer.no_truncation()


def main():
    os.makedirs(HERE, exist_ok=True)
    train = [t for t in tokenizer_text.sample(3000, seed=3) if len(t) < 1000]
    raw = [t.encode() for t in tokenizer_text.sample(480)] + tokenizer_text.broken(60)
    raw = [t for t in raw if len(t) < 4000]
    write("texts.bin", b"".join(struct.pack("<I", len(t)) + t for t in raw))
    texts = [t.decode(errors="replace") for t in raw]
    for name, t in (("wordpiece-uncased", bert(train, True)), ("wordpiece-cased", bert(train, False)),
                    ("byte-bpe", roberta(train, True))):
        os.makedirs(os.path.join(HERE, name), exist_ok=True)
        t.save(os.path.join(HERE, name, "tokenizer.json"), pretty=False)
        record(name, t, texts)
    # The files of older model folders, and what transformers makes of them.
    t = bert(train, False)
    os.makedirs(os.path.join(HERE, "legacy-vocab"), exist_ok=True)
    vocab = sorted(t.get_vocab().items(), key=lambda item: item[1])
    write("legacy-vocab/vocab.txt", "".join(token + "\n" for token, _ in vocab).encode())
    write("legacy-vocab/tokenizer_config.json", b'{"do_lower_case": false, "strip_accents": true}\n')
    t.normalizer = N.BertNormalizer(lowercase=False, strip_accents=True)
    record("legacy-vocab", t, texts)
    t = roberta(train, False)
    os.makedirs(os.path.join(HERE, "legacy-merges"), exist_ok=True)
    t.model.save(os.path.join(HERE, "legacy-merges"))
    record("legacy-merges", t, texts)
    config = json.dumps({"add_prefix_space": False, "mask_token": "<mask>"})
    write("legacy-merges/tokenizer_config.json", config.encode() + b"\n")


if __name__ == "__main__":
    main()
