"""Hooks: what Snakemake asks of this package before its jobs start and after they have ended.

On a cluster, jobs and the snakemake that looks after them may outlive each other.
"""

import logging
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from transferability import files
from transferability.cluster.hours import hours_table, spent_hours
from transferability.cluster.origins import ALTERED, FAILED, HASH, is_export, is_metrics, is_noted, is_small, misfit
from transferability.cluster.records import (
    INCOMPLETE,
    add_note,
    forget_inputs,
    handed_over,
    handed_over_logs,
    is_unrecorded,
    mark_unfinished,
    note_handed_over,
    read_endings,
    recorded_files,
    settle_handed_over,
    walk_files,
)
from transferability.cluster.slurm import Request, check_cluster, refuse_live_jobs
from transferability.errors import InputError
from transferability.locks import locked_sentence

FOLDERS = ("data", "models", "results")
"""The folders of what a run makes and Snakemake has records of."""


def settle_files(rules: Iterable) -> list[str]:
    """Hold the outputs of Snakemake's rules against their records; the lines that say what will be made anew, and why.

    One without a record would pass for up to date, such as results that git or a partial pull has brought: an
    InputError. One that its record does not tell of is marked as unfinished, so that its job runs again; and so is what
    was handed to a cluster by a snakemake that did not live to record it. Of networks and packed images nothing is said
    where they still are what their job left, as its time tells.
    """
    outputs = [output for rule in rules for output in rule.output]
    orphans, endings, unfinished, lines = handed_over(), read_endings(), recorded_files(INCOMPLETE), []
    lost = lost_files(endings.keys() - unfinished)
    for path in (path for folder in FOLDERS for path in walk_files(Path(folder)) if path not in unfinished):
        ending = endings.get(path)
        if ending is None and path in orphans:
            mark_unfinished(path)
        elif ending is None:
            if any(output.match(path) for output in outputs) and is_unrecorded(path):
                refuse_unrecorded(path)
        elif Path(path).parent in lost:
            mark_unfinished(path)
            lines.append(f"{path}: {lost[Path(path).parent]} beside it is gone; both are made anew")
        elif (is_small(path) or ending.note.get(FAILED) or modified(path) != ending.time) and (reason := misfit(path)):
            if reason == ALTERED and path.startswith("data/splits/"):
                refuse_altered_split(path)
            mark_unfinished(path)
            lines.append(f"{path}: {reason}; it is made anew")
    return lines


def lost_files(recorded: Iterable[str]) -> dict[Path, str]:
    """The folders of networks and packed images that have lost a file, with its name: a job makes all of a folder.

    A folder that has gone as a whole may have been left out, as by a partial pull, and images may not be shared.
    """
    paths = [Path(path) for path in recorded if path.startswith(("data/packed/", "models/"))]
    lost = [path for path in paths if path.name != "images.npy" and path.parent.is_dir() and not path.exists()]
    return {path.parent: path.name for path in lost}


def modified(path: str) -> float | None:
    """When a file was last written, in seconds; None where it has gone."""
    try:
        return Path(path).stat().st_mtime
    except FileNotFoundError:
        return None


def refuse_unrecorded(path: str) -> None:
    """Refuse a file without a record."""
    raise InputError(
        f"{path}: there is no record of what it was made from; "
        "get the records with `dvc pull .snakemake/metadata`, or delete the file to have it made anew"
    )


def refuse_altered_split(path: str) -> None:
    """Refuse a split that was altered: to make it anew here would train all its networks anew."""
    raise InputError(
        f"{path}: it was altered since its networks were trained; bring it back (`dvc checkout --force {path}`), or "
        "delete it to have it, and what was made from it, made anew"
    )


def before_jobs(workflow) -> None:
    """Check before the first job that the cluster can do what the jobs ask, and that none of an earlier start lives."""
    settings = workflow.executor_settings
    jobs = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
    on_slurm = type(settings).__module__ == "snakemake_executor_plugin_slurm"
    if on_slurm:
        requests = [Request.of(job.rule.name, job.resources) for job in jobs]
        check_cluster(requests, settings.status_command, settings.init_seconds_before_status_checks)
        # Where the plugin puts them.
        logs = Path(workflow.workdir_init, settings.logdir or Path(".snakemake/slurm_logs").resolve())
        refuse_live_jobs(logs)
    if handed_over():
        refuse_live_jobs(handed_over_logs())
    if on_slurm:
        note_handed_over((output for job in jobs for output in job.output), logs)


