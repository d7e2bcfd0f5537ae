"""Sharing: the frozen stages that networks of a job have in common are one module, and compute a batch once."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from torch import Tensor, nn


def running_hashes(stages: Iterable[tuple[str, nn.Module]], buffers: bool = True) -> Iterator[str]:
    """After each of some named stages, the SHA-256 of all parameters and `buffers` up to it, with their names."""
    digest = hashlib.sha256()
    for name, stage in stages:
        state = stage.state_dict(prefix=f"{name}.") if buffers else dict(stage.named_parameters(name))
        for key, tensor in state.items():
            digest.update(key.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        yield digest.hexdigest()


def stages_hash(stages: Iterable[tuple[str, nn.Module]], buffers: bool = True) -> str:
    """The SHA-256 of all parameters, and `buffers`, of some named stages, with their names."""
    return [hashlib.sha256().hexdigest(), *running_hashes(stages, buffers)][-1]


def state_hash(network: nn.Sequential) -> str:
    """The SHA-256 of all parameters and buffers of a network, or of its first stages, with their names."""
    return stages_hash(network.named_children())


def share_frozen_stages(networks: list[nn.Sequential], frozen: list[int]) -> None:
    """Let networks hold the same modules for the frozen stages in which they are alike from the first one on.

    `frozen` is the number of frozen stages of each, from the first on. Alike are weights, buffers, and which modules
    are in training mode (dropout that stays on).
    """
    shared: dict[tuple, nn.Module] = {}
    for network, count in zip(networks, frozen, strict=True):
        modes: tuple[bool, ...] = ()
        for number, digest in enumerate(running_hashes(network[:count].named_children())):
            modes += tuple(module.training for module in network[number].modules())
            network[number] = shared.setdefault((digest, modes), network[number])


@dataclass
class Overwriting:
    """Which parts of networks overwrite their input, as a ReLU in place does; learnt when each first sees one.

    Several networks read one tensor, so that such a part gets a copy.
    """

    parts: dict[nn.Module, bool] = field(default_factory=dict)

    def outputs(self, part: nn.Module, inputs: Tensor) -> Tensor:
        """What a part gives for inputs, which stay as they are."""
        if self.parts.get(part, True):
            inputs = inputs.clone()
        given = part(inputs)
        if part not in self.parts:
            # torch counts the changes in place of a tensor and of its views.
            self.parts[part] = inputs._version > 0
        return given


@dataclass
class Taps:
    """A batch of normalised images (n, C, H, W), and what frozen stages have given for it."""

    images: Tensor
    overwriting: Overwriting
    given: dict[nn.Module, Tensor] = field(default_factory=dict)

    def after(self, stages: nn.Sequential) -> Tensor:
        """What the last of the first, frozen stages of a network gives; none of them computes the batch twice."""
        done = next((number for number in range(len(stages), 0, -1) if stages[number - 1] in self.given), 0)
        outputs = self.given[stages[done - 1]] if done else self.images
        for stage in stages[done:]:
            outputs = self.given[stage] = self.overwriting.outputs(stage, outputs)
        return outputs
