"""Provenance: which code, which versions and which revision made a file."""

import ast
import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

from transferability import files

PACKAGE = Path(__file__).parent
REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE")
"""Variables that lead git to another repository than the one of the folder that it is in."""

LIBRARIES = ("numpy", "safetensors", "torch")


TOKEN = re.compile(
    r"""#[^\n]*|(\"{3}|'{3})(?:\\.|.)*?\1|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""",
    re.DOTALL,
)
"""A comment or a string. Python's own tokenizer takes a second for what a plan needs."""


def significant_text(source: str) -> str:
    """A module's source without comments, docstrings and blank lines: what may change what it does."""
    strings: list[str] = []

    def set_aside(token: re.Match) -> str:
        if token[0].startswith("#"):
            return ""
        strings.append(token[0])
        return "\0"

    code = TOKEN.sub(set_aside, source).replace("\\\n", "")
    kept, depth, following = [], 0, iter(strings)
    for line in code.split("\n"):
        whole = re.sub("\0", lambda _: next(following), line.rstrip())
        # A string that is a statement of its own does nothing.
        if whole and (line.strip() != "\0" or depth > 0):
            kept.append(whole)
        depth += sum(map(line.count, "([{")) - sum(map(line.count, ")]}"))
    return "\n".join(kept)


def statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """Every statement of a parsed module, those inside functions and branches too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.stmt):
            yield node
        if isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from statements(node)


def module_file(name: str) -> Path | None:
    """The file of a module of this package by its dotted name inside it ("data.tasks"); None if there is none."""
    place = PACKAGE.joinpath(*name.split("."))
    candidates = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in candidates if name and path.is_file()), None)


def package_import(node: ast.stmt) -> list[tuple[str, str]]:
    """What a statement imports from this package: (module, name), the name "" for the module itself."""
    root = PACKAGE.name
    if isinstance(node, ast.Import):
        names = [alias.name.removeprefix(f"{root}.") for alias in node.names if alias.name.startswith(f"{root}.")]
        return [(name, "") for name in names]
    if not isinstance(node, ast.ImportFrom) or not node.module or f"{node.module}.".find(f"{root}.") != 0:
        return []
    room = node.module.removeprefix(root).removeprefix(".")
    inside = [(f"{room}.{alias.name}".removeprefix("."), alias) for alias in node.names]
    return [
        (module, alias.asname or "") if module_file(module) else (room, f"{alias.name} {alias.asname or ''}".strip())
        for module, alias in inside
    ]


@cache
def parsed(source: str) -> tuple[str, list[tuple[str, str]]]:
    """A module's significant text without its imports from this package, and these imports."""
    imports, lines = [], source.split("\n")
    for node in statements(ast.parse(source)):
        if found := package_import(node):
            imports += found
            last = node.end_lineno or node.lineno
            lines[node.lineno - 1 : last] = [""] * (last - node.lineno + 1)
    return significant_text("\n".join(lines)), imports


def imported_modules(source: str) -> set[str]:
    """The modules of this package that a module's source imports, by their dotted names inside it."""
    return {module for module, _ in parsed(source)[1] if module_file(module)}


@cache
def data_files() -> list[Path]:
    """The files of this package that are no code."""
    return sorted(path for path in PACKAGE.rglob("*.*") if path.suffix not in (".py", ".pyc"))


@cache
def module_hash(path: Path) -> str:
    """The hash of a module's text, of what it imports from this package, by content, and of the data files it names.

    Names of modules are not in it: a module that moves changes nothing.
    """
    source = path.read_text(encoding="utf-8")
    text, imports = parsed(source)
    near = {(module_hash(file), name) for module, name in imports if (file := module_file(module))}
    data = {(data.name, files.sha256(data)) for data in data_files() if f'"{data.name}"' in source}
    return hashlib.sha256(repr((text, sorted(near), sorted(data))).encode()).hexdigest()


def fingerprint(*modules: str) -> str:
    """The hash of modules of this package ("training.job") with all that they import from it, near and far.

    A module that is chosen at run time by its name, such as the library of an architecture, is imported by none: who
    uses it names it here.
    """
    hashes = []
    for name in modules:
        if (file := module_file(name)) is None:
            raise ValueError(f"the package has no module {name}")
        hashes.append(module_hash(file))
    return hashlib.sha256("\0".join(sorted(hashes)).encode()).hexdigest()[:16]


def git_revision() -> str | None:
    """The revision of the checkout that this package is of, with "+changes" where tracked files differ from it.

    None outside a checkout, and inside one of another project, which does not track these files.
    """
    # A hook's GIT_DIR, for one, names another repository.
    surroundings = {name: value for name, value in os.environ.items() if name not in REPOSITORY}

    def ask(*words: str) -> str:
        command = ["git", *words]
        asked = subprocess.run(command, cwd=PACKAGE, env=surroundings, capture_output=True, text=True, check=True)
        return asked.stdout.strip()

    try:
        if not ask("ls-files", "--", "."):
            return None
        return ask("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes")
    except (OSError, subprocess.CalledProcessError):
        return None


def versions(*others: str) -> dict[str, str]:
    """The versions of Python, of the libraries that all results depend on and of `others`, and the kind of machine."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        **{name: import_module(name).__version__ for name in (*LIBRARIES, *others)},
    }
