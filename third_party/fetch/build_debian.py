"""debdesc10 and deblang10: Debian package descriptions labelled by archive section, with their maintainers as clients.

Usage: build_debian.py {debdesc10|deblang10} {source|maintainer} LISTS FOLDER

LISTS is a folder of apt with *_Packages and *_Translation-en. Writes train.jsonl and test.jsonl, rows {"id",
"text", "label", "client"}: id = binary package, client = the maintainer's address in lower case. Binaries of
one source share text, so a source gives one row per section, texts that begin alike are dropped, and the
split is by source (or by maintainer: the unseen-client check). The archive changes at point releases: counts
are checked only roughly."""
import glob
import os
import re
import sys

import jsonl

SECTIONS = {
    "debdesc10": "net science admin games sound graphics fonts math mail electronics".split(),
    "deblang10": "python perl haskell rust golang javascript java ruby gnu-r php".split(),
}
EXPECTED = {"debdesc10": 6053, "deblang10": 18249}  # Debian 12
ALIKE = 200  # characters


def stanzas(path, wanted):
    """The wanted fields of each paragraph of an RFC 822 style file; continuation lines keep their newline."""
    stanza, key = {}, None
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line == "\n":
                if stanza:
                    yield stanza
                stanza, key = {}, None
            elif line[0] in " \t":
                if key:
                    stanza[key] += "\n" + line.strip()
            else:
                key, _, value = line.partition(":")
                key = key if key in wanted else None
                if key:
                    stanza[key] = value.strip()
    if stanza:
        yield stanza


def index_files(lists, pattern):
    found = sorted(glob.glob(os.path.join(lists, pattern)))
    if not found:
        raise SystemExit(f"error: no {pattern} in {lists}: apt-get update gave no such index")
    return found


def descriptions(lists):
    texts = {}
    for path in index_files(lists, "*_Translation-en"):
        for stanza in stanzas(path, {"Description-md5", "Description-en"}):
            if "Description-md5" in stanza and "Description-en" in stanza:
                texts.setdefault(stanza["Description-md5"], stanza["Description-en"])
    return texts


def rows(lists, sections):
    """(source, row) of every text that is kept, in the order of the archive's index."""
    texts = descriptions(lists)
    seen_text, seen_source = set(), set()
    fields = {"Package", "Source", "Section", "Maintainer", "Description-md5", "Filename"}
    for path in index_files(lists, "*_Packages"):
        for package in stanzas(path, fields):
            section = package.get("Section")
            if section not in sections or not re.match(r"pool/(updates/)?main/", package.get("Filename", "")):
                continue
            short, _, long = texts.get(package.get("Description-md5"), "").partition("\n")
            long = " ".join(line for line in long.split("\n") if line != ".").strip()
            source = package.get("Source", package["Package"]).split()[0]
            alike = re.sub(r"[^a-z0-9]+", " ", long.lower()).strip()[:ALIKE]
            if not alike or (source, section) in seen_source or alike in seen_text:
                continue
            seen_source.add((source, section))
            seen_text.add(alike)
            maintainer = package.get("Maintainer", "unknown")
            address = re.search(r"<([^>]*)>", maintainer)
            yield source, {"id": package["Package"], "text": short + ". " + " ".join(long.split()), "label": section,
                           "client": (address.group(1) if address else maintainer).lower()}


def main():
    name, split, lists, folder = sys.argv[1:]
    train, test = [], []
    for source, row in rows(lists, SECTIONS[name]):
        key = source if split == "source" else row["client"]
        (test if jsonl.is_test(key) else train).append(row)
    jsonl.roughly(name, "rows", len(train) + len(test), EXPECTED[name], 0.1)
    jsonl.write_split(folder, train, test)
    jsonl.report(name, train, test)


main()
