"""Retraining: what asks for a network of a finished study once more, with something changed; of other benchmarks."""

from pathlib import Path

from transferability import files
from transferability.training.job import Request


def request_again(folder: Path, network: Path, checkpoint: Path, offset: int = 0, **parameters: object) -> Request:
    """What trains a study's network, models/.../seed{seed}/{network}, into another checkpoint.

    Its seed is that of the network and the offset, and parameters such as its augmentation stand in place of its own.
    """
    run = files.read_json(network / "run.json")["parameters"] | parameters
    dataset, _, split, seed = network.parent.relative_to(folder / "models").parts
    return Request(
        split=folder / "data/splits" / dataset / f"{split}.json",
        packed=folder / "data/packed" / dataset,
        architecture=run["architecture"],
        augmentation=run["augmentation"],
        schedule=run["schedule"],
        seed=int(seed.removeprefix("seed")) + offset,
        device="cpu",
        threads=1,
        states=checkpoint.parent / "states",
        models=[checkpoint],
        source=network.parent / f"base{network.name[0]}" / "model.safetensors",
    )
