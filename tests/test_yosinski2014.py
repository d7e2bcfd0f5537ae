"""The original study, re-read: what its published logs must give, and the page that tells of it."""

import doctest
import sys
from pathlib import Path

import pandas as pd
import pytest

from transferability.analysis import yosinski2014
from transferability.analysis.coverage import coverage_line, coverage_table, means_table
from transferability.analysis.effects import effects_table
from transferability.analysis.pairs import pairs_table
from transferability.analysis.tables import COVERAGE_COLUMNS, EFFECT_COLUMNS, NETWORK_COLUMNS, PAIR_COLUMNS, read_table
from transferability.analysis.yosinski2014 import read_published
from transferability.facts import FACTS

CHECKOUT = Path(__file__).parent.parent
REFERENCE = CHECKOUT.parent / "shared/reference/yosinski2014_networks.csv"
LAYERS = [1, 2, 3, 4, 5, 6, 7]


@pytest.fixture(scope="module")
def networks() -> pd.DataFrame:
    return read_published()[0]


@pytest.fixture(scope="module")
def effects(networks) -> pd.DataFrame:
    table = effects_table(networks, unbalanced=False)
    return table[table["read_out"] == "mean_of_ten_best"]


@pytest.fixture(scope="module")
def coverage() -> pd.DataFrame:
    return coverage_table(*read_published())


def test_the_published_numbers_are_those_of_the_reference():
    if not REFERENCE.exists():
        pytest.skip("the reference that the numbers were taken from is not here")
    assert (FACTS / "yosinski2014.csv").read_bytes() == REFERENCE.read_bytes()


def test_every_folder_that_has_a_log_is_a_network(networks):
    logs = pd.read_csv(FACTS / "yosinski2014.csv")
    assert len(logs) == 170
    logged = logs[logs["top1_final"].notna()]
    assert len(networks) == len(logged) == 148
    for column, published in (
        ("mean_of_ten_best", "top1_mean10best"),
        ("validation_top1", "top1_final"),
        ("validation_loss", "valid_loss_final"),
        ("train_loss", "train_loss_last500"),
    ):
        assert networks[column].tolist() == logged[published].tolist(), column
    assert networks[["test_top1", "test_loss", "test_images"]].isna().all(axis=None)
    named = ~logged["treatment"].isin(["reduced", "random"]) & (logged["split"] != "whole")
    assert networks["network"][named.to_numpy()].tolist() == logged["network"][named].tolist()


def test_bases_score_what_they_scored(networks):
    bases = networks[(networks["kind"] == "random") & (networks["treatment"] == "base")]
    assert len(bases) == 8
    assert bases["mean_of_ten_best"].mean() == pytest.approx(0.6251, abs=5e-5)
    assert bases["mean_of_ten_best"].std() == pytest.approx(0.0055, abs=5e-5)
    assert set(bases["classes"]) == {500}
    assert set(bases["validation_chance"]) == {1 / 500}
    assert bases["validation_top1"].mean() == pytest.approx(0.6245, abs=5e-5)
    (whole,) = networks[(networks["split"] == "whole") & (networks["network"] == "baseA")]["mean_of_ten_best"]
    assert whole == pytest.approx(0.5763, abs=5e-5)


@pytest.mark.parametrize(
    ("effect", "pairs", "means"),
    [
        ("co-adaptation", 4, [0.0035, 0.0003, -0.0021, -0.0185, -0.0297, -0.0045, 0.0000]),
        ("total", 8, [0.0031, -0.0012, -0.0062, -0.0253, -0.0471, -0.0445, -0.0826]),
        ("specificity", 4, [0.0015, -0.0001, -0.0014, -0.0062, -0.0168, -0.0390, -0.0824]),
    ],
)
def test_effects_of_the_halves_are_the_known_ones(effects, effect, pairs, means):
    rows = effects[(effects["kind"] == "random") & (effects["effect"] == effect) & effects["n"].notna()]
    assert rows["n"].tolist() == LAYERS
    assert rows["mean"].tolist() == pytest.approx(means, abs=5.1e-5)
    assert set(rows["units"]) == {4}
    assert set(rows["pairs"]) == {pairs}
    assert (rows["low"] < rows["mean"]).all()
    assert (rows["mean"] < rows["high"]).all()


@pytest.mark.parametrize(
    ("target", "curve"),
    [
        ("A", [0.6534, 0.6571, 0.6506, 0.6250, 0.5824, 0.5219, 0.4850, 0.3990]),
        ("B", [0.5372, 0.5392, 0.5214, 0.5008, 0.4616, 0.4098, 0.3742, 0.2914]),
    ],
    ids=["natural", "man-made"],
)
def test_natural_and_man_made_classes_have_their_curves(networks, effects, target, curve):
    rows = networks[(networks["kind"] == "groups") & (networks["target"] == target)].sort_values("n")
    assert rows["n"].tolist() == [0, *LAYERS]
    assert rows["mean_of_ten_best"].tolist() == pytest.approx(curve, abs=5.1e-5)
    assert set(rows["classes"]) == {449 if target == "A" else 551}
    total = effects[(effects["kind"] == "groups") & effects["n"].notna()]
    assert set(total["note"]) == {"one independent unit: no interval"}
    assert total["low"].isna().all()


