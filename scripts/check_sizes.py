#!/usr/bin/env python3
"""Sizes that keep the code readable: lengths of functions (needs universal-ctags) and files, nesting, the
share of comment lines, test lines per source line. All are printed beside their goal; a function of
more than 120 lines outside the kernels, and a file of more than 900 (1,500 in the kernels), fail.
Usage: check_sizes.py ROOT."""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

MAX_FUNCTION_LINES = 120
MAX_FILE_LINES = {False: 900, True: 1500} # outside the kernels and in them
MAX_NESTING = 4 # blocks within a function's own
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|(\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*')", re.DOTALL)


def is_kernel(path):
    return "kernels" in path.parts


def count_lines(path):
    """(code lines, comment lines); a line that holds both counts as code, and as a comment too."""
    text = path.read_text(encoding="utf-8")
    # A comment becomes "\1" in each of its lines, a string stays.
    marked = COMMENT.sub(lambda m: m.group(1) or "\n".join("\1" for _ in m.group(0).split("\n")), text)
    lines = marked.split("\n")
    return sum(bool(line.replace("\1", "").strip()) for line in lines), sum("\1" in line for line in lines)


def functions(root):
    """[(lines, path, name, first line)] of every function in src/."""
    tags = subprocess.run(["ctags", "-R", "--languages=C", "--kinds-C=f", "--fields=+ne", "--output-format=json",
                           "-f", "-", str(root / "src")], check=True, capture_output=True, text=True)
    found = []
    for line in tags.stdout.splitlines():
        tag = json.loads(line)
        if tag.get("_type") == "tag" and "end" in tag:
            found.append((tag["end"] - tag["line"] + 1, Path(tag["path"]).relative_to(root), tag["name"], tag["line"]))
    return sorted(found)


def nesting(body):
    """How deep blocks lie in a function's own. Braces of initialisers do not count: nothing is nested
    in them that a reader would have to keep in mind."""
    text = COMMENT.sub(lambda m: '""' if m.group(1) else " ", body)
    depth, deepest, blocks = 0, 0, []
    for match in re.finditer(r"[{}]", text):
        if match.group() == "{":
            blocks.append(re.search(r"(\)|\belse|\bdo|:|;|\})\s*$", text[:match.start()]) is not None)
            depth += blocks[-1]
            deepest = max(deepest, depth)
        elif blocks:
            depth -= blocks.pop()
    return deepest - 1


def percentiles(values, *shares):
    ordered = sorted(values)
    return [ordered[min(int(len(ordered) * share), len(ordered) - 1)] for share in shares]


def check_functions(root):
    if not shutil.which("ctags"):
        print("functions: not measured, universal-ctags is not installed")
        return 0
    found = functions(root)
    p50, p90, p99 = percentiles([f[0] for f in found], 0.5, 0.9, 0.99)
    print(f"functions: {len(found)}, lines median {p50} (goal 18), 90 % {p90} (60), 99 % {p99}, longest "
          f"{found[-1][0]} ({MAX_FUNCTION_LINES})")
    texts = {}
    n_deep = 0
    for lines, path, name, first in found:
        text = texts.setdefault(path, (root / path).read_text(encoding="utf-8").split("\n"))
        depth = nesting("\n".join(text[first - 1:first - 1 + lines]))
        if depth > MAX_NESTING:
            n_deep += 1
            print(f"{path}: {name} is nested {depth} deep, at most {MAX_NESTING}")
    print(f"nesting: {n_deep} functions beyond {MAX_NESTING}")
    long = [f for f in found if f[0] > MAX_FUNCTION_LINES and not is_kernel(f[1])]
    for lines, path, name, _ in long:
        print(f"{path}: {name} has {lines} lines, at most {MAX_FUNCTION_LINES}")
    return len(long)


def check_files(root):
    counts = {p: len(p.read_text(encoding="utf-8").splitlines())
              for folder in ("src", "include", "tests", "fuzz") for p in sorted((root / folder).rglob("*.[ch]"))}
    p50, p90 = percentiles(counts.values(), 0.5, 0.9)
    print(f"files: {len(counts)}, lines median {p50}, 90 % {p90}, longest {max(counts.values())} "
          f"({MAX_FILE_LINES[False]}, kernels {MAX_FILE_LINES[True]})")
    long = [(p, n) for p, n in counts.items() if n > MAX_FILE_LINES[is_kernel(p)]]
    for path, n in long:
        print(f"{path.relative_to(root)}: {n} lines, at most {MAX_FILE_LINES[is_kernel(path)]}")
    return len(long)


def main():
    root = Path(sys.argv[1]).resolve()
    totals = {}
    for folder in ("src", "tests"):
        totals[folder] = [sum(c) for c in zip(*(count_lines(p) for p in sorted((root / folder).rglob("*.[ch]"))))]
    code, comment = totals["src"]
    print(f"src: {code} lines of code, comments on {100 * comment / (code + comment):.1f} % of lines (goal 12 to 22)")
    print(f"tests: {totals['tests'][0] / code:.2f} lines for each line of src (goal 1)")
    return check_files(root) + check_functions(root) > 0


if __name__ == "__main__":
    sys.exit(main())
