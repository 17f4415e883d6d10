#!/usr/bin/env python3
"""Time from starting a command to the first bytes of sound on its standard output, two commands in turn.

usage: cold_start.py [--rounds 7] [--skip 44] 'COMMAND A' 'COMMAND B'

Commands are split as a shell splits words. --skip bytes (a WAV header) do not count as sound. Prints the
median seconds of each and the median of the ratios B / A, then the same of the processor time that the command had
taken by then, which other work on the machine hardly changes. Files are in the page cache after the first,
uncounted round. For example:

    cold_start.py './build/utter speak -m VOICE.onnx TEXT' 'piper -m VOICE.onnx --output-raw -- TEXT'
"""
import argparse
import shlex
import statistics
import subprocess
import time


def processor_s(pid):
    """Of a whole process, threads that have ended included: the clock that clock_getcpuclockid() names."""
    return time.clock_gettime(~pid << 3 | 2)


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
    elapsed, processor = time.perf_counter() - start, processor_s(child.pid)
    while child.stdout.read(1 << 16):
        pass
    child.wait()
    return elapsed, processor


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("a")
    p.add_argument("b")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--skip", type=int, default=44)
    o = p.parse_args()
    rounds = [(first_sound(o.a, o.skip), first_sound(o.b, o.skip)) for _ in range(o.rounds + 1)][1:]
    for what, i in ("first sound", 0), ("processor time", 1):
        a, b = [r[0][i] for r in rounds], [r[1][i] for r in rounds]
        ratio = statistics.median(y / x for x, y in zip(a, b))
        print(f"{what}: A {statistics.median(a):.3f} s, B {statistics.median(b):.3f} s, B / A = {ratio:.1f} "
              f"(median of {o.rounds}), shortest {min(a):.3f} and {min(b):.3f}")


main()
