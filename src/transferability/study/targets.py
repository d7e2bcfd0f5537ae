"""Targets: why no rule makes a file that was asked for by name."""

import re

from transferability.errors import InputError
from transferability.networks.notation import PRETRAINED, SCORES, Network, parse_network
from transferability.study.architectures import depth_of
from transferability.study.grid import cuts
from transferability.study.recipes import check_trained, is_trained, options_in_words

PATTERN = re.compile(r"(?:models|results)/([^/]+)/([^/]+)/([^/]+)/seed([^/]+)/(?![ABRP]n)([^/.]+)(/.*|\.json)")


def check_target(path: str, params: dict) -> None:
    """Explain why no rule makes a file of a network that was asked for by name; other files pass."""
    if weights := re.fullmatch(r"models/pretrained/([^/]+)/.*", path):
        check_weights(path, weights[1], params)
    match = PATTERN.fullmatch(path)
    if match is None:
        return
    if match[4].isdigit() and int(match[4]) >= 2**32:
        raise InputError(f"{path}: seeds go up to {2**32 - 1}")
    for name, section in zip(match.groups()[:3], ("datasets", "architectures", "splits"), strict=True):
        if name not in params[section]:
            names = ", ".join(params[section]) or "none"
            raise InputError(f"{path}: {section} has no {name!r} (there are: {names})")
    architecture, split, name, file = match[2], match[3], match[5], match[6]
    try:
        network = parse_network(name, depth_of(params, architecture))
        if not is_trained(params, network):
            check_probe(network, params, file)
        check_trained(params, architecture, split, network)
        check_network(network, params, architecture, split)
        if file == "/model.onnx" and network.name not in params["export"]:
            raise InputError(f"{network.name} is not in export; add it there")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def check_weights(path: str, architecture: str, params: dict) -> None:
    """Refuse the pretrained weights of an architecture that has none."""
    having = [name for name, section in params["architectures"].items() if "weights" in section]
    if architecture not in having:
        raise InputError(
            f"{path}: {architecture} has no pretrained weights; give architectures.{architecture} its `weights` "
            f"(with weights: {', '.join(having) or 'none'})"
        )


def check_probe(probe: Network, params: dict, file: str) -> None:
    """Refuse an option that the params lack, and of a probe a file of it other than its result."""
    probes = params.get("probes", {})
    if probe.option == SCORES:
        check_scores(probe, params)
    elif probe.option not in probes:
        raise InputError(f"neither probes nor recipes has {probe.option!r} (there are: {options_in_words(params)})")
    if probe.source is None:
        raise InputError("a probe reads the stages below a cut, and a base network is not cut")
    if file != ".json":
        raise InputError("a probe is no network, and its only file is its result, results/.../seed0/A5B-svm.json")
    if probe.preserved:
        raise InputError("no stage above the cut is read, so there is nothing to preserve; leave out the -k")


def check_scores(scores: Network, params: dict) -> None:
    """Refuse scores of what the params do not ask for, or never can."""
    if "scores" not in params:
        raise InputError("the params ask for no scores; add `scores`")
    if scores.fine_tune:
        raise InputError("stages are scored before they are fine-tuned; leave out the +")


def check_network(network: Network, params: dict, architecture: str, split: str) -> None:
    """Refuse a network that a split, an architecture or study.n does not give."""
    if params["splits"][split]["kind"] == "whole" and "B" in (network.source, network.target):
        raise InputError("a whole data set has no task B")
    if network.source == PRETRAINED and "weights" not in params["architectures"][architecture]:
        raise InputError(f"architectures.{architecture} has no pretrained weights; give it `weights`")
    if architecture not in params["study"]["architecture"]:
        return
    if network.source is not None and not network.preserved and network.n not in cuts(params, architecture):
        raise InputError(f"n = {network.n} is not in study.n; add it there")
