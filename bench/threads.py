#!/usr/bin/env python3
"""What a second thread gains utter, beside what a second copy of a plain loop gains on the same machine.

usage: threads.py UTTER MODEL [--rounds 9] [--text TEXT] [--threads 2] [--precision f32]

Virtual processors may share a core, so no more can be wanted than what that many copies of a loop of multiply-adds on
registers get done. In turn in every round: the loop once and in N copies, utter on one thread and on N (fresh processes;
`utter bench`, its second run). Prints gains from the quickest round of each, which other work disturbed least, and from
the medians, the share of the loop's gain that utter's is, and the processor time that N threads take more than one.
Needs cc, for the loop.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

LOOP = """
#include <stdio.h>
typedef float v __attribute__((vector_size(32)));
int main(void) {
    v a[10] = {{0}}, x = {1, 1, 1, 1, 1, 1, 1, 1}, y = x * 0.5f;
    for (long i = 0; i < 60000000; i++) {
        for (int j = 0; j < 10; j++) {
            a[j] = a[j] * y + x;
        }
        __asm__ volatile("" : "+x"(a[0]), "+x"(a[1]), "+x"(a[2]), "+x"(a[3]), "+x"(a[4]));
    }
    float sum = 0;
    for (int j = 0; j < 10; j++) {
        sum += a[j][0];
    }
    return sum == 1234;
}
"""
TEXT = ("The rainbow is a division of white light into many beautiful colors, and these take the shape of a long "
        "round arch, with its path high above")


def compile_loop(folder):
    source, program = os.path.join(folder, "loop.c"), os.path.join(folder, "loop")
    with open(source, "w", encoding="ascii") as f:
        f.write(LOOP)
    subprocess.run(["cc", "-O2", "-mavx2", "-mfma", "-o", program, source], check=True)
    return program


def loop_wall_s(program, copies):
    start = time.perf_counter()
    children = [subprocess.Popen([program]) for _ in range(copies)]
    for child in children:
        child.wait()
    return time.perf_counter() - start


def utter_times(o, threads):
    """Wall and processor seconds for a second of sound; the shorter of two runs after the warm-up."""
    command = [o.utter, "bench", "-m", o.model, "--runs", "2", "--json", "--threads", str(threads), "--text", o.text]
    command += ["--precision", o.precision] if o.precision else []
    runs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["runs"]
    best = min(runs, key=lambda r: r["wall_s"] / r["audio_s"])
    return best["wall_s"] / best["audio_s"], best["cpu_s"] / best["audio_s"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("utter")
    p.add_argument("model")
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--text", default=TEXT)
    p.add_argument("--precision")
    o = p.parse_args()
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        program = compile_loop(folder)
        for _ in range(o.rounds):
            rounds.append((loop_wall_s(program, 1), loop_wall_s(program, o.threads),
                           *utter_times(o, 1), *utter_times(o, o.threads)))
    for name, of in ("quickest", min), ("median", statistics.median):
        loop_1, loop_n, wall_1, cpu_1, wall_n, cpu_n = (of(column) for column in zip(*rounds))
        loop_gain, gain = o.threads * loop_1 / loop_n, wall_1 / wall_n
        print(f"{name:8}: loop gains {loop_gain:.2f}, utter {gain:.2f} (RTF {wall_1:.4f} -> {wall_n:.4f}): share "
              f"{gain / loop_gain:.2f}; processor time {cpu_n / cpu_1:.2f} times that of one thread")


main()
