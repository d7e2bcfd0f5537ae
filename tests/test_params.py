import csv
import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

from transferability.errors import InputError
from transferability.networks.notation import SIDES, parse_network
from transferability.study import grid
from transferability.study.architectures import describe_architectures, described_stages
from transferability.study.params import check_networks
from transferability.study.params import check_params as check_sections
from transferability.study.probes import pooling_section, probe_section
from transferability.study.reading import merge, read_study
from transferability.study.sections import canonical, described, named, schedule_of, used_groups
from transferability.study.targets import check_target

CHECKOUT = Path(__file__).parent.parent
SCHEMA = CHECKOUT / "src/transferability/study/params.schema.yaml"


def check_params(params: dict, schema: Path) -> None:
    """All that is checked of params before the first job."""
    check_sections(params, schema)
    check_networks(params)


def study_networks(params: dict, split: str) -> list[str]:
    """The names of the networks of a split of the study's first architecture."""
    return [network.name for network in grid.study_networks(params, params["study"]["architecture"][0], split)]


def treated_networks(treatments: list[str], layers: list[int], sides: tuple[str, ...]) -> list[str]:
    """The names of the base networks and of those of all treatments."""
    networks = [network for name in treatments for network in grid.treated_networks(name, layers, sides, 8)]
    return [*(f"base{side}" for side in sides), *(network.name for network in networks)]


def members_of(names: list[str], networks: list[str]) -> list[str]:
    """The names of the networks that a list of networks and curves names."""
    return [network.name for network in grid.members_of(names, map(parse_network, networks))]


@pytest.fixture
def params() -> dict:
    """The default study."""
    return yaml.safe_load((CHECKOUT / "params.yaml").read_text())


@pytest.fixture
def study(params) -> dict:
    return params["study"]


def test_the_default_study_passes(params):
    check_params(params, SCHEMA)


