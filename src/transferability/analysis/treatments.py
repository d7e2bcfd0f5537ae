"""Treatments: their records, and the order in which tables and figures show them."""

from transferability.networks.notation import RANDOM, TREATMENTS, split_treatment


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
