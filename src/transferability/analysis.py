"""Analysis: a study's metrics as two tidy tables, networks.csv and effects.csv."""

import argparse
import json
from itertools import product
from pathlib import Path

import pandas as pd

from transferability import files
from transferability.errors import InputError, exit_plainly

NETWORK_COLUMNS = {
    "dataset": str,
    "architecture": str,
    "split": str,
    "kind": str,
    "seed": int,
    "network": str,
    "treatment": str,
    "source": object,
    "n": int,
    "target": str,
    "fine_tune": bool,
    "preserved": int,
    "trained": bool,
    "reason": object,
    "classes": int,
    "images_seen": int,
    "train_loss": float,
    "validation_top1": float,
    "validation_loss": float,
    "mean_of_ten_best": float,
    "test_top1": float,
    "test_top5": float,
    "test_loss": float,
    "test_images": int,
}

# Each effect is the accuracy of the first treatment minus that of the second, at the same n, target, split and seed.
EFFECTS = {
    "co-adaptation": ("selffer", "base"),
    "specificity": ("transfer", "selffer"),
    "frozen transfer": ("transfer", "base"),
    "fine-tuned selffer": ("selffer+", "base"),
    "fine-tuned transfer": ("transfer+", "base"),
    "lingering boost": ("transfer+", "selffer+"),
    "random": ("random", "base"),
}


# Columns that stand in a network's metrics under the same name.
COPIED = (
    "network",
    "treatment",
    "source",
    "n",
    "target",
    "fine_tune",
    "preserved",
    "trained",
    "reason",
    "classes",
    "images_seen",
    "train_loss",
)


def network_row(place: dict, metrics: dict) -> dict:
    """One row of networks.csv from where a network is and what it scores."""
    return {
        **place,
        **{name: metrics[name] for name in COPIED},
        "validation_top1": metrics["validation"]["top1"],
        "validation_loss": metrics["validation"]["loss"],
        "mean_of_ten_best": metrics["mean_of_ten_best"]["validation_top1"],
        "test_top1": metrics["test"]["top1"],
        "test_top5": metrics["test"].get("top5"),
        "test_loss": metrics["test"]["loss"],
        "test_images": metrics["test"]["count"],
    }


def split_kind(path: Path) -> str:
    """The kind of a split, read from its file."""
    split = files.read_json(path)
    if "kind" not in split:
        raise InputError(f"{path}: no split; delete it and run again")
    return split["kind"]


def networks_table(results: Path, grid: dict[str, list], splits: Path) -> pd.DataFrame:
    """One row a network of the grid (split, seed, network), read from `results`/{split}/seed{seed}/{network}.json."""
    kinds = {split: split_kind(splits / f"{split}.json") for split in grid["split"]}
    rows = []
    for split, seed, network in product(grid["split"], grid["seed"], grid["network"]):
        place = {
            "dataset": results.parent.name,
            "architecture": results.name,
            "split": split,
            "kind": kinds[split],
            "seed": seed,
        }
        path = results / split / f"seed{seed}" / f"{network}.json"
        try:
            rows.append(network_row(place, files.read_json(path)))
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: no network's metrics ({error!r}); delete it and run again") from None
        if rows[-1]["network"] != network:
            raise InputError(f"{path}: holds the metrics of {rows[-1]['network']}; delete it and run again")
    return pd.DataFrame(rows, columns=list(NETWORK_COLUMNS)).astype(NETWORK_COLUMNS)


def effects_table(networks: pd.DataFrame) -> pd.DataFrame:
    """One row an effect, n, target, split and seed: differences of test accuracy, paired within target and seed.

    Networks that did not train are left out, and with them the pairs they belong to.
    """
    trained = networks[networks["trained"]]
    pair = ["dataset", "architecture", "split", "kind", "seed", "target"]
    tables = []
    for effect, (first, second) in EFFECTS.items():
        left = trained[trained["treatment"] == first]
        right = trained[trained["treatment"] == second]
        # A base network has no n: it is compared with every n.
        keys = pair if second == "base" else [*pair, "n"]
        joined = left.merge(right[[*keys, "test_top1"]], on=keys, suffixes=("", "_reference"))
        joined = joined.assign(effect=effect, difference=joined["test_top1"] - joined["test_top1_reference"])
        tables.append(joined[["effect", *pair, "n", "difference"]])
    return pd.concat(tables, ignore_index=True)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, whole or not at all."""
    files.write_text(path, table.to_csv(index=False, lineterminator="\n"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Gather the metrics of one data set and architecture in two tables.")
    parser.add_argument("--results", type=Path, required=True, help="results/{dataset}/{architecture}")
    parser.add_argument("--splits", type=Path, required=True, help="data/splits/{dataset}")
    parser.add_argument("--grid", type=json.loads, required=True, help="lists of split, seed and network, as JSON")
    parser.add_argument("--networks", type=Path, required=True, help="networks.csv to write")
    parser.add_argument("--effects", type=Path, required=True, help="effects.csv to write")
    arguments = parser.parse_args()
    networks = networks_table(arguments.results, arguments.grid, arguments.splits)
    write_table(arguments.networks, networks)
    write_table(arguments.effects, effects_table(networks))


if __name__ == "__main__":
    exit_plainly(main)
