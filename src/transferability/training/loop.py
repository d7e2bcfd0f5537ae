"""The loop: networks of one target are trained side by side on one stream of images.

All treatments of one target and seed see the same batches, the same augmentation and the same dropout (`randomness`),
and their new stages start from the same weights. What is alike is computed once: a batch for all networks of a job, and
the frozen stages that they have in common; without augmentation these are computed once for all steps. Which networks
share a job, and whether it was stopped and resumed, changes nothing.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm import tqdm

from transferability.data.tasks import SINGLE
from transferability.training.caching import cache_of
from transferability.training.history import best_row
from transferability.training.learner import Learner
from transferability.training.losses import OBJECTIVES, Objective
from transferability.training.optimizers import Schedule
from transferability.training.resuming import Keeper
from transferability.training.setup import Setup
from transferability.training.sharing import Overwriting, Taps

LINES = 600
"""A long run writes a line to its log at least every so many seconds."""


def train(learners: list[Learner], setup: Setup, report: Callable[[str], None], keeper: Keeper | None = None) -> None:
    """Train networks of one target in place, each batch drawn and augmented once for all of them.

    A row of the `history` of each is added at every validation; that of the best one gets the test accuracy of the
    weights at that time. With a `keeper` training resumes from the state that it has, if any. A loss that is not
    finite is an InputError naming network, step and rate.
    """
    schedule = setup.schedule
    first = resume(learners, keeper) if keeper else 0
    if first:
        report(f"going on after step {first} of {schedule.steps}")
    progress = Progress(schedule, first, report)
    validation_steps, overwriting = set(schedule.validation_steps()), Overwriting()
    cache = cache_of(learners, setup, first)
    for done, (images, labels) in enumerate(setup.training_batches(first), start=first + 1):
        taps = Taps(images, overwriting, cache.at(done - 1))
        for learner in learners:
            learner.learn(done - 1, taps, labels, setup)
        if done in validation_steps:
            scores = validate(learners, setup.batches_of("validation"), setup.objective)
            for learner, (loss, top1) in zip(learners, scores, strict=True):
                learner.note_validation(done, loss, top1)
        progress.tell(done, learners, validated=done in validation_steps)
        if keeper and done < schedule.steps and keeper.due():
            keep(learners, keeper, done)
    progress.bar.close()
    score_best(learners, setup)


@torch.no_grad()
def validate(
    learners: list[Learner], batches: Iterable[tuple[Tensor, Tensor]], objective: Objective = OBJECTIVES[SINGLE]
) -> list[tuple[float, float]]:
    """Mean loss and top-1 accuracy of each network, or mean average precision, with every stage in evaluation mode.

    `batches` of normalised images with their labels are gone through once for all networks.
    """
    modes = {module: module.training for learner in learners for module in learner.network.modules()}
    for learner in learners:
        learner.network.eval()
    tallies, overwriting = [objective.tally() for _ in learners], Overwriting()
    for images, labels in batches:
        taps = Taps(images, overwriting)
        for learner, tally in zip(learners, tallies, strict=True):
            tally.add(learner.logits(taps), labels)
    for module, mode in modes.items():
        module.training = mode
    return [tally.result() for tally in tallies]


def score_best(learners: list[Learner], setup: Setup) -> None:
    """Put into each history what the weights of its best validation score on test images."""
    for learner in learners:
        learner.exchange_best()
    scores = validate(learners, setup.batches_of("test"), setup.objective)
    for learner, (_, top1) in zip(learners, scores, strict=True):
        best_row(learner.history)["test_top1"] = top1
        learner.exchange_best()


def training_state(learners: list[Learner]) -> dict[str, Tensor]:
    """All tensors that training changes, by network and name: the tensors themselves, not copies of them."""
    return {name: tensor for learner in learners for name, tensor in learner.state().items()}


def keep(learners: list[Learner], keeper: Keeper, done: int) -> None:
    """Save the state of learners after so many steps."""
    history = {learner.name: learner.history for learner in learners}
    keeper.save(training_state(learners), {"step": done, "history": history})


@torch.no_grad()
def resume(learners: list[Learner], keeper: Keeper) -> int:
    """Bring learners into the state that a keeper has, if any; gives the number of steps that are done."""
    kept = keeper.load()
    if kept is None:
        return 0
    tensors, progress = kept
    for name, tensor in training_state(learners).items():
        tensor.copy_(tensors[name])
    for learner in learners:
        learner.history = progress["history"][learner.name]
    return progress["step"]


@dataclass
class Progress:
    """Tells how training goes: a bar on a terminal, and lines for the log."""

    schedule: Schedule
    first: int
    report: Callable[[str], None]
    bar: tqdm = field(init=False)

    def __post_init__(self) -> None:
        self.bar = tqdm(total=self.schedule.steps, initial=self.first, unit=" steps", disable=None)
        self._started = self._last_line = time.monotonic()

    def tell(self, done: int, learners: list[Learner], validated: bool) -> None:
        """Move the bar; write a line after a validation, and when there has been none for LINES seconds."""
        self.bar.update()
        now = time.monotonic()
        if not validated and now - self._last_line <= LINES:
            return
        self._last_line, pace = now, (done - self.first) / (now - self._started)
        mean = sum(learner.losses[done - 1].item() for learner in learners) / len(learners)
        images, left = pace * self.schedule.batch_size, (self.schedule.steps - done) / pace
        line = f"step {done} of {self.schedule.steps}: mean loss {mean:.3f}, {images:.0f} images/s, {left:.0f} s left"
        scores = ", ".join(f"{one.name} {one.history[-1]['validation_top1']:.3f}" for one in learners if validated)
        self.report(f"{line}; validation top-1 {scores}" if validated else line)
        self.bar.set_postfix(loss=f"{mean:.3f}", images=f"{images:.0f}/s")
