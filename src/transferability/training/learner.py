"""Learners: a network of a job, and all that training changes beside its weights."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from transferability.errors import InputError
from transferability.networks.dropout import random_modules
from transferability.networks.norms import batch_norms
from transferability.networks.notation import Network
from transferability.networks.recipes import (
    PLAIN,
    TRAINED,
    Learning,
    Recipe,
    shared_below,
    stages_learning,
)
from transferability.networks.treatments import freeze, stage_names
from transferability.training.history import HistoryRow
from transferability.training.optimizers import Group, Schedule, descend, learning_groups
from transferability.training.setup import Setup
from transferability.training.sharing import Taps, stages_hash


@dataclass(eq=False)
class Learner:
    """A network in training, on its device, as a recipe says, if not plainly.

    `frozen` are the stages below the lowest that learns, which networks may share, and `learning` the rest; where
    statistics of batch norm follow the batches, no stage is shared. `kept` are all frozen stages, with their names;
    `waiting` those that are yet to learn, with the step from which they do. `losses` float (steps,): the training loss
    of each step so far; `best`: a copy of what learns, as it was at the best validation; `history`: a row a validation.
    One that is `forgiving` goes on where its loss is not finite.
    """

    identity: Network
    network: nn.Sequential
    schedule: Schedule
    recipe: Recipe = PLAIN
    forgiving: bool = False
    frozen: nn.Sequential = field(init=False)
    learning: nn.Sequential = field(init=False)
    kept: list[tuple[str, nn.Module]] = field(init=False)
    waiting: list[tuple[int, nn.Module]] = field(init=False)
    groups: list[Group] = field(init=False)
    random: list[tuple[str, Any]] = field(init=False)
    best: dict[str, Tensor] = field(init=False)
    losses: Tensor = field(init=False)
    history: list[HistoryRow] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        device = next(self.network.parameters()).device
        stages = list(zip(self.network, self.stages_learning, strict=True))
        first = shared_below(self.stages_learning, self.recipe)
        self.frozen, self.learning = self.network[:first], self.network[first:]
        named = zip(self.network.named_children(), self.stages_learning, strict=True)
        self.kept = [child for child, how in named if not how.rate]
        self.groups = []
        for rate in dict.fromkeys(how.rate for _, how in stages if how.rate):
            part = nn.Sequential(*(stage for stage, how in stages if how.rate == rate))
            self.groups += learning_groups(part, self.schedule, rate)
        self.waiting = [(how.start, stage) for stage, how in stages if how.rate and how.start]
        for _, stage in self.waiting:
            freeze(stage, dropout=True)
        self.fix_statistics()
        self.random = random_modules(self.network)
        for _, module in self.random:
            module.generator = torch.Generator(device)
        self.best = {key: tensor.clone() for key, tensor in self.learning.state_dict().items()}
        self.losses = torch.zeros(self.schedule.steps, device=device)

    @property
    def name(self) -> str:
        """The network in the paper's notation."""
        return self.identity.name

    @property
    def stages_learning(self) -> list[Learning]:
        """How each stage learns."""
        return stages_learning(self.identity, self.recipe, stage_names(self.network))

    def fix_statistics(self) -> None:
        """Let the batch norms below the cut keep their statistics, or follow the batches, where the recipe says so."""
        if self.recipe.batch_norm is not None:
            for norm in batch_norms(self.network[: self.identity.below]):
                norm.train(self.recipe.batch_norm == TRAINED)

    def kept_hash(self) -> str:
        """The hash of what stays as it is of the frozen stages: all but statistics that follow the batches."""
        return stages_hash(self.kept, buffers=self.recipe.batch_norm != TRAINED)

    def begin(self, step: int) -> None:
        """Let the stages learn that do so from a step on; those that wait are frozen, but for their dropout."""
        due = [stage for start, stage in self.waiting if start <= step]
        for stage in due:
            stage.train().requires_grad_(True)
        if due:
            self.waiting = [(start, stage) for start, stage in self.waiting if start > step]
            self.fix_statistics()

    def logits(self, taps: Taps) -> Tensor:
        """The logits (n, classes) of a batch."""
        return taps.overwriting.outputs(self.learning, taps.after(self.frozen))

    def learn(self, step: int, taps: Taps, labels: Tensor, setup: Setup) -> None:
        """One step of training, counted from 0, on a batch and its labels."""
        self.begin(step)
        for name, module in self.random:
            module.generator.manual_seed(setup.draws.key("dropout", name, step))
        with setup.lower_precision():
            loss = setup.objective.loss(self.logits(taps), labels)
        loss.backward()
        descend(self.groups, self.schedule, self.schedule.rate(step))
        self.losses[step] = loss.detach()

    def note_validation(self, done: int, loss: float, top1: float) -> None:
        """Add a row to the history after so many steps, and keep the weights if none before were better.

        A loss that is not finite, of this validation or of a step since the last one, is an InputError.
        """
        before = self.history[-1]["step"] if self.history else 0
        recent = self.losses[before:done]
        self.refuse_infinite(recent, before)
        # The weights of the last step meet their first images here.
        self.refuse_infinite(torch.tensor([loss]), done)
        if top1 > max((row["validation_top1"] for row in self.history), default=-1):
            for key, tensor in self.learning.state_dict().items():
                self.best[key].copy_(tensor)
        row = HistoryRow(
            step=done,
            images_seen=done * self.schedule.batch_size,
            learning_rate=self.schedule.rate(done - 1),
            train_loss=recent.mean().item(),
            validation_loss=loss,
            validation_top1=top1,
            test_top1=None,
        )
        self.history.append(row)

    def refuse_infinite(self, losses: Tensor, first_step: int) -> None:
        """Raise an InputError if a loss is NaN or infinite; `losses` are those from `first_step` on."""
        wrong = torch.nonzero(~torch.isfinite(losses))
        if len(wrong) and not self.forgiving:
            step = min(first_step + int(wrong[0]), self.schedule.steps - 1)
            section = "base" if self.identity.source is None else "transferred"
            raise InputError(
                f"{self.name}: the loss is {losses[wrong[0]].item()} at step {step + 1} with learning rate "
                f"{self.schedule.rate(step):.4g}; lower training.{section}.learning_rate, "
                "or training.reduced.learning_rate if the split has a volume"
            )

    @property
    def has_diverged(self) -> bool:
        """Whether a loss of training, or of the last validation, is not finite."""
        last = torch.tensor(self.history[-1]["validation_loss"])
        return not bool(torch.isfinite(self.losses).all() and torch.isfinite(last))

    @torch.no_grad()
    def exchange_best(self) -> None:
        """Let what learns and its copy from the best validation change places."""
        for key, tensor in self.learning.state_dict().items():
            before = tensor.clone()
            tensor.copy_(self.best[key])
            self.best[key].copy_(before)

    def state(self) -> dict[str, Tensor]:
        """All tensors that training changes, by name: the tensors themselves, not copies of them."""
        tensors = {"losses": self.losses}
        tensors |= {f"weights/{key}": tensor for key, tensor in self.learning.state_dict().items()}
        tensors |= {f"best/{key}": tensor for key, tensor in self.best.items()}
        for number, group in enumerate(self.groups):
            for key, kept in group.state.items():
                tensors |= {f"{key}/{number}/{index}": tensor for index, tensor in enumerate(kept)}
        return {f"{self.name}/{key}": tensor for key, tensor in tensors.items()}
