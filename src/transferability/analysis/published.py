"""Published: the numbers of papers that a study names, in published.csv, beside what the study has measured.

Papers have other networks, images and pooling: their numbers are a reference, not what should come out.
"""

import argparse
from pathlib import Path

import pandas as pd

from transferability import files
from transferability.analysis.tables import (
    NETWORK_COLUMNS,
    PUBLISHED_COLUMNS,
    RETRIEVAL_COLUMNS,
    read_table,
    shape_table,
    write_table,
)
from transferability.errors import exit_plainly

RETRIEVED = "map"
"""The read-out of retrieval.csv."""


def read_published(tables: Path | None, read_out: str) -> pd.DataFrame:
    """The published numbers of a read-out that the study has a counterpart of; none where it names none."""
    path = tables and tables / "published.csv"
    if path is None or not path.exists():
        return shape_table([], PUBLISHED_COLUMNS)
    table = read_table(path, PUBLISHED_COLUMNS)
    return table[table["comparable"] & (table["read_out"] == read_out)]


def measured(record: dict, name: str, networks: pd.DataFrame, retrieval: pd.DataFrame | None) -> float | None:
    """What a network, a probe or a retrieving cut of the study scores, the mean over splits and seeds; None if it has
    none."""
    if record["read_out"] != RETRIEVED:
        values = networks.loc[networks["network"] == name, record["read_out"]].dropna()
    elif retrieval is None:
        return None
    else:
        values = retrieval.loc[(retrieval["cut"] == name) & (retrieval["way"] == record.get("way", "plain")), "map"]
    return float(values.mean()) if len(values) else None


def published_table(records: list[dict], networks: pd.DataFrame, retrieval: pd.DataFrame | None) -> pd.DataFrame:
    """The rows of PUBLISHED_COLUMNS of `published` of the params, for the one data set and architecture of a table."""
    rows, here = [], networks.iloc[0]
    for record in records:
        architecture = record.get("architecture", here["architecture"])
        comparable = (record.get("dataset"), architecture) == (here["dataset"], here["architecture"])
        for name, percent in record["percent"].items():
            rows.append(
                {name: record[name] for name in ("paper", "data", "read_out")}
                | {
                    "network": name,
                    "published": round(percent / 100, 6),
                    "comparable": comparable,
                    "here": measured(record, name, networks, retrieval) if comparable else None,
                }
            )
    return shape_table(rows, PUBLISHED_COLUMNS)


def main() -> None:
    parser = argparse.ArgumentParser(description="Put published numbers beside those of a study, in a table.")
    parser.add_argument("--published", type=files.json_argument, required=True, help="as in the params")
    parser.add_argument("--networks", type=Path, required=True, help="networks.csv")
    parser.add_argument("--retrieval", type=Path, help="retrieval.csv, where the study has it")
    parser.add_argument("--into", type=Path, required=True, help="published.csv to write")
    arguments = parser.parse_args()
    networks = read_table(arguments.networks, NETWORK_COLUMNS)
    retrieval = read_table(arguments.retrieval, RETRIEVAL_COLUMNS) if arguments.retrieval else None
    write_table(arguments.into, published_table(arguments.published, networks, retrieval))


if __name__ == "__main__":
    exit_plainly(main)
