"""Contrasts: the effects of a study, each one treatment minus another at the same n, target, split and seed."""

from collections.abc import Iterable
from dataclasses import dataclass

from transferability.analysis.treatments import curves_of, rank_of, split_treatment


@dataclass(frozen=True)
class Effect:
    """A treatment minus its reference.

    `name` is that of the tables, `label` that of figures and page, `notation` the difference as the paper writes it,
    and `meaning` what it tells, in a sentence.
    """

    name: str
    treatment: str
    reference: str
    label: str
    notation: str
    meaning: str


EFFECTS = (
    Effect(
        "co-adaptation",
        "selffer",
        "base",
        "Fragile co-adaptation",
        "BnB − base",
        "what is lost by cutting alone: the new layers do not find back what both sides of the cut had learnt together",
    ),
    Effect(
        "specificity",
        "transfer",
        "selffer",
        "Specificity",
        "AnB − BnB",
        "what is lost because the copied layers belong to the other task",
    ),
    Effect(
        "total",
        "transfer",
        "base",
        "Frozen transfer",
        "AnB − base",
        "what copying from the other task and freezing costs or gains in all",
    ),
    Effect(
        "fine-tuned selffer",
        "selffer+",
        "base",
        "Fine-tuned selffer",
        "BnB+ − base",
        "what starting from the same task's layers, all of which learn on, costs or gains",
    ),
    Effect(
        "fine-tuned transfer",
        "transfer+",
        "base",
        "Fine-tuned transfer",
        "AnB+ − base",
        "what starting from the other task's layers, all of which learn on, costs or gains",
    ),
    Effect(
        "lingering boost",
        "transfer+",
        "selffer+",
        "Lingering boost",
        "AnB+ − BnB+",
        "what is gained, after fine-tuning, because the layers have seen the other task",
    ),
    Effect(
        "random filters",
        "random",
        "base",
        "Random filters",
        "RnB − base",
        "what is lost where the first layers are never trained",
    ),
    Effect(
        "pretrained, frozen",
        "pretrained",
        "base",
        "Frozen pretrained",
        "PnB − base",
        "what copying from the pretrained network and freezing costs or gains",
    ),
    Effect(
        "pretrained, fine-tuned",
        "pretrained+",
        "base",
        "Fine-tuned pretrained",
        "PnB+ − base",
        "what starting from the pretrained network's layers, all of which learn on, costs or gains",
    ),
    Effect(
        "pretrained over random",
        "pretrained",
        "random",
        "Pretrained over random",
        "PnB − RnB",
        "what the pretrained weights add to the same layers untrained",
    ),
)
"""The named effects, in the order of tables, figures and page."""

PRESERVED = "preserved "


def preserved_effect(treatment: str) -> Effect:
    """The effect of a preserved treatment, such as transfer-k2, against base."""
    kind, preserved = split_treatment(treatment)
    meaning = f"as {kind.name}, where the {preserved} layers above the cut start from the copied network too"
    return Effect(
        PRESERVED + treatment,
        treatment,
        "base",
        (PRESERVED + treatment).capitalize(),
        f"{curves_of(treatment)[1]} − base",
        meaning,
    )


def effects_of(treatments: Iterable[str]) -> list[Effect]:
    """The effects that some treatments allow: the named ones, then each preserved treatment against base."""
    present = set(treatments)
    preserved = [preserved_effect(name) for name in sorted(present, key=rank_of) if split_treatment(name)[1]]
    return [effect for effect in (*EFFECTS, *preserved) if {effect.treatment, effect.reference} <= present]


def effect_of(name: str) -> Effect:
    """The effect of a name in the tables."""
    for effect in EFFECTS:
        if effect.name == name:
            return effect
    return preserved_effect(name.removeprefix(PRESERVED))
