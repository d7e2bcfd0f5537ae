"""Grid: the networks that a study asks for, each a record; the folder names of its files are their names."""

from collections.abc import Iterable
from dataclasses import replace

from transferability.errors import InputError
from transferability.networks.families import FAMILIES
from transferability.networks.notation import (
    PRETRAINED,
    RANDOM,
    SIDES,
    Network,
    parse_network,
    split_treatment,
)
from transferability.networks.stages import AlexNet, architecture_of
from transferability.study.architectures import depth_of
from transferability.study.recipes import check_trained, is_trained, network_recipe

VISIBLE = 5
"""Pixels a side from which on filters show a reader something."""


def cuts(params: dict, architecture: str) -> list[int]:
    """The stages after which an architecture's networks are cut, as `study.n` says, in order: its own is no matter."""
    cut_after, depth = params["study"]["n"], depth_of(params, architecture)
    if isinstance(cut_after, dict):
        if architecture not in cut_after:
            raise InputError(f"params: study.n says nothing of {architecture}; add it, or give one list for all")
        cut_after = cut_after[architecture]
    if cut_after == "all":
        if depth is None:
            raise InputError(f"params: study.n is all, but the stages of {architecture} are not known yet; run it once")
        return list(range(1, depth))
    if depth is not None and max(cut_after) >= depth:
        raise InputError(
            f"params: study.n has {max(cut_after)}, but {architecture} has {depth} stages, so n is at most {depth - 1}"
        )
    return sorted(cut_after)


def split_sides(params: dict, split: str) -> tuple[str, ...]:
    """The tasks of a split: one that is `whole` has no task B."""
    return SIDES[:1] if params["splits"][split]["kind"] == "whole" else SIDES


def treated_networks(treatment: str, layers: list[int], sides: tuple[str, ...], depth: int | None) -> list[Network]:
    """The networks of a treatment between the sides of a split, cut after each of the layers that leave enough."""
    treated = split_treatment(treatment)
    record, preserved = treated.treatment, treated.preserved
    if depth is not None and preserved > depth - 2:
        raise InputError(
            f"params: study.treatment names {treatment}, but of {depth} stages at most {depth - 2} can be preserved"
        )
    networks = []
    if record.source is None:
        return [Network(None, 0, side, False, 0, treated.option) for side in sides]
    for target in sides:
        other = SIDES[1 - SIDES.index(target)]
        source = {"target": target, "other": other}.get(record.source, record.source)
        networks += [
            Network(source, n, target, record.fine_tune, preserved, treated.option)
            for n in layers
            if (depth is None or n + preserved < depth) and source in (*sides, RANDOM, PRETRAINED)
        ]
    return networks


def study_networks(params: dict, architecture: str, split: str) -> list[Network]:
    """The networks of one seed of a split, those that study.networks lists for it, else those of study.treatment."""
    study, sides = params["study"], split_sides(params, split)
    layers, depth = cuts(params, architecture), depth_of(params, architecture)
    listed = study.get("networks", {}).get(split)
    if listed is None:
        networks = [parse_network(f"base{side}") for side in sides]
        for treatment in study["treatment"]:
            networks += treated_networks(treatment, layers, sides, depth)
    else:
        networks = [network for name in listed for network in expand_curve(name, layers, depth)]
        for network in networks:
            if {network.target, network.source} - {*sides, RANDOM, PRETRAINED, None}:
                raise InputError(
                    f"params: study.networks.{split} names {network.name}, but a whole data set has no task B"
                )
    check_sources(params, architecture, networks)
    for network in networks:
        check_trained(params, architecture, split, network)
    return list(dict.fromkeys(networks))


def check_sources(params: dict, architecture: str, networks: Iterable[Network]) -> None:
    """Refuse pretrained networks of an architecture that has no pretrained weights."""
    wanted = next((network.name for network in networks if network.source == PRETRAINED), None)
    if wanted and "weights" not in params["architectures"][architecture]:
        raise InputError(
            f"params: the study asks for {wanted}, but architectures.{architecture} has no pretrained weights; "
            "give it `weights`, or leave out the pretrained treatments"
        )


