#!/usr/bin/env python3
"""What speaking the sentences of a text side by side saves, beside one after the other on all threads.

usage: parallel.py UTTER MODEL [--threads 2] [--rounds 7] [--precision f32] [--text TEXT]

In turn in every round: `utter bench --parallel 1` and `--parallel THREADS`, fresh processes, the shorter of two runs
after the warm-up. Prints the medians of both, the median of the rounds' ratios of wall time with its range, processor
time, and peak memory.
"""
import argparse
import json
import statistics
import subprocess

TEXT = ("The rainbow is a division of white light into many beautiful colors. These take the shape of a long round "
        "arch, with its path high above. Its two ends are apparently beyond the horizon. There is, according to "
        "legend, a boiling pot of gold at one end. People look, but no one ever finds it. When a man looks for "
        "something beyond his reach, his friends say he is looking for the pot of gold.")


def run(o, parallel):
    """Wall and processor seconds for a second of sound, and the peak in MB."""
    command = [o.utter, "bench", "-m", o.model, "--runs", "2", "--json", "--threads", str(o.threads), "--precision",
               o.precision, "--parallel", str(parallel), "--text", o.text]
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    best = min(answer["runs"], key=lambda r: r["wall_s"])
    return best["wall_s"] / best["audio_s"], best["cpu_s"] / best["audio_s"], best["peak_rss_mb"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("utter")
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--text", default=TEXT)
    o = parser.parse_args()
    rounds = [(run(o, 1), run(o, o.threads)) for _ in range(o.rounds)]
    ratios = sorted(one[0] / beside[0] for one, beside in rounds)
    for name, index in (("one after the other", 0), ("side by side", 1)):
        wall, cpu, peak = (statistics.median(r[index][i] for r in rounds) for i in range(3))
        print(f"{name:20}: wall {wall:.4f}, processor {cpu:.4f} s for a second of sound, {peak:.0f} MB")
    print(f"wall time, ratio    : {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")


if __name__ == "__main__":
    main()
