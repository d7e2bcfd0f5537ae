"""Networks made for tests: jobs of one task's networks, whose source is a base network of their own."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from transferability.networks.checkpoints import read_checkpoint
from transferability.networks.notation import parse_network
from transferability.training.job import Request, make_checkpoints

SCHEDULE = {
    "steps": 4,
    "batch_size": 16,
    "learning_rate": 0.03,
    "warmup": 1,
    "decay": "cosine",
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 5e-4,
    "bias_rate": 2,
    "validations": 2,
    "precision": "fp32",
}
NETWORKS = {"family": "tiny", "width": 1, "norm": "batch", "dropout": 0.5}


def weights(folder: Path, name: str) -> dict[str, Tensor]:
    """A network's state."""
    return read_checkpoint(folder / name / "model.safetensors")[1]


def maker(folder_of: Callable[[str], Path], schedule: dict, **settings: object) -> Callable[..., Path]:
    """What trains networks of some names by a recipe, into a folder, or one of its own, and gives that.

    `folder_of` makes a folder of a name; `settings` are those of the request that all jobs share.
    """
    sources = folder_of("source")

    def job(names: list[str], recipe: dict | None = None, into: Path | None = None, **changes: object) -> Path:
        folder = into or folder_of("models")
        copies = parse_network(names[0]).source is not None
        request = Request(
            **settings,
            recipe=recipe or {},
            schedule=schedule | ({"frozen_dropout": True} if copies else {}) | changes,
            seed=3,
            device="cpu",
            threads=1,
            states=folder / "states",
            models=[folder / name / "model.safetensors" for name in names],
            source=sources / "baseA/model.safetensors" if copies else None,
        )
        make_checkpoints(request)
        return folder

    job(["baseA"], into=sources)
    return job
