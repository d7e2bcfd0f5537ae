"""Strategies: which way to train is best, by how much, at what cost, and what the advice is worth."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import plant, reduce

from transferability import files
from transferability.analysis import advice
from transferability.analysis.strategies import (
    advise,
    best_ways,
    field_of,
    regrets,
    strategies_table,
    strategy_name,
)
from transferability.analysis.tables import write_table
from transferability.analysis.ways import ways_of
from transferability.errors import InputError
from transferability.figures import strategies as figure
from transferability.figures.records import NothingToDrawError, Options, Study

GAINS = {
    "base": lambda n: 0,
    "transfer": lambda n: -0.01 * n,
    "transfer+": lambda n: 0.01 + 0.004 * n,
    "transfer+-slides": lambda n: 0.08 - 0.004 * n,
}


def networks_of(gains: dict, seed: int = 0, spread: float = 0.004, **options: object):
    """A planted study with seconds, of which slides takes most."""
    noise = np.random.default_rng(seed)
    networks = plant(gains, noise=lambda: noise.normal(0, spread), recipes=["slides"], **options)
    return networks.assign(seconds=networks["treatment"].map(lambda name: 1.0 + len(name)))


def test_each_strategy_stands_with_its_best_cut_and_its_distance_from_the_best():
    table = strategies_table(networks_of(GAINS)).set_index("strategy")
    assert table["rank"].to_dict() == {"transfer+-slides": 1, "transfer+": 2, "base": 3, "transfer": 4}
    assert table["n"].to_dict() == {"transfer+-slides": 1, "transfer+": 7, "base": 0, "transfer": 1}
    row = table.loc["transfer+"]
    assert row["low"] < 0.076 - 0.038 < row["high"]
    assert row["low"] < row["behind"] < row["high"]
    assert not table["tie"].any()
    assert row["units"] == 4


def test_the_advice_is_the_first_strategy_and_says_by_how_much_and_at_what_cost():
    networks = networks_of(GAINS)
    (label, one), *others = advise(networks, strategies_table(networks)).items()
    assert not others
    assert (label, one.strategy, one.n, one.runner_up, one.tie) == (
        *("random halves of the classes", "transfer+-slides", 1, "transfer+"),
        False,
    )
    assert one.interval[0] < one.margin_points < one.interval[1]
    assert one.training_seconds == 1.0 + len("transfer+-slides")
    assert one.sentence.startswith("Take AnB+-slides cut at n = 1: ")
    assert "17.0 seconds to train; it is +" in one.sentence
    assert "ahead of AnB+ cut at n = 7." in one.sentence


def test_in_a_tie_the_fastest_of_those_that_lose_little_is_taken_and_else_the_first():
    gains = GAINS | {"transfer+-slides": lambda n: 0.01 + 0.004 * n}
    networks = networks_of(gains, spread=0.001)
    one = advise(networks, strategies_table(networks))["random halves of the classes"]
    assert one.tie
    assert one.interval[0] <= 0
    assert (one.strategy, one.training_seconds) == ("transfer+", 1.0 + len("transfer+"))
    assert "AnB+ cut at n = 7 loses at most 2.0 points and trains fastest: " in one.sentence
    assert one.sentence.startswith("A tie of 2 strategies: ")
    wide = networks_of(gains, spread=0.05)
    table = strategies_table(wide)
    one = advise(wide, table)["random halves of the classes"]
    assert one.tie
    assert one.strategy == table["strategy"][0]
    assert "is best on validation images: " in one.sentence


def test_a_way_that_overtakes_the_first_on_test_images_is_no_tie_and_is_said():
    networks = networks_of({"base": lambda n: 0, "transfer+": lambda n: 0.04}, spread=0.001)
    networks.loc[networks["treatment"] == "base", "validation_top1"] += 0.1
    table = strategies_table(networks).set_index("strategy")
    assert table["rank"].to_dict() == {"base": 1, "transfer+": 2}
    assert not table["tie"].any()
    assert table.loc["transfer+", "high"] < 0
    one = advise(networks, strategies_table(networks))["random halves of the classes"]
    assert one.strategy == "base", "it is the faster one to no loss alone"
    assert one.sentence.startswith(
        "On test images AnB+ cut at n = 7 is +4.1 points (95 %: +4.0 to +4.2) ahead of base. "
    )
    quick = networks.assign(seconds=networks["seconds"].where(networks["treatment"] == "base", 0.1))
    assert advise(quick, strategies_table(quick))["random halves of the classes"].strategy == "transfer+"
    assert {figure.colour_of(row) for row in strategies_table(networks).to_dict("records")} == {
        figure.WON,
        figure.AHEAD,
    }


def test_a_tie_with_the_third_is_a_tie_though_the_second_is_behind():
    gains = {"base": lambda n: 0.08, "transfer+": lambda n: 0.0, "transfer": lambda n: 0.08}
    networks = networks_of(gains, spread=0.001)
    networks.loc[networks["treatment"] == "base", "validation_top1"] += 0.2
    networks.loc[networks["treatment"] == "transfer+", "validation_top1"] += 0.1
    table = strategies_table(networks).set_index("strategy")
    assert table["rank"].to_dict() == {"base": 1, "transfer+": 2, "transfer": 3}
    assert table["tie"].to_dict() == {"base": False, "transfer+": False, "transfer": True}
    one = advise(networks, strategies_table(networks))["random halves of the classes"]
    assert (one.tie, one.runner_up) == (True, "transfer")
    assert one.sentence.startswith("A tie of 2 strategies: base is ")


def test_one_run_gives_no_advice_and_few_images_are_said():
    networks = networks_of(GAINS, splits={"random0": "random"})
    one = advise(networks, strategies_table(networks))["random halves of the classes"]
    assert one.interval is None
    assert one.sentence.startswith("No advice: one independent unit: no interval; AnB+-slides cut at n = 1 is +")
    few = networks_of({"base": lambda n: 0, "transfer+": lambda n: 0.0}, spread=0.03).assign(test_images=40)
    one = advise(few, strategies_table(few))["random halves of the classes"]
    assert "One test image is 2.5 points: not enough images." in one.sentence


def test_a_way_that_some_split_lacks_or_that_did_not_train_there_is_no_candidate():
    networks = networks_of(GAINS)
    gone = networks.index[(networks["treatment"] == "transfer+-slides") & (networks["n"] == 1)][0]
    networks.loc[gone, "trained"] = False
    table = strategies_table(networks).set_index("strategy")
    assert table.loc["transfer+-slides", "n"] == 4
    sources = networks_of(GAINS)
    one_way = sources[(sources["target"] == "B") | (sources["treatment"] == "base")]
    assert set(strategies_table(one_way)["strategy"]) == GAINS.keys()
    assert strategies_table(networks_of({"base": lambda n: 0})).empty


def test_a_probe_is_a_strategy_and_one_whose_time_is_not_known_is_not_the_fastest():
    networks = networks_of({"base": lambda n: 0, "transfer+": lambda n: 0.08, "transfer-svm": lambda n: 0.08})
    networks.loc[networks["treatment"] == "transfer-svm", "seconds"] = 0.5
    table = strategies_table(networks)
    one = advise(networks, table)["random halves of the classes"]
    assert (one.strategy, one.training_seconds) == ("transfer-svm", 0.5)
    assert "AnB-svm cut at n = " in one.sentence
    networks.loc[networks["treatment"] == "transfer-svm", "seconds"] = np.nan
    unknown = advise(networks, strategies_table(networks))["random halves of the classes"]
    assert unknown.strategy == "transfer+"


def test_each_volume_has_its_own_advice():
    few = networks_of({"base": lambda n: 0, "transfer": lambda n: 0.05, "transfer+": lambda n: 0.0})
    few = reduce(few.assign(split=few["split"] + "few"), {"A": 5, "B": 5})
    many = networks_of({"base": lambda n: 0, "transfer": lambda n: 0.0, "transfer+": lambda n: 0.05})
    networks = pd.concat([few, many], ignore_index=True)
    advised = {label: one.strategy for label, one in advise(networks, strategies_table(networks)).items()}
    assert advised == {
        "random halves of the classes": "transfer+",
        "random halves of the classes, 5 images a class, 5 of the other task": "transfer",
    }


def test_regret_is_what_a_task_loses_by_the_advice_of_the_others():
    """Without noise advice is free; where one task differs from all others it pays, and its own images would tell."""
    alike = field_of(networks_of(GAINS, spread=0.0))
    assert regrets(alike) == pytest.approx({"advised": 0.0, "own": 0.0})
    networks = networks_of(GAINS, spread=0.0)
    odd = (networks["split"] == "random2") & (networks["target"] == "A") & (networks["treatment"] == "base")
    networks.loc[odd, ["validation_top1", "test_top1"]] += [0.1, 0.2]
    # The task's best is base, 0.2, and the advice 0.076; 8 tasks share what one loses.
    assert regrets(field_of(networks)) == pytest.approx({"advised": (0.2 - 0.076) / 8, "own": 0.0})
    alone = field_of(networks_of(GAINS, splits={"random0": "random"}, targets="B"))
    assert np.isnan(list(regrets(alone).values())).all()


def test_validation_chooses_so_that_the_best_of_many_is_not_flattered():
    """Twelve ways that are alike: chosen on test they would be ahead; chosen on validation they are not, on average."""
    margins, flattered = [], []
    for seed in range(20):
        draw = np.random.default_rng(seed)
        networks = networks_of(
            {"base": lambda n: 0, "transfer": lambda n: 0, "transfer+": lambda n: 0, "selffer": lambda n: 0}, spread=0
        )
        for name in ("validation_top1", "test_top1"):
            networks[name] = 0.5 + draw.normal(0, 0.02, len(networks))
        field = field_of(networks)
        first, second, *_ = best_ways(field)
        margins.append(field.margin(first, second).mean)
        tests = field.test.mean().sort_values()
        flattered.append(tests.iloc[-1] - tests.iloc[-2])
    assert abs(np.mean(margins)) < 2.5 * np.std(margins) / np.sqrt(20)
    assert np.mean(flattered) > 0.002


@pytest.fixture
def study(tmp_path) -> Study:
    """A study's tables with its strategies and advice."""
    networks = networks_of(GAINS)
    table = strategies_table(networks)
    write_table(tmp_path / "results/digits/tiny/strategies.csv", table)
    content = {name: vars(one) for name, one in advise(networks, table).items()}
    files.write_json(tmp_path / "results/digits/tiny/advice.json", content)
    return Study(networks, None, None, "all there", None, None, {}, tmp_path / "results/digits/tiny")


