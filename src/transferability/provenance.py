"""Provenance: which code, which versions and which revision made a file."""

import hashlib
import platform
import re
import subprocess
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
"""A comment or a string. Python's own tokenizer takes a second for what a plan needs, its parser a fifth of one."""

IMPORT = re.compile(rf"^ *from {PACKAGE.name}(?:\.(\w+))? import (\([^)]*\)|.*)", re.MULTILINE)


# Most modules are in the fingerprint of several rules, and a study is planned often.
@cache
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


@cache
def imported_modules(source: str) -> set[str]:
    """The modules of this package that a module's source imports, by their short names."""
    found = set()
    for module, names in IMPORT.findall(significant_text(source)):
        found |= {module} if module else set(re.findall(r"\w+", names))
    return {name for name in found if (PACKAGE / f"{name}.py").exists()}


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
