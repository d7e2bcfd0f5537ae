"""Effects: what cutting, copying and fine-tuning cost or gain, as paired differences and their means over units.

A pair is two networks of one target, split and seed, cut at the same n. A unit is a split and seed: its networks
share classes, images or a stream of batches, so its targets are averaged first and units are what is counted.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from transferability.analysis.conditions import CONDITION, conditions_of, label_of
from transferability.analysis.intervals import Estimate, adjust, estimate_mean
from transferability.analysis.tables import DROPS, EFFECTS, PAIRS, refuse_twice, shape_table
from transferability.words import in_words

READ_OUTS = {
    "test_top1": "test_chance",
    "chosen_test_top1": "test_chance",
    "validation_top1": "validation_chance",
    "mean_of_ten_best": "validation_chance",
    "train_loss": None,
}
"""What differences are taken of, and the column of what guessing scores; a loss is not normalised.

The difference of training losses tells what accuracy was lost by optimisation (it is positive) from what was lost
by generalisation (it is about 0 or negative).
"""

IMAGES = {
    "test_top1": "test_images",
    "chosen_test_top1": "test_images",
    "validation_top1": "validation_images",
}
"""The column that counts the images of a read-out that is a share of them."""

CONTRASTS = {
    "co-adaptation": ("selffer", "base"),
    "specificity": ("transfer", "selffer"),
    "total": ("transfer", "base"),
    "fine-tuned selffer": ("selffer+", "base"),
    "fine-tuned transfer": ("transfer+", "base"),
    "lingering boost": ("transfer+", "selffer+"),
    "random filters": ("random", "base"),
}
"""Each effect is a treatment minus its reference, at the same n, target, split and seed."""

CELL = ["dataset", "architecture", "split", "kind", "seed", "target"]
UNIT = ["split", "seed"]
GROUP = ["dataset", "architecture", "kind", "volume", "other_volume"]
FAMILY = ["effect", *GROUP, "treatment", "reference", "read_out"]
CONTENT = ["unit", "split", "target", "n", "trained", "doubtful", "image", "difference", "normalised"]
SHARING = ("graded", "whole")
"""Kinds of splits whose task A is the same in all."""
NOTHING = {"units": 0, "pairs": 0, "positive": 0, "negative": 0}


def contrasts_of(networks: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """The effects that the treatments of a table allow: the named ones, and each preserved treatment against base."""
    present = set(networks["treatment"])
    preserved = {f"preserved {name}": (name, "base") for name in sorted(present) if "-k" in name}
    return {name: pair for name, pair in (CONTRASTS | preserved).items() if set(pair) <= present}


def match_pairs(networks: pd.DataFrame) -> pd.DataFrame:
    """All pairs of a study as PAIRS has them, and whether both networks `trained`; `doubtful` counts odd ones; `image`
    is the share of one image in the accuracy, 0 where that is not known."""
    refuse_twice(networks, "networks.csv")
    bases = networks[networks["treatment"] == "base"].set_index(CELL)
    tables = []
    for effect, (treatment, reference) in contrasts_of(networks).items():
        # A base network has no n: it is compared with every n.
        keys = CELL if reference == "base" else [*CELL, "n"]
        columns = [*READ_OUTS, "trained", "reason"]
        left = networks[networks["treatment"] == treatment]
        right = networks.loc[networks["treatment"] == reference, [*keys, *columns]]
        joined = left.merge(right, on=keys, suffixes=("", "_reference"), validate="many_to_one")
        both = joined["trained"] & joined["trained_reference"]
        joined = joined.assign(
            effect=effect,
            treatment=treatment,
            reference=reference,
            trained=both,
            doubtful=(joined["reason"].notna() & both).astype(int)
            + (joined["reason_reference"].notna() & both).astype(int),
        )
        base = bases.reindex(pd.MultiIndex.from_frame(joined[CELL]))
        for read_out, chance in READ_OUTS.items():
            accuracy = joined[read_out]
            normalised = np.full(len(joined), np.nan)
            if reference == "base" and chance is not None:
                guessed = base[chance].to_numpy()
                span = base[read_out].to_numpy() - guessed
                # A base network that does no better than guessing is no measure of anything.
                normalised = np.where(span > 0, (accuracy - guessed) / np.where(span > 0, span, np.nan), np.nan)
            difference = accuracy - joined[f"{read_out}_reference"]
            image = 1 / joined[IMAGES[read_out]].astype(float) if read_out in IMAGES else pd.Series(0.0, joined.index)
            table = joined.assign(
                read_out=read_out, difference=difference, normalised=normalised, image=image.fillna(0.0)
            )
            tables.append(table[[*PAIRS, "trained", "doubtful", "image"]].dropna(subset="difference"))
    filled = [table for table in tables if len(table)]
    if not filled:
        return shape_table([], PAIRS | {"trained": "bool", "doubtful": "int64", "image": "float64"})
    return pd.concat(filled, ignore_index=True)


def pairs_table(networks: pd.DataFrame) -> pd.DataFrame:
    """One row a difference, as PAIRS has them; networks that did not train are kept out with their pairs."""
    pairs = match_pairs(networks)
    return shape_table(pairs[pairs["trained"]], PAIRS)


def paired_networks(networks: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The networks that some pairs are the differences of, each once."""
    cut = pairs["n"].where(pairs["reference"] != "base", 0)
    places = [pairs[name] for name in ("split", "seed", "target")]
    ends = {
        *zip(*places, pairs["treatment"], pairs["n"], strict=True),
        *zip(*places, pairs["reference"], cut, strict=True),
    }
    identity = networks[["split", "seed", "target", "treatment", "n"]]
    return networks[[row in ends for row in identity.itertuples(index=False, name=None)]]


