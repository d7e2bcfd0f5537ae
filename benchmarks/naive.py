"""The script that somebody would write by hand for the paper's experiment: one network after another.

    python benchmarks/naive.py FOLDER --split random0.json --index index.csv --params params.json \\
        --networks baseA baseB A1B A1B+ --into accuracies.json

torchvision's ImageFolder and transforms, a DataLoader with two workers, torch.optim.SGD, as many threads as torch
takes by itself, float32. It is sane (workers live as long as a network, nothing is moved or computed that is not
asked for), and knows no tricks. So that it trains the same networks as a study of this project it is told the study's
split, index of images and params: architecture, augmentation, and schedules with their number of steps, batch size,
rates and validations. Colour images in train/CLASS and val/CLASS; the families without LRN.
`benchmarks/engine.py` runs it.
"""

import argparse
import copy
import csv
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from transferability.networks.families import FAMILIES
from transferability.networks.notation import parse_network

PARTS = ("train", "validation", "test")


def make_network(architecture: dict, size: int, classes: int) -> nn.Sequential:
    """Eight blocks, five of convolutions and three linear ones, of the same widths as the study's."""
    family = FAMILIES[architecture["family"]](size)
    norm, blocks, channels = architecture["norm"] == "batch", [], 3
    for row in family.convolutions:
        width = max(2, round(row.channels * architecture["width"] / 2) * 2)
        layers = [nn.Conv2d(channels, width, row.kernel, row.stride, row.padding, groups=row.groups, bias=not norm)]
        layers += [nn.BatchNorm2d(width)] if norm else []
        layers += [nn.ReLU(inplace=True)]
        layers += [nn.MaxPool2d(*row.pool)] if row.pool else []
        blocks.append(nn.Sequential(*layers))
        channels = width
    with torch.no_grad():
        features = nn.Sequential(*blocks).eval()(torch.zeros(1, 3, size, size)).numel()
    for number, hidden in enumerate(family.hidden):
        width = max(1, round(hidden * architecture["width"]))
        layers = [nn.Flatten()] if number == 0 else []
        layers += [nn.Linear(features, width, bias=not norm)]
        layers += [nn.BatchNorm1d(width)] if norm else []
        layers += [nn.ReLU(inplace=True), nn.Dropout(architecture["dropout"])]
        blocks.append(nn.Sequential(*layers))
        features = width
    network = nn.Sequential(*blocks, nn.Sequential(nn.Linear(features, classes)))
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def make_loaders(folder: Path, task: dict, images: list[str], spread: dict, dataset: dict, batch: int) -> dict:
    """A loader of each part of a task, whose images are those that the split lists."""
    size, augmentation = dataset["images"]["size"], dataset["augmentation"]
    crop = augmentation.get("crop", size)
    fit = [transforms.Resize(size), transforms.CenterCrop(size)]
    finish = [transforms.ToTensor(), transforms.Normalize(spread["mean"], spread["std"])]
    vary = [transforms.RandomCrop(crop, padding=augmentation["padding"])]
    vary += [transforms.RandomHorizontalFlip()] if augmentation["flip"] else []
    loaders = {}
    for part in PARTS:
        listed = [(images[index], label) for label, name in enumerate(task["classes"]) for index in task[part][name]]
        inside = [*vary] if part == "train" else [transforms.CenterCrop(crop)]
        # The first image tells which of the folder's own parts this one is of.
        found = ImageFolder(folder / listed[0][0].split("/")[0], transforms.Compose([*fit, *inside, *finish]))
        found.samples = [(str(folder / file), label) for file, label in listed]
        loaders[part] = DataLoader(
            found, batch, shuffle=part == "train", drop_last=part == "train", num_workers=2, persistent_workers=True
        )
    return loaders


def endless(loader: DataLoader) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Epoch after epoch."""
    while True:
        yield from loader


@torch.no_grad()
def accuracy(network: nn.Sequential, loader: DataLoader) -> float:
    """Top-1 over a loader."""
    network.eval()
    hits = count = 0
    for images, labels in loader:
        hits += (network(images).argmax(1) == labels).sum().item()
        count += len(labels)
    return hits / count


def train(network: nn.Sequential, frozen: int, loaders: dict[str, DataLoader], schedule: dict) -> dict[str, float]:
    """Train all but the first `frozen` blocks; the accuracy on validation and test at the end."""
    for parameter in network[:frozen].parameters():
        parameter.requires_grad_(False)
    weights, others = [], []
    for name, parameter in network[frozen:].named_parameters():
        (weights if name.endswith("weight") and parameter.ndim > 1 else others).append(parameter)
    optimiser = torch.optim.SGD(
        [{"params": weights, "weight_decay": schedule["weight_decay"]}, {"params": others, "weight_decay": 0}],
        lr=schedule["learning_rate"],
        momentum=schedule["momentum"],
        nesterov=schedule["nesterov"],
    )
    steps, warmup = schedule["steps"], schedule["warmup"]

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return (1 + np.cos(np.pi * (step - warmup) / max(1, steps - warmup))) / 2

    rates = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    loss_of = nn.CrossEntropyLoss()
    stops = {steps * i // schedule["validations"] for i in range(1, schedule["validations"] + 1)}
    scores: dict[str, float] = {}
    batches = endless(loaders["train"])
    for step in range(steps):
        network.train()
        network[:frozen].eval()
        images, labels = next(batches)
        optimiser.zero_grad()
        loss_of(network(images), labels).backward()
        optimiser.step()
        rates.step()
        if step + 1 in stops:
            scores["validation"] = accuracy(network, loaders["validation"])
            print(f"  step {step + 1}: validation {scores['validation']:.3f}", file=sys.stderr)
    return {**scores, "test": accuracy(network, loaders["test"])}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the networks of a study one after another.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", type=Path, required=True, help="a split's file, made by the workflow")
    parser.add_argument("--index", type=Path, required=True, help="index.csv of the packed images")
    parser.add_argument("--params", type=Path, required=True, help="JSON with dataset, architecture, base, transferred")
    parser.add_argument("--networks", nargs="+", required=True)
    parser.add_argument("--into", type=Path, required=True)
    arguments = parser.parse_args()
    params, split = json.loads(arguments.params.read_text()), json.loads(arguments.split.read_text())
    with open(arguments.index, newline="", encoding="utf-8") as file:
        images = [row["file"] for row in csv.DictReader(file)]
    dataset, size = params["dataset"], params["dataset"]["images"]["size"]
    crop = dataset["augmentation"].get("crop", size)
    bases: dict[str, nn.Sequential] = {}
    accuracies: dict[str, dict[str, float]] = {}
    # A base network comes before those that copy from it.
    for name in sorted(arguments.networks, key=lambda name: not name.startswith("base")):
        identity, started = parse_network(name), time.perf_counter()
        schedule = params["base" if identity.source is None else "transferred"]
        task = split["tasks"][identity.target]
        network = make_network(params["architecture"], crop, len(task["classes"]))
        if identity.source is not None:
            for n in range(identity.n):
                network[n] = copy.deepcopy(bases[identity.source][n])
        loaders = make_loaders(arguments.folder, task, images, split["normalisation"], dataset, schedule["batch_size"])
        accuracies[name] = train(network, 0 if identity.fine_tune else identity.n, loaders, schedule)
        if identity.source is None:
            bases[identity.target] = network
        print(f"{name}: {time.perf_counter() - started:.1f} s, {accuracies[name]}", file=sys.stderr)
    arguments.into.write_text(json.dumps(accuracies, indent=1))


if __name__ == "__main__":
    main()
