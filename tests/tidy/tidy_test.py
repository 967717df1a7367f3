#!/usr/bin/env python3
"""Checks the whole tree against the rules that no compiler enforces; --self-test shows each one firing.

A line that must break a rule says so, with the reason: `// tidy: allow(rule): because ...`.
"""
import os
import sys

sys.dont_write_bytecode = True

import coroutines
import layers
import self_test
import source


def check_tree(sources, builds):
    found = layers.check(sources, builds)
    for file in sources.values():
        found += coroutines.check(file)
    return [f for f in found if not sources[f.path].allows(f.rule, f.line)]


def main():
    if "--self-test" in sys.argv:
        return self_test.run(check_tree)
    # Bazel's runfiles are links into the tree; WORKSPACE's target is the root.
    root = os.path.dirname(os.path.realpath("WORKSPACE"))
    sources, builds = source.load_tree(root)
    if not sources:
        print(f"no sources below {root}")
        return 1
    found = check_tree(sources, builds)
    for finding in sorted(found, key=lambda f: (f.path, f.line)):
        print(f"{finding.path}:{finding.line}: {finding.text} [{finding.rule}]")
    for file in sources.values():
        for hint in coroutines.hints(file):
            print(f"hint: {hint.path}:{hint.line}: {hint.text}")
    print(f"{len(sources)} files, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
