"""Analysis: the tables hold what the metrics say, and effects are paired differences."""

import csv
import json
import re
import sys
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from transferability import analysis, files
from transferability.analysis import EFFECTS, NETWORK_COLUMNS, effects_table, networks_table
from transferability.errors import InputError
from transferability.notation import parse_network

PAIR = ["split", "seed", "target"]
SPLITS, SEEDS, LAYERS = ["random0", "random1", "even-odd"], [0, 1], [1, 4, 7]
# What each treatment adds to the accuracy of its own base network, as a function of n.
GAINS = {
    "base": lambda n: 0,
    "selffer": lambda n: -0.01 * n,
    "selffer+": lambda n: 0.002,
    "transfer": lambda n: -0.03 * n,
    "transfer+": lambda n: 0.004 * n,
    "random": lambda n: -0.1 * n,
    "transfer-k2": lambda n: 0.001,
}


def level(split: str, seed: int, target: str) -> float:
    """The accuracy of a base network: cells differ by more than any effect."""
    return 0.3 + 0.2 * SPLITS.index(split) + 0.1 * seed + 0.05 * (target == "B")


@pytest.fixture
def planted() -> pd.DataFrame:
    """A networks table in which every treatment adds its gain to the level of its target, split and seed."""
    rows = []
    for split, seed, target, (treatment, gain) in product(SPLITS, SEEDS, "AB", GAINS.items()):
        for n in [0] if treatment == "base" else LAYERS:
            rows.append(
                {
                    "dataset": "digits",
                    "architecture": "tiny",
                    "split": split,
                    "kind": "groups" if split == "even-odd" else "random",
                    "seed": seed,
                    "treatment": treatment,
                    "n": n,
                    "target": target,
                    "trained": True,
                    "test_top1": level(split, seed, target) + gain(n),
                }
            )
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def metrics_of(network: str, top1: float = 0.5) -> dict:
    """What `evaluate` writes of a network, in its own form."""
    identity = parse_network(network)
    scores = {"count": 10, "top1": top1, "loss": 1.5, "per_class": {"a": {"count": 10, "top1": top1}}}
    return {
        "network": network,
        "treatment": identity.treatment,
        "source": identity.source,
        "n": identity.n,
        "target": identity.target,
        "fine_tune": identity.fine_tune,
        "preserved": identity.preserved,
        "trained": True,
        "reason": None,
        "classes": 5,
        "images_seen": 1280,
        "train_loss": 0.75,
        "mean_of_ten_best": {"validation_top1": 0.625, "of": 10},
        "validation": scores | {"top1": 0.25, "loss": 1.25},
        "test": scores,
    }


@pytest.fixture
def study(tmp_path) -> Path:
    """A folder with the splits and metrics of a small study."""
    for split, kind in (("random0", "random"), ("even-odd", "groups")):
        files.write_json(tmp_path / f"data/splits/digits/{split}.json", {"kind": kind, "content": "..."})
        for seed, network in product((0, 1), ("baseA", "A3B+")):
            path = tmp_path / f"results/digits/tiny/{split}/seed{seed}/{network}.json"
            files.write_json(path, metrics_of(network, 0.5 + seed / 4))
    return tmp_path


GRID = {"split": ["random0", "even-odd"], "seed": [0, 1], "network": ["baseA", "A3B+"]}


def read_study(folder: Path) -> pd.DataFrame:
    """The networks table of the small study."""
    return networks_table(folder / "results/digits/tiny", GRID, folder / "data/splits/digits")


def test_planted_effects_are_recovered_in_every_cell(planted):
    effects = effects_table(planted)
    for name, (first, second) in EFFECTS.items():
        rows = effects[effects["effect"] == name]
        assert sorted(zip(*(rows[column] for column in [*PAIR, "n"]), strict=True)) == sorted(
            product(SPLITS, SEEDS, "AB", LAYERS)
        ), name
        for row in rows.itertuples():
            assert row.difference == pytest.approx(GAINS[first](row.n) - GAINS[second](row.n)), name
    assert set(effects["effect"]) == set(EFFECTS)


def test_a_base_network_is_compared_with_every_n(planted):
    effects = effects_table(planted)
    against_base = effects[effects["effect"] == "co-adaptation"]
    assert dict(against_base.groupby("n").size()) == dict.fromkeys(LAYERS, len(SPLITS) * len(SEEDS) * 2)


def test_effects_say_where_they_are_from(planted):
    effects = effects_table(planted)
    assert list(effects.columns) == [
        "effect",
        "dataset",
        "architecture",
        "split",
        "kind",
        "seed",
        "target",
        "n",
        "difference",
    ]
    assert set(effects["kind"][effects["split"] == "even-odd"]) == {"groups"}
    assert set(effects["kind"][effects["split"] != "even-odd"]) == {"random"}


def test_an_untrained_network_takes_its_pairs_with_it_and_no_others(planted):
    cell = (planted["split"] == "random1") & (planted["seed"] == 1) & (planted["target"] == "B")
    untrained = cell & (planted["treatment"] == "selffer") & (planted["n"] == 4)
    assert untrained.sum() == 1
    whole = effects_table(planted)
    planted.loc[untrained, ["trained", "test_top1"]] = False, 0.0
    effects = effects_table(planted)

    there = whole.merge(effects, how="left", indicator=True)
    lost = there[there["_merge"] == "left_only"]
    assert sorted(lost["effect"]) == ["co-adaptation", "specificity"]
    assert set(zip(lost["split"], lost["seed"], lost["target"], lost["n"], strict=True)) == {("random1", 1, "B", 4)}
    assert len(effects) == len(whole) - 2


