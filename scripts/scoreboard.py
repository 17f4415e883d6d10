#!/usr/bin/env python3
"""The scoreboard of reliability: what was attacked, how often, and what broke. Each piece runs by itself
and its result is kept with its date in BUILD/scoreboard.json, so that long pieces need not be repeated;
the table of all that was measured is printed and, with --write, put into docs/reliability.md.

Usage: scoreboard.py [--build DIR] [--full] [--fuzz-seconds N] [--write] [PIECE...]
Pieces: tests, allocations, faults, fuzz, asan, tsan, msan, valgrind, coverage; without any: tests, faults,
valgrind and coverage. --full injects every fault and runs the tests with all their cases (UT_TEST_FULL=1)."""
import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- scoreboard: scripts/scoreboard.py --write -->\n", "<!-- end of the scoreboard -->\n"
DEFAULT_PIECES = ["tests", "faults", "valgrind", "coverage"]
REPORT = re.compile(r"ERROR: (?:Address|Leak)Sanitizer|runtime error:|WARNING: (?:Thread|Memory)Sanitizer")
PARSERS = ["src/base/json.c", "src/models/piper/voice_config.c", "src/models/kokoro/config.c",
           "src/models/kokoro/config_gguf.c", "src/text/lexicon_entries.c", "src/weights/[a-z_0-9]*.c"]
NOT_PARSERS = [".*_write.c", ".*/new_file.c"]
PARSER_TESTS = re.compile(r"(base-json|weights-|fuzz-|text-lexicon|piper-voice_config|kokoro-(config|ttscpp|plain))")
LINE_GOAL, BRANCH_GOAL = 90, 80


def run(command, **environment):
    """(exit status, what it printed)"""
    result = subprocess.run(command, cwd=ROOT, env=dict(os.environ, **environment), stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    return result.returncode, result.stdout


def test_results(build):
    """(passed, names of the failed, sanitizer reports) of the last run of the tests"""
    log = ROOT / build / "meson-logs" / "testlog.json"
    tests = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line]
    text = "".join(str(t.get("stdout", "")) + str(t.get("stderr", "")) for t in tests)
    failed = [t["name"] for t in tests if t["result"] not in ("OK", "EXPECTEDFAIL", "SKIP")]
    return sum(t["result"] in ("OK", "EXPECTEDFAIL") for t in tests), failed, len(REPORT.findall(text))


def tell_tests(build):
    passed, failed, reports = test_results(build)
    return f"{passed} tests passed, {len(failed)} failed" + (": " + ", ".join(failed) if failed else ""), reports


def run_counting(options, full, *names):
    """Runs tests; (what to say of them, what to say of the allocations that failed in them)"""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as counts:
        run(["meson", "test", "-C", options.build, "--timeout-multiplier", "10", *names],
            UT_FAULT_COUNTS=counts.name, UT_TEST_FULL="1" if full else "")
        n_faults = sum(map(int, counts.read().split()))
    told, _ = tell_tests(options.build)
    failed = test_results(options.build)[1]
    return told, f"{n_faults:,} injected, " + ("see the tests that failed" if failed else "all handled")


# ---- Pieces: each returns rows, {name: value} ---------------------------------------------------

def tests(options):
    told, allocations = run_counting(options, options.full)
    return {"Tests": told, "Allocations that failed (F4)": allocations}


def allocations(options):
    return {"The same, one engine and every allocation": run_counting(options, True, "speech-reuse")[1]}


def faults(options):
    module = ROOT / options.build / "tests" / "support" / "failing_calls.so"
    status, text = run([sys.executable, "tests/cli/faults.py"], UTTER=str(ROOT / options.build / "utter"),
                       UT_TEST_DATA=str(ROOT / "tests" / "data"), UT_FAULT_MODULE=str(module),
                       UT_TEST_FULL="1" if options.full else "", PYTHONDONTWRITEBYTECODE="1")
    counts = [tuple(map(int, found)) for found in re.findall(r"(\d+) faults injected, (\d+) handled", text)]
    injected, handled = (sum(column) for column in zip(*counts)) if counts else (0, 0)
    return {"System calls that failed (F5)": f"{injected:,} injected, {handled:,} handled"
            + ("" if status == 0 else f"; {injected - handled} not")}


def fuzz(options):
    _, text = run(["make", "fuzz", f"SECONDS={options.fuzz_seconds}"])
    rows = {f"Fuzz: {name}": f"{int(runs):,} runs in {options.fuzz_seconds} s, 0 new crashes"
            for name, runs in re.findall(r"^fuzz_(\w+): runs (\d+)$", text, re.MULTILINE)}
    rows.update({f"Fuzz: {name}": "failed: see build-fuzz/findings"
                 for name in re.findall(r"^fuzz_(\w+): failed", text, re.MULTILINE)})
    return rows or {"Fuzz": "did not build"}