@pytest.mark.parametrize("file", sorted((CHECKOUT / "workflow" / "studies").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_ready_studies_pass_on_top_of_the_default_one(file, tmp_path, monkeypatch):
    """As `snakemake --configfile` reads them; the stages of a library's model are described first."""
    monkeypatch.chdir(tmp_path)
    described_stages.cache_clear()
    # A recipe, which stands on top of another study.
    below = [file.with_stem("imagenet-original")] if file.stem == "imagenet-modern" else []
    params = read_study(CHECKOUT / "params.yaml", [*below, file])
    check_sections(params, SCHEMA)
    describe_architectures(params)
    check_networks(params)
    described_stages.cache_clear()


@pytest.mark.parametrize(
    ("place", "known"),
    [
        (
            [],
            "analysis, architectures, cka, datasets, device, export, features, figures, jobs, probes, "
            "published, rates, recipes, retrieval, scores, shows, splits, study, training, tsne",
        ),
        (["study"], "architecture, dataset, n, networks, seed, split, treatment"),
        (["datasets", "digits"], "augmentation, groups, images, parts"),
        (["datasets", "digits", "images"], "channels, classes, size, source"),
        (["datasets", "digits", "parts"], "duplicates, seed, shared, test, validation"),
        (["datasets", "digits", "augmentation"], "crop, flip, padding"),
        (["splits", "random0"], "kind, seed, volume"),
        (["splits", "even-odd"], "A, B, classes, kind, seed, volume"),
        (["splits", "round-straight"], "A, B, kind, volume"),
        (["architectures", "tiny"], "dropout, family, norm, width"),
        (
            ["training"],
            "base, batch_size, bias_rate, decay, frozen_dropout, learning_rate, momentum, nesterov, optimizer, "
            "precision, reduced, steps, transferred, validations, warmup, weight_decay",
        ),
        (
            ["training", "base"],
            "batch_size, bias_rate, decay, learning_rate, momentum, nesterov, optimizer, precision, steps, "
            "validations, warmup, weight_decay",
        ),
        (["analysis"], "drop, primary, sources, unbalanced"),
        (["figures"], "dpi, read_out, width"),
    ],
    ids=".".join,
)
def test_an_unknown_key_is_named_with_those_that_are_known(params, place, known):
    section = params
    for key in place:
        section = section[key]
    section["colour"] = "red"
    with pytest.raises(InputError) as error:
        check_params(params, SCHEMA)
    where = ".".join(place) or "the top level"
    assert str(error.value) == f"params: {where}: unknown key 'colour'; its keys are {known}"


def test_a_key_of_the_other_kind_of_training_is_unknown(params):
    params["training"]["base"]["frozen_dropout"] = True
    with pytest.raises(InputError, match=r"^params: training\.base: unknown key 'frozen_dropout'"):
        check_params(params, SCHEMA)


def test_unknown_keys_of_several_types_are_refused_in_one_sentence(params):
    """YAML reads an unquoted number as one."""
    params["study"] |= {1: "one", "colour": "red"}
    with pytest.raises(InputError, match=r"^params: study: unknown key"):
        check_params(params, SCHEMA)


@pytest.mark.parametrize(
    "place",
    [
        "study",
        "datasets",
        "splits",
        "architectures",
        "training",
        "study.dataset",
        "study.architecture",
        "study.split",
        "study.seed",
        "study.treatment",
        "study.n",
        "datasets.digits.images",
        "datasets.digits.images.source",
        "datasets.digits.images.size",
        "datasets.digits.images.channels",
        "datasets.digits.parts",
        "datasets.digits.parts.validation",
        "datasets.digits.parts.test",
        "datasets.digits.parts.seed",
        "datasets.digits.augmentation",
        "datasets.digits.augmentation.padding",
        "datasets.digits.augmentation.flip",
        "splits.random0.kind",
        "splits.random0.seed",
        "splits.even-odd.A",
        "splits.round-straight.B",
        "architectures.tiny.family",
        "architectures.tiny.width",
        "architectures.tiny.norm",
        "architectures.tiny.dropout",
    ],
)
def test_a_missing_key_is_named(params, place):
    *parents, last = place.split(".")
    section = params
    for key in parents:
        section = section[key]
    del section[last]
    with pytest.raises(InputError) as error:
        check_params(params, SCHEMA)
    assert str(error.value) == f"params: {'.'.join(parents) or 'the top level'}: the key {last!r} is missing"


@pytest.mark.parametrize(
    ("place", "value", "named_as"),
    [
        ("study", None, "study"),
        ("study.dataset", "digits", "study.dataset"),
        ("study.dataset", [], "study.dataset"),
        ("study.dataset", ["digits", "digits"], "study.dataset"),
        ("study.dataset", ["mnist"], "study.dataset"),
        ("study.architecture", ["huge"], "study.architecture"),
        ("study.split", ["random0", "random9"], "study.split"),
        ("study.split", ["../escape"], "study.split.0"),
        ("study.seed", [], "study.seed"),
        ("study.seed", [-1], "study.seed.0"),
        ("study.seed", [2**32], "study.seed.0"),
        ("study.seed", ["0"], "study.seed.0"),
        ("study.seed", [0.5], "study.seed.0"),
        ("study.seed", [0.0], "study.seed"),
        ("study.treatment", ["frozen"], "study.treatment.0"),
        ("study.treatment", ["random+"], "study.treatment.0"),
        ("study.treatment", ["transfer-k7"], "study.treatment"),
        ("study.treatment", ["transfer+-k2"], "study.treatment.0"),
        ("study.treatment", ["random", "random"], "study.treatment"),
        ("study.n", [], "study.n"),
        ("study.n", [1, 0], "study.n.1"),
        ("study.n", [8], "study.n"),
        ("study.n", [True], "study.n.0"),
        ("study.n", [1.5], "study.n.0"),
        ("study.n", [1.0], "study.n"),
        ("study.n", [1, 1], "study.n"),
        ("datasets", [], "datasets"),
        ("datasets.digits.images.source", "web", "datasets.digits.images.source"),
        ("datasets.digits.images.size", 0, "datasets.digits.images.size"),
        ("datasets.digits.images.channels", 2, "datasets.digits.images.channels"),
        ("datasets.digits.images", {"source": "folder", "size": 8, "channels": 1}, "'path'"),
        ("datasets.digits.images", {"source": "torchvision", "size": 8, "channels": 1, "path": "x"}, "'name'"),
        ("datasets.digits.parts.validation", 0, "datasets.digits.parts.validation"),
        ("datasets.digits.parts.test", 1, "datasets.digits.parts.test"),
        ("datasets.digits.parts", {"validation": 0.5, "test": 0.5, "seed": 0}, "datasets.digits.parts"),
        ("datasets.digits.parts.seed", "zero", "datasets.digits.parts.seed"),
        ("datasets.digits.augmentation.padding", -1, "datasets.digits.augmentation.padding"),
        ("datasets.digits.augmentation.flip", "no", "datasets.digits.augmentation.flip"),
        ("datasets.digits.augmentation.crop", 0, "datasets.digits.augmentation.crop"),
        ("datasets.digits.augmentation.crop", "centre", "datasets.digits.augmentation.crop"),
        ("datasets.digits.groups.even", [0, 2, 4], "datasets.digits.groups.even.0"),
        ("splits.random0.kind", "halves", "splits.random0.kind"),
        ("splits.random0.seed", -1, "splits.random0.seed"),
        ("splits.even-odd.A", ["even", 2], "splits.even-odd.A.1"),
        ("splits.round-straight.A", "even", "splits.round-straight.A"),
        ("splits.round-straight.B", [1, 4, 7], "splits.round-straight.B.0"),
        ("splits", {"random0": {"kind": "random", "seed": 0}, "a b": {"kind": "random", "seed": 0}}, "'a b'"),
        ("architectures.tiny.family", "vgg", "architectures.tiny.family"),
        ("architectures.tiny.width", 0, "architectures.tiny.width"),
        ("architectures.tiny.norm", True, "architectures.tiny.norm"),
        ("architectures.tiny.dropout", 1, "architectures.tiny.dropout"),
        ("training.base.steps", 0, "training.base.steps"),
        ("training.base.steps", True, "training.base.steps"),
        ("training.base.batch_size", 1, "training.base.batch_size"),
        ("training.base.learning_rate", 0, "training.base.learning_rate"),
        ("training.base.learning_rate", float("nan"), "training.base.learning_rate"),
        ("training.base.learning_rate", float("inf"), "training.base.learning_rate"),
        ("training.base.warmup", -1, "training.base.warmup"),
        ("training.base.warmup", 201, "training.base.warmup"),
        ("training.transferred.warmup", 201, "training.transferred.warmup"),
        ("training.base.momentum", 1, "training.base.momentum"),
        ("training.base.weight_decay", -0.1, "training.base.weight_decay"),
        ("training.base.nesterov", 1, "training.base.nesterov"),
        ("training.base.bias_rate", 0, "training.base.bias_rate"),
        ("training.base.decay", 0.1, "training.base.decay"),
        ("training.base.decay", None, "training.base.decay"),
        ("training.base.decay", {"every": 100}, "training.base.decay: the key 'factor' is missing"),
        ("training.base.decay", {"every": 100, "factor": 0.1, "by": 2}, "training.base.decay: unknown key 'by'"),
        ("training.transferred.decay", {"every": 0, "factor": 0.1}, "training.transferred.decay.every"),
        ("training.transferred.decay", {"every": 1.5, "factor": 0.1}, "training.transferred.decay.every"),
        ("training.base.decay", {"every": 100, "factor": 0}, "training.base.decay.factor"),
        ("training.base.decay", {"every": 100, "factor": 10}, "training.base.decay.factor"),
        ("training.transferred.validations", 0, "training.transferred.validations"),
        ("training.transferred.validations", 201, "training.transferred.validations"),
        ("training.transferred.frozen_dropout", 1, "training.transferred.frozen_dropout"),
        ("export", ["A3C"], "export.0"),
        ("export", ["A8B"], "export"),
        ("export", ["R3B+"], "export.0"),
        ("export", "baseA", "export"),
        ("export", ["baseA", "baseA"], "export"),
        ("analysis.drop", 0, "analysis.drop"),
        ("analysis.drop", 2, "analysis.drop"),
        ("analysis.unbalanced", "yes", "analysis.unbalanced"),
        ("figures.read_out", "top5", "figures.read_out"),
        ("figures.width", 1, "figures.width"),
        ("figures.dpi", 10, "figures.dpi"),
        ("device", "tpu", "device"),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence_that_names_its_key(params, place, value, named_as):
    *parents, last = place.split(".")
    section = params
    for key in parents:
        section = section[key]
    section[last] = value
    with pytest.raises(InputError) as error:
        check_params(params, SCHEMA)
    assert str(error.value).startswith("params: ")
    assert named_as in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("params", [None, [], "study", 3], ids=repr)
def test_params_that_are_no_mapping_are_refused(params):
    with pytest.raises(InputError, match=r"^params: the top level: "):
        check_params(params, SCHEMA)


@pytest.mark.parametrize(
    ("section", "key", "value", "sentence"),
    [
        (
            "study",
            "split",
            ["random0", "half0"],
            "study.split names 'half0', which splits lacks "
            "(there are: random0, random1, random2, random3, even-odd, round-straight)",
        ),
        ("study", "dataset", ["mnist"], "study.dataset names 'mnist', which datasets lacks (there are: digits)"),
        (
            "figures",
            "read_out",
            "top5",
            "figures.read_out: 'top5' is none of test_top1, chosen_test_top1, test_mean_per_class, "
            "validation_top1, mean_of_ten_best, test_top5, test_map, chosen_test_map, test_map11, validation_map, "
            "test_miou",
        ),
    ],
)
def test_a_name_that_is_not_there_comes_with_those_that_are(params, section, key, value, sentence):
    params[section][key] = value
    with pytest.raises(InputError) as error:
        check_params(params, SCHEMA)
    assert str(error.value) == f"params: {sentence}"


@pytest.mark.parametrize("text", ["1e-3", "3e-2", "1e3"])
def test_a_number_that_yaml_takes_for_text_comes_with_the_way_to_write_it(params, text):
    params["training"]["base"]["learning_rate"] = yaml.safe_load(text)
    with pytest.raises(InputError) as error:
        check_params(params, SCHEMA)
    assert str(error.value) == (
        f"params: training.base.learning_rate: {text!r} is text; "
        "write a number without quotes, and an exponent with point and sign, as in 1.0e-3 or 1.0e+3"
    )


def test_a_class_that_yaml_takes_for_a_number_is_to_be_quoted(params):
    params["splits"]["even-odd"] = {"kind": "classes", "A": [1, 3], "B": ["2", "4"]}
    with pytest.raises(InputError) as error:
        check_params(params, SCHEMA)
    assert str(error.value) == "params: splits.even-odd.A.0: 1 is no text; put it in quotes"


def test_the_way_to_write_it_is_a_number_to_yaml(params):
    params["training"]["base"]["learning_rate"] = yaml.safe_load("1.0e-3")
    check_params(params, SCHEMA)


ORIGINAL = {
    "steps": 450_000,
    "batch_size": 256,
    "learning_rate": 0.01,
    "warmup": 0,
    "decay": {"every": 100_000, "factor": 0.1},
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 0.0005,
    "bias_rate": 2,
    "validations": 450,
    "precision": "fp32",
}
REDUCED = ORIGINAL | {
    "steps": 200_000,
    "learning_rate": 0.0125,
    "decay": {"every": 64_000, "factor": 0.1},
    "validations": 200,
    "precision": "fp32",
    "frozen_dropout": True,
}


def test_the_originals_recipes_and_crop_pass(params):
    params["datasets"]["digits"] |= {
        "images": {"source": "folder", "size": 256, "channels": 3, "path": "images"},
        "augmentation": {"padding": 0, "flip": True, "crop": 227},
    }
    params["training"] = {"base": ORIGINAL, "transferred": ORIGINAL | {"frozen_dropout": True}, "reduced": REDUCED}
    check_params(params, SCHEMA)


def test_stairs_replace_the_default_studys_cosine(params):
    """As `snakemake --configfile` reads them."""
    params = merge(params, {"training": {"base": {"decay": {"every": 100, "factor": 0.1}}}})
    check_params(params, SCHEMA)
    assert params["training"]["base"]["decay"] == {"every": 100, "factor": 0.1}


def test_another_decay_comes_with_the_two_that_there_are(params):
    params["training"]["base"]["decay"] = "linear"
    with pytest.raises(InputError) as error:
        check_params(params, SCHEMA)
    assert str(error.value) == (
        "params: training.base.decay: 'linear' does not fit; "
        "a decay is cosine, or stairs such as {every: 100000, factor: 0.1}"
    )


@pytest.mark.parametrize("section", ["transferred", "reduced"])
@pytest.mark.parametrize("key", ["warmup", "validations"])
def test_more_warmup_or_validations_than_steps_are_refused(params, key, section):
    params["training"][section] = REDUCED | {"steps": 10, "warmup": 10, "validations": 10}
    check_params(params, SCHEMA)
    params["training"][section][key] = 11
    with pytest.raises(InputError) as error:
        check_params(params, SCHEMA)
    assert str(error.value) == f"params: training.{section}.{key} is 11, more than its 10 steps"


@pytest.mark.parametrize("section", ["base", "transferred", "reduced"])
@pytest.mark.parametrize("key", ["steps", "batch_size", "learning_rate"])
def test_what_of_a_schedule_is_never_usual_has_to_be_said(params, key, section):
    params["training"]["reduced"] = REDUCED
    params["training"][section] = {name: value for name, value in params["training"][section].items() if name != key}
    with pytest.raises(InputError) as error:
        check_params(params, SCHEMA)
    assert str(error.value) == (
        f"params: training.{section}: the key {key!r} is missing; say it there, or in training for all"
    )


def test_a_crop_larger_than_the_stored_images_is_refused(params):
    params["datasets"]["digits"]["augmentation"]["crop"] = 8
    check_params(params, SCHEMA)
    params["datasets"]["digits"]["augmentation"]["crop"] = 9
    with pytest.raises(InputError) as error:
        check_params(params, SCHEMA)
    assert str(error.value) == (
        "params: datasets.digits.augmentation.crop is 9, more than the 8 pixels of the stored images; "
        "lower it or raise images.size"
    )


@pytest.mark.parametrize("name", ["A3B", "AnB-k2", "A1B-k6", "RnA"])
def test_an_export_that_the_study_does_not_make_is_named(params, name):
    params["study"]["treatment"] = ["selffer", "transfer"]
    params["study"]["n"] = [1, 2]
    params["export"] = ["baseA", "AnB", "B2B", name]
    with pytest.raises(InputError) as error:
        check_params(params, SCHEMA)
    assert (
        str(error.value)
        == f"params: export names {name}, which study.treatment and study.n do not make of the split 'random0'"
    )


def test_a_study_of_base_networks_alone_passes(params):
    params["study"]["treatment"] = []
    params["export"] = ["baseB"]
    check_params(params, SCHEMA)


@pytest.mark.parametrize(
    "images",
    [
        {"source": "folder", "size": 64, "channels": 3, "path": "~/images"},
        {
            "source": "torchvision",
            "size": 32,
            "channels": 3,
            "path": "downloads",
            "name": "CIFAR10",
            "download": True,
            "parts": {"train": {"train": True}, "test": {"train": False}},
        },
        {
            "source": "folder",
            "size": 256,
            "channels": 3,
            "path": "ILSVRC2012",
            "storage": "jpeg",
            "on_bad": "skip",
            "parts": ["train", "val"],
            "lists": {"val": "ilsvrc2012"},
            "classes": ["n01440764", "n01443537"],
        },
        {"source": "folder", "size": 64, "channels": 3, "path": "zoo.tar.gz", "md5": 32 * "0", "storage": "pixels"},
        {
            "source": "sets",
            "size": 28,
            "channels": 1,
            "storage": "jpeg",
            "on_bad": "fail",
            "sets": {
                "digits": {"source": "digits", "classes": ["3", "4"]},
                "letters": {
                    "source": "torchvision",
                    "name": "Omniglot",
                    "path": "letters",
                    "download": False,
                    "parts": {"background": {"background": True}},
                },
                "tiny": {"source": "folder", "path": "tiny-imagenet", "lists": {"test": "test.txt"}},
            },
        },
    ],
    ids=["folder", "torchvision", "imagenet", "archive", "sets"],
)
def test_the_other_sources_of_images_pass(params, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test.txt").touch()
    params["datasets"]["digits"]["images"] = images
    check_params(params, SCHEMA)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        ({"source": "digits", "size": 8, "channels": 1, "path": "x"}, ": unknown key 'path'; its keys are "),
        ({"source": "digits", "size": 16, "channels": 1}, ".size: 8 was expected"),
        ({"source": "folder", "size": 8, "channels": 1, "path": "x", "download": True}, ": unknown key 'download'; "),
        ({"source": "folder", "size": 8, "channels": 1, "path": "x", "storage": "png"}, ".storage: 'png' is none of "),
        ({"source": "folder", "size": 8, "channels": 1, "path": "x", "on_bad": "drop"}, ".on_bad: 'drop' is none of "),
        ({"source": "folder", "size": 8, "channels": 1, "path": "x", "md5": "1"}, ".md5: '1' does not fit; The MD5 "),
        ({"source": "folder", "size": 8, "channels": 1, "path": "x", "lists": {"train": "t"}}, "key 'train'; its keys"),
        ({"source": "sets", "size": 8, "channels": 1}, ": the key 'sets' is missing"),
        ({"source": "sets", "size": 8, "channels": 1, "sets": {"a": {"source": "sets"}}}, ".a.source: 'sets' is none"),
        (
            {"source": "sets", "size": 8, "channels": 1, "sets": {"a": {"source": "digits", "size": 8}}},
            ".sets.a: unknown key 'size'; its keys are classes, source",
        ),
        (
            {"source": "sets", "size": 8, "channels": 1, "sets": {"a": {"source": "folder", "path": "x", "on_bad": 1}}},
            ".sets.a: unknown key 'on_bad'; its keys are classes, lists, md5, parts, path, source",
        ),
        ({"source": "sets", "size": 8, "channels": 1, "sets": {"a/b": {"source": "digits"}}}, "'a/b' does not fit"),
    ],
)
def test_a_key_that_does_not_belong_to_a_source_is_named(params, images, sentence):
    params["datasets"]["digits"]["images"] = images
    with pytest.raises(InputError) as error:
        check_params(params, SCHEMA)
    assert str(error.value).startswith("params: datasets.digits.images")
    assert sentence in str(error.value)


@pytest.mark.parametrize("key", [1, True])
def test_a_group_that_yaml_takes_for_no_text_is_to_be_quoted(params, key):
    params["datasets"]["digits"]["groups"][key] = ["1", "2"]
    with pytest.raises(InputError, match=rf"datasets\.digits\.groups: {key} is no text; put it in quotes"):
        check_params(params, SCHEMA)


def test_a_data_set_is_not_named_like_the_published_networks(params):
    params["datasets"]["yosinski2014"] = params["datasets"]["digits"]
    with pytest.raises(InputError, match=r"datasets\.yosinski2014 is the name of the original's published networks"):
        check_params(params, SCHEMA)


def test_images_that_are_too_small_for_the_architecture_are_refused(params):
    params["architectures"]["tiny"] = {"family": "full", "width": 1.0, "norm": "none", "dropout": 0.5}
    with pytest.raises(InputError, match="images of 8×8 are too small for 'full'; take a smaller family or a larger"):
        check_params(params, SCHEMA)


def test_a_list_that_is_not_there_is_what_it_was_when_the_images_were_packed(params, tmp_path):
    path = tmp_path / "test.txt"
    images = {"source": "folder", "size": 8, "channels": 1, "path": "x", "lists": {"test": str(path)}}
    params["datasets"]["digits"]["images"] = images
    check_params(params, SCHEMA)
    sets = {"source": "sets", "size": 8, "channels": 1, "sets": {"mine": {"lists": {"test": str(path)}}}}
    path.write_text("a.png cat\n")
    there = described(images), described(sets)
    assert there[0]["lists"]["test"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (described(images, {}), described(sets, {"sets": {}})) == there
    path.unlink()
    assert (described(images, there[0]), described(sets, there[1])) == there
    assert described(images)["lists"] == {"test": str(path)}


def test_every_key_of_the_schema_is_described():
    """With its own description or that of what it refers to; `true` mentions a key that is described beside it."""
    schema = yaml.safe_load(SCHEMA.read_text())
    bare, waiting = [], [("", schema)]
    while waiting:
        place, node = waiting.pop()
        if isinstance(node, list):
            waiting += [(f"{place}/{index}", entry) for index, entry in enumerate(node)]
        elif isinstance(node, dict):
            waiting += [(f"{place}/{key}", entry) for key, entry in node.items() if key != "if"]
            for key, entry in node.get("properties", {}).items():
                referred = {} if entry is True else schema["$defs"].get(entry.get("$ref", "").split("/")[-1], {})
                if entry is not True and not (entry.get("description") or referred.get("description")):
                    bare.append(f"{place}/{key}")
    assert bare == []


def test_the_default_study_is_two_bases_and_five_treatments_of_seven_cuts(params):
    networks = study_networks(params, "random0")
    assert len(networks) == len(set(networks)) == 2 + 5 * 7 * 2
    assert networks[:2] == ["baseA", "baseB"]


@pytest.mark.parametrize(
    ("treatment", "expected"),
    [
        ("selffer", {"A1A", "A4A", "B1B", "B4B"}),
        ("selffer+", {"A1A+", "A4A+", "B1B+", "B4B+"}),
        ("transfer", {"B1A", "B4A", "A1B", "A4B"}),
        ("transfer+", {"B1A+", "B4A+", "A1B+", "A4B+"}),
        ("random", {"R1A", "R4A", "R1B", "R4B"}),
        ("selffer-k1", {"A1A-k1", "A4A-k1", "B1B-k1", "B4B-k1"}),
        ("transfer-k2", {"B1A-k2", "B4A-k2", "A1B-k2", "A4B-k2"}),
        ("transfer-k4", {"B1A-k4", "A1B-k4"}),
    ],
)
def test_a_treatment_is_these_networks_beside_the_bases(treatment, expected):
    networks = treated_networks([treatment], [1, 4], SIDES)
    assert len(networks) == len(set(networks))
    assert set(networks) == {"baseA", "baseB"} | expected


@pytest.mark.parametrize("preserved", range(1, 7))
def test_layers_are_preserved_only_where_there_are_some_below_the_last(preserved):
    """The output layer is always new: n + k is at most 7."""
    networks = treated_networks([f"transfer-k{preserved}"], [1, 2, 3, 4, 5, 6, 7], SIDES)
    cuts = range(1, 8 - preserved)
    assert networks[2:] == [f"{source}{n}{target}-k{preserved}" for source, target in ("BA", "AB") for n in cuts]


def test_no_treatments_leave_the_bases():
    assert treated_networks([], [1], SIDES) == ["baseA", "baseB"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["baseA"], ["baseA"]),
        (["A2B"], ["A2B"]),
        (["AnB"], ["A1B", "A2B"]),
        (["AnB+"], ["A1B+", "A2B+"]),
        (["AnB-k1"], ["A1B-k1", "A2B-k1"]),
        (["BnB", "RnB"], ["B1B", "B2B", "R1B", "R2B"]),
        (["A1B", "AnB"], ["A1B", "A2B"]),
        (["A3B"], []),
        ([], []),
    ],
)
def test_a_curve_stands_for_its_networks_and_no_others(names, expected):
    treatments = ["selffer", "transfer", "transfer+", "transfer-k1", "random"]
    assert members_of(names, treated_networks(treatments, [1, 2], SIDES)) == expected


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (
            "models/digits/tiny/random0/seed0/A3C/model.safetensors",
            "'A3C' is no network; names are like baseA, B3B, A3B+, R3B, P3B, A3B-k2 or A3B-svm",
        ),
        ("results/digits/tiny/random0/seed0/A9B.json", "'A9B': n = 9 is outside 1..7"),
        (
            "models/pretrained/tiny/model.safetensors",
            "tiny has no pretrained weights; give architectures.tiny its `weights` (with weights: none)",
        ),
        ("results/digits/tiny/random0/seed4294967296/baseA.json", "seeds go up to 4294967295"),
        (
            "results/digits/tiny/random0/seed0/A0B.json",
            "'A0B': n = 0 copies nothing; a cut is after stage 1 or a later one",
        ),
        (
            "models/digits/tiny/random0/seed0/R3B+/run.json",
            "'R3B+' is no network: random stages are frozen and there is nothing to preserve",
        ),
        (
            "models/digits/tiny/random0/seed0/A6B-k2/model.onnx",
            "'A6B-k2': there are no 2 stages to preserve between the cut at 6 and the last",
        ),
        (
            "models/digits/tiny/half0/seed0/baseA/model.safetensors",
            "splits has no 'half0' (there are: random0, random1, random2, random3, even-odd, round-straight)",
        ),
        ("results/mnist/tiny/random0/seed0/baseA.json", "datasets has no 'mnist' (there are: digits)"),
        ("results/digits/huge/random0/seed0/baseA.json", "architectures has no 'huge' (there are: tiny)"),
        ("results/digits/tiny/random0/seed0/A5B+.json", "n = 5 is not in study.n; add it there"),
        ("results/digits/tiny/random0/seed0/R7A.json", "n = 7 is not in study.n; add it there"),
    ],
)
def test_a_target_that_no_rule_makes_is_explained(params, path, sentence):
    params["study"]["n"] = [1, 2, 3]
    with pytest.raises(InputError) as error:
        check_target(path, params)
    assert str(error.value) == f"{path}: {sentence}"


