"""Draws: what probes score in each draw of their training images, draws.csv, and how two probes differ over draws.

An interval over draws says what other training images of the same data set would give. Draws share their test images,
or divide the same images anew: they are not independent test sets, and an interval over them is too narrow for others.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pandas as pd

from transferability import files
from transferability.analysis.contrasts import Effect, effects_of
from transferability.analysis.gathering import PLACE, grid_cells
from transferability.analysis.intervals import Estimate, estimate_mean
from transferability.analysis.tables import DRAW_COLUMNS, DRAW_EFFECT_COLUMNS, shape_table, write_table
from transferability.errors import InputError, exit_plainly
from transferability.forms.metrics import read_metrics

COPIED = ("network", "treatment", "source", "n", "stage", "target", "option")
"""Columns that stand in a probe's metrics under the same name."""
SAID = ("classifier", "normalisation", "learn_from", "images_per_class", "other_per_class")
"""Those that stand in what the metrics say of the probe."""
READ = {
    "validation_top1": ("draws_top1", "validation"),
    "test_top1": ("draws_top1", "test"),
    "test_mean_per_class": ("draws_mean_per_class", "test"),
}
"""The read-outs of a draw, and where a probe's metrics have their values."""
CELL = ["dataset", "architecture", "split", "seed", "target", "n"]


def draw_rows(place: dict, metrics: dict) -> Iterator[dict]:
    """The rows of draws.csv of a probe, from where it is and its metrics; none of images of several labels."""
    probe = metrics["probe"]
    if "draws_top1" not in probe:
        return
    common = {name: metrics[name] for name in COPIED} | {name: probe[name] for name in SAID}
    common |= {"pooling": probe["pooling"]["kind"], "note": "; ".join(probe["reasons"]) or None}
    values = {"chosen": probe["chosen"]}
    values |= {name: probe[kind][part]["values"] for name, (kind, part) in READ.items()}
    for draw, scores in enumerate(zip(*values.values(), strict=True), start=1):
        yield {**place, **common, "draw": draw, **dict(zip(values, scores, strict=True))}


def read_draws(results: Path, grid: dict) -> tuple[pd.DataFrame, list[str]]:
    """The draws of a grid of probes as DRAW_COLUMNS has them, from `results`/{split}/seed{seed}/{probe}.json, and why
    some files could not be read."""
    rows, absent = list[dict](), list[str]()
    for split, seed, name in grid_cells(grid):
        place = dict(zip(PLACE, (results.parent.name, results.name, split, seed), strict=True))
        path = results / split / f"seed{seed}" / f"{name}.json"
        try:
            rows += draw_rows(place, read_metrics(path))
        except InputError as error:
            absent.append(str(error))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            absent.append(f"{path}: no probe's metrics ({error!r}); delete it and run again")
    return shape_table(rows, DRAW_COLUMNS), absent


def draws_summary(draws: pd.DataFrame, read_out: str) -> pd.DataFrame:
    """A read-out's mean over draws at each n, with Student's interval over them: n, mean, low and high."""
    rows = []
    for n, group in draws.groupby("n"):
        # Splits and seeds have the same draws of different images: a draw's value is their mean.
        estimate = estimate_mean(group.groupby("draw")[read_out].mean().to_numpy())
        rows.append({"n": n, "mean": estimate.mean, "low": estimate.low, "high": estimate.high})
    return pd.DataFrame(rows, columns=["n", "mean", "low", "high"])


def paired_draws(first: pd.DataFrame, second: pd.DataFrame, read_out: str) -> Estimate:
    """What some draws score more than others of the same cell and number, with Student's interval over draws."""
    joined = first.merge(second, on=[*CELL, "draw"], suffixes=("", "_reference"))
    return estimate_mean((joined[read_out] - joined[f"{read_out}_reference"]).groupby(joined["draw"]).mean().to_numpy())


def effect_rows(draws: pd.DataFrame, effect: Effect, read_out: str) -> Iterator[dict]:
    """The rows of draw_effects.csv of an effect and read-out; two probes of different numbers of draws have none."""
    first, second = (draws[draws["treatment"] == name] for name in (effect.treatment, effect.reference))
    for cell, rows in first.groupby(CELL, sort=False):
        others = second[(second[CELL] == rows[CELL].iloc[0]).all(axis=1)]
        if rows["draw"].max() == 1 or set(rows["draw"]) != set(others["draw"]):
            continue
        estimate = paired_draws(rows, others, read_out)
        yield {
            **dict(zip(CELL, cell, strict=True)),
            "effect": effect.name,
            "treatment": effect.treatment,
            "reference": effect.reference,
            "read_out": read_out,
            **{name: getattr(estimate, name) for name in ("mean", "low", "high", "note")},
            "draws": len(rows),
        }


def draw_effects(draws: pd.DataFrame) -> pd.DataFrame:
    """The effects that two probes have, paired over draws, as DRAW_EFFECT_COLUMNS has them."""
    rows = [
        row
        for effect, read_out in product(effects_of(draws["treatment"]), READ)
        for row in effect_rows(draws, effect, read_out)
    ]
    return shape_table(rows, DRAW_EFFECT_COLUMNS)


def main() -> None:
    parser = argparse.ArgumentParser(description="Gather the draws of the probes of one data set and architecture.")
    parser.add_argument("--results", type=Path, required=True, help="results/{dataset}/{architecture}")
    parser.add_argument("--grid", type=files.json_argument, required=True, help="the probes, as JSON")
    parser.add_argument("--draws", type=Path, required=True, help="draws.csv to write")
    parser.add_argument("--effects", type=Path, required=True, help="draw_effects.csv to write")
    arguments = parser.parse_args()
    draws, absent = read_draws(arguments.results, arguments.grid)
    for reason in absent:
        print(f"left out: {reason}", file=sys.stderr)
    write_table(arguments.draws, draws)
    write_table(arguments.effects, draw_effects(draws))


if __name__ == "__main__":
    exit_plainly(main)
