"""What a new classifier's first weights and the lengths of unfolded filters do to fine-tuning all of a network.

    python benchmarks/finetuning.py MATERIAL [--rates 0.001 0.003 0.01] [--seeds 3] [--size 96] [--steps 120]

MATERIAL has caltech101-24/images/CLASS/*.jpg and networks/mobilenet_v2_imagenet.safetensors, weights of timm's
mobilenetv2_100 whose batch norm was folded into its convolutions. All stages learn the first twelve classes of 20
photographs each, in batches of 16; 20 others of each class are the test. Prints the accuracy with a classifier as timm
draws it and as this package does, with filters as folding has left them and lengthened: each the mean over seeds, with
the least and the most.
"""

import argparse
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from caltech import architecture, build, image_files
from torch import Tensor, nn
from torch.nn import functional

from transferability.data.images import fit, open_image
from transferability.networks.building import draw_network
from transferability.training import unfolding
from transferability.training.optimizers import Schedule, descend, learning_groups

CLASSES, EACH, BATCH = 12, 20, 16
VARIANTS = [(classifier, filters) for classifier in ("timm's", "ours") for filters in ("as folded", "lengthened")]


def photographs(material: Path, size: int) -> tuple[Tensor, Tensor]:
    """The photographs of the first classes, normalised, (classes, 2·EACH, 3, size, size), and their labels."""
    files = image_files(material)
    chosen = sorted({path.parent.name for path in files})[:CLASSES]
    by_class = [[path for path in files if path.parent.name == name][: 2 * EACH] for name in chosen]
    pixels = [[fit(open_image(path.read_bytes()), size, 3) for path in paths] for paths in by_class]
    labels = torch.arange(CLASSES)[:, None].expand(-1, 2 * EACH)
    return torch.from_numpy(np.array(pixels)).float() / 127.5 - 1, labels


def network_of(weights: Path, folder: Path, classifier: str, seed: int) -> nn.Sequential:
    """The pretrained stages below a new classifier, drawn by timm or by this package."""
    described, shape = architecture("imagenet", weights), (3, 224, 224)
    if classifier == "ours":
        drawn = draw_network(described, shape, CLASSES, lambda n: seed + n)
    else:
        with patch("transferability.networks.staging.draw_classifiers"):
            drawn = draw_network(described, shape, CLASSES, lambda n: seed + n)
    network = build("imagenet", weights, folder)
    network[-1] = drawn[-1]
    return network


def unfold(network: nn.Sequential, images: Tensor, filters: str) -> None:
    """Unfold the norms of all stages below the classifier, with filters lengthened or as they are."""
    unlike = {"lengthened": unfolding.lengthen, "as folded": lambda layer: torch.ones(len(layer.weight))}
    with patch.object(unfolding, "lengthen", unlike[filters]):
        unfolding.unfold(network, network[:-1], [(images, images)])


def train(network: nn.Sequential, images: Tensor, labels: Tensor, schedule: Schedule, seed: int) -> None:
    """Train all stages, epoch by epoch in an order drawn by the seed."""
    network.train()
    groups, generator, order = learning_groups(network, schedule), torch.Generator().manual_seed(seed), []
    for step in range(schedule.steps):
        if len(order) < BATCH:
            order = torch.randperm(len(images), generator=generator).tolist()
        batch, order = order[:BATCH], order[BATCH:]
        functional.cross_entropy(network(images[batch]), labels[batch]).backward()
        descend(groups, schedule, schedule.rate(step))


def accuracy(network: nn.Sequential, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return (network.eval()(images).argmax(1) == labels).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("material", type=Path)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.001, 0.003, 0.01])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--steps", type=int, default=120)
    arguments = parser.parse_args()
    images, labels = photographs(arguments.material, arguments.size)
    (known, answers), (unknown, truths) = (
        (images[:, part].flatten(0, 1), labels[:, part].flatten()) for part in (slice(EACH), slice(EACH, None))
    )
    weights = arguments.material / "networks/mobilenet_v2_imagenet.safetensors"
    with tempfile.TemporaryDirectory() as folder:
        for rate in arguments.rates:
            schedule = Schedule(arguments.steps, BATCH, rate, 10, "cosine", 0.9, True, 5e-4, 1, 1, "fp32")
            for classifier, filters in VARIANTS:
                found = []
                for seed in range(arguments.seeds):
                    network = network_of(weights, Path(folder), classifier, seed)
                    unfold(network, known, filters)
                    train(network, known, answers, schedule, seed)
                    found.append(accuracy(network, unknown, truths))
                spread = f"{np.mean(found):.3f} ({min(found):.3f} to {max(found):.3f})"
                print(f"rate {rate:<6g} classifier {classifier:<7} filters {filters:<11} {spread}", flush=True)


if __name__ == "__main__":
    main()
