"""Bazel 4's built-in symbols, under names that can be loaded."""

builtin_cc_common = cc_common
BuiltinCcInfo = CcInfo
