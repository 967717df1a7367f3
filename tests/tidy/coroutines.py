"""The rules that keep gcc 12 from miscompiling coroutines, as far as a script can see them.

A full-expression with co_await in it is cut out of its function with the bodies of lambdas blanked, since those are
functions of their own. Types are unknown here, so only what is wrong for every type is a finding; `?:` is a hint, which
fails nothing.
"""
import re

# Holds the bad idioms on purpose, to notice what each compiler makes of them.
_EXEMPT = "tests/compiler_conformance_test.cc"

_AWAIT = re.compile(r"\bco_await\b")
_CONDITION = re.compile(r"\b(if(?:\s+constexpr)?|while|switch|for)\s*\(")
_OPEN, _CLOSE = "([{", ")]}"
_BODY_BEFORE = re.compile(r"(?:\)|\]|\bmutable|\bnoexcept|->[\w:<>,\s&*]+)\s*$")
_MOVED_CAPTURE = re.compile(r"(?<![\w\])])\s*\[[^\[\]]*=\s*(?:std::)?(?:move|forward)\b[^\[\]]*\]")
_DESIGNATED = re.compile(r"\{\s*\.\w+\s*=")
_BRACED_ARGUMENT = re.compile(r"[(,]\s*\{")
_CLASS = re.compile(r"\b(?:struct|class)\s+(?:\[\[\w+\]\]\s*)?(\w+)\b(?!\s*[>,=])[^;{}()]*\{")
_NOT_DATA = re.compile(r"^\s*(?:(?:public|private|protected)\s*:\s*)*"
                       r"(?:using|friend|static|typedef|struct|class|enum|template)\b")


def check(source):
    if source.path == _EXEMPT:
        return []
    return [*_conditions(source), *_full_expressions(source), *_awaiters(source)]


def hints(source):
    if source.path == _EXEMPT:
        return
    for begin, expression in _expressions_with_await(source.code):
        if "?" in expression:
            yield source.finding("ternary", begin, "`?:` around co_await: sure that no arm has a class type?")


def _matching(code, begin):
    """The offset of the bracket that closes the one at `begin`; the code's end where none does."""
    depth = 0
    for offset in range(begin, len(code)):
        depth += (code[offset] in _OPEN) - (code[offset] in _CLOSE)
        if depth == 0:
            return offset
    return len(code)


def _without_bodies(code):
    """Blanks the bodies of lambdas; braces that initialise something stay."""
    offset = code.find("{")
    while offset >= 0:
        if _BODY_BEFORE.search(code[max(offset - 200, 0):offset]):
            end = _matching(code, offset)
            code = code[:offset] + re.sub(r"[^\n]", " ", code[offset:end + 1]) + code[end + 1:]
        offset = code.find("{", offset + 1)
    return code


def _conditions(source):
    for match in _CONDITION.finditer(source.code):
        begin = match.end() - 1
        inside = _without_bodies(source.code[begin + 1:_matching(source.code, begin)])
        parts = inside.split(";")
        if match.group(1) == "for":
            condition = parts[1] if len(parts) == 3 else ""
        else:
            condition = parts[-1]
        if _AWAIT.search(condition):
            yield source.finding("condition", match.start(), "co_await in a condition: give its result a name first")


def _expressions_with_await(code):
    done = 0
    for match in _AWAIT.finditer(code):
        if match.start() < done:
            continue
        begin = _expression_begin(code, match.start())
        end = _expression_end(code, match.start())
        expression = _without_bodies(code[begin:end])
        yield begin + len(expression) - len(expression.lstrip()), expression
        # Bodies were blanked, so an await inside one still gets its own turn.
        done = end if "{" not in code[match.start():end] else match.end()


def _expression_begin(code, offset):
    depth = 0
    while offset > 0:
        char = code[offset - 1]
        if depth == 0 and char in ";{}":
            return offset
        depth += (char in _CLOSE) - (char in _OPEN)
        depth = max(depth, 0)
        offset -= 1
    return 0


def _expression_end(code, offset):
    depth = 0
    while offset < len(code):
        char = code[offset]
        if depth == 0 and char in ";}":
            return offset
        before = code[max(offset - 200, 0):offset]
        if depth == 0 and char == "{" and _BODY_BEFORE.search(before) and not before.rstrip().endswith("]"):
            return offset  # The body of a statement whose condition or range held the co_await.
        depth = max(depth + (char in _OPEN) - (char in _CLOSE), 0)
        offset += 1
    return offset


def _full_expressions(source):
    for begin, expression in _expressions_with_await(source.code):
        if _MOVED_CAPTURE.search(expression):
            yield source.finding("capture", begin, "a lambda beside co_await captures by reference: name this one first")
        if _DESIGNATED.search(expression) or _BRACED_ARGUMENT.search(expression):
            yield source.finding("braces", begin, "no aggregate and no {...} list beside co_await: name it first")


def _awaiters(source):
    for match in _CLASS.finditer(source.code):
        begin = match.end() - 1
        body = source.code[begin + 1:_matching(source.code, begin)]
        name = match.group(1)
        flat = re.sub(r"\{\s*\}", ";", _collapse(body))
        if "await_suspend" not in flat or re.search(rf"(?<!~)\b{name}\s*\(|\busing\s+[\w:<>, ]+::\w+\s*;", flat):
            continue
        if any(_is_data(member) for member in flat.split(";")):
            yield source.finding("awaiter", match.start(), f"awaiter {name} needs a constructor: it is an aggregate")


def _collapse(body):
    """Empties the outermost braces: "f() { g(); } int x;" becomes "f() {} int x;"."""
    parts, offset = [], 0
    while (brace := body.find("{", offset)) >= 0:
        parts.append(body[offset:brace] + "{}")
        offset = _matching(body, brace) + 1
    return "".join(parts) + body[offset:]


def _is_data(member):
    return bool(member.strip()) and "(" not in member.split("=")[0] and not _NOT_DATA.match(member) \
        and re.search(r"[\w>&*]\s+[*&]?\w+\s*(=.*)?$", member.strip(), re.S) is not None
