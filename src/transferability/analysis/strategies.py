"""Strategies: which way to train is best, from which cut, by how much, at what cost; and what such advice is worth.

A strategy is a treatment, or a probe that learns from the same images, with its best cut. Validation images choose it
and the cut, over all splits, seeds and targets of a condition; test images say by how much, so that the best of many is
not flattered.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from transferability import files
from transferability.analysis.conditions import CONDITION, conditions_of, in_a_line
from transferability.analysis.effects import SHARING
from transferability.analysis.intervals import Estimate
from transferability.analysis.replication import estimate_replicated
from transferability.analysis.tables import (
    NETWORK_COLUMNS,
    STRATEGY_COLUMNS,
    cut_name,
    read_table,
    shape_table,
    stage_names,
    write_table,
)
from transferability.analysis.treatments import curve_name, for_kinds, is_base
from transferability.analysis.ways import ways_of
from transferability.errors import exit_plainly
from transferability.words import points

CELL = ["split", "seed", "target"]
MEASURES = (("validation_top1", "test_top1"), ("validation_map", "test_map"))
"""The read-outs by which strategies are chosen, and by which they are compared; of one label an image, or several."""
COLUMNS = ["treatment", "n"]
TOLERANCE = 0.02
"""The loss up to which a faster strategy is taken in a tie."""
COARSE = 0.01
"""The share of one image from which on the advice says it."""


@dataclass(frozen=True)
class Field:
    """The networks of a condition: of each cell (split, seed, target; rows) and way (treatment and n; columns) the
    accuracies on validation and test images, and the seconds that training took; `images` are the fewest of a test."""

    validation: pd.DataFrame
    test: pd.DataFrame
    seconds: pd.DataFrame
    images: int
    kind: str

    @property
    def tasks(self) -> pd.Series:
        """The task that each cell is of: a split and target."""
        index = self.test.index
        return pd.Series([*zip(index.get_level_values("split"), index.get_level_values("target"), strict=True)], index)

    @property
    def units(self) -> int:
        """Splits and seeds."""
        return len(self.test.groupby(["split", "seed"]))

    def margin(self, first: tuple, second: tuple) -> Estimate:
        """What one way scores more than another, over splits and seeds."""
        units = (self.test[first] - self.test[second]).groupby(["split", "seed"]).mean()
        splits = units.index.get_level_values("split").astype("category").codes
        targets = self.test.index.get_level_values("target").nunique()
        estimate = estimate_replicated(units.to_numpy(), splits, 1 / (self.images * targets))
        shares_task = self.kind in SHARING and len(set(splits)) > 1
        return (estimate.refused(f"{self.kind} splits share task A: no interval") if shares_task else estimate).verdict


def field_of(networks: pd.DataFrame) -> Field:
    """The field of a condition's networks, those of ways that every cell has, trained.

    A target for which there are base networks alone, as the source of others, is no cell.
    """
    copied = networks[~networks["treatment"].map(is_base)]
    rows = networks[networks["trained"]]
    rows = rows[rows["target"].isin(copied["target"])] if len(copied) else rows
    chosen_by, told_by = next(names for names in MEASURES if rows[names[1]].notna().any())
    tables = [rows.pivot_table(name, CELL, COLUMNS) for name in (chosen_by, told_by, "seconds")]
    whole = tables[0].dropna(axis=1).columns.intersection(tables[1].dropna(axis=1).columns)
    # An unknown time leaves no column.
    validation, test, seconds = (table.reindex(columns=whole) for table in tables)
    return Field(validation, test, seconds, int(rows["test_images"].min()), rows["kind"].iloc[0])


def best_way(validation: pd.DataFrame) -> tuple[str, int]:
    """The way of the highest mean over some cells, the first of equal ones."""
    return validation.mean().idxmax()


def best_ways(field: Field) -> list[tuple[str, int]]:
    """Of each treatment the way whose cut is best on validation, by falling accuracy there."""
    means = field.validation.mean()
    ways = means.groupby(level="treatment", sort=False).idxmax().tolist()
    return sorted(ways, key=lambda way: -means[way])


def is_tie(margin: Estimate) -> bool:
    """Whether a margin does not tell two strategies apart."""
    return margin.method is None or margin.low <= 0 <= margin.high


def overtakes(row: dict) -> bool:
    """Whether a strategy is ahead on test images of the one that is first on validation images."""
    return row["high"] < 0


def strategy_rows(field: Field) -> Iterator[dict]:
    """Of each strategy of a condition a row of strategies.csv, without the columns of the condition."""
    first, *others = best_ways(field)
    for rank, way in enumerate((first, *others), start=1):
        margin = field.margin(first, way) if way != first else None
        row = {"strategy": way[0], "n": way[1], "rank": rank, "units": field.units}
        row |= {"validation": field.validation[way].mean(), "test": field.test[way].mean()}
        row |= {"training_seconds": field.seconds[way].mean()}
        if margin is not None:
            row |= {"behind": margin.mean, "low": margin.low, "high": margin.high, "note": margin.note}
            row |= {"tie": is_tie(margin)}
        yield row | ({} if margin else {"tie": False})


def strategies_table(networks: pd.DataFrame) -> pd.DataFrame:
    """One row a condition and strategy, as STRATEGY_COLUMNS has them; `networks` has the column `seconds` too."""
    rows = []
    for _, group in conditions_of(networks):
        field = field_of(group)
        condition = group[["dataset", "architecture", *CONDITION]].iloc[0].to_dict()
        rows += [condition | row for row in strategy_rows(field)] if field.test.shape[1] > 1 else []
    return shape_table(rows, STRATEGY_COLUMNS)


def regrets(field: Field) -> dict[str, float]:
    """What advice costs a task that had no part in it, in accuracy on test images, a mean over tasks.

    `advised` is the way that is best on the validation images of the other tasks; `own` the one that is best on the
    task's own; both against the way that turned out best on its test images. NaN with fewer than two tasks.
    """
    lost: dict[str, list[float]] = {"advised": [], "own": []}
    for task in sorted(set(field.tasks)):
        held = (field.tasks == task).to_numpy()
        if held.all():
            break
        test = field.test[held].mean()
        lost["advised"].append(test.max() - test[best_way(field.validation[~held])])
        lost["own"].append(test.max() - test[best_way(field.validation[held])])
    return {name: float(np.mean(values)) if values else float("nan") for name, values in lost.items()}


@dataclass(frozen=True)
class Advice:
    """What a condition of a study advises, as advice.json has it; margins, regrets and intervals are in points.

    The margin is over `runner_up`, the best strategy that is not behind it, or the second where all are. With a `tie`
    the strategy is the one that trains fastest of those whose interval shows that they lose at most TOLERANCE, if there
    is one.
    """

    dataset: str
    architecture: str
    strategy: str
    n: int
    runner_up: str
    margin_points: float | None
    interval: tuple[float | None, float | None] | None
    tie: bool
    training_seconds: float | None
    regret_points: float | None
    own_regret_points: float | None
    tasks: int
    sentence: str


def rounded(value: float, scale: float = 1) -> float | None:
    """A number as JSON has it, None where there is none."""
    return None if pd.isna(value) else round(scale * float(value), 4)


def strategy_name(row: dict) -> str:
    """The curve of a strategy, a row of strategies.csv."""
    return for_kinds(curve_name(row["strategy"]), [row["kind"]])


def named(row: dict, stages: dict[int, str]) -> str:
    """A strategy with its cut: AnB+-slides cut at n = 5, layer3."""
    return strategy_name(row) + (f" cut at {cut_name(row['n'], stages)}" if row["n"] else "")


def margin_text(row: dict) -> str:
    """By how much a strategy is behind the first, with its interval."""
    text = f"{points(row['behind'])} points"
    return text if pd.isna(row["low"]) else f"{text} (95 %: {points(row['low'])} to {points(row['high'])})"


def cost_text(row: dict) -> str:
    """What a strategy takes."""
    return "" if pd.isna(row["training_seconds"]) else f", {row['training_seconds']:.1f} seconds to train"


def rival_of(rows: list[dict]) -> dict:
    """The row to hold the first strategy against: the best one that is not behind it; where all are, the second."""
    return next((row for row in rows[1:] if row["tie"] or overtakes(row)), rows[1])


def sentence_of(rows: list[dict], chosen: dict, image: float, stages: dict[int, str]) -> str:
    """What is advised, in a sentence; that it is a tie, or that there are too few runs or images to tell."""
    first, second = rows[0], rival_of(rows)
    ahead = f"{named(first, stages)} is {margin_text(second)} ahead of {named(second, stages)}"
    if pd.isna(second["low"]):
        return f"No advice: {second['note']}; {ahead}. Add splits or seeds."
    level = f"{points(chosen['test'], signed=False)} %{cost_text(chosen)}"
    if not second["tie"] and not overtakes(second):
        return f"Take {named(first, stages)}: {level}; it is {margin_text(second)} ahead of {named(second, stages)}."
    few = f" One test image is {points(image, signed=False)} points: not enough images." if image > COARSE else ""
    tied = 1 + sum(row["tie"] for row in rows)
    if chosen is first:
        taken = f"{named(first, stages)} is best on validation images: {level}."
    else:
        most = points(TOLERANCE, signed=False)
        taken = f"{named(chosen, stages)} loses at most {most} points and trains fastest: {level}."
    if overtakes(second):
        gain = margin_text({"behind": -second["behind"], "low": -second["high"], "high": -second["low"]})
        return f"On test images {named(second, stages)} is {gain} ahead of {named(first, stages)}. {taken}{few}"
    return f"A tie of {tied} strategies: {ahead}. {taken}{few}"


def seconds_of(row: dict) -> float:
    """What a strategy takes, infinity where that is not known."""
    return float("inf") if pd.isna(row["training_seconds"]) else row["training_seconds"]


def taken_of(rows: list[dict]) -> dict:
    """The row of the strategy to take: the first, or in a tie the fastest of those that lose at most TOLERANCE.

    That a strategy is not told apart from the first is not enough: with few runs none is.
    """
    alike = [row for row in rows[1:] if (row["tie"] or overtakes(row)) and row["high"] <= TOLERANCE]
    return min([rows[0], *alike], key=seconds_of)


def advice_of(rows: list[dict], field: Field, stages: dict[int, str]) -> Advice:
    """The advice of a condition; `rows` are its rows of strategies.csv, by rank."""
    first, second = rows[0], rival_of(rows)
    chosen = taken_of(rows)
    regret = regrets(field)
    image = 1 / field.images
    return Advice(
        **{name: first[name] for name in ("dataset", "architecture")},
        strategy=chosen["strategy"],
        n=int(chosen["n"]),
        runner_up=second["strategy"],
        margin_points=rounded(second["behind"], 100),
        interval=None if pd.isna(second["low"]) else (rounded(second["low"], 100), rounded(second["high"], 100)),
        tie=bool(second["tie"]),
        training_seconds=rounded(chosen["training_seconds"]),
        regret_points=rounded(regret["advised"], 100),
        own_regret_points=rounded(regret["own"], 100),
        tasks=field.tasks.nunique(),
        sentence=sentence_of(rows, chosen, image, stages),
    )


def advise(networks: pd.DataFrame, table: pd.DataFrame) -> dict[str, Advice]:
    """The advice of each condition of a study that has two strategies or more; `table` is that of strategies."""
    groups = dict(conditions_of(networks))
    return {
        in_a_line(label): advice_of(rows.to_dict("records"), field_of(groups[label]), stage_names(networks))
        for label, rows in conditions_of(table)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the strategies of a study and advise one.")
    parser.add_argument("--networks", type=Path, required=True, help="networks.csv of the study")
    parser.add_argument("--results", type=Path, required=True, help="folder of {split}/seed{seed}/, with metrics")
    parser.add_argument("--models", type=Path, required=True, help="folder of {split}/seed{seed}/{network}/")
    parser.add_argument("--strategies", type=Path, required=True, help="strategies.csv to write")
    parser.add_argument("--advice", type=Path, required=True, help="advice.json to write")
    arguments = parser.parse_args()
    networks = ways_of(read_table(arguments.networks, NETWORK_COLUMNS), arguments.results, arguments.models)
    table = strategies_table(networks)
    write_table(arguments.strategies, table)
    files.write_json(arguments.advice, {name: asdict(one) for name, one in advise(networks, table).items()})


if __name__ == "__main__":
    exit_plainly(main)
