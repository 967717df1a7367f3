#!/usr/bin/env python3
"""docs/testing.md has one row for each decision and claim of docs/semantics.md, and the tests that it names exist."""
import pathlib
import re
import sys

_ID = r"[A-Z]\d\d?"


def tests_of(root):
    """All tests as "file::Suite.Name"."""
    found = set()
    for path in (root / "tests").rglob("*_test.cc"):
        for suite, name in re.findall(r"^(?:TYPED_)?TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", path.read_text(), re.M):
            found.add(f"{path.stem}::{suite}.{name}")
    return found


def main():
    root = pathlib.Path(sys.argv[1]).resolve().parent
    semantics = (root / "docs/semantics.md").read_text()
    testing = (root / "docs/testing.md").read_text()
    table = testing[testing.index("\n## Claims and their tests"):]
    claims = re.findall(rf"^\| ({_ID}) \||^- \*\*({_ID})\*\*", semantics, re.M)
    claims = [decision or claim for decision, claim in claims]
    rows = re.findall(rf"^\| ({_ID}) \|", table, re.M)
    errors = [f"docs/testing.md has no row for {claim}" for claim in claims if claim not in rows]
    errors += [f"docs/testing.md has a row for {row}, which docs/semantics.md does not know" for row in rows
               if row not in claims]
    errors += [f"docs/testing.md has two rows for {row}" for row in set(rows) if rows.count(row) > 1]
    tests = tests_of(root)
    named = re.findall(r"`(\w+::[\w.]+)`", "".join(re.findall(r"^\|.*", table, re.M)))
    errors += [f"docs/testing.md names {name}, which is not there" for name in named if name not in tests]
    if not claims or not named:
        errors.append("nothing was found to compare")
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


sys.exit(main())
