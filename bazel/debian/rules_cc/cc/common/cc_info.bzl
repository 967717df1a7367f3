"""As in rules_cc."""

load(":builtins.bzl", "BuiltinCcInfo")

CcInfo = BuiltinCcInfo
