#!/usr/bin/env python3
"""Time from starting a command to the first bytes of sound on its standard output, two commands in turn.

usage: cold_start.py [--rounds 7] [--skip 44] 'COMMAND A' 'COMMAND B'

Commands are split as a shell splits words. --skip bytes (a WAV header) do not count as sound. Prints the
median seconds of each and the median of the ratios B / A. Files are in the page cache after the first, uncounted
round. For example:

    cold_start.py './build/utter speak -m VOICE.onnx TEXT' 'piper -m VOICE.onnx --output-raw -- TEXT'
"""
import argparse
import shlex
import statistics
import subprocess
import time


def first_sound(command, skip):
    start = time.perf_counter()
    child = subprocess.Popen(shlex.split(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, bufsize=0)
    n = 0
    while n <= skip:
        chunk = child.stdout.read(4096)
        if not chunk:
            raise SystemExit(f"no sound from: {command}")
        n += len(chunk)
    elapsed = time.perf_counter() - start
    while child.stdout.read(1 << 16):
        pass
    child.wait()
    return elapsed


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("a")
    p.add_argument("b")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--skip", type=int, default=44)
    o = p.parse_args()
    rounds = [(first_sound(o.a, o.skip), first_sound(o.b, o.skip)) for _ in range(o.rounds + 1)][1:]
    print(f"A {statistics.median(a for a, b in rounds):.3f} s, B {statistics.median(b for a, b in rounds):.3f} s, "
          f"B / A = {statistics.median(b / a for a, b in rounds):.1f} (median of {o.rounds})")


main()
