"""wn10: noun glosses of WordNet 3.0 labelled by lexicographer file, from data.noun (see wndb(5WN)).

Usage: build_wn10.py DATA.NOUN FOLDER    writes train.jsonl and test.jsonl, rows {"id", "text", "label"}

Ten largest topical files, at most 2,500 synsets each in the order of md5(id); id = "n" + synset offset; text =
the gloss before the first example sentence; test = md5(text) mod 100 < 20. WordNet 3.0 is static and so is
the result (wn10.sh checks its hash)."""
import sys

import jsonl

# Lexicographer file numbers, lexnames(5WN).
CLASSES = {4: "act", 5: "animal", 6: "artifact", 7: "attribute", 10: "communication", 15: "location",
           18: "person", 20: "plant", 26: "state", 27: "substance"}
PER_CLASS = 2500


def read(path):
    rows = {label: [] for label in CLASSES.values()}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("  "):  # the licence at the top of the file
                continue
            synset, gloss = line.split(" | ", 1)
            offset, lex_file = synset.split(" ", 2)[:2]
            label = CLASSES.get(int(lex_file))
            if label:
                text = gloss.split('; "', 1)[0].strip()
                rows[label].append({"id": "n" + offset, "text": text, "label": label})
    return rows


def main():
    source, folder = sys.argv[1:]
    train, test = [], []
    for rows in read(source).values():
        for row in sorted(rows, key=lambda row: jsonl.md5(row["id"]))[:PER_CLASS]:
            (test if jsonl.is_test(row["text"]) else train).append(row)
    jsonl.write_split(folder, train, test)
    jsonl.report("wn10", train, test)


main()