@dataclass(frozen=True)
class Cells:
    """The values of one family of pairs, float (units, targets, layers), NaN where there is no pair.

    `image` is the share of one image in such a value, of which there are most images. Units of several splits that
    share a task, of the kind `sharing`, are not independent of each other.
    """

    values: np.ndarray
    normalised: np.ndarray
    layers: list[int]
    image: float
    seeds_share_splits: bool
    sharing: str | None

    def whole(self, layers: list[int]) -> np.ndarray:
        """Which units have every target at every one of some layers, bool (units,)."""
        return ~np.isnan(self.values[:, :, layers]).any(axis=(1, 2))

    def estimate(self, units: np.ndarray, layers: list[int]) -> Estimate:
        """The mean of some units' means over some layers, with an interval where they are independent."""
        found = estimate_mean(units, self.image / self.values[0, :, layers].size)
        if found.method is None or self.sharing is None:
            return found
        nothing = {"low": np.nan, "high": np.nan, "p": np.nan, "method": None}
        return replace(found, **nothing, note=f"{self.sharing} splits share task A: no interval")


def arrange(pairs: pd.DataFrame, kind: str) -> Cells:
    """The pairs of one family, of one kind of split, by unit, target and layer."""
    columns = ("unit", "target", "n")
    names, places = zip(*(np.unique(pairs[column], return_inverse=True) for column in columns), strict=True)
    values, normalised = np.full((2, *map(len, names)), np.nan)
    values[places] = pairs["difference"]
    normalised[places] = pairs["normalised"]
    splits = pairs["split"].nunique()
    sharing = kind if kind in SHARING and splits > 1 else None
    return Cells(values, normalised, names[2].tolist(), pairs["image"].min(), splits < len(names[0]), sharing)


def mean_over(values: np.ndarray, units: np.ndarray) -> np.ndarray:
    """The mean of each chosen unit over its targets and layers, where it has any value, float (units,)."""
    chosen = values.reshape(len(values), -1)[units]
    counts = (~np.isnan(chosen)).sum(axis=1)
    return np.nansum(chosen, axis=1)[counts > 0] / counts[counts > 0]


def effect_row(cells: Cells, layers: list[int], unbalanced: bool) -> dict:
    """The columns of EFFECTS that the values of a family give for some layers, all of them in the same units.

    A unit that lacks a target or a layer is left out, since a mean with it would compare different things; with
    `unbalanced` it stays, and the row is marked.
    """
    values = cells.values[:, :, layers]
    some, whole = ~np.isnan(values).all(axis=(1, 2)), cells.whole(layers)
    taken = some if unbalanced else whole
    notes = []
    if some.sum() > whole.sum():
        lacking = f"{some.sum() - whole.sum()} of {some.sum()} units lack a target" + " or a layer" * (len(layers) > 1)
        fate = "unbalanced: " if unbalanced else "left out: " if whole.any() else "refused, unless asked for: "
        notes.append(fate + lacking)
    estimate = cells.estimate(mean_over(values, taken), layers)
    if estimate.note and taken.any():
        notes.append(estimate.note)
    if estimate.method and cells.seeds_share_splits:
        notes.append("seeds share splits: the interval is for these splits, not for new ones")
    shares = cells.normalised[:, :, layers]
    # A unit of which one base network is no measure would be the mean of other cells than the rest.
    measured = taken & ~(np.isnan(shares) & ~np.isnan(values)).any(axis=(1, 2))
    if not np.isnan(shares[taken]).all() and measured.sum() < taken.sum():
        notes.append(f"normalised: {measured.sum()} of {taken.sum()} units, where every base network beats guessing")
    normalised = estimate_mean(mean_over(shares, measured))
    # Units of the same count differ in what their bases score: that tells nothing either.
    told = cells.estimate(mean_over(values, measured), layers).method is not None
    used = values[taken]
    return {
        "mean": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "units": int(taken.sum()),
        "pairs": int((~np.isnan(used)).sum()),
        "positive": int((used > 0).sum()),
        "negative": int((used < 0).sum()),
        "p": estimate.p,
        "normalised_mean": normalised.mean,
        "normalised_low": normalised.low if told else np.nan,
        "normalised_high": normalised.high if told else np.nan,
        "interval": estimate.method,
        "balanced": not (unbalanced and some.sum() > whole.sum()),
        "note": "; ".join(notes) or None,
    }


