"""Analysis: a study's metrics as tidy tables: networks, learning, pairs, effects, drops and coverage."""

import argparse
import json
import math
import sys
from collections import Counter
from itertools import product
from pathlib import Path

import pandas as pd

from transferability import files
from transferability.analysis.coverage import coverage_table
from transferability.analysis.drops import drops_table
from transferability.analysis.effects import effects_of_pairs
from transferability.analysis.pairs import match_pairs, trained_pairs
from transferability.analysis.read_outs import READ_OUTS, ReadOut
from transferability.analysis.tables import LEARNING_COLUMNS, NETWORK_COLUMNS, shape_table, write_table
from transferability.data.tasks import MULTI, SINGLE
from transferability.errors import InputError, exit_plainly
from transferability.evaluation.guessing import chance, prevalence
from transferability.forms.fields import SEVERAL
from transferability.forms.metrics import read_metrics
from transferability.forms.split import Split
from transferability.networks.notation import parse_network
from transferability.training.history import LEARNT, named

PLACE = ("dataset", "architecture", "split", "seed")
SCORED = ("validation", "test")
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
)


def grid_cells(grid: dict) -> list[tuple[str, int, str]]:
    """The networks of a grid as (split, seed, network), each once.

    A grid is {"split": [...], "seed": [...], "network": [...]}, every combination, or {"seed": [...],
    "networks": {split: [...]}}, where each split has networks of its own.
    """
    if not isinstance(grid, dict) or grid.keys() not in ({"split", "seed", "network"}, {"seed", "networks"}):
        raise InputError('--grid: give "split", "seed" and "network", or "seed" and "networks", as a JSON object')
    networks = grid["networks"] if "networks" in grid else dict.fromkeys(grid["split"], grid["network"])
    if not isinstance(networks, dict) or not all(isinstance(names, list) for names in networks.values()):
        raise InputError('--grid: "networks" must give each split its list of networks')
    cells = [(split, seed, name) for split, names in networks.items() for seed, name in product(grid["seed"], names)]
    for (split, seed, name), count in Counter(cells).items():
        parse_network(name)
        if count > 1:
            raise InputError(f"--grid: names {name} of {split}, seed {seed}, twice")
    return cells


