"""The commands that draw: all figures of a study from its tables, and several studies side by side."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
from planted import GAINS, HALVES, plant, reduce

from transferability.analysis.coverage import coverage_table
from transferability.analysis.drops import drops_table
from transferability.analysis.effects import effects_table
from transferability.analysis.pairs import pairs_table
from transferability.analysis.tables import LEARNING_COLUMNS, write_table
from transferability.analysis.yosinski2014 import read_published
from transferability.errors import InputError
from transferability.figures.drawing import FIGURES
from transferability.figures.records import NothingToDrawError
from transferability.figures.studies import draw_studies, name_studies
from transferability.study.grid import study_figures


def write_tables(folder: Path, networks: pd.DataFrame) -> Path:
    """The tables of a planted study."""
    effects = effects_table(networks, unbalanced=False)
    for name, table in {
        "networks": networks,
        "effects": effects,
        "pairs": pairs_table(networks),
        "drops": drops_table(effects, 0.02),
        "coverage": coverage_table(networks, []),
    }.items():
        write_table(folder / f"{name}.csv", table)
    return folder


def command(module: str, *options: object) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", f"transferability.{module}", *map(str, options)]
    return subprocess.run(line, env=os.environ, capture_output=True, text=True)


def draw(tables: Path, into: Path, *names: str) -> subprocess.CompletedProcess:
    fixed = ("--read-out", "test_top1", "--unbalanced", "false", "--width", 6.5, "--dpi", 50)
    return command("figures.drawing", "--tables", tables, "--draw", *names, *fixed, "--into", into)


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> Path:
    return write_tables(tmp_path_factory.mktemp("tables"), plant())


def test_every_figure_is_a_module_that_draws_with_one_signature():
    for name in FIGURES:
        module = import_module(f"transferability.figures.{name}")
        annotations = {key: value.__name__ for key, value in module.draw.__annotations__.items()}
        assert annotations == {"study": "Study", "options": "Options", "return": "Drawing"}, name
    rules = (Path(__file__).parent.parent / "workflow/rules/figures.smk").read_text()
    for names in ("FIGURES", "PUBLISHED_FIGURES"):
        assert f'fingerprint("figures.drawing", *[f"figures.{{name}}" for name in {names}])' in rules


def test_the_same_tables_give_the_same_bytes(tables, tmp_path):
    for folder in ("one", "two"):
        done = draw(tables, tmp_path / folder, "figure2", "effects")
        assert done.returncode == 0, done.stderr
    written = {path.name for path in (tmp_path / "one").iterdir()}
    assert written == {"figure2.svg", "figure2.png", "effects.svg", "effects.png", "captions.json"}
    for name in written:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_what_lacks_data_says_so_in_one_sentence_and_the_rest_is_drawn(tables, tmp_path):
    done = draw(tables, tmp_path, "figure2", "volume", "learning")
    assert done.returncode == 0, done.stderr
    captions = json.loads((tmp_path / "captions.json").read_text())
    assert {name: entry["drawn"] for name, entry in captions.items()} == {
        "figure2": True,
        "volume": False,
        "learning": False,
    }
    assert "volume: not drawn: the curve of reduced volumes needs networks at two or more volumes" in done.stderr
    assert "learning: not drawn: this study has no learning.csv" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "volume.svg").stat().st_size > 1000


def test_figures_of_an_earlier_study_are_removed_and_nothing_else_is(tables, tmp_path):
    for name in ("figure3.svg", "figure3.png", "volume.png", "mine.png", "notes.txt"):
        (tmp_path / name).write_text("of an earlier study")
    done = draw(tables, tmp_path, "effects")
    assert done.returncode == 0, done.stderr
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"effects.svg", "effects.png", "captions.json", "mine.png", "notes.txt"}


def test_a_missing_truncated_or_foreign_table_is_named(tables, tmp_path):
    for name in ("networks", "effects", "pairs", "coverage"):
        (tmp_path / f"{name}.csv").write_bytes((tables / f"{name}.csv").read_bytes())
    for harm, sentence in (
        (lambda path: path.write_text("a,b\n1,2\n"), "lacks the column"),
        (lambda path: path.unlink(), "there is no such file"),
    ):
        harm(tmp_path / "pairs.csv")
        done = draw(tmp_path, tmp_path / "figures", "figure2")
        assert done.returncode == 1
        assert f"pairs.csv: {sentence}" in done.stderr
        assert "Traceback" not in done.stderr


STUDY = {"dataset": ["digits"], "architecture": ["tiny"], "split": ["random0"], "seed": [0]}
STUDY |= {"treatment": ["transfer", "random"], "n": [1, 4]}
ARCHITECTURES = {
    "tiny": {"family": "tiny", "width": 1, "norm": "batch", "dropout": 0},
    "small": {"family": "small", "width": 1, "norm": "batch", "dropout": 0},
}
DATASETS = {"digits": {"images": {"size": 8}}}
SPLITS = {f"random{i}": {"kind": "random", "seed": i} for i in range(6)} | {
    "even-odd": {"kind": "groups", "A": "even", "B": ["odd", "other"]},
    "whole": {"kind": "whole"},
    **{f"whole-{k}": {"kind": "whole", "volume": {"A": k, "seed": 0}} for k in (1, 10)},
    "few-B": {"kind": "random", "seed": 0, "volume": {"B": 10, "seed": 0}},
}
ALWAYS = ["experiment", "figure2", "effects", "learning"]


@pytest.mark.parametrize(
    ("change", "more"),
    [
        ({}, []),
        ({"treatment": []}, []),
        ({"split": ["random0", "even-odd"]}, ["figure3"]),
        ({"split": ["even-odd"], "treatment": ["transfer+", "random"]}, []),
        ({"split": ["even-odd"], "networks": {"even-odd": ["baseA", "AnB"]}, "treatment": []}, ["figure3"]),
        ({"split": ["whole", "whole-1"]}, []),
        ({"split": ["whole-1", "whole-10"]}, ["volume"]),
        ({"split": ["whole-10", "few-B"]}, []),
        ({"split": [f"random{i}" for i in range(5)]}, ["distance"]),
        ({"split": [f"random{i}" for i in range(4)]}, []),
        ({"split": [f"random{i}" for i in range(5)], "treatment": ["selffer"]}, []),
        ({"architecture": ["tiny", "small"]}, ["filters"]),  # those of tiny have 3 pixels a side
    ],
)
def test_a_study_builds_the_figures_that_its_splits_can_give(change, more):
    found = study_figures(
        {"study": STUDY | change, "splits": SPLITS, "architectures": ARCHITECTURES, "datasets": DATASETS}
    )
    assert set(found) == {*ALWAYS, *more}
    assert set(found) <= set(FIGURES)


def curves_of(drawing) -> list[dict[int, float]]:
    return [
        {round(float(n)): round(float(y), 3) for n, y in zip(line.get_xdata(), line.get_ydata(), strict=True) if y == y}
        for panel in drawing.figure.axes
        for line in panel.get_lines()
        if len(line.get_xdata()) > 2
    ]


def test_studies_of_different_chance_are_laid_side_by_side():
    """Both lose half of what their bases score above guessing, one from 0.6 at chance 0.1, one from 0.6 at 0.2."""
    gains = {"base": lambda n: 0, "transfer": lambda n: 0}
    tables = {}
    for name, chance in (("one", 0.1), ("two", 0.2)):
        table = plant(gains, HALVES).assign(dataset=name, test_chance=chance)
        base = table["treatment"] == "base"
        table["test_top1"] = (0.6 - chance) * base.map({True: 1.0, False: 0.5}) + chance
        tables[name] = table
    drawing = draw_studies(tables, "test_top1", 6.5)
    assert curves_of(drawing) == [{1: 0.5, 4: 0.5, 7: 0.5}] * 2
    assert "one: 32 networks; two: 32 networks" in drawing.figure.legends[0].get_title().get_text().replace("\n", " ")


def test_each_volume_of_a_study_has_panels_of_its_own():
    gains = {name: GAINS[name] for name in ("base", "transfer")}
    few = pd.concat([reduce(plant(gains, {f"few{k}": "random"}), {"A": k, "B": k}) for k in (10, 50)])
    for networks in (few, reduce(plant(gains), {"A": 10})):
        drawing = draw_studies({"few": networks}, "test_top1", 6.5)
        assert len(drawing.figure.axes) == len(curves_of(drawing)) == 2
    titles = [panel.get_title("left").replace("\n", " ") for panel in drawing.figure.axes]
    assert titles == [
        "Random halves of the classes, 10 of the other task, frozen, AnB",
        "Random halves of the classes, 10 images a class, frozen, AnB",
    ]


def test_the_original_lies_beside_ones_own_study(tmp_path):
    original, _ = read_published()
    write_table(tmp_path / "original.csv", original)
    write_table(tmp_path / "mine.csv", plant())
    done = command(
        "figures.studies",
        *("--networks", tmp_path / "original.csv", tmp_path / "mine.csv", "--read-out", "mean_of_ten_best"),
        *("--width", 6.5, "--dpi", 50, "--into", tmp_path / "beside.svg", tmp_path / "beside.png"),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "beside.png").read_bytes().startswith(b"\x89PNG")
    drawing = draw_studies({"original": original, "mine": plant()}, "mean_of_ten_best", 6.5)
    assert "original, random halves of the classes, frozen, AnB: 87 % at n = 7 (4 units)" in drawing.caption
    assert "mine, random halves of the classes, frozen, AnB" in drawing.caption


def test_a_study_without_the_read_out_is_named_and_all_without_it_are_refused():
    original, _ = read_published()
    drawing = draw_studies({"original": original, "mine": plant()}, "test_top1", 6.5)
    assert "without transfer in this read-out: original" in drawing.figure.legends[0].get_title().get_text().replace(
        "\n", " "
    )
    with pytest.raises(NothingToDrawError, match="no study has transfer that can be compared in test_top1"):
        draw_studies({"original": original}, "test_top1", 6.5)


def test_two_studies_of_one_name_are_told_apart_and_one_given_twice_is_refused(tmp_path):
    tables = {Path("a/networks.csv"): plant(), Path("b/networks.csv"): plant(GAINS)}
    assert list(name_studies(tables)) == ["digits/tiny (a/networks.csv)", "digits/tiny (b/networks.csv)"]
    assert list(name_studies({Path("a"): plant(), Path("b"): plant(dataset="other")})) == ["digits/tiny", "other/tiny"]
    done = command(
        "figures.studies",
        *("--networks", tmp_path, tmp_path, "--read-out", "test_top1"),
        *("--width", 6.5, "--dpi", 50, "--into", tmp_path / "x.svg"),
    )
    assert done.stderr == "error: --networks: names a table twice; give each study once\n"


def test_a_truncated_table_of_learning_is_named_and_so_is_a_step_that_is_there_twice(tables, tmp_path):
    for name in ("networks", "effects", "pairs", "coverage"):
        (tmp_path / f"{name}.csv").write_bytes((tables / f"{name}.csv").read_bytes())
    path = tmp_path / "learning.csv"
    path.write_text("dataset,architecture")
    done = draw(tmp_path, tmp_path / "figures", "learning")
    assert done.stderr == f"error: {path}: lacks the column 'split'; delete it and run again\n"
    path.write_text(",".join(LEARNING_COLUMNS) + "\n" + 2 * "digits,tiny,random0,0,baseA,10,1.5,1.5,0.5\n")
    done = draw(tmp_path, tmp_path / "figures", "learning")
    assert done.stderr == f"error: {path}: baseA of random0, seed 0, is there twice; leave one of the two\n"


def test_the_sentence_of_an_input_error_is_no_figure(tables, tmp_path):
    """What the user can mend stops the job; only what a study cannot give is left out."""
    assert not issubclass(InputError, NothingToDrawError)
    models = tmp_path / "models"
    fixed = ("--read-out", "test_top1", "--unbalanced", "false", "--width", 6.5, "--dpi", 50, "--into", tmp_path / "f")
    done = command("figures.drawing", "--tables", tables, "--models", models, "--draw", "filters", *fixed)
    assert done.returncode == 1
    assert "model.safetensors: there is no such checkpoint" in done.stderr
