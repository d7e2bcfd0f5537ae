"""The table that courses teach, little or much data × a near or a far source → how to train, from finished studies.

    python benchmarks/strategies.py FOLDER... [--figure FILE.svg]

Reads studies such as workflow/studies/photos-strategies.yaml: architectures are sources, near and far; volumes of
images are conditions. Of each it prints the strategies with what they lose to the best, in points of test accuracy with
95 % intervals over splits, and draws them as panels: a line a source, a column a volume. Then what the table's rules
come to: a lower cut beside the top, a fine-tuned network beside a new classifier alone; and whether more images change
that.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from coadaptation import estimate_text

from transferability.analysis.conditions import conditions_of
from transferability.analysis.intervals import estimate_mean
from transferability.analysis.strategies import Field, field_of, margin_text, strategies_table, strategy_name
from transferability.analysis.tables import NETWORK_COLUMNS, read_table
from transferability.analysis.ways import ways_of
from transferability.figures.axes import panel_grid
from transferability.figures.strategies import draw_condition, legend_handles
from transferability.figures.styles import finish, save_figure
from transferability.words import points


class Rule(NamedTuple):
    """Two ways, a treatment and its cut each, of which a rule of the table says that the first is better."""

    words: str
    first: tuple[str, int]
    second: tuple[str, int]


RULES = (
    Rule("a classifier on stage 6 beside one on stage 9", ("pretrained-logreg", 6), ("pretrained-logreg", 9)),
    Rule("all tuned beside a new classifier", ("pretrained+-tuned", 9), ("pretrained-tuned", 9)),
    Rule("the top tuned beside a new classifier", ("pretrained+-top", 9), ("pretrained-tuned", 9)),
    Rule("smaller rates below beside one rate", ("pretrained+-slides", 9), ("pretrained+-tuned", 9)),
    Rule("all tuned beside the classifier on stage 6", ("pretrained+-tuned", 9), ("pretrained-logreg", 6)),
)


def read_ways(folders: list[Path]) -> dict[str, pd.DataFrame]:
    """The ways of each data set and architecture, by their names."""
    ways = {}
    for path in [path for folder in folders for path in sorted(folder.glob("results/*/*/networks.csv"))]:
        models = path.parents[3] / "models" / path.parent.relative_to(path.parents[2])
        ways[f"{path.parent.parent.name}, {path.parent.name}"] = ways_of(
            read_table(path, NETWORK_COLUMNS), path.parent, models
        )
    return ways


def print_condition(name: str, rows: pd.DataFrame) -> None:
    """The strategies of a condition by rank."""
    print(f"{name}: {rows['units'].iloc[0]} pairs of tasks")
    for row in rows.to_dict("records"):
        text = "first" if row["rank"] == 1 else f"behind by {margin_text(row)}{', tie' if row['tie'] else ''}"
        level = f"{points(row['test'], signed=False):>6} %  n = {row['n']}"
        print(f"{row['rank']:>3}  {strategy_name(row):<14}{level}  {text}, {row['training_seconds']:.1f} s")


def by_pair(field: Field, rule: Rule) -> pd.Series:
    """What a rule's first way scores more than its second, in each pair of tasks, by its number."""
    differences = (field.test[rule.first] - field.test[rule.second]).groupby("split").mean()
    return differences.rename(lambda split: split.lstrip("abcdefghijklmnopqrstuvwxyz"))


def print_rules(fields: list[Field]) -> None:
    """What each rule comes to with little and much data, and how much more with much; in the order of `fields`."""
    for rule in RULES:
        found = [by_pair(field, rule) for field in fields if {rule.first, rule.second} <= set(field.test)]
        if not found:
            continue
        texts = [estimate_text(estimate_mean(one.to_numpy())) for one in found]
        more = found[-1] - found[0]
        change = f"; more images change it by {estimate_text(estimate_mean(more.to_numpy()))}" if len(found) > 1 else ""
        print(f"     {rule.words}: {', '.join(texts)}{change}")


def volume_of(rows: pd.DataFrame) -> str:
    """The images of a class that a condition learns from."""
    volume = rows["volume"].iloc[0]
    return "all images" if pd.isna(volume) else f"{volume} images a class"


def draw(tables: dict[str, pd.DataFrame], path: Path) -> None:
    """A line for each source, a column for each volume; in each the strategies with what they lose to the best."""
    conditions = [
        (f"{name}\n{volume_of(rows)}", rows) for name, table in tables.items() for _, rows in conditions_of(table)[::-1]
    ]
    most = max(len(rows) for _, rows in conditions)
    grid = panel_grid(len(conditions), 2, 7.5, ((0.6 + 0.17 * most) / 7.5, 0.12), sharex=True)
    for panel, (label, rows) in zip(grid.panels, conditions, strict=True):
        draw_condition(panel, label, rows)
    grid.label("Points of test accuracy behind the best", "")
    finish(grid.figure, "Intervals are 95 % over pairs of tasks.", legend_handles(), ncols=4)
    save_figure(grid.figure, path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description="Which way to train, with little and much data, near and far.")
    parser.add_argument("folders", type=Path, nargs="+", help="where studies such as photos-strategies have run")
    parser.add_argument("--figure", type=Path, help="file to draw, .svg or .png")
    arguments = parser.parse_args()
    ways = read_ways(arguments.folders)
    if not ways:
        parser.error("there are no networks; run workflow/studies/photos-strategies.yaml there")
    tables = {name: strategies_table(networks) for name, networks in ways.items()}
    for name, table in tables.items():
        for label, rows in conditions_of(table)[::-1]:
            print_condition(f"{name}, {label}", rows)
        print_rules([field_of(networks) for _, networks in conditions_of(ways[name])[::-1]])
    if arguments.figure:
        draw(tables, arguments.figure)


if __name__ == "__main__":
    main()
