"""Metrics: what a trained network scores, and how it learnt."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from transferability import files
from transferability.data.batches import centre, hold, in_order, normalise
from transferability.data.packed import Images
from transferability.data.tasks import DIFFICULT, MULTI, SINGLE, Task, members_of
from transferability.errors import InputError
from transferability.evaluation.guessing import GUESSED, verdict
from transferability.evaluation.thresholds import mean_f1, thresholds_of
from transferability.forms.fields import SEVERAL
from transferability.forms.split import Split
from transferability.networks.checkpoints import Card, load_network
from transferability.networks.notation import parse_network
from transferability.training.history import LEARNT, HistoryRow, named, read_history
from transferability.training.losses import binary_cross_entropy
from transferability.training.precision import RULES, average_precision

SCORED = ("validation", "test")
"""The parts that are scored."""


@torch.no_grad()
def predict(network: nn.Module, images: Images, card: Card, device: torch.device) -> Tensor:
    """Logits, float (n, classes) on the CPU, of a task's images, by a network in evaluation mode on the device."""
    return torch.cat(
        [
            network(normalise(centre(chunk, card.shape), card.mean, card.std, card.channels)).cpu()
            for _, chunk in in_order(hold(images, device), device)
        ]
    )


def score(logits: Tensor, labels: Tensor, classes: list[str]) -> dict:
    """Top-1, loss, counts, each class's own top-1 and their mean; top-5 where there are more than 5 classes."""
    ranks = logits.argsort(dim=1, descending=True, stable=True)
    hits = ranks[:, 0] == labels
    scores: dict[str, Any] = {
        "count": len(labels),
        "top1": hits.double().mean().item(),
        "loss": functional.cross_entropy(logits.double(), labels).item(),
    }
    if len(classes) > 5:
        scores["top5"] = (ranks[:, :5] == labels[:, None]).any(dim=1).double().mean().item()
    scores["per_class"] = {
        name: {"count": int((labels == label).sum()), "top1": hits[labels == label].double().mean().item()}
        for label, name in enumerate(classes)
    }
    scores["mean_per_class"] = float(np.mean([entry["top1"] for entry in scores["per_class"].values()]))
    return scores


def score_labels(logits: Tensor, labels: Tensor, classes: list[str]) -> dict:
    """Mean average precision by each rule, loss, counts and each class's own precisions, of images of several labels.

    Of a class `count` is the number of images that show it, and `of` that of all images in its ranking, of which those
    are left out where it is difficult.
    """
    scores, truth = logits.double().numpy(), labels.numpy()
    per_class = {}
    for column, name in enumerate(classes):
        own = truth[:, column]
        precisions = {rule: average_precision(scores[:, column], own, rule) for rule in RULES}
        per_class[name] = {"count": int((own == 1).sum()), "of": int((own != DIFFICULT).sum()), **precisions}
    means = {f"m{rule}": float(np.mean([entry[rule] for entry in per_class.values()])) for rule in RULES}
    loss = binary_cross_entropy(logits.double(), labels).item()
    return {"count": len(labels), **means, "loss": loss, "per_class": per_class}


SCORERS = {SINGLE: score, MULTI: score_labels}
"""What logits and labels score, for each kind of task."""


def mean_of_best(history: list[HistoryRow], kind: str = SINGLE, best: int = 10) -> dict:
    """The paper's read-out: the mean of the ten best validations. It is optimistic; the count says how many."""
    top = sorted((row["validation_top1"] for row in history), reverse=True)[:best]
    return {named("validation_top1", kind): float(np.mean(top)), "of": len(top)}


def chosen_on_validation(history: list[HistoryRow], kind: str = SINGLE) -> dict:
    """What the network scored on test images when it was best on validation images, for the first time."""
    (best,) = [row for row in history if row["test_top1"] is not None]
    scores = {named(name, kind): best[name] for name in ("validation_top1", "test_top1")}
    return {"step": int(best["step"]), **scores}


def learnt(history: list[HistoryRow], kind: str = SINGLE) -> list[dict]:
    """How the network learnt: step, losses and accuracy of each validation."""
    return [{"step": int(row["step"])} | {named(name, kind): dict(row)[name] for name in LEARNT} for row in history]


