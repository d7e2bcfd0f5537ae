"""Effects: what cutting, copying and fine-tuning cost or gain, as means of paired differences over units.

A pair is two networks of one target, split and seed, cut at the same n. A unit is a split and seed: its networks
share classes, images or a stream of batches, so its targets are averaged first. Seeds of one split share its classes:
what units tell of new splits and of these is in the module replication.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from transferability.analysis.conditions import CONDITION, conditions_of, label_of
from transferability.analysis.contrasts import Effect, effects_named, effects_of
from transferability.analysis.intervals import adjust
from transferability.analysis.pairs import match_pairs
from transferability.analysis.read_outs import READ_OUTS
from transferability.analysis.replication import Replicated, estimate_replicated
from transferability.analysis.tables import EFFECT_COLUMNS, shape_table
from transferability.analysis.treatments import is_base, recipes_in
from transferability.words import often

UNIT = ["split", "seed"]
GROUP = ["dataset", "architecture", "kind", "volume", "other_volume"]
FAMILY = ["effect", *GROUP, "treatment", "reference", "read_out"]
CONTENT = ["unit", "split", "target", "n", "trained", "doubtful", "image", "difference", "normalised"]
SHARING = ("graded", "whole")
"""Kinds of splits whose task A is the same in all."""
NOTHING = {"splits": 0, "seeds": 0, "units": 0, "pairs": 0, "positive": 0, "negative": 0, "balanced": False}


@dataclass(frozen=True)
class Cells:
    """The values of one family of pairs, float (units, targets, layers), NaN where there is no pair.

    `splits` numbers each unit's split, int (units,). `image` is the share of one image in such a value, of which there
    are most images. Units of several splits that share a task, of the kind `sharing`, are not independent.
    """

    values: np.ndarray
    normalised: np.ndarray
    layers: list[int]
    splits: np.ndarray
    image: float
    sharing: str | None

    def filled(self, layers: list[int]) -> np.ndarray:
        """Which units have any value at some layers, bool (units,)."""
        return ~np.isnan(self.values[:, :, layers]).all(axis=(1, 2))

    def complete(self, layers: list[int]) -> np.ndarray:
        """Which units have every target at every one of some layers, bool (units,)."""
        return ~np.isnan(self.values[:, :, layers]).any(axis=(1, 2))

    def estimate(self, units: np.ndarray, layers: list[int]) -> Replicated:
        """The mean of the chosen units' means over some layers, with intervals where they are independent."""
        means = mean_over(self.values[:, :, layers], units)
        replicated = estimate_replicated(means, self.splits[units], self.image / self.cell_count(layers))
        return replicated.refused(f"{self.sharing} splits share task A: no interval") if self.sharing else replicated

    def cell_count(self, layers: list[int]) -> int:
        """How many values a complete unit has at some layers."""
        return self.values[0, :, layers].size


def arrange(pairs: pd.DataFrame, kind: str) -> Cells:
    """The pairs of one family, of one kind of split, by unit, target and layer."""
    columns = ("unit", "target", "n")
    names, positions = zip(*(np.unique(pairs[column], return_inverse=True) for column in columns), strict=True)
    values, normalised = np.full((2, *map(len, names)), np.nan)
    values[positions] = pairs["difference"]
    normalised[positions] = pairs["normalised"]
    of_unit = pairs["split"].to_numpy()[np.unique(pairs["unit"], return_index=True)[1]]
    drawn, splits = np.unique(of_unit.astype(str), return_inverse=True)
    sharing = kind if kind in SHARING and len(drawn) > 1 else None
    return Cells(values, normalised, names[2].tolist(), splits, pairs["image"].min(), sharing)


def mean_over(values: np.ndarray, units: np.ndarray) -> np.ndarray:
    """The mean of each chosen unit over its targets and layers, where it has any value, float (units,)."""
    chosen = values.reshape(len(values), -1)[units]
    counts = (~np.isnan(chosen)).sum(axis=1)
    return np.nansum(chosen, axis=1)[counts > 0] / counts[counts > 0]


def joined_notes(*notes: str | None) -> str | None:
    """Notes as one, or None where there is none."""
    return "; ".join(filter(None, notes)) or None


def imbalance_note(cells: Cells, layers: list[int], unbalanced: bool) -> str | None:
    """What becomes of the units that lack a target or a layer; None where no unit does."""
    filled, complete = cells.filled(layers).sum(), cells.complete(layers).sum()
    if filled == complete:
        return None
    fate = "unbalanced" if unbalanced else "left out" if complete else "refused, unless asked for"
    return f"{fate}: {filled - complete} of {filled} units lack a target" + " or a layer" * (len(layers) > 1)


