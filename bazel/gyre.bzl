"""The macros that every BUILD file of gyre uses. They carry the warnings, the include prefix, sizes and tags."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")

# On top of .bazelrc's flags. They reach gyre's own sources only, never those of a server that embeds gyre.
GYRE_COPTS = [
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Woverloaded-virtual",
    "-Wextra-semi",
]

GTEST_DEPS = [
    "@com_google_googletest//:gtest",
    "@com_google_googletest//:gtest_main",
]

# See //bazel/prelude:BUILD.
LIBRARY_PRELUDE = "//bazel/prelude:library"
LIBRARY_PRELUDE_DEPS = select({
    "//bazel/prelude:with_clang": [LIBRARY_PRELUDE],
    "//bazel/prelude:with_gcc": [LIBRARY_PRELUDE],
    "//conditions:default": [],
})
LIBRARY_PRELUDE_COPTS = select({
    "//bazel/prelude:with_clang": ["-include-pch", "$(location %s).gch" % LIBRARY_PRELUDE],
    "//bazel/prelude:with_gcc": ["-include", "$(location %s)" % LIBRARY_PRELUDE, "-Winvalid-pch"],
    "//conditions:default": [],
})

FAST_TEST_COPTS = ["-O0", "-g0"]
TEST_PRELUDE = "//bazel/prelude:test"
TEST_PRELUDE_DEPS = select({
    "//bazel/prelude:fast_tests_with_clang": [TEST_PRELUDE],
    "//bazel/prelude:fast_tests_with_gcc": [TEST_PRELUDE],
    "//conditions:default": [],
})
TEST_PRELUDE_COPTS = select({
    "//bazel/prelude:fast_tests_with_clang": FAST_TEST_COPTS + ["-include-pch", "$(location %s).gch" % TEST_PRELUDE],
    "//bazel/prelude:fast_tests_with_gcc": FAST_TEST_COPTS + ["-include", "$(location %s)" % TEST_PRELUDE, "-Winvalid-pch"],
    "//conditions:default": [],
})

def gyre_cc_library(name, deps = [], copts = [], **kwargs):
    """A library whose headers are included as "gyre/<path from the repository's root>"."""
    cc_library(
        name = name,
        copts = GYRE_COPTS + copts + LIBRARY_PRELUDE_COPTS,
        deps = deps + LIBRARY_PRELUDE_DEPS,
        include_prefix = "gyre",
        strip_include_prefix = "/",
        **kwargs
    )

def gyre_cc_binary(name, deps = [], copts = [], **kwargs):
    """A program."""
    cc_binary(
        name = name,
        copts = GYRE_COPTS + copts + LIBRARY_PRELUDE_COPTS,
        deps = deps + LIBRARY_PRELUDE_DEPS,
        **kwargs
    )

def gyre_cc_test(name, srcs = None, deps = [], copts = [], size = "small", use_gtest_main = True, is_fast = True, **kwargs):
    """A GoogleTest program.

    Args:
      name: ends in _test.
      srcs: <name>.cc unless told.
      deps: GoogleTest is added.
      copts: on top of gyre's.
      size: small: a second or two, 60 s at most.
      use_gtest_main: False where the test has a main of its own.
      is_fast: False where it runs for so long that --define=gyre_fast_tests must leave its flags alone.
      **kwargs: as for cc_test. Tags in use: uring, stress, exclusive, no-asan, no-tsan; core: the gate also runs it at -O0 and with
        gcc under ASan; single-thread: the gate leaves it out under TSan, tests/tidy checks that it has no second thread.
    """
    cc_test(
        name = name,
        srcs = srcs or [name + ".cc"],
        copts = GYRE_COPTS + copts + (TEST_PRELUDE_COPTS if is_fast else []),
        size = size,
        linkstatic = True,
        deps = deps + (GTEST_DEPS if use_gtest_main else GTEST_DEPS[:1]) + (TEST_PRELUDE_DEPS if is_fast else []),
        **kwargs
    )

def gyre_cc_bench(
        name,
        srcs = None,
        deps = [],
        copts = [],
        smoke_args = ["--benchmark_min_time=0.001"],
        tags = [],
        size = "small",
        **kwargs):
    """A Google Benchmark program <name>, and <name>_test, which runs it briefly so that it can't rot.

    Args:
      name: ends in _bench.
      srcs: <name>.cc unless told.
      deps: Google Benchmark is added.
      copts: on top of gyre's.
      smoke_args: what the test passes to the program.
      tags: for both.
      size: the test's.
      **kwargs: as for cc_binary.
    """
    cc_binary(
        name = name,
        srcs = srcs or [name + ".cc"],
        copts = GYRE_COPTS + copts,
        deps = deps + ["@com_github_google_benchmark//:benchmark"],
        tags = tags,
        testonly = True,
        **kwargs
    )
    native.sh_test(
        name = name + "_test",
        srcs = ["//bazel:run_binary.sh"],
        args = ["$(location :%s)" % name] + smoke_args,
        data = [":" + name],
        size = size,
        tags = tags + ["bench_smoke"],
    )
