#!/usr/bin/env python3
"""The examples in the documents are files that are built and run; and no link leads nowhere."""
import pathlib
import re
import sys


# The first C++ block of each page.
EXAMPLES = (
    ("README.md", "examples/tiny_echo.cc"),
    ("docs/explorer.md", "tests/runtime/explorer_example_test.cc"),
    ("docs/embedding.md", "examples/embed_epoll.cc"),
)


def main():
    root = pathlib.Path(sys.argv[1]).resolve().parent
    for page, example in EXAMPLES:
        shown = re.search(r"```cpp\n(.*?)```", (root / page).read_text(), re.S).group(1)
        if shown != (root / example).read_text():
            print(f"the example in {page} differs from {example}: change both alike", file=sys.stderr)
            return 1
    for page in ("README.md", "CONTRIBUTING.md", "docs/testing.md", "docs/explorer.md", "docs/embedding.md"):
        for link in re.findall(r"\]\(([^)#:\s]+)\)", (root / page).read_text()):
            if not (root / page).parent.joinpath(link).exists():
                print(f"{page} links to {link}, which is not there", file=sys.stderr)
                return 1
    return 0


sys.exit(main())