def normalised_columns(cells: Cells, layers: list[int], chosen: np.ndarray) -> tuple[dict, str | None]:
    """The normalised mean of the chosen units as EFFECT_COLUMNS has it, and a note where it is over fewer units."""
    values, shares = cells.values[:, :, layers], cells.normalised[:, :, layers]
    # A unit of which one base network is no measure would be the mean of other cells than the rest.
    measured = chosen & ~(np.isnan(shares) & ~np.isnan(values)).any(axis=(1, 2))
    note = None
    if not np.isnan(shares[chosen]).all() and measured.sum() < chosen.sum():
        note = f"normalised: {measured.sum()} of {chosen.sum()} units, where every base network beats guessing"
    estimate = estimate_replicated(mean_over(shares, measured), cells.splits[measured]).verdict
    # Units of the same count differ in what their bases score, which shows no spread of the effect.
    has_interval = cells.estimate(measured, layers).verdict.method is not None
    return {
        "normalised_mean": estimate.mean,
        "normalised_low": estimate.low if has_interval else np.nan,
        "normalised_high": estimate.high if has_interval else np.nan,
    }, note


def effect_row(cells: Cells, layers: list[int], unbalanced: bool) -> dict:
    """The columns of EFFECT_COLUMNS that the values of a family give for some layers, all of them in the same units.

    A unit that lacks a target or a layer is left out, since a mean with it would compare different things; with
    `unbalanced` it stays, and the row is marked.
    """
    chosen = cells.filled(layers) if unbalanced else cells.complete(layers)
    imbalance = imbalance_note(cells, layers, unbalanced)
    estimate = cells.estimate(chosen, layers)
    normalised, normalised_note = normalised_columns(cells, layers, chosen)
    used = cells.values[:, :, layers][chosen]
    note = joined_notes(
        imbalance,
        estimate.verdict.note if chosen.any() else None,
        normalised_note,
    )
    counts = {
        "units": int(chosen.sum()),
        "pairs": int((~np.isnan(used)).sum()),
        "positive": int((used > 0).sum()),
        "negative": int((used < 0).sum()),
    }
    balanced = bool(chosen.any()) and not (unbalanced and imbalance)
    return estimate.columns | counts | normalised | {"balanced": balanced, "note": note}


def layer_rows(family: dict, pairs: pd.DataFrame, unbalanced: bool) -> list[dict]:
    """The rows of a family's pairs of trained networks: one a layer, with Holm's correction, and one over all."""
    cells = arrange(pairs, family["kind"])
    rows = [family | {"n": n} | effect_row(cells, [index], unbalanced) for index, n in enumerate(cells.layers)]
    for row, p in zip(rows, adjust(np.array([row["p"] for row in rows])), strict=True):
        row["p_adjusted"] = p
    if len(rows) > 1:
        over = effect_row(cells, list(range(len(rows))), unbalanced)
        rows.append(family | {"n": None} | over | {"p_adjusted": over["p"]})
    return rows


def counts_by_layer(pairs: pd.DataFrame, weights: str | None = None) -> Counter:
    """How many pairs, or how much of a column of theirs, there are at each n; at None, over all."""
    counts: Counter = Counter()
    for n, weight in zip(pairs["n"].tolist(), pairs[weights].tolist() if weights else [1] * len(pairs), strict=True):
        counts[n] += weight
        counts[None] += weight
    return counts


def family_rows(family: dict, pairs: pd.DataFrame, targets: set[str], unbalanced: bool) -> list[dict]:
    """The rows of one effect, kind, volume and read-out; `family` names it.

    `targets` are those of its kind and volume; the note says so where the effect is of one of two alone.
    """
    trained, untrained = pairs[pairs["trained"]], counts_by_layer(pairs[~pairs["trained"]])
    without = sorted(set(pairs["n"]) - set(trained["n"]))
    nothing = NOTHING | {"note": "no pair of which both networks trained"}
    rows = [family | nothing | {"n": n, "untrained": untrained[n]} for n in without]
    if trained.empty:
        return rows
    doubtful, present = counts_by_layer(trained, "doubtful"), set(trained["target"])
    only = f"target {min(present)} only" if present < targets else None
    layers = layer_rows(family, trained, unbalanced)
    for row in layers:
        count = doubtful[row["n"]]
        doubt = f"{often(count)} a network is part of it whose validation loss is that of guessing"
        row["untrained"] = untrained[row["n"]]
        row["note"] = joined_notes(only, row["note"], doubt if count else None)
    return rows + layers


def cells_in_words(networks: pd.DataFrame) -> str:
    """Where networks are, in words: split, seed and targets."""
    targets = networks.groupby(UNIT)["target"].agg(lambda names: " and ".join(sorted(set(names))))
    return ", ".join(f"{split} seed {seed} target {names}" for (split, seed), names in targets.items())


def unpaired_cuts(networks: pd.DataFrame, effect: Effect, paired: set[int]) -> list[list[int]]:
    """The layers, each alone, at which an effect has networks on both sides but is not among the `paired` ones.

    An effect without any pair has all its layers together too.
    """
    treated, reference = (
        set(networks["n"][networks["treatment"] == name]) for name in (effect.treatment, effect.reference)
    )
    layers = sorted(treated if is_base(effect.reference) else treated & reference)
    cuts = [[n] for n in layers if n not in paired]
    return [*cuts, layers] if len(cuts) == len(layers) > 1 else cuts


