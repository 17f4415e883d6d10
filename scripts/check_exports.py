#!/usr/bin/env python3
"""The shared library exports exactly the functions that utter.h marks with UTTER_API.
Usage: check_exports.py NM LIBRARY HEADER."""
import re
import subprocess
import sys


def main():
    nm, library, header = sys.argv[1:]
    output = subprocess.run([nm, "-D", "--defined-only", library], check=True, capture_output=True, text=True)
    exported = {line.split()[-1].split("@")[0] for line in output.stdout.splitlines()}
    with open(header, encoding="utf-8") as f:
        declared = set(re.findall(r"^UTTER_API\b[^;(]*?(\w+)\(", f.read(), re.MULTILINE))
    for name in sorted(exported - declared):
        print(f"exported but not in the header: {name}")
    for name in sorted(declared - exported):
        print(f"in the header but not exported: {name}")
    print(f"{len(declared)} declared, {len(exported)} exported")
    return exported != declared


if __name__ == "__main__":
    sys.exit(main())
