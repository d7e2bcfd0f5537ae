"""Analysis: the tables hold what the metrics say, and say what is missing."""

import csv
import json
import re
import sys
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from transferability import files
from transferability.analysis import gathering
from transferability.analysis.coverage import coverage_table
from transferability.analysis.gathering import grid_cells, read_networks
from transferability.analysis.tables import (
    COVERAGE_COLUMNS,
    DROP_COLUMNS,
    EFFECT_COLUMNS,
    LEARNING_COLUMNS,
    NETWORK_COLUMNS,
    PAIR_COLUMNS,
    read_table,
)
from transferability.errors import InputError
from transferability.networks.notation import parse_network


def metrics_of(network: str, top1: float = 0.5) -> dict:
    """What `evaluate` writes of a network, in its own form."""
    identity = parse_network(network)
    per_class = {name: {"count": count, "top1": top1} for name, count in (("a", 6), ("b", 3), ("c", 1))}
    scores = {"count": 10, "top1": top1, "loss": 1.5, "per_class": per_class, "mean_per_class": top1}
    even = {name: {"count": 4, "top1": 0.25} for name in "abc"}
    return {
        "network": network,
        "treatment": identity.treatment,
        "source": identity.source,
        "n": identity.n,
        "target": identity.target,
        "fine_tune": identity.fine_tune,
        "preserved": identity.preserved,
        "option": identity.option,
        "model_sha256": "0" * 64,
        "trained": True,
        "reason": None,
        "classes": 5,
        "images_seen": 1280,
        "train_loss": 0.75,
        "chosen": {"step": 20, "validation_top1": 0.75, "test_top1": 0.5},
        "mean_of_ten_best": {"validation_top1": 0.625, "of": 10},
        "learning": [
            {"step": 10, "train_loss": 1.0, "validation_loss": 1.5, "validation_top1": 0.125},
            {"step": 20, "train_loss": 0.75, "validation_loss": 1.25, "validation_top1": 0.75},
        ],
        "validation": {"count": 12, "top1": 0.25, "loss": 1.25, "per_class": even, "mean_per_class": 0.25},
        "test": scores,
    }


def split_of(kind: str, **others: object) -> dict:
    """What the file of a split says that nobody here asks for, and what is asked for."""
    return {"kind": kind, "content": "...", "normalisation": {"mean": [0.5], "std": [0.5]}, "tasks": {}, **others}


@pytest.fixture
def study(tmp_path) -> Path:
    """A folder with the splits and metrics of a small study."""
    for split, kind in (("random0", "random"), ("even-odd", "groups")):
        files.write_json(tmp_path / f"data/splits/digits/{split}.json", split_of(kind))
        for seed, network in product((0, 1), ("baseA", "A3B+")):
            path = tmp_path / f"results/digits/tiny/{split}/seed{seed}/{network}.json"
            files.write_json(path, metrics_of(network, 0.5 + seed / 4))
    return tmp_path


GRID = {"split": ["random0", "even-odd"], "seed": [0, 1], "network": ["baseA", "A3B+"]}


def read_study(folder: Path) -> pd.DataFrame:
    """The networks table of the small study, of which nothing is missing."""
    networks, _, absent = read_networks(folder / "results/digits/tiny", GRID, folder / "data/splits/digits")
    assert not absent
    return networks


def read_bad_study(folder: Path, path: Path) -> str:
    """What is said of the one network of the small study that cannot be read, and that the others can."""
    networks, learning, (place,) = read_networks(folder / "results/digits/tiny", GRID, folder / "data/splits/digits")
    assert len(networks) == 7
    assert len(learning) == 2 * 7
    assert (place["split"], f"seed{place['seed']}", place["network"]) == (*path.parts[-3:-1], path.stem)
    (row,) = coverage_table(networks, [place]).query("state == 'missing'").to_dict("records")
    assert (row["kind"], row["treatment"], row["n"], row["target"]) == ("groups", "transfer+", 3, "B")
    assert row["reason"] == place["reason"]
    return place["reason"]


