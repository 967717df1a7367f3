#!/usr/bin/env python3
"""Counts the test targets of one `bazel test`: prints "PASSED FAILED".

Usage: count_tests.py EVENTS STATUS, with the file of --build_event_json_file and Bazel's exit status. A test that did
not build has failed. A run that failed although no test did counts as one failure.
"""
import json
import sys


def read_events(path):
    try:
        with open(path, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError):
        return []


def count(events, status):
    passed, failed = set(), set()
    tests = {e["id"]["targetConfigured"]["label"] for e in events if "testSize" in e.get("configured", {})}
    for event in events:
        name = event.get("id", {})
        if "testSummary" in name:
            is_passed = event.get("testSummary", {}).get("overallStatus") in ("PASSED", "FLAKY")
            (passed if is_passed else failed).add(name["testSummary"]["label"])
        elif "targetCompleted" in name and not event.get("completed", {}).get("success"):
            failed |= {name["targetCompleted"]["label"]} & tests
    is_unexplained = status != 0 and not failed
    return len(passed - failed), len(failed) + is_unexplained


if __name__ == "__main__":
    print(*count(read_events(sys.argv[1]), int(sys.argv[2])))