@pytest.mark.parametrize(
    "path",
    [
        "models/digits/tiny/random0/seed0/baseA/model.safetensors",
        "models/digits/tiny/random3/seed17/A3B+/run.json",
        "models/digits/tiny/even-odd/seed0/R3B/history.csv",
        "models/digits/tiny/even-odd/seed0/A2B-k2/model.safetensors",
        "models/digits/tiny/random0/seed0/AnB+/model.onnx",
        "models/digits/tiny/random0/seed0/RnA/model.onnx",
        "results/digits/tiny/random0/seed0/B1B.json",
        "results/digits/tiny/networks.csv",
        "results/digits/tiny/figures/figure2.svg",
        "data/splits/digits/random0.json",
        "all",
        "--cores",
        "--config",
        "",
    ],
)
def test_targets_that_rules_make_and_other_words_pass(params, path):
    params["study"]["n"] = [1, 2, 3]
    check_target(path, params)


def test_every_network_of_the_study_passes_as_a_target(params):
    for network in study_networks(params, "random0"):
        check_target(f"models/digits/tiny/random0/seed0/{network}/model.safetensors", params)
        check_target(f"results/digits/tiny/random0/seed0/{network}.json", params)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"width": 1}, {"width": 1.0}),
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3.0, "c": 2}, "a": 1}),
        ([1.0, [2.0, {"x": 3.0}]], [1, [2, {"x": 3}]]),
        ({"rate": 1e3}, {"rate": 1000}),
        ({"rate": yaml.safe_load("1.0e-3")}, {"rate": yaml.safe_load("0.001")}),
        (0.0, 0),
        (-0.0, 0),
    ],
)
def test_two_ways_to_write_one_section_are_the_same_text(one, other):
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"width": 1}, {"width": 1.5}),
        ({"flip": True}, {"flip": 1}),
        ({"flip": False}, {"flip": 0}),
        (["1"], [1]),
        (["0", "1"], ["1", "0"]),
        ({"norm": None}, {}),
        ({"decay": "cosine"}, {"decay": {"every": 100, "factor": 0.1}}),
        (0.3, 0.1 + 0.2),
    ],
)
def test_two_sections_of_different_meaning_are_different_texts(one, other):
    assert canonical(one) != canonical(other)


