"""Report: a study as one page that stands alone: question, design, figures, effects, coverage, provenance, files."""

import argparse
import base64
import json
import os
from pathlib import Path

import jinja2
import pandas as pd

from transferability import files
from transferability.analysis.conditions import KINDS, conditions_of, label_of, unreduced
from transferability.analysis.coverage import MISSING, PRESENT, UNTRAINED, coverage_line
from transferability.analysis.tables import COVERAGE_COLUMNS, DROP_COLUMNS, EFFECT_COLUMNS, NETWORK_COLUMNS, read_table
from transferability.errors import InputError, exit_plainly
from transferability.words import counted, in_words, points

TEMPLATE = Path(__file__).parent / "page.html"
READ_OUTS = {
    "test_top1": "test, at the end",
    "chosen_test_top1": "test, chosen on validation",
    "validation_top1": "validation, at the end",
    "mean_of_ten_best": "mean of the ten best validations",
    "train_loss": "training loss",
}
TREATMENTS = {
    "base": ("baseA, baseB", "trained from scratch"),
    "selffer": ("AnA, BnB", "layers 1–n copied from the same task and frozen, the rest trained anew"),
    "selffer+": ("AnA+, BnB+", "the same, and the copied layers learn too"),
    "transfer": ("BnA, AnB", "layers 1–n copied from the other task and frozen, the rest trained anew"),
    "transfer+": ("BnA+, AnB+", "the same, and the copied layers learn too: fine-tuning"),
    "random": ("RnA, RnB", "layers 1–n random and frozen: untrained filters"),
}
EFFECT_NAMES = {
    "co-adaptation": ("Fragile co-adaptation", "BnB − base"),
    "specificity": ("Specificity", "AnB − BnB"),
    "total": ("Frozen transfer", "AnB − base"),
    "fine-tuned selffer": ("Fine-tuned selffer", "BnB+ − base"),
    "fine-tuned transfer": ("Fine-tuned transfer", "AnB+ − base"),
    "lingering boost": ("Lingering boost", "AnB+ − BnB+"),
    "random filters": ("Random filters", "RnB − base"),
}
TABLES = ("networks.csv", "learning.csv", "pairs.csv", "effects.csv", "drops.csv", "coverage.csv")


def name_of(effect: str) -> str:
    """An effect in words."""
    return EFFECT_NAMES.get(effect, (effect.capitalize(),))[0]


def amount(value: float, read_out: str) -> str:
    """A difference as it stands in a table: percentage points, or nats of a loss; empty where there is none."""
    if pd.isna(value):
        return ""
    return f"{value:+.3f}".replace("-", "−") if read_out == "train_loss" else points(value)


def interval_of(row: dict) -> str:
    """The 95 % interval of a row of effects.csv, or nothing."""
    if pd.isna(row["low"]):
        return ""
    return f"{amount(row['low'], row['read_out'])} to {amount(row['high'], row['read_out'])}"


def text_of(value: object) -> str:
    """A cell that may be empty, as text."""
    return "" if pd.isna(value) else str(value)


