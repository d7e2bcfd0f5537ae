"""Params: a study's params.yaml, checked before any job."""

import math
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import jsonschema
import yaml

from transferability.errors import InputError
from transferability.networks.families import family_stages
from transferability.networks.notation import SIDES, Network
from transferability.networks.stages import AlexNet, architecture_of
from transferability.study.architectures import image_shape
from transferability.study.defaults import SCHEDULES
from transferability.study.grid import members_of, study_networks
from transferability.study.labels import check_labels
from transferability.study.looks import check_looks
from transferability.study.probes import check_probes
from transferability.study.recipes import check_recipe_names, network_recipe
from transferability.study.scores import scored_networks
from transferability.study.sections import GROUPED, listed, named_groups

SCHEMA = Path(__file__).with_name("params.schema.yaml")
"""What describes every key."""


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


LARGEST = 10**12
"""A larger number than any in a study; computing with one beyond would overflow."""


def refuse_large(section: object, place: str = "") -> None:
    """Refuse numbers that no study has, wherever they stand; an InputError names the key."""
    if isinstance(section, dict | list):
        for key, value in section.items() if isinstance(section, dict) else enumerate(section):
            refuse_large(value, f"{place}.{key}".removeprefix("."))
    elif isinstance(section, int | float) and not abs(section) <= LARGEST:
        shown = str(section) if isinstance(section, float) else f"a number of {len(f'{section:x}') * 6 // 5} digits"
        raise InputError(f"params: {place}: {shown} is out of range; numbers go up to 1.0e+12")


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
        keys = sorted(error.schema["properties"])
        unknown = sorted(str(key) for key in error.instance if key not in keys)
        return f"{place}: unknown key {unknown[0]!r}; its keys are {', '.join(keys)}"
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return f"{place}: the key {missing[0]!r} is missing"
    if error.validator == "dependentRequired":
        pairs = ((key, needed) for key, each in error.validator_value.items() for needed in each)
        key, needed = next(pair for pair in pairs if pair[0] in error.instance and pair[1] not in error.instance)
        return f"{place}: {key} needs {needed} too; set it, or leave {key} out"
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
    if error.validator == "type" and error.validator_value == "boolean":
        return f"{place}: {error.instance!r} is neither true nor false; write one of these"
    return f"{place}: {error.message}"


def shortened(message: str) -> str:
    """A message without the middle of a long one, such as of a whole section that is shown in it."""
    return message if len(message) <= 400 else f"{message[:190]} ... {message[-190:]}"


def check_params(params: dict, schema: Path = SCHEMA) -> None:
    """Refuse params that the schema or the sense of them forbids; an InputError names the key."""
    refuse_large(params)
    check_schema(params, schema)
    check_names(params)
    check_recipe_names(params)
    check_probes(params)
    check_labels(params)
    for dataset, split in product(params["study"]["dataset"], params["study"]["split"]):
        check_groups(params, dataset, split)
    for name in params["study"]["dataset"]:
        check_parts(params, name)
        for architecture in params["study"]["architecture"]:
            check_size(params, name, architecture)
    for name in SCHEDULES:
        if name in params["training"]:
            check_schedule(name, params["training"][name])


def check_schema(params: dict, schema: Path) -> None:
    """Refuse params that the schema forbids."""
    # Every start reads the schema; libyaml's parser, where PyYAML has it, is ten times as fast.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    validator = Validator(yaml.load(schema.read_text(encoding="utf-8"), Loader=loader))
    error = next(
        iter(sorted(validator.iter_errors(params), key=lambda error: (len(error.path), list(map(str, error.path))))),
        None,
    )
    if error is not None:
        raise InputError(shortened(f"params: {explain(error)}"))


def check_names(params: dict) -> None:
    """Refuse names in one section that the section they are of lacks."""
    study = params["study"]
    if "yosinski2014" in params["datasets"]:
        raise InputError(
            "params: datasets.yosinski2014 is the name of the original's published networks; choose another"
        )
    for wildcard, section in (("dataset", "datasets"), ("architecture", "architectures"), ("split", "splits")):
        for name in study[wildcard]:
            refuse_unknown(f"study.{wildcard}", name, section, params[section])
    for name in params.get("rates", {}):
        refuse_unknown("rates", name, "architectures", params["architectures"])
    for record, (key, section) in product(
        params.get("published", []), (("dataset", "datasets"), ("architecture", "architectures"))
    ):
        if key in record:
            refuse_unknown(f"published.{key}", record[key], section, params[section])
    for split in study.get("networks", {}):
        if split not in study["split"]:
            raise InputError(f"params: study.networks names the split {split!r}, which study.split lacks")
    for split in params["analysis"].get("sources", []):
        refuse_unknown("analysis.sources", split, "study.split", study["split"])


