"""Hooks: what Snakemake asks of this package before its jobs start and after they have ended.

On a cluster, jobs and the snakemake that looks after them may outlive each other.
"""

from collections.abc import Iterable
from pathlib import Path

from transferability.cluster.hours import hours_table, spent_hours
from transferability.cluster.records import (
    handed_over,
    handed_over_logs,
    mark_unfinished,
    note_handed_over,
    settle_handed_over,
    unrecorded_files,
)
from transferability.cluster.slurm import Request, check_cluster, refuse_live_jobs
from transferability.errors import InputError

FOLDERS = ("data", "models", "results")
"""The folders of what a run makes and Snakemake has records of."""


def refuse_unrecorded(rules: Iterable) -> None:
    """Refuse outputs of Snakemake's rules that stand there without a record.

    One would pass for up to date, such as results that git or a partial pull has brought. What was handed to a cluster
    by a snakemake that did not live to record it is made again.
    """
    outputs = [output for rule in rules for output in rule.output]
    orphans = handed_over()
    for path in unrecorded_files(FOLDERS):
        if path in orphans:
            mark_unfinished(path)
        elif any(output.match(path) for output in outputs):
            raise InputError(
                f"{path}: there is no record of what it was made from; "
                "get the records with `dvc pull .snakemake/metadata`, or delete the file to have it made anew"
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


def after_success(runs: Iterable[Path]) -> str | None:
    """Forget what was handed to a cluster; what the networks of `runs`, run.json files, have cost there, as lines."""
    if not handed_over():
        return None
    settle_handed_over()
    spent = spent_hours(run for run in runs if run.exists())
    return f"What the study's networks have cost:\n{hours_table(spent)}" if spent else None


def after_error() -> None:
    """Forget what was handed to a cluster: it has failed or is recorded."""
    settle_handed_over()
