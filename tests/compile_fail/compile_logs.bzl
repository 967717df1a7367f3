"""A rule that compiles snippets with the tree's own compiler and keeps what it says, for a test to read."""

load("@rules_cc//cc/common:cc_common.bzl", "cc_common")
load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

def _command(ctx, toolchain, context, snippet, output):
    features = cc_common.configure_features(ctx = ctx, cc_toolchain = toolchain)
    variables = cc_common.create_compile_variables(
        feature_configuration = features,
        cc_toolchain = toolchain,
        source_file = snippet.path,
        output_file = output,
        user_compile_flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts + ctx.attr.copts,
        include_directories = context.includes,
        quote_include_directories = context.quote_includes,
        system_include_directories = context.system_includes,
        preprocessor_defines = context.defines,
    )
    arguments = cc_common.get_memory_inefficient_command_line(
        feature_configuration = features,
        action_name = "c++-compile",
        variables = variables,
    )
    compiler = cc_common.get_tool_for_action(feature_configuration = features, action_name = "c++-compile")
    return [compiler] + arguments

def _compile_logs_impl(ctx):
    toolchain = ctx.attr._cc_toolchain[cc_common.CcToolchainInfo]
    context = cc_common.merge_cc_infos(cc_infos = [dep[CcInfo] for dep in ctx.attr.deps]).compilation_context
    logs = []
    for snippet in ctx.files.srcs:
        log = ctx.actions.declare_file(snippet.basename + ".log")
        ctx.actions.run(
            executable = ctx.executable._compile,
            arguments = [log.path] + _command(ctx, toolchain, context, snippet, "/dev/null"),
            inputs = depset([snippet], transitive = [context.headers, toolchain.all_files]),
            outputs = [log],
            mnemonic = "CompileSnippet",
            progress_message = "Compiling %s" % snippet.short_path,
            use_default_shell_env = True,
        )
        logs.append(log)
    return [DefaultInfo(files = depset(logs), runfiles = ctx.runfiles(files = logs + ctx.files.srcs))]

compile_logs = rule(
    doc = "For each source, a log <source>.log with the compiler's messages and, as its last line, `exit status N`.",
    implementation = _compile_logs_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".cc"]),
        "deps": attr.label_list(providers = [CcInfo]),
        "copts": attr.string_list(),
        "_compile": attr.label(default = "//tests/compile_fail:compile.sh", allow_single_file = True, executable = True, cfg = "exec"),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)
