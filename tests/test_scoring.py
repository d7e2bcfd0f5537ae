"""Scores of a study: which cuts the params ask for, the command's JSON, and the table of all."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from drawn import drawing_of
from planted import plant
from scipy.special import softmax

from transferability import files
from transferability.analysis import scores as gathering
from transferability.analysis.criterion import criterion_table
from transferability.analysis.tables import SCORE_COLUMNS, read_table, write_table
from transferability.data.tasks import Task, open_task
from transferability.errors import InputError
from transferability.evaluation import features, labelled, probing, scoring
from transferability.evaluation.features import cut_features, prepared
from transferability.evaluation.labelled import Labelled
from transferability.evaluation.pooling import Pooling
from transferability.evaluation.scores import HEAD_SCORES, SCORES, leep, ridge_accuracy
from transferability.figures import scores as scores_figure
from transferability.figures.records import NothingToDrawError
from transferability.networks.alexnet import draw
from transferability.networks.checkpoints import Card, load_network, save_checkpoint
from transferability.networks.stages import AlexNet
from transferability.study import costs
from transferability.study.jobs import score_jobs, study_jobs
from transferability.study.params import check_networks, check_params
from transferability.study.scores import score_options, scored_networks
from transferability.study.targets import check_target

torch.set_num_threads(1)

CHECKOUT = Path(__file__).parent.parent
SCHEMA = CHECKOUT / "src/transferability/study/params.schema.yaml"
TINY = AlexNet("tiny", 1, "batch", 0.0)
SCORED = {"treatment": ["transfer"], "pooling": "full", "permutations": 2}


@pytest.fixture
def params() -> dict:
    """One split of the default study, cut at 2 and 5, whose transfer is scored."""
    params = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    params["study"] |= {"n": [2, 5], "split": ["random0"], "treatment": ["transfer"]}
    return params | {"scores": dict(SCORED), "export": []}


def check(params: dict) -> None:
    check_params(params, SCHEMA)
    check_networks(params)


def test_untrained_stages_are_scored_beside_those_that_are_asked_for(params):
    check(params)
    names = [network.name for network in scored_networks(params, "tiny", "random0")]
    assert names == [f"{cut}-scores" for cut in ("B2A", "B5A", "A2B", "A5B", "R2A", "R5A", "R2B", "R5B")]
    assert score_options(params) == {"pooling": {"kind": "full"}, "permutations": 2}
    assert [job.name for job in score_jobs(params)] == ["BnA-scores", "AnB-scores", "RnA-scores", "RnB-scores"]
    trained = {network.name for job in study_jobs(params) for network in job.networks}
    assert trained == {"baseA", "baseB", "B2A", "B5A", "A2B", "A5B", "R5A", "R5B"}
    assert "scores: of 8 cuts in 4 jobs, which train nothing" in "\n".join(costs.notes(params, [], {}, 1))
    params["splits"]["random0"] = {"kind": "whole"}
    assert [network.name for network in scored_networks(params, "tiny", "random0")] == ["R2A-scores", "R5A-scores"]
    del params["scores"]
    assert scored_networks(params, "tiny", "random0") == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"scores": SCORED | {"treatment": ["transfer+"]}}, "scores.treatment.0: 'transfer\\+' is none of selffer"),
        ({"scores": SCORED | {"permutations": 1}}, "scores.permutations: 1 is less than the minimum of 2"),
        ({"scores": {"treatment": ["transfer"]}}, "scores: the key 'pooling' is missing"),
        ({"scores": SCORED | {"treatment": ["pretrained"]}}, "P2A-scores, but architectures.tiny has no pretrained"),
        ({"probes": {"scores": {"classifier": "svm", "pooling": "gap"}}}, "probes: 'scores' does not fit; A probe's"),
    ],
)
def test_scores_that_cannot_be_are_refused_before_any_job(params, change, sentence):
    params |= change
    with pytest.raises(InputError, match=sentence):
        check(params)


def test_a_file_of_scores_that_no_rule_makes_is_explained(params):
    place = "results/digits/tiny/random0/seed0"
    check_target(f"{place}/A5B-scores.json", params)
    for name, sentence in (("A5B+", "before they are fine-tuned"), ("A3B", "n = 3 is not in study.n")):
        with pytest.raises(InputError, match=sentence):
            check_target(f"{place}/{name}-scores.json", params)
    with pytest.raises(InputError, match="the params ask for no scores; add `scores`"):
        check_target(f"{place}/A5B-scores.json", without_scores(params))


def without_scores(params: dict) -> dict:
    return {key: value for key, value in params.items() if key != "scores"}


@pytest.fixture(scope="module")
def task(packed_digits, digits_split) -> Task:
    """Task B of the digits' split random0."""
    return open_task(digits_split, "B", packed_digits)


