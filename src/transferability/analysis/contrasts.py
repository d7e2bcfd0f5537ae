"""Contrasts: the effects of a study, each one treatment minus another at the same n, target, split and seed."""

from collections.abc import Iterable
from dataclasses import dataclass

from transferability.analysis.treatments import curves_of, rank_of
from transferability.networks.notation import RANDOM, TREATMENTS, split_treatment


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
    treated = split_treatment(treatment)
    kind, preserved = treated.treatment.name, treated.preserved
    meaning = f"as {kind}, where the {preserved} layers above the cut start from the copied network too"
    return Effect(
        PRESERVED + treatment,
        treatment,
        "base",
        (PRESERVED + treatment).capitalize(),
        f"{curves_of(treatment)[1]} − base",
        meaning,
    )


@dataclass(frozen=True)
class ProbeContrast:
    """An effect that every probe has: a treatment read by it minus another.

    `treatments` are those that it is of. `reference` is the treatment that is read by the same probe, or RETRAINED:
    the network of the treatment itself.
    """

    name: str
    treatments: tuple[str, ...]
    reference: str
    meaning: str

    def effect(self, treatment: str) -> Effect:
        """The effect of a treatment that a probe reads, such as transfer-svm."""
        treated = split_treatment(treatment)
        kind = treated.treatment.name if self.reference == RETRAINED else self.reference
        reference = kind if self.reference == RETRAINED else f"{kind}-{treated.option}"
        name = f"{self.name}, {treatment}"
        notation = f"{curves_of(treatment)[1]} − {curves_of(reference)[1]}"
        return Effect(name, treatment, reference, name[0].upper() + name[1:], notation, self.meaning)


RETRAINED = "retrained"
CUT = tuple(record.name for record in TREATMENTS.values() if record.source is not None)

PROBE_CONTRASTS = (
    ProbeContrast(
        "learned over random",
        tuple(name for name in CUT if TREATMENTS[name].source != RANDOM),
        "random",
        "what features that were learnt are worth more than those of untrained filters, to the same probe",
    ),
    ProbeContrast(
        "probe minus retrained",
        CUT,
        RETRAINED,
        "what a probe on the features loses or gains against new layers that are trained on top of them",
    ),
    ProbeContrast(
        "other source minus own",
        ("transfer",),
        "selffer",
        "what is lost because the features were learnt on the other task, where nothing above the cut is kept",
    ),
    ProbeContrast(
        "pretrained over trained here",
        ("pretrained",),
        "transfer",
        "what the pretrained features are worth more than those learnt on the other task, to the same probe",
    ),
)
"""The effects of each probe, in the order of tables, figures and page."""


OVER = " over "


def variant_effect(kind: str, variant: str, plain: str) -> Effect:
    """What a variant of a probe reads more than the plain one from the features of one treatment."""
    name, treatments = f"{variant}{OVER}{plain}, {kind}", (f"{kind}-{variant}", f"{kind}-{plain}")
    notation = " − ".join(curves_of(treatment)[1] for treatment in treatments)
    meaning = f"what the probe {variant} gains or loses against {plain}, which reads the same stages"
    return Effect(name, *treatments, name[0].upper() + name[1:], notation, meaning)


def variant_effects(probed: list[str]) -> list[Effect]:
    """The effects of variants among treatments read by probes: svm16, whose name begins with svm's, against svm."""
    treated = [split_treatment(name) for name in probed]
    return [
        variant_effect(probe.treatment.name, probe.option, plain.option)
        for probe in treated
        for plain in treated
        if probe.treatment == plain.treatment and probe.option != plain.option
        if probe.option.startswith(plain.option)
    ]


def probe_effects(treatments: set[str]) -> list[Effect]:
    """The effects that treatments read by probes have, whether or not their references are there."""
    probed = [name for name in sorted(treatments, key=rank_of) if split_treatment(name).option]
    of_contrasts = [
        contrast.effect(name)
        for contrast in PROBE_CONTRASTS
        for name in probed
        if split_treatment(name).treatment.name in contrast.treatments
    ]
    return of_contrasts + variant_effects(probed)


def effects_of(treatments: Iterable[str]) -> list[Effect]:
    """The effects that some treatments allow: the named ones, each preserved treatment against base, and probes'."""
    present = set(treatments)
    preserved = [preserved_effect(name) for name in sorted(present, key=rank_of) if split_treatment(name).preserved]
    every = (*EFFECTS, *preserved, *probe_effects(present))
    return [effect for effect in every if {effect.treatment, effect.reference} <= present]


def effect_of(name: str) -> Effect:
    """The effect of a name in the tables."""
    kind, _, treatment = name.rpartition(", ")
    for contrast in PROBE_CONTRASTS:
        if contrast.name == kind:
            return contrast.effect(treatment)
    if OVER in kind and treatment in TREATMENTS:
        return variant_effect(treatment, *kind.split(OVER))
    for effect in EFFECTS:
        if effect.name == name:
            return effect
    return preserved_effect(name.removeprefix(PRESERVED))
