"""Params: a study's params.yaml, checked before any job, and the sections of it that jobs are told."""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path

import jsonschema
import yaml

from transferability import files
from transferability.data.groups import read_groups
from transferability.errors import InputError
from transferability.networks.families import LAYERS, family_stages
from transferability.networks.notation import RANDOM, SIDES, Network, parse_network
from transferability.networks.stages import architecture_of

GROUPED = ("groups", "graded")
"""Kinds of splits whose tasks are made of groups of classes."""


def is_integer(_: object, value: object) -> bool:
    """Whether a value is written as an integer: 1.0 would become another file name than 1."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(_: object, value: object) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": is_integer, "number": is_number}
    ),
)


def is_numeral(value: object) -> bool:
    """Whether a value is text that reads like a number."""
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False


def explain(error: jsonschema.ValidationError) -> str:
    """A schema error as one sentence that names the key and what to do."""
    place = ".".join(str(part) for part in error.absolute_path) or "the top level"
    if error.validator == "additionalProperties":
        known = sorted(error.schema["properties"])
        unknown = sorted(str(key) for key in error.instance if key not in known)
        return f"{place}: unknown key {unknown[0]!r}; known are {', '.join(known)}"
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return f"{place}: the key {missing[0]!r} is missing"
    if error.validator == "enum":
        return f"{place}: {error.instance!r} is none of {', '.join(map(str, error.validator_value))}"
    if error.validator == "pattern":
        return f"{place}: {error.instance!r} does not fit; {error.schema['description']}"
    if error.validator == "type" and error.validator_value == "string":
        return f"{place}: {error.instance!r} is no text; put it in quotes"
    if error.validator == "type" and error.validator_value in ("number", "integer") and is_numeral(error.instance):
        return (
            f"{place}: {error.instance!r} is text; write a number without quotes, "
            "and an exponent with point and sign, as in 1.0e-3 or 1.0e+3"
        )
    return f"{place}: {error.message}"


def check_params(params: dict, schema: Path) -> None:
    """Refuse params that the schema or the sense of them forbids; an InputError names the key."""
    # Every start reads the schema; libyaml's parser, where PyYAML has it, is ten times as fast.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    validator = Validator(yaml.load(schema.read_text(encoding="utf-8"), Loader=loader))
    error = next(iter(sorted(validator.iter_errors(params), key=lambda error: list(map(str, error.path)))), None)
    if error is not None:
        raise InputError(f"params: {explain(error)}")

    if "yosinski2014" in params["datasets"]:
        raise InputError(
            "params: datasets.yosinski2014 is the name of the original's published networks; choose another"
        )
    study = params["study"]
    for wildcard, section in (("dataset", "datasets"), ("architecture", "architectures"), ("split", "splits")):
        for name in study[wildcard]:
            if name not in params[section]:
                known = ", ".join(params[section]) or "none"
                raise InputError(f"params: study.{wildcard} names {name!r}, which {section} lacks (there are: {known})")
    for dataset, split in product(study["dataset"], study["split"]):
        check_groups(params, dataset, split)
    for name in study["dataset"]:
        parts = params["datasets"][name]["parts"]
        shares = [parts[part] for part in ("validation", "test") if not isinstance(parts[part], str)]
        if sum(shares) >= 1:
            raise InputError(f"params: datasets.{name}.parts leave nothing for training; their shares must sum below 1")
        size = params["datasets"][name]["images"]["size"]
        crop = params["datasets"][name]["augmentation"].get("crop", size)
        if crop > size:
            raise InputError(
                f"params: datasets.{name}.augmentation.crop is {crop}, more than the {size} pixels of the stored "
                "images; lower it or raise images.size"
            )
        for architecture in study["architecture"]:
            shape = params["datasets"][name]["images"]["channels"], crop, crop
            family_stages(architecture_of(params["architectures"][architecture]), shape, 2)
    for name, schedule in params["training"].items():
        for key in ("warmup", "validations"):
            if schedule[key] > schedule["steps"]:
                raise InputError(
                    f"params: training.{name}.{key} is {schedule[key]}, more than its {schedule['steps']} steps"
                )
    for name in params.get("rates", {}):
        if name not in params["architectures"]:
            known = ", ".join(params["architectures"]) or "none"
            raise InputError(f"params: rates names {name!r}, which architectures lacks (there are: {known})")
    for split in study.get("networks", {}):
        if split not in study["split"]:
            raise InputError(f"params: study.networks names the split {split!r}, which study.split lacks")
    for split in study["split"]:
        networks = study_networks(params, split)
        for name in params["export"]:
            if not members_of([name], networks):
                origin = (
                    f"study.networks.{split} does"
                    if split in study.get("networks", {})
                    else "study.treatment and study.n do"
                )
                raise InputError(f"params: export names {name}, which {origin} not make of the split {split!r}")


def check_groups(params: dict, dataset: str, split: str) -> None:
    """Refuse a split of groups that the data set lacks; an InputError names the key."""
    definition = params["splits"][split]
    if definition["kind"] not in GROUPED:
        return
    known = [*named_groups(params["datasets"][dataset]), *params["datasets"][dataset]["images"].get("sets", {})]
    for side in SIDES:
        for name in listed(definition[side]):
            if name not in known:
                raise InputError(
                    f"params: splits.{split}.{side} names the group {name!r}, which datasets.{dataset}.groups lacks "
                    f"(there are: {', '.join(known) or 'none'})"
                )


def treated_networks(treatments: list[str], layers: list[int], sides: tuple[str, ...]) -> list[str]:
    """The names of the networks of all treatments and layers between the sides of a split, after the bases'."""
    networks = [Network(None, 0, target, fine_tune=False, preserved=0) for target in sides]
    for treatment in treatments:
        kind, fine_tune, preserved = re.fullmatch(r"([a-z]+)(\+?)(?:-k(\d))?", treatment).groups()
        for target in sides:
            other = SIDES[1 - SIDES.index(target)]
            source = {"selffer": target, "transfer": other, "random": RANDOM}[kind]
            networks += [
                Network(source, n, target, fine_tune == "+", int(preserved or 0))
                for n in layers
                if n + int(preserved or 0) < len(LAYERS) and source in (*sides, RANDOM)
            ]
    return [network.name for network in networks]


