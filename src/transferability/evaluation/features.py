"""Features: what the stages of a network give for images, pooled to vectors, in one pass for all cuts.

Stored ones are a memory-mapped array a cut, float32 (N, D), with a card beside it that says what they follow from, and
how many seconds the pass took. A cut whose card still holds is not computed again.
"""

import hashlib
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from transferability import files, provenance
from transferability.data.batches import centre, fetch, hold, normalise
from transferability.data.packed import Images
from transferability.errors import InputError
from transferability.evaluation.pooling import Pooling, pool
from transferability.evaluation.views import WHOLE, View
from transferability.networks.checkpoints import Card

BATCH = 64
"""Images at a time; the last bits of features may depend on it."""


@dataclass(frozen=True)
class ImageSet:
    """Images in their order, (N, C, H, W), the hash that stands for them, and the view in which they are seen."""

    images: Images
    sha256: str
    view: View = WHOLE


def hash_names(hashes: Iterable[str]) -> str:
    """The hash of a set of images from those of its images, in their order."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def prepared(images: Images, card: Card, device: torch.device) -> Iterator[Tensor]:
    """All images in their order as a card's network sees them: float (n, C, H, W) on the device, BATCH at a time."""
    if images.shape[1] != card.shape[0] or min(images.shape[2:]) < max(card.shape[1:]):
        stored, seen = ("×".join(map(str, shape)) for shape in (images.shape[1:], card.shape))
        raise InputError(
            f"{card.network}: the network sees images of {seen}, those of the data set are {stored}; set "
            "datasets.*.images.size and channels to what it sees, or more pixels"
        )
    choices = torch.arange(len(images)).split(BATCH)
    for _, chunk in fetch(hold(images, device), choices, device):
        yield normalise(centre(chunk, card.shape), card.mean, card.std, card.channels)


def check_cuts(network: nn.Sequential, cuts: Sequence[int]) -> None:
    """Refuse cuts that a network does not have; that after the last stage gives its logits."""
    if wrong := [n for n in cuts if not 1 <= n <= len(network)]:
        raise InputError(f"cuts: there is none after stage {wrong[0]}; this network has 1 to {len(network)}")
    # A slice of a network is a new sequence, which says nothing of its stages.
    if any(module.training for stage in network for module in stage.modules()):
        raise ValueError("features are read in evaluation mode; call eval() first")


@torch.no_grad()
def stage_features(network: nn.Sequential, images: Tensor, cuts: Sequence[int], pooling: Pooling) -> dict:
    """The features of one batch at each cut: {n: float32 (N, D)}; stages above the last cut do not run."""
    pooled, activations = {}, images
    for n, (name, stage) in enumerate(network.named_children(), start=1):
        if n > max(cuts):
            break
        activations = stage(activations)
        if n in cuts:
            # A copy: the next stage may overwrite what it is given.
            pooled[n] = pool(activations, pooling).float().cpu().numpy().copy(order="C")
            if not np.isfinite(pooled[n]).all():
                raise InputError(
                    f"features: what stage {n} ({name}) gives is not finite for some image; check the weights, and "
                    "whether the images are normalised as the network expects"
                )
    return pooled


def cut_features(
    network: nn.Sequential, batches: Iterable[Tensor], cuts: Sequence[int], pooling: Pooling
) -> dict[int, np.ndarray]:
    """The features of all images at each cut, in memory: {n: float32 (N, D)}.

    `network` is a sequence of stages in evaluation mode; `batches` are normalised images (n, C, H, W) on its device,
    each passed forward once. A cut n is after stage n; that after the last stage gives the logits.
    """
    check_cuts(network, cuts)
    parts = [stage_features(network, images, cuts, pooling) for images in batches]
    return {n: np.concatenate([part[n] for part in parts]) for n in cuts}


def stage_hashes(network: nn.Sequential) -> list[str]:
    """For each cut a hash of what the stages below it are and hold: no later stage changes it."""
    digest, hashes = hashlib.sha256(), []
    for name, stage in network.named_children():
        digest.update(f"{name} {stage!r}".encode())
        for key, tensor in stage.state_dict().items():
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        hashes.append(digest.hexdigest())
    return hashes


