#!/usr/bin/env python3
"""#include directives of src/ point down only (docs/architecture.md): a folder may include its own files,
the folders listed for it, utter.h and ut_config.h. A model family includes no other family; the program
includes utter.h and nothing of the library. Usage: check_includes.py ROOT."""
import re
import sys
from pathlib import Path

MAY_INCLUDE = {
    "base": [],
    "kernels": ["base"],
    "quant": ["base"],
    "weights": ["base", "quant"],
    "text": ["base"],
    "audio": ["base"],
    "compute": ["base", "kernels", "quant", "weights"],
    "models": ["base", "kernels", "quant", "weights", "compute"],
    "backend": ["base", "kernels", "weights", "compute", "text", "models"],
    "speech": ["base", "kernels", "weights", "compute", "text", "audio", "models", "backend"],
    "cli": [],
}
EVERYWHERE = ["utter.h", "ut_config.h"]
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def problem(source, target, root):
    """What is wrong with `source` (path below src/) including "target", or None."""
    folder = source.parts[0]
    if target in EVERYWHERE:
        return "the program knows utter.h only" if folder == "cli" and target != "utter.h" else None
    beside = (root / "src" / source).parent / target
    path = source.parent / target if beside.is_file() else Path(target)
    if not (root / "src" / path).is_file():
        return "no such file below src/"
    if path.parts[0] != folder:
        allowed = MAY_INCLUDE[folder]
        return None if path.parts[0] in allowed else f"{folder}/ may include only {', '.join(allowed) or 'itself'}"
    if folder == "models" and path.parts[1:2] != source.parts[1:2] and len(path.parts) > 2:
        return "a model family includes no other family"
    return None


def main():
    root = Path(sys.argv[1])
    n_includes = n_wrong = 0
    for path in sorted((root / "src").rglob("*.[ch]")):
        source = path.relative_to(root / "src")
        if source.parts[0] not in MAY_INCLUDE:
            print(f"src/{source}: folder {source.parts[0]}/ is not in this script's table")
            n_wrong += 1
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            n_includes += 1
            why = problem(source, match.group(1), root)
            if why:
                n_wrong += 1
                print(f'src/{source}:{number}: #include "{match.group(1)}": {why}')
    print(f"{n_includes} includes, {n_wrong} wrong")
    return n_wrong != 0


if __name__ == "__main__":
    sys.exit(main())
