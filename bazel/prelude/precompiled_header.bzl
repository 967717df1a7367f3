"""Precompiled headers: see BUILD."""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "CPP_COMPILE_ACTION_NAME")
load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

def _precompiled_header_impl(ctx):
    cc_toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(ctx = ctx, cc_toolchain = cc_toolchain)
    flags = cc_common.get_memory_inefficient_command_line(
        feature_configuration = features,
        action_name = CPP_COMPILE_ACTION_NAME,
        variables = cc_common.create_compile_variables(
            feature_configuration = features,
            cc_toolchain = cc_toolchain,
            use_pic = False,  # see .bazelrc
            user_compile_flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts + ctx.attr.copts,
        ),
    )
    compiler = cc_common.get_tool_for_action(feature_configuration = features, action_name = CPP_COMPILE_ACTION_NAME)

    # gcc finds NAME.h.gch beside the NAME.h that it is told to include; clang is told the precompiled one itself. With clang
    # each use counts as an inclusion of the file that was compiled, by a path that Bazel does not know: so it is read from a pipe.
    source = "-" if "clang" in compiler else ctx.file.src.path
    header = ctx.actions.declare_file(ctx.label.name + ".h")
    precompiled = ctx.actions.declare_file(ctx.label.name + ".h.gch")
    ctx.actions.symlink(output = header, target_file = ctx.file.src)
    ctx.actions.run_shell(
        inputs = depset([ctx.file.src], transitive = [cc_toolchain.all_files]),
        outputs = [precompiled],
        command = '"${@:2}" <"$1"',
        arguments = [ctx.file.src.path, compiler] + flags + ["-x", "c++-header", source, "-o", precompiled.path],
        mnemonic = "PrecompileHeader",
    )
    return [
        DefaultInfo(files = depset([header])),
        CcInfo(compilation_context = cc_common.create_compilation_context(headers = depset([ctx.file.src, header, precompiled]))),
    ]

precompiled_header = rule(
    implementation = _precompiled_header_impl,
    doc = "For `-include $(location :name)` with gcc, and `-include-pch $(location :name).gch` with clang.",
    attrs = {
        "copts": attr.string_list(),
        "src": attr.label(mandatory = True, allow_single_file = True),
        "_cc_toolchain": attr.label(default = Label("@bazel_tools//tools/cpp:current_cc_toolchain")),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)
