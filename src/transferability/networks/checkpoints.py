"""Checkpoints: a trained network as one safetensors file that says what it is; loading one runs no code."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from transferability import files
from transferability.errors import InputError
from transferability.forms.network import NetworkCard
from transferability.networks.building import build_network
from transferability.networks.heads import add_hidden_layers
from transferability.networks.stages import Architecture, architecture_of, section_of
from transferability.networks.treatments import copy_stages

# One key, because safetensors writes several in an order that changes from run to run.
KEY = "transferability"


@dataclass(frozen=True)
class Card:
    """What is needed to rebuild a network and to feed it.

    `network` in the paper's notation, or "pretrained"; `shape` (C, H, W) of its images; `classes` in the order of its
    logits; `mean` and `std` of a channel in units of 0..1, by which images are normalised; `channels` is the order of
    the colours that it expects, "rgb" or "bgr"; `hidden` the widths of the layers that a recipe has put below the
    classifier; `patches`, of a network that reads those, how images are cut into them, and then the last class is
    background.
    """

    network: str
    architecture: Architecture
    shape: tuple[int, int, int]
    classes: list[str]
    mean: list[float]
    std: list[float]
    channels: str = "rgb"
    hidden: tuple[int, ...] = ()
    patches: dict | None = None

    def to_json(self) -> str:
        """The card as JSON, the same bytes for the same card; what is as usual goes without saying."""
        content = asdict(self) | {"architecture": section_of(self.architecture)}
        for name, usual in (("channels", "rgb"), ("hidden", ()), ("patches", None)):
            if content[name] == usual:
                del content[name]
        return json.dumps(content, sort_keys=True)

    @classmethod
    def from_content(cls, content: dict) -> "Card":
        """The card of what `to_json` has written."""
        architecture, shape = architecture_of(content["architecture"]), tuple(content["shape"])
        hidden = tuple(content.get("hidden", ()))
        return cls(**{**content, "architecture": architecture, "shape": shape, "hidden": hidden})


def save_checkpoint(path: Path, network: nn.Sequential, card: Card) -> None:
    """Write parameters, buffers and card, whole or not at all. The same network gives the same bytes."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with files.replacing(path) as temporary:
        # The library's own way to a file leaves one that nobody else may read.
        temporary.write_bytes(save(state, {KEY: card.to_json()}))


def read_checkpoint(path: Path) -> tuple[Card, dict[str, Tensor]]:
    """A checkpoint's card and state, on the CPU; one that is truncated or not ours is an InputError."""
    with opened(path) as (card, file):
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the file is no mapping)
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"{path}: its weights {name} are not all numbers; delete it and run again")
    return card, state


def read_card(path: Path) -> Card:
    """A checkpoint's card, without reading its weights; one that is truncated or not ours is an InputError."""
    with opened(path) as (card, _):
        return card


@contextmanager
def opened(path: Path) -> Iterator[tuple[Card, safe_open]]:
    """A checkpoint's card and its open file; what goes wrong while it is read is an InputError."""
    try:
        with safe_open(path, framework="pt") as file:
            yield card_of(path, file.metadata() or {}), file
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such checkpoint") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a whole checkpoint ({error}); delete it and run again") from None


def card_of(path: Path, metadata: dict[str, str]) -> Card:
    """The card in a safetensors file's metadata; an InputError if there is none."""
    if KEY not in metadata:
        raise InputError(f"{path}: a safetensors file, but no network of a study (it has no card)")
    try:
        card = files.parse_json(f"{path}: its card", metadata[KEY], NetworkCard)
        return Card.from_content(card)
    except (TypeError, ValueError):
        raise InputError(f"{path}: its card does not describe a network; delete it and run again") from None


def load_network(path: Path, shape: tuple[int, int, int] | None = None) -> tuple[Card, nn.Sequential]:
    """Rebuild a checkpoint's network, in evaluation mode on the CPU; with a `shape` (C, H, W), for such images.

    Weights that cannot see images of another shape than their card's, such as those of fully connected stages, are an
    InputError.
    """
    card, state = read_checkpoint(path)
    own, card = card, replace(card, shape=shape or card.shape)
    network = build_network(card.architecture, card.shape, len(card.classes))
    add_hidden_layers(network, card.hidden)
    try:
        copy_stages(state, network, len(network))
    except InputError as error:
        if card == own:
            raise InputError(
                f"{path}: its weights do not fit its own card ({error}); delete it and run again"
            ) from None
        seen, wanted = ("×".join(map(str, one.shape)) for one in (card, own))
        raise InputError(
            f"{path}: its weights see images of {wanted}, not of {seen} ({error}); set images.size, channels and "
            "augmentation.crop of the data set to it"
        ) from None
    return card, network.eval()