def places_of(networks: pd.DataFrame) -> str:
    """Where networks are, in words: split, seed and targets."""
    places = networks.groupby(UNIT)["target"].agg(lambda targets: " and ".join(sorted(set(targets))))
    return ", ".join(f"{split} seed {seed} target {targets}" for (split, seed), targets in places.items())


def unpaired_rows(networks: pd.DataFrame, pairs: pd.DataFrame, unbalanced: bool) -> list[dict]:
    """Rows for effects at layers where both treatments have networks, but not one pair: refused, unless asked for.

    What is then given is the mean of the one treatment's networks minus that of the other's, marked, without an
    interval: nothing is paired. An effect without any pair has such a row over all layers too.
    """
    rows = []
    paired = {tuple(key) for key in pairs[["effect", *GROUP, "n"]].fillna({"volume": 0, "other_volume": 0}).to_numpy()}
    for place, group in networks[networks["trained"]].groupby(GROUP, dropna=False):
        key = tuple(0 if pd.isna(value) else value for value in place)
        cuts: dict[str, set[int]] = {}
        for treatment, n in zip(group["treatment"], group["n"], strict=True):
            cuts.setdefault(treatment, set()).add(n)
        for effect, (treatment, reference) in contrasts_of(group).items():
            layers = sorted(cuts[treatment] if reference == "base" else cuts[treatment] & cuts[reference])
            alone = [[n] for n in layers if (effect, *key, n) not in paired]
            if len(alone) == len(layers) > 1:
                alone.append(layers)
            for at in alone:
                one = group[(group["treatment"] == treatment) & group["n"].isin(at)]
                other = group[(group["treatment"] == reference) & group["n"].isin([0] if reference == "base" else at)]
                note = (
                    f"{'unbalanced' if unbalanced else 'refused, unless asked for'}: no pair; "
                    f"{treatment}: {places_of(one)}; {reference}: {places_of(other)}"
                )
                for read_out in READ_OUTS:
                    difference = one[read_out].mean() - other[read_out].mean()
                    if pd.isna(difference):
                        continue
                    rows.append(
                        dict(zip(GROUP, place, strict=True))
                        | {"effect": effect, "treatment": treatment, "reference": reference, "read_out": read_out}
                        | {"n": at[0] if len(at) == 1 else None, "mean": difference if unbalanced else np.nan}
                        | NOTHING
                        | {"untrained": 0, "balanced": not unbalanced, "note": note}
                    )
    return rows


def family_rows(place: dict, pairs: pd.DataFrame, targets: set[str], unbalanced: bool) -> list[dict]:
    """The rows of one effect, kind, volume and read-out, with Holm's correction over its layers; `place` names it.

    `targets` are those of its kind and volume; the note says so where the effect is of one of two alone.
    """
    trained = pairs["trained"].to_numpy()
    found = pairs[trained]
    untrained, doubtful = Counter(pairs["n"].to_numpy()[~trained].tolist()), Counter()
    for n, count in zip(found["n"].tolist(), found["doubtful"].tolist(), strict=True):
        doubtful[n] += count
    rows = [
        place
        | NOTHING
        | {"n": n, "untrained": count, "balanced": True, "note": "no pair of which both networks trained"}
        for n, count in untrained.items()
        if n not in doubtful
    ]
    if found.empty:
        return rows
    cells = arrange(found, place["kind"])
    layers = [place | {"n": n} | effect_row(cells, [index], unbalanced) for index, n in enumerate(cells.layers)]
    for row, p in zip(layers, adjust(np.array([row["p"] for row in layers])), strict=True):
        row["p_adjusted"] = p
    if len(layers) > 1:
        over = effect_row(cells, list(range(len(layers))), unbalanced)
        layers.append(place | {"n": None} | over | {"p_adjusted": over["p"]})
    only = set(found["target"])
    for row in layers:
        if only < targets:
            row["note"] = "; ".join(filter(None, (f"target {min(only)} only", row["note"])))
        row["untrained"] = untrained.total() if row["n"] is None else untrained[row["n"]]
        if count := doubtful.total() if row["n"] is None else doubtful[row["n"]]:
            doubt = f"{count} times a network is part of it whose validation loss is that of guessing"
            row["note"] = "; ".join(filter(None, (row["note"], doubt)))
    return rows + layers


