"""Criterion: how well scores, distances and depth rank what transfer really gave, in criterion.csv.

What transfer gave is what networks of the study have measured: retrained (AnB), fine-tuned (AnB+) or read by a probe
(AnB-svm), as the difference from the base network of the same target, seed and split where there is one. Items are
ranked over the cuts of one curve, and over the tasks at one cut.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from transferability.analysis.conditions import unreduced
from transferability.analysis.effects import SHARING, joined_notes
from transferability.analysis.intervals import Estimate, without_interval
from transferability.analysis.ranks import MEASURES, bootstrap, chance_size, rank_correlation
from transferability.analysis.read_outs import SHARES
from transferability.analysis.slopes import slope_rows
from transferability.analysis.tables import (
    CRITERION_COLUMNS,
    NETWORK_COLUMNS,
    SCORE_COLUMNS,
    read_table,
    shape_table,
    write_table,
)
from transferability.errors import exit_plainly
from transferability.evaluation.scores import HEAD_SCORES, LEFT_OUT
from transferability.networks.notation import split_treatment

UNIT = ["split", "seed"]
CURVE = [*UNIT, "target"]
ITEM = [*CURVE, "n"]
DEPTH = "depth"
DISTANCES = ("synset_distance", "a_distance")
SATURATED = 1.95
"""An A-distance that says no more than that two tasks can be told apart: it goes up to 2."""


def truths_of(networks: pd.DataFrame, treatment: str) -> list[str]:
    """What of a study tells what the stages of a treatment gave: itself, fine-tuned, and read by probes."""
    present = [split_treatment(name) for name in networks["treatment"].unique()]
    alike = {treatment, f"{treatment}+"}
    return [
        each.treatment.name + each.ending for each in present if each.treatment.name in alike and not each.preserved
    ]


def gained(networks: pd.DataFrame, truth: str, read_out: str) -> pd.DataFrame:
    """What the networks of a treatment gave, as ITEM and `gain`: above their base networks where all have one."""
    chosen = networks[(networks["treatment"] == truth) & networks["trained"] & networks[read_out].notna()]
    bases = networks[(networks["treatment"] == "base") & networks["trained"]]
    joined = chosen.merge(bases[[*CURVE, read_out]], on=CURVE, how="left", suffixes=("", "_base"))
    below = joined[f"{read_out}_base"]
    gain = joined[read_out] - (below if below.notna().all() else 0)
    return joined[[*ITEM, "kind", *DISTANCES]].assign(gain=gain)


def predictors(scores: pd.DataFrame, treatment: str, items: pd.DataFrame) -> pd.DataFrame:
    """Items with a column a predictor: each score above its null, that of the head at every cut, and what should make
    transfer worse with a minus sign: depth, and the distances of the tasks."""
    rows = scores[(scores["treatment"] == treatment) & scores["above"].notna()]
    of_head = rows["score"].isin(HEAD_SCORES)
    table = items.assign(**{DEPTH: -items["n"], **{name: -items[name] for name in DISTANCES}})
    for at, keys in ((rows[~of_head], ITEM), (rows[of_head], CURVE)):
        if len(at):
            table = table.merge(at.pivot_table(index=keys, columns="score", values="above"), on=keys, how="left")
    return table


@dataclass(frozen=True)
class Ranked:
    """Items of one truth, ranked over cuts or over tasks by one predictor, where it has a value, in one measure."""

    items: pd.DataFrame
    predictor: str
    over: str
    measure: str

    @cached_property
    def groups(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Of each curve, or of each cut, the predictor, the truth and the unit of its items."""
        keys = CURVE if self.over == "cuts" else ["n"]
        columns = [self.predictor, "gain", "unit"]
        items = self.items[self.items[self.predictor].notna()]
        return [tuple(group[name].to_numpy() for name in columns) for _, group in items.groupby(keys)]

    @property
    def units(self) -> int:
        return int(self.items["unit"].max()) + 1

    @cached_property
    def size(self) -> int:
        """The most items that are ranked at once."""
        return max(len(true) for _, true, _ in self.groups)

    @cached_property
    def curves(self) -> np.ndarray:
        """Over cuts, the mean correlation of each unit's curves, (units,), NaN where it has none."""
        found: list[list[float]] = [[] for _ in range(self.units)]
        for predicted, true, unit in self.groups:
            found[unit[0]].append(rank_correlation(self.measure, predicted, true))
        return np.array([np.mean(values) if values and not np.isnan(values).any() else np.nan for values in found])

    def over_tasks(self, drawn: np.ndarray) -> float:
        """The mean over cuts of the correlation over the tasks of some units, each as often as it was drawn."""
        each = []
        for predicted, true, unit in self.groups:
            rows = np.concatenate([np.flatnonzero(unit == each) for each in drawn])
            each.append(rank_correlation(self.measure, predicted[rows], true[rows]))
        values = np.array(each)
        return float(values[~np.isnan(values)].mean()) if (~np.isnan(values)).any() else np.nan

    @cached_property
    def estimate(self) -> Estimate:
        """The mean correlation, with its interval over units."""
        if self.over == "tasks":
            mean = self.over_tasks(np.arange(self.units))
            return without_interval(mean, None) if np.isnan(mean) else bootstrap(self.over_tasks, self.units, mean)
        return bootstrapped_mean(self.curves)


