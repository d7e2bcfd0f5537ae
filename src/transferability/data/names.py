"""Names of files and classes: compared as people mean them, and shown without what would garble a terminal."""

import unicodedata
from collections.abc import Iterable

from transferability.errors import InputError

MOST_SHOWN = 50
"""Names that a message lists before it only counts."""


def composed(name: str) -> str:
    """A name with its letters and accents composed (Unicode NFC), as most systems write it; macOS takes them apart."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def shown(text: str) -> str:
    """Text for a message: control characters and broken surrogates as escapes, everything else as it is."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def listed(names: list[str]) -> str:
    """Names for a message, cut where there are too many to read."""
    rest = len(names) - MOST_SHOWN
    return shown(", ".join(names[:MOST_SHOWN])) + (f" and {rest} more" if rest > 0 else "")


def folded(name: str) -> str:
    """A name without case, spaces, hyphens and underscores, which people mix up."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(letter for letter in plain if letter.isalnum()) or plain.strip()


def slips(name: str) -> set[str]:
    """A folded name, and all that it becomes when one letter is lost. Digits are not: class 1 and class 2 are two."""
    return {name} | {name[:at] + name[at + 1 :] for at, letter in enumerate(name) if not letter.isdigit()}


def near_miss(names: Iterable[str], others: Iterable[str]) -> tuple[str, str] | None:
    """The first of `names` that differs by a slip from one of `others`, and that one; None if none does.

    A slip is another case, space, hyphen or underscore; a letter more or less in names of three letters and more; or
    another letter in names of five and more.
    """
    by_slip: dict[str, list[str]] = {}
    for other in others:
        for slip in slips(folded(other)):
            by_slip.setdefault(slip, []).append(other)
    for name in names:
        plain = folded(name)
        for slip in (plain, *sorted(slips(plain))):
            for other in by_slip.get(slip, []):
                lost = slip in (plain, folded(other)) and len(slip) >= 3
                if plain == folded(other) or lost or len(slip) >= 4:
                    return name, other
    return None


def taken(wanted: list[str], names: Iterable[str], place: str) -> list[str]:
    """The wanted classes as a data set writes them; one that it lacks is an InputError."""
    by_name = {composed(name): name for name in names}
    for name in wanted:
        if composed(name) not in by_name:
            raise InputError(
                f"{shown(place)}: has no class {name!r}{meant(name, by_name)}; the classes are: "
                f"{listed(list(by_name.values()))}"
            )
    return [by_name[composed(name)] for name in wanted]


def meant(name: str, names: Iterable[str]) -> str:
    """A question for a message, whether a name that is missing was meant to be one of `names`."""
    near = near_miss([name], names)
    return f" (is it {near[1]!r}?)" if near else ""


def decoded(data: bytes) -> str:
    """The text of a user's file: UTF-8, or UTF-16 where a byte order mark says so. Else a UnicodeDecodeError."""
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    return data.decode("utf-16" if utf16 else "utf-8-sig")