def test_a_section_comes_back_from_its_text(params):
    assert json.loads(canonical(params)) == params


def test_stairs_come_back_from_their_text():
    assert json.loads(canonical(REDUCED)) == REDUCED


def test_a_names_constraint_takes_its_characters_literally():
    assert named(["random0", "a.b", "x+"]) == r"random0|a\.b|x\+"


def test_a_split_of_groups_is_told_of_its_own_groups_alone(params):
    digits = params["datasets"]["digits"]
    digits["groups"]["low"] = ["0", "1", "2"]
    assert used_groups(digits, params["splits"]["even-odd"]) == {
        "even": ["0", "2", "4", "6", "8"],
        "odd": ["1", "3", "5", "7", "9"],
    }
    assert used_groups(digits, params["splits"]["random0"]) == {}
    assert used_groups(digits, params["splits"]["round-straight"]) == {}


def test_a_data_set_without_groups_has_none_to_tell():
    assert used_groups({}, {"kind": "groups", "A": "even", "B": "odd"}) == {}


def test_a_split_of_several_groups_of_a_table_is_told_of_them():
    split = {"kind": "groups", "A": ["fish", "people"], "B": "trees"}
    groups = used_groups({"groups": "cifar100"}, split)
    assert sorted(groups) == ["fish", "people", "trees"]
    assert groups["people"] == ["baby", "boy", "girl", "man", "woman"]


