"""Looks: what of a study's stages is drawn beside its networks, as `cka`, `tsne`, `shows` and `retrieval` say.

They name cuts as networks are named: A5B is stages 1 to 5 of baseA, on images of task B; AnB all of them. They are
those of the study's first split and seed.
"""

from itertools import product

from transferability.errors import InputError
from transferability.networks.notation import RANDOM, Network
from transferability.study.architectures import depth_of
from transferability.study.grid import check_sources, cuts, expand_curve, split_sides
from transferability.study.probes import read_network, written_out
from transferability.study.sections import named_groups

SECTIONS = ("cka", "tsne", "shows", "retrieval")


def looked_cuts(params: dict, section: str, architecture: str) -> list[Network]:
    """The cuts that a section of the params names, curves written out; none where the params lack the section."""
    layers, depth = cuts(params, architecture), depth_of(params, architecture)
    names = params.get(section, {}).get("cuts", [])
    return list(dict.fromkeys(network for name in names for network in expand_curve(name, layers, depth)))


def looked_weights(params: dict, section: str, architecture: str) -> list[Network | None]:
    """Of each of these cuts the network whose stages it is, None where that is the pretrained one."""
    layers = cuts(params, architecture)
    return [read_network(cut, layers) for cut in looked_cuts(params, section, architecture)]


def look_options(params: dict, section: str, dataset: str) -> dict:
    """What a section says beside its cuts, as its job gets it: groups in place of the word where colours mean them."""
    options = {key: value for key, value in params[section].items() if key not in ("cuts", "colour")}
    if "pooling" in options:
        options["pooling"] = written_out(options["pooling"])
    if params[section].get("colour") == "group":
        options["groups"] = named_groups(params["datasets"][dataset])
    return options


def check_looks(params: dict) -> None:
    """Refuse cuts that there are not; an InputError names the key. It needs the stages of the architectures."""
    sides = split_sides(params, params["study"]["split"][0])
    for name in params["study"]["dataset"] if params.get("tsne", {}).get("colour") == "group" else ():
        if not named_groups(params["datasets"][name]):
            raise InputError(
                f"params: tsne.colour is group, but datasets.{name} has no groups; name some, or take class"
            )
    for section, architecture in product(SECTIONS, params["study"]["architecture"]):
        try:
            named = looked_cuts(params, section, architecture)
        except InputError as error:
            raise InputError(f"params: {section}.cuts: {error}") from None
        for cut in named:
            check_cut(cut, f"params: {section}.cuts names {cut.name}", sides, cuts(params, architecture))
        check_sources(params, architecture, named)
        if section == "cka" and len({cut.target for cut in named}) > 1:
            raise InputError("params: cka.cuts: they are compared on the same images; name cuts of one target")


def check_cut(cut: Network, words: str, sides: tuple[str, ...], layers: list[int]) -> None:
    """Refuse what is no cut of a source on the images of a task, or of a network that the study does not make."""
    if cut.source is None or cut.option or cut.preserved:
        raise InputError(f"{words}, which is no cut; cuts are named like A5B, P3A, R2B or A5B+")
    if {cut.source, cut.target} & {"A", "B"} - {*sides}:
        raise InputError(f"{words}, but a whole data set has no task B")
    if (cut.fine_tune or cut.source == RANDOM) and cut.n not in layers:
        raise InputError(f"{words}, but n = {cut.n} is not in study.n; add it there")
