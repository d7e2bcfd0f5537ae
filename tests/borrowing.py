"""A library of one model, for tests: its blocks have one position encoding, as those of CoaT have."""

import sys
from types import ModuleType

import torch
from torch import Tensor, nn

from transferability.networks import building
from transferability.networks.dropout import Dropout
from transferability.networks.stages import LibraryModel
from transferability.networks.staging import staged_by

__version__ = "1"
ARCHITECTURE = LibraryModel("borrowing", "small")


class Position(nn.Module):
    """A position encoding, with dropout if asked for."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.convolution, self.dropout = nn.Conv2d(4, 4, 3, padding=1), Dropout(dropout)

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.dropout(self.convolution(maps))


class Block(nn.Module):
    """A block with a position encoding that is not its alone."""

    def __init__(self, position: Position) -> None:
        super().__init__()
        self.position, self.convolution, self.norm = position, nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(self.norm(self.convolution(self.position(maps))))


class Model(nn.Module):
    """A stem, three blocks and a head."""

    def __init__(self, channels: int = 3, classes: int = 5, dropout: float = 0) -> None:
        super().__init__()
        self.stem, self.position = nn.Conv2d(channels, 4, 2, stride=2), Position(dropout)
        self.blocks = nn.ModuleList([Block(self.position) for _ in range(3)])
        self.head = nn.Linear(4, classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stem(images)
        for block in self.blocks:
            maps = block(maps)
        return self.head(maps.mean((2, 3)))


def make(architecture: LibraryModel, shape: tuple[int, int, int], classes: int) -> Model:
    """The model for images of `shape` (C, H, W)."""
    return Model(shape[0], classes, **architecture.options)


build, draw = staged_by(make)


def install(monkeypatch) -> None:
    """Make the library one of the package, for as long as a test runs."""
    module = ModuleType("transferability.networks.borrowing")
    module.build, module.draw = build, draw
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(building, "LIBRARIES", (*building.LIBRARIES, "borrowing"))
