"""Pairs: the differences between two networks of one target, split and seed, cut at the same n."""

import numpy as np
import pandas as pd

from transferability.analysis.contrasts import Effect, effects_of
from transferability.analysis.read_outs import READ_OUTS, ReadOut
from transferability.analysis.tables import PAIR_COLUMNS, refuse_twice, shape_table
from transferability.analysis.treatments import is_base, recipes_in

CELL = ["dataset", "architecture", "split", "kind", "seed", "target"]
SCORES = dict.fromkeys(name for read_out in READ_OUTS for name in (read_out.name, read_out.chance) if name)
COMPARED = [*SCORES, "trained", "reason"]
"""The columns that are read of both networks of a pair."""
MATCHED = PAIR_COLUMNS | {"trained": "bool", "doubtful": "int64", "image": "float64"}


def match_networks(networks: pd.DataFrame, effect: Effect) -> pd.DataFrame:
    """The networks of an effect's treatment, each with its reference's columns beside it, named `*_reference`.

    `trained` is whether both trained, and `doubtful` counts those of them that have a `reason` all the same.
    """
    # A base network has no n: it is compared with every n.
    keys = CELL if is_base(effect.reference) else [*CELL, "n"]
    treated = networks[networks["treatment"] == effect.treatment]
    references = networks.loc[networks["treatment"] == effect.reference, [*keys, *COMPARED]]
    joined = treated.merge(references, on=keys, suffixes=("", "_reference"), validate="many_to_one")
    both = joined["trained"] & joined["trained_reference"]
    doubtful = sum((joined[name].notna() & both).astype(int) for name in ("reason", "reason_reference"))
    return joined.assign(effect=effect.name, reference=effect.reference, trained=both, doubtful=doubtful)


def normalised_values(joined: pd.DataFrame, read_out: ReadOut) -> np.ndarray:
    """A read-out as the share of what the base network scores above guessing, float (pairs,).

    It is NaN where the reference is no base network, where nothing says what guessing scores, and where the base
    network does no better than that and so is no measure of anything.
    """
    if read_out.chance is None or (joined["reference"] != "base").any():
        return np.full(len(joined), np.nan)
    guessed = joined[f"{read_out.chance}_reference"].to_numpy()
    span = joined[f"{read_out.name}_reference"].to_numpy() - guessed
    return (joined[read_out.name].to_numpy() - guessed) / np.where(span > 0, span, np.nan)


def differences(joined: pd.DataFrame, read_out: ReadOut) -> pd.DataFrame:
    """The pairs of `match_networks` as MATCHED has them, in one read-out; without those that lack it."""
    if read_out.images is None:
        image = pd.Series(0.0, joined.index)
    else:
        image = (1 / joined[read_out.images].astype(float)).fillna(0.0)
    table = joined.assign(
        read_out=read_out.name,
        difference=joined[read_out.name] - joined[f"{read_out.name}_reference"],
        normalised=normalised_values(joined, read_out),
        image=image,
    )
    return table[list(MATCHED)].dropna(subset="difference")


def match_pairs(networks: pd.DataFrame) -> pd.DataFrame:
    """All pairs of a study as PAIR_COLUMNS has them, with three columns more.

    `trained`: whether both networks trained. `doubtful`: how many of them have a `reason` all the same. `image`: the
    share of one image in the accuracy, 0 where that is not known.
    """
    refuse_twice(networks, "networks.csv")
    joined = [match_networks(networks, effect) for effect in effects_of(networks["treatment"], recipes_in(networks))]
    tables = [differences(table, read_out) for table in joined for read_out in READ_OUTS]
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else shape_table([], MATCHED)


def trained_pairs(matched: pd.DataFrame) -> pd.DataFrame:
    """The pairs of `match_pairs` of which both networks trained, as PAIR_COLUMNS has them."""
    return shape_table(matched[matched["trained"]], PAIR_COLUMNS)


def pairs_table(networks: pd.DataFrame) -> pd.DataFrame:
    """One row a difference, as PAIR_COLUMNS has them; networks that did not train are kept out with their pairs."""
    return trained_pairs(match_pairs(networks))


def paired_networks(networks: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The networks that some pairs are the differences of, each once."""
    cut = pairs["n"].where(~pairs["reference"].map(is_base), 0)
    cells = [pairs[name] for name in ("split", "seed", "target")]
    ends = {
        *zip(*cells, pairs["treatment"], pairs["n"], strict=True),
        *zip(*cells, pairs["reference"], cut, strict=True),
    }
    identity = networks[["split", "seed", "target", "treatment", "n"]]
    return networks[[row in ends for row in identity.itertuples(index=False, name=None)]]