def test_the_table_has_a_row_a_network_with_what_its_metrics_say(study):
    table = read_study(study)
    assert list(table.columns) == list(NETWORK_COLUMNS)
    assert list(zip(table["split"], table["seed"], table["network"], strict=True)) == list(product(*GRID.values()))
    row = table.iloc[3].to_dict()
    for name in (
        *("test_top5", "volume", "other_volume", "synset_distance", "a_distance", "stage"),
        "option",
        "pooling",
        *(
            "test_map",
            "chosen_test_map",
            "test_map11",
            "validation_map",
            "test_miou",
            "test_map_chance",
            "validation_map_chance",
        ),
    ):
        assert pd.isna(row.pop(name)), name
    assert row == {
        "dataset": "digits",
        "architecture": "tiny",
        "split": "random0",
        "kind": "random",
        "seed": 1,
        "network": "A3B+",
        "treatment": "transfer+",
        "source": "A",
        "n": 3,
        "target": "B",
        "fine_tune": True,
        "preserved": 0,
        "trained": True,
        "reason": None,
        "classes": 5,
        "images_seen": 1280,
        "train_loss": 0.75,
        "validation_top1": 0.25,
        "validation_loss": 1.25,
        "validation_chance": pytest.approx(1 / 3),
        "mean_of_ten_best": 0.625,
        "test_top1": 0.75,
        "chosen_test_top1": 0.5,
        "test_loss": 1.5,
        "test_mean_per_class": 0.75,
        "test_class_chance": pytest.approx(1 / 3),
        "test_chance": 0.6,
        "validation_images": 12,
        "test_images": 10,
    }
    assert pd.isna(table["source"][0])
    assert set(table["kind"][4:]) == {"groups"}


def probe_metrics_of(name: str) -> dict:
    """What `probing` writes of a probe that gives no probabilities, in its own form."""
    metrics = metrics_of(name) | dict.fromkeys(("train_loss", "chosen", "mean_of_ten_best")) | {"learning": []}
    for part in ("validation", "test"):
        metrics[part] |= {"loss": None}
    metrics["test"]["mean_per_class"] = 0.6
    return metrics | {"probe": {"name": "svm", "pooling": {"kind": "grid", "values": 9000, "channels": "first"}}}


def test_a_probe_has_a_row_in_which_what_only_training_gives_is_empty(study):
    place = study / "results/digits/tiny/random0/seed0"
    files.write_json(place / "A3B-svm.json", probe_metrics_of("A3B-svm"))
    grid = {"seed": [0], "networks": {"random0": ["baseA", "A3B+", "A3B-svm", "A5B-svm"]}}
    networks, learning, absent = read_networks(study / "results/digits/tiny", grid, study / "data/splits/digits")
    row = networks.set_index("network").loc["A3B-svm"]
    assert row[["treatment", "source", "n", "option", "pooling"]].tolist() == ["transfer-svm", "A", 3, "svm", "grid"]
    assert (row["test_top1"], row["test_mean_per_class"]) == (0.5, pytest.approx(0.6))
    trained = ["chosen_test_top1", "mean_of_ten_best", "train_loss", "validation_loss", "test_loss"]
    assert row[trained].isna().all()
    assert "A3B-svm" not in set(learning["network"])
    coverage = coverage_table(networks, absent).set_index("network")["state"]
    assert coverage.to_dict() == dict.fromkeys(networks["network"], "present") | {"A5B-svm": "missing"}


def test_a_network_s_metrics_may_not_lack_what_training_gives(study):
    path = study / "results/digits/tiny/even-odd/seed1/A3B+.json"
    files.write_json(path, files.read_json(path) | {"train_loss": None})
    assert "train_loss is None, which is no number" in read_bad_study(study, path)


def test_top5_is_in_the_table_where_it_was_scored(study):
    path = study / "results/digits/tiny/random0/seed0/baseA.json"
    metrics = metrics_of("baseA")
    files.write_json(path, metrics | {"test": metrics["test"] | {"top5": 0.875}})
    assert read_study(study)["test_top5"].dropna().to_dict() == {0: 0.875}


def test_the_stage_of_the_cut_is_in_the_table_where_the_metrics_name_it(study):
    path = study / "results/digits/tiny/random0/seed0/A3B+.json"
    files.write_json(path, metrics_of("A3B+") | {"stage": "layer2.0"})
    assert read_study(study)["stage"].dropna().to_dict() == {1: "layer2.0"}


def test_an_untrained_network_stays_in_the_table_with_its_reason(study):
    path = study / "results/digits/tiny/random0/seed0/A3B+.json"
    files.write_json(path, metrics_of("A3B+") | {"trained": False, "reason": "the training loss ended at 1.609"})
    table = read_study(study)
    assert list(table["trained"]) == [True, False, *[True] * 6]
    assert table["reason"][1] == "the training loss ended at 1.609"


@pytest.fixture
def damaged(study) -> Path:
    """The metrics that tests damage."""
    return study / "results/digits/tiny/even-odd/seed1/A3B+.json"


def test_missing_metrics_are_named(study, damaged):
    damaged.unlink()
    assert read_bad_study(study, damaged) == f"{damaged}: there is no such file"


def test_truncated_metrics_are_named(study, damaged):
    damaged.write_text(damaged.read_text()[:-40])
    assert read_bad_study(study, damaged).startswith(f"{damaged}: not a whole JSON file")