def study_networks(params: dict, split: str) -> list[str]:
    """The names of the networks of one seed of a split, in the paper's notation.

    They are those that study.networks lists for the split, otherwise those of study.treatment. A split of the kind
    `whole` has no task B.
    """
    study = params["study"]
    sides = SIDES[:1] if params["splits"][split]["kind"] == "whole" else SIDES
    names = study.get("networks", {}).get(split)
    if names is None:
        return treated_networks(study["treatment"], study["n"], sides)
    found = []
    for name in names:
        networks = expand_curve(name, study["n"])
        found += [network.name for network in networks]
        if not {side for network in networks for side in (network.target, network.source)} <= {*sides, RANDOM, None}:
            raise InputError(f"params: study.networks.{split} names {name}, but a whole data set has no task B")
    return list(dict.fromkeys(found))


def expand_curve(name: str, layers: list[int]) -> list[Network]:
    """The networks of a curve at the given layers: A1B+, A2B+, ... for AnB+; for the name of a network, that one."""
    identity = parse_network(name.replace("n", "1", 1) if name[1] == "n" else name)
    layers = layers if name[1] == "n" else [identity.n]
    return [replace(identity, n=n) for n in layers if n + identity.preserved < len(LAYERS)]


def study_figures(params: dict) -> list[str]:
    """The figures that a study's networks can give, as `transferability.figures` names them.

    Figure 3 needs transfer between chosen tasks, the curve of volumes two volumes or more, and the figure of
    distances frozen transfer on five splits or more.
    """
    volumes, transferred, chosen = set(), set(), set()
    for split in params["study"]["split"]:
        definition = params["splits"][split]
        networks = [parse_network(name) for name in study_networks(params, split)]
        volumes |= {definition["volume"].get(network.target) for network in networks if "volume" in definition}
        if "volume" not in definition and any(network.treatment == "transfer" for network in networks):
            transferred.add(split)
            chosen |= {split} if definition["kind"] in ("groups", "classes") else set()
    possible = {
        "figure2": True,
        "figure3": bool(chosen),
        "effects": True,
        "volume": len(volumes - {None}) >= 2,
        "distance": len(transferred) >= 5,
        "learning": True,
        "filters": True,
    }
    return [name for name, given in possible.items() if given]


