"""Page: a study as one page that stands alone: question, design, figures, effects, coverage, provenance, files."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd

from transferability import files
from transferability.analysis.advice import advice_sentences
from transferability.analysis.conditions import KINDS, conditions_of, label_of
from transferability.analysis.coverage import MISSING, PRESENT, UNTRAINED, coverage_line
from transferability.analysis.improvement import BASES, late_improvement
from transferability.analysis.read_outs import READ_OUTS, SHARES, read_out_of
from transferability.analysis.tables import (
    COVERAGE_COLUMNS,
    DRAW_EFFECT_COLUMNS,
    DROP_COLUMNS,
    EFFECT_COLUMNS,
    LEARNING_COLUMNS,
    NETWORK_COLUMNS,
    PAIR_COLUMNS,
    PUBLISHED_COLUMNS,
    SOURCE_COLUMNS,
    read_table,
    stage_names,
)
from transferability.analysis.treatments import curve_name, for_tasks, rank_of, recipes_in
from transferability.analysis.unpaired import unpaired_argument
from transferability.analysis.verdict import verdict_of
from transferability.errors import InputError, exit_plainly
from transferability.figures.effect_texts import (
    draw_effect_rows,
    drop_rows,
    effect_meanings,
    effect_tables,
    read_out_table,
    test_rows,
    text_of,
)
from transferability.figures.inline import inline_svg, packed, read_svg
from transferability.figures.pretraining import pretrained_record, pretraining_facts
from transferability.figures.runs import network_folder, parameter_facts, provenance_facts, read_runs
from transferability.figures.styles import ordered_treatments, styles_of
from transferability.forms.captions import Captions
from transferability.forms.exports import Exports
from transferability.forms.split import Split
from transferability.words import in_words, points

TEMPLATE, SCRIPT = (Path(__file__).parent / name for name in ("page.html", "page.js"))
TABLES = (
    "networks.csv",
    "learning.csv",
    "pairs.csv",
    "effects.csv",
    "drops.csv",
    "coverage.csv",
    "draws.csv",
    "draw_effects.csv",
    "published.csv",
    "sources.csv",
)
"""The tables that the page offers, those of them that the study has."""


@dataclass(frozen=True)
class Places:
    """Where the page and what it tells of lie: folders of tables and figures, and of networks and splits, if any."""

    tables: Path
    figures: Path
    models: Path | None
    splits: Path | None
    page: Path

    def link(self, path: Path) -> str:
        """A path as a link from the page."""
        return os.path.relpath(path, self.page.parent)


@dataclass(frozen=True)
class Tables:
    """The tables that the page states."""

    networks: pd.DataFrame
    pairs: pd.DataFrame
    effects: pd.DataFrame
    drops: pd.DataFrame
    coverage: pd.DataFrame


def read_tables(folder: Path) -> Tables:
    """The tables of a folder; one that is missing, truncated, foreign or without networks is an InputError."""
    tables = Tables(
        networks=read_table(folder / "networks.csv", NETWORK_COLUMNS),
        pairs=read_table(folder / "pairs.csv", PAIR_COLUMNS),
        effects=read_table(folder / "effects.csv", EFFECT_COLUMNS),
        drops=read_table(folder / "drops.csv", DROP_COLUMNS),
        coverage=read_table(folder / "coverage.csv", COVERAGE_COLUMNS),
    )
    if tables.networks.empty:
        raise InputError(f"{folder / 'networks.csv'}: holds no network; run the study again")
    return tables


def task_text(task: dict) -> str:
    """A task in words: its classes, and how many images train, validate and test."""
    names = task["classes"]
    listed = in_words(names) if len(names) <= 12 else f"{', '.join(names[:6])} … {names[-1]}"
    counts = {part: sum(map(len, task[part].values())) for part in ("train", "validation", "test")}
    return (
        f"{len(names):,} {'class' if len(names) == 1 else 'classes'}: {listed} "
        f"({counts['train']:,} images to train, {counts['validation']:,} to validate, {counts['test']:,} to test)"
    )


def tasks_of(split: str, networks: pd.DataFrame, splits: Path | None) -> dict[str, str]:
    """The tasks of a split in words, from its file where there is one, else from the table."""
    if splits is None:
        counts = networks.groupby("target")["classes"].first()
        return {"A": "", "B": ""} | {target: f"{count} classes" for target, count in counts.items()}
    path = splits / f"{split}.json"
    try:
        texts = {side: task_text(task) for side, task in files.read_json(path, Split)["tasks"].items()}
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: no split; delete it and run again") from None
    return {"A": "", "B": ""} | texts


def split_rows(networks: pd.DataFrame, splits: Path | None) -> list[dict]:
    """The splits of a study: kind, distance of the tasks, and the tasks in words."""
    rows = []
    for split, group in networks.groupby("split", sort=False):
        first = group.iloc[0]
        distances = [("WordNet", first["synset_distance"]), ("images", first["a_distance"])]
        measured = ", ".join(f"{value:.2f} by {name}" for name, value in distances if pd.notna(value))
        kind = label_of(first["kind"], first["volume"], first["other_volume"])
        rows.append({"split": split, "kind": kind, "distance": measured or "–", **tasks_of(split, group, splits)})
    return rows


def coverage_cell(states: pd.Series) -> dict:
    """One cell of the coverage: how many networks trained, of those asked for, by the states of these."""
    counts = states.value_counts()
    present, asked = int(counts.get(PRESENT, 0)), len(states)
    lacking = [f"{counts[name]} {name}" for name in (UNTRAINED, MISSING) if name in counts]
    return {
        "text": f"{present}/{asked}" if asked else "",
        "state": "none" if not asked else "part" if present < asked else "full",
        "title": ", ".join(lacking) or ("all trained" if asked else "not asked for"),
    }


def coverage_cells(coverage: pd.DataFrame) -> dict:
    """How many networks trained of those asked for, by treatment, kind of split and layer."""
    layers = sorted(coverage["n"].unique())
    groups = dict(iter(coverage.groupby(["kind", "treatment"])))
    rows = []
    for kind, treatment in sorted(groups, key=lambda key: (list(KINDS).index(key[0]), rank_of(key[1]))):
        group = groups[kind, treatment]
        cells = [coverage_cell(group["state"][group["n"] == n]) for n in layers]
        rows.append({"treatment": treatment, "kind": KINDS[kind], "cells": cells})
    return {"layers": layers, "rows": rows}


def network_links(network: dict, places: Places) -> list[tuple[str, str]]:
    """The files of a network as links from the page, of a probe its metrics; none where the study has no networks."""
    if places.models is None:
        return []
    folder, metrics = places.models / network_folder(network), places.tables / network_folder(network)
    metrics = metrics.with_name(f"{network['network']}.json")
    if network["pooling"]:
        return [("metrics", places.link(metrics))]
    linked = {
        "weights": folder / "model.safetensors",
        "run": folder / "run.json",
        "history": folder / "history.csv",
        "metrics": metrics,
        "folder": folder,
    }
    return [(name, places.link(path)) for name, path in linked.items()]


def read_figures(places: Places) -> list[dict]:
    """The figures of a study with their captions, as parts of the page."""
    figures = []
    for name, entry in files.read_json(places.figures / "captions.json", Captions).items():
        path = places.figures / f"{name}.svg"
        links = {kind: places.link(path.with_suffix(f".{kind}")) for kind in ("svg", "png")}
        figures.append({"name": name, **entry, **links, "image": inline_svg(read_svg(path), name)})
    return figures


def export_links(networks: pd.DataFrame, places: Places) -> list[tuple[str, list[tuple[str, str]]]]:
    """The ONNX files of each split and seed: what each is named for and holds, and its link."""
    links = []
    for split, seed in networks[["split", "seed"]].drop_duplicates().itertuples(index=False):
        folder = places.models / split / f"seed{seed}" if places.models else None
        if folder is None or not (folder / "exports.json").exists():
            continue
        exports = files.read_json(folder / "exports.json", Exports)
        named = [
            (name if check["name"] == name else f"{name} ({check['name']})", folder / name / "model.onnx")
            for name, check in exports.items()
        ]
        links.append((f"{split}, seed {seed}", [(name, places.link(path)) for name, path in named]))
    return links


def embedded_tables(folder: Path) -> dict[str, str]:
    """The tables that the page carries, packed, by name: those that are there and not too large."""
    content = {name: packed(folder / name) for name in TABLES if (folder / name).exists()}
    return {name: text for name, text in content.items() if text}


def exploring(networks: pd.DataFrame, places: Places, read_out: str) -> dict:
    """What the page's script draws networks with: the styles of treatments, the read-outs, and where links lead."""
    styles = styles_of(ordered_treatments(networks), recipes_in(networks))
    measured = [record for record in READ_OUTS if record.name in SHARES and networks[record.name].notna().any()]
    return {
        "treatments": [
            {
                "name": name,
                "curve": for_tasks(curve_name(name), networks),
                # Black would not be seen on a dark page.
                "colour": "currentColor" if style.colour == "black" else style.colour,
                "offset": style.offset,
                "dashed": style.dashes not in ("-", ""),
            }
            for name, style in styles.items()
        ],
        "readOuts": [{"name": record.name, "label": record.short} for record in measured],
        # The study's may have no number, as where there are no test images.
        "readOut": next(iter(sorted((record.name for record in measured), key=lambda name: name != read_out)), ""),
        "stages": stage_names(networks),
        "linked": places.models is not None,
    }


