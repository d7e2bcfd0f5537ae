"""Treatments: their records, and the order in which tables and figures show them."""

import re

import pandas as pd

from transferability.networks.notation import RANDOM, TREATMENTS, split_treatment

CURVE = re.compile(r"\b[ABPR]n[AB]\b")
EXCHANGED = str.maketrans("AB", "BA")


def rank_of(name: str) -> tuple[int, int, str]:
    """Where a treatment stands in a table: in the order of TREATMENTS, each before its preserved ones and probes."""
    treated = split_treatment(name)
    return list(TREATMENTS).index(treated.treatment.name), treated.preserved, treated.option


def is_probe(name: str) -> bool:
    """Whether a treatment reads features by a probe: it trains no network."""
    return bool(split_treatment(name).option)


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
    if set(table["kind"]) != {"whole"}:
        return text
    return CURVE.sub(lambda curve: curve[0].translate(EXCHANGED), text)


def meaning_of(name: str) -> str:
    """A treatment in a sentence."""
    treated = split_treatment(name)
    if treated.option:
        return (
            f"the features of {treated.treatment.features}, read by the probe {treated.option}; no network is trained"
        )
    preserved = treated.preserved
    above = f"; the {preserved} above the cut start from the copied network too" if preserved else ""
    return treated.treatment.meaning + above
