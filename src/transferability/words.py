"""Words: numbers and lists as sentences state them."""

from collections.abc import Iterable


def in_words(names: Iterable[object], last: str = "and") -> str:
    """Names as a sentence lists them: a, b and c."""
    words = [str(name) for name in names]
    return " ".join([", ".join(words[:-1]), last, words[-1]]) if len(words) > 1 else "".join(words)


def counted(number: int, noun: str) -> str:
    """A number and its noun: 1 network, 2 networks."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def often(number: int) -> str:
    """How often: once, twice, 3 times."""
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def points(share: float, signed: bool = True) -> str:
    """A share as percentage points, with a real minus sign: −1.8."""
    rounded = round(100 * share, 1) + 0.0  # -0.0 + 0.0 is 0.0
    return f"{rounded:{'+' if signed and rounded else ''}.1f}".replace("-", "−")


def duration(seconds: float) -> str:
    """A time in the unit that suits it: 95 s, 3.5 min."""
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"