def probability(p: float) -> str:
    """A p-value."""
    return "" if pd.isna(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def effect_cell(row: dict | None) -> dict:
    """One cell of an effects table; `row` is of effects.csv, or None where the effect has no such row."""
    if row is None:
        return {"mean": "", "interval": "", "title": "no such row in effects.csv"}
    counts = f"{counted(row['units'], 'unit')}, {counted(row['pairs'], 'pair')}"
    title = f"{counts}: {row['positive']} up, {row['negative']} down"
    mark = "" if row["balanced"] or pd.isna(row["mean"]) else " †"
    return {
        "mean": amount(row["mean"], row["read_out"]) + mark,
        "interval": interval_of(row),
        "title": "; ".join(filter(None, (title, text_of(row["note"])))),
    }


def effect_tables(effects: pd.DataFrame, read_out: str) -> list[dict]:
    """Of each condition a table of means and intervals: a row an effect, a column a layer, and one for all layers."""
    tables = []
    for label, rows in conditions_of(effects[effects["read_out"] == read_out]):
        layers = sorted(int(n) for n in rows["n"].dropna().unique())
        lines = []
        for effect, own in rows.groupby("effect", sort=False):
            by_layer = {row["n"] if pd.notna(row["n"]) else None: row for row in own.to_dict("records")}
            units = sorted({row["units"] for row in by_layer.values()})
            lines.append(
                {
                    "name": name_of(effect),
                    "difference": EFFECT_NAMES.get(effect, ("", ""))[1],
                    "cells": [effect_cell(by_layer.get(n)) for n in (*layers, None)],
                    "units": "–".join(map(str, units[:: max(1, len(units) - 1)])),
                }
            )
        notes = [note for note in dict.fromkeys(rows["note"].dropna()) if note]
        shown = "; ".join(notes[:4]) + (f"; and {counted(len(notes) - 4, 'more note')} below" if len(notes) > 4 else "")
        if not rows["balanced"].all():
            shown = f"† over other cells than the rest, or not paired at all. {shown}"
        tables.append({"condition": label, "layers": layers, "rows": lines, "notes": shown})
    return tables


def test_rows(effects: pd.DataFrame, read_out: str) -> list[dict]:
    """All rows of effects.csv of a read-out, as text."""
    rows = []
    for row in effects[effects["read_out"] == read_out].to_dict("records"):
        rows.append(
            row
            | effect_cell(row)
            | {"name": name_of(row["effect"]), "condition": label_of(row["kind"], row["volume"], row["other_volume"])}
            | {"n": "all" if pd.isna(row["n"]) else int(row["n"]), "note": text_of(row["note"])}
            | {"p": probability(row["p"]), "p_adjusted": probability(row["p_adjusted"])}
        )
    return rows


def read_out_table(effects: pd.DataFrame) -> dict:
    """Effects over all layers by read-out: those read-outs that the study has."""
    over_all = effects[effects["n"].isna()]
    names = [name for name in READ_OUTS if (over_all["read_out"] == name).any()]
    rows = []
    for label, group in conditions_of(over_all):
        for effect, own in group.groupby("effect", sort=False):
            by_read_out = {row["read_out"]: row for row in own.to_dict("records")}
            cells = [effect_cell(by_read_out.get(name)) for name in names]
            if any(cell["mean"] for cell in cells):
                rows.append({"name": name_of(effect), "condition": label, "cells": cells})
    return {"names": [READ_OUTS[name] for name in names], "rows": rows}


def drop_rows(drops: pd.DataFrame, read_out: str) -> list[dict]:
    """The first layers of a drop, as text."""
    rows = []
    for row in drops[drops["read_out"] == read_out].to_dict("records"):
        low, high = (text_of(row[name]) for name in ("low", "high"))
        rows.append(
            {
                "effect": name_of(row["effect"]),
                "condition": label_of(row["kind"], row["volume"], row["other_volume"]),
                "measure": "accuracy" if row["measure"] == "accuracy" else "share above guessing",
                "first": text_of(row["first"]) or "none",
                "interval": f"{low} to {high or 'beyond'}" if low else "",
                "note": text_of(row["note"]),
            }
        )
    return rows


def headline_tiles(effects: pd.DataFrame, drops: pd.DataFrame, read_out: str) -> list[dict]:
    """The study in a few numbers, of its first condition: where frozen transfer begins to cost, and means over n."""
    conditions = conditions_of(unreduced(effects[effects["read_out"] == read_out]))
    if not conditions:
        return []
    label, rows = next(((name, own) for name, own in conditions if (own["effect"] == "total").any()), conditions[0])
    tiles = []
    chosen = (drops["effect"] == "total") & (drops["measure"] == "accuracy") & (drops["read_out"] == read_out)
    first = dict(conditions_of(drops[chosen])).get(label, drops[:0])
    if not first.empty:
        row = drop_rows(first, read_out)[0]
        size = points(first["size"].iloc[0], signed=False)
        tiles.append(
            {
                "name": f"Frozen transfer costs more than {size} points first at",
                "value": f"n = {row['first']}" if row["first"] != "none" else "no layer",
                "note": "; ".join(filter(None, (row["interval"] and f"interval n = {row['interval']}", row["note"]))),
            }
        )
    for effect in ("total", "fine-tuned transfer", "lingering boost", "random filters", "co-adaptation"):
        own = rows[(rows["effect"] == effect) & rows["mean"].notna() & rows["balanced"]]
        over_all = own[own["n"].isna()] if own["n"].isna().any() else own
        if len(over_all) == 1 and len(tiles) < 4:
            row = over_all.iloc[0].to_dict()
            at = "over all n" if pd.isna(row["n"]) else f"at n = {row['n']}"
            note = interval_of(row) or text_of(row["note"])
            tiles.append(
                {
                    "name": f"{name_of(effect)}, {EFFECT_NAMES[effect][1]}, {at}",
                    "value": amount(row["mean"], read_out),
                    "note": f"{note}; {counted(row['units'], 'unit')}",
                }
            )
    if len(conditions) > 1:
        for tile in tiles:
            tile["note"] = f"{label}: {tile['note']}"
    return tiles


def treatment_rows(coverage: pd.DataFrame) -> list[dict]:
    """The treatments of a study: names, meaning, and how many networks trained."""
    rows = []
    for treatment, own in coverage.groupby("treatment", sort=False):
        kind, _, preserved = treatment.partition("-k")
        names, meaning = TREATMENTS[kind]
        if preserved:
            names = ", ".join(f"{name}-k{preserved}" for name in names.split(", "))
            meaning += f"; the {preserved} above the cut start from the copied network too"
        trained = int((own["state"] == PRESENT).sum())
        rows.append({"treatment": treatment, "names": names, "meaning": meaning, "count": f"{trained} of {len(own)}"})
    order = list(TREATMENTS)
    return sorted(rows, key=lambda row: (order.index(row["treatment"].partition("-k")[0]), row["treatment"]))


def task_text(task: dict) -> str:
    """A task in words: its classes, and how many images train, validate and test."""
    names = task["classes"]
    listed = in_words(names) if len(names) <= 12 else f"{', '.join(names[:6])} … {names[-1]}"
    counts = {part: sum(map(len, task[part].values())) for part in ("train", "validation", "test")}
    return (
        f"{len(names):,} {'class' if len(names) == 1 else 'classes'}: {listed} "
        f"({counts['train']:,} images to train, {counts['validation']:,} to validate, {counts['test']:,} to test)"
    )


def split_rows(networks: pd.DataFrame, splits: Path | None) -> list[dict]:
    """The splits of a study, from their files where there are any, else from the table."""
    rows = []
    for split, own in networks.groupby("split", sort=False):
        first = own.iloc[0]
        distances = [("WordNet", first["synset_distance"]), ("images", first["a_distance"])]
        tasks = {"A": "", "B": ""}
        if splits is not None:
            path = splits / f"{split}.json"
            try:
                tasks |= {side: task_text(task) for side, task in files.read_json(path)["tasks"].items()}
            except (KeyError, TypeError, AttributeError):
                raise InputError(f"{path}: no split; delete it and run again") from None
        else:
            for target, part in own.groupby("target"):
                tasks[target] = f"{part['classes'].iloc[0]} classes"
        rows.append(
            {
                "split": split,
                "kind": label_of(first["kind"], first["volume"], first["other_volume"]),
                "distance": ", ".join(f"{value:.2f} by {name}" for name, value in distances if pd.notna(value)) or "–",
                **tasks,
            }
        )
    return rows


def coverage_cells(coverage: pd.DataFrame) -> dict:
    """How many networks trained of those asked for, by treatment, kind of split and layer."""
    layers = sorted(coverage["n"].unique())
    rows = []
    order = {name: index for index, name in enumerate(TREATMENTS)}
    for (kind, treatment), own in sorted(
        coverage.groupby(["kind", "treatment"]),
        key=lambda item: (list(KINDS).index(item[0][0]), order[item[0][1].partition("-k")[0]], item[0][1]),
    ):
        cells = []
        for n in layers:
            states = own["state"][own["n"] == n].value_counts()
            present, asked = int(states.get(PRESENT, 0)), int(states.sum())
            lacking = [f"{states[name]} {name}" for name in (UNTRAINED, MISSING) if name in states]
            cells.append(
                {
                    "text": f"{present}/{asked}" if asked else "",
                    "state": "none" if not asked else "part" if present < asked else "full",
                    "title": ", ".join(lacking) or ("all trained" if asked else "not asked for"),
                }
            )
        rows.append({"treatment": treatment, "kind": KINDS[kind], "cells": cells})
    return {"layers": layers, "rows": rows}


def network_links(network: dict, models: Path, tables: Path, page: Path) -> list[tuple[str, str]]:
    """The files of a network as links from the page."""
    folder = models / network["split"] / f"seed{network['seed']}" / network["network"]
    metrics = tables / network["split"] / f"seed{network['seed']}" / f"{network['network']}.json"
    places = {
        "weights": folder / "model.safetensors",
        "run": folder / "run.json",
        "history": folder / "history.csv",
        "metrics": metrics,
        "folder": folder,
    }
    return [(name, os.path.relpath(path, page.parent)) for name, path in places.items()]


def read_runs(networks: pd.DataFrame, models: Path) -> list[dict]:
    """What each network was made from; a run.json that is missing or not whole is an InputError that names it."""
    runs = []
    for network in networks.to_dict("records"):
        path = models / network["split"] / f"seed{network['seed']}" / network["network"] / "run.json"
        run = files.read_json(path)
        lacking = {"network", "parameters", "versions", "git", "device", "images_seen", "job"} - run.keys()
        if lacking:
            raise InputError(f"{path}: no network's record, it lacks {min(lacking)!r}; delete it and run again")
        runs.append(run)
    return runs


def short(revision: str | None) -> str:
    """A git revision, cut short, with its mark where files differed from it."""
    commit, changed, _ = (revision or "outside a checkout").partition("+")
    return (commit[:12] if revision else commit) + (" with changes" if changed else "")


def provenance_facts(runs: list[dict]) -> list[tuple[str, str]]:
    """With what the networks were made: revision, versions, hardware, hours, images."""
    versions = {name: sorted({run["versions"].get(name, "?") for run in runs}) for name in runs[0]["versions"]}
    hours = sum(run["job"]["seconds"] / run["job"]["networks"] for run in runs) / 3600
    machines = {f"{run['device']}, {counted(run['threads'], 'thread')}, {run['versions']['machine']}" for run in runs}
    revisions = sorted({short(run["git"]) for run in runs})
    return [
        ("Networks", f"{len(runs):,}"),
        ("Time", f"{hours:,.2f} hours of jobs, {3600 * hours / len(runs):,.1f} seconds a network"),
        ("Images seen", f"{sum(run['images_seen'] for run in runs):,}"),
        ("Hardware", in_words(sorted(machines))),
        ("Git revision", in_words(revisions)),
        (
            "Versions",
            ", ".join(f"{name} {in_words(found, 'or')}" for name, found in versions.items() if name != "machine"),
        ),
    ]


def parameter_facts(runs: list[dict]) -> list[tuple[str, str]]:
    """The parameters that the networks record, each once, with which networks it holds for."""
    found: dict[tuple[str, str], set[str]] = {}
    for run in runs:
        kind = "base" if run["network"]["source"] is None else "transferred"
        for name, value in run["parameters"].items():
            found.setdefault((name, json.dumps(value, sort_keys=True)), set()).add(kind)
    facts: dict[str, list[str]] = {}
    for (name, value), kinds in found.items():
        facts.setdefault(name if len(kinds) == 2 or name == "seed" else f"{name}, {min(kinds)}", []).append(value)
    return [(name, " or ".join(values)) for name, values in sorted(facts.items())]


def read_figures(folder: Path, page: Path) -> list[dict]:
    """The figures of a study with their captions, as images that stand in the page."""
    captions = files.read_json(folder / "captions.json")
    figures = []
    for name, entry in captions.items():
        path = folder / f"{name}.svg"
        try:
            content = base64.b64encode(path.read_bytes()).decode()
        except FileNotFoundError:
            raise InputError(f"{path}: there is no such figure; draw the figures again") from None
        links = {kind: os.path.relpath(folder / f"{name}.{kind}", page.parent) for kind in ("svg", "png")}
        figures.append({"name": name, **entry, **links, "image": f"data:image/svg+xml;base64,{content}"})
    return figures


def write_report(
    tables: Path, figures: Path, models: Path | None, splits: Path | None, read_out: str, page: Path
) -> None:
    """Write the page of a study from its tables, its figures, and, where it has them, its networks and splits."""
    networks = read_table(tables / "networks.csv", NETWORK_COLUMNS)
    effects = read_table(tables / "effects.csv", EFFECT_COLUMNS)
    drops = read_table(tables / "drops.csv", DROP_COLUMNS)
    coverage = read_table(tables / "coverage.csv", COVERAGE_COLUMNS)
    if networks.empty:
        raise InputError(f"{tables / 'networks.csv'}: holds no network; run the study again")
    runs = read_runs(networks, models) if models else []
    rows = networks.to_dict("records")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    odd = coverage[(coverage["state"] != PRESENT) | coverage["reason"].notna()]
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=" · ".join([*networks["dataset"].unique(), *networks["architecture"].unique()]),
        coverage=coverage_line(coverage),
        read_out=READ_OUTS[read_out],
        tiles=headline_tiles(effects, drops, read_out),
        treatments=treatment_rows(coverage),
        splits=split_rows(networks, splits),
        figures=read_figures(figures, page),
        effects=effect_tables(effects, read_out),
        drops=drop_rows(drops, read_out),
        drop=f"{points(drops['size'].iloc[0], signed=False)} points or percent" if len(drops) else "",
        read_outs=read_out_table(effects),
        tests=test_rows(effects, read_out),
        cells=coverage_cells(coverage),
        several=coverage["kind"].nunique() > 1 or len(conditions_of(effects)) > 1,
        gaps=[{name: text_of(value) for name, value in row.items()} for row in odd.to_dict("records")],
        provenance=provenance_facts(runs) if runs else [],
        parameters=parameter_facts(runs),
        networks=[
            row
            | {"accuracy": f"{points(row[read_out], signed=False)} %" if pd.notna(row[read_out]) else "–"}
            | {"links": network_links(row, models, tables, page) if models else []}
            for row in rows
        ],
        tables=[(name, os.path.relpath(tables / name, page.parent)) for name in TABLES if (tables / name).exists()],
    )
    files.write_text(page, text)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the page of a study.")
    parser.add_argument("--tables", type=Path, required=True, help=f"folder of {', '.join(TABLES)}")
    parser.add_argument("--figures", type=Path, required=True, help="folder of the figures and captions.json")
    parser.add_argument(
        "--models", type=Path, help="folder of {split}/seed{seed}/{network}/, if the study has networks"
    )
    parser.add_argument("--splits", type=Path, help="folder of {split}.json, if the study has splits")
    parser.add_argument("--read-out", choices=[name for name in READ_OUTS if name != "train_loss"], required=True)
    parser.add_argument("--into", type=Path, required=True, help="page to write, .html")
    arguments = parser.parse_args()
    write_report(
        arguments.tables, arguments.figures, arguments.models, arguments.splits, arguments.read_out, arguments.into
    )


if __name__ == "__main__":
    exit_plainly(main)