def effects_table(networks: pd.DataFrame, unbalanced: bool) -> pd.DataFrame:
    """One row an effect, kind of split, volume, read-out and n, and one over all layers, as EFFECTS has them.

    `p` is of the paired Student's test of the units' means against 0, `p_adjusted` by Holm over the layers of its
    effect and read-out. Means over unbalanced cells are refused, or made and marked where `unbalanced` asks for them.
    """
    pairs = match_pairs(networks)
    pairs = pairs.assign(unit=pairs.groupby(UNIT).ngroup())
    targets = {label: set(own["target"]) for label, own in conditions_of(networks)}
    rows = []
    for family, group in pairs.groupby(FAMILY, dropna=False, sort=False)[CONTENT]:
        place = dict(zip(FAMILY, family, strict=True))
        label = label_of(*(place[name] for name in CONDITION))
        rows += family_rows(place, group, targets[label], unbalanced)
    rows += unpaired_rows(networks, pairs, unbalanced)
    table = shape_table(rows, EFFECTS)
    order = {name: index for index, name in enumerate(contrasts_of(networks))}
    reads = {name: index for index, name in enumerate(READ_OUTS)}
    keys = pd.DataFrame(
        {
            "kind": table["kind"],
            "volume": table["volume"],
            "other": table["other_volume"],
            "read_out": table["read_out"].map(reads),
            "effect": table["effect"].map(order),
            "n": table["n"],
        }
    )
    return table.loc[keys.sort_values(list(keys), kind="stable").index].reset_index(drop=True)


def drops_table(effects: pd.DataFrame, size: float) -> pd.DataFrame:
    """The first layer at which an effect's mean is a drop of more than `size`, as DROPS has it.

    `measure` accuracy: `size` is in accuracy; normalised: in shares of what the base network scores above guessing.
    `low` to `high` is the interval of that layer, read off the layers' own: before `low`, every layer's interval
    shows a drop of at most `size`; at `high`, one shows a larger drop. A layer without an interval shows neither. An
    empty `first` or `high` means that no layer does.
    """
    rows = []
    layered = effects[effects["n"].notna() & (effects["read_out"] != "train_loss")]
    for family, group in layered.groupby(FAMILY, dropna=False, sort=False):
        place = dict(zip(FAMILY, family, strict=True))
        for measure, prefix, bound in (("accuracy", "", -size), ("normalised", "normalised_", 1 - size)):
            known = group[group[f"{prefix}mean"].notna()].sort_values("n")
            if known.empty:
                continue
            notes = []
            first = known["n"][known[f"{prefix}mean"] < bound]
            sure = known["n"][known[f"{prefix}high"] < bound]
            within = known[f"{prefix}low"] >= bound
            low, lacking = known["n"][~within], known["n"][known[f"{prefix}low"].isna()]
            if first.empty:
                notes.append(f"no drop of more than {size:g} at any layer")
            if len(lacking) == len(known):
                notes.append("no interval: no layer has one")
                low = first[:0]
            elif sure.empty:
                notes.append("no layer surely drops by more")
            if 0 < len(lacking) < len(known):
                notes.append(f"no interval at n = {in_words(lacking.tolist())}: a drop there is not excluded")
            if len(known) < len(group):
                notes.append("some layers have no mean")
            rows.append(
                place
                | {
                    "measure": measure,
                    "size": size,
                    "first": first.min() if len(first) else None,
                    "low": low.min() if len(low) else None,
                    "high": sure.min() if len(sure) else None,
                    "note": "; ".join(notes) or None,
                }
            )
    return shape_table(rows, DROPS)