def refuse_unknown(key: str, name: str, section: str, names: Iterable[str]) -> None:
    """Refuse a name that a section lacks."""
    if name not in names:
        raise InputError(
            f"params: {key} names {name!r}, which {section} lacks (there are: {', '.join(names) or 'none'})"
        )


def check_parts(params: dict, dataset: str) -> None:
    """Refuse parts of a data set that leave nothing for training or are the same images, and a crop beyond an image."""
    section = params["datasets"][dataset]
    parts = [section["parts"][part] for part in ("validation", "test")]
    if sum(part for part in parts if not isinstance(part, str)) >= 1:
        raise InputError(f"params: datasets.{dataset}.parts leave nothing for training; their shares must sum below 1")
    if isinstance(parts[0], str) and parts[0] == parts[1]:
        raise InputError(
            f"params: datasets.{dataset}.parts: validation and test are both {parts[0]!r}, the same images; "
            "give one of them another part, or a share"
        )
    size = section["images"]["size"]
    crop = section["augmentation"].get("crop", size)
    if crop > size:
        raise InputError(
            f"params: datasets.{dataset}.augmentation.crop is {crop}, more than the {size} pixels of the stored "
            "images; lower it or raise images.size"
        )


def check_size(params: dict, dataset: str, architecture: str) -> None:
    """Refuse images that are too small for an architecture of the AlexNet family; a library's model says so itself."""
    described = architecture_of(params["architectures"][architecture])
    if isinstance(described, AlexNet):
        family_stages(described, image_shape(params["datasets"][dataset]), 2)


def check_schedule(name: str, schedule: dict) -> None:
    """Refuse a schedule without what has no usual value, and more warm-up or validations than steps."""
    for key in ("steps", "batch_size", "learning_rate"):
        if key not in schedule:
            raise InputError(
                f"params: training.{name}: the key {key!r} is missing; say it there, or in training for all"
            )
    for key in ("warmup", "validations"):
        if schedule.get(key, 0) > schedule["steps"]:
            raise InputError(
                f"params: training.{name}.{key} is {schedule[key]}, more than its {schedule['steps']} steps"
            )


def check_networks(params: dict) -> None:
    """Refuse networks that an architecture cannot give, and exports that a study does not make; an InputError says why.

    It needs the stages of the study's architectures (`architectures.describe_architectures`).
    """
    study = params["study"]
    check_looks(params)
    for architecture, split in product(study["architecture"], study["split"]):
        networks = study_networks(params, architecture, split)
        # Refuses those that an architecture cannot give.
        scored_networks(params, architecture, split)
        for name in params["export"]:
            if not members_of([name], networks):
                origin = (
                    f"study.networks.{split} does"
                    if split in study.get("networks", {})
                    else "study.treatment and study.n do"
                )
                raise InputError(f"params: export names {name}, which {origin} not make of the split {split!r}")
            refuse_patched_export(params, name, networks)


def refuse_patched_export(params: dict, name: str, networks: list[Network]) -> None:
    """Refuse to export networks that score an image by its patches: such a file would score a patch."""
    if any(network_recipe(params, network).patches is not None for network in members_of([name], networks)):
        raise InputError(
            f"params: export names {name}, which scores images by their patches; leave it out, and write it with "
            "`python -m transferability.evaluation.scorer`"
        )


def check_groups(params: dict, dataset: str, split: str) -> None:
    """Refuse a split of groups that the data set lacks; an InputError names the key."""
    definition = params["splits"][split]
    if definition["kind"] not in GROUPED:
        return
    names = [*named_groups(params["datasets"][dataset]), *params["datasets"][dataset]["images"].get("sets", {})]
    for side in SIDES:
        for name in listed(definition[side]):
            if name not in names:
                raise InputError(
                    f"params: splits.{split}.{side} names the group {name!r}, which datasets.{dataset}.groups lacks "
                    f"(there are: {', '.join(names) or 'none'})"
                )