def task_names(params: dict) -> dict[str, dict[str, str]]:
    """The names of the tasks of the study's splits by groups, {split: {"A": name, "B": name}}."""
    definitions = {split: params["splits"][split] for split in params["study"]["split"]}
    return {
        split: {side: " + ".join(listed(definition[side])) for side in SIDES}
        for split, definition in definitions.items()
        if definition["kind"] == "groups"
    }


def members_of(names: list[str], networks: list[str]) -> list[str]:
    """The networks that a list of networks and curves names: AnB+ stands for all of A1B+, A2B+, ..."""
    return [network for network in networks if {network, parse_network(network).curve} & set(names)]


def check_target(path: str, params: dict) -> None:
    """Explain why no rule makes a file of a network that was asked for by name; other files pass."""
    match = re.fullmatch(
        r"(?:models|results)/([^/]+)/([^/]+)/([^/]+)/seed([^/]+)/(?!An|Bn|Rn)([^/.]+)(/.*|\.json)", path
    )
    if match is None:
        return
    for name, section in zip(match.groups()[:3], ("datasets", "architectures", "splits"), strict=True):
        if name not in params[section]:
            known = ", ".join(params[section]) or "none"
            raise InputError(f"{path}: {section} has no {name!r} (there are: {known})")
    try:
        network = parse_network(match[5])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if params["splits"][match[3]]["kind"] == "whole" and "B" in (network.source, network.target):
        raise InputError(f"{path}: a whole data set has no task B")
    if match[6] == "/model.onnx" and network.name not in params["export"]:
        raise InputError(f"{path}: {network.name} is not in export; add it there")
    if network.source is not None and not network.preserved and network.n not in params["study"]["n"]:
        raise InputError(f"{path}: n = {network.n} is not in study.n; add it there")


def canonical(section: object) -> str:
    """A section as JSON that is the same for the same meaning: keys sorted, 1.0 written as 1.

    Snakemake compares a rule's params as text; two ways to write one value must not train networks anew.
    """

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [plain(entry) for entry in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    return json.dumps(plain(section), sort_keys=True)


def described(images: dict, packed: dict | None = None) -> dict:
    """What images are, without where they lie on this machine: `datasets.*.images` without paths and downloads.

    A list of the classes of a part's files is told by its content; one that is not on this machine by what it was when
    the images were packed, as `packed` describes them, if they are.
    """
    packed = packed or {}
    below = {"sets": described, "lists": list_content}
    return {
        key: {name: below[key](entry, packed.get(key, {}).get(name)) for name, entry in value.items()}
        if key in below
        else value
        for key, value in images.items()
        if key not in ("path", "download")
    }


def list_content(path: str, packed: str | None) -> str:
    """What names a list of a part's files: its hash, or the word for one that comes with the package."""
    try:
        return path if path == "ilsvrc2012" else files.sha256(files.expanded(path))
    except (OSError, InputError):
        # Who needs the list, packing, says that it is not there.
        return packed or path


def named(names: Iterable[str]) -> str:
    """A wildcard's constraint: one of these names."""
    return "|".join(re.escape(name) for name in names)


def listed(names: str | list[str]) -> list[str]:
    """One name or a list of them, as a list."""
    return [names] if isinstance(names, str) else names


def named_groups(dataset: dict) -> dict[str, list[str]]:
    """A data set's groups of classes by name: those that its params list, or those of the table that they name."""
    groups = dataset.get("groups", {})
    return read_groups(groups) if isinstance(groups, str) else groups


def used_groups(dataset: dict, split: dict) -> dict[str, list[str]]:
    """The data set's groups that a split names, so that an edit of another group reruns nothing."""
    if split["kind"] not in GROUPED:
        return {}
    used = [name for side in SIDES for name in listed(split[side])]
    return {name: classes for name, classes in named_groups(dataset).items() if name in used}


def schedule_of(params: dict, split: str, kind: str) -> dict:
    """The schedule of a split's base or transferred networks; that of reduced volumes where there is one."""
    reduced = params["training"].get("reduced") if "volume" in params["splits"][split] else None
    return reduced or params["training"][kind]