def test_an_untrained_base_takes_every_comparison_with_it(planted):
    cell = (planted["split"] == "random0") & (planted["seed"] == 0) & (planted["target"] == "A")
    planted.loc[cell & (planted["treatment"] == "base"), "trained"] = False
    effects = effects_table(planted)
    cell = (effects["split"] == "random0") & (effects["seed"] == 0) & (effects["target"] == "A")
    assert set(effects[cell]["effect"]) == {"specificity", "lingering boost"}


def test_a_study_of_fewer_treatments_has_fewer_effects(planted):
    effects = effects_table(planted[planted["treatment"].isin(["base", "transfer"])])
    assert set(effects["effect"]) == {"frozen transfer"}
    assert effects_table(planted[planted["treatment"] == "base"]).empty


def test_the_table_has_a_row_a_network_with_what_its_metrics_say(study):
    table = read_study(study)
    assert list(table.columns) == list(NETWORK_COLUMNS)
    assert list(zip(table["split"], table["seed"], table["network"], strict=True)) == list(product(*GRID.values()))
    row = table.iloc[3].to_dict()
    assert pd.isna(row.pop("test_top5"))
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
        "mean_of_ten_best": 0.625,
        "test_top1": 0.75,
        "test_loss": 1.5,
        "test_images": 10,
    }
    assert pd.isna(table["source"][0])
    assert set(table["kind"][4:]) == {"groups"}


def test_top5_is_in_the_table_where_it_was_scored(study):
    path = study / "results/digits/tiny/random0/seed0/baseA.json"
    metrics = metrics_of("baseA")
    files.write_json(path, metrics | {"test": metrics["test"] | {"top5": 0.875}})
    assert read_study(study)["test_top5"].dropna().to_dict() == {0: 0.875}


def test_an_untrained_network_stays_in_the_table_with_its_reason(study):
    path = study / "results/digits/tiny/random0/seed0/A3B+.json"
    files.write_json(path, metrics_of("A3B+") | {"trained": False, "reason": "the training loss ended at 1.609"})
    table = read_study(study)
    assert list(table["trained"]) == [True, False, *[True] * 6]
    assert table["reason"][1] == "the training loss ended at 1.609"


def test_missing_metrics_are_named(study):
    path = study / "results/digits/tiny/even-odd/seed1/A3B+.json"
    path.unlink()
    with pytest.raises(InputError) as error:
        read_study(study)
    assert str(error.value) == f"{path}: there is no such file"


def test_truncated_metrics_are_named(study):
    path = study / "results/digits/tiny/even-odd/seed1/A3B+.json"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: not a whole JSON file"):
        read_study(study)


@pytest.mark.parametrize("key", [*metrics_of("A3B+")])
def test_metrics_that_lack_a_key_are_named(key, study):
    path = study / "results/digits/tiny/even-odd/seed1/A3B+.json"
    metrics = metrics_of("A3B+")
    del metrics[key]
    files.write_json(path, metrics)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: "):
        read_study(study)


@pytest.mark.parametrize("content", ["{}", "[]", '{"test": 3, "validation": 4, "mean_of_ten_best": 5}', '"A3B+"'])
def test_foreign_metrics_are_named(content, study):
    path = study / "results/digits/tiny/even-odd/seed1/A3B+.json"
    path.write_text(content)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: "):
        read_study(study)


def test_metrics_of_another_network_are_refused(study):
    path = study / "results/digits/tiny/even-odd/seed1/A3B+.json"
    files.write_json(path, metrics_of("A3B"))
    with pytest.raises(InputError) as error:
        read_study(study)
    assert str(error.value) == f"{path}: holds the metrics of A3B; delete it and run again"


def test_a_missing_or_foreign_split_is_named(study):
    path = study / "data/splits/digits/even-odd.json"
    path.write_text("{}")
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: "):
        read_study(study)
    path.unlink()
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: there is no such file"):
        read_study(study)


def test_the_command_writes_both_tables_the_same_twice(study, monkeypatch):
    found = []
    for folder in ("one", "two"):
        monkeypatch.setattr(
            sys,
            "argv",
            [
                "analysis",
                *("--results", str(study / "results/digits/tiny"), "--splits", str(study / "data/splits/digits")),
                *("--grid", json.dumps(GRID)),
                *("--networks", str(study / folder / "networks.csv")),
                *("--effects", str(study / folder / "effects.csv")),
            ],
        )
        analysis.main()
        found.append([(study / folder / name).read_bytes() for name in ("networks.csv", "effects.csv")])
    assert found[0] == found[1]
    with open(study / "one/networks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["test_top1"] for row in rows] == ["0.5", "0.5", "0.75", "0.75"] * 2
    assert {row["trained"] for row in rows} == {"True"}
    # baseB, with which A3B+ would be compared, is not in this study.
    assert (study / "one/effects.csv").read_text() == (
        "effect,dataset,architecture,split,kind,seed,target,n,difference\n"
    )
