"""Sources: what another source task gives the same target, of several splits that have a task in common.

Sources may differ in how many classes they have, in how many images, and in how related they are to the target; the
splits say how, and of each the table counts classes and images.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pandas as pd

from transferability import files
from transferability.analysis.intervals import estimate_mean
from transferability.analysis.read_outs import SHARES
from transferability.analysis.tables import NETWORK_COLUMNS, SOURCE_COLUMNS, read_table, shape_table, write_table
from transferability.errors import InputError, exit_plainly
from transferability.forms.split import Split
from transferability.networks.notation import SIDES

CELL = ["treatment", "n", "target", "seed"]
PARTS = ("train", "validation", "test")


def common_task(splits: dict[str, dict]) -> str:
    """The task that all splits have in common, with the same images in each part; if none, an InputError."""
    first, *others = splits.values()
    for side in SIDES[::-1]:
        if all(other["tasks"].get(side) == first["tasks"].get(side) for other in others):
            return side
    raise InputError(
        f"analysis.sources: the splits {', '.join(splits)} have no task in common, with the same images; give them the "
        "same classes B and the same parts"
    )


def size_of(split: dict, side: str) -> tuple[int, int]:
    """The classes of a task, and its training images, each counted once."""
    task = split["tasks"][side]
    return len(task["classes"]), len({index for images in task["train"].values() for index in images})


def source_columns(name: str, split: dict, side: str, prefix: str) -> dict:
    """What the table says of a source: its split, classes and images."""
    classes, images = size_of(split, side)
    return {prefix: name, f"{prefix}_classes": classes, f"{prefix}_images": images}


def differences(networks: pd.DataFrame, source: str, over: str) -> pd.DataFrame:
    """The networks of the same treatment, cut, target and seed of two splits, side by side."""
    own, others = (networks[networks["split"] == split] for split in (source, over))
    return own.merge(others, on=CELL, suffixes=("", "_over"), validate="one_to_one")


def compared_rows(pairs: pd.DataFrame) -> Iterator[dict]:
    """A row a treatment, cut and read-out: the mean difference over seeds, with Student's interval."""
    for (treatment, n, target), group in pairs.groupby(["treatment", "n", "target"], sort=True):
        for read_out in SHARES:
            gains = (group[read_out] - group[f"{read_out}_over"]).dropna().to_numpy()
            if len(gains):
                estimate = estimate_mean(gains)
                yield {
                    "treatment": treatment,
                    "n": n,
                    "target": target,
                    "read_out": read_out,
                    "gives": group[read_out].mean(),
                    "over_gives": group[f"{read_out}_over"].mean(),
                    "mean": estimate.mean,
                    "low": estimate.low,
                    "high": estimate.high,
                    "p": estimate.p,
                    "seeds": len(gains),
                    "note": estimate.note,
                }


def sources_table(networks: pd.DataFrame, splits: dict[str, dict]) -> pd.DataFrame:
    """Every two sources compared, as SOURCE_COLUMNS has them; `splits` are the contents of their files, by name."""
    target = common_task(splits)
    (side,) = set(SIDES) - {target}
    copied = networks[networks["trained"] & (networks["source"] == side) & (networks["target"] == target)]
    place = {name: networks[name].iloc[0] for name in ("dataset", "architecture")}
    rows = []
    for source, over in combinations(splits, 2):
        told = [
            source_columns(name, splits[name], side, prefix) for name, prefix in ((source, "source"), (over, "over"))
        ]
        rows += [place | told[0] | told[1] | row for row in compared_rows(differences(copied, source, over))]
    return shape_table(rows, SOURCE_COLUMNS)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the sources of splits that have a task in common.")
    parser.add_argument("--networks", type=Path, required=True, help="networks.csv")
    parser.add_argument("--splits", type=Path, required=True, help="data/splits/{dataset}")
    parser.add_argument("--names", type=json.loads, required=True, help="splits to compare, as a JSON list")
    parser.add_argument("--into", type=Path, required=True, help="sources.csv to write")
    arguments = parser.parse_args()
    splits = {name: files.read_json(arguments.splits / f"{name}.json", Split) for name in arguments.names}
    write_table(arguments.into, sources_table(read_table(arguments.networks, NETWORK_COLUMNS), splits))


if __name__ == "__main__":
    exit_plainly(main)
