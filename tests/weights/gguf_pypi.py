#!/usr/bin/env python3
"""What our writer writes is read by the PyPI package gguf: a file of that package, rewritten, has the same
tensors and the metadata that was put. Skipped (exit 77) where the package is not installed.
Usage: gguf_pypi.py REWRITE_GGUF DATA_FOLDER"""
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
    from gguf import GGUFReader
except ImportError:
    print("skipped: the Python package gguf is not installed")
    sys.exit(77)

METADATA = {"general.architecture": "utter-test", "text": "na\u00efve", "uint32": 4000000000,
            "float32": float(np.float32(0.1)), "bool": True, "words": ["", "two words", "\u00e9"]}


def compare_tensors(source, written):
    names = [t.name for t in source.tensors]
    assert [t.name for t in written.tensors] == names, "names or their order differ"
    for a, b in zip(source.tensors, written.tensors):
        assert a.tensor_type == b.tensor_type, f"{a.name}: type {b.tensor_type}"
        assert list(a.shape) == list(b.shape), f"{a.name}: shape {b.shape}"
        assert a.data.tobytes() == b.data.tobytes(), f"{a.name}: data differs"
        assert b.data_offset % 32 == 0, f"{a.name}: data at {b.data_offset}"
    return len(names)


def compare_metadata(written):
    for key, value in METADATA.items():
        field = written.get_field(key)
        assert field is not None, f"no key {key}"
        assert field.contents() == value, f"{key} is {field.contents()!r}"
    ours = [key for key in written.fields if not key.startswith("GGUF.")]
    assert ours == list(METADATA), f"keys are {ours}"


def main():
    program, folder = sys.argv[1], Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as temporary:
        for name in ("types.gguf", "quantized.gguf"):
            out = Path(temporary) / name
            subprocess.run([program, folder / name, out], check=True)
            written = GGUFReader(out)
            n_tensors = compare_tensors(GGUFReader(folder / name), written)
            compare_metadata(written)
            print(f"{name}: {n_tensors} tensors and {len(METADATA)} keys as they should be")


if __name__ == "__main__":
    main()