@pytest.fixture(scope="module")
def models(task, tmp_path_factory) -> Path:
    """Checkpoints of untrained weights: baseA, R6B, and a baseB whose third stage gives nothing."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("baseA", "R6B", "baseB"):
        network = draw(TINY, (1, 8, 8), 5, lambda n: n)
        if name == "baseB":
            torch.nn.init.zeros_(network[2][1].weight)
        card = Card(name, TINY, (1, 8, 8), task.classes, task.mean, task.std)
        save_checkpoint(folder / name / "model.safetensors", network, card)
    return folder


@pytest.fixture
def run(packed_digits, digits_split, models, tmp_path, monkeypatch):
    """Run the command and read what it has written."""

    def command(model: str, names: list[str], permutations: int = 3, split: Path = digits_split) -> list[dict]:
        paths = [tmp_path / "tiny/random0/seed0" / f"{name}.json" for name in names]
        words = ["--split", split, "--packed", packed_digits, "--model", models / model / "model.safetensors"]
        words += ["--pooling", '{"kind": "full"}', "--permutations", permutations, "--seed", 4]
        words += [
            "--features",
            tmp_path / "features" / split.stem / model,
            "--device",
            "cpu",
            "--threads",
            1,
            "--scores",
            *paths,
        ]
        monkeypatch.setattr(sys, "argv", ["scoring", *map(str, words)])
        scoring.main()
        return [files.read_json(path) for path in paths]

    return command


def test_scores_are_of_the_source_s_features_of_the_target_s_training_images(run, task, models):
    second, fifth = run("baseA", ["A2B-scores", "A5B-scores"])
    card, network = load_network(models / "baseA/model.safetensors")
    batches = prepared(task.images["train"], card, torch.device("cpu"))
    read = cut_features(network, batches, [5, 8], Pooling("full"))

    expected = ridge_accuracy(Labelled(read[5], task.labels["train"]), 3, 4)

    ridge = fifth["scores"]["ridge"]
    assert (ridge["value"], ridge["null"]) == pytest.approx((expected.value, expected.null))
    assert ridge["reason"] is None
    assert fifth["scores"].keys() == SCORES.keys()
    assert fifth["head"].keys() == HEAD_SCORES.keys()
    of_head = leep(softmax(read[8].astype(np.float64), axis=1), Labelled(read[8], task.labels["train"]), 3, 4)
    assert fifth["head"]["leep"]["value"] == pytest.approx(of_head.value)
    assert second["head"] == fifth["head"]
    assert (second["stage"], fifth["head_stage"], fifth["depth"]) == ("conv2", "fc8", 8)
    assert (second["treatment"], second["images"], second["seen"]) == (
        "transfer-scores",
        len(task.labels["train"]),
        False,
    )


def test_a_random_network_has_no_classes_of_its_own_and_features_are_shared_with_probes(run, monkeypatch):
    (scores,) = run("R6B", ["R5B-scores"])
    assert scores["head"] == {}
    monkeypatch.setattr(features, "stage_features", None)
    (again,) = run("R6B", ["R5B-scores"])
    assert again["scores"]["means"]["value"] == scores["scores"]["means"]["value"]


def test_a_stage_that_tells_nothing_apart_has_no_scores_but_their_reason(run, capsys, digits_split, tmp_path):
    run("baseB", ["B2B-scores", "B3B-scores"])
    assert "B3B-scores: no score: features: the same for every image" in capsys.readouterr().err
    table, absent = gathering.read_scores(
        tmp_path / "tiny", {"seed": [0], "networks": {"random0": ["B2B-scores", "B3B-scores", "B5B-scores"]}},
        digits_split.parent,
    )  # fmt: skip
    assert len(absent) == 1
    assert "B5B-scores.json" in absent[0]
    nothing = table[table["cut"] == "B3B"]
    assert nothing["value"].isna().all()
    assert nothing["reason"].str.startswith("features: the same").all()
    told = table[table["cut"] == "B2B"]
    assert told["above"].notna().all()
    assert told["reason"].isna().all()


def one_class(train: dict) -> dict:
    return dict(list(train.items())[:1])


def one_image(train: dict) -> dict:
    return {name: images[: 1 if name == next(iter(train)) else None] for name, images in train.items()}


def as_many_classes_as_images(train: dict) -> dict:
    return {name: images[:1] for name, images in train.items()}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (one_class, "labels: 1 class; at least two are needed to tell apart"),
        (one_image, "labels: class 0 has one image, so nothing is left of it when it is held out"),
        (as_many_classes_as_images, "labels: 5 classes of 5 images; add images"),
    ],
)
def test_a_target_that_cannot_be_scored_has_the_reason_beside_every_score(
    run, capsys, digits_split, tmp_path, change, reason
):
    split = files.read_json(digits_split)
    task = split["tasks"]["B"]
    task["train"] = change(task["train"])
    task["classes"] = list(task["train"])
    files.write_json(tmp_path / "random0.json", split)

    (content,) = run("baseA", ["A2B-scores"], split=tmp_path / "random0.json")

    every = [*content["scores"].values(), *content["head"].values()]
    assert len(every) == len(SCORES) + len(HEAD_SCORES)
    assert all(score["value"] is None and score["reason"].startswith(reason) for score in every)
    assert f"A2B-scores: no score: {reason}" in capsys.readouterr().err
    grid = {"seed": [0], "networks": {"random0": ["A2B-scores"]}}
    table, _ = gathering.read_scores(tmp_path / "tiny", grid, digits_split.parent)
    assert table["reason"].notna().all()
    networks = plant(splits={"random0": "random"}, layers=(2, 5))
    assert not set(criterion_table(table, networks, "test_top1")["predictor"]) & {*SCORES, *HEAD_SCORES}
    write_table(tmp_path / "scores.csv", table)
    with pytest.raises(NothingToDrawError, match=f"no cut has a score: {reason}"):
        drawing_of(scores_figure, networks, tables=tmp_path)


def test_features_that_are_no_numbers_end_the_job_and_name_the_stage(run, models, tmp_path, monkeypatch):
    """Weights are numbers, and what follows from them is too large for one."""
    card, network = load_network(models / "baseA/model.safetensors")
    for stage in (0, 1):
        network[stage][0].weight.data *= 1e30
    save_checkpoint(tmp_path / "large/model.safetensors", network, card)
    monkeypatch.setattr(probing, "check_source", lambda *_: None)
    with pytest.raises(InputError, match=r"features: what stage 5 \(conv5\) gives is not finite for some image"):
        run(str(tmp_path / "large"), ["A5B-scores"])


def test_the_table_has_a_row_a_cut_and_score_and_the_head_once(run, digits_split, tmp_path, monkeypatch):
    run("baseA", ["A2B-scores", "A5B-scores"])
    into = tmp_path / "scores.csv"
    grid = {"seed": [0], "networks": {"random0": ["A2B-scores", "A5B-scores"]}}
    words = [
        "--results",
        tmp_path / "tiny",
        "--splits",
        digits_split.parent,
        "--grid",
        json.dumps(grid),
        "--into",
        into,
    ]
    monkeypatch.setattr(sys, "argv", ["scores", *map(str, words)])
    gathering.main()
    table = read_table(into, SCORE_COLUMNS)
    assert len(table) == 2 * len(SCORES) + len(HEAD_SCORES)
    head = table[table["score"] == "leep"].iloc[0]
    assert (head["cut"], head["n"], head["stage"], head["values"], head["treatment"]) == (
        "A8B",
        8,
        "fc8",
        5,
        "transfer",
    )
    assert np.allclose(table["above"], table["value"] - table["null"])
    assert (table["kind"] == "random").all()
    assert (table["pass_seconds"] > 0).all()


@pytest.mark.parametrize(
    ("names", "permutations", "sentence"),
    [
        (["B2B-scores"], 3, "B2B-scores reads baseB, and .* is baseA"),
        (["A2B-scores", "A3A-scores"], 3, "--scores: one target at a time"),
        (["A8B-scores"], 3, "8 is not below the last of 8 stages"),
        (["A2B-svm"], 3, "'A2B-svm' names no scores; names are like A5B-scores"),
        (["A2B+-scores"], 3, r"'A2B\+-scores' names no scores"),
        (["A2B-scores"], 1, "--permutations: 1 give no null"),
    ],
)
def test_names_that_mean_something_else_are_refused_in_a_sentence(run, names, permutations, sentence):
    with pytest.raises(InputError, match=sentence):
        run("baseA", names, permutations)


def test_features_larger_than_memory_end_the_job_with_their_size(run, tmp_path, monkeypatch):
    run("baseA", ["A2B-scores"])
    (tmp_path / "meminfo").write_text("MemAvailable:    4 kB\n")
    monkeypatch.setattr(labelled, "MEMORY", tmp_path / "meminfo")
    with pytest.raises(InputError, match=r"features: \d+ images of 256 values take 0.0 GiB of memory"):
        run("baseA", ["A2B-scores"])
