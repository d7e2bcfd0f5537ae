"""Staged: the stages of an architecture as lines, before any study of it is written."""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from transferability.errors import InputError
from transferability.networks.families import FAMILIES, family_stages
from transferability.networks.stages import AlexNet, Stage, architecture_of, read_stages
from transferability.study.architectures import DESCRIBED_CLASSES, describe
from transferability.study.reading import read_study


def section_named(name: str, params: dict) -> dict:
    """The section of `architectures` that a name means: the study's own, one of the AlexNets, or library/model."""
    sections = params.get("architectures", {})
    if name in sections:
        return sections[name]
    if name in FAMILIES:
        return {"family": name, "width": 1, "norm": "batch", "dropout": 0}
    library, _, model = name.partition("/")
    if library in ("torchvision", "timm") and model:
        return {"library": library, "name": model}
    raise InputError(
        f"{name}: no architecture of params.yaml ({', '.join(sections)}); or name a model, such as torchvision/resnet18"
    )


def find_stages(name: str, section: dict, shape: tuple[int, int, int]) -> tuple[Stage, ...]:
    """The stages of an architecture for images of a shape (C, H, W)."""
    described = architecture_of(section)
    if isinstance(described, AlexNet):
        return family_stages(described, shape, DESCRIBED_CLASSES)
    with TemporaryDirectory() as folder:
        path = Path(folder, "stages.json")
        describe(name, section, shape, path)
        return read_stages(path)


def stage_lines(stages: tuple[Stage, ...]) -> list[str]:
    """The stages as a table: n, name, shape, parameters, multiply-adds; a cut is after any but the last."""
    lines = [f"{'n':>3}  {'stage':<24}{'gives':<16}{'parameters':>13}{'multiply-adds':>16}"]
    for n, stage in enumerate(stages, start=1):
        shape = "×".join(map(str, stage.shape))
        lines.append(f"{n:>3}  {stage.name:<24}{shape:<16}{stage.parameters:>13,}{stage.multiply_adds:>16,}")
    return [
        *lines,
        f"cuts: n = 1 to {len(stages) - 1}; the last stage is the head, here of {DESCRIBED_CLASSES} classes",
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="List the stages of an architecture: the places where it can be cut.")
    parser.add_argument("architecture", help="a name of params.yaml, or a model, such as torchvision/resnet18")
    parser.add_argument("study", type=Path, nargs="*", help="files of the study, on top of params.yaml")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="params.yaml, if there is one")
    parser.add_argument("--channels", type=int, default=3, help="of its images (3)")
    parser.add_argument("--size", type=int, default=224, help="of its images, in pixels (224)")
    chosen = parser.parse_args(arguments)
    params = read_study(chosen.params if chosen.params.exists() else None, chosen.study)
    section = section_named(chosen.architecture, params)
    shape = (chosen.channels, chosen.size, chosen.size)
    print("\n".join(stage_lines(find_stages(chosen.architecture, section, shape))))