def test_the_figure_has_a_panel_a_condition_and_says_the_advice(study):
    drawing = figure.draw(study, Options("test_top1", 6.5, False))
    (panel,) = [axes for axes in drawing.figure.axes if axes.get_visible()]
    assert [text.get_text() for text in panel.get_yticklabels()] == [
        *("AnB+-slides, n = 1", "AnB+, n = 7", "base", "AnB, n = 1"),
    ]
    assert panel.get_title(loc="left").startswith("Random halves of the classes\nAnB+-slides: +3")
    assert drawing.caption.startswith("Take AnB+-slides cut at n = 1: ")
    (study.tables / "strategies.csv").unlink()
    with pytest.raises(NothingToDrawError, match="where the params have recipes"):
        figure.draw(study, Options("test_top1", 6.5, False))


def test_the_command_prints_the_advice_and_what_it_is_worth(study, tmp_path, capsys):
    advice.main(["--directory", str(tmp_path)])
    printed = capsys.readouterr().out
    assert printed.startswith("digits tiny, random halves of the classes: Take AnB+-slides cut at n = 1: ")
    assert "points by such advice against its best strategy" in printed
    with pytest.raises(InputError, match=r"there is no advice\.json"):
        advice.main(["--directory", str(tmp_path / "results")])
    (study.tables / "advice.json").write_text(json.dumps({"random": {"strategy": "transfer"}}))
    with pytest.raises(InputError, match=r"advice\.json: not in its form"):
        advice.main(["--directory", str(tmp_path)])


