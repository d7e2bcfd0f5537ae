"""Evaluation: scores against scikit-learn's, the paper's read-out, and which networks trained."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Stored
from sklearn.metrics import accuracy_score, log_loss, recall_score, top_k_accuracy_score
from torch.nn import functional

from transferability import files
from transferability.data.tasks import Task, open_task
from transferability.errors import InputError
from transferability.evaluation import evaluating as command
from transferability.evaluation.metrics import evaluate, mean_of_best, predict, score
from transferability.networks.alexnet import initialise
from transferability.networks.building import build_network
from transferability.networks.checkpoints import Card, save_checkpoint
from transferability.networks.stages import AlexNet
from transferability.training.history import read_history

torch.set_num_threads(1)

CPU = torch.device("cpu")
HISTORY = """step,images_seen,learning_rate,train_loss,validation_loss,validation_top1,test_top1
2,64,0.03,1.5,1.4,0.25,
4,128,0.015,0.5,0.6,0.75,0.5
6,192,0.001,0.25,0.3,0.75,
"""


@pytest.fixture(scope="module")
def task(packed_digits, digits_split) -> Task:
    """Task A of the digits' split random0."""
    return open_task(digits_split, "A", packed_digits)


def training_counts(task: Task) -> list[int]:
    """The training images of each class."""
    return np.bincount(task.labels["train"]).tolist()


@pytest.fixture
def checkpoint(task, tmp_path) -> Path:
    """A network B3A of untrained weights, with a history beside it."""
    architecture = AlexNet("tiny", 1, "batch", 0.5)
    network = build_network(architecture, (1, 8, 8), 5)
    initialise(network, architecture, lambda n: n - 1)
    path = tmp_path / "B3A" / "model.safetensors"
    save_checkpoint(path, network, Card("B3A", architecture, (1, 8, 8), task.classes, task.mean, task.std))
    (path.parent / "history.csv").write_text(HISTORY)
    return path


@pytest.mark.parametrize("classes", [2, 5, 6, 20])
def test_scores_are_those_of_scikit_learn(classes):
    generator = torch.Generator().manual_seed(classes)
    labels = torch.randint(0, classes, (400,), generator=generator)
    logits = 3 * torch.randn(400, classes, generator=generator)
    logits[torch.arange(400), labels] += 2
    names = [f"class {label}" for label in range(classes)]

    scores = score(logits, labels, names)

    probabilities = functional.softmax(logits.double(), dim=1).numpy()
    truth, guess, every = labels.numpy(), logits.argmax(1).numpy(), list(range(classes))
    assert scores["count"] == 400
    assert scores["top1"] == pytest.approx(accuracy_score(truth, guess), rel=1e-12)
    assert scores["loss"] == pytest.approx(log_loss(truth, probabilities, labels=every), rel=1e-9)
    recalls = recall_score(truth, guess, labels=every, average=None)
    assert scores["per_class"] == {
        name: {"count": int((truth == label).sum()), "top1": pytest.approx(recalls[label], rel=1e-12)}
        for label, name in enumerate(names)
    }
    if classes > 5:
        top5 = top_k_accuracy_score(truth, probabilities, k=5, labels=every)
        assert scores["top5"] == pytest.approx(top5, rel=1e-12)
        assert scores["top1"] < scores["top5"] < 1
    else:
        assert "top5" not in scores


def test_the_loss_stays_finite_for_a_sure_and_wrong_network():
    logits = torch.tensor([[0.0, 200.0], [0.0, 200.0]])
    assert score(logits, torch.tensor([0, 1]), ["a", "b"])["loss"] == pytest.approx(100)