def sanitizer(name, target, build):
    def piece(_):
        run(["make", target])
        told, reports = tell_tests(build)
        return {name: f"{reports} reports; {told}"}
    return piece


def valgrind(options):
    _, text = run(["scripts/memcheck.sh", options.build])
    return {"valgrind, memcheck": text.strip().splitlines()[-1]}


def coverage(_):
    build = "build-coverage"
    if not (ROOT / build / "build.ninja").exists():
        run(["meson", "setup", build, "-Db_coverage=true", "-Doptimization=0", "-Dtests=enabled"])
    for counts in (ROOT / build).rglob("*.gcda"):
        counts.unlink()
    _, listed = run(["meson", "test", "-C", build, "--list"])
    names = [line.split(" / ")[-1] for line in listed.splitlines() if PARSER_TESTS.match(line.split(" / ")[-1])]
    run(["meson", "test", "-C", build, "--timeout-multiplier", "10", *names])
    command = ["gcovr", "-r", str(ROOT), build, "--json-summary", "--exclude-throw-branches"]
    for pattern in PARSERS:
        command += ["-f", pattern]
    for pattern in NOT_PARSERS:
        command += ["-e", pattern]
    _, text = run(command + ["-o", str(ROOT / build / "parsers.json")])
    summary = json.loads((ROOT / build / "parsers.json").read_text(encoding="utf-8"))
    below = [f"{Path(f['filename']).name} {f['line_percent']:.1f}/{f['branch_percent'] or 0:.1f}"
             for f in summary["files"]
             if f["line_percent"] < LINE_GOAL or (f["branch_percent"] or 100) < BRANCH_GOAL]
    return {"Coverage of the parsers": f"{summary['line_percent']:.1f} % of lines (goal {LINE_GOAL}), "
            f"{summary['branch_percent']:.1f} % of branches ({BRANCH_GOAL})",
            "Parsers below a goal (lines/branches)": ", ".join(below) or "none"}


PIECES = {
    "tests": tests, "allocations": allocations, "faults": faults, "fuzz": fuzz,
    "asan": sanitizer("Address, leaks, undefined behaviour", "test-asan", "build-asan"),
    "tsan": sanitizer("Threads (TSan)", "test-tsan", "build-tsan"),
    "msan": sanitizer("Uninitialised memory (MSan)", "test-msan", "build-msan"),
    "valgrind": valgrind, "coverage": coverage,
}


# ---- The table ------------------------------------------------------------------------------------

def open_defects():
    """The dates of the list below "## Open defects" on the page, oldest first."""
    text = PAGE.read_text(encoding="utf-8").split("## Open defects", 1)[-1].split("\n## ", 1)[0]
    return sorted(re.findall(r"^- (\d{4}-\d\d-\d\d): ([^.:]+)", text, re.MULTILINE))


def table(results):
    rows = [(name, value, result["when"], result["how"]) for piece in PIECES if (result := results.get(piece))
            for name, value in result["rows"].items()]
    rows += [(f"{piece}", "not measured", "", "") for piece in PIECES if piece not in results]
    rows.append(("Kills and damaged cache entries (F6, F7)", "n/a: there is no cache yet", "", ""))
    defects = open_defects()
    rows.append(("Oldest open defect", f"{defects[0][0]}: {defects[0][1]}" if defects else "none", "", ""))
    lines = ["| what | result | measured | by |", "|---|---|---|---|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def write_page(text):
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN, 1)
    PAGE.write_text(before + BEGIN + text + END + rest.split(END, 1)[1], encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pieces", nargs="*", metavar="PIECE")
    parser.add_argument("--build", default="build")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--fuzz-seconds", type=int, default=60)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.pieces) - set(PIECES) - {"none"}:
        parser.error(f"no such piece: {', '.join(sorted(unknown))}; there are {', '.join(PIECES)}")
    store = ROOT / options.build / "scoreboard.json"
    def load():
        return json.loads(store.read_text(encoding="utf-8")) if store.exists() else {}

    for piece in options.pieces or DEFAULT_PIECES:
        if piece == "none":
            continue
        how = piece + (" --full" if options.full and piece in ("tests", "faults") else "")
        print(f"-- {how}", flush=True)
        result = {"rows": PIECES[piece](options), "when": datetime.date.today().isoformat(), "how": how}
        store.write_text(json.dumps({**load(), piece: result}, indent=1), encoding="utf-8") # others may run, too
    text = table(load())
    print(text, end="")
    if options.write:
        write_page(text)


if __name__ == "__main__":
    main()
