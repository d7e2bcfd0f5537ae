"""Choice: which source each way takes for a target, what that gives, and what it costs, on planted tables."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from planted import plant

from transferability import files
from transferability.analysis import choice
from transferability.analysis.choice import choice_table
from transferability.analysis.tables import CHOICE_COLUMNS, SCORE_COLUMNS, read_table, shape_table, write_table

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


def test_each_way_chooses_its_best_and_is_held_against_the_best_there_is(networks):
    table = choice_table(planted_scores(), networks).set_index("way")
    assert table.loc["ridge", "chosen"] == table.loc["ridge", "best"] == "good, pretrained, n = 3"
    assert table.loc["ridge", "regret"] == 0
    # The bad source's last cut, to which a score of its head belongs.
    assert table.loc["leep", "chosen"] == "bad, pretrained, n = 3"
    assert table.loc["leep", "regret"] == pytest.approx(0.12)
    assert table.loc["svm", "chosen"].startswith("bad, pretrained")
    assert table.loc["training all", "regret"] == 0
    assert table.loc["at random", "regret"] == pytest.approx(0.06)
    assert (table["candidates"] == 6).all()
    assert table["kind"].tolist() == ["score", "score", "probe", "training", "at random"]


def test_a_way_costs_what_all_candidates_take(networks):
    seconds = choice_table(planted_scores(), networks).set_index("way")["seconds"]
    assert seconds["ridge"] == pytest.approx(2 * 10 + 6 * 0.5)
    assert seconds["svm"] == pytest.approx(2 * 10 + 6 * 0.01)
    assert seconds["training all"] == pytest.approx(2 * (1 + 2 + 3))


def test_a_network_that_did_not_train_and_a_single_candidate_are_no_choice(networks):
    trained = networks["trained"] & ~((networks["treatment"] == "pretrained+") & (networks["architecture"] == "good"))
    table = choice_table(planted_scores(), networks.assign(trained=trained)).set_index("way")
    assert table.loc["ridge", "chosen"] == "bad, pretrained, n = 1"
    single = networks[networks["n"].isin([0, 1]) & (networks["architecture"] == "good")]
    assert choice_table(planted_scores(), single).empty


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
    monkeypatch.setattr(sys, "argv", ["choice", *map(str, [*words, "--models", tmp_path / "models", "--into", into])])
    choice.main()
    table = read_table(into, CHOICE_COLUMNS).set_index("way")
    assert table.loc["svm", "seconds"] == pytest.approx(2 * 10 + 6 * 0.25)
    assert np.isnan(table.loc["training all", "seconds"])
    assert json.loads(table["regret"].to_json())["ridge"] == 0