def network_row(network: dict, places: Places, read_out: str) -> dict:
    """A network of the page's last table: a row of networks.csv with its accuracy as text and its links."""
    score = network[read_out]
    accuracy = f"{points(score, signed=False)} %" if pd.notna(score) else "–"
    return network | {"accuracy": accuracy, "links": network_links(network, places)}


def design_part(tables: Tables, places: Places, read_out: str) -> dict:
    """What the template shows of the design, the coverage and the networks."""
    networks, coverage = tables.networks, tables.coverage
    odd = coverage[(coverage["state"] != PRESENT) | coverage["reason"].notna()]
    splits = split_rows(networks, places.splits)
    present = [name for name in TABLES if (places.tables / name).exists()]
    return {
        "title": " · ".join([*networks["dataset"].unique(), *networks["architecture"].unique()]),
        "stages": stage_names(networks),
        "splits": splits,
        "measured": any(row["distance"] != "–" for row in splits),
        "two_tasks": any(row["B"] for row in splits),
        "coverage": coverage_line(coverage),
        "cells": coverage_cells(coverage),
        "several": coverage["kind"].nunique() > 1 or len(conditions_of(tables.effects)) > 1,
        "gaps": [{name: text_of(value) for name, value in row.items()} for row in odd.to_dict("records")],
        "networks": [network_row(network, places, read_out) for network in networks.to_dict("records")],
        "tables": [(name, places.link(places.tables / name)) for name in present],
        "exports": export_links(networks, places),
    }


