#!/usr/bin/env python3
"""Writes the files of this folder with the PyPI packages gguf (0.19.0) and numpy; needed again only when they
change. Usage: make_fixtures.py FOLDER

types.gguf      a tensor of every element type; behind each one of blocks its f32 values by gguf.quants, as
                NAME.f32. Blocks of K and T types are random bytes with finite scales: the package cannot make them.
quantized.gguf  "x", f32, and what gguf.quants makes of it
metadata.gguf   a key of every type, and no tensors"""
import sys
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType, GGUFWriter, quants

T = GGMLQuantizationType
V = GGUFValueType
# Where a block keeps its halves.
SCALES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82], T.Q3_K: [108],
          T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.TQ1_0: [52], T.TQ2_0: [64]}


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def random_blocks(rng, qtype, n):
    blocks = rng.integers(0, 256, (n, GGML_QUANT_SIZES[qtype][1]), dtype=np.uint8)
    for at in SCALES[qtype]:
        scale = (rng.standard_normal(n) * 2.0 ** rng.integers(-20, 8, n)).astype(np.float16)
        blocks[:, at:at + 2] = scale.view(np.uint8).reshape(n, 2)
    return blocks


def write_types(path):
    rng = np.random.default_rng(1)
    writer = GGUFWriter(path, "utter-test")
    for dtype in (np.float32, np.float16, np.float64):
        writer.add_tensor(np.dtype(dtype).name, (np.arange(6).reshape(2, 3) / 4 - 1).astype(dtype))
    for dtype in (np.int8, np.int16, np.int32, np.int64):
        writer.add_tensor(np.dtype(dtype).name, (np.arange(6).reshape(1, 2, 3) - 3).astype(dtype))
    writer.add_tensor("bfloat16", quants.quantize(np.arange(6, dtype=np.float32).reshape(2, 3) / 4 - 1, T.BF16),
                      raw_dtype=T.BF16)
    for qtype in SCALES:
        rows = 2 if GGML_QUANT_SIZES[qtype][0] == 256 else 4
        data = random_blocks(rng, qtype, rows).reshape(2, -1)
        writer.add_tensor(qtype.name.lower(), data, raw_dtype=qtype)
        writer.add_tensor(qtype.name.lower() + ".f32", quants.dequantize(data, qtype))
    finish(writer)


def write_quantized(path):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((48, 32)) * 2.0 ** rng.integers(-12, 12, (48, 1))
    x[0] = 0
    x[1] = 1
    x[2] = np.arange(32) - 16  # ties
    x[3] = (np.arange(32) - 15.5) / 8
    x[4] = -x[3] * 1.5
    x[5, 1:] = 0  # one value only
    x[6, :31] = 0
    x[7] = np.where(np.arange(32) % 2, 5, -5)  # which of two extremes
    x[8] = np.where(np.arange(32) % 2, -5, 5)
    x[9] = -3
    x[10] *= 1e-9  # scales that are subnormal as halves, and zero
    x[11] *= 1e-7
    x[12] = np.arange(32) * 4 + 0.5
    x = x.astype(np.float32)
    writer = GGUFWriter(path, "utter-test")
    writer.add_tensor("x", x)
    for qtype in (T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0):
        data = quants.quantize(x, qtype)
        writer.add_tensor(qtype.name.lower(), data, raw_dtype=None if qtype == T.F16 else qtype)
    finish(writer)


def write_metadata(path):
    writer = GGUFWriter(path, "utter-test")
    scalars = [("uint8", V.UINT8, 200), ("int8", V.INT8, -100), ("uint16", V.UINT16, 60000), ("int16", V.INT16, -30000),
               ("uint32", V.UINT32, 4000000000), ("int32", V.INT32, -2000000000), ("uint64", V.UINT64, 1 << 62),
               ("int64", V.INT64, -(1 << 62)), ("float32", V.FLOAT32, 0.1), ("float64", V.FLOAT64, 0.1),
               ("bool", V.BOOL, True), ("string", V.STRING, "na\u00efve \u2713")]
    for name, vtype, value in scalars:
        writer.add_key_value("scalar." + name, value, vtype)
    for name, vtype, value in scalars:
        writer.add_key_value("array." + name, [value, value, value], V.ARRAY, sub_type=vtype)
    writer.add_key_value("array.words", ["", "two words", "\u00e9"], V.ARRAY, sub_type=V.STRING)
    finish(writer)


def main():
    folder = Path(sys.argv[1])
    write_types(folder / "types.gguf")
    write_quantized(folder / "quantized.gguf")
    write_metadata(folder / "metadata.gguf")


if __name__ == "__main__":
    main()
