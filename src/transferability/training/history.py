"""Histories: how a network learnt, a row a validation, as history.csv beside its checkpoint keeps it."""

import csv
import io
import math
from pathlib import Path
from typing import Any, TypedDict, cast

from transferability import files
from transferability.data.tasks import MULTI, PATCHES, SINGLE
from transferability.errors import InputError


class HistoryRow(TypedDict):
    """One validation: the number of steps and images before it, the last step's rate, the mean training loss since
    the validation before, loss and top-1 accuracy on validation images; and, in the row of the best validation alone,
    the first of equal ones, the accuracy on test images of the weights at that time.

    Where images have several labels, mean average precision stands for accuracy, in files as `map` for `top1`."""

    step: int
    images_seen: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    validation_top1: float
    test_top1: float | None


COLUMNS = tuple(HistoryRow.__annotations__)
LEARNT = ("train_loss", "validation_loss", "validation_top1")
"""The columns that say how a network learnt."""

MEASURES = {SINGLE: "top1", MULTI: "map", PATCHES: "map"}
"""What networks are validated by, as files name it, for each kind of task."""


def named(column: str, kind: str) -> str:
    """What files call a column of histories, or a number of metrics, of a kind of task: validation_top1 or _map."""
    return column.replace("top1", MEASURES[kind])


def best_row(history: list[HistoryRow]) -> HistoryRow:
    """The row of the best validation, the first of equal ones."""
    return max(history, key=lambda row: row["validation_top1"])


def write_history(path: Path, history: list[HistoryRow], kind: str = SINGLE) -> None:
    """Write a history as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writerow({column: named(column, kind) for column in COLUMNS})
    writer.writerows(history)
    files.write_text(path, text.getvalue())


def read_history(path: Path, kind: str = SINGLE) -> list[HistoryRow]:
    """Read a history, all numbers as floats; a file that is not a whole one is an InputError."""
    try:
        columns = {named(column, kind): column for column in COLUMNS}
        with open(path, newline="", encoding="utf-8") as file:
            rows = [{columns.get(name, name): value for name, value in row.items()} for row in csv.DictReader(file)]
        values: list[dict[str, Any]] = [
            {name: None if (name, value) == ("test_top1", "") else float(value) for name, value in row.items()}
            for row in rows
        ]
        if not values or values[0].keys() != set(COLUMNS):
            raise ValueError("its columns are not a history's, or it has no rows")
        if not all(math.isfinite(value) for row in values for value in row.values() if value is not None):
            raise ValueError("not all of its values are numbers")
        if sum(row["test_top1"] is not None for row in values) != 1:
            raise ValueError("not one of its rows, the best one, has a test accuracy")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a whole history ({error}); delete it and run again") from None
    return cast(list[HistoryRow], values)
