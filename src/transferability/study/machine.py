"""Machine: what a study needs of the machine that it runs on, looked for before its first job."""

import os
from collections.abc import Iterable
from pathlib import Path

from transferability.errors import InputError
from transferability.files import expanded
from transferability.study.labels import SEVERAL

GPUS = ("/proc/driver/nvidia", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
"""Where a system shows that it has a GPU that torch may call cuda: NVIDIA's driver, Windows' below it, AMD's."""


STORED = ("folder", *SEVERAL)
"""The sources that read what lies in a folder, or in an archive."""


def folders_of(images: dict) -> list[str]:
    """The folders and archives that images of a data set are read from; torchvision may yet fill its own."""
    sources = images["sets"].values() if images["source"] == "sets" else [images]
    return [source["path"] for source in sources if source["source"] in STORED]


def missing_images(params: dict, dataset: str) -> str | None:
    """Which folder of a data set's images this machine lacks, as a sentence; None if it has them."""
    for path in folders_of(params["datasets"][dataset]["images"]):
        if not expanded(path).exists():
            return f"{path}: there is no such folder or archive; datasets.{dataset}.images names it"
    return None


def has_gpu() -> bool:
    """Whether this machine shows a GPU to this process; torch, which knows, takes seconds to ask."""
    return os.environ.get("CUDA_VISIBLE_DEVICES") != "" and any(Path(place).exists() for place in GPUS)


def check_machine(params: dict, packed: Iterable[str], trains_here: bool) -> None:
    """Refuse to start where images that are to be packed, or the GPU that is to train here, are not to be found."""
    for dataset in packed:
        if line := missing_images(params, dataset):
            raise InputError(line)
    if trains_here and params["device"] == "cuda" and not has_gpu():
        raise InputError('device: "cuda" was asked for, but this machine has no GPU; use "auto" or "cpu"')
