#!/usr/bin/env python3
"""Style that a machine can see, in every text file of the project: no tabs (but in the Makefile), no
trailing space, a newline at the end, no invisible or direction-changing Unicode, lines of bounded
width and files of bounded length in C. Usage: check_style.py ROOT. Prints FILE:LINE: what."""
import sys
import unicodedata
from pathlib import Path

FOLDERS = ["include", "src", "tests", "fuzz", "bench", "examples", "scripts", "docs", "deploy", ".ci"]
TEXT = {".c", ".h", ".py", ".sh", ".md", ".build", ".txt", ".S", ".asm", ".html", ".yml", ".yaml", ".service"}
MAX_WIDTH = 120  # the rule is 100; this is where it becomes an error
MAX_LINES = 900
MAX_LINES_KERNELS = 1500  # unrolled code is long and flat


def files(root):
    for path in sorted(root.iterdir()):
        if path.is_file() and (path.suffix in TEXT or path.name in ("Makefile", "bootstrap", "LICENSE")):
            yield path
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and "data" not in path.relative_to(root).parts and (
                    path.suffix in TEXT or path.name == "run"):
                yield path


def invisible(char):
    # Cf: soft hyphens, zero-width and bidi controls. Zs other than the space: look like one, are none.
    return unicodedata.category(char) == "Cf" or (unicodedata.category(char) == "Zs" and char != " ")


def check(path):
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as e:
        return [(1, f"not UTF-8 at byte {e.start}")]
    found = []
    lines = text.split("\n")
    is_c = path.suffix in (".c", ".h")
    for number, line in enumerate(lines, 1):
        if "\t" in line and path.name != "Makefile":
            found.append((number, "tab"))
        if line != line.rstrip():
            found.append((number, "trailing space or carriage return"))
        for char in filter(invisible, line):
            found.append((number, f"invisible character U+{ord(char):04X}: write it as an escape"))
        if is_c and len(line) > MAX_WIDTH:
            found.append((number, f"{len(line)} characters wide, at most {MAX_WIDTH}"))
    if text and not text.endswith("\n"):
        found.append((len(lines), "no newline at the end"))
    limit = MAX_LINES_KERNELS if "kernels" in path.parts else MAX_LINES
    if is_c and len(lines) - 1 > limit:
        found.append((len(lines), f"{len(lines) - 1} lines, at most {limit}"))
    return found


def main():
    root = Path(sys.argv[1])
    n_files = n_found = 0
    for path in files(root):
        n_files += 1
        for number, what in check(path):
            n_found += 1
            print(f"{path.relative_to(root)}:{number}: {what}")
    print(f"{n_files} files, {n_found} findings")
    return n_found != 0


if __name__ == "__main__":
    sys.exit(main())
