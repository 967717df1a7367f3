"""Planted examples: each breaks one rule, or looks as if it did."""
import source

# (rule that must fire, or None; path; text)
CASES = (
    ("arrow", "runtime/a.cc", '#include "gyre/io/b.h"\n'),
    ("arrow", "runtime/a.cc", '#include "gyre/tests/support/b.h"\n'),
    ("arrow", "io/a.cc", '#include "gyre/sync/b.h"\n'),
    ("arrow", "sync/a.cc", '#include "gyre/io/b.h"\n'),
    (None, "io/a.cc", '#include "gyre/runtime/internal/b.h"\n'),
    (None, "tests/a.cc", '#include "gyre/runtime/internal/b.h"\n'),
    ("internal", "sync/a.cc", '#include "gyre/runtime/internal/b.h"\n'),
    ("internal", "examples/a.cc", '#include "gyre/io/internal/b.h"\n'),
    (None, "sync/a.cc", '#include "gyre/sync/internal/b.h"\n'),
    ("library", "runtime/a.cc", "#include <tbb/task_arena.h>\n"),
    ("library", "io/a.cc", "#include <oneapi/tbb/task_arena.h>\n"),
    (None, "runtime/offload/a.cc", "#include <tbb/task_arena.h>\n"),
    ("library", "runtime/offload/a.cc", "#include <liburing.h>\n"),
    (None, "runtime/backend/a.cc", "#include <liburing.h>\n"),
    (None, "bench/peers/a.cc", "#include <liburing.h>\n"),
    ("prefix", "io/a.cc", '#include "io/a.cc"\n'),
    ("cycle", "io/a.cc", '#include "gyre/io/a.cc"\n'),
    ("clock", "io/a.cc", "auto now = std::chrono::steady_clock::now();\n"),
    ("clock", "runtime/a.cc", "::clock_gettime(CLOCK_MONOTONIC, &now);\n"),
    (None, "runtime/a.cc", "Sys().clock_gettime(CLOCK_MONOTONIC, &now);\n"),
    (None, "runtime/internal/clock.cc", "auto now = std::chrono::steady_clock::now();\n"),
    (None, "io/a.cc", "// steady_clock::now() is not for us\n"),
    (None, "io/a.cc", "x();  // tidy: allow(clock): the crash report's date\nauto now = std::chrono::system_clock::now();\n"),
    ("sleep", "tests/io/a.cc", "std::this_thread::sleep_for(1ms);\n"),
    ("sleep", "tests/io/a.cc", "usleep(10);\n"),
    (None, "tests/io/a.cc", "co_await SleepFor(1ms);\n"),
    (None, "tests/stress/a.cc", "std::this_thread::sleep_for(1ms);\n"),
    ("thread", "tests/io/single.cc", "std::thread other([] {});\n"),
    ("thread", "tests/io/single.cc", "Runtime runtime(options);\n"),
    ("thread", "tests/io/single.cc", "co_await Offload([] { return 1; });\n"),
    (None, "tests/io/single.cc", "std::this_thread::get_id();\n"),
    (None, "tests/io/a.cc", "std::thread other([] {});\n"),
    ("unnamed", "tests/io/forgotten_test.cc", "\n"),
    ("condition", "io/a.cc", "Task<> F() { if (co_await G()) H(); }\n"),
    ("condition", "io/a.cc", "Task<> F() { while (!(co_await G()).ok()) H(); }\n"),
    ("condition", "io/a.cc", "Task<> F() { do H(); while (co_await G()); }\n"),
    ("condition", "io/a.cc", "Task<> F() { switch (co_await G()) {} }\n"),
    ("condition", "io/a.cc", "Task<> F() { for (; co_await G();) H(); }\n"),
    (None, "io/a.cc", "Task<> F() { if (auto x = co_await G(); x.ok()) H(); }\n"),
    (None, "io/a.cc", "Task<> F() { if (Run([]() -> Task<> { co_await G(); })) H(); }\n"),
    (None, "io/a.cc", "Task<> F() { for (auto& x : co_await G()) H(); }\n"),
    ("capture", "io/a.cc", "Task<> F() { co_await Offload([v = std::move(v)] { return v.size(); }); }\n"),
    ("capture", "io/a.cc", "Task<> F() { int n = co_await Offload([&, v = std::move(v)]() { return 1; }); }\n"),
    (None, "io/a.cc", "Task<> F() { auto f = [v = std::move(v)] { return 1; }; co_await Offload(f); }\n"),
    (None, "io/a.cc", "Task<> F() { co_await Offload([&] { return v.size(); }); }\n"),
    (None, "io/a.cc", "Task<> F() { co_await WithScope([&](Scope& s) -> Task<> { s.Spawn([v = std::move(v)] {}); co_return; }); }\n"),
    ("capture", "io/a.cc", "Task<> F() { co_await WithScope([&](Scope& s) -> Task<> { co_await G([v = std::move(v)] {}); }); }\n"),
    ("braces", "io/a.cc", 'Task<> F() { co_await Get({.url = "x"}); }\n'),
    ("braces", "io/a.cc", "Task<> F() { co_await Get(Options{.depth = 3}); }\n"),
    ("braces", "io/a.cc", "Task<> F() { auto n = co_await Sum({1, 2, 3}); }\n"),
    (None, "io/a.cc", "Task<> F() { Options o{.depth = 3}; co_await Get(o); }\n"),
    ("awaiter", "io/a.cc", "struct A { bool await_ready(); void await_suspend(H h) { h(); } std::string name; };\n"),
    (None, "io/a.cc", "class A { public: explicit A(S n); void await_suspend(H h) { h(); } private: std::string name_; };\n"),
    (None, "io/a.cc", "struct A { bool await_ready() noexcept { return false; } void await_suspend(H h) {} };\n"),
)

# Names every path above but the forgotten one.
_BUILDS = {
    folder: '"a", "a.cc", "clock.cc"'
    for folder in ("runtime", "runtime/internal", "runtime/offload", "runtime/backend", "sync", "io", "bench/peers", "examples",
                   "tests", "tests/io", "tests/stress")
}
_BUILDS["tests/io"] += '\ngyre_cc_test(\n    name = "single",\n    srcs = ["single.cc"],\n    tags = ["single-thread"],\n)\n'


def run(check_tree):
    """Returns the exit status: 0 where every case gave what it must."""
    wrong = 0
    for rule, path, text in CASES:
        fired = {finding.rule for finding in check_tree({path: source.Source(path, text)}, _BUILDS)}
        expected = {rule} if rule else set()
        if fired != expected:
            wrong += 1
            print(f"expected {expected or 'nothing'}, got {fired or 'nothing'}: {path}: {text}", end="")
    print(f"{len(CASES)} cases, {wrong} wrong")
    return 1 if wrong else 0
