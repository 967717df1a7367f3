"""The tree as the checks see it: paths, text without comments and strings, includes, and findings."""
import collections
import os
import re

FOLDERS = ("runtime", "sync", "io", "bench", "tests", "examples")

Finding = collections.namedtuple("Finding", "rule path line text")

_COMMENT_OR_LITERAL = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<mark>[^()\\ ]*)\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.S)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
_ALLOW = re.compile(r"tidy: allow\(([\w, -]+)\)")


class Source:
    """One C++ file. `code` has the text's length and lines, with comments and literals blanked out."""

    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.code = _COMMENT_OR_LITERAL.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)
        self.includes = [(match.start(), match.group(1), match.group(2)) for match in _INCLUDE.finditer(text)]

    def line_at(self, offset):
        return self.text.count("\n", 0, offset) + 1

    def finding(self, rule, offset, text):
        return Finding(rule, self.path, self.line_at(offset), text)

    def allows(self, rule, line):
        """True where the line, or the one above it, says `tidy: allow(rule)`."""
        lines = self.text.split("\n")[max(line - 2, 0):line]
        return any(rule in found.group(1) for found in map(_ALLOW.search, lines) if found)


def load_tree(root):
    """Returns ({path: Source}, {folder of a BUILD file: its text}), with paths relative to the root."""
    sources, builds = {}, {}
    for folder in FOLDERS:
        for where, folders, names in os.walk(os.path.join(root, folder)):
            if "WORKSPACE" in names:  # tests/embed: not gyre's code, and not by its rules
                folders.clear()
                continue
            for name in names:
                path = os.path.relpath(os.path.join(where, name), root)
                if name == "BUILD":
                    builds[os.path.dirname(path)] = _read(root, path)
                elif name.endswith((".h", ".cc")):
                    sources[path] = Source(path, _read(root, path))
    return sources, builds


def _read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()
