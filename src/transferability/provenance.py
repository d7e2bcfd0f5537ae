"""Provenance: which code, which versions and which revision made a file."""

import ast
import hashlib
import platform
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

from transferability import files

PACKAGE = Path(__file__).parent
DATA = [*sorted((PACKAGE / "facts").iterdir()), *sorted(PACKAGE.glob("*.html"))]
LIBRARIES = ("numpy", "safetensors", "torch")


TOKEN = re.compile(
    r"""#[^\n]*|(\"{3}|'{3})(?:\\.|.)*?\1|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""",
    re.DOTALL,
)
"""A comment or a string. Python's own tokenizer takes a second for what a plan needs, this a hundredth."""


def without_comments(source: str) -> str:
    """A module's source with its comments cut off."""
    return TOKEN.sub(lambda token: "" if token[0].startswith("#") else token[0], source)


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements inside a piece of syntax; not what their expressions are made of, which is most of it."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, field, []):
            yield child
            yield from statements(child)


# Most modules are in the fingerprint of several rules, and a study is planned often.
@cache
def parse(text: str) -> list[ast.stmt]:
    """The statements of a module's source."""
    return list(statements(ast.parse(text)))


@cache
def imported_modules(source: str) -> set[str]:
    """The modules of this package that a module's source imports, by their short names."""
    found = set()
    for node in parse(without_comments(source)):
        if isinstance(node, ast.ImportFrom) and node.module == PACKAGE.name:
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE.name}."):
            found.add(node.module.split(".")[1])
    return {name for name in found if (PACKAGE / f"{name}.py").exists()}


@cache
def significant_text(source: str) -> str:
    """A module's source without comments, docstrings and blank lines: what may change what it does.

    Works on the text, not on the syntax tree, whose printed form differs between versions of Python.
    """
    text = without_comments(source)
    inside_strings: set[int] = set()
    for token in TOKEN.finditer(text):
        if "\n" in token[0]:
            row = text.count("\n", 0, token.start())
            inside_strings.update(range(row, row + token[0].count("\n")))
    lines = [line.encode() for line in text.split("\n")]
    for node in parse(text):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            first, last = node.lineno - 1, node.end_lineno - 1
            after = lines[last][node.end_col_offset :]
            lines[first] = lines[first][: node.col_offset] + (after if first == last else b"")
            for row in range(first + 1, last + 1):
                lines[row] = after if row == last else b""
            inside_strings.difference_update(range(first, last))
    kept = [
        line if row in inside_strings else line.rstrip()
        for row, line in enumerate(lines)
        if row in inside_strings or line.strip()
    ]
    return b"\n".join(kept).decode()


def fingerprint(module: str) -> str:
    """The hash of a module of this package together with the package's modules that it imports, near and far, and
    the data files of the package that they name.
    """
    texts: dict[str, str] = {}
    waiting = {module}
    while waiting:
        name = waiting.pop()
        source = (PACKAGE / f"{name}.py").read_text(encoding="utf-8")
        texts[name] = significant_text(source)
        texts |= {data.name: files.sha256(data) for data in DATA if f'"{data.name}"' in source}
        waiting |= imported_modules(source) - texts.keys()
    return hashlib.sha256("\0".join(f"{name}\0{texts[name]}" for name in sorted(texts)).encode()).hexdigest()[:16]


def git_revision() -> str | None:
    """The checkout's revision, with "+changes" where tracked files differ from it; None outside a checkout."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"],
            cwd=PACKAGE,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()


def versions() -> dict[str, str]:
    """The versions of Python, of this package's libraries that results depend on, and the kind of machine."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        **{name: import_module(name).__version__ for name in LIBRARIES},
    }