def number(metrics: dict, *keys: str) -> float:
    """A finite number out of a network's metrics."""
    value = metrics
    for key in keys:
        value = value[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{'.'.join(keys)} is {value!r}, which is no number")
    return value


def given(metrics: dict, *keys: str) -> float | None:
    """A number out of a network's metrics; of a probe's, None where training alone gives it or it has no loss, as of
    images that score by their patches."""
    value = metrics
    for key in keys:
        value = value and value[key]
    return None if value is None and {"probe", "patches"} & metrics.keys() else number(metrics, *keys)


def read_out_value(metrics: dict, read_out: ReadOut) -> float | None:
    """A read-out of a network; None where `given` has none, or of an optional one that its metrics lack."""
    keys = read_out.metric.split(".")
    if read_out.optional and keys[-1] not in metrics[keys[0]]:
        return None
    return given(metrics, *keys)


def pooling_of(metrics: dict) -> str | None:
    """How a probe's features were pooled; None of a network."""
    return metrics["probe"]["pooling"]["kind"] if "probe" in metrics else None


def split_columns(path: Path) -> dict:
    """What a split's file says of all its networks: kind, volumes by side, and distances where it has them."""
    split = files.read_json(path, Split)
    distance = split.get("distance") or {}
    return {
        "kind": split["kind"],
        "volume": split.get("volume") or {},
        "synset_distance": distance.get("synset"),
        "a_distance": distance.get("a_distance"),
    }


def kind_of(metrics: dict) -> str:
    """The kind of a network's task: its images have one label, or several."""
    return MULTI if metrics.get("labels") == SEVERAL else SINGLE


def guessed(metrics: dict, kind: str) -> dict[str, float]:
    """What guessing scores in a network's read-outs, by the names of the columns that say so."""
    classes = {part: metrics[part]["per_class"].values() for part in SCORED}
    counts = {part: [number(entry, "count") for entry in classes[part]] for part in SCORED}
    if kind == SINGLE:
        return {"test_class_chance": 1 / len(counts["test"])} | {
            f"{part}_chance": chance(counts[part]) for part in SCORED
        }
    ranked = {part: [number(entry, "of") for entry in classes[part]] for part in SCORED}
    return {f"{part}_map_chance": prevalence(counts[part], ranked[part]) for part in SCORED}


def network_row(shared: dict, metrics: dict) -> dict:
    """One row of networks.csv from a network's metrics and what it shares with its split's others: where it is, and
    the columns of `split_columns`."""
    target, kind = metrics["target"], kind_of(metrics)
    return {
        **shared,
        "volume": shared["volume"].get(target),
        "other_volume": shared["volume"].get("B" if target == "A" else "A"),
        **{name: metrics[name] for name in COPIED},
        "option": metrics["option"] or None,
        "pooling": pooling_of(metrics),
        "stage": metrics.get("stage"),
        **{read_out.name: read_out_value(metrics, read_out) for read_out in READ_OUTS if read_out.kind in (kind, None)},
        "validation_loss": given(metrics, "validation", "loss"),
        **guessed(metrics, kind),
        **{f"{part}_images": number(metrics, part, "count") for part in SCORED},
    }


def learning_rows(metrics: dict) -> list[dict]:
    """The rows of learning.csv from a network's metrics, without where it is; a probe has none."""
    if not metrics["learning"] and "probe" not in metrics:
        raise ValueError("learning is empty")
    names = [named(name, kind_of(metrics)) for name in LEARNT]
    return [
        {"network": metrics["network"], "step": int(number(row, "step"))} | {name: number(row, name) for name in names}
        for row in metrics["learning"]
    ]


def read_network(path: Path, shared: dict) -> tuple[dict, list[dict]]:
    """A network's row of networks.csv and its rows of learning.csv, from its metrics; `shared` as in `network_row`.

    A file that is missing, not whole or another network's is an InputError that names it.
    """
    metrics = read_metrics(path)
    try:
        row = network_row(shared, metrics)
        learning = [{name: shared[name] for name in PLACE} | step for step in learning_rows(metrics)]
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise InputError(f"{path}: no network's metrics ({error!r}); delete it and run again") from None
    if row["network"] != path.stem:
        raise InputError(f"{path}: holds the metrics of {row['network']}; delete it and run again")
    return row, learning


def read_networks(results: Path, grid: dict, splits: Path) -> tuple[pd.DataFrame, pd.DataFrame, list[dict]]:
    """The networks of a grid and how they learnt, as NETWORK_COLUMNS and LEARNING_COLUMNS have them, from their
    metrics at `results`/{split}/seed{seed}/{network}.json.

    Also returns the networks that could not be read, for `coverage_table`, each with its reason: the others are
    analysed without them. If none can be read, the first reason is an InputError.
    """
    read_splits: dict[str, dict] = {}
    rows, learning, absent = [], [], []
    for split, seed, network in grid_cells(grid):
        identity = dict(zip(PLACE, (results.parent.name, results.name, split, seed), strict=True))
        try:
            if split not in read_splits:
                read_splits[split] = split_columns(splits / f"{split}.json")
            path = results / split / f"seed{seed}" / f"{network}.json"
            row, steps = read_network(path, identity | read_splits[split])
            rows.append(row)
            learning += steps
        except InputError as error:
            kind = read_splits[split]["kind"] if split in read_splits else "unknown"
            absent.append(identity | {"kind": kind, "network": network, "reason": str(error)})
    if not rows:
        raise InputError(absent[0]["reason"] if absent else "--grid: names no network")
    return shape_table(rows, NETWORK_COLUMNS), shape_table(learning, LEARNING_COLUMNS), absent


def write_tables(
    networks: pd.DataFrame,
    absent: list[dict],
    into: dict[str, Path],
    drop: float,
    unbalanced: bool,
    primary: dict | None = None,
) -> None:
    """Write the five tables that any study has, each to its file in `into`."""
    if not 0 < drop < 1:
        raise InputError(f"--drop: {drop:g} is no share between 0 and 1")
    matched = match_pairs(networks)
    effects = effects_of_pairs(networks, matched, unbalanced, primary)
    write_table(into["networks"], networks)
    write_table(into["pairs"], trained_pairs(matched))
    write_table(into["effects"], effects)
    write_table(into["drops"], drops_table(effects, drop))
    write_table(into["coverage"], coverage_table(networks, absent))


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """The options of a command that ends in `write_tables`."""
    for table in ("networks", "pairs", "effects", "drops", "coverage"):
        parser.add_argument(f"--{table}", type=Path, required=True, help=f"{table}.csv to write")
    parser.add_argument("--drop", type=float, required=True, help="the drop whose first layer drops.csv gives")
    parser.add_argument(
        "--unbalanced",
        type=json.loads,
        choices=(True, False),
        required=True,
        help="true: make means over unbalanced cells, and mark them",
    )


def table_files(arguments: argparse.Namespace) -> dict[str, Path]:
    """The files that the options of `add_table_options` name."""
    return {name: getattr(arguments, name) for name in ("networks", "pairs", "effects", "drops", "coverage")}


def main() -> None:
    parser = argparse.ArgumentParser(description="Gather the metrics of one data set and architecture in tables.")
    parser.add_argument("--results", type=Path, required=True, help="results/{dataset}/{architecture}")
    parser.add_argument("--splits", type=Path, required=True, help="data/splits/{dataset}")
    parser.add_argument("--grid", type=files.json_argument, required=True, help="the networks of the study, as JSON")
    add_table_options(parser)
    parser.add_argument("--learning", type=Path, required=True, help="learning.csv to write")
    parser.add_argument("--primary", type=json.loads, help="analysis.primary of the params, as JSON; null: none")
    arguments = parser.parse_args()
    networks, learning, absent = read_networks(arguments.results, arguments.grid, arguments.splits)
    for network in absent:
        print(f"left out: {network['reason']}", file=sys.stderr)
    into = table_files(arguments)
    write_tables(networks, absent, into, arguments.drop, arguments.unbalanced, arguments.primary)
    write_table(arguments.learning, learning)


if __name__ == "__main__":
    exit_plainly(main)
