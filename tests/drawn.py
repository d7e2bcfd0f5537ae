"""Figures of planted networks tables, for tests of what is drawn."""

from types import ModuleType

import pandas as pd

from transferability.analysis.effects import effects_table
from transferability.analysis.pairs import pairs_table
from transferability.figures.records import Drawing, Options, Study


def drawing_of(
    module: ModuleType,
    networks: pd.DataFrame,
    read_out: str = "test_top1",
    width: float = 6.5,
    unbalanced: bool = False,
    **files: object,
) -> Drawing:
    """A figure of a networks table, by its module; `files` are what a study has beside its tables."""
    tables = {"effects": effects_table(networks, unbalanced), "pairs": pairs_table(networks)}
    others = {"learning": None, "models": None, "tasks": {}} | files
    study = Study(networks=networks, **tables, coverage="the coverage", **others)
    return module.draw(study, Options(read_out, width, unbalanced))
