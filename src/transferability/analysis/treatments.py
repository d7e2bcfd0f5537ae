"""Treatments: their records, and the order in which tables and figures show them."""

from dataclasses import dataclass

from transferability.errors import InputError

RANDOM, PRETRAINED = "R", "P"


@dataclass(frozen=True)
class Treatment:
    """A case of the operation, as `study.treatment` of the params names it."""

    name: str
    source: str | None
    fine_tune: bool
    letter: str
    meaning: str

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
        Treatment("base", None, False, "", "trained from scratch"),
        Treatment("selffer", "target", False, "B", "stages 1–n copied from the same task and frozen, the rest new"),
        Treatment("selffer+", "target", True, "B", "the same, and the copied stages learn too"),
        Treatment("transfer", "other", False, "A", "stages 1–n copied from the other task and frozen, the rest new"),
        Treatment("transfer+", "other", True, "A", "the same, and the copied stages learn too: fine-tuning"),
        Treatment("random", RANDOM, False, "R", "stages 1–n random and frozen: untrained filters"),
        Treatment("pretrained", PRETRAINED, False, "P", "stages 1–n copied from pretrained weights and frozen"),
        Treatment("pretrained+", PRETRAINED, True, "P", "the same, and the copied stages learn too: fine-tuning"),
    )
}
"""All treatments by name, in the order of legends. A preserved one is its treatment's with -k and a number."""


def split_treatment(name: str) -> tuple[Treatment, int]:
    """A treatment's record, and the number of preserved stages above the cut: transfer-k2 is transfer's, 2."""
    kind, _, preserved = name.partition("-k")
    if kind not in TREATMENTS or (preserved and not preserved.isdecimal()):
        raise InputError(f"{name!r} is no treatment; treatments are {', '.join(TREATMENTS)}, and transfer-k2")
    return TREATMENTS[kind], int(preserved or 0)


def rank_of(name: str) -> tuple[int, int]:
    """Where a treatment stands in a table: in the order of TREATMENTS, each before its preserved ones."""
    treatment, preserved = split_treatment(name)
    return list(TREATMENTS).index(treatment.name), preserved


def copies_stages(name: str) -> bool:
    """Whether the networks of a treatment start from stages that were trained before."""
    return split_treatment(name)[0].source not in (None, RANDOM)


def curves_of(name: str) -> tuple[str, str]:
    """The curves of a treatment for the targets A and B, in the paper's notation; a preserved one's end in -k2."""
    treatment, preserved = split_treatment(name)
    first, second = treatment.curves
    ending = f"-k{preserved}" if preserved else ""
    return first + ending, second + ending


def meaning_of(name: str) -> str:
    """A treatment in a sentence."""
    treatment, preserved = split_treatment(name)
    above = f"; the {preserved} above the cut start from the copied network too" if preserved else ""
    return treatment.meaning + above