def published_rows(tables: Path) -> list[dict]:
    """The numbers of papers beside the study's, as text, from the folder's published.csv, if it has one."""
    path = tables / "published.csv"
    rows = read_table(path, PUBLISHED_COLUMNS).to_dict("records") if path.exists() else []
    return [
        row | {name: points(row[name], signed=False) if pd.notna(row[name]) else "–" for name in ("published", "here")}
        for row in rows
    ]


def source_rows(tables: Path, read_out: str) -> list[dict]:
    """What sources give more than one another, as text, from the folder's sources.csv, if it has one."""
    path = tables / "sources.csv"
    table = read_table(path, SOURCE_COLUMNS) if path.exists() else pd.DataFrame({"read_out": []})
    return [
        row
        | {name: points(row[name], signed=False) for name in ("gives", "over_gives")}
        | {"curve": curve_name(row["treatment"]), "more": points(row["mean"])}
        | {"interval": f"{points(row['low'])} to {points(row['high'])}" if pd.notna(row["low"]) else ""}
        for row in table[table["read_out"] == read_out].to_dict("records")
    ]


def over_draws(tables: Path, read_out: str) -> list[dict]:
    """What probes differ by, draw by draw, as text, from the folder's draw_effects.csv, if it has one."""
    path = tables / "draw_effects.csv"
    return draw_effect_rows(read_table(path, DRAW_EFFECT_COLUMNS), read_out) if path.exists() else []


