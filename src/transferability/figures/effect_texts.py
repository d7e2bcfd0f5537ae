"""Effect texts: effects.csv and drops.csv as the tables of a study's page state them."""

import pandas as pd

from transferability.analysis.conditions import conditions_of, label_of
from transferability.analysis.contrasts import effect_of, effects_named
from transferability.analysis.draws import READ
from transferability.analysis.read_outs import NATS, READ_OUTS, read_out_of
from transferability.analysis.treatments import for_tasks
from transferability.words import counted, points


def amount(value: float, read_out: str) -> str:
    """A difference as it stands in a table: percentage points, or nats of a loss; empty where there is none."""
    if pd.isna(value):
        return ""
    return f"{value:+.3f}".replace("-", "−") if read_out_of(read_out).unit == NATS else points(value)


def interval_of(row: dict) -> str:
    """The 95 % interval of a row of effects.csv, or nothing."""
    if pd.isna(row["low"]):
        return ""
    return f"{amount(row['low'], row['read_out'])} to {amount(row['high'], row['read_out'])}"


def text_of(value: object) -> str:
    """A cell that may be empty, as text."""
    return "" if pd.isna(value) else str(value)


def joined(*texts: str) -> str:
    """Texts as one, without the empty ones."""
    return "; ".join(filter(None, texts))


def probability(p: float) -> str:
    """A p-value."""
    return "" if pd.isna(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def condition_of(row: dict) -> str:
    """The condition of a row of effects.csv or drops.csv in words."""
    return label_of(row["kind"], row["volume"], row["other_volume"])


def span(counts: set[int]) -> str:
    """The least and the most of some counts: 3, or 2–4."""
    ordered = sorted(counts)
    return "–".join(map(str, ordered[:: max(1, len(ordered) - 1)]))


def effect_cell(row: dict | None) -> dict:
    """One cell of an effects table; `row` is of effects.csv, or None where the effect has no such row."""
    if row is None:
        return {"mean": "", "interval": "", "title": "no such row in effects.csv"}
    counts = f"{counted(row['units'], 'unit')}, {counted(row['pairs'], 'pair')}"
    mark = "" if row["balanced"] or pd.isna(row["mean"]) else " †"
    return {
        "mean": amount(row["mean"], row["read_out"]) + mark,
        "interval": interval_of(row),
        "title": joined(f"{counts}: {row['positive']} up, {row['negative']} down", text_of(row["note"])),
    }


def effect_line(name: str, rows: pd.DataFrame, layers: list[int]) -> dict:
    """One line of an effects table: an effect's cells by layer, and over all layers."""
    by_layer = {row["n"] if pd.notna(row["n"]) else None: row for row in rows.to_dict("records")}
    effect = effect_of(name)
    return {
        "name": effect.label,
        "difference": for_tasks(effect.notation, rows),
        "cells": [effect_cell(by_layer.get(n)) for n in (*layers, None)],
        "units": span({row["units"] for row in by_layer.values()}),
    }


def notes_of(rows: pd.DataFrame) -> str:
    """The notes of some rows of effects.csv, the first four of them; and what † marks, where a mean has it."""
    notes = [note for note in dict.fromkeys(rows["note"].dropna()) if note]
    more = f"and {counted(len(notes) - 4, 'more note')} below" if len(notes) > 4 else ""
    text = joined(*notes[:4], more)
    return (
        text
        if rows["balanced"][rows["mean"].notna()].all()
        else f"† over other cells than the rest, or not paired at all. {text}"
    )


def effect_tables(effects: pd.DataFrame, read_out: str) -> list[dict]:
    """Of each condition a table of means and intervals: a row an effect, a column a layer, and one for all layers."""
    tables = []
    for label, rows in conditions_of(effects[effects["read_out"] == read_out]):
        layers = sorted(int(n) for n in rows["n"].dropna().unique())
        lines = [effect_line(name, group, layers) for name, group in rows.groupby("effect", sort=False)]
        tables.append({"condition": label, "layers": layers, "rows": lines, "notes": notes_of(rows)})
    return tables


def effect_meanings(effects: pd.DataFrame) -> list[tuple[str, str]]:
    """The effects of a study, and what each of them tells."""
    shown = effects_named(effects["effect"])
    return [(effect.label, f"{for_tasks(effect.notation, effects)}: {effect.meaning}") for effect in shown]


def test_rows(effects: pd.DataFrame, read_out: str) -> list[dict]:
    """All rows of effects.csv of a read-out, as text."""
    return [
        row
        | effect_cell(row)
        | {"name": effect_of(row["effect"]).label, "condition": condition_of(row), "note": text_of(row["note"])}
        | {"n": "all" if pd.isna(row["n"]) else int(row["n"])}
        | {"p": probability(row["p"]), "p_adjusted": probability(row["p_adjusted"])}
        | {"these": interval_of({**row, "low": row["low_these"], "high": row["high_these"]})}
        for row in effects[effects["read_out"] == read_out].to_dict("records")
    ]


def read_out_table(effects: pd.DataFrame) -> dict:
    """Effects over all layers by read-out: those read-outs that the study has."""
    over_all = effects[effects["n"].isna()]
    read_outs = [read_out for read_out in READ_OUTS if (over_all["read_out"] == read_out.name).any()]
    rows = []
    for label, group in conditions_of(over_all):
        for name, effect_rows in group.groupby("effect", sort=False):
            by_read_out = {row["read_out"]: row for row in effect_rows.to_dict("records")}
            cells = [effect_cell(by_read_out.get(read_out.name)) for read_out in read_outs]
            if any(cell["mean"] for cell in cells):
                rows.append({"name": effect_of(name).label, "condition": label, "cells": cells})
    return {"names": [read_out.short for read_out in read_outs], "rows": rows}


def draw_effect_rows(effects: pd.DataFrame, read_out: str) -> list[dict]:
    """The rows of draw_effects.csv of a read-out, or of test accuracy if draws do not have it, as text."""
    shown = read_out if read_out in READ else "test_top1"
    return [
        {"name": effect_of(row["effect"]).label, "place": f"{row['split']}, seed {row['seed']}, target {row['target']}"}
        | {"n": row["n"], "mean": amount(row["mean"], shown), "interval": interval_of(row), "draws": row["draws"]}
        for row in effects[effects["read_out"] == shown].to_dict("records")
    ]


def drop_row(row: dict) -> dict:
    """A row of drops.csv as text."""
    low, high = text_of(row["low"]), text_of(row["high"])
    return {
        "effect": effect_of(row["effect"]).label,
        "condition": condition_of(row),
        "measure": "accuracy" if row["measure"] == "accuracy" else "share above guessing",
        "first": text_of(row["first"]) or "none",
        "interval": f"{low} to {high or 'beyond'}" if low else "",
        "note": text_of(row["note"]),
    }


def drop_rows(drops: pd.DataFrame, read_out: str) -> list[dict]:
    """The first layers of a drop, as text."""
    return [drop_row(row) for row in drops[drops["read_out"] == read_out].to_dict("records")]
