#!/usr/bin/env python3
"""Adds up the Meson test logs of the steps of .ci/run. Usage: summary.py RESULTS, which holds a line
NAME <tab> LOG <tab> STATUS per step. Last line: "N passed, N failed"; exit status 1 if any failed."""
import json
import sys
from pathlib import Path

PASSED = {"OK", "EXPECTEDFAIL"}


def count(log):
    """(passed, skipped, names of the failed)"""
    results = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line]
    failed = [r["name"] for r in results if r["result"] not in PASSED | {"SKIP"}]
    return sum(r["result"] in PASSED for r in results), sum(r["result"] == "SKIP" for r in results), failed


def main():
    total_passed = total_failed = 0
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        name, log, status = line.split("\t")
        passed, skipped, failed = count(Path(log)) if Path(log).is_file() else (0, 0, [])
        if passed + skipped + len(failed) == 0 or (status != "0" and not failed):
            # No tests of its own, or it failed around them: the step itself is the result.
            passed, failed = (passed + 1, failed) if status == "0" else (passed, [name])
        total_passed += passed
        total_failed += len(failed)
        print(f"{name}: {passed} passed, {skipped} skipped, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}")
    print(f"{total_passed} passed, {total_failed} failed")
    return total_failed != 0


if __name__ == "__main__":
    sys.exit(main())
