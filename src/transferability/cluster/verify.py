"""Verify: every file of a study held against what is recorded of its content, which a start does only for a few.

    python -m transferability.cluster.verify [FOLDER] [--fix]

A file's content is recorded by the job that made it (run.json of a network; a note in Snakemake's record of a table,
figure, page, export and of packed images), by the jobs that have read it since (Snakemake's records), and in dvc.lock.
"""

import argparse
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from tqdm import tqdm

from transferability import files
from transferability.cluster.origins import FAILED, HASH, misfit
from transferability.cluster.records import (
    INCOMPLETE,
    METADATA,
    NOTE,
    each_record,
    mark_unfinished,
    record_path,
    recorded_files,
    walk_files,
)
from transferability.errors import InputError, exit_plainly

FOLDERS = ("data", "models", "results")
UNRECORDED = "data/architectures/"
"""What the workflow writes while it is planned, without a record."""

SHOWN = 20
"""Names of a list that are shown; the rest are counted."""


@dataclass
class Report:
    """What a look at a study's files has found: `wrong` says of each file why, the others name theirs."""

    wrong: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    right: int = 0


def read_records() -> dict[str, dict]:
    """Snakemake's records of all files; one that is no JSON object counts for nothing, as to Snakemake."""
    records = {}
    for path, content in each_record(METADATA):
        try:
            records[path] = json.loads(content)
        except ValueError:
            continue
    return records


def expected_hashes(records: dict[str, dict]) -> dict[str, set[str]]:
    """The SHA-256 that each file should have, from notes, run.json files, and the jobs that have read it since.

    A job that had started before the file was written has read another.
    """
    expected: dict[str, set[str]] = {path: set() for path in records}
    for path, record in records.items():
        if HASH in record.get(NOTE, {}):
            expected[path].add(record[NOTE][HASH])
        if Path(path).name == "run.json":
            expected.get(str(Path(path).with_name("model.safetensors")), set()).update(model_hash(Path(path)))
        for name, checksum in (record.get("input_checksums") or {}).items():
            written = records.get(name, {}).get("endtime")
            if written is not None and (record.get("starttime") or 0) >= written:
                expected[name].add(checksum.removeprefix("sha256:"))
    return expected


def model_hash(run: Path) -> set[str]:
    """The hash of the network that a run.json is of; none where it cannot be read."""
    try:
        return {files.read_json(run)["model_sha256"]}
    except (InputError, KeyError):
        return set()


def locked_hashes() -> dict[str, str]:
    """The MD5 that dvc.lock gives to files; of a folder's files where DVC's cache has its listing.

    Only for files whose record is the one that was locked: the others have been made anew since.
    """
    listed = dict(listed_files(Path("dvc.lock")))
    same: dict[str, str] = {}
    for path, content in listed.items():
        record = record_path(METADATA, path)
        if record.exists() and digest(record, "md5") == listed.get(str(record)):
            same[path] = content
    return same


def listed_files(lock: Path) -> Iterable[tuple[str, str]]:
    """The files that a dvc.lock names, itself or by a listing in the cache, each with its MD5."""
    if not lock.exists():
        return
    try:
        stages = yaml.load(lock.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"]
        outs = [out for stage in stages.values() for out in stage.get("outs", [])]
        for out in outs:
            if not out["md5"].endswith(".dir"):
                yield out["path"], out["md5"]
                continue
            listing = Path(".dvc/cache/files/md5", out["md5"][:2], out["md5"][2:])
            if listing.exists():
                entries = json.loads(listing.read_text(encoding="utf-8"))
                yield from ((f"{out['path']}/{entry['relpath']}", entry["md5"]) for entry in entries)
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{lock}: is no file of DVC's; bring it back with `git checkout {lock}`") from None


def digest(path: Path, algorithm: str) -> str:
    """The hash of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def fault(path: str, hashes: set[str], locked: str | None, owners: dict[str, str]) -> str | None:
    """What is wrong with a file, by the hashes that it should have; None where all is right.

    `owners` says of a hash which file should have it.
    """
    if reason := misfit(path):
        return reason
    if hashes and (content := files.sha256(Path(path))) not in hashes:
        if Path(path).stat().st_size == 0:
            return "it is empty"
        return f"it is {owners[content]}" if content in owners else "it was altered or cut off since it was made"
    if locked and digest(Path(path), "md5") != locked:
        return "it is not what dvc.lock has of it"
    return None


def verify(show: bool = True) -> Report:
    """Look at all files of the study in the working folder; `show` a bar on the way."""
    if not METADATA.is_dir():
        raise InputError(f"{METADATA}: there are no records here; name the folder of a study, or `dvc pull` first")
    records, unfinished = read_records(), recorded_files(INCOMPLETE)
    expected, locked, report = expected_hashes(records), locked_hashes(), Report()
    owners = {content: path for path, contents in expected.items() for content in contents}
    present = {path: Path(path).stat().st_size for folder in FOLDERS for path in walk_files(Path(folder))}
    report.foreign = sorted(
        path for path in present if path not in records and path not in unfinished and not path.startswith(UNRECORDED)
    )
    report.missing = sorted(
        path for path, record in records.items() if path not in present and not record.get(NOTE, {}).get(FAILED)
    )
    ours = [path for path in sorted(present) if path in records]
    with tqdm(
        total=sum(present[path] for path in ours), unit="B", unit_scale=True, disable=None if show else True
    ) as bar:
        for path in ours:
            if path in unfinished:
                report.unfinished.append(path)
            elif reason := fault(path, expected[path], locked.get(path), owners):
                report.wrong[path] = reason
            elif expected[path] or path in locked:
                report.right += 1
            else:
                report.unknown.append(path)
            bar.update(present[path])
    return report


def listed(title: str, paths: list[str]) -> list[str]:
    """A title with its files, of which the first are named; nothing where there are none."""
    more = [f"  and {len(paths) - SHOWN} more"] if len(paths) > SHOWN else []
    return [f"{title}: {len(paths)}", *(f"  {path}" for path in paths[:SHOWN]), *more] if paths else []


def described(report: Report, fixed: bool) -> str:
    """A report as lines of text, what is wrong last."""
    lines = [f"right: {report.right:,} files"]
    lines += listed("no hash is recorded of", report.unknown)
    lines += listed("of a job that was broken off, made anew by the next run", report.unfinished)
    lines += listed("not here, made anew when something needs them", report.missing)
    lines += listed("foreign, left alone", report.foreign)
    lines += [f"wrong: {path}: {reason}" for path, reason in report.wrong.items()]
    if report.wrong:
        lines.append(
            "marked: the next run makes them anew"
            if fixed
            else "bring them back with `dvc checkout --force`, or have the next run make them anew: add --fix"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Hold a study's files against what is recorded of their content.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path(), help="the study's folder (the working folder)")
    parser.add_argument("--fix", action="store_true", help="mark what is wrong, so that the next run makes it anew")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        raise InputError(f"{arguments.folder}: there is no such folder")
    os.chdir(arguments.folder)
    report = verify()
    for path in report.wrong if arguments.fix else ():
        mark_unfinished(path)
    print(described(report, arguments.fix))
    if report.wrong and not arguments.fix:
        raise SystemExit(1)


if __name__ == "__main__":
    exit_plainly(main)
