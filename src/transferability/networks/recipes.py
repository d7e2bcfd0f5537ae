"""Recipes: other ways to train a network than the plain one, as `recipes` of the params names them; without torch.

A recipe says what is put on top of a network and how each stage learns. What it does not say is as in the plain
network of the same name without it: A3B+-slides differs from A3B+ in what the recipe slides says, and in nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transferability.errors import InputError
from transferability.networks.notation import Network

PARTS = ("top", "middle", "bottom")
"""The thirds of the copied stages, from the cut down."""
NEW = "new"
"""The stages above the copied ones, and what `hidden` adds to the last."""
ALL, STEEPEST = "all", "steepest"
SOURCE, RE_ESTIMATED, TRAINED = "source", "re-estimated", "trained"
"""Where the statistics of batch norm in the stages below the cut come from."""


@dataclass(frozen=True)
class Learning:
    """How a stage learns: its factor on the learning rate, 0 if it is frozen, and the step from which it learns."""

    rate: float
    start: int = 0


@dataclass(frozen=True)
class Recipe:
    """What a recipe says.

    `hidden` are the widths of fully connected layers below the classifier, each with a ReLU and dropout. `rates` are
    factors on the learning rate: of NEW stages, of PARTS or single stages by name, or {"decay": d}, d times as much for
    each stage further down. With `unfreeze` the copied stages begin to learn one after another from the top, one every
    so many steps; `only` names those of them that learn at all, or is STEEPEST, the one whose gradient is largest
    beside its weights. `dropout` is the probability of every dropout of the network. `batch_norm` says where the
    statistics of batch norm in the stages below the cut come from: the SOURCE, RE_ESTIMATED on the target's training
    images before training, and fixed in both cases; or TRAINED, each batch's own, in frozen stages too: what setting
    `requires_grad` alone does. Of several `learning_rates` validation chooses. With `patches` the network learns what
    patches of images show, a class or background, and an image scores by its patches.
    """

    hidden: tuple[int, ...] = ()
    rates: Mapping[str, float] | None = None
    unfreeze: int | None = None
    only: str | tuple[str, ...] = ALL
    dropout: float | None = None
    batch_norm: str | None = None
    learning_rates: tuple[float, ...] = ()
    patches: Mapping[str, Any] | None = None


PLAIN = Recipe()


def recipe_of(section: Mapping) -> Recipe:
    """The recipe that a section describes; one that it cannot is an InputError."""
    try:
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in section.items()}
        return Recipe(**values)
    except TypeError as error:
        raise InputError(f"recipes: {dict(section)} does not describe one ({error})") from None


def parts_of(copied: int) -> list[str]:
    """The part of each of so many copied stages, from the first on: the upper third is the top."""
    return [PARTS[place * len(PARTS) // copied] for place in reversed(range(copied))]


def stage_rates(recipe: Recipe, stages: tuple[str, ...], copied: int) -> list[float]:
    """The factor on the learning rate of each stage, of which the first so many are copied.

    A part that is not named has the rate of the part above it.
    """
    rates = dict(recipe.rates or {})
    above = rates.get(NEW, 1)
    if "decay" in rates:
        return [rates["decay"] ** max(0, copied - number) for number in range(len(stages))]
    by_part = {}
    for part in PARTS:
        above = by_part[part] = rates.get(part, above)
    parts = [*(by_part[part] for part in parts_of(copied)), *[rates.get(NEW, 1)] * (len(stages) - copied)]
    return [rates.get(name, rate) for name, rate in zip(stages, parts, strict=True)]


def stages_learning(identity: Network, recipe: Recipe, stages: tuple[str, ...]) -> list[Learning]:
    """How each stage of a network learns, by the names of all its stages; an InputError if none does.

    Frozen stages are those of the treatment, those that `only` leaves out, and those whose rate is 0.
    """
    learning = []
    for number, (name, rate) in enumerate(zip(stages, stage_rates(recipe, stages, identity.copied), strict=True)):
        copied = number < identity.copied
        chosen = not copied or recipe.only in (ALL, STEEPEST) or name in recipe.only
        start = (recipe.unfreeze or 0) * max(0, identity.copied - number)
        learning.append(Learning(rate if number >= identity.frozen and chosen else 0.0, start))
    if not any(stage.rate for stage in learning):
        raise InputError(f"{identity.name} has nothing to train: every stage is frozen or has a rate of 0")
    return learning


def frozen_below(learning: list[Learning]) -> int:
    """The number of frozen stages below the lowest that learns."""
    return next(number for number, stage in enumerate(learning) if stage.rate)


def shared_below(learning: list[Learning], recipe: Recipe) -> int:
    """The number of stages from the first on that training leaves as they are, which networks may share."""
    return 0 if recipe.batch_norm == TRAINED else frozen_below(learning)


def check_recipe(identity: Network, recipe: Recipe) -> None:
    """Refuse what a recipe says that has no meaning for a network: an InputError says which, and what to do."""
    name = identity.name
    below = [key for key in ("hidden", "rates", "unfreeze", "batch_norm") if getattr(recipe, key) not in (None, ())]
    below += ["only"] if recipe.only != ALL else []
    if identity.source is None and below:
        raise InputError(f"{name}: {below[0]} is for networks that copy stages; give base networks a recipe without it")
    lower = sorted({"decay", *PARTS} & set(recipe.rates or ()))
    of_copied = [key for key in ("unfreeze", "only") if key in below] + ["rates." + key for key in lower]
    if of_copied and identity.copied <= identity.frozen:
        raise InputError(
            f"{name}: {of_copied[0]} is of copied stages that learn, and those of {name} are frozen; "
            "use the treatment with +"
        )


def check_stage_names(recipe: Recipe, stages: tuple[str, ...]) -> None:
    """Refuse rates or a choice of stages that an architecture does not have."""
    named = {"rates": set(recipe.rates or ()) - {NEW, *PARTS, "decay"}}
    named["only"] = set() if recipe.only in (ALL, STEEPEST) else set(recipe.only)
    for key, names in named.items():
        if unknown := sorted(names - set(stages)):
            raise InputError(f"{key} names the stage {unknown[0]!r}, which is none of {', '.join(stages)}")
