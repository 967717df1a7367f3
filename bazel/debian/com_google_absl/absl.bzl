"""absl_targets: one header-only-looking target per name; the headers are in /usr/include."""

load("@rules_cc//cc:defs.bzl", "cc_library")

def absl_targets(names):
    for name in names:
        cc_library(
            name = name,
            visibility = ["//visibility:public"],
            deps = ["@com_google_absl//:libs"],
        )
