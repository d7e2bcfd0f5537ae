"""Score the features of a network of twelve stages, and fine-tune one for 200 steps, in turn.

    python benchmarks/scores.py [--images 5000] [--values 768] [--classes 10] [--stages 12] [--steps 200]

Features are Gaussian, each class with a mean of its own: what scores take does not depend on what they say. The
network that is fine-tuned is timm's vit_base_patch16_224 at 96 pixels, twelve blocks of 768 values, 16 images a step;
three steps are measured. Prints CPU seconds of one core, and the most memory that each score took beside the float32
features that it was given, as a multiple of them in double precision: of this size, of twice and of half the images, of
four times the values, and of ten times the classes. Memory that grows with images times values keeps its multiple.
"""

import argparse
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
sys.path.insert(0, str(CHECKOUT / "src"))

import numpy as np
import torch

from transferability.evaluation.labelled import Labelled
from transferability.evaluation.scores import SCORES, cka
from transferability.networks.building import draw_network
from transferability.networks.stages import LibraryModel


def features_of(images: int, values: int, classes: int) -> Labelled:
    """Gaussian features of classes that overlap, float32."""
    generator = np.random.default_rng(0)
    labels = np.arange(images) % classes
    means = generator.normal(size=(classes, values)).astype(np.float32)
    features = generator.normal(size=(images, values)).astype(np.float32)
    return Labelled(features + 0.1 * means[labels], labels)


def fine_tune_seconds(steps: int, measured: int = 3) -> float:
    """CPU seconds of so many steps, from some that are measured."""
    network = draw_network(
        LibraryModel("timm", "vit_base_patch16_224", granularity="block"), (3, 96, 96), 10, lambda n: n
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images, labels = torch.randn(16, 3, 96, 96), torch.arange(16) % 10
    for step in range(measured + 1):
        if step == 1:
            started = time.process_time()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return steps * (time.process_time() - started) / measured


def peak(compute: Callable[..., object], *arguments: object) -> int:
    """The most bytes of memory that a call took at once."""
    tracemalloc.start()
    compute(*arguments)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def tell_memory(images: int, values: int, classes: int) -> None:
    """Print the memory that each score takes, and CKA."""
    for size in (
        (images, values, classes),
        (2 * images, values, classes),
        (images // 2, values, classes),
        (images // 10, 4 * values, classes),
        (images, values, 10 * classes),
    ):
        data = features_of(*size)
        peaks = {name: peak(score, data, 2) for name, score in SCORES.items()}
        peaks["cka"] = peak(cka, data.features, data.features[::-1])
        told = ", ".join(f"{name} {most / (8 * data.features.size):.1f}" for name, most in peaks.items())
        print(f"memory, {size[0]} images of {size[1]} values, {size[2]} classes: {told} times the features")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    for name, value in (("images", 5000), ("values", 768), ("classes", 10), ("stages", 12), ("steps", 200)):
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = features_of(arguments.images, arguments.values, arguments.classes)
    total = 0.0
    for name, score in SCORES.items():
        started = time.process_time()
        value = score(data)
        taken = time.process_time() - started
        total += taken
        print(f"{name}: {taken:.1f} s a stage; {value.value:.3f}, null {value.null:.3f}")
    print(f"all scores of {arguments.stages} stages: {arguments.stages * total:.0f} s")
    tell_memory(arguments.images, arguments.values, arguments.classes)
    print(f"fine-tuning, {arguments.steps} steps: {fine_tune_seconds(arguments.steps):.0f} s")


if __name__ == "__main__":
    main()