def test_a_whole_split_has_no_task_b(params):
    params["splits"]["whole"] = {"kind": "whole"}
    params["study"] |= {"treatment": ["selffer", "transfer", "random"], "n": [1, 2]}
    assert study_networks(params, "whole") == ["baseA", "A1A", "A2A", "R1A", "R2A"]
    with pytest.raises(InputError, match=r"baseB.json: a whole data set has no task B"):
        check_target("results/digits/tiny/whole/seed0/baseB.json", params)
    params["study"]["networks"] = {"whole": ["baseA", "B1A"]}
    with pytest.raises(InputError, match=r"study.networks.whole names B1A, but a whole data set has no task B"):
        study_networks(params, "whole")


def test_the_networks_of_a_split_may_be_listed(params):
    params["study"] |= {"n": [1, 2, 7], "networks": {"random1": ["baseB", "AnB+", "A2B+", "B2B", "RnA", "AnB-k1"]}}
    assert study_networks(params, "random1") == [
        *["baseB", "A1B+", "A2B+", "A7B+", "B2B", "R1A", "R2A", "R7A", "A1B-k1", "A2B-k1"]
    ]
    assert len(study_networks(params, "random0")) == 2 + 5 * 3 * 2


def test_networks_of_a_split_outside_the_study_are_refused(params):
    params["study"]["networks"] = {"random3": ["baseA"]}
    with pytest.raises(InputError, match=r"study.networks names the split 'random3', which study.split lacks"):
        check_params(params, SCHEMA)


