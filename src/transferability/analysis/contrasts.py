"""Contrasts: the effects of a study, each one treatment minus another at the same n, target, split and seed."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from transferability.analysis.treatments import copies_stages, curve_name, curves_of, is_base, rank_of
from transferability.networks.notation import RANDOM, TREATMENTS, ending_of, split_treatment


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
class Contrast:
    """An effect that every probe, or every recipe, has: a treatment by it minus another.

    `treatments` are those that it is of, each with the treatment that it is compared with; `same` says whether that is
    by the same probe or recipe too, or the plain network.
    """

    name: str
    treatments: Mapping[str, str]
    same: bool
    meaning: str

    def effect(self, treatment: str) -> Effect:
        """The effect of a treatment, such as transfer-svm or transfer+-slides."""
        treated = split_treatment(treatment)
        reference = self.treatments[treated.treatment.name]
        reference += ending_of(treated.preserved if not is_base(reference) else 0, treated.option if self.same else "")
        name = f"{self.name}, {treatment}"
        notation = f"{curve_name(treatment)} − {curve_name(reference)}"
        return Effect(name, treatment, reference, name[0].upper() + name[1:], notation, self.meaning)


CUT = tuple(record.name for record in TREATMENTS.values() if record.source is not None)

PROBE_CONTRASTS = (
    Contrast(
        "learned over random",
        {name: "random" for name in CUT if TREATMENTS[name].source != RANDOM},
        True,
        "what features that were learnt are worth more than those of untrained filters, to the same probe",
    ),
    Contrast(
        "probe minus retrained",
        {name: name for name in CUT},
        False,
        "what a probe on the features loses or gains against new layers that are trained on top of them",
    ),
    Contrast(
        "other source minus own",
        {"transfer": "selffer"},
        True,
        "what is lost because the features were learnt on the other task, where nothing above the cut is kept",
    ),
    Contrast(
        "pretrained over trained here",
        {"pretrained": "transfer"},
        True,
        "what the pretrained features are worth more than those learnt on the other task, to the same probe",
    ),
)
"""The effects of each probe, in the order of tables, figures and page."""

RECIPE_CONTRASTS = (
    Contrast(
        "recipe minus plain",
        {name: name for name in TREATMENTS},
        False,
        "what training by the recipe gains or loses against the plain network of the same name",
    ),
    Contrast(
        "recipe minus base",
        dict.fromkeys(CUT, "base"),
        False,
        "what copying and training by the recipe gains or loses against training from scratch",
    ),
    Contrast(
        "by recipe other minus own",
        {"transfer": "selffer", "transfer+": "selffer+"},
        True,
        "what is lost or gained because the copied layers belong to the other task, both trained by the recipe",
    ),
)
"""The effects of each recipe, in the order of tables, figures and page."""

CONTRASTS = {contrast.name: contrast for contrast in (*PROBE_CONTRASTS, *RECIPE_CONTRASTS)}
AGAINST = " minus base-"


def control_effect(treatment: str, recipe: str) -> Effect:
    """What a treatment gains over base networks that are trained by a recipe, such as longer ones."""
    name, reference = f"{treatment}{AGAINST}{recipe}", f"base-{recipe}"
    meaning = f"what copying gains or loses against base networks that are trained by the recipe {recipe}"
    notation = f"{curve_name(treatment)} − {curve_name(reference)}"
    return Effect(name, treatment, reference, name[0].upper() + name[1:], notation, meaning)


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


def option_effects(treatments: set[str], recipes: Collection[str]) -> list[Effect]:
    """The effects of treatments by probes, and by `recipes`, whether or not their references are there."""
    optional = [name for name in sorted(treatments, key=rank_of) if split_treatment(name).option]
    probed = [name for name in optional if name not in recipes]
    trained = [name for name in optional if name in recipes]
    of_contrasts = [
        contrast.effect(name)
        for contrasts, names in ((PROBE_CONTRASTS, probed), (RECIPE_CONTRASTS, trained))
        for contrast in contrasts
        for name in names
        if split_treatment(name).treatment.name in contrast.treatments
    ]
    return of_contrasts + variant_effects(probed) + control_effects(treatments, trained)


def control_effects(treatments: set[str], trained: list[str]) -> list[Effect]:
    """Of plain treatments that copy stages their effects against base networks by a recipe; `trained` are treatments
    by recipes."""
    plain = [
        name for name in sorted(treatments, key=rank_of) if copies_stages(name) and not split_treatment(name).option
    ]
    controls = [split_treatment(name).option for name in trained if is_base(name)]
    return [control_effect(name, recipe) for recipe in controls for name in plain]


def effects_of(treatments: Iterable[str], recipes: Collection[str] = ()) -> list[Effect]:
    """The effects that some treatments allow: the named ones, each preserved treatment against base, those of probes,
    and of treatments by `recipes`."""
    present = set(treatments)
    preserved = [
        preserved_effect(name)
        for name in sorted(present, key=rank_of)
        if split_treatment(name).preserved and not split_treatment(name).option
    ]
    every = (*EFFECTS, *preserved, *option_effects(present, recipes))
    return [effect for effect in every if {effect.treatment, effect.reference} <= present]


def effects_named(names: Iterable[str]) -> list[Effect]:
    """The effects of some names, each once, in the order of tables, figures and page."""
    order = [effect.name for effect in EFFECTS]
    kinds = [PRESERVED, *(f"{contrast}, " for contrast in CONTRASTS), OVER, AGAINST]

    def rank(effect: Effect) -> tuple:
        kind = next((len(order) + place for place, part in enumerate(kinds) if part in effect.name), None)
        place = order.index(effect.name) if effect.name in order else kind
        # By control, then by what is held against it.
        ends = (effect.treatment, effect.reference)[:: -1 if AGAINST in effect.name else 1]
        return place, *map(rank_of, ends)

    return sorted(map(effect_of, dict.fromkeys(names)), key=rank)


def effect_of(name: str) -> Effect:
    """The effect of a name in the tables."""
    kind, _, treatment = name.rpartition(", ")
    if kind in CONTRASTS:
        return CONTRASTS[kind].effect(treatment)
    if OVER in kind and treatment in TREATMENTS:
        return variant_effect(treatment, *kind.split(OVER))
    if AGAINST in name:
        return control_effect(*name.split(AGAINST))
    for effect in EFFECTS:
        if effect.name == name:
            return effect
    return preserved_effect(name.removeprefix(PRESERVED))
