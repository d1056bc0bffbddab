"""foldoc8: definitions of the Free On-line Dictionary of Computing by category, from the dict files of Debian.

Usage: build_foldoc8.py FOLDOC.DICT.DZ FOLDOC.INDEX FOLDER     writes train.jsonl and test.jsonl

An entry reads "headword\\n\\n   <category, category> text with {links} ... (date)". Label = its first category,
of which the eight largest are kept; text = the body without category, link braces and date; id = position in the
dictionary; test = md5(text) mod 100 < 20."""
import collections
import gzip
import re
import string
import sys

import jsonl

CLASSES = 8
EXPECTED = 4060
DIGITS = {c: i for i, c in enumerate(string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/")}


def number(text):
    """Base 64, most significant digit first: how a dict index writes offsets and lengths."""
    value = 0
    for digit in text:
        value = value * 64 + DIGITS[digit]
    return value


def entries(dict_path, index_path):
    with gzip.open(dict_path) as packed:
        data = packed.read()
    with open(index_path, encoding="utf-8") as lines:
        places = {tuple(map(number, line.rstrip("\n").split("\t")[1:3])) for line in lines}
    for start, length in sorted(places):  # synonyms point to the same place
        yield start, data[start:start + length].decode("utf-8", "replace")


def main():
    dict_path, index_path, folder = sys.argv[1:]
    found = collections.defaultdict(list)
    for start, entry in entries(dict_path, index_path):
        match = re.search(r"^\s*<([^>]+)>(.*)", entry, re.M | re.S)
        if not match:
            continue
        body = re.sub(r"\(\d{4}-\d{2}-\d{2}\)\s*$", "", match.group(2)).replace("{", "").replace("}", "")
        text = " ".join(body.split())
        if len(text.split()) >= 3:
            label = " ".join(match.group(1).split(",")[0].split())
            found[label].append({"id": f"foldoc{start:07d}", "text": text, "label": label})
    train, test = [], []
    for label in sorted(found, key=lambda label: (-len(found[label]), label))[:CLASSES]:
        for row in found[label]:
            (test if jsonl.is_test(row["text"]) else train).append(row)
    jsonl.roughly("foldoc8", "rows", len(train) + len(test), EXPECTED)
    jsonl.write_split(folder, train, test)
    jsonl.report("foldoc8", train, test)


main()
