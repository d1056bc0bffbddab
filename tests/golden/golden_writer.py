"""Writes a golden set: NAME.bin (raw little-endian tensors back to back) and NAME.h (see golden.h)."""
import json
import pathlib

import numpy as np


def as_text(value):
    """A setting's value as golden.h describes it: strings bare, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def flatten(tree, prefix=""):
    """Nested dict -> {"a.b": value}; lists stay one value."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + str(key)] = value
    return flat


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


class Writer:
    def __init__(self):
        self.tensors = {}
        self.settings = {}

    def add(self, name, value):
        """value: array-like or torch tensor; integers become int32, the rest float32."""
        array = np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
        kind = "<i4" if array.dtype.kind in "iub" else "<f4"
        assert name not in self.tensors, name
        assert array.ndim <= 4, (name, array.shape)
        assert kind == "<i4" or np.isfinite(array).all(), name
        self.tensors[name] = array.astype(kind)  # a copy: the recorded model goes on training

    def set(self, tree, prefix=""):
        self.settings.update({key: as_text(value) for key, value in flatten(tree, prefix).items()})

    def write(self, folder, name, about):
        folder = pathlib.Path(folder)
        rows, blob = [], b""
        for key, array in self.tensors.items():
            dims = ", ".join(str(d) for d in (list(array.shape) + [1, 1, 1, 1])[:4])
            kind = "GOLDEN_I32" if array.dtype.kind == "i" else "GOLDEN_F32"
            rows.append(f"    {{{quote(key)}, {kind}, {array.ndim}, {{{dims}}}, {len(blob)}}},")
            blob += array.tobytes(order="C")
        settings = [f"    {{{quote(key)}, {quote(value)}}}," for key, value in self.settings.items()]
        guard = f"WEFT_TESTS_GOLDEN_{name.upper()}_H"
        lines = [
            f"/* {about} Generated: see README.md. */",
            "/* clang-format off */",
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            '#include "tests/golden/golden.h"',
            "",
            f"static const golden_tensor golden_{name}_tensors[] = {{",
            *rows,
            "};",
            "",
            f"static const golden_setting golden_{name}_settings[] = {{",
            *settings,
            "};",
            "",
            f"static const golden_set golden_{name} = {{",
            f'    "{name}.bin", {len(blob)},',
            f"    golden_{name}_tensors, sizeof golden_{name}_tensors / sizeof *golden_{name}_tensors,",
            f"    golden_{name}_settings, sizeof golden_{name}_settings / sizeof *golden_{name}_settings,",
            "};",
            "",
            "#endif",
            "",
        ]
        (folder / f"{name}.bin").write_bytes(blob)
        (folder / f"{name}.h").write_text("\n".join(lines))
        return len(blob)
