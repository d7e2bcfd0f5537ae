"""Trials: the networks of a job trained at one learning rate; of several rates validation chooses, for each network."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import nn

from transferability.errors import InputError
from transferability.networks.notation import PRETRAINED, Network
from transferability.networks.recipes import RE_ESTIMATED, TRAINED, Recipe, shared_below, stages_learning
from transferability.networks.treatments import stage_names
from transferability.training.batch_norm import re_estimate, refuse_other_statistics
from transferability.training.learner import Learner
from transferability.training.loop import keep, train
from transferability.training.resuming import Keeper
from transferability.training.setup import Setup
from transferability.training.sharing import share_frozen_stages
from transferability.training.unfolding import unfold


@dataclass(frozen=True)
class Trial:
    """The networks of a job as they stand after training; `seconds` is what that took in this process."""

    setup: Setup
    learners: list[Learner]
    keeper: Keeper
    hashes: list[str]
    seconds: float


def setups_of(setup: Setup, recipe: Recipe) -> list[Setup]:
    """What the networks of each trial have in common: one for every learning rate that a recipe tries."""
    rates = recipe.learning_rates or (setup.schedule.learning_rate,)
    return [replace(setup, schedule=replace(setup.schedule, learning_rate=rate)) for rate in rates]


def on_device(network: Any, device: torch.device) -> nn.Sequential:
    """A network on a device, its maps with channels last, which convolutions are faster on."""
    return network.to(device, memory_format=torch.channels_last)


def learners_of(
    identities: list[Network], networks: list[nn.Sequential], recipes: list[Recipe], setup: Setup
) -> list[Learner]:
    """Freshly started networks on the device, ready to learn, with the frozen stages that they have in common as one.

    Of several learning rates one may be too high: then it is not chosen, and the others are tried all the same.
    """
    for identity, network, recipe in zip(identities, networks, recipes, strict=True):
        measure_statistics(identity, network, recipe, setup)
    frozen = [
        shared_below(stages_learning(identity, recipe, stage_names(network)), recipe)
        for identity, network, recipe in zip(identities, networks, recipes, strict=True)
    ]
    share_frozen_stages(networks, frozen)
    forgiving = any(len(recipe.learning_rates) > 1 for recipe in recipes)
    return [
        Learner(identity, on_device(network, setup.device), setup.schedule, recipe, forgiving)
        for identity, network, recipe in zip(identities, networks, recipes, strict=True)
    ]


def measure_statistics(identity: Network, network: nn.Sequential, recipe: Recipe, setup: Setup) -> None:
    """Give batch norms the statistics of the target's images, in place, where the recipe or folded norms ask for it.

    Folded ones are unfolded where their stages are copied and learn, but for a recipe that keeps what they have.
    """
    if recipe.batch_norm in (RE_ESTIMATED, TRAINED) and identity.source == PRETRAINED:
        refuse_other_statistics(network[: identity.below])
    if recipe.batch_norm == RE_ESTIMATED:
        re_estimate(on_device(network, setup.device)[: identity.below], epoch_of(setup))
    if recipe.batch_norm is None:
        how = stages_learning(identity, recipe, stage_names(network))
        learn = [stage for stage, one in zip(network[: identity.copied], how, strict=False) if one.rate]
        unfold(on_device(network, setup.device), learn, epoch_of(setup))


def epoch_of(setup: Setup) -> islice:
    """The batches of training up to the one with which every image has been seen once."""
    return islice(setup.training_batches(0), -(-len(setup.labels["train"]) // setup.schedule.batch_size))


def run_trial(learners: list[Learner], setup: Setup, keeper: Keeper, report: Callable[[str], None]) -> Trial:
    """Train the networks of a job; frozen stages that are then no longer what they were are a RuntimeError."""
    ready, hashes = time.time(), [learner.kept_hash() for learner in learners]
    with keeper.listening():
        train(learners, setup, report, keeper)
        if learners[0].forgiving:
            # The rates that are left may take long, and this one need not be tried again.
            keep(learners, keeper, setup.schedule.steps)
    for learner, before in zip(learners, hashes, strict=True):
        if learner.kept_hash() != before:
            raise RuntimeError(f"{learner.name}: its {len(learner.kept)} frozen stages changed in training")
    return Trial(setup, learners, keeper, hashes, time.time() - ready)


def choose(trials: list[Trial], number: int) -> int:
    """The trial whose network of a number is best on validation at the end, the first of equal ones.

    If every rate was too high, an InputError names the lowest.
    """
    networks = [trial.learners[number] for trial in trials]
    finite = [place for place, learner in enumerate(networks) if not learner.has_diverged]
    if not finite:
        rates = [trial.setup.schedule.learning_rate for trial in trials]
        raise InputError(
            f"{networks[0].name}: the loss is not finite at any of the learning rates {', '.join(map(str, rates))}; "
            f"give its recipe a lower one than {min(rates):g}"
        )

    def merit(place: int) -> tuple[float, float]:
        last = networks[place].history[-1]
        return last["validation_top1"], -last["validation_loss"]

    return max(finite, key=merit)


def trial_record(trials: list[Trial], number: int) -> dict:
    """What run.json says of how the network of a number was trained by a recipe: stage by stage, and what was tried."""
    learner = trials[0].learners[number]
    learning = dict(zip(stage_names(learner.network), learner.stages_learning, strict=True))
    tried = [
        {
            "learning_rate": trial.setup.schedule.learning_rate,
            "validation_top1": trial.learners[number].history[-1]["validation_top1"],
            "diverged": trial.learners[number].has_diverged,
            "images_seen": trial.setup.schedule.images_seen,
        }
        for trial in trials
    ]
    return {
        "name": learner.identity.option,
        "rates": {name: how.rate for name, how in learning.items()},
        "starts": {name: how.start for name, how in learning.items() if how.start},
        "tried": tried,
    }