def test_what_did_not_train_is_marked(networks, coverage):
    random = networks[networks["treatment"] == "random"]
    assert random["mean_of_ten_best"].tolist() == pytest.approx(
        [0.4917, 0.4026, 0.0011, 0.0191, 0.0499, 0.0145, 0.0146], abs=5.1e-5
    )
    assert random["n"][~random["trained"]].tolist() == [3, 6, 7]
    volumes = networks[networks["volume"].notna()]
    assert volumes["volume"].tolist() == [1, 2, 5, 10, 25, 50, 100, 250, 500, 750, 1000, 1300]
    assert volumes["volume"][~volumes["trained"]].tolist() == [5, 10, 25, 50, 100]
    assert volumes["volume"][volumes["trained"] & volumes["reason"].notna()].tolist() == [1, 2]
    assert (coverage["state"] == "did not train").sum() == 8


def test_the_coverage_shows_what_the_logs_lack(coverage):
    counts = coverage.groupby(["kind", "treatment", "target", "state"]).size()
    tuned = counts["random"].loc[["selffer+", "transfer+"]].to_dict()
    assert tuned == {
        ("selffer+", "A", "present"): 10,
        ("selffer+", "A", "missing"): 18,
        ("selffer+", "B", "missing"): 28,
        ("transfer+", "A", "missing"): 28,
        ("transfer+", "B", "present"): 10,
        ("transfer+", "B", "missing"): 18,
    }
    assert counts["random"].loc["selffer"].to_dict() == {("A", "present"): 28, ("B", "missing"): 28}
    assert counts["random"].loc["transfer"].to_dict() == {("A", "present"): 28, ("B", "present"): 28}
    reasons = coverage["reason"].value_counts()
    assert reasons["the published folder has no log"] == 22
    assert coverage_line(coverage) == (
        "140 of 268 networks; splits: 18; targets: A, B; seed: 0; did not train: 8; missing: 120; "
        "validation loss that of guessing: 2"
    )


def test_the_lingering_boost_is_refused_and_unpaired_where_it_is_asked_for(networks, effects):
    refused = effects[effects["effect"] == "lingering boost"]
    assert len(refused) == 8
    assert refused["mean"].isna().all()
    assert (
        refused["note"].str.startswith("refused, unless asked for: no pair; transfer+: random0 seed 0 target B").all()
    )
    asked = effects_table(networks, unbalanced=True)
    asked = asked[(asked["effect"] == "lingering boost") & (asked["read_out"] == "mean_of_ten_best")]
    assert not asked["balanced"].any()
    assert asked["mean"][asked["n"].isna()].tolist() == pytest.approx([0.0138], abs=1e-4)


@pytest.mark.parametrize(
    ("least", "unpaired", "paired"),
    [
        (1, [1.60, 1.38], [0.97, 0.97, 0.00]),
        (3, [1.80, 1.39], [1.17, 1.10, 0.07]),
        (5, [2.06, 1.73], [1.16, 1.01, 0.15]),
    ],
)
def test_fine_tuned_gains_shrink_when_they_are_paired(networks, least, unpaired, paired):
    halves = networks[networks["kind"] == "random"]
    base = halves[halves["treatment"] == "base"]["mean_of_ten_best"].mean()
    transfer, selffer = (
        halves[(halves["treatment"] == name) & (halves["n"] >= least)]["mean_of_ten_best"].mean()
        for name in ("transfer+", "selffer+")
    )
    # The numbers to expect are differences of rounded ones.
    assert [100 * (transfer - base), 100 * (transfer - selffer)] == pytest.approx(unpaired, abs=0.01)
    pairs = pairs_table(networks)
    pairs = pairs[(pairs["read_out"] == "mean_of_ten_best") & (pairs["n"] >= least)]
    gains = [
        100 * pairs[pairs["effect"] == f"fine-tuned {name}"]["difference"].mean() for name in ("transfer", "selffer")
    ]
    assert [*gains, gains[0] - gains[1]] == pytest.approx(paired, abs=0.01)


def test_means_that_do_not_stand_on_all_halves_are_refused(networks):
    means = means_table(networks, "mean_of_ten_best", unbalanced=False)
    halves = means[(means["kind"] == "random")]
    assert set(halves["treatment"][halves["balanced"]]) == {"base", "transfer"}
    assert halves["mean"][~halves["balanced"]].isna().all()


@pytest.fixture
def tables(tmp_path, monkeypatch) -> Path:
    """The tables as the command writes them, under the current folder."""
    monkeypatch.chdir(tmp_path)
    names = ("networks", "pairs", "effects", "drops", "coverage")
    options = {f"--{name}": f"results/yosinski2014/caffenet/{name}.csv" for name in names}
    options |= {"--drop": "0.02", "--unbalanced": "false"}
    monkeypatch.setattr(sys, "argv", ["yosinski2014", *(word for pair in options.items() for word in pair)])
    yosinski2014.main()
    return tmp_path / "results/yosinski2014/caffenet"


def test_the_command_writes_the_tables_of_a_study(tables, networks):
    pd.testing.assert_frame_equal(read_table(tables / "networks.csv", NETWORK_COLUMNS), networks)
    assert len(read_table(tables / "coverage.csv", COVERAGE_COLUMNS)) == 268
    for name, columns in (("pairs", PAIR_COLUMNS), ("effects", EFFECT_COLUMNS)):
        assert set(read_table(tables / f"{name}.csv", columns)["read_out"]) == {
            "validation_top1",
            "mean_of_ten_best",
            "train_loss",
        }


def test_every_number_of_the_page_comes_from_its_lines(tables):
    page = CHECKOUT / "docs/yosinski2014.md"
    assert tables.exists()
    found = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert found.attempted > 30
    assert found.failed == 0
