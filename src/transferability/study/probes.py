"""Probes: what `probes` of the params says of each, checked, and in the form that jobs get."""

from collections.abc import Iterator
from dataclasses import replace

from transferability.data.patching import Patching
from transferability.errors import InputError
from transferability.networks.notation import PRETRAINED, RANDOM, Network, Treated, split_treatment
from transferability.study.grid import expand_curve
from transferability.study.recipes import is_recipe, is_trained, options_in_words
from transferability.words import in_words

DROPPING = ("svm", "logreg")
"""The classifiers that learn with values dropped out."""

PATCHES = "patches"
"""The classifier that reads patches of images: adaptation layers."""

PIXELS = "pixels"
"""The classifier that reads the places of maps, and learns from masks."""

PLACES = "places"
"""How the features of a pixel probe are pooled: not at all, each place of a map is read by itself."""

PATCH_KEYS = (
    *("hidden", "scales", "overlap", "background", "touching", "powers", "dense"),
    *("steps", "batch_size", "learning_rate"),
)
"""What may be said of adaptation layers."""

KEYS = {PATCHES: PATCH_KEYS, PIXELS: ("steps", "batch_size", "learning_rate")}
"""What may be said of the classifiers that learn step by step, and of them alone."""


def probe_section(params: dict, name: str) -> dict:
    """A probe without how its features are pooled: the keys of `evaluation.probes.Probe`."""
    return {key: value for key, value in params["probes"][name].items() if key != "pooling"}


def reads_patches(params: dict, name: str) -> bool:
    """Whether a probe is adaptation layers, which read patches."""
    return params["probes"][name]["classifier"] == PATCHES


def probe_reader(params: dict, name: str) -> str:
    """The module of `evaluation` that makes a probe."""
    return {PATCHES: "adapting", PIXELS: "pixels"}.get(params["probes"][name]["classifier"], "probing")


def probe_patching(params: dict, name: str) -> Patching:
    """The patches that a probe reads."""
    return Patching.of(params["probes"][name])


def pooling_section(params: dict, name: str) -> dict:
    """How a probe's features are pooled, a word written out: {"kind": "gap"}; those of each place are not."""
    return written_out(params["probes"][name].get("pooling", PLACES))


def written_out(pooling: str | dict) -> dict:
    """A way to pool as the keys of `evaluation.pooling.Pooling`."""
    return {"kind": pooling} if isinstance(pooling, str) else pooling


def read_network(probe: Network, layers: list[int]) -> Network | None:
    """The network whose stages a probe reads; None for pretrained weights, which are no network of the study.

    Of random networks, whose stages are the same, it is the one that is cut last: one pass serves all cuts.
    """
    if probe.fine_tune:
        return replace(probe, option="")
    if probe.source == RANDOM:
        return replace(probe, n=max(layers), option="")
    if probe.source is None or probe.source == PRETRAINED:
        return None
    return Network(None, 0, probe.source, fine_tune=False, preserved=0)


def check_probes(params: dict) -> None:
    """Refuse probes that cannot be, and names of probes that there are not; an InputError names the key."""
    probes = params.get("probes", {})
    for name, probe in probes.items():
        refuse_foreign_keys(name, probe)
        if probe.get("dropout") and probe["classifier"] not in DROPPING:
            raise InputError(
                f"params: probes.{name}.dropout is for svm and logreg, not {probe['classifier']}; leave it out"
            )
        if probe.get("draws", 1) > 1 and "images_per_class" not in probe:
            raise InputError(
                f"params: probes.{name}.draws: {probe['draws']} draws of all training images are the same; "
                "set images_per_class too, or leave draws out"
            )
    for key, name, network in named_options(params):
        if network.option not in probes:
            raise InputError(
                f"params: {key} names {name}, but neither probes nor recipes has {network.option!r} "
                f"(there are: {options_in_words(params)})"
            )
        if network.source is None or network.preserved:
            raise InputError(
                f"params: {key} names {name}, but a probe reads the stages below a cut, and keeps none above; "
                "give it another treatment"
            )
        if network.has_seen_target and probes[network.option].get("redraw"):
            raise InputError(
                f"params: {key} names {name}, but probes.{network.option}.redraw tests on images that this network has "
                "learnt from; read another source's stages, or leave redraw out"
            )
    for split in params["study"]["split"]:
        if params["splits"][split]["kind"] == "whole":
            check_alone(params, split)
    for name in params["export"]:
        if not is_trained(params, expand_curve(name, [1])[0]):
            raise InputError(
                f"params: export names {name}, a probe, which is never exported; "
                "export the network whose stages it reads"
            )


def refuse_foreign_keys(name: str, probe: dict) -> None:
    """Refuse keys of adaptation layers or of a pixel probe in another probe, and those of another probe in theirs."""
    classifier = probe["classifier"]
    stepwise = {key for keys in KEYS.values() for key in keys}
    allowed = {*KEYS[classifier]} if classifier in KEYS else {*probe} - stepwise
    common = {"classifier"} if classifier == PIXELS else {"classifier", "pooling"}
    foreign = [key for key in probe if key not in {*common, *allowed}]
    if foreign:
        owners = [owner for owner, keys in KEYS.items() if foreign[0] in keys]
        kind = f"the classifier {in_words(owners, 'or')}" if owners else "a probe that reads whole images"
        raise InputError(f"params: probes.{name}.{foreign[0]} is for {kind}, not {classifier}; leave it out")


def check_alone(params: dict, split: str) -> None:
    """Refuse probes that learn from another task, of a split that has none."""
    study = params["study"]
    asked = study.get("networks", {}).get(split, study["treatment"])
    for name, probe in params["probes"].items() if "probes" in params else ():
        if probe.get("learn_from", "target") != "target" and any(each.endswith(f"-{name}") for each in asked):
            raise InputError(
                f"params: probes.{name}.learn_from is {probe['learn_from']}, and the split {split!r} has no other; "
                "take a split of two tasks, or leave it out"
            )


def named_options(params: dict) -> Iterator[tuple[str, str, Network | Treated]]:
    """What of a study has an option that is no recipe: the key, the name that stands there, and what it means."""
    study = params["study"]
    for name in study["treatment"]:
        treated = split_treatment(name)
        if treated.option and not is_recipe(params, treated.option):
            yield "study.treatment", name, treated
    for split, names in study.get("networks", {}).items():
        for name in names:
            network = expand_curve(name, [1])[0]
            if not is_trained(params, network):
                yield f"study.networks.{split}", name, network