def test_prediction_is_the_same_in_one_batch_as_image_by_image(checkpoint, task):
    network = build_network(AlexNet("tiny", 1, "batch", 0.5), (1, 8, 8), 5).eval()
    images = np.concatenate([task.images["train"], task.images["test"]])[:503]
    card = Card("B3A", AlexNet("tiny", 1, "batch", 0.5), (1, 8, 8), task.classes, task.mean, task.std)
    logits = predict(network, images, card, CPU)
    assert logits.shape == (503, 5)
    assert not logits.requires_grad
    for index in (0, 499, 500, 502):
        alone = network((torch.from_numpy(images[index : index + 1]).float() / 255 - task.mean[0]) / task.std[0])
        assert torch.allclose(logits[index], alone[0], atol=1e-5)
    stored = Stored(images, most=500)
    assert torch.equal(predict(network, stored, card, CPU), logits)
    assert stored.asked == [list(range(500)), list(range(500, 503))]


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 9, 9)])
def test_a_network_sees_the_centre_that_its_card_tells(shape, task):
    """Of 11 pixels the first seen one is 1 for 8 and 9."""
    network = build_network(AlexNet("tiny", 1, "batch", 0.5), shape, 5).eval()
    card = Card("B3A", AlexNet("tiny", 1, "batch", 0.5), shape, task.classes, task.mean, task.std)
    images = np.random.default_rng(0).integers(0, 256, (30, 1, 11, 11), dtype=np.uint8)
    centre = images[:, :, 1 : 1 + shape[1], 1 : 1 + shape[2]].copy()
    assert torch.equal(predict(network, images, card, CPU), predict(network, centre, card, CPU))


def test_images_that_are_not_in_memory_give_the_same_metrics(checkpoint, task):
    stored = {part: Stored(task.images[part], most=500) for part in ("validation", "test")}
    counts = training_counts(task)
    assert evaluate(checkpoint, replace(task, images=stored), counts, CPU) == evaluate(checkpoint, task, counts, CPU)


def test_the_papers_read_out_is_the_mean_of_the_ten_best():
    accuracies = [0.1, 0.9, 0.3, 0.8, 0.5, 0.6, 0.7, 0.4, 0.2, 1.0, 0.0, 0.55]
    history = [{"validation_top1": accuracy} for accuracy in accuracies]
    assert mean_of_best(history) == {"validation_top1": pytest.approx(sum(sorted(accuracies)[2:]) / 10), "of": 10}


def test_of_fewer_than_ten_validations_all_are_averaged_and_counted():
    history = [{"validation_top1": accuracy} for accuracy in (0.25, 0.75, 0.5)]
    assert mean_of_best(history) == {"validation_top1": 0.5, "of": 3}


def test_a_history_is_read_as_numbers(checkpoint):
    rows = read_history(checkpoint.parent / "history.csv")
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert rows[1] == {
        "step": 4,
        "images_seen": 128,
        "learning_rate": 0.015,
        "train_loss": 0.5,
        "validation_loss": 0.6,
        "validation_top1": 0.75,
        "test_top1": 0.5,
    }


@pytest.mark.parametrize(
    "content",
    [
        b"",
        HISTORY.splitlines()[0].encode(),
        HISTORY[:-15].encode(),
        HISTORY.replace("1.5", "much").encode(),
        HISTORY.replace("0.5\n", "0.5,7\n").encode(),
        HISTORY.replace("0.5\n", "\n").encode(),
        HISTORY.replace("0.25,\n", "0.25,0.125\n").encode(),
        HISTORY.replace("0.25,\n", ",\n").encode(),
        b"\xff\xfe\x00\x01",
        b"class,file\n1,2\n",
    ],
    ids=[
        "empty",
        "header alone",
        "truncated",
        "text",
        "too many columns",
        "no test",
        "two tests",
        "a gap",
        "binary",
        "foreign",
    ],
)
def test_a_bad_history_is_refused_by_name(content, tmp_path):
    path = tmp_path / "history.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_history(path)
    assert str(error.value).startswith(f"{path}: not a whole history (")
    assert str(error.value).endswith("; delete it and run again")


def test_a_missing_history_is_refused_by_name(checkpoint, task):
    (checkpoint.parent / "history.csv").unlink()
    with pytest.raises(InputError, match=re.escape(str(checkpoint.parent / "history.csv"))):
        evaluate(checkpoint, task, training_counts(task), CPU)