USUAL_RATE = (100, 1)
"""The jobs a second that Snakemake starts where nobody says otherwise."""


def lift_rate(workflow) -> None:
    """Let local jobs start as fast as they come, where nobody has asked for less.

    With a rate, Snakemake 9 starts a timer whenever it looks for jobs, and each timer has it look again: after some
    hundred jobs that takes a third of a core.
    """
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if workflow.local_exec and limit and (limit.max_jobs, limit.timespan) == USUAL_RATE:
        workflow.scheduler.job_rate_limiter = None


def after_success(workflow, runs: Iterable[Path]) -> str | None:
    """Note what the jobs have made, and forget what was handed to a cluster.

    What the networks of `runs`, run.json files, have cost there, as lines.
    """
    note_products(workflow.dag)
    if not handed_over():
        return None
    settle_handed_over()
    spent = spent_hours(run for run in runs if run.exists())
    return f"What the study's networks have cost:\n{hours_table(spent)}" if spent else None


def deletes_temporary(words: list[str]) -> bool:
    """Whether a command line asks Snakemake to delete what is temporary, and not only to say what that is."""
    dry = any(word in ("--dry-run", "--dryrun") or re.fullmatch("-[a-zA-Z]*n[a-zA-Z]*", word) for word in words)
    return "--delete-temp-output" in words and not dry


def remove_features(places: Iterable[Path]) -> None:
    """Remove what probes have read, folders of features/; of a folder that is empty then, nothing stays."""
    for place in places:
        shutil.rmtree(place, ignore_errors=True)
        for folder in place.parents:
            if folder.name and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


class LockWatch(logging.Handler):
    """Hears Snakemake say that the folder is locked, and has what to do about it said."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self.say = say

    def emit(self, record: logging.LogRecord) -> None:
        if "Directory cannot be locked" in record.getMessage():
            self.say(f"error: {locked_sentence(Path.cwd(), 'snakemake')}")


def after_error(workflow) -> None:
    """Note what jobs have made and which have failed; forget what was handed to a cluster: it is one or the other.

    Snakemake's record of a failed job says that its files, which it removes, are of the new params: one that comes
    back would pass for up to date.
    """
    note_products(workflow.dag)
    for job in workflow.scheduler.failed if workflow.scheduler else ():
        for path in job.output:
            add_note(path, {FAILED: True})
    settle_handed_over()


def failure_sentences(workflow) -> list[str]:
    """Of each job that failed the sentence that its log ends in, or where its log is: what is to be read last."""
    sentences = []
    for job in workflow.scheduler.failed if workflow.scheduler else ():
        logs = [Path(log) for log in job.log]
        errors = [line for log in logs if log.exists() for line in last_error(log)]
        where = f"{job.rule.name} failed; its log is {logs[0] if logs else 'above'}"
        sentences += errors or [f"error: {where}"]
    return list(dict.fromkeys(sentences))


def last_error(log: Path) -> list[str]:
    """The last sentence of a log that says what a user can mend, or nothing."""
    lines = [
        line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.startswith("error: ")
    ]
    return lines[-1:]


def note_products(dag) -> None:
    """Note in the records of last products, splits and packed images what they held when this run had made them.

    The content of the other files is in the records of the jobs that have read them, and a network's in its run.json.
    Metrics and ONNX files are of the network that their path names, or the best of its curve at the study's cuts, which
    the job's params have, whichever others their job has read for its other files.
    """
    made = [path for job in dag.finished_jobs if dag.needrun(job) for path in job.output]
    for path in made:
        if is_metrics(path) or is_export(path):
            forget_inputs(path)
        if (is_noted(path) or path.startswith("data/packed/")) and Path(path).is_file():
            add_note(path, {HASH: files.sha256(Path(path))})
