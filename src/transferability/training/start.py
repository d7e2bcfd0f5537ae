"""Starts: networks as they stand before their first step."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from transferability.data.tasks import Task
from transferability.errors import InputError
from transferability.networks.building import draw_network, library_of
from transferability.networks.checkpoints import Card, read_card, read_checkpoint
from transferability.networks.dropout import Dropout, random_modules
from transferability.networks.heads import draw_hidden_layers
from transferability.networks.notation import PRETRAINED, Network
from transferability.networks.recipes import STEEPEST, Recipe, check_recipe, check_stage_names, stages_learning
from transferability.networks.stages import Architecture, section_of
from transferability.networks.treatments import freeze, prepare_network, stage_names
from transferability.training.randomness import Draws
from transferability.training.setup import Setup
from transferability.training.surgery import steepest_stage


def with_preprocessing(task: Task, architecture: Architecture, pretrained: Path | None) -> tuple[Task, str]:
    """The task with the mean and deviation by which its images are normalised for an architecture; their channels.

    They are the split's; but an architecture with pretrained weights is shown images as these expect, whatever it
    starts from, and a library may have a deviation of its own.
    """
    if pretrained is None:
        input_std = getattr(library_of(architecture), "input_std", None)
        return replace(task, std=input_std(architecture, task.std) if input_std else task.std), "rgb"
    card = read_card(pretrained)
    if card.network != "pretrained" or card.architecture != architecture:
        raise InputError(
            f"{pretrained}: holds {card.network} of {section_of(card.architecture)}, not the pretrained weights of "
            f"{section_of(architecture)}; delete it and run again"
        )
    if len(card.mean) != len(task.mean):
        raise InputError(
            f"{pretrained}: its network takes images of {len(card.mean)} channels, those of the data set have "
            f"{len(task.mean)}; set datasets.*.images.channels to {len(card.mean)}"
        )
    return replace(task, mean=card.mean, std=card.std), card.channels


def start_network(
    identity: Network,
    architecture: Architecture,
    shape: tuple[int, int, int],
    draws: Draws,
    source: dict[str, Tensor] | None,
    frozen_dropout: bool,
) -> nn.Sequential:
    """A network as it stands before its first step; its first `identity.frozen` stages are frozen.

    `source` is the state of the network that stages are copied from, if any. Base networks and the new stages of
    transferred ones are different draws: were they the same, a selffer's new stages would start as those did with
    which its copied stages once adapted.
    """
    purpose = "base" if identity.source is None else "new"
    network = draw_network(architecture, shape, len(draws.classes), lambda n: draws.key("weights", purpose, n))
    prepare_network(identity, network, source, frozen_dropout)
    return network


def start_networks(
    identities: list[Network],
    architecture: Architecture,
    shape: tuple[int, int, int],
    draws: Draws,
    source: Path | None,
    frozen_dropout: bool,
) -> list[nn.Sequential]:
    """The networks of a job as they stand before their first step; stages are copied from the checkpoint `source`."""
    card, state = read_checkpoint(source) if source else (None, None)
    networks = []
    for identity in identities:
        check_source(identity, card, source)
        try:
            networks.append(start_network(identity, architecture, shape, draws, state, frozen_dropout))
        except InputError as error:
            origin = f" from {source}" if source else ""
            raise InputError(f"{identity.name}{origin}: {error}{other_shape(card, shape)}") from None
    return networks


def check_source(identity: Network, card: Card | None, path: Path | None) -> None:
    """Refuse the checkpoint of another network than the one that a network's stages are copied from."""
    wanted = "pretrained" if identity.source == PRETRAINED else f"base{identity.source}"
    if card and card.network != wanted:
        raise InputError(f"{path}: holds {card.network}, but {identity.name} needs {wanted}")


def other_shape(card: Card | None, shape: tuple[int, int, int]) -> str:
    """The end of a sentence that says why a source may not fit: it is of other images."""
    if card is None or card.shape == shape:
        return ""
    source, here = ("×".join(map(str, sizes)) for sizes in (card.shape, shape))
    return f"; the source is for images of {source}, these are {here}: see datasets.*.images and augmentation.crop"


def follow_recipe(
    identity: Network, network: nn.Sequential, recipe: Recipe, setup: Setup, frozen_dropout: bool, library: str
) -> Recipe:
    """Make the start of a network, in place, that of one which is trained by a recipe: its head, dropout and stages.

    `library` is that of its architecture. Gives the recipe, with the stage that it had to choose.
    """
    draws = setup.draws
    check_recipe(identity, recipe)
    check_stage_names(recipe, stage_names(network))
    seed_of = partial(draws.key, "weights", "hidden")
    draw_hidden_layers(network, recipe.hidden, recipe.dropout or 0.0, seed_of, library)
    if recipe.dropout is not None:
        set_dropout(network, recipe.dropout)
    if recipe.only == STEEPEST:
        recipe = replace(recipe, only=(steepest_stage(network, identity.copied, setup),))
    learning = stages_learning(identity, recipe, stage_names(network))
    for stage, how in zip(network, learning, strict=True):
        if not how.rate:
            freeze(stage, frozen_dropout)
    return recipe


def set_dropout(network: nn.Sequential, probability: float) -> None:
    """Set the probability of every dropout of a network; stochastic depth stays as it is."""
    dropping = [module for _, module in random_modules(network) if type(module) is Dropout]
    if not dropping:
        raise InputError("recipes: the network has no dropout that could be set; leave out dropout")
    for module in dropping:
        module.probability = probability
