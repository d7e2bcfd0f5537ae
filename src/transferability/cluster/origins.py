"""Origins: what files say that they were made from, held against what Snakemake's records say.

A record tells of the last job that was to make a file. The file may be of an earlier one: brought back from a backup
after the job has failed, or written by a process that outlived its snakemake.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from transferability import files
from transferability.cluster.records import NOTE, read_record
from transferability.errors import InputError

FAILED, HASH = "failed", "sha256"
"""Keys of this package's notes in records: the job has failed; what its file held when it had ended well."""

ALTERED = "it is not what its job has made"
"""Why a file whose note is of other content is none of its job's."""

CARD, LONGEST_HEADER = "transferability", 10_000_000
"""The key of what a checkpoint says of itself, and the longest header that is read for it."""


def is_noted(path: str) -> bool:
    """Whether notes in records say what a file held: a split, or a last product: a table, figure, page or export.

    What networks train on beside that is theirs to refuse, by name: a network is not trained anew in silence.
    """
    return is_small(path) or is_export(path)


def is_export(path: str) -> bool:
    """Whether a file is an ONNX file, or tells of those of a seed."""
    return Path(path).name in ("model.onnx", "exports.json")


def is_small(path: str) -> bool:
    """Whether a file is one of the few and small ones that a start holds against their notes whatever their time."""
    return path.startswith("data/splits/") or (path.startswith("results/") and path.count("/") < 5)


def is_metrics(path: str) -> bool:
    """Whether a file holds the metrics of a network, a probe or scores: results/.../seed{seed}/{network}.json."""
    return path.startswith("results/") and path.count("/") == 5 and path.endswith(".json")


def canonical(section: object) -> str:
    """A section of what a file says, as the workflow writes it into a job's params and so into its record."""
    return json.dumps(section, sort_keys=True)


def misfit(path: str) -> str | None:
    """Why a file cannot be of the job that its record tells of; None where nothing speaks against it.

    Only what costs nothing is looked at: the file's own words, and the content of one that no other job reads.
    """
    record = read_record(path)
    if record is None:
        return None
    note = record.get(NOTE, {})
    if note.get(FAILED):
        return "the last job that was to make it has failed"
    try:
        if HASH in note and is_noted(path) and files.sha256(Path(path)) != note[HASH]:
            return ALTERED
        return origin_misfit(path, record)
    except (InputError, OSError):
        return None  # who reads the file says what is wrong with it


def origin_misfit(path: str, record: Mapping) -> str | None:
    """Why a file's own words do not fit its record; None where they do, or it has none."""
    room, *_, name = Path(path).parts
    if name == "model.safetensors" and len(Path(path).parts) == 7:
        network = carried_name(Path(path))
        if network not in (None, Path(path).parent.name):
            return f"it is a network {network}"
    if room == "models" and name in ("model.safetensors", "run.json", "history.csv"):
        return network_misfit(Path(path).with_name("run.json"), record)
    if path.startswith("data/splits/"):
        content = files.read_json(Path(path))
        parts = {key: content[key] for key in ("definition", "parts") if key in content}
        return params_misfit(parts, record)
    if is_metrics(path):
        return metrics_misfit(Path(path))
    return None


def carried_name(path: Path) -> str | None:
    """The name of the network that a checkpoint says it is, from the file's first bytes; None where it says none."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= LONGEST_HEADER else b""
    try:
        return json.loads(json.loads(header)["__metadata__"][CARD])["network"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # not whole, or none of ours


def params_misfit(sections: Mapping[str, object], record: Mapping) -> str | None:
    """Why sections of params that a file says are not those of its record; None where they are."""
    recorded = set(record.get("params") or [])
    other = [name for name, section in sections.items() if repr(canonical(section)) not in recorded]
    return f"it was made from another {other[0]}" if other else None


def read_run(path: Path) -> dict | None:
    """A run.json; None where there is none, or none of a trained network."""
    run = files.read_json(path) if path.exists() else {}
    return run if {"parameters", "inputs", "code"} <= run.keys() else None


def network_misfit(path: Path, record: Mapping) -> str | None:
    """Why a network, by its run.json, is not of its record's job."""
    run = read_run(path)
    if run is None:
        return None
    sections = {name: run["parameters"].get(name) for name in ("architecture", "augmentation", "schedule")}
    if other := params_misfit(sections, record):
        return other
    if repr(run["code"]) not in (record.get("params") or []):
        return "it was made by other code"
    checksums = record.get("input_checksums") or {}
    for name, content in run["inputs"].items():
        if name in checksums and checksums[name] not in (content, f"sha256:{content}"):
            return f"it was made from another {name}"
    return None


def metrics_misfit(path: Path) -> str | None:
    """Why metrics are not of the network that is there."""
    _, *places, _ = path.parts
    network = Path("models", *places, path.stem, "run.json")
    run = files.read_json(network) if network.exists() else {}
    content = files.read_json(path)
    if "model_sha256" in run and content.get("model_sha256", run["model_sha256"]) != run["model_sha256"]:
        return "it is of another network"
    return None