def test_an_export_that_one_split_does_not_make_is_refused(params):
    params["study"]["networks"] = {"random1": ["baseA", "baseB"]}
    with pytest.raises(InputError) as error:
        check_params(params, SCHEMA)
    sentence = "params: export names AnA, which study.networks.random1 does not make of the split 'random1'"
    assert str(error.value) == sentence


@pytest.mark.parametrize("kind", ["base", "transferred"])
def test_reduced_volumes_have_a_schedule_of_their_own_where_there_is_one(params, kind):
    params["splits"]["few"] = {"kind": "random", "seed": 0, "volume": {"A": 5, "seed": 0}}
    assert schedule_of(params, "few", kind) == params["training"][kind]
    params["training"]["reduced"] = {**params["training"]["transferred"], "steps": 77}
    assert schedule_of(params, "few", kind)["steps"] == 77
    assert schedule_of(params, "random0", kind) == params["training"][kind]


@pytest.mark.parametrize(
    ("section", "value", "sentence"),
    [
        ("parts", {"validation": "val", "test": 0.99, "seed": 0}, None),
        ("parts", {"validation": "val", "test": "test", "seed": 0, "duplicates": "drop"}, None),
        ("parts", {"validation": 0.5, "test": 0.5, "seed": 0}, "datasets.digits.parts leave nothing for training"),
        ("parts", {"validation": 0.5, "test": 0.1, "seed": 0, "duplicates": "no"}, "'no' is none of fail, drop, keep"),
        ("parts", {"validation": 1.5, "test": "test", "seed": 0}, "datasets.digits.parts.validation: 1.5"),
        ("groups", "cifar100", None),
        ("groups", "no-such-table.csv", "no-such-table.csv: there is no such file"),
    ],
)
def test_parts_and_groups_are_checked(params, section, value, sentence):
    params["datasets"]["digits"][section] = value
    params["splits"]["even-odd"] |= {"A": "fish", "B": ["trees", "flowers"]}
    params["study"]["split"] = ["random0", "even-odd"] if section == "groups" else ["random0"]
    if sentence is None:
        check_params(params, SCHEMA)
    else:
        with pytest.raises(InputError) as error:
            check_params(params, SCHEMA)
        assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("definition", "sentence"),
    [
        ({"kind": "graded", "A": "even", "B": "odd", "share": 0.5, "seed": 0}, None),
        ({"kind": "graded", "A": "even", "B": "odd", "share": 50, "seed": 0}, "splits.one.share: 50"),
        ({"kind": "graded", "A": "even", "B": "prime", "share": 0, "seed": 0}, "splits.one.B names the group 'prime'"),
        ({"kind": "groups", "A": ["even", "prime"], "B": "odd"}, "splits.one.A names the group 'prime'"),
        ({"kind": "whole"}, "export names baseB"),
        ({"kind": "whole", "seed": 0}, "splits.one: unknown key 'seed'"),
        ({"kind": "random", "seed": 0, "volume": {"B": 5, "seed": "first"}}, None),
        ({"kind": "random", "seed": 0, "volume": {"B": 5, "seed": "last"}}, "splits.one.volume.seed: 'last'"),
        ({"kind": "random", "seed": 0, "volume": {"B": 5}}, "splits.one.volume: the key 'seed' is missing"),
        ({"kind": "random", "seed": 0, "volume": {"seed": 0}}, "splits.one.volume"),
        ({"kind": "random", "seed": 0, "volume": {"C": 5, "seed": 0}}, "splits.one.volume: unknown key 'C'"),
    ],
)
def test_definitions_of_splits_are_checked(params, definition, sentence):
    params["splits"]["one"] = definition
    params["study"]["split"] = ["one"]
    if sentence is None:
        check_params(params, SCHEMA)
    else:
        with pytest.raises(InputError) as error:
            check_params(params, SCHEMA)
        assert sentence in str(error.value)


