#!/usr/bin/env python3
"""Spin looks at all of the model of the inbox and finds no error; in each mutant it finds the error that was planted."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

_MODEL = os.path.abspath(os.path.join("tests", "model", "inbox.pml"))
_SIZES = ({"PRODUCERS": 2, "PUSHES": 2}, {"PRODUCERS": 3, "PUSHES": 1})
_MUTANT_SIZE = {"PRODUCERS": 2, "PUSHES": 1}  # enough for all of them, and small enough to collect every error
_DEPTH_MAX = 100_000
_PATIENCE_S = 100

# What the verifier says where a claim is broken.
_WAKE_LOST = "is_blocked"
_NODE_LOST = "numbers_out[i]==numbers_in[i]"
_NODE_TWICE = "is_pushed[reversed]"
_DISORDER = "number[reversed]==numbers_out"
_REOPENED = "(found==0)"
_LEFT_BEHIND = "!(is_gone)"
_HANGS = "invalid end state"

_MUTANTS = {
    "CLOSE_COUNTS_A_WAKE_THAT_NOBODY_OWES": _HANGS,
    "CLOSE_DROPS_WHAT_IT_FINDS": _NODE_LOST,
    "CLOSE_FORGETS_THE_OWED_WAKE": _LEFT_BEHIND,
    "END_WAITS_FOR_NOBODY": _LEFT_BEHIND,
    "PUSH_DECIDES_BY_ITS_FIRST_LOOK": _WAKE_LOST,
    "PUSH_LINKS_ONCE": _NODE_TWICE,
    "PUSH_WAKES_NOBODY": _WAKE_LOST,
    "SLEEP_IGNORES_WHAT_CAME": _WAKE_LOST,
    "SLEEP_LOOKS_THEN_STORES": _NODE_LOST,
    "TAKE_KEEPS_THE_NEWEST_FIRST": _DISORDER,
    "TAKE_LOADS_THEN_STORES": _NODE_LOST,
    "TAKE_REOPENS": _REOPENED,
    "TAKE_STAYS_ASLEEP": _LEFT_BEHIND,
    "WAKE_COUNTS_FIRST": _LEFT_BEHIND,
}


def run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    if done.returncode != 0:
        sys.exit(f"FAILED, status {done.returncode}: {' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def search(defines, optimise, *options):
    """What Spin's verifier says about the model, with these names defined for the preprocessor."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR")) as folder:
        run(["spin", *(f"-D{name}={value}" for name, value in defines.items()), "-a", _MODEL], folder)
        run(["gcc", optimise, "-w", "-DSAFETY", "-DMEMLIM=2000", "-o", "pan", "pan.c"], folder)
        return run(["./pan", f"-m{_DEPTH_MAX}", *options], folder)


def states_in(report):
    return int(re.search(r"(\d+) states, stored", report).group(1))


def unreached_in(report, lines):
    """The statements that no run reaches, but for those marked "never"."""
    numbers = [int(number) for number in re.findall(r"^\t\S+:(\d+), state \d+, ", report, re.M)]
    return [f"line {number}: {lines[number - 1].strip()}" for number in numbers if "/* never */" not in lines[number - 1]]


def wrong_with(report, lines):
    """Of the true model: None where all of it was searched, all was reached, and no error was found."""
    if not re.search(r"errors: 0$", report, re.M):
        return f"an error:\n{report}"
    if "max search depth too small" in report or "Search not completed" in report:
        return f"the search was cut off:\n{report}"
    if "unreached in init" not in report:
        return f"nothing is said about what was reached:\n{report}"
    unreached = unreached_in(report, lines)
    return "\n  ".join(["never reached:", *unreached]) if unreached else None


def wrong_with_mutant(report, expected):
    found = set(re.findall(r"^pan:\d+: (.*?) \(at depth", report, re.M))
    if any(expected in error for error in found):
        return None
    return "\n  ".join([f"no error with {expected}, but:", *sorted(found)])


def tell(what, report, wrong):
    print(f"{'ok  ' if wrong is None else 'FAIL'} {what}: {states_in(report)} states{'' if wrong is None else ', ' + wrong}")
    return wrong is not None


def main():
    for tool in ("spin", "gcc"):
        if shutil.which(tool) is None:
            sys.exit(f"FAILED: there is no {tool}; bazel/setup installs it, from the package {tool}")
    with open(_MODEL, encoding="utf-8") as file:
        text = file.read()
    failures = 0
    in_model = set(re.findall(r"\bMUTANT_(\w+)\b", text))
    if in_model != set(_MUTANTS):
        print(f"FAIL mutants of the model or of this test alone: {sorted(in_model ^ set(_MUTANTS))}")
        failures += 1
    for size in _SIZES:
        report = search(size, "-O1")
        failures += tell(f"true model, {size}", report, wrong_with(report, text.splitlines()))
    for mutant, expected in _MUTANTS.items():
        report = search({**_MUTANT_SIZE, f"MUTANT_{mutant}": 1}, "-O0", "-c0")
        failures += tell(mutant, report, wrong_with_mutant(report, expected))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
