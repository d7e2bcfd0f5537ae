"""Patched networks: those that a recipe has taught what patches show, evaluated as images by all their patches."""

from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from transferability.data.patched import PatchedTask
from transferability.evaluation.guessing import guessing_loss
from transferability.evaluation.metrics import SCORED, Sizes, check_task, decided, network_metrics, predict
from transferability.evaluation.patch_scores import PatchScores
from transferability.networks.checkpoints import Card, load_network


def read_patches(network: nn.Sequential, card: Card, patched: PatchedTask, device: torch.device) -> PatchScores:
    """Validation and test images, patch by patch."""
    scores = {}
    for part in SCORED:
        images = patched.images_of(part, patched.every(part), card.shape)
        shares = predict(network, images, card, device).softmax(dim=1)[:, :-1]
        scores[part] = shares.unflatten(0, (-1, len(patched.grid))).numpy()
    return PatchScores.of(patched, scores, patched.corners)


def evaluate_patches(checkpoint: Path, patched: PatchedTask, device: torch.device) -> dict:
    """The metrics of one network that reads patches, as `metrics.evaluate` gives them of others, and where it points.

    Its losses are those of patches; an image's value for a class is the mean of its patches' probabilities to a power.
    """
    card, network = load_network(checkpoint)
    check_task(checkpoint, replace(card, classes=card.classes[:-1]), patched.task)
    network = network.to(device)
    shown = {part: patched.shown(part) for part in ("train", "validation")}
    sizes = Sizes([*shown["train"].values()], [*shown["validation"].values()], guessing_loss)
    read = read_patches(network, card, patched, device)
    values = {part: torch.from_numpy(read.image_scores(part)) for part in SCORED}
    return {
        **network_metrics(checkpoint, card, network, patched.task, sizes),
        **{part: read.part_scores(patched.task, part) for part in SCORED},
        **decided(values, patched.task.labels),
        "patches": {
            **asdict(patched.patching),
            "per_image": len(read.corners),
            "learnt": shown["train"],
            **read.block(patched),
        },
    }
