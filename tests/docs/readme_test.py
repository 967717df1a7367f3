#!/usr/bin/env python3
"""The README's example is a program of examples/, so it compiles; and the README is within reach of its links."""
import pathlib
import re
import sys


def main():
    root = pathlib.Path(sys.argv[1]).resolve().parent
    readme = (root / "README.md").read_text()
    shown = re.search(r"```cpp\n(.*?)```", readme, re.S).group(1)
    if shown != (root / "examples/tiny_echo.cc").read_text():
        print("README.md's example differs from examples/tiny_echo.cc: change both alike", file=sys.stderr)
        return 1
    for page in ("README.md", "CONTRIBUTING.md"):
        for link in re.findall(r"\]\(([^)#:\s]+)\)", (root / page).read_text()):
            if not (root / link).exists():
                print(f"{page} links to {link}, which is not there", file=sys.stderr)
                return 1
    return 0


sys.exit(main())