def bootstrapped_mean(values: np.ndarray) -> Estimate:
    """The mean of units' values (units,), but for those that are NaN, with its bootstrap interval."""
    values = values[~np.isnan(values)]
    if not len(values):
        return without_interval(np.nan, None)
    return bootstrap(lambda drawn: float(values[drawn].mean()), len(values), float(values.mean()))


def better_note(ranked: Ranked, others: dict[str, Ranked]) -> str | None:
    """What a score over cuts does not beat: depth, and, if it is no accuracy of images left out, one that is."""
    notes = []
    if ranked.predictor != DEPTH and DEPTH in others:
        difference = bootstrapped_mean(ranked.curves - others[DEPTH].curves)
        if not (difference.mean > 0 and not difference.low <= 0):
            notes.append("does not beat 'deeper is worse'")
    for name in LEFT_OUT if ranked.predictor not in LEFT_OUT else ():
        if name in others and bootstrapped_mean(others[name].curves - ranked.curves).low > 0:
            notes.append(f"beaten by {name}")
    return joined_notes(*notes)


def notes_of(ranked: Ranked, others: dict[str, Ranked], chance: float) -> str | None:
    """All that is to be said of a correlation."""
    estimate = ranked.estimate
    if np.isnan(estimate.mean):
        return f"the same at all {ranked.over}, or too few: nothing is ranked"
    at_most = f"not above what chance reaches, {chance:.2f}" if abs(estimate.mean) <= chance else None
    return joined_notes(estimate.note, at_most, better_note(ranked, others) if ranked.over == "cuts" else None)


def saturated(items: pd.DataFrame) -> bool:
    """Whether half of the A-distances or more are at their end."""
    return bool((items["a_distance"] >= SATURATED).mean() >= 0.5)


def ranked_rows(shared: dict, items: pd.DataFrame, names: list[str], over: str, measure: str) -> Iterator[dict]:
    """The rows of criterion.csv of one truth, over cuts or tasks, in one measure."""
    items = items.assign(unit=items.groupby(UNIT).ngroup())
    every = {name: Ranked(items, name, over, measure) for name in names if items[name].notna().any()}
    sharing = sorted(set(items["kind"]) & set(SHARING)) if items["split"].nunique() > 1 else []
    for name, ranked in every.items():
        chance = chance_size(measure, ranked.size) if ranked.size > 2 else np.nan
        estimate, note = ranked.estimate, notes_of(ranked, every, chance)
        if name == "a_distance" and saturated(-items[["a_distance"]]):
            estimate, note = without_interval(np.nan, None), "the A-distance is at its end, 2: nothing is ranked by it"
        if sharing:
            estimate = without_interval(estimate.mean, None)
            note = joined_notes(note, f"{sharing[0]} splits share task A: no interval")
        values = {"mean": estimate.mean, "low": estimate.low, "high": estimate.high, "chance": chance}
        units = items.loc[items[name].notna(), "unit"].nunique()
        counts = {"units": units, "items": ranked.size, "groups": len(ranked.groups)}
        yield shared | {"predictor": name, "over": over, "measure": measure, "note": note} | values | counts


def criterion_rows(scores: pd.DataFrame, networks: pd.DataFrame, read_out: str) -> Iterator[dict]:
    """All rows of criterion.csv of one data set and architecture."""
    for treatment in scores["treatment"].unique():
        named = scores.loc[scores["treatment"] == treatment, "score"].unique()
        for truth in truths_of(networks, treatment):
            items = predictors(scores, treatment, gained(networks, truth, read_out))
            shared = {"treatment": treatment, "truth": truth, "read_out": read_out}
            names = [name for name in (*named, DEPTH, *DISTANCES) if name in items]
            for measure in MEASURES:
                within = [name for name in names if name not in (*HEAD_SCORES, *DISTANCES)]
                yield from ranked_rows(shared, items, within, "cuts", measure)
                across = [name for name in names if name != DEPTH]
                yield from ranked_rows(shared, items, across, "tasks", measure)
            yield from (shared | row for row in slope_rows(items, SATURATED))


def criterion_table(scores: pd.DataFrame, networks: pd.DataFrame, read_out: str) -> pd.DataFrame:
    """How predictors rank what transfer gave, as CRITERION_COLUMNS has it; splits of reduced volume are left out."""
    scores, networks = unreduced(scores), unreduced(networks)
    place = {name: networks[name].iloc[0] for name in ("dataset", "architecture")} if len(networks) else {}
    return shape_table([place | row for row in criterion_rows(scores, networks, read_out)], CRITERION_COLUMNS)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell how well scores, distances and depth rank what transfer gave.")
    parser.add_argument("--scores", type=Path, required=True, help="scores.csv")
    parser.add_argument("--networks", type=Path, required=True, help="networks.csv")
    parser.add_argument("--read-out", choices=SHARES, required=True, help="what transfer gave, by this read-out")
    parser.add_argument("--into", type=Path, required=True, help="criterion.csv to write")
    arguments = parser.parse_args()
    scores, networks = read_table(arguments.scores, SCORE_COLUMNS), read_table(arguments.networks, NETWORK_COLUMNS)
    write_table(arguments.into, criterion_table(scores, networks, arguments.read_out))


if __name__ == "__main__":
    exit_plainly(main)