@pytest.mark.parametrize("key", [*metrics_of("A3B+")])
def test_metrics_that_lack_a_key_are_named(key, study, damaged):
    metrics = metrics_of("A3B+")
    del metrics[key]
    files.write_json(damaged, metrics)
    reason = read_bad_study(study, damaged)
    assert reason.startswith((f"{damaged}: not in its form (", f"{damaged}: no network's metrics ("))
    assert key in reason
    assert reason.endswith(AGAIN)


AGAIN = "delete it and run again"


@pytest.mark.parametrize(
    "content", ["{}", "[]", '{"target": "A", "test": 3, "validation": 4, "mean_of_ten_best": 5}', '"A3B+"', "", "\0"]
)
def test_foreign_metrics_are_named(content, study, damaged):
    damaged.write_text(content)
    assert read_bad_study(study, damaged).startswith(f"{damaged}: ")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "0.5", True])
@pytest.mark.parametrize(
    "place", ["train_loss", "test.top1", "validation.top1", "chosen.test_top1", "mean_of_ten_best.validation_top1"]
)
def test_what_is_no_number_is_named(place, value, study, damaged):
    metrics = metrics_of("A3B+")
    *parents, last = place.split(".")
    section = metrics
    for key in parents:
        section = section[key]
    section[last] = value
    damaged.write_text(json.dumps(metrics))
    reason = read_bad_study(study, damaged)
    said = reason.removeprefix(f"{damaged}: ")
    assert place in said or "is no number of JSON" in said
    assert said.startswith(("not in its form (", "no network's metrics (", "not a whole JSON file ("))


@pytest.mark.parametrize(
    ("learning", "sentence"),
    [
        ([], "learning is empty"),
        ([{"step": 10, "train_loss": 1.0, "validation_loss": 1.5}], "validation_top1"),
        ([{"step": None, "train_loss": 1.0, "validation_loss": 1.5, "validation_top1": 0.5}], "step is None"),
        ({"step": 10}, "learning: expected `array`"),
    ],
)
def test_learning_that_is_none_is_named(learning, sentence, study, damaged):
    damaged.write_text(json.dumps(metrics_of("A3B+") | {"learning": learning}))
    reason = read_bad_study(study, damaged)
    assert reason.startswith((f"{damaged}: no network's metrics (", f"{damaged}: not in its form ("))
    assert sentence in reason


def test_metrics_of_another_network_are_refused(study, damaged):
    files.write_json(damaged, metrics_of("A3B"))
    assert read_bad_study(study, damaged) == f"{damaged}: holds the metrics of A3B; delete it and run again"


def test_a_missing_or_foreign_split_takes_its_networks_with_it(study):
    path = study / "data/splits/digits/even-odd.json"
    for content, sentence in (
        ("{}", "not in its form (object missing required field `kind`); delete it and run again"),
        (None, "there is no such file"),
    ):
        path.write_text(content) if content else path.unlink()
        networks, _, absent = read_networks(study / "results/digits/tiny", GRID, path.parent)
        assert set(networks["split"]) == {"random0"}
        assert {(place["split"], place["kind"], place["reason"]) for place in absent} == {
            ("even-odd", "unknown", f"{path}: {sentence}")
        }
        assert len(absent) == 4


def test_where_nothing_can_be_read_the_first_reason_is_given(study):
    for path in (study / "results").rglob("*.json"):
        path.write_text("")
    with pytest.raises(InputError, match=r"results/digits/tiny/random0/seed0/baseA.json: not a whole JSON file"):
        read_study(study)


def test_volumes_and_distances_are_those_of_the_split(study):
    path = study / "data/splits/digits/even-odd.json"
    split = split_of("groups", volume={"B": 20, "seed": 3}, distance={"synset": 4.5, "a_distance": None})
    files.write_json(path, split)
    table = read_study(study).query("split == 'even-odd' and seed == 0").set_index("network")
    assert table["volume"].dropna().to_dict() == {"A3B+": 20}
    assert table["other_volume"].dropna().to_dict() == {"baseA": 20}
    assert set(table["synset_distance"]) == {4.5}
    assert table["a_distance"].isna().all()