SVM = {"classifier": "svm", "pooling": "gap"}


def test_probes_are_asked_for_by_treatment_and_by_name(params):
    params["probes"] = {
        "svm": SVM,
        "logreg": SVM | {"classifier": "logreg", "pooling": {"kind": "grid", "values": 100}},
    }
    params["study"] |= {
        "treatment": ["transfer-svm", "random-logreg", "transfer+-svm"],
        "n": [2, 7],
        "split": ["random0"],
    }
    params["export"] = ["baseA"]
    check_params(params, SCHEMA)
    assert study_networks(params, "random0") == [
        *("baseA", "baseB", "B2A-svm", "B7A-svm", "A2B-svm", "A7B-svm", "R2A-logreg", "R7A-logreg", "R2B-logreg"),
        *("R7B-logreg", "B2A+-svm", "B7A+-svm", "A2B+-svm", "A7B+-svm"),
    ]
    params["study"]["networks"] = {"random0": ["baseA", "AnB-svm", "R2B-logreg"]}
    check_params(params, SCHEMA)
    assert study_networks(params, "random0") == ["baseA", "A2B-svm", "A7B-svm", "R2B-logreg"]
    assert pooling_section(params, "svm") == {"kind": "gap"}
    assert probe_section(params, "logreg") == {"classifier": "logreg"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"treatment": ["transfer-knn"]},
            "study.treatment names transfer-knn, but neither probes nor recipes has 'knn' (there are: svm)",
        ),
        ({"networks": ["A3B-knn"]}, "study.networks.random0 names A3B-knn, but neither probes nor recipes has 'knn'"),
        ({"networks": ["AnB-knn"]}, "study.networks.random0 names AnB-knn, but neither probes nor recipes has 'knn'"),
        ({"treatment": ["transfer-k2-svm"]}, "names transfer-k2-svm, but a probe reads the stages below a cut"),
        ({"treatment": ["random+-svm"]}, "'random+-svm' does not fit; A treatment is selffer"),
        ({"treatment": ["base-svm"]}, "names base-svm, but a probe reads the stages below a cut"),
        ({"treatment": ["base"]}, "'base' does not fit; A treatment is selffer"),
        ({"treatment": ["pretrained-svm"]}, "asks for P1A-svm, but architectures.tiny has no pretrained weights"),
        ({"export": ["A5B-svm"]}, "export names A5B-svm, a probe, which is never exported"),
        ({"export": ["AnB-svm"]}, "export names AnB-svm, a probe, which is never exported"),
        ({"probes": {"k2": SVM}}, "probes: 'k2' does not fit; A probe's name is a letter"),
        ({"probes": {"my-svm": SVM}}, "probes: 'my-svm' does not fit; A probe's name is a letter"),
        ({"probes": {"svm": {"classifier": "svm"}}}, "probes.svm: the key 'pooling' is missing"),
        ({"probes": {"svm": SVM | {"pooling": "max"}}}, "probes.svm.pooling: 'max' is none of gap, grid, full"),
        ({"probes": {"svm": SVM | {"c": 1}}}, "probes.svm: unknown key 'c'"),
        ({"probes": {"svm": SVM | {"draws": 5}}}, "probes.svm.draws: 5 draws of all training images are the same"),
        (
            {"probes": {"svm": SVM | {"classifier": "knn", "dropout": 0.5}}},
            "probes.svm.dropout is for svm and logreg, not knn",
        ),
    ],
)
def test_probes_that_cannot_be_are_refused_in_one_sentence(params, changes, sentence):
    params |= {"probes": {"svm": SVM}, "export": []}
    params["study"] |= {"split": ["random0"], "treatment": changes.get("treatment", ["transfer-svm"])}
    if "networks" in changes:
        params["study"]["networks"] = {"random0": changes["networks"]}
    params |= {key: value for key, value in changes.items() if key in ("export", "probes")}
    with pytest.raises(InputError) as error:
        check_params(params, SCHEMA)
    assert sentence in str(error.value)
    assert str(error.value).startswith("params: ")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("results/digits/tiny/random0/seed0/A3B-svm.json", None),
        ("results/digits/tiny/random0/seed0/A3B-knn.json", "neither probes nor recipes has 'knn' (there are: svm)"),
        ("results/digits/tiny/random0/seed0/baseA-svm.json", "a base network is not cut"),
        ("results/digits/tiny/random0/seed0/A8B-svm.json", "n = 8 is outside 1..7"),
        ("results/digits/tiny/random0/seed0/A3B-k2-svm.json", "there is nothing to preserve"),
        ("models/digits/tiny/random0/seed0/A3B-svm/model.safetensors", "a probe is no network"),
    ],
)
def test_files_of_probes_that_no_rule_makes_are_explained(params, path, sentence):
    params["probes"] = {"svm": SVM}
    if sentence is None:
        check_target(path, params)
    else:
        with pytest.raises(InputError) as error:
            check_target(path, params)
        assert sentence in str(error.value)