def test_metrics_say_what_the_network_is_and_what_it_scores(checkpoint, task):
    metrics = evaluate(checkpoint, task, training_counts(task), CPU)
    assert {key: value for key, value in metrics.items() if key not in ("validation", "test")} == {
        "network": "B3A",
        "treatment": "transfer",
        "source": "B",
        "n": 3,
        "target": "A",
        "fine_tune": False,
        "preserved": 0,
        "option": "",
        "stage": "conv3",
        "depth": 8,
        "model_sha256": files.sha256(checkpoint),
        "trained": True,
        "reason": None,
        "classes": 5,
        "images_seen": 192,
        "train_loss": 0.25,
        "chosen": {"step": 4, "validation_top1": 0.75, "test_top1": 0.5},
        "mean_of_ten_best": {"validation_top1": pytest.approx(1.75 / 3), "of": 3},
        "learning": [
            {"step": 2, "train_loss": 1.5, "validation_loss": 1.4, "validation_top1": 0.25},
            {"step": 4, "train_loss": 0.5, "validation_loss": 0.6, "validation_top1": 0.75},
            {"step": 6, "train_loss": 0.25, "validation_loss": 0.3, "validation_top1": 0.75},
        ],
    }
    for part in ("validation", "test"):
        found = metrics[part]
        assert found["count"] == len(task.labels[part])
        assert list(found["per_class"]) == task.classes
        hits = sum(entry["count"] * entry["top1"] for entry in found["per_class"].values())
        assert hits / found["count"] == pytest.approx(found["top1"])
    assert metrics == evaluate(checkpoint, task, training_counts(task), CPU)


def test_a_checkpoint_trained_on_other_classes_is_refused(checkpoint, packed_digits, digits_split):
    other = open_task(digits_split, "B", packed_digits)
    with pytest.raises(InputError) as error:
        evaluate(checkpoint, other, training_counts(other), CPU)
    assert str(error.value) == f"{checkpoint}: trained on another task than the split's; delete it and run again"


def test_the_command_writes_one_file_a_checkpoint(checkpoint, task, packed_digits, digits_split, tmp_path, monkeypatch):
    path = tmp_path / "results" / "B3A.json"
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "evaluation",
            *("--split", str(digits_split), "--packed", str(packed_digits)),
            *("--device", "cpu", "--threads", "1"),
            *("--models", str(checkpoint), "--metrics", str(path)),
        ],
    )
    command.main()
    assert files.read_json(path) == evaluate(checkpoint, task, training_counts(task), CPU)


def test_whether_a_network_trained_is_told_by_the_classes_of_its_training_images(
    checkpoint, task, packed_digits, digits_split, tmp_path, monkeypatch
):
    """Of 100 images of one class and one of each other, guessing costs less than this network's 0.25."""
    split = files.read_json(digits_split)
    for name in task.classes[1:]:
        split["tasks"]["A"]["train"][name] = split["tasks"]["A"]["train"][name][:1]
    files.write_json(tmp_path / "split.json", split)
    path = tmp_path / "B3A.json"
    options = {"--split": tmp_path / "split.json", "--packed": packed_digits, "--device": "cpu", "--threads": 1}
    options |= {"--models": checkpoint, "--metrics": path}
    monkeypatch.setattr(sys, "argv", ["evaluation", *(str(word) for pair in options.items() for word in pair)])
    command.main()
    metrics = files.read_json(path)
    loss, _, accuracy = metrics["reason"].partition(", though ")
    assert loss.startswith("the training loss ended at 0.250, that of guessing is 0.2")
    # Its validation images say that it has trained all the same.
    assert metrics["trained"] is True
    assert accuracy == "0.750 of validation images are named rightly, by guessing 0.206"
    assert metrics["test"]["top1"] == evaluate(checkpoint, task, training_counts(task), CPU)["test"]["top1"]