def unpaired_at(networks: pd.DataFrame, effect: Effect, layers: list[int], unbalanced: bool) -> Iterator[dict]:
    """The rows, one a read-out, of an effect at layers where no pair is: means minus means, where asked for."""
    treated = networks[(networks["treatment"] == effect.treatment) & networks["n"].isin(layers)]
    cut = [0] if is_base(effect.reference) else layers
    references = networks[(networks["treatment"] == effect.reference) & networks["n"].isin(cut)]
    note = (
        f"{'unbalanced' if unbalanced else 'refused, unless asked for'}: no pair; "
        f"{effect.treatment}: {cells_in_words(treated)}; {effect.reference}: {cells_in_words(references)}"
    )
    row: dict[str, object] = {
        "effect": effect.name,
        "treatment": effect.treatment,
        "reference": effect.reference,
        "note": note,
    }
    row |= NOTHING | {"n": layers[0] if len(layers) == 1 else None, "untrained": 0}
    for read_out in READ_OUTS:
        difference = treated[read_out.name].mean() - references[read_out.name].mean()
        if pd.notna(difference):
            yield row | {"read_out": read_out.name, "mean": difference if unbalanced else np.nan}


def unpaired_rows(networks: pd.DataFrame, pairs: pd.DataFrame, unbalanced: bool) -> list[dict]:
    """Rows for effects at layers where both treatments have networks, but not one pair: refused, unless asked for.

    What is then given is the mean of the one treatment's networks minus that of the other's, marked, without an
    interval: nothing is paired.
    """
    paired: dict[tuple, set[int]] = {}
    filled = pairs[["effect", *GROUP, "n"]].fillna({"volume": 0, "other_volume": 0})
    for *key, n in filled.drop_duplicates().itertuples(index=False, name=None):
        paired.setdefault(tuple(key), set()).add(n)
    rows = []
    for values, group in networks[networks["trained"]].groupby(GROUP, dropna=False):
        key = tuple(0 if pd.isna(value) else value for value in values)
        for effect in effects_of(group["treatment"], recipes_in(group)):
            for layers in unpaired_cuts(group, effect, paired.get((effect.name, *key), set())):
                rows += [
                    dict(zip(GROUP, values, strict=True)) | row
                    for row in unpaired_at(group, effect, layers, unbalanced)
                ]
    return rows


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of effects.csv by kind, volumes, read-out, effect and n."""
    effects = {effect.name: rank for rank, effect in enumerate(effects_named(table["effect"]))}
    read_outs = {read_out.name: rank for rank, read_out in enumerate(READ_OUTS)}
    ranks = {"read_out": table["read_out"].map(read_outs), "effect": table["effect"].map(effects)}
    keys = table[["kind", "volume", "other_volume", "n"]].assign(**ranks)
    order = ["kind", "volume", "other_volume", "read_out", "effect", "n"]
    return table.loc[keys.sort_values(order, kind="stable").index].reset_index(drop=True)


def mark_primary(table: pd.DataFrame, primary: dict | None) -> pd.DataFrame:
    """Effects with the column `primary`: the layers of the effect and read-out that a study has declared.

    Their p-values are corrected together, over all kinds of splits and volumes; all others are exploratory.
    """
    declared = pd.Series(False, table.index)
    if primary:
        declared = (table["effect"] == primary["effect"]) & (table["read_out"] == primary["read_out"])
        declared &= table["n"].notna()
    table = table.assign(primary=declared)
    table.loc[declared, "p_adjusted"] = adjust(table.loc[declared, "p"].to_numpy())
    return table


def effects_of_pairs(
    networks: pd.DataFrame, matched: pd.DataFrame, unbalanced: bool, primary: dict | None = None
) -> pd.DataFrame:
    """The effects of a study whose pairs `match_pairs` has matched; the table is that of `effects_table`."""
    pairs = matched.assign(unit=matched.groupby(UNIT).ngroup())
    targets = {label: set(rows["target"]) for label, rows in conditions_of(networks)}
    rows = []
    for values, group in pairs.groupby(FAMILY, dropna=False, sort=False)[CONTENT]:
        family = dict(zip(FAMILY, values, strict=True))
        label = label_of(*(family[name] for name in CONDITION))
        rows += family_rows(family, group, targets[label], unbalanced)
    rows += unpaired_rows(networks, pairs, unbalanced)
    table = shape_table([row | {"primary": False} for row in rows], EFFECT_COLUMNS)
    return mark_primary(ordered(table), primary)


def effects_table(networks: pd.DataFrame, unbalanced: bool, primary: dict | None = None) -> pd.DataFrame:
    """One row an effect, kind of split, volume, read-out and n, and one over all layers, as EFFECT_COLUMNS has them.

    `p` is of Student's test of the mean against 0, by the rule of the interval `low` to `high`; `p_adjusted` is by Holm
    over the layers of its effect and read-out, or as `mark_primary` has it for those that `primary` names, as
    {"effect": ..., "read_out": ...}. Means over unbalanced cells are refused, or made and marked where `unbalanced`
    asks for them.
    """
    return effects_of_pairs(networks, match_pairs(networks), unbalanced, primary)
