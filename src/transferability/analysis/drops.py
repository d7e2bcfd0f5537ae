"""Drops: the first layer at which an effect is a drop of more than some size."""

import pandas as pd

from transferability.analysis.effects import FAMILY
from transferability.analysis.read_outs import SHARES
from transferability.analysis.tables import DROP_COLUMNS, shape_table
from transferability.words import in_words


def first_of(layers: pd.Series) -> int | None:
    """The first of some layers, or None."""
    return layers.min() if len(layers) else None


def drop_of(rows: pd.DataFrame, prefix: str, bound: float, size: float) -> dict | None:
    """Where the mean of one effect, whose rows by layer are given, falls below a bound; None if it has no mean.

    `prefix` names the columns: "" or "normalised_". `size` is for the note.
    """
    layers = rows[rows[f"{prefix}mean"].notna()].sort_values("n")
    if layers.empty:
        return None
    low, high = layers[f"{prefix}low"], layers[f"{prefix}high"]
    first, sure = layers["n"][layers[f"{prefix}mean"] < bound], layers["n"][high < bound]
    possible, lacking = layers["n"][~(low >= bound)], layers["n"][low.isna()]
    notes = [f"no drop of more than {size:g} at any layer"] if first.empty else []
    if len(lacking) == len(layers):
        notes.append("no interval: no layer has one")
        possible = first[:0]
    elif sure.empty:
        notes.append("no layer surely drops by more")
    if 0 < len(lacking) < len(layers):
        notes.append(f"no interval at n = {in_words(lacking.tolist())}: a drop there is not excluded")
    if len(layers) < len(rows):
        notes.append("some layers have no mean")
    ends = {"first": first_of(first), "low": first_of(possible), "high": first_of(sure)}
    return ends | {"note": "; ".join(notes) or None}


def drops_table(effects: pd.DataFrame, size: float) -> pd.DataFrame:
    """The first layer at which an effect's mean is a drop of more than `size`, as DROP_COLUMNS has it.

    `measure` accuracy: `size` is in accuracy; normalised: in shares of what the base network scores above guessing.
    `low` to `high` is the interval of that layer, read off the layers' own: before `low`, every layer's interval
    shows a drop of at most `size`; at `high`, one shows a larger drop. A layer without an interval shows neither. An
    empty `first` or `high` means that no layer does.
    """
    rows = []
    layered = effects[effects["n"].notna() & effects["read_out"].isin(SHARES)]
    for values, group in layered.groupby(FAMILY, dropna=False, sort=False):
        family = dict(zip(FAMILY, values, strict=True)) | {"size": size}
        for measure, prefix, bound in (("accuracy", "", -size), ("normalised", "normalised_", 1 - size)):
            drop = drop_of(group, prefix, bound, size)
            if drop is not None:
                rows.append(family | {"measure": measure} | drop)
    return shape_table(rows, DROP_COLUMNS)