def shares_of(labels: np.ndarray) -> list[float]:
    """The share of images that show each class, of labels (n, classes)."""
    return (labels == 1).mean(axis=0).tolist()


def class_sizes(labels: np.ndarray, kind: str) -> list[float]:
    """What guessing needs to know of labels: the images of each class, or the share of images that show it."""
    return shares_of(labels) if kind == MULTI else np.bincount(labels).tolist()


@dataclass(frozen=True)
class Sizes:
    """What guessing needs to know of a task: the sizes of its classes in training and validation, and the loss that
    guessing by them has."""

    training: Sequence[float]
    validation: Sequence[float]
    guessed: Callable[[Sequence[float], Sequence[float]], float]


def check_task(checkpoint: Path, card: Card, task: Task) -> None:
    """Refuse a checkpoint of another task; an architecture with pretrained weights has a normalisation of its own."""
    weights = getattr(card.architecture, "weights", None)
    if card.classes != task.classes or (card.mean != task.mean and weights is None):
        raise InputError(f"{checkpoint}: trained on another task than the split's; delete it and run again")


def identity_of(card: Card, network: nn.Sequential) -> dict:
    """What a network is: its name and what that means, the stage after which it is cut, if any, and its depth."""
    identity = parse_network(card.network)
    stages = [name for name, _ in network.named_children()]
    return {
        "network": card.network,
        "treatment": identity.treatment,
        **asdict(identity),
        "stage": stages[identity.n - 1] if identity.n else None,
        "depth": len(stages),
    }


def labels_word(task: Task) -> dict:
    """What metrics say of a task's labels: nothing where an image has one."""
    return {"labels": SEVERAL} if task.kind != SINGLE else {}


def training_sizes(split: Path, side: str, kind: str) -> list[float]:
    """The sizes of a task's classes in training, as `evaluate` takes them."""
    content = files.read_json(split, Split)
    task = content["tasks"][side]
    if kind == MULTI:
        return shares_of(members_of(content, side, "train").labels)
    return [len(task["train"][name]) for name in task["classes"]]


def network_metrics(checkpoint: Path, card: Card, network: nn.Sequential, task: Task, sizes: Sizes) -> dict:
    """The metrics of a network but for what it scores: what it is, and how it learnt, with two read-outs."""
    kind = task.kind
    history = read_history(checkpoint.parent / "history.csv", kind)
    trained, reason = verdict(history, sizes.training, sizes.validation, sizes.guessed)
    return {
        **identity_of(card, network),
        "model_sha256": files.sha256(checkpoint),
        "trained": trained,
        "reason": reason,
        **labels_word(task),
        "classes": len(task.classes),
        "images_seen": int(history[-1]["images_seen"]),
        "train_loss": history[-1]["train_loss"],
        "chosen": chosen_on_validation(history, kind),
        "mean_of_ten_best": mean_of_best(history, kind),
        "learning": learnt(history, kind),
    }


def evaluate(checkpoint: Path, task: Task, training: list[float], device: torch.device) -> dict:
    """The metrics of one network: on validation and test at the end of training, and its history with two read-outs.

    `training` is the number of training images of each class, in the order of the task's classes, or, where images have
    several labels, the share of them that show it.
    """
    card, network = load_network(checkpoint)
    check_task(checkpoint, card, task)
    network, kind = network.to(device), task.kind
    sizes = Sizes(training, class_sizes(task.labels["validation"], kind), GUESSED[kind])
    metrics = network_metrics(checkpoint, card, network, task, sizes)
    logits = {part: predict(network, task.images[part], card, device) for part in SCORED}
    for part, own in logits.items():
        metrics[part] = SCORERS[kind](own, torch.from_numpy(task.labels[part]), task.classes)
    return metrics | (decided(logits, task.labels) if kind == MULTI else {})


def decided(logits: dict[str, Tensor], labels: dict[str, np.ndarray]) -> dict:
    """The logits from which on an image is taken to show a class, chosen on validation, and their F1 on test."""
    thresholds = thresholds_of(logits["validation"].numpy(), labels["validation"])
    return {"thresholds": thresholds, "test_f1": mean_f1(logits["test"].numpy(), labels["test"], thresholds)}
