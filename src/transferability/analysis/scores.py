"""Scores: those of a study's cuts as a tidy table, scores.csv."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from transferability import files
from transferability.analysis.gathering import grid_cells, split_columns
from transferability.analysis.tables import SCORE_COLUMNS, shape_table, write_table
from transferability.errors import InputError, exit_plainly
from transferability.forms.scores import Scores
from transferability.networks.notation import parse_network

PLACE = ("dataset", "architecture", "split", "seed")
COPIED = ("source", "n", "target", "stage", "seen", "images", "values", "permutations", "pass_seconds")
"""Columns that stand in the scores of a cut under the same name."""


def score_rows(shared: dict, content: dict) -> Iterator[dict]:
    """The rows of scores.csv from the scores of a cut and what it shares with its split's others; those of the head,
    which all cuts of a source have, are a cut behind its last stage."""
    cut = parse_network(content["network"])
    common = {
        **shared,
        "volume": shared["volume"].get(cut.target),
        "other_volume": shared["volume"].get("B" if cut.target == "A" else "A"),
        **{name: content[name] for name in COPIED},
        "cut": content["network"].rpartition("-")[0],
        "treatment": content["treatment"].rpartition("-")[0],
        "pooling": content["pooling"]["kind"],
    }
    head = {
        "n": content["depth"],
        "cut": f"{cut.source}{content['depth']}{cut.target}",
        "stage": content["head_stage"],
        "values": content["source_classes"],
    }
    for place, scores in (({}, content["scores"]), (head, content["head"])):
        for name, score in scores.items():
            above = None if None in (score["value"], score["null"]) else score["value"] - score["null"]
            yield common | place | {"score": name, "above": above} | score


def read_scores(results: Path, grid: dict, splits: Path) -> tuple[pd.DataFrame, list[str]]:
    """The scores of a grid as SCORE_COLUMNS has them, from `results`/{split}/seed{seed}/{cut}-scores.json, and why
    some files could not be read; if none can, the first reason is an InputError."""
    read_splits: dict[str, dict] = {}
    rows, absent = list[dict](), list[str]()
    for split, seed, name in grid_cells(grid):
        path = results / split / f"seed{seed}" / f"{name}.json"
        try:
            if split not in read_splits:
                read_splits[split] = split_columns(splits / f"{split}.json")
            content = files.read_json(path, Scores)
            place = dict(zip(PLACE, (results.parent.name, results.name, split, seed), strict=True))
            if content["network"] != name:
                raise InputError(f"{path}: holds the scores of {content['network']}; delete it and run again")
            rows += score_rows(place | read_splits[split], content)
        except InputError as error:
            absent.append(str(error))
    if not rows:
        raise InputError(absent[0] if absent else "--grid: names no cut")
    # Each cut of a source brings the scores of its head.
    table = shape_table(rows, SCORE_COLUMNS).drop_duplicates([*PLACE, "cut", "score"])
    return table.reset_index(drop=True), absent


def main() -> None:
    parser = argparse.ArgumentParser(description="Gather the scores of one data set and architecture in a table.")
    parser.add_argument("--results", type=Path, required=True, help="results/{dataset}/{architecture}")
    parser.add_argument("--splits", type=Path, required=True, help="data/splits/{dataset}")
    parser.add_argument("--grid", type=files.json_argument, required=True, help="the scored cuts, as JSON")
    parser.add_argument("--into", type=Path, required=True, help="scores.csv to write")
    arguments = parser.parse_args()
    table, absent = read_scores(arguments.results, arguments.grid, arguments.splits)
    for reason in absent:
        print(f"left out: {reason}", file=sys.stderr)
    write_table(arguments.into, table)


if __name__ == "__main__":
    exit_plainly(main)
