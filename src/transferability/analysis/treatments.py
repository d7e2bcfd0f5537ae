"""Treatments: their records, and the order in which tables and figures show them."""

import re
from collections.abc import Iterable

import pandas as pd

from transferability.networks.notation import RANDOM, TREATMENTS, split_treatment

CURVE = re.compile(r"\b[ABPR]n[AB]\b")
EXCHANGED = str.maketrans("AB", "BA")


def rank_of(name: str) -> tuple[int, int, str]:
    """Where a treatment stands in a table: in the order of TREATMENTS, each before its preserved ones, probes
    and recipes."""
    treated = split_treatment(name)
    return list(TREATMENTS).index(treated.treatment.name), treated.preserved, treated.option


def is_base(name: str) -> bool:
    """Whether the networks of a treatment are trained from scratch: they are not cut, and have no n."""
    return split_treatment(name).source is None


def probed_rows(networks: pd.DataFrame) -> pd.DataFrame:
    """The rows of networks.csv of probes, which train no network."""
    return networks[networks["pooling"].notna()]


def recipes_in(networks: pd.DataFrame) -> set[str]:
    """The treatments of networks.csv that are trained by a recipe; the other ones with an option are read by probes."""
    return set(networks["treatment"][networks["option"].notna() & networks["pooling"].isna()])


def copies_stages(name: str) -> bool:
    """Whether the networks of a treatment start from stages that were trained before."""
    return split_treatment(name).treatment.source not in (None, RANDOM)


def curves_of(name: str) -> tuple[str, str]:
    """The curves of a treatment for the targets A and B, in the paper's notation, with their ending: -k2, or -svm."""
    treated = split_treatment(name)
    first, second = treated.treatment.curves
    return first + treated.ending, second + treated.ending


def for_tasks(text: str, table: pd.DataFrame) -> str:
    """A text with curves and differences for target B, as they stand everywhere; for A where a table has no task B.

    The table has the kinds of its splits, as networks.csv and effects.csv do.
    """
    return for_kinds(text, table["kind"])


def for_kinds(text: str, kinds: Iterable[str]) -> str:
    """A text with curves for target B; for A where all splits are of the kind `whole`, which has no task B."""
    if set(kinds) != {"whole"}:
        return text
    return CURVE.sub(lambda curve: curve[0].translate(EXCHANGED), text)


def curve_name(treatment: str) -> str:
    """A treatment's curve in the paper's notation, for target B: AnB+; base for the base networks of both."""
    return treatment if is_base(treatment) else curves_of(treatment)[1]
