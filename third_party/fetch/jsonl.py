"""What the data builders share: the train/test rule, JSON Lines out, and a table of what was written."""
import collections
import hashlib
import json
import os


def md5(text):
    return hashlib.md5(text.encode("utf-8")).hexdigest()


def is_test(key):
    """A fixed fifth of all keys: depends on the key alone, so that equal keys never cross the split."""
    return int(md5(key), 16) % 100 < 20


def write(path, rows):
    """Rows in the order of md5(id): any prefix of the file is a random sample. Atomic."""
    rows = sorted(rows, key=lambda row: md5(row["id"]))
    with open(path + ".tmp", "w", encoding="utf-8", newline="\n") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    os.replace(path + ".tmp", path)


def write_split(folder, train, test):
    os.makedirs(folder, exist_ok=True)
    write(os.path.join(folder, "train.jsonl"), train)
    write(os.path.join(folder, "test.jsonl"), test)


def report(name, train, test):
    words = [len(row["text"].split()) for row in train + test]
    count = [collections.Counter(row["label"] for row in part) for part in (train, test)]
    print(f"{name}: {len(train)} train, {len(test)} test, {sum(words) / len(words):.1f} words a text")
    for label in sorted(count[0] + count[1]):
        print(f"  {label:<16} {count[0][label]:>6} {count[1][label]:>6}")
    clients = collections.Counter(row["client"] for row in train + test if "client" in row)
    if clients:
        at_least = ", ".join(f"{sum(n >= k for n in clients.values())} with >= {k}" for k in (10, 20, 50))
        print(f"  {len(clients)} clients: {at_least} texts")


def roughly(name, what, got, expected, share=0.05):
    """A source that changes a little must not change a lot: that would be a parse error."""
    if abs(got - expected) > share * expected:
        raise SystemExit(f"error: {name}: {got} {what}, expected about {expected}: the source has changed its form")
