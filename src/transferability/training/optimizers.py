"""Optimizers: how a network's weights follow their gradients, step by step."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from transferability.errors import InputError


@dataclass(frozen=True)
class Schedule:
    """How a network is trained: an optimizer and its learning rate, step by step.

    The rate rises in a line over `warmup` steps, then falls as `decay` says: by a "cosine" to 0, or in stairs,
    {"every": steps, "factor": f}: it is multiplied by f after every so many steps since the warm-up. A fixed number of
    steps, whatever the treatment and the volume of data. Biases learn at `bias_rate` times the rate; weight decay
    spares them, and all that is no matrix or kernel (see `learning_groups`). The networks are validated `validations`
    times, evenly spaced, the last time at the end. The `precision` of a step's products is "fp32" or "bf16"; weights,
    sums and validations are fp32 in both. `optimizer` is "sgd", with `momentum` and `nesterov`, or "adamw" (Loshchilov
    and Hutter 2019), which has betas of 0.9 and 0.999 and an epsilon of 1e-8, and uses neither.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup: int
    decay: str | dict[str, float]
    momentum: float
    nesterov: bool
    weight_decay: float
    bias_rate: float
    validations: int
    precision: str
    optimizer: str = "sgd"

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise InputError(f"training.*.optimizer is {self.optimizer!r}; choose one of {', '.join(OPTIMIZERS)}")

    @property
    def images_seen(self) -> int:
        """The number of images in all batches."""
        return self.steps * self.batch_size

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if not isinstance(self.decay, str):
            return self.learning_rate * self.decay["factor"] ** ((step - self.warmup) // self.decay["every"])
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * (1 + math.cos(math.pi * progress)) / 2

    def validation_steps(self) -> list[int]:
        """The numbers of steps after which the networks are validated."""
        return sorted({self.steps * i // self.validations for i in range(1, self.validations + 1)} - {0})


@dataclass(frozen=True)
class Group:
    """Parameters that learn by one rule: their weight decay, and the factor on the learning rate.

    `state` is what the optimizer keeps between steps: by name, a float tensor for each parameter.
    """

    parameters: list[Tensor]
    state: dict[str, list[Tensor]]
    weight_decay: float
    rate: float


def is_matrix(module: nn.Module, name: str) -> bool:
    """Whether a module's parameter is a matrix or a kernel: a weight of a convolution, a linear layer or attention.

    A scale of a norm, a class token, an embedding of positions and a scale of a layer are none.
    """
    parameter = module.get_parameter(name)
    table = isinstance(module, nn.Embedding | nn.LayerNorm)
    return name.endswith("weight") and parameter.dim() >= 2 and not table


def kind_of(module: nn.Module, name: str) -> str:
    """By which rule a module's parameter learns: "weight", "bias" (of a module that has a matrix), or "other"."""
    if is_matrix(module, name):
        return "weight"
    beside = [other for other, _ in module.named_parameters(recurse=False)]
    return "bias" if name.endswith("bias") and any(is_matrix(module, other) for other in beside) else "other"


def learning_groups(part: nn.Module, schedule: Schedule, rate: float = 1) -> list[Group]:
    """What of a network, or of some of its stages, learns: matrices, which decay; biases, at their rate; the rest.

    `rate` is a factor on the learning rates of all: stages that learn at different rates have groups of their own.
    """
    kinds: dict[str, list[Tensor]] = {"weight": [], "bias": [], "other": []}
    for module in part.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                kinds[kind_of(module, name)].append(parameter)
    state = OPTIMIZERS[schedule.optimizer].state
    rules = {"weight": (schedule.weight_decay, 1), "bias": (0.0, schedule.bias_rate), "other": (0.0, 1)}
    return [
        Group(parameters, state(parameters), rules[kind][0], rate * rules[kind][1])
        for kind, parameters in kinds.items()
        if parameters
    ]


@torch.no_grad()
def descend(groups: list[Group], schedule: Schedule, rate: float) -> None:
    """One step at a learning rate, in place; spends the gradients. What has none stays as it is."""
    step = OPTIMIZERS[schedule.optimizer].step
    for group in groups:
        moved = [number for number, parameter in enumerate(group.parameters) if parameter.grad is not None]
        parameters = [group.parameters[number] for number in moved]
        state = {name: [tensors[number] for number in moved] for name, tensors in group.state.items()}
        if moved:
            step(Group(parameters, state, group.weight_decay, group.rate * rate), schedule)
        for parameter in parameters:
            parameter.grad = None


def gradients(parameters: list[Tensor]) -> list[Tensor]:
    """The gradients of parameters, all of which have one."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


# torch.optim's classes are these functions and, when the first is made, a second and a half of imports.


def sgd_state(parameters: list[Tensor]) -> dict[str, list[Tensor]]:
    """The velocities of SGD with momentum."""
    return {"velocities": [torch.zeros_like(parameter) for parameter in parameters]}


def sgd_step(group: Group, schedule: Schedule) -> None:
    """A step of SGD with momentum at the group's rate.

    In the original's solver, Caffe's, the rate is inside the velocity: after a fall to a tenth the old pace lasts some
    20 steps longer, of 100,000.
    """
    sgd(
        group.parameters,
        gradients(group.parameters),
        [*group.state["velocities"]],
        fused=True,
        weight_decay=group.weight_decay,
        momentum=schedule.momentum,
        lr=group.rate,
        dampening=0.0,
        nesterov=schedule.nesterov and schedule.momentum > 0,
        maximize=False,
    )


def adamw_state(parameters: list[Tensor]) -> dict[str, list[Tensor]]:
    """AdamW's running means of gradients and of their squares, and the number of steps, a scalar."""
    return {
        "means": [torch.zeros_like(parameter) for parameter in parameters],
        "squares": [torch.zeros_like(parameter) for parameter in parameters],
        "steps": [torch.zeros((), dtype=torch.float32, device=parameter.device) for parameter in parameters],
    }


def adamw_step(group: Group, schedule: Schedule) -> None:
    """A step of AdamW at the group's rate."""
    adamw(
        group.parameters,
        gradients(group.parameters),
        group.state["means"],
        group.state["squares"],
        [],
        group.state["steps"],
        fused=True,
        amsgrad=False,
        beta1=0.9,
        beta2=0.999,
        lr=group.rate,
        weight_decay=group.weight_decay,
        eps=1e-8,
        maximize=False,
    )


@dataclass(frozen=True)
class Optimizer:
    """The state that an optimizer keeps of parameters, at its start, and its step, which a schedule's numbers set."""

    state: Callable[[list[Tensor]], dict[str, list[Tensor]]]
    step: Callable[[Group, Schedule], None]


OPTIMIZERS = {"sgd": Optimizer(sgd_state, sgd_step), "adamw": Optimizer(adamw_state, adamw_step)}
