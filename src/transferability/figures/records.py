"""Records: what a figure is drawn from, what it is asked for, and what it gives."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from transferability.analysis.coverage import coverage_line
from transferability.analysis.read_outs import SHARES
from transferability.analysis.tables import (
    COVERAGE_COLUMNS,
    EFFECT_COLUMNS,
    LEARNING_COLUMNS,
    NETWORK_COLUMNS,
    PAIR_COLUMNS,
    read_table,
)
from transferability.errors import InputError


class NothingToDrawError(InputError):
    """A figure that the tables hold nothing for; the message is one sentence that stands in its place."""


@dataclass(frozen=True)
class Study:
    """What the figures of a study are drawn from.

    Its tables, of which one of published numbers lacks learning; `coverage` in one line; `models`, the folder of its
    networks if it has one ({split}/seed{seed}/{network}/); `tasks`, the names of its tasks,
    {split: {"A": name, "B": name}}; `tables`, the folder of its tables, where some figures read more; and `summary`,
    that of tables over all data sets and architectures.
    """

    networks: pd.DataFrame
    effects: pd.DataFrame
    pairs: pd.DataFrame
    coverage: str
    learning: pd.DataFrame | None
    models: Path | None
    tasks: dict[str, dict[str, str]]
    tables: Path | None = None
    summary: Path | None = None


@dataclass(frozen=True)
class Options:
    """What a figure is asked for: read-out, width in inches, and whether to draw means over unbalanced cells."""

    read_out: str
    width: float
    unbalanced: bool


@dataclass(frozen=True)
class Drawing:
    """A figure, its title, and a caption that states its numbers."""

    figure: Figure
    title: str
    caption: str


def read_study(tables: Path, models: Path | None, tasks: dict, summary: Path | None = None) -> Study:
    """The tables of a folder; one that is missing, truncated or foreign is an InputError that names it."""
    learning = tables / "learning.csv"
    return Study(
        networks=read_table(tables / "networks.csv", NETWORK_COLUMNS),
        effects=read_table(tables / "effects.csv", EFFECT_COLUMNS),
        pairs=read_table(tables / "pairs.csv", PAIR_COLUMNS),
        coverage=coverage_line(read_table(tables / "coverage.csv", COVERAGE_COLUMNS)),
        learning=read_table(learning, LEARNING_COLUMNS) if learning.exists() else None,
        models=models,
        tasks=tasks,
        tables=tables,
        summary=summary,
    )


def trained_of(networks: pd.DataFrame, read_out: str) -> pd.DataFrame:
    """The networks that trained and have the read-out; if there are none, a sentence says which of the two it is."""
    trained = networks[networks["trained"]]
    if trained.empty:
        raise NothingToDrawError(
            "no network of this study trained, so there is nothing to draw; see the column `reason`"
        )
    scored = trained[trained[read_out].notna()]
    if scored.empty:
        others = [name for name in SHARES if trained[name].notna().any()]
        raise NothingToDrawError(
            f"no network of this study has the read-out {read_out}; set figures.read_out to {' or '.join(others)}"
        )
    return scored