def feature_cards(network: nn.Sequential, card: Card, images: ImageSet, pooling: Pooling) -> list[dict]:
    """For each cut, what its features follow from."""
    common = {
        "view": asdict(images.view) | {"centre": list(images.view.centre)},
        "pooling": asdict(pooling),
        "preprocessing": {
            "shape": list(card.shape),
            "mean": card.mean,
            "std": card.std,
            "channels": card.channels,
        },
        "images": images.sha256,
        "count": len(images.images),
        "batch": BATCH,
        "dtype": "float32",
        "code": provenance.fingerprint("evaluation.features", f"networks.{card.architecture.library}"),
    }
    names = [name for name, _ in network.named_children()]
    return [
        {"cut": n, "stage": names[n - 1], "weights": weights, **common}
        for n, weights in enumerate(stage_hashes(network), start=1)
    ]


def feature_file(folder: Path, n: int, pooling: Pooling, view: View) -> Path:
    """Where the features of a cut are stored; the card is beside them, with .json for .npy."""
    return folder / f"{n}-{pooling.name}{'' if view == WHOLE else f'-{view.name}'}.npy"


def holds(path: Path, card: dict) -> bool:
    """Whether a file has the features that a card describes."""
    try:
        stored = files.read_json(path.with_suffix(".json"))
        values, _ = stored.pop("values"), stored.pop("seconds")
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (InputError, OSError, EOFError, ValueError, KeyError):
        return False
    return stored == card and (array.shape, array.dtype.name) == ((card["count"], values), card["dtype"])


def check_room(sizes: dict[int, int], folder: Path) -> None:
    """Refuse features, bytes a cut, that the disk has no room for."""
    needed, free = sum(sizes.values()), shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder}: the features of {len(sizes)} cuts take {needed / 2**30:,.1f} GiB, and the disk has "
            f"{free / 2**30:,.1f} GiB free; ask for fewer cuts, or pool them (gap)"
        )


def write_features(paths: dict[int, Path], passes: Iterator[dict[int, np.ndarray]], cards: dict[int, dict]) -> None:
    """Write the features of some cuts, batch by batch, whole or not at all; the cards last."""
    folder, started = next(iter(paths.values())).parent, time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    first = next(passes)
    values = {n: first[n].shape[1] for n in cards}
    check_room({n: 4 * card["count"] * values[n] for n, card in cards.items()}, folder)
    with ExitStack() as open_files:
        arrays, start = {}, 0
        for n, card in cards.items():
            path = paths[n]
            # An old card never describes new features.
            path.with_suffix(".json").unlink(missing_ok=True)
            temporary = open_files.enter_context(files.replacing(path))
            shape = (card["count"], values[n])
            arrays[n] = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        batch: dict[int, np.ndarray] | None = first
        while batch is not None:
            stop = start + len(batch[min(batch)])
            for n, array in arrays.items():
                array[start:stop] = batch[n]
            start, batch = stop, next(passes, None)
        for array in arrays.values():
            array.flush()
    seconds = round(time.perf_counter() - started, 3)
    for n, card in cards.items():
        files.write_json(paths[n].with_suffix(".json"), card | {"values": values[n], "seconds": seconds})


def pass_seconds(folder: Path, cuts: Iterable[int], pooling: Pooling, view: View = WHOLE) -> float:
    """The seconds of the longest of the passes that have made some stored features of one part."""
    cards = (feature_file(folder, n, pooling, view).with_suffix(".json") for n in cuts)
    return max(files.read_json(card)["seconds"] for card in cards)


@dataclass(frozen=True)
class Source:
    """A network that features are read from, in evaluation mode, with its card, and the device that it is on."""

    network: nn.Sequential
    card: Card
    device: torch.device


def stored_features(
    folder: Path, source: Source, images: ImageSet, cuts: Sequence[int], pooling: Pooling
) -> dict[int, np.ndarray]:
    """The features of images at each cut, {n: float32 (N, D)}, memory-mapped from files of the folder.

    Cuts that are missing, or follow from other weights, images, preprocessing or code than their cards say, are
    computed first, all in one pass. Features that the disk has no room for are an InputError.
    """
    check_cuts(source.network, cuts)
    cards = feature_cards(source.network, source.card, images, pooling)
    paths = {n: feature_file(folder, n, pooling, images.view) for n in cuts}
    missing = {n: cards[n - 1] for n in sorted(cuts) if not holds(paths[n], cards[n - 1])}
    if missing:
        batches = map(images.view, prepared(images.images, source.card, source.device))
        passes = (stage_features(source.network, batch, list(missing), pooling) for batch in batches)
        write_features(paths, passes, missing)
    return {n: np.load(paths[n], mmap_mode="r") for n in cuts}
