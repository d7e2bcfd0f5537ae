"""Notation: a network's name says what it is, as in the paper.

    baseA    trained from scratch on task A
    B3B      selffer: layers 1..3 from baseB, frozen; the rest new; trained on B
    B3B+     the same, but the copied layers learn too
    A3B A3B+ transfer: the same with layers from baseA
    R3B      random: layers 1..3 stay as they were drawn, frozen
    A3B-k2   preserved: as A3B, and the 2 layers above the cut also start from the base's weights, and learn

All are cases of one operation, (source, n, target, fine_tune).
"""

import re
from dataclasses import dataclass

from transferability.errors import InputError

DEPTH = 8
"""Weight layers in every network: n runs from 1 to DEPTH − 1."""

RANDOM = "R"


@dataclass(frozen=True)
class Network:
    """The identity of one network of a split: `n` layers from `source`, trained on `target`.

    A base network has no source and n = 0. `preserved` is the number of layers above the cut that start from the
    source too.
    """

    source: str | None
    n: int
    target: str
    fine_tune: bool
    preserved: int

    @property
    def name(self) -> str:
        """The network in the paper's notation; also the name of its folder."""
        if self.source is None:
            return f"base{self.target}"
        preserved = f"-k{self.preserved}" if self.preserved else ""
        return f"{self.source}{self.n}{self.target}{'+' if self.fine_tune else ''}{preserved}"

    @property
    def treatment(self) -> str:
        """The case of the operation that this network is, as `study.treatment` of the params names it."""
        if self.source is None:
            return "base"
        kind = {RANDOM: "random", self.target: "selffer"}.get(self.source, "transfer")
        preserved = f"-k{self.preserved}" if self.preserved else ""
        return f"{kind}{'+' if self.fine_tune else ''}{preserved}"

    @property
    def curve(self) -> str:
        """The curve it lies on, in the paper's notation: A3B+ lies on AnB+. A base network is its own."""
        return self.name if self.source is None else re.sub(r"\d+", "n", self.name, count=1)


GRAMMAR = re.compile(r"base(?P<base>[AB])|(?P<source>[ABR])(?P<n>0|[1-9][0-9]*)(?P<target>[AB])(?P<tail>\+|-k[1-9])?")


def parse_network(name: str) -> Network:
    """The network that a name in the paper's notation means; InputError if it means none."""
    match = GRAMMAR.fullmatch(name)
    if match is None:
        raise InputError(f"{name!r} is no network; names are like baseA, B3B, A3B+, R3B or A3B-k2")
    if match["base"]:
        return Network(None, 0, match["base"], fine_tune=False, preserved=0)
    n, tail = int(match["n"]), match["tail"] or ""
    preserved = int(tail[2:]) if tail.startswith("-k") else 0
    if not 1 <= n < DEPTH:
        raise InputError(f"{name!r}: n = {n} is outside 1..{DEPTH - 1}")
    if n + preserved >= DEPTH:
        raise InputError(f"{name!r}: there are no {preserved} layers to preserve between the cut at {n} and the last")
    if match["source"] == RANDOM and tail:
        raise InputError(f"{name!r} is no network: random layers are frozen and there is nothing to preserve")
    return Network(match["source"], n, match["target"], fine_tune=tail == "+", preserved=preserved)
