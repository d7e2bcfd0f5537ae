"""A small library of residual networks, for tests: stages with dots in their names, batch norm, dropout, stochastic
depth, a stage without parameters, and stages that begin by overwriting their input."""

import sys
from collections import OrderedDict
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor, nn

from transferability.networks import building
from transferability.networks.dropout import Dropout, StochasticDepth
from transferability.networks.stages import LibraryModel

__version__ = "1"
ARCHITECTURE = LibraryModel("residual", "small")
STAGES = ["stem", "layer1.0", "layer1.1", "pool", "head"]


class Stages(nn.Sequential):
    """A sequence whose names may have dots, as those of libraries do."""

    def __init__(self, stages: OrderedDict[str, nn.Module]) -> None:
        super().__init__()
        self._modules.update(stages)


class Block(nn.Module):
    """A residual block that reads what the stage before has given, and then overwrites it: its ReLU is in place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.dropout = Dropout(0.25)
        self.depth = StochasticDepth(0.25)

    def forward(self, inputs: Tensor) -> Tensor:
        shortcut = 0.5 * inputs
        return shortcut + self.depth(self.dropout(self.norm(self.conv(self.relu(inputs)))))


def build(architecture: LibraryModel, shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """A network of five stages for images of any size."""
    width = 8
    stem = nn.Sequential(nn.Conv2d(shape[0], width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
    pool = nn.Sequential(nn.AvgPool2d(2), nn.Flatten())
    head = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(width * (shape[1] // 2) * (shape[2] // 2), classes))
    stages = (stem, Block(width), Block(width), pool, head)
    return Stages(OrderedDict(zip(STAGES, stages, strict=True))).train()


def draw(
    architecture: LibraryModel, shape: tuple[int, int, int], classes: int, seed_of: Callable[[int], int]
) -> nn.Sequential:
    """A network as `build` gives it, with weights that are functions of their stage's seed."""
    network = build(architecture, shape, classes)
    for number, stage in enumerate(network, start=1):
        generator = torch.Generator().manual_seed(seed_of(number))
        for name, parameter in stage.named_parameters():
            if parameter.dim() > 1:
                nn.init.kaiming_normal_(parameter, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
    return network


def install(monkeypatch) -> None:
    """Make the library one of the package, for as long as a test runs."""
    module = ModuleType("transferability.networks.residual")
    module.build, module.draw = build, draw
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(building, "LIBRARIES", (*building.LIBRARIES, "residual"))
