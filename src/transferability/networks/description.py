"""Description: the stages of an architecture, and what each holds and computes, as a file that plans are made from."""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from transferability import files
from transferability.errors import InputError, exit_plainly
from transferability.networks.building import build_network
from transferability.networks.stages import Architecture, Stage, architecture_of, section_of

CLASSES = 1000
"""The head is described for so many classes."""

IMAGES = 2
"""Two images, as batch norm in training cannot do with one value of a channel."""


def meta_network(architecture: Architecture, shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """A network on the meta device: without the numbers, and in a moment."""
    try:
        with torch.device("meta"):
            return build_network(architecture, shape, classes)
    except InputError:
        # What reads numbers while it builds cannot do so there; whatever else is wrong is so here too.
        return build_network(architecture, shape, classes).to("meta")


def describe(network: nn.Sequential, shape: tuple[int, int, int]) -> list[Stage]:
    """The stages of a network in training mode on the meta device, for images of `shape` (C, H, W)."""
    stages, activations = [], torch.empty(IMAGES, *shape, device="meta")
    for name, module in network.named_children():
        outputs: list[int] = []

        def count(module: nn.Module, inputs: object, output: object, outputs: list[int] = outputs) -> None:
            outputs.append(output.numel() if isinstance(output, Tensor) else 0)

        leaves = [part for part in module.modules() if not any(True for _ in part.children())]
        hooks = [part.register_forward_hook(count) for part in leaves]
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            activations = module(activations)
        for hook in hooks:
            hook.remove()
        stages.append(
            Stage(
                name=name,
                shape=tuple(activations.shape[1:]),
                parameters=sum(parameter.numel() for parameter in module.parameters()),
                buffers=sum(buffer.nbytes for buffer in module.buffers()),
                multiply_adds=counter.get_total_flops() // 2 // IMAGES,
                outputs=sum(outputs) // IMAGES,
            )
        )
    return stages


def description(architecture: Architecture, shape: tuple[int, int, int]) -> dict:
    """What the file of an architecture says; `read_stages` reads its stages."""
    network = meta_network(architecture, shape, CLASSES)
    libraries = {"torchvision", "timm"} & {architecture.library}
    return {
        "library": architecture.library,
        "name": getattr(architecture, "name", getattr(architecture, "family", None)),
        "definition": section_of(architecture),
        "versions": {library: version(library) for library in sorted(libraries)},
        "image": list(shape),
        "classes": CLASSES,
        "grade": "linked" if getattr(network, "linked", False) else "staged",
        "stages": [vars(stage) | {"shape": list(stage.shape)} for stage in describe(network, shape)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Describe the stages of an architecture.")
    parser.add_argument("--architecture", required=True, help="its section of architectures, as JSON")
    parser.add_argument("--shape", type=int, nargs=3, required=True, help="channels, height and width of its images")
    parser.add_argument("--into", type=Path, required=True, help="file to write")
    arguments = parser.parse_args()
    architecture = architecture_of(json.loads(arguments.architecture))
    files.write_json(arguments.into, description(architecture, tuple(arguments.shape)))


if __name__ == "__main__":
    exit_plainly(main)
