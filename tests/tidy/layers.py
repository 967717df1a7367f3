"""Which folder may include what, no include cycle, every file in a BUILD file, clocks, sleeps and threads."""
import os
import re

from source import Finding

# What a layer may name besides itself. tests and bench may name everything; examples see what a user sees.
ARROWS = {
    "runtime": ("runtime",),
    "sync": ("runtime", "sync"),
    "io": ("runtime", "io"),
    "examples": ("runtime", "sync", "io", "examples", "gyre.h"),
}

# (headers, the one folder among the layers that may include them)
LIBRARIES = (
    (re.compile(r"^(oneapi/)?tbb/"), "runtime/offload/"),
    (re.compile(r"^liburing(\.h|/)"), "runtime/backend/"),
)

_CLOCK = re.compile(r"\b(?:steady_clock|system_clock|high_resolution_clock)\s*::\s*now\s*\("
                    r"|(?<![.>\w])(?:clock_gettime|gettimeofday)\s*\(|\babsl::Now\s*\(")
_SLEEP = re.compile(r"\bsleep_(?:for|until)\s*\(|\babsl::SleepFor\s*\("
                    r"|(?<![\w.>])(?:sleep|usleep|nanosleep|clock_nanosleep)\s*\(")
# What brings a second thread into a test.
_THREAD = re.compile(r"\bstd::j?thread\b|\bstd::async\b|\bpthread_create\b|\b(?:gyre::)?Runtime\b\s+\w+\s*[;({]"
                     r"|\bOffload(?:Blocking)?\s*\(|\bParallel(?:For|Reduce|Sort)\s*\(|\b(?:Cpu|Blocking)Pool\b")
_TARGET = re.compile(r"^\w+\(\n.*?^\)", re.M | re.S)
_NAME = re.compile(r'name = "(\w+)"')


def check(sources, builds):
    findings = []
    single_threads = _single_threads(builds)
    for source in sources.values():
        findings += _arrows(source, sources)
        findings += _clocks_and_sleeps(source)
        findings += _unnamed(source.path, builds)
        if source.path in single_threads:
            findings += _threads(source)
    return findings + list(_cycles(sources))


def _arrows(source, sources):
    layer = source.path.split("/")[0]
    for offset, _, header in source.includes:
        for headers, home in LIBRARIES:
            if layer in ARROWS and headers.match(header) and not source.path.startswith(home):
                yield source.finding("library", offset, f"{header} may be included in {home} only")
        if header in sources:
            yield source.finding("prefix", offset, f'include it as "gyre/{header}"')
        if layer not in ARROWS or not header.startswith("gyre/"):
            continue
        target = header[len("gyre/"):]
        if target.split("/")[0] not in ARROWS[layer]:
            yield source.finding("arrow", offset, f"{layer} must not include {header}")
        elif layer in ("sync", "examples") and "/internal/" in target and not target.startswith(layer):
            yield source.finding("internal", offset, f"{layer} uses public headers only, not {header}")


def _clocks_and_sleeps(source):
    layer = source.path.split("/")[0]
    if layer in ("runtime", "sync", "io") and not source.path.startswith("runtime/internal/clock"):
        for match in _CLOCK.finditer(source.code):
            yield source.finding("clock", match.start(), "time comes from the loop or runtime/internal/clock")
    if layer == "tests" and not source.path.startswith("tests/stress/"):
        for match in _SLEEP.finditer(source.code):
            yield source.finding("sleep", match.start(), "no real sleeping outside tests/stress: use virtual time")


def _single_threads(builds):
    """The sources of the tests that the gate leaves out under the thread sanitizer."""
    return {os.path.join(package, _NAME.search(target).group(1) + ".cc")
            for package, text in builds.items()
            for target in _TARGET.findall(text) if '"single-thread"' in target}


def _threads(source):
    for match in _THREAD.finditer(source.code):
        yield source.finding("thread", match.start(), 'has several threads: its target can\'t be tagged "single-thread"')


def _unnamed(path, builds):
    package = os.path.dirname(path)
    while package and package not in builds:
        package = os.path.dirname(package)
    name = os.path.relpath(path, package or ".")
    wanted = {name}
    if path.startswith(("tests/", "bench/")) and name.endswith(".cc"):
        wanted.add(name[:-len(".cc")])  # The macros' default: srcs = [name + ".cc"].
    if not any(f'"{word}"' in builds.get(package, "") for word in wanted):
        yield Finding("unnamed", path, 1, "no BUILD file names this file, so nothing builds or runs it")


def _cycles(sources):
    """Depth-first over the include graph; each cycle is reported once, at its closing include."""
    state = {}

    def visit(path, trail):
        state[path] = "open"
        for offset, _, header in sources[path].includes:
            target = header[len("gyre/"):] if header.startswith("gyre/") else None
            if target not in sources:
                continue
            if state.get(target) == "open":
                ring = trail[trail.index(target):] + [target]
                yield sources[path].finding("cycle", offset, " -> ".join(ring))
            elif target not in state:
                yield from visit(target, trail + [target])
        state[path] = "done"

    for path in sorted(sources):
        if path not in state:
            yield from visit(path, [path])
