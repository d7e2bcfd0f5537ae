"""Summary: a study in a few numbers, for `dvc metrics`, and as curves over n, for `dvc plots`."""

import argparse
from pathlib import Path

import pandas as pd

from transferability import files
from transferability.analysis.conditions import CONDITION, with_volumes
from transferability.analysis.coverage import means_table
from transferability.analysis.read_outs import MAIN
from transferability.analysis.tables import EFFECT_COLUMNS, NETWORK_COLUMNS, read_tables, write_table
from transferability.errors import exit_plainly

STUDY = ["dataset", "architecture"]


def curves(means: pd.DataFrame, curve: str) -> pd.DataFrame:
    """Means by n as rows of dataset, architecture, condition, curve, n and mean; `curve` is the column of its names.

    Means that would compare different things, which are refused or marked in their table, have no row.
    """
    rows = means[means["n"].notna() & means["mean"].notna() & means["balanced"]]
    rows = rows.assign(curve=rows[curve], condition=list(map(with_volumes, *(rows[name] for name in CONDITION))))
    return rows[[*STUDY, "condition", "curve", "n", "mean"]]


def summarise(networks: pd.DataFrame, **quantities: pd.DataFrame) -> dict:
    """Curves as {dataset: {architecture: {condition: {quantity: {curve: {"n=3": mean}}}}}}, with counts of networks."""
    summary: dict = {}
    for (dataset, architecture), rows in networks.groupby(STUDY):
        summary.setdefault(dataset, {})[architecture] = {
            "networks": {"trained": int(rows["trained"].sum()), "untrained": int((~rows["trained"]).sum())}
        }
    for quantity, table in quantities.items():
        for row in table.itertuples():
            condition = summary[row.dataset][row.architecture].setdefault(row.condition, {})
            condition.setdefault(quantity, {}).setdefault(row.curve, {})[f"n={row.n}"] = round(row.mean, 4)
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description="Sum up the tables of studies.")
    parser.add_argument("--tables", type=Path, nargs="+", required=True, help="folders with a study's tables")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json to write")
    parser.add_argument("--accuracy", type=Path, required=True, help="accuracy.csv to write")
    parser.add_argument("--effects", type=Path, required=True, help="effects.csv to write")
    arguments = parser.parse_args()
    networks, effects = (
        read_tables(arguments.tables, name, columns)
        for name, columns in (("networks", NETWORK_COLUMNS), ("effects", EFFECT_COLUMNS))
    )
    accuracy = pd.concat(
        [curves(means_table(networks, read_out, unbalanced=False), "treatment") for read_out in MAIN.values()],
        ignore_index=True,
    )
    effects = curves(effects[effects["read_out"].isin(MAIN.values())], "effect")
    write_table(arguments.accuracy, accuracy.round({"mean": 6}))
    write_table(arguments.effects, effects.round({"mean": 6}))
    files.write_json(arguments.metrics, summarise(networks, accuracy=accuracy, effect=effects))


if __name__ == "__main__":
    exit_plainly(main)