def advised(places: Places) -> list[str]:
    """What the study advises, a sentence a condition; nothing where it compares no strategies."""
    compares = "strategies" in files.read_json(places.figures / "captions.json")
    return advice_sentences(places.tables / "advice.json") if compares else []


def improvement_sentence(tables: Path) -> str:
    """Whether base networks were still improving at their end, as the folder's learning.csv shows, if it has one."""
    path = tables / "learning.csv"
    learning = read_table(path, LEARNING_COLUMNS) if path.exists() else None
    if learning is None or not learning["network"].isin(BASES).any():
        return ""
    return late_improvement(learning).sentence


def effects_part(tables: Tables, read_out: str) -> dict:
    """What the template shows of the effects."""
    effects, drops = tables.effects, tables.drops
    return {
        "read_out": read_out_of(read_out).short,
        "effects": effect_tables(effects, read_out),
        "meanings": effect_meanings(effects),
        "drops": drop_rows(drops, read_out),
        "drop": f"{points(drops['size'].iloc[0], signed=False)} points or percent" if len(drops) else "",
        "read_outs": read_out_table(effects),
        "tests": test_rows(effects, read_out),
        "these": effects["low_these"].notna().any(),
        "primary": effects["primary"].any(),
    }


def provenance_of(runs: list, models: Path | None) -> list[tuple[str, str]]:
    """What networks and pretrained weights were made from; a study of probes alone has trained no network."""
    trained = provenance_facts(runs) if runs else []
    return trained + (pretraining_facts(pretrained_record(models)) if models else [])


def write_page(places: Places, read_out: str) -> None:
    """Write the page of a study from its tables, its figures, and, where it has them, its networks and splits."""
    tables = read_tables(places.tables)
    runs = read_runs(tables.networks, places.models) if places.models else []
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        **design_part(tables, places, read_out),
        **effects_part(tables, read_out),
        verdict=[*verdict_of(tables.networks, tables.effects, tables.drops, read_out), *advised(places)],
        argument=unpaired_argument(tables.networks, tables.pairs, read_out),
        published=published_rows(places.tables),
        sources=source_rows(places.tables, read_out),
        over_draws=over_draws(places.tables, read_out),
        embedded=embedded_tables(places.tables),
        exploring=exploring(tables.networks, places, read_out),
        script=SCRIPT.read_text(encoding="utf-8"),
        improvement=improvement_sentence(places.tables),
        figures=read_figures(places),
        provenance=provenance_of(runs, places.models),
        has_files=places.models is not None,
        parameters=parameter_facts(runs),
    )
    files.write_text(places.page, text)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the page of a study.")
    parser.add_argument(
        "--tables", type=Path, required=True, help=f"folder of {', '.join(TABLES)}; those that the study has"
    )
    parser.add_argument("--figures", type=Path, required=True, help="folder of the figures and captions.json")
    parser.add_argument(
        "--models", type=Path, help="folder of {split}/seed{seed}/{network}/, if the study has networks"
    )
    parser.add_argument("--splits", type=Path, help="folder of {split}.json, if the study has splits")
    parser.add_argument("--read-out", choices=SHARES, required=True)
    parser.add_argument("--into", type=Path, required=True, help="page to write, .html")
    arguments = parser.parse_args()
    places = Places(arguments.tables, arguments.figures, arguments.models, arguments.splits, arguments.into)
    write_page(places, arguments.read_out)


if __name__ == "__main__":
    exit_plainly(main)