def write_run(folder: Path, seconds: float) -> None:
    """The run.json of a network whose job has trained four."""
    network = {"name": folder.name, "treatment": "base", "source": None, "n": 0, "target": "A"}
    run = {"network": network, "model_sha256": "0" * 64, "parameters": {}, "inputs": {}, "code": "x", "versions": {}}
    run |= {"device": "cpu", "threads": 1, "git": None, "images_seen": 1}
    files.write_json(folder / "run.json", run | {"job": {"networks": 4, "seconds": 9, "training_seconds": seconds}})


def write_probe(path: Path, **probe: object) -> None:
    """The metrics of a probe."""
    score = {"count": 2, "top1": 0.5, "loss": None, "per_class": {"a": {"count": 2, "top1": 0.5}}}
    metrics = {"network": path.stem, "treatment": "x", "source": "A", "n": 1, "target": "A", "model_sha256": "0" * 64}
    metrics |= {"trained": True, "reason": None, "classes": 2, "images_seen": 2, "train_loss": None, "learning": []}
    files.write_json(path, metrics | {"chosen": None, "validation": score, "test": score, "probe": probe})


def test_a_network_takes_its_part_of_its_job_and_a_probe_its_fit_its_pass_and_its_own_network(tmp_path):
    gains = {"base": 0, "transfer+": 0, "transfer-svm": 0, "transfer+-svm": 0, "transfer-few": 0, "transfer-other": 0}
    networks = plant({name: lambda n: 0 for name in gains}, {"random0": "random"}, layers=(1,), targets="A")
    place = tmp_path / "random0/seed0"
    with pytest.raises(InputError, match=r"random0/seed0/baseA/run\.json: there is no such file"):
        ways_of(networks, tmp_path, tmp_path)
    write_run(place / "baseA", 8)
    write_run(place / "B1A+", 12)
    for name in ("B1A-svm", "B1A+-svm"):
        write_probe(place / f"{name}.json", seconds=1, pass_seconds=0.5, images_per_class=None, learn_from="target")
    write_probe(place / "B1A-few.json", seconds=1, images_per_class=5, learn_from="target")
    write_probe(place / "B1A-other.json", seconds=1, images_per_class=None, learn_from="other")
    ways = ways_of(networks, tmp_path, tmp_path)
    assert ways.set_index("network")["seconds"].to_dict() == {"baseA": 2, "B1A+": 3, "B1A-svm": 1.5, "B1A+-svm": 4.5}
    write_probe(place / "B1A-svm.json")
    assert np.isnan(ways_of(networks, tmp_path, tmp_path).set_index("network")["seconds"]["B1A-svm"])


def test_strategies_of_a_whole_data_set_are_of_task_a():
    row = {"strategy": "pretrained+-head", "kind": "whole"}
    assert strategy_name(row) == "PnA+-head"
    assert strategy_name(row | {"kind": "random"}) == "PnB+-head"
