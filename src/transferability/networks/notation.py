"""Notation: a network's name says what it is, as in the paper.

    baseA    trained from scratch on task A
    B3B      selffer: stages 1..3 from baseB, frozen; the rest new; trained on B
    B3B+     the same, but the copied stages learn too
    A3B A3B+ transfer: the same with stages from baseA
    R3B      random: stages 1..3 stay as they were drawn, frozen
    P3B P3B+ pretrained: stages 1..3 from the architecture's pretrained weights
    A3B-k2   preserved: as A3B, and the 2 stages above the cut also start from the source's weights, and learn
    A3B-svm  probe: the features of A3B's stages 1..3, read by the classifier that `probes` calls svm
    A3B+-slides, baseB-longer
             recipe: A3B+ and baseB trained in the way that `recipes` calls slides, or longer

All are cases of one operation, (source, n, target, fine_tune, option).
"""

import re
from dataclasses import dataclass

from transferability.errors import InputError

SIDES = ("A", "B")
"""The tasks of a split; a base network of one is a source too."""
RANDOM = "R"
PRETRAINED = "P"
SCORES = "scores"
"""The option of what is no probe: A5B-scores are the scores of the features that A5B copies."""


@dataclass(frozen=True)
class Treatment:
    """A case of the operation, as `study.treatment` of the params names it.

    `source` is where the copied stages come from: "target" (the base network of the same task), "other" (that of the
    other task), RANDOM or PRETRAINED; None for a base network. `letter` stands for it in the names of curves, for
    target B.
    """

    name: str
    source: str | None
    fine_tune: bool
    letter: str

    @property
    def curves(self) -> tuple[str, str]:
        """The names of its curves for the targets A and B, in the paper's notation: BnA and AnB."""
        if self.source is None:
            return "baseA", "baseB"
        other = {"A": "B", "B": "A"}.get(self.letter, self.letter)
        plus = "+" if self.fine_tune else ""
        return f"{other}nA{plus}", f"{self.letter}nB{plus}"


TREATMENTS = {
    treatment.name: treatment
    for treatment in (
        Treatment("base", None, False, ""),
        Treatment("selffer", "target", False, "B"),
        Treatment("selffer+", "target", True, "B"),
        Treatment("transfer", "other", False, "A"),
        Treatment("transfer+", "other", True, "A"),
        Treatment("random", RANDOM, False, "R"),
        Treatment("pretrained", PRETRAINED, False, "P"),
        Treatment("pretrained+", PRETRAINED, True, "P"),
    )
}
"""All treatments by name, in the order of legends. A preserved one is its treatment's with -k and a number, a probe's
or a recipe's its treatment's with - and the name of that."""

PRESERVED = r"-k(?P<k>[1-9][0-9]?)"
OPTION = r"-(?P<option>(?!k[0-9]*(?![A-Za-z0-9]))[A-Za-z][A-Za-z0-9]*)"
"""A name's end: a letter, then letters or digits, but no k and digits."""


@dataclass(frozen=True)
class Treated:
    """What the name of a treatment says: its record, the number of preserved stages above the cut, and the option, the
    name of a probe or a recipe."""

    treatment: Treatment
    preserved: int = 0
    option: str = ""

    @property
    def source(self) -> str | None:
        """Where the copied stages come from, as the record has it."""
        return self.treatment.source

    @property
    def has_seen_target(self) -> bool:
        """Whether the stages that are read or copied have learnt from the target's images."""
        return self.treatment.fine_tune or self.source in (None, "target")

    @property
    def ending(self) -> str:
        """What the names of its networks end in: -k2, -svm, or nothing."""
        return ending_of(self.preserved, self.option)


def ending_of(preserved: int, option: str) -> str:
    """What the name of a network ends in, behind target and +."""
    return (f"-k{preserved}" if preserved else "") + (f"-{option}" if option else "")


def split_treatment(name: str) -> Treated:
    """The parts of a treatment's name: transfer-k2 is transfer's, 2 preserved; transfer-svm transfer's, by svm."""
    match = re.fullmatch(rf"(?P<kind>[a-z]+\+?)(?:{PRESERVED})?(?:{OPTION})?", name)
    if match is None or match["kind"] not in TREATMENTS:
        raise InputError(f"{name!r} is no treatment; treatments are {', '.join(TREATMENTS)}, transfer-k2 and -svm")
    return Treated(TREATMENTS[match["kind"]], int(match["k"] or 0), match["option"] or "")