def study_of(*names: str) -> dict:
    """A ready study as `snakemake --configfile` reads it."""
    studies = [CHECKOUT / "workflow" / "studies" / f"{name}.yaml" for name in names]
    params = read_study(CHECKOUT / "params.yaml", studies)
    check_params(params, SCHEMA)
    return params


@pytest.mark.parametrize("recipe", [[], ["imagenet-modern"]])
def test_the_original_study_is_its_163_networks_and_7_with_random_filters(recipe):
    params = study_of("imagenet-original", *recipe)
    networks = [parse_network(name) for split in params["study"]["split"] for name in study_networks(params, split)]
    treatments = Counter(network.treatment for network in networks)
    assert treatments == {
        "base": 10 + 1 + 12,
        "selffer": 28,
        "transfer": 70,
        "selffer+": 14,
        "transfer+": 28,
        "random": 7,
    }


def test_the_original_study_is_the_networks_of_its_published_logs():
    params = study_of("imagenet-original")
    mine = Counter(
        (parse_network(name).source, parse_network(name).n, parse_network(name).target, name.endswith("+"))
        for split in ("random0", "random1", "random2", "random3", "natural-man-made")
        for name in study_networks(params, split)
    )
    published = CHECKOUT.parent / "shared" / "reference" / "yosinski2014_networks.csv"
    if not published.exists():
        pytest.skip(f"the original study's networks are not at {published}")
    with open(published, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] != "whole"]
    assert mine == Counter(
        (row["source"] if row["n"] != "0" else None, int(row["n"]), row["target"], row["treatment"].endswith("+"))
        for row in rows
    )


@pytest.mark.parametrize("recipe", [[], ["imagenet-modern"]])
def test_the_balanced_study_has_every_treatment_in_both_directions_on_all_five_splits(recipe):
    params = study_of("imagenet-balanced", *recipe)
    networks = {split: study_networks(params, split) for split in params["study"]["split"]}
    assert {split: len(names) for split, names in networks.items()} == {
        **dict.fromkeys(["random0", "random1", "random2", "random3", "natural-man-made"], 2 + 4 * 14),
        "whole": 1 + 7,
    }


def test_the_graded_study_differs_in_the_share_alone():
    params = study_of("cifar100")
    splits = params["splits"]
    family = [splits[f"living{share}"] for share in (0, 25, 50, 75, 100)]
    assert [split["share"] for split in family] == [0, 0.25, 0.5, 0.75, 1]
    assert all({**split, "share": 0} == {**family[0], "share": 0} for split in family)
    groups = used_groups(params["datasets"]["cifar100"], family[0])
    assert sum(len(names) for names in groups.values()) == 100


def test_equal_samples_of_groups_are_drawn_by_a_seed(params):
    drawn = {"kind": "groups", "A": "even", "B": "odd", "classes": 4}
    params["splits"]["even-odd"] = drawn | {"seed": 0}
    check_params(params, SCHEMA)
    params["splits"]["even-odd"] = drawn
    with pytest.raises(
        InputError, match=r"params: splits\.even-odd: classes needs seed too; set it, or leave classes out"
    ):
        check_params(params, SCHEMA)


@pytest.mark.parametrize("effect", ["total", "lingering boost", "pretrained, frozen", "preserved transfer-k2"])
def test_a_primary_effect_is_declared_by_its_name(params, effect):
    params["analysis"]["primary"] = {"effect": effect, "read_out": "test_top1"}
    check_params(params, SCHEMA)


def test_a_primary_effect_that_there_is_not_is_refused(params):
    params["analysis"]["primary"] = {"effect": "totals", "read_out": "test_top1"}
    with pytest.raises(
        InputError, match=r"params: analysis\.primary\.effect: 'totals' does not fit; An effect by its name"
    ):
        check_params(params, SCHEMA)
