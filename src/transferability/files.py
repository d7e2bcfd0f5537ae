"""Files that are whole or not there: nothing half-written ever stands under a final name."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transferability.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; when the block ends well, what was written there becomes `path`.

    The data reaches the disk before the name changes, so that a kill, a full disk or a power cut leaves the
    old file whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: object) -> None:
    """Write a JSON file, whole or not at all. NaN is refused: it is not JSON."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path, form: object = dict) -> dict:
    """Read a JSON object of a form of `forms`; a missing, truncated or foreign file is an InputError that names it."""
    try:
        return parse_json(str(path), path.read_text(encoding="utf-8"), form)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a whole JSON file ({error}); delete it and run again") from None


def parse_json(name: str, text: str, form: object = dict) -> dict:
    """The JSON object that a text is, of a form of `forms`; any other text is an InputError that says whose it is."""
    try:
        content = json.loads(text, parse_constant=refuse_constant)
    # No JSON, a number of thousands of digits, or thousands of brackets.
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: not a whole JSON file ({error}); delete it and run again") from None
    if not isinstance(content, dict):
        raise InputError(f"{name}: holds no JSON object; delete it and run again")
    if form is not dict:
        check_form(name, content, form)
    return content


def refuse_constant(name: str) -> None:
    """Refuse NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(f"{name} is no number of JSON")


def check_form(name: str, content: dict, form: object) -> None:
    """Refuse content that lacks what its form has; the InputError names the field."""
    import msgspec

    try:
        msgspec.convert(content, form)
    except (msgspec.ValidationError, OverflowError) as error:
        fault, _, field = str(error).partition(" - at `$")
        field = f"{field.strip('`.')}: " if field else ""
        fault = fault[0].lower() + fault[1:]
        raise InputError(f"{name}: not in its form ({field}{fault}); delete it and run again") from None


def json_argument(text: str) -> object:
    """What an argument of a command states: JSON, or the path of a file of JSON.

    More than 128 KiB are no argument to Linux: what grows with a study is handed on as a file.
    """
    if text.startswith("/"):
        with open(text, encoding="utf-8") as file:
            text = file.read()
    return json.loads(text)


def expanded(path: str) -> Path:
    """The path that a user has written, ~ and ~user replaced by a home; one that cannot be is an InputError."""
    try:
        place = Path(path).expanduser()
        place.is_dir()
    except (RuntimeError, OSError) as error:
        raise InputError(f"{path}: cannot be looked up ({error}); mend the path, or write it in full") from None
    return place


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
