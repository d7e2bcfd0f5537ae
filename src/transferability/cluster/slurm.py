"""Clusters: what SLURM is asked before it gets a study, so that no job waits for ever for what is not there."""

import getpass
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transferability.errors import InputError

COMMANDS = ("sbatch", "squeue", "sinfo", "scontrol")


@dataclass(frozen=True)
class Partition:
    """A partition: the kinds of GPU of its nodes, what one node has of the rest at most, a job's minutes."""

    name: str
    default: bool
    gpus: frozenset[str]
    cpus: int
    megabytes: int
    minutes: int | None


@dataclass(frozen=True)
class Request:
    """What a job of a rule asks for; None where it leaves that to the site."""

    rule: str
    partition: str | None
    account: str | None
    gpus: int
    gpu_model: str | None
    cpus: int
    megabytes: int | None
    minutes: int | None

    @classmethod
    def of(cls, rule: str, resources: Mapping[str, Any]) -> "Request":
        """The request of a rule's job with these resources, by the names that Snakemake gives them."""
        names = ("slurm_partition", "slurm_account", "gpu", "gpu_model", "_cores", "mem_mb", "runtime")
        partition, account, gpus, gpu_model, cpus, megabytes, minutes = (resources.get(name) for name in names)
        return cls(rule, partition, account, gpus or 0, gpu_model, cpus or 1, megabytes, minutes)


def enumerated(names: Iterable[str]) -> str:
    """Names in order, or that there are none."""
    return ", ".join(sorted(names)) or "none"


def ask(*command: str) -> str:
    """What one of SLURM's commands answers; InputError where the cluster does not."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError) as error:
        answer = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
        raise InputError(f"{command[0]}: SLURM does not answer ({answer}); try again when `sinfo` does") from None


def minutes_of(limit: str) -> int | None:
    """A time limit of sinfo's, such as 30:00, 1-00:00:00 or infinite, in minutes."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if match is None:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in match.groups())
    return (days * 24 + hours) * 60 + minutes


def number_of(shown: str) -> int:
    """A number of sinfo's, which may end in + where nodes differ."""
    return int(re.split(r"\D", shown)[0] or 0)


def read_partitions(shown: str) -> dict[str, Partition]:
    """The partitions of `sinfo --format=%P|%l|%G|%c|%m`, which has a line for each kind of node in each."""
    partitions: dict[str, Partition] = {}
    for line in shown.splitlines():
        shown_name, limit, gres, cpus, megabytes = line.split("|")
        name = shown_name.rstrip("*")
        # gpu:2, gpu:a100:2 or gpu:a100:2(S:0-1), among other things; a kind that is not named is "".
        gpus = frozenset(re.findall(r"(?:^|,)gpu(?::((?!\d+\b)[^:,()]+))?(?=[:,(]|$)", gres))
        before = partitions.get(name)
        partitions[name] = Partition(
            name,
            shown_name.endswith("*"),
            gpus | (before.gpus if before else frozenset()),
            max(number_of(cpus), before.cpus if before else 0),
            max(number_of(megabytes), before.megabytes if before else 0),
            minutes_of(limit),
        )
    return partitions


def read_setting(configuration: str, name: str) -> str:
    """A setting of `scontrol show config`."""
    match = re.search(rf"^{name}\s*=\s*(.*?)\s*$", configuration, re.MULTILINE)
    return match[1] if match else ""


def check_requests(requests: Iterable[Request], partitions: dict[str, Partition]) -> None:
    """Refuse what the cluster would leave in its queue for ever, or never take.

    A request may name several partitions, with commas between; one of them that can do it is enough.
    """
    names = enumerated(partitions)
    default = [name for name, partition in partitions.items() if partition.default]
    for request in requests:
        wanted = request.partition.split(",") if request.partition else default
        unknown = [name for name in wanted if name not in partitions]
        if unknown:
            raise InputError(
                f"slurm_partition: this cluster has no partition {unknown[0]!r} (there are: {names}); "
                "name one of them in the profile's default-resources"
            )
        if not wanted:
            raise InputError(
                f"slurm_partition: this cluster has no default partition (there are: {names}); "
                "name one of them in the profile's default-resources"
            )
        obstacles = [obstacle(request, partitions[name], partitions) for name in wanted]
        if all(obstacles):
            raise InputError(obstacles[0])


