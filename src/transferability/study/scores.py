"""Scores: the cuts whose features `scores` of the params has scored, and how."""

from transferability.networks.notation import RANDOM, SCORES, TREATMENTS, Network
from transferability.study.architectures import depth_of
from transferability.study.grid import check_sources, cuts, split_sides, treated_networks
from transferability.study.probes import written_out

PERMUTATIONS = 10


def scored_treatments(params: dict) -> list[str]:
    """The treatments whose stages are scored; untrained ones stand beside all others. None where the params ask for no
    scores."""
    asked = params.get("scores", {}).get("treatment", [])
    random = [name for name, record in TREATMENTS.items() if record.source == RANDOM]
    return list(dict.fromkeys([*asked, *random])) if asked else []


def scored_networks(params: dict, architecture: str, split: str) -> list[Network]:
    """The cuts of one seed of a split whose features are scored, such as A5B-scores."""
    layers, depth, sides = cuts(params, architecture), depth_of(params, architecture), split_sides(params, split)
    networks = [
        network
        for treatment in scored_treatments(params)
        for network in treated_networks(f"{treatment}-{SCORES}", layers, sides, depth)
    ]
    check_sources(params, architecture, networks)
    return networks


def score_options(params: dict) -> dict:
    """How scores are made: the pooling of features, written out, and the number of permutations."""
    section = params["scores"]
    return {
        "pooling": written_out(section["pooling"]),
        "permutations": section.get("permutations", PERMUTATIONS),
    }
