"""Records: what Snakemake keeps of how each file was made, under .snakemake, and files that lack one.

Without its record a file passes for up to date, whatever it was made from.
"""

import json
import os
import re
import shutil
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from transferability import files
from transferability.errors import InputError

METADATA = Path(".snakemake/metadata")
INCOMPLETE = Path(".snakemake/incomplete")
HANDED_OVER = Path(".snakemake/handed-over.json")

NOTE = "transferability"
"""The key of a record under which this package adds to it; Snakemake drops it when it writes the record anew."""


@dataclass(frozen=True)
class Ending:
    """How the job of a record ended: when its file was written, in seconds, and this package's note, mostly none."""

    time: float | None
    note: dict


def walk_files(folder: Path) -> Iterator[str]:
    """The files under a folder, by their paths relative to where the folder's own path starts."""
    for place, _, names in os.walk(folder):
        for name in names:
            yield f"{place}/{name}"


def record_path(folder: Path, path: str) -> Path:
    """Where the record of a file is: its path in base64, a long one as a chain of folders, each marked by an @."""
    name = urlsafe_b64encode(path.encode()).decode()
    longest = os.pathconf(".", "PC_NAME_MAX") - 1
    parts = [name[start : start + longest] for start in range(0, len(name), longest)]
    return folder.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1])


def each_record(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The files whose records lie in a folder of .snakemake, each with its record.

    One that is cut off counts for nothing: Snakemake would pass over it, and take its file for up to date. So does one
    that goes while it is read.
    """
    for path in walk_files(folder):
        try:
            # Thousands of files of a kilobyte: a buffer for each would cost as much as reading it.
            with open(path, "rb", buffering=0) as file:
                content = file.read()
            name = path.removeprefix(f"{folder}/").replace("/", "").replace("@", "")
            if content.endswith(b"}"):
                yield urlsafe_b64decode(name).decode(), content
        except (FileNotFoundError, ValueError):
            continue  # no record of Snakemake's


def recorded_files(folder: Path) -> set[str]:
    """The files whose records lie in a folder of .snakemake."""
    return {path for path, _ in each_record(folder)}


END = re.compile(rb'"endtime": ([0-9.e+-]+)')


def read_endings() -> dict[str, Ending]:
    """How the jobs of all recorded files have ended. Nothing else of a record is read: a start looks at each."""
    endings = {}
    for path, content in each_record(METADATA):
        end = END.search(content)
        note = json.loads(content).get(NOTE, {}) if f'"{NOTE}"'.encode() in content else {}
        endings[path] = Ending(float(end[1]) if end else None, note)
    return endings


def read_record(path: str) -> dict | None:
    """The record of a file as it is now; None where there is none, or its job is running or was broken off.

    A job's mark of being unfinished goes after its record is written: it is looked for first.
    """
    if record_path(INCOMPLETE, path).exists():
        return None
    try:
        return files.read_json(record_path(METADATA, path))
    except InputError:
        return None


def unrecorded_files(folders: Iterable[str]) -> Iterator[str]:
    """The files under the folders that Snakemake neither has a record of nor marks as unfinished; in no order."""
    recorded = recorded_files(METADATA) | recorded_files(INCOMPLETE)
    for folder in folders:
        for path in walk_files(Path(folder)):
            if path not in recorded and is_unrecorded(path):
                yield path


def is_unrecorded(path: str) -> bool:
    """Whether a file is there and has neither record nor mark at this moment; another snakemake may be running."""
    marked = record_path(INCOMPLETE, path).exists()
    return not marked and read_record(path) is None and os.path.lexists(path)


def mark_unfinished(path: str) -> None:
    """Mark a file as one whose job has not ended, as Snakemake does, so that the job runs again."""
    files.write_text(record_path(INCOMPLETE, path), "{}")


def add_note(path: str, note: dict) -> None:
    """Add this package's note to a file's record, if it has one."""
    change_record(path, lambda record: record | {NOTE: note})


def forget_inputs(path: str) -> None:
    """Take from a file's record what its job has read, which Snakemake then compares with nothing."""
    change_record(path, lambda record: {key: value for key, value in record.items() if key != "input"})


def change_record(path: str, change: Callable[[dict], dict]) -> None:
    """Change a file's record, if it has one."""
    place = record_path(METADATA, path)
    try:
        record = files.read_json(place)
    except InputError:
        return
    with files.replacing(place) as temporary:
        # On one line, as Snakemake writes it.
        temporary.write_text(json.dumps(change(record)), encoding="utf-8")
        shutil.copymode(place, temporary)


def note_handed_over(outputs: Iterable[str], logs: Path) -> None:
    """Note the files whose jobs a cluster runs, until `settle_handed_over` says that all of them are recorded.

    And the folder of the cluster's logs, by which the jobs are known in its queue.

    A job on a cluster outlives the snakemake that would record it, and takes away its mark of being unfinished.
    """
    files.write_json(HANDED_OVER, {"outputs": sorted(outputs), "logs": str(logs)})


def settle_handed_over() -> None:
    """Forget what was handed over: it has been recorded, or has failed."""
    HANDED_OVER.unlink(missing_ok=True)


def handed_over() -> set[str]:
    """The files that were handed to a cluster by a snakemake that did not live to record them; mostly none."""
    return set(files.read_json(HANDED_OVER)["outputs"]) if HANDED_OVER.exists() else set()


def handed_over_logs() -> Path:
    """The folder of the logs of what was handed over."""
    return Path(files.read_json(HANDED_OVER)["logs"])
