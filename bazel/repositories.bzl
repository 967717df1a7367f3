"""What gyre depends on, for the WORKSPACE of a server that embeds it. Debian 12's packages; nothing is fetched."""

def gyre_repositories(gyre):
    """Declares each repository that gyre needs, but for those that the workspace has declared above.

    Args:
      gyre: the path of gyre's tree, as in `local_repository(name = "gyre", path = ...)`.
    """
    repositories = {
        # Bazel's own needs. A repository declared here replaces the one that Bazel would download.
        "platforms": "/usr/share/bazel/tools/platforms",
        "remote_coverage_tools": gyre + "/bazel/debian/remote_coverage_tools",
        "rules_cc": gyre + "/bazel/debian/rules_cc",
        "rules_java": "/usr/share/bazel/rules/java",
        "rules_proto": "/usr/share/bazel/rules/proto",
        # The library.
        "com_google_absl": gyre + "/bazel/debian/com_google_absl",
        "liburing": gyre + "/bazel/debian/liburing",
        "onetbb": gyre + "/bazel/debian/onetbb",
        # Tests and benchmarks.
        "com_github_google_benchmark": gyre + "/bazel/debian/com_github_google_benchmark",
        "com_google_googletest": gyre + "/bazel/debian/com_google_googletest",
        # The peers that gyre's benchmarks compare with.
        "asio": gyre + "/bazel/debian/asio",
        "libuv": gyre + "/bazel/debian/libuv",
    }
    for name, path in repositories.items():
        if not native.existing_rule(name):
            native.local_repository(name = name, path = path)