@dataclass(frozen=True)
class Network:
    """The identity of one network of a split: `n` stages from `source`, trained on `target`.

    A base network has no source and n = 0. `preserved` is the number of stages above the cut that start from the
    source too. An `option` is the name of a recipe, by which the network is trained, or of a probe: then no network is
    trained, and stages 1 to n are read by that probe. The params tell which of the two.
    """

    source: str | None
    n: int
    target: str
    fine_tune: bool
    preserved: int
    option: str = ""

    @property
    def name(self) -> str:
        """The network in the paper's notation; also the name of its folder."""
        if self.source is None:
            return f"base{self.target}{ending_of(0, self.option)}"
        plus = "+" if self.fine_tune else ""
        return f"{self.source}{self.n}{self.target}{plus}{ending_of(self.preserved, self.option)}"

    @property
    def treatment(self) -> str:
        """The case of the operation that this network is, as `study.treatment` of the params names it."""
        role = "target" if self.source == self.target else self.source if self.source not in SIDES else "other"
        (treatment,) = [
            record.name for record in TREATMENTS.values() if (record.source, record.fine_tune) == (role, self.fine_tune)
        ]
        return treatment + ending_of(self.preserved, self.option)

    @property
    def copied(self) -> int:
        """The number of stages that start from the source's weights; none of a random network's."""
        return 0 if self.source in (None, RANDOM) else self.n + self.preserved

    @property
    def below(self) -> int:
        """The number of stages below the new ones: those that are copied, or random."""
        return self.n + self.preserved

    @property
    def frozen(self) -> int:
        """The number of stages that do not learn, from the first one on."""
        return 0 if self.fine_tune else self.n

    @property
    def has_seen_target(self) -> bool:
        """Whether the stages that are read or copied have learnt from the target's images."""
        return self.fine_tune or self.source in (None, self.target)

    @property
    def curve(self) -> str:
        """The curve it lies on, in the paper's notation: A3B+ lies on AnB+. A base network is its own."""
        return self.name if self.source is None else re.sub(r"\d+", "n", self.name, count=1)


GRAMMAR = re.compile(
    r"(?:base(?P<base>[AB])|(?P<source>[ABRP])(?P<n>0|[1-9][0-9]?)(?P<target>[AB])(?P<plus>\+)?"
    rf"(?:{PRESERVED})?)(?:{OPTION})?"
)


def parse_network(name: str, depth: int | None = None) -> Network:
    """The network that a name in the paper's notation means; InputError if it means none.

    With the `depth` of the architecture, its number of stages, a cut beyond the last but one is none either.
    """
    match = GRAMMAR.fullmatch(name)
    if match is None:
        raise InputError(f"{name!r} is no network; names are like baseA, B3B, A3B+, R3B, P3B, A3B-k2 or A3B-svm")
    if match["base"]:
        return Network(None, 0, match["base"], False, 0, match["option"] or "")
    ending = int(match["k"] or 0), match["option"] or ""
    network = Network(match["source"], int(match["n"]), match["target"], bool(match["plus"]), *ending)
    if network.n < 1:
        raise InputError(f"{name!r}: n = 0 copies nothing; a cut is after stage 1 or a later one")
    if depth is not None:
        check_depth(network, depth)
    if network.source == RANDOM and (network.fine_tune or network.preserved):
        raise InputError(f"{name!r} is no network: random stages are frozen and there is nothing to preserve")
    if network.fine_tune and network.preserved:
        raise InputError(f"{name!r} is no network: where copied stages learn, they need no preserved ones above")
    return network


def check_depth(network: Network, depth: int) -> None:
    """Refuse a network that an architecture of so many stages cannot give."""
    if network.n >= depth:
        raise InputError(f"{network.name!r}: n = {network.n} is outside 1..{depth - 1}")
    if network.n + network.preserved >= depth:
        raise InputError(
            f"{network.name!r}: there are no {network.preserved} stages to preserve between the cut at {network.n} "
            "and the last"
        )