def obstacle(request: Request, place: Partition, partitions: dict[str, Partition]) -> str | None:
    """Why a partition can never do what is asked for, and what to do; None where it can."""
    if request.gpus and not place.gpus:
        having = enumerated(partition.name for partition in partitions.values() if partition.gpus)
        return (
            f"slurm_partition: no node of {place.name!r} has a GPU (with GPUs: {having}); "
            "name another partition in the profile's default-resources, or set `device: cpu` in the params"
        )
    if request.gpus and request.gpu_model and request.gpu_model not in place.gpus:
        kinds = enumerated(place.gpus - {""})
        return (
            f"gpu_model: {place.name!r} has no GPU {request.gpu_model!r} (there are: {kinds}); "
            "name one of them in the profile's default-resources, or none"
        )
    if request.cpus > place.cpus:
        return (
            f"threads: {request.rule} asks for {request.cpus} CPUs, and a node of {place.name!r} has {place.cpus}; "
            f"cut it with `--set-threads {request.rule}={place.cpus}`, which changes no result of `pack`"
        )
    if (request.megabytes or 0) > place.megabytes:
        return (
            f"mem_mb: {request.rule} asks for {request.megabytes} MB, and a node of {place.name!r} has "
            f"{place.megabytes}; name another partition, or cut it with "
            f"`--set-resources {request.rule}:mem_mb={place.megabytes}`"
        )
    if place.minutes is not None and (request.minutes or 0) > place.minutes:
        return (
            f"runtime: {request.rule} asks for {request.minutes} minutes, and {place.name!r} allows {place.minutes}; "
            f"name another partition, or cut the job with `--set-resources {request.rule}:runtime={place.minutes}` and "
            "enough `--retries`: it goes on from where it was saved"
        )
    return None


def check_accounts(requests: Iterable[Request], user: str) -> None:
    """Refuse an account that SLURM's database does not give the user."""
    wanted = {request.account for request in requests if request.account}
    if not wanted:
        return
    shown = ask("sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={user}", "format=account")
    accounts = set(shown.split())
    for account in sorted(wanted - accounts):
        raise InputError(
            f"slurm_account: {user} has no account {account!r} here (there are: {enumerated(accounts)}); "
            "name one of them in the profile's default-resources"
        )


def check_accounting(requests: Iterable[Request], configuration: str, status_command: str, first_check: int) -> bool:
    """Whether the cluster keeps accounts; refuse settings that need them where it does not.

    `first_check` is after how many seconds Snakemake first asks how jobs fare.
    """
    if read_setting(configuration, "AccountingStorageType") not in ("", "(null)", "accounting_storage/none"):
        return True
    if status_command == "sacct":
        raise InputError(
            "slurm-status-command: this cluster keeps no accounts, so that sacct would never tell of a job's end; "
            "set squeue in the profile"
        )
    remembered = number_of(read_setting(configuration, "MinJobAge"))
    if remembered < 3 * first_check:
        raise InputError(
            f"slurm-init-seconds-before-status-checks: this cluster forgets a job {remembered} s after its end; "
            f"set at most {remembered // 3} in the profile"
        )
    for account in sorted({request.account for request in requests if request.account}):
        raise InputError(
            f"slurm_account: this cluster keeps no accounts, and cannot tell whether {account!r} is one; "
            "take it out of the profile's default-resources"
        )
    return False


def check_cluster(requests: list[Request], status_command: str, first_check: int) -> None:
    """Refuse, in one sentence, what this cluster cannot do."""
    for command in COMMANDS:
        if shutil.which(command) is None:
            raise InputError(
                f"executor: there is no SLURM on this machine (no `{command}`); start on a login node of the cluster, "
                "or without `--profile slurm`"
            )
    check_requests(requests, read_partitions(ask("sinfo", "--noheader", "--exact", "--format=%P|%l|%G|%c|%m")))
    if check_accounting(requests, ask("scontrol", "show", "config"), status_command, first_check):
        check_accounts(requests, getpass.getuser())


def live_jobs(logs: Path) -> dict[str, str]:
    """The jobs in SLURM's queue whose logs are in a folder, {id: rule and wildcards}; none where there is no SLURM."""
    if shutil.which("squeue") is None:
        return {}
    # Wide enough for any path; a comment is the rule with its wildcards.
    shown = ask("squeue", "--noheader", "--Format=JobID:40,Comment:400,StdOut:4096")
    rows = [(line[:40].strip(), line[40:440].strip(), line[440:].strip()) for line in shown.splitlines()]
    return {job: comment for job, comment, log in rows if log.startswith(f"{logs}/")}


def refuse_live_jobs(logs: Path) -> None:
    """Refuse to start while jobs of an earlier start are in the queue: each file has one writer."""
    jobs = live_jobs(logs)
    if jobs:
        named = ", ".join(f"{job} ({comment})" for job, comment in jobs.items())
        raise InputError(
            f"jobs of this study are in SLURM's queue from an earlier start: {named}; end them with "
            f"`scancel {' '.join(jobs)}` (what they have trained is kept), or await them with "
            f"`while squeue -h -j {','.join(jobs)} 2>/dev/null | grep -q .; do sleep 60; done`, and start again"
        )
