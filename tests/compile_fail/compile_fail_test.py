#!/usr/bin/env python3
"""Checks what the compiler said about each snippet against the first lines of the snippet:

    // must compile
    // must fail: PART OF THE MESSAGE
    // must fail on gcc 12: PART OF THE MESSAGE       (and compile elsewhere)
    // must fail on clang: ...   // must fail on gcc: ...     where the compilers put it differently

`must fail` lines add up: every one that applies must be found.
"""
import glob
import os
import re
import sys

_HERE = os.path.join("tests", "compile_fail")
_EXPECTATION = re.compile(r"^// must (compile|fail)(?: on ([\w ]+))?(?:: (.*))?$", re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*[mK]")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def log_of(snippet):
    text = _COLOUR.sub("", read(os.path.join(_HERE, os.path.basename(snippet) + ".log")))
    said, status = text.rsplit("exit status ", 1)
    return said, int(status)


def compilers():
    """The names under which a snippet may speak of the compiler in use; the probe's #error gives them."""
    said, _ = log_of("which_compiler.cc")
    return set(re.search(r"this is: (.*?)\.", said).group(1).split(", "))


def check(snippet, names):
    """What is wrong with the outcome of one snippet, or None."""
    expectations = _EXPECTATION.findall(read(snippet))
    said, status = log_of(snippet)
    if not expectations:
        return "has no `// must ...` line"
    wanted = [text for verb, where, text in expectations if verb == "fail" and (not where or where in names)]
    if not wanted:
        return None if status == 0 else f"must compile, but:\n{said}"
    if status == 0:
        return "compiles, but must not"
    missing = [text for text in wanted if text not in said]
    return f"fails without saying {missing}, but:\n{said}" if missing else None


def main():
    names = compilers()
    snippets = sorted(glob.glob(os.path.join(_HERE, "snippets", "*.cc")))
    failures = 0
    for snippet in snippets:
        if os.path.basename(snippet) == "which_compiler.cc":
            continue
        wrong = check(snippet, names)
        failures += wrong is not None
        print(f"{'ok  ' if wrong is None else 'FAIL'} {snippet}{'' if wrong is None else ': ' + wrong}")
    print(f"{len(snippets)} snippets with {', '.join(sorted(names))}: {failures} failed")
    return 1 if failures or len(snippets) < 3 else 0


if __name__ == "__main__":
    sys.exit(main())
