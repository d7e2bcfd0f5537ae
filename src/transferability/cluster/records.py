"""Records: what Snakemake keeps of how each file was made, under .snakemake, and files that lack one.

Without its record a file passes for up to date, whatever it was made from.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path

from transferability import files

METADATA = Path(".snakemake/metadata")
INCOMPLETE = Path(".snakemake/incomplete")
HANDED_OVER = Path(".snakemake/handed-over.json")


def walk_files(folder: Path) -> Iterator[str]:
    """The files under a folder, by their paths relative to where the folder's own path starts."""
    for place, _, names in os.walk(folder):
        for name in names:
            yield f"{place}/{name}"


def recorded_files(folder: Path) -> set[str]:
    """The files whose records lie in a folder of .snakemake.

    A record's name is its file's path in base64; that of a long path is a chain of folders, each marked by an @.
    One that is cut off counts for nothing: Snakemake would pass over it, and take its file for up to date.
    """
    found = set()
    for path in walk_files(folder):
        # Thousands of files of a kilobyte: a buffer for each would cost as much as reading it.
        with open(path, "rb", buffering=0) as file:
            if not file.read().endswith(b"}"):
                continue
        name = path.removeprefix(f"{folder}/").replace("/", "").replace("@", "")
        try:
            found.add(urlsafe_b64decode(name).decode())
        except ValueError:
            continue  # no record of Snakemake's
    return found


def unrecorded_files(folders: Iterable[str]) -> Iterator[str]:
    """The files under the folders that Snakemake neither has a record of nor marks as unfinished; in no order."""
    known = recorded_files(METADATA) | recorded_files(INCOMPLETE)
    for folder in folders:
        for path in walk_files(Path(folder)):
            if path not in known:
                yield path


def mark_unfinished(path: str) -> None:
    """Mark a file as one whose job has not ended, as Snakemake does, so that the job runs again."""
    name = urlsafe_b64encode(path.encode()).decode()
    longest = os.pathconf(".", "PC_NAME_MAX") - 1
    parts = [name[start : start + longest] for start in range(0, len(name), longest)]
    files.write_text(INCOMPLETE.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1]), "{}")


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
