"""Whether the files of a folder are whole: whole.py FOLDER prints what is wrong and fails; torture.py imports it.

Files that appear at once (JSON, safetensors, CSV, text) parse to their end, files that grow end in a whole line,
and no temporary file is there."""
import json, os, struct, sys


def fault_of(path):
    """None, or what is wrong with a file that must be absent or complete."""
    data = open(path, "rb").read()
    name = os.path.basename(path)
    try:
        if name.endswith(".json"):
            json.loads(data)
        elif name.endswith(".jsonl"):
            assert not data or data.endswith(b"\n"), "the last line is cut"
            for line in data.splitlines():
                json.loads(line)
        elif name.endswith((".csv", ".txt", ".yaml", ".md")):
            assert not data or data.endswith(b"\n"), "the last line is cut"
            rows = data.decode().splitlines()
            if name.endswith(".csv"):
                assert all(row.count(",") == rows[0].count(",") for row in rows), "a row is cut"
        elif name.endswith(".safetensors"):
            size = struct.unpack("<Q", data[:8])[0]
            header = json.loads(data[8:8 + size])
            end = max(t["data_offsets"][1] for k, t in header.items() if k != "__metadata__")
            assert len(data) == 8 + size + end, "cut"
    except Exception as e:
        return f"{path}: {e}"
    return None


def faults_of(folder):
    wrong = []
    for where, folders, files in os.walk(folder):
        wrong += [f"{name} is left behind" for name in folders + files if ".tmp" in name or "client_state.bin" in name]
        wrong += [fault_of(os.path.join(where, file)) for file in files if ".tmp" not in file]
    return [w for w in wrong if w]


if __name__ == "__main__":
    found = faults_of(sys.argv[1])
    for line in found:
        print(line)
    sys.exit(bool(found))