def expand_curve(name: str, layers: list[int], depth: int | None = None) -> list[Network]:
    """The networks of a curve at the given layers: A1B+, A2B+, ... for AnB+; for the name of a network, that one."""
    if name[1] != "n":
        return [parse_network(name, depth)]
    network = parse_network(name.replace("n", "1", 1))
    return [replace(network, n=n) for n in layers if depth is None or n + network.preserved < depth]


def members_of(names: list[str], networks: Iterable[Network]) -> list[Network]:
    """The networks that a list of networks and curves names: AnB+ stands for all of A1B+, A2B+, ..."""
    return [network for network in networks if {network.name, network.curve} & set(names)]


def has_visible_filters(params: dict, architecture: str) -> bool:
    """Whether an architecture's first filters may show a reader something; those of a library's model are not known."""
    described = architecture_of(params["architectures"][architecture])
    if not isinstance(described, AlexNet):
        return True
    sizes = [params["datasets"][dataset]["images"]["size"] for dataset in params["study"]["dataset"]]
    return any(FAMILIES[described.family](size).convolutions[0].kernel >= VISIBLE for size in sizes)


def several_sources(params: dict) -> bool:
    """Whether a study scores several sources that may be chosen for one target."""
    treatments = {"transfer", "pretrained"} & set(params.get("scores", {}).get("treatment", []))
    return len(treatments) * len(params["study"]["architecture"]) > 1


def study_figures(params: dict) -> list[str]:
    """The figures that a study can give, as `figures.drawing` names them.

    Figure 3 needs transfer between chosen tasks, the curve of volumes two volumes or more, the figure of distances
    frozen transfer on five splits or more, that of learning networks that are trained, and that of filters base
    networks, and filters of five pixels or more. Scores, their criterion, CKA, t-SNE, what units answer to,
    retrieval, strategies and sources are drawn where the params ask for it, the choice of a source where several are
    scored, score maps where patches are read, and domains where a probe learns from the other task.
    """
    volumes, transferred, chosen, trained, patched, probed = set(), set(), set(), set(), set(), []
    for split in params["study"]["split"]:
        definition = params["splits"][split]
        networks = study_networks(params, params["study"]["architecture"][0], split)
        trained |= {network.treatment for network in networks if is_trained(params, network)}
        patched |= {network.name for network in networks if network_recipe(params, network).patches is not None}
        probed += [params["probes"][each.option] for each in networks if each.option in params.get("probes", {})]
        volumes |= {definition["volume"].get(network.target) for network in networks if "volume" in definition}
        if "volume" not in definition and any(network.treatment == "transfer" for network in networks):
            transferred.add(split)
            chosen |= {split} if definition["kind"] in ("groups", "classes") else set()
    adapted = any(probe.get("learn_from", "target") != "target" for probe in probed)
    possible = {
        "experiment": True,
        "figure2": True,
        "figure3": bool(chosen),
        "effects": True,
        "volume": len(volumes - {None}) >= 2,
        "distance": len(transferred) >= 5,
        "learning": bool(trained),
        "filters": "base" in trained
        and any(has_visible_filters(params, architecture) for architecture in params["study"]["architecture"]),
        "scores": "scores" in params,
        "criterion": "scores" in params,
        "choice": several_sources(params),
        "cka": "cka" in params,
        "tsne": "tsne" in params,
        "shows": "shows" in params,
        "invariance": "shows" in params,
        "retrieval": "retrieval" in params,
        "maps": bool(patched) or any(probe["classifier"] == "patches" for probe in probed),
        "strategies": "recipes" in params,
        "probes": bool(probed) and not adapted,
        "domains": adapted,
        "sources": "sources" in params.get("analysis", {}),
    }
    return [name for name, given in possible.items() if given]
