#!/usr/bin/env python3
"""Sizes that keep the code readable: function lengths (needs universal-ctags), the share of comment
lines, test lines per source line. Fails on a function of more than 120 lines outside the kernels.
Usage: check_sizes.py ROOT."""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

MAX_FUNCTION_LINES = 120
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|(\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*')", re.DOTALL)


def count_lines(path):
    """(code lines, comment lines); a line that holds both counts as code."""
    text = path.read_text(encoding="utf-8")
    # A comment becomes "\1" in each of its lines, a string stays.
    marked = COMMENT.sub(lambda m: m.group(1) or "\n".join("\1" for _ in m.group(0).split("\n")), text)
    code = comment = 0
    for line in marked.split("\n"):
        if line.replace("\1", "").strip():
            code += 1
        elif "\1" in line:
            comment += 1
    return code, comment


def functions(root):
    """[(lines, path, name)] of every function in src/."""
    tags = subprocess.run(["ctags", "-R", "--languages=C", "--kinds-C=f", "--fields=+ne", "--output-format=json",
                           "-f", "-", str(root / "src")], check=True, capture_output=True, text=True)
    found = []
    for line in tags.stdout.splitlines():
        tag = json.loads(line)
        if tag.get("_type") == "tag" and "end" in tag:
            found.append((tag["end"] - tag["line"] + 1, Path(tag["path"]).relative_to(root), tag["name"]))
    return sorted(found)


def main():
    root = Path(sys.argv[1]).resolve()
    totals = {}
    for folder in ("src", "tests"):
        counts = [count_lines(p) for p in sorted((root / folder).rglob("*.[ch]"))]
        totals[folder] = [sum(c) for c in zip(*counts)] or [0, 0]
    code, comment = totals["src"]
    print(f"src: {code} lines of code, {100 * comment / max(code + comment, 1):.0f} % comment")
    print(f"tests: {totals['tests'][0] / max(code, 1):.2f} lines for each line of src")
    if not shutil.which("ctags"):
        print("function lengths: not measured, universal-ctags is not installed")
        return False
    found = functions(root)
    if not found:
        return False
    p50, p90, p99 = (found[min(int(len(found) * q), len(found) - 1)][0] for q in (0.5, 0.9, 0.99))
    print(f"functions: {len(found)}, lines median {p50}, 90 % {p90}, 99 % {p99}, longest {found[-1][0]}")
    long = [f for f in found if f[0] > MAX_FUNCTION_LINES and "kernels" not in f[1].parts]
    for lines, path, name in long:
        print(f"{path}: {name} has {lines} lines, at most {MAX_FUNCTION_LINES}")
    return bool(long)


if __name__ == "__main__":
    sys.exit(main())