def test_each_split_may_have_networks_of_its_own(study):
    grid = {"seed": [1], "networks": {"random0": ["baseA"], "even-odd": ["A3B+", "baseA"]}}
    networks, learning, absent = read_networks(study / "results/digits/tiny", grid, study / "data/splits/digits")
    assert not absent
    assert networks[["split", "seed", "network"]].to_numpy().tolist() == [
        ["random0", 1, "baseA"],
        ["even-odd", 1, "A3B+"],
        ["even-odd", 1, "baseA"],
    ]
    assert learning[["split", "seed", "network", "step", "validation_top1"]].to_numpy().tolist() == [
        [*row, step, top1]
        for row in networks[["split", "seed", "network"]].to_numpy().tolist()
        for step, top1 in ((10, 0.125), (20, 0.75))
    ]


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        ([], "--grid: give "),
        ({"split": ["a"], "seed": [0]}, "--grid: give "),
        ({"split": ["a"], "seed": [0], "networks": {}}, "--grid: give "),
        ({"seed": [0], "networks": ["baseA"]}, '--grid: "networks" must give each split its list'),
        ({"seed": [0], "networks": {"a": "baseA"}}, '--grid: "networks" must give each split its list'),
        ({"seed": [0, 0], "networks": {"a": ["baseA"]}}, "--grid: names baseA of a, seed 0, twice"),
        ({"split": ["a", "b"], "seed": [0], "network": ["A3B", "A3B"]}, "--grid: names A3B of a, seed 0, twice"),
        ({"split": ["a"], "seed": [0], "network": ["AxB"]}, "'AxB' is no network"),
    ],
)
def test_a_bad_grid_is_refused(grid, sentence):
    with pytest.raises(InputError) as error:
        grid_cells(grid)
    assert str(error.value).startswith(sentence)


TABLES = {
    "networks": NETWORK_COLUMNS,
    "learning": LEARNING_COLUMNS,
    "pairs": PAIR_COLUMNS,
    "effects": EFFECT_COLUMNS,
    "drops": DROP_COLUMNS,
    "coverage": COVERAGE_COLUMNS,
}


def start(monkeypatch, study: Path, into: Path, grid: dict = GRID, drop: str = "0.02") -> None:
    """Run the command on the small study."""
    options = {"--results": study / "results/digits/tiny", "--splits": study / "data/splits/digits"}
    options |= {"--grid": json.dumps(grid), "--drop": drop, "--unbalanced": "false"}
    options |= {f"--{name}": into / f"{name}.csv" for name in TABLES}
    monkeypatch.setattr(sys, "argv", ["analysis", *(str(word) for pair in options.items() for word in pair)])
    gathering.main()


def test_the_command_writes_all_tables_the_same_twice(study, monkeypatch):
    found = []
    for folder in ("one", "two"):
        start(monkeypatch, study, study / folder)
        found.append([(study / folder / f"{name}.csv").read_bytes() for name in TABLES])
    assert found[0] == found[1]
    with open(study / "one/networks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["test_top1"] for row in rows] == ["0.5", "0.5", "0.75", "0.75"] * 2
    assert {row["trained"] for row in rows} == {"True"}
    # baseB, with which A3B+ would be compared, is not in this study; baseA has another target.
    effects = read_table(study / "one/effects.csv", EFFECT_COLUMNS)
    assert effects["mean"].isna().all()
    assert effects["note"].str.startswith("refused, unless asked for: no pair; transfer+: ").all()
    for name in ("pairs", "drops"):
        assert (study / f"one/{name}.csv").read_text() == ",".join(TABLES[name]) + "\n"
    assert set(read_table(study / "one/coverage.csv", COVERAGE_COLUMNS)["state"]) == {"present"}


def test_the_command_computes_what_it_can_and_says_what_it_could_not(study, monkeypatch, capsys):
    for split, seed in product(("random0", "even-odd"), (0, 1)):
        files.write_json(study / f"results/digits/tiny/{split}/seed{seed}/baseB.json", metrics_of("baseB", 0.25))
    path = study / "results/digits/tiny/random0/seed1/A3B+.json"
    path.write_text("{")
    start(monkeypatch, study, study, GRID | {"network": ["baseB", "A3B+"]})
    assert re.fullmatch(f"left out: {re.escape(str(path))}: not a whole JSON file .*\n", capsys.readouterr().err)
    coverage = read_table(study / "coverage.csv", COVERAGE_COLUMNS)
    assert coverage["state"].tolist().count("missing") == 1
    pairs = read_table(study / "pairs.csv", PAIR_COLUMNS).query("read_out == 'test_top1'")
    assert pairs[["split", "seed", "difference"]].to_numpy().tolist() == [
        ["random0", 0, 0.25],
        ["even-odd", 0, 0.25],
        ["even-odd", 1, 0.5],
    ]
    effects = read_table(study / "effects.csv", EFFECT_COLUMNS).query("read_out == 'test_top1'")
    assert effects[["kind", "units", "mean"]].to_numpy().tolist() == [["groups", 2, 0.375], ["random", 1, 0.25]]


@pytest.mark.parametrize("drop", ["0", "1", "-0.1", "nan"])
def test_a_drop_that_is_no_share_is_refused(study, drop, monkeypatch):
    with pytest.raises(InputError, match=r"--drop: .* is no share between 0 and 1"):
        start(monkeypatch, study, study, drop=drop)
