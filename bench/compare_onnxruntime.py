#!/usr/bin/env python3
"""Times a voice in utter and in ONNX Runtime in turn, and prints the ratios of each pair.

usage: compare_onnxruntime.py UTTER MODEL [--onnx PEER.onnx] [--ids 1,0,5,...] [--phonemes 62] [--threads 1] [--pairs 7]
                              [--cpu avx2] [--precision int8]

MODEL is a Piper voice (VOICE.onnx, which ONNX Runtime runs too, unless --onnx names another export of it) or a Kokoro model in
a folder with config.json and voices/; then --onnx names an export of the same weights with the inputs input_ids, style and
speed. --cpu and --precision are utter's; what ONNX Runtime computes in is its file's affair. Needs the Python packages
numpy and onnxruntime. Both engines get the same ids (Piper: and the scales 0.667,1,0.8; Kokoro: and the style row of the first
voice); the noise is random in both, so the audio lengths may differ a little and every figure is divided by its own
seconds of audio. Each turn is a fresh process with one warm-up run. ONNX Runtime does not spin, so that CPU time is work.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import zipfile


def kokoro_style(model, n_ids):
    """The row of the first voice beside the model for n_ids ids, as utter takes it: a .pt file is a zip of raw floats."""
    import numpy as np
    folder = os.path.join(os.path.dirname(model), "voices")
    with zipfile.ZipFile(os.path.join(folder, sorted(os.listdir(folder))[0])) as pt:
        values = np.frombuffer(pt.read(next(n for n in pt.namelist() if n.endswith("data/0"))), np.float32)
    return values.reshape(510, -1)[n_ids - 3][None]


def feed_of(session, model, ids):
    """The inputs of one run, and the sample rate."""
    import numpy as np
    names = {i.name for i in session.get_inputs()}
    if "style" in names:
        return {"input_ids": np.array([ids], np.int64), "style": kokoro_style(model, len(ids)),
                "speed": np.array([1], np.float32)}, 24000
    feed = {"input": np.array([ids], np.int64), "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array([0.667, 1.0, 0.8], np.float32)}
    if "sid" in names:
        feed["sid"] = np.array([0], np.int64)
    return feed, json.load(open(model + ".json"))["audio"]["sample_rate"]


def run_onnxruntime(model, onnx, ids, threads, runs):
    """One JSON line: the runs, with seconds of audio, and the process's peak memory."""
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    feed, rate = feed_of(session, model, ids)
    out = []
    for i in range(runs + 1):
        cpu, wall = time.process_time(), time.perf_counter()
        audio_s = session.run(None, feed)[0].size / rate
        out.append({"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, "audio_s": audio_s})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"runs": [dict(r, peak_rss_mb=peak) for r in out[1:]]}))


def measure(command):
    """Medians over the runs of one process: CPU and wall seconds for a second of audio, peak MB."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    runs = json.loads(done.stdout)["runs"]
    return (statistics.median(r["cpu_s"] / r["audio_s"] for r in runs),
            statistics.median(r["wall_s"] / r["audio_s"] for r in runs), max(r["peak_rss_mb"] for r in runs))


def is_piper(model):
    return os.path.exists(model + ".json")


def default_ids(a):
    """A fixed walk through the vocabulary: Piper's with pads between, Kokoro's between two zeros."""
    if not is_piper(a.model):
        known = sorted(json.load(open(os.path.join(os.path.dirname(a.model), "config.json")))["vocab"].values())
        return [0] + [known[(i * 37 + i * i) % len(known)] for i in range(a.phonemes)] + [0]
    return [1] + [v for i in range(a.phonemes) for v in (0, 10 + i * 37 % 110)] + [0, 2]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("utter")
    p.add_argument("model")
    p.add_argument("--onnx", help="what ONNX Runtime runs, if not MODEL")
    p.add_argument("--ids", default="")
    p.add_argument("--phonemes", type=int, default=62)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--pairs", type=int, default=7)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--cpu", default="auto")
    p.add_argument("--precision", default="auto", choices=("auto", "f32", "bf16", "int8"))
    p.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    a = p.parse_args()
    ids = [int(i) for i in a.ids.split(",")] if a.ids else default_ids(a)
    if a.peer:
        return run_onnxruntime(a.model, a.onnx or a.model, ids, a.threads, a.runs)
    listed = ",".join(map(str, ids))
    ours = [a.utter, "bench", "-m", a.model, "--ids", listed, "--threads", str(a.threads), "--runs", str(a.runs), "--json"]
    ours += ["--cpu", a.cpu, "--precision", a.precision] + (["--scales", "0.667,1,0.8"] if is_piper(a.model) else [])
    theirs = [sys.executable, os.path.abspath(__file__), a.utter, a.model, "--ids", listed, "--threads", str(a.threads),
              "--runs", str(a.runs), "--peer"] + (["--onnx", a.onnx] if a.onnx else [])
    pairs = []
    for i in range(a.pairs):
        x, y = measure(ours), measure(theirs)
        pairs.append((x, y))
        print(f"utter: cpu {x[0]:.4f} wall {x[1]:.4f} peak {x[2]:.0f} MB   "
              f"ONNX Runtime: cpu {y[0]:.4f} wall {y[1]:.4f} peak {y[2]:.0f} MB", flush=True)
    for k, name in enumerate(("CPU time", "wall time", "peak memory")):
        print(f"{name}: ONNX Runtime / utter = {statistics.median(y[k] / x[k] for x, y in pairs):.2f} (median of {a.pairs} pairs)")


main()
