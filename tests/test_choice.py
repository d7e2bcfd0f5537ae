"""Choice: which source each way takes for a target, what that gives, and what it costs, on planted tables."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from drawn import drawing_of
from planted import plant

from transferability import files
from transferability.analysis import choice
from transferability.analysis.choice import choice_tables
from transferability.analysis.tables import (
    CANDIDATE_COLUMNS,
    CHOICE_COLUMNS,
    SCORE_COLUMNS,
    read_table,
    shape_table,
    write_table,
)
from transferability.figures import choice as figure
from transferability.figures.records import NothingToDrawError
from transferability.study.grid import study_figures

CHECKOUT = Path(__file__).parent.parent

GAINS = {
    "good": {"pretrained+": lambda n: 0.02 * n, "pretrained-svm": lambda n: 0.01 * n, "random": lambda n: 0.4},
    "bad": {"pretrained+": lambda n: -0.02 * n, "pretrained-svm": lambda n: 0.05, "random": lambda n: 0.4},
}
"""Two sources; the probe is misled by the second."""
LAYERS = (1, 2, 3)


@pytest.fixture
def networks() -> pd.DataFrame:
    """Networks of both sources for one target, each of which took its n in seconds, a probe a hundredth."""
    tables = [
        plant(gains, {"all": "whole"}, layers=LAYERS, targets="A").assign(architecture=name)
        for name, gains in GAINS.items()
    ]
    table = pd.concat(tables, ignore_index=True)
    return table.assign(seconds=np.where(table["option"].notna(), 0.01, table["n"]))


def planted_scores() -> pd.DataFrame:
    """Ridge knows which source is good, LEEP takes the bad one, and nothing knows what is untrained or has seen."""
    rows = []
    for name in GAINS:
        common = {"dataset": "digits", "architecture": name, "split": "all", "kind": "whole", "seed": 0, "target": "A"}
        common |= {"images": 9, "values": 9, "pooling": "gap", "permutations": 10, "null": 0.0, "stage": "x"}
        common |= {"seconds": 0.5, "pass_seconds": 10.0, "seen": False, "source": "P", "treatment": "pretrained"}
        sign = 1 if name == "good" else -1
        for n in LAYERS:
            value = {"n": n, "cut": f"P{n}A", "score": "ridge", "above": sign * n}
            rows += [common | value, common | value | {"treatment": "random", "source": "R", "above": 99.0}]
            rows.append(common | value | {"treatment": "selffer", "source": "A", "seen": True, "above": 99.0})
        rows.append(common | {"n": 4, "cut": "P4A", "score": "leep", "above": -sign})
    return shape_table([row | {"value": row["above"]} for row in rows], SCORE_COLUMNS)


def chosen(scores: pd.DataFrame, networks: pd.DataFrame, truth: str = "fine-tuned") -> pd.DataFrame:
    """The rows of choice.csv of one truth, by way."""
    table, _ = choice_tables(scores, networks)
    return table[table["truth"] == truth].set_index("way")


def test_each_way_chooses_its_best_and_is_held_against_the_best_there_is(networks):
    table = chosen(planted_scores(), networks)
    assert table.loc["ridge", "chosen"] == table.loc["ridge", "best"] == "good, pretrained, n = 3"
    assert table.loc["ridge", "regret"] == 0
    # The bad source's last cut, to which a score of its head belongs.
    assert table.loc["leep", "chosen"] == "bad, pretrained, n = 3"
    assert table.loc["leep", "regret"] == pytest.approx(0.12)
    assert table.loc["svm", "chosen"].startswith("bad, pretrained")
    assert table.loc["training all", "regret"] == 0
    assert table.loc["at random", "regret"] == pytest.approx(0.06)
    assert (table["candidates"] == 6).all()
    assert table["rank"].fillna(0).to_dict() == {"ridge": 1, "leep": 6, "svm": 4, "training all": 1, "at random": 0}
    assert table["ranked"].to_dict() == {"ridge": 6, "leep": 2, "svm": 6, "training all": 6, "at random": 0}
    assert table.loc[["ridge", "training all"], "weighted_tau"].tolist() == pytest.approx([1, 1])
    assert table["note"].fillna("").to_dict() == {
        **dict.fromkeys(("ridge", "svm", "training all"), ""),
        "leep": "nothing to rank: fewer than 3 candidates, or all the same",
        "at random": "the mean of all candidates: none is chosen, or ranked",
    }
    assert table["kind"].tolist() == ["score", "score", "probe", "training", "at random"]


def test_a_way_costs_what_all_candidates_take(networks):
    seconds = chosen(planted_scores(), networks)["seconds"]
    assert seconds["ridge"] == pytest.approx(2 * 10 + 6 * 0.5)
    assert seconds["svm"] == pytest.approx(2 * 10 + 6 * 0.01)
    assert seconds["training all"] == pytest.approx(2 * (1 + 2 + 3))


def test_a_network_that_did_not_train_and_a_single_candidate_are_no_choice(networks):
    trained = networks["trained"] & ~((networks["treatment"] == "pretrained+") & (networks["architecture"] == "good"))
    table = chosen(planted_scores(), networks.assign(trained=trained))
    assert table.loc["ridge", "chosen"] == "bad, pretrained, n = 1"
    single = networks[networks["n"].isin([0, 1]) & (networks["architecture"] == "good")]
    assert all(table.empty for table in choice_tables(planted_scores(), single))


def test_what_a_probe_reads_is_a_truth_of_its_own(networks):
    table = chosen(planted_scores(), networks, "svm")
    assert table.loc["ridge", "best"] == "bad, pretrained, n = 1"
    assert table.loc["ridge", "regret"] == pytest.approx(0.05 - 0.03)
    assert table.loc["svm", "regret"] == 0
    assert "training all" not in table.index


def test_a_network_trained_by_a_recipe_is_no_probe(networks):
    sliding = networks[networks["treatment"] == "pretrained-svm"].assign(
        treatment="pretrained-slides", option="slides", pooling=None
    )
    table = chosen(planted_scores(), pd.concat([networks, sliding], ignore_index=True))
    assert "slides" not in table.index


def test_candidates_have_what_each_way_says_of_them_and_what_they_give(networks):
    _, table = choice_tables(planted_scores(), networks)
    rows = table[(table["truth"] == "fine-tuned") & (table["way"] == "ridge")].set_index(["architecture", "n"])
    assert rows["value"].to_dict() == {(name, n): n if name == "good" else -n for name in GAINS for n in LAYERS}
    assert rows.loc[("good", 3), "rank"] == 1
    assert rows.loc[("bad", 3), "rank"] == 6
    assert rows.loc[("bad", 3), "gives"] == pytest.approx(rows["gives"].min())


@pytest.fixture
def summary(networks, tmp_path):
    """The folder of choice.csv and candidates.csv."""
    for name, table in zip(("choice", "candidates"), choice_tables(planted_scores(), networks), strict=True):
        write_table(tmp_path / f"{name}.csv", table)
    return tmp_path


def test_the_figure_has_for_each_target_what_is_predicted_and_what_each_way_loses(networks, summary):
    drawing = drawing_of(figure, networks, summary=summary)
    predicted, lost = drawing.figure.axes
    assert [line.get_xdata().tolist() for line in predicted.get_lines()] == [[1, 2, 3], [-1, -2, -3]]
    assert predicted.get_title("left") == "digits: fine-tuned against ridge\nweighted τ +1.00"
    assert [text.get_text() for text in lost.get_yticklabels()] == [
        "ridge: rank 1 of 6, 23 s",
        "leep: rank 6 of 6, 21 s",
        "probe svm: rank 4 of 6, 20 s",
        "training all: rank 1 of 6, 12 s",
        "at random: mean of 6",
    ]
    assert "digits: best good, pretrained, n = 3 with 56.0 %" in drawing.caption
    assert "probe svm takes bad, pretrained, n = 1 (rank 4 of 6, 20 s) and loses 8.0 points" in drawing.caption


def test_a_target_for_which_nothing_is_trained_is_drawn_by_what_a_probe_reads(networks, summary):
    rows = {name: pd.read_csv(summary / f"{name}.csv") for name in ("choice", "candidates")}
    for name, table in rows.items():
        untrained = table[table["truth"] == "svm"].assign(dataset="other")
        pd.concat([table, untrained]).to_csv(summary / f"{name}.csv", index=False)
    titles = [
        axes.get_title("left").split("\n")[0] for axes in drawing_of(figure, networks, summary=summary).figure.axes
    ]
    assert titles[::2] == ["digits: fine-tuned against ridge", "other: probe svm against ridge"]


def test_the_page_s_data_set_is_drawn_first_and_what_has_no_room_is_counted(networks, summary):
    choice_rows, candidates = (
        read_table(summary / f"{name}.csv", columns)
        for name, columns in (("choice", CHOICE_COLUMNS), ("candidates", CANDIDATE_COLUMNS))
    )
    for name, table in (("choice", choice_rows), ("candidates", candidates)):
        many = [table.assign(dataset=each) for each in (*"abcdefg", "digits")]
        write_table(summary / f"{name}.csv", pd.concat(many, ignore_index=True))
    drawing = drawing_of(figure, networks, summary=summary)
    titles = [panel.get_title("left").split(":")[0] for panel in drawing.figure.axes[::2]]
    assert titles == ["digits", *"abcde"]
    assert "2 targets more: choice.csv" in drawing.figure.legends[0].get_title().get_text()


def test_without_several_sources_the_figure_says_so(networks, summary, tmp_path):
    with pytest.raises(NothingToDrawError, match="no several sources to choose among"):
        drawing_of(figure, networks, summary=tmp_path / "nothing")
    write_table(summary / "candidates.csv", shape_table([], CANDIDATE_COLUMNS))
    with pytest.raises(NothingToDrawError, match="of no target two scored cuts are retrained"):
        drawing_of(figure, networks, summary=summary)


def test_a_study_draws_the_choice_where_it_scores_several_sources():
    params = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    params["architectures"]["small"] = params["architectures"]["tiny"] | {"family": "small"}
    for treatments, architectures, drawn in (
        (["transfer"], ["tiny", "small"], True),
        (["transfer", "pretrained"], ["tiny"], True),
        (["transfer", "selffer"], ["tiny"], False),
    ):
        params["study"]["architecture"] = architectures
        params["scores"] = {"treatment": treatments, "pooling": "full"}
        assert ("choice" in study_figures(params)) == drawn


def test_the_command_reads_what_networks_and_probes_took_from_the_files_beside_them(networks, tmp_path, monkeypatch):
    scores, networks = planted_scores(), networks.drop(columns="seconds")
    for name in GAINS:
        folder = tmp_path / "results/digits" / name
        write_table(folder / "scores.csv", scores[scores["architecture"] == name])
        write_table(folder / "networks.csv", networks[networks["architecture"] == name])
        for n in LAYERS:
            files.write_json(folder / f"all/seed0/P{n}A-svm.json", {"probe": {"seconds": 0.25}})
    into, results = tmp_path / "choice.csv", tmp_path / "results"
    words = ["--tables", *(results / "digits" / name for name in GAINS), "--results", results]
    words += ["--models", tmp_path / "models", "--choice", into, "--candidates", tmp_path / "candidates.csv"]
    monkeypatch.setattr(sys, "argv", ["choice", *map(str, words)])
    choice.main()
    assert len(read_table(tmp_path / "candidates.csv", CANDIDATE_COLUMNS)) == (6 + 2 + 6 + 6) + (6 + 2 + 6)
    table = read_table(into, CHOICE_COLUMNS)
    table = table[table["truth"] == "fine-tuned"].set_index("way")
    assert table.loc["svm", "seconds"] == pytest.approx(2 * 10 + 6 * 0.25)
    assert np.isnan(table.loc["training all", "seconds"])
    assert table.loc["training all", "note"] == "what some of it took is not recorded"
    assert json.loads(table["regret"].to_json())["ridge"] == 0
