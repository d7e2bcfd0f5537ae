"""Runs: what a page says of how its networks were made, from their run.json."""

import json
from pathlib import Path

import pandas as pd

from transferability import files
from transferability.forms.run import Run
from transferability.words import counted, in_words


def network_folder(network: dict) -> Path:
    """A network's folder in that of all networks, and the metrics' in that of the tables."""
    return Path(network["split"], f"seed{network['seed']}", network["network"])


def read_runs(networks: pd.DataFrame, models: Path) -> list[dict]:
    """What each network was made from, but for probes, which train none; a run.json that is missing or not whole is an
    InputError that names it."""
    runs = []
    for network in networks[networks["pooling"].isna()].to_dict("records"):
        runs.append(files.read_json(models / network_folder(network) / "run.json", Run))
    return runs


def short(revision: str | None) -> str:
    """A git revision, cut short, with its mark where files differed from it."""
    commit, changed, _ = (revision or "outside a checkout").partition("+")
    return (commit[:12] if revision else commit) + (" with changes" if changed else "")


def provenance_facts(runs: list[dict]) -> list[tuple[str, str]]:
    """With what the networks were made: revision, versions, hardware, hours, images."""
    versions = {name: sorted({run["versions"].get(name, "?") for run in runs}) for name in runs[0]["versions"]}
    hours = sum(run["job"]["seconds"] / run["job"]["networks"] for run in runs) / 3600
    machines = {f"{run['device']}, {counted(run['threads'], 'thread')}, {run['versions']['machine']}" for run in runs}
    revisions = sorted({short(run["git"]) for run in runs})
    return [
        ("Networks", f"{len(runs):,}"),
        ("Time", f"{hours:,.2f} hours of jobs, {3600 * hours / len(runs):,.1f} seconds a network"),
        ("Images seen", f"{sum(run['images_seen'] for run in runs):,}"),
        ("Hardware", in_words(sorted(machines))),
        ("Git revision", in_words(revisions)),
        (
            "Versions",
            ", ".join(f"{name} {in_words(used, 'or')}" for name, used in versions.items() if name != "machine"),
        ),
    ]


def parameter_facts(runs: list[dict]) -> list[tuple[str, str]]:
    """The parameters that the networks record, each once, with which networks it holds for."""
    users: dict[tuple[str, str], set[str]] = {}
    for run in runs:
        kind = "base" if run["network"]["source"] is None else "transferred"
        for name, value in run["parameters"].items():
            users.setdefault((name, json.dumps(value, sort_keys=True)), set()).add(kind)
    facts: dict[str, list[str]] = {}
    for (name, value), kinds in users.items():
        facts.setdefault(name if len(kinds) == 2 or name == "seed" else f"{name}, {min(kinds)}", []).append(value)
    return [(name, " or ".join(values)) for name, values in sorted(facts.items())]
