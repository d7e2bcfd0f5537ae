"""Costs: what a study will take, from its params alone: networks, images seen, arithmetic, disk, memory and time.

    transferability costs workflow/studies/tiny-imagenet.yaml --measure

Time follows from the arithmetic and a rate of the architecture (`rates` of the params), which --measure finds; without
it nothing here takes longer than reading the params.
"""

import argparse
import math
from pathlib import Path

from transferability.errors import InputError, exit_plainly
from transferability.study.architectures import describe_architectures
from transferability.study.grid import members_of
from transferability.study.jobs import Job, critical_path, probe_jobs, score_jobs, study_jobs
from transferability.study.params import check_networks, check_params
from transferability.study.rates import measure_rate
from transferability.study.reading import read_study
from transferability.study.recipes import trials_of
from transferability.study.work import (
    START,
    checkpoint_bytes,
    job_schedule,
    job_stages,
    probing_work,
    reference_work,
    scoring_work,
    training_work,
    work_seconds,
)
from transferability.words import counted, duration


def read_params(params: Path, studies: list[Path]) -> dict:
    """The params of a study, checked: params.yaml, and the study files that change it, in their order."""
    merged = read_study(params, studies)
    check_params(merged)
    describe_architectures(merged)
    check_networks(merged)
    return merged


def in_units(value: float, unit: str) -> str:
    """A count with a prefix, three digits: 1.23e12 of FLOP as 1.23 TFLOP."""
    power = min(6, max(0, int(math.log10(value)) // 3)) if value >= 1 else 0
    return f"{value / 1000**power:.3g} {['', 'k', 'M', 'G', 'T', 'P', 'E'][power]}{unit}"


HEADER = ("treatment", "networks", "jobs", "images seen", "forward", "backward", "disk", "one core")
TABLE = "{:<13}{:>9}{:>7}{:>14}{:>14}{:>14}{:>10}{:>12}"


def table_lines(params: dict, jobs: list[Job], rates: dict[str, float]) -> list[str]:
    """A table of a study's training, a row a treatment, and their sum."""
    rows: dict[str, list[float]] = {"all": [0.0] * 7}
    for job in jobs:
        stages, schedule = job_stages(params, job), job_schedule(params, job)
        work, count = training_work(params, job), len(job.networks)
        seconds = work_seconds(params, job.architecture, work, rates)
        values = [
            count,
            1,
            count * trials_of(params, job.networks[0]) * schedule["steps"] * schedule["batch_size"],
            2 * work.forward,
            2 * work.backward,
            count * checkpoint_bytes(stages),
            math.nan if seconds is None else seconds + START,
        ]
        for row in (job.networks[0].treatment, "all"):
            rows[row] = [a + b for a, b in zip(rows.get(row, [0] * len(values)), values, strict=True)]
    treatments = [name for name in rows if name != "all"]
    return [TABLE.format(*HEADER), *(table_line(name, rows[name]) for name in (*treatments, "all"))]


def table_line(name: str, values: list[float]) -> str:
    """A line of the table of costs."""
    networks, jobs, images, forward, backward, disk, seconds = values
    return TABLE.format(
        name,
        round(networks),
        round(jobs),
        in_units(images, ""),
        in_units(forward, "FLOP"),
        in_units(backward, "FLOP"),
        in_units(disk, "B"),
        "?" if math.isnan(seconds) else duration(seconds),
    )


def notes(params: dict, jobs: list[Job], rates: dict[str, float], cores: int) -> list[str]:
    """What the table does not say: further disk, what is not known, and the time on some cores."""
    study, lines = params["study"], []
    exported = sum(
        checkpoint_bytes(job_stages(params, job))
        for job in jobs
        for network in job.networks
        if members_of(params["export"], [network])
    )
    lines.append(f"ONNX files: at most {in_units(exported, 'B')} (a curve's name exports one network of it)")
    for dataset in study["dataset"]:
        stored = Path("data/packed") / dataset / "images.npy"
        lines.append(
            f"images of {dataset}: "
            + (
                in_units(stored.stat().st_size, "B")
                if stored.exists()
                else "not packed; classes and counts are assumed"
            )
        )
    if reading := probe_jobs(params):
        forward = sum(2 * probing_work(params, job).forward for job in reading)
        lines.append(
            f"probes: {sum(len(job.networks) for job in reading)} in {counted(len(reading), 'job')}, which train "
            f"nothing: {in_units(forward, 'FLOP')} forward, one pass of a target's images each, and a fit a cut"
        )
    if scoring := score_jobs(params):
        forward = sum(2 * scoring_work(params, job).forward for job in scoring)
        lines.append(
            f"scores: of {counted(sum(len(job.networks) for job in scoring), 'cut')} in "
            f"{counted(len(scoring), 'job')}, which train nothing: {in_units(forward, 'FLOP')} forward, one pass of a "
            "target's training images each where no probe has made it"
        )
    if not jobs:
        return [*lines, "training: none"]
    unknown = [name for name in study["architecture"] if name not in rates]
    if unknown:
        return [
            *lines,
            f"time: no rate of {', '.join(unknown)}; --measure finds it, and `rates` of the params keeps it",
        ]
    seconds = {
        job: START + (work_seconds(params, job.architecture, training_work(params, job), rates) or 0)
        for job in set(jobs)
    }
    path, chain = critical_path(jobs, seconds)
    total = sum(seconds[job] for job in jobs)
    names = ", then ".join(f"{job.name} ({duration(seconds[job])})" for job in chain)
    return [
        *lines,
        f"training: {duration(total)} on one core or GPU, at least {duration(max(total / cores, path))} on {cores}; "
        f"never less than its longest chain, {duration(path)}: {names}",
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Tell what a study will cost, before anything is run.")
    parser.add_argument("study", type=Path, nargs="*", help="files of the study, on top of params.yaml")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="params.yaml (this folder's)")
    parser.add_argument("--measure", action="store_true", help="measure the rates on this machine first")
    parser.add_argument("--cores", type=int, default=1, help="jobs at once: cores, or GPUs")
    chosen = parser.parse_args(arguments)
    if chosen.cores < 1:
        raise InputError(f"--cores is {chosen.cores}; it must be at least 1")
    params = read_params(chosen.params, chosen.study)
    rates = dict(params.get("rates", {}))
    if chosen.measure:
        rates |= {name: measure_rate(params, name, chosen.cores) for name in params["study"]["architecture"]}
    jobs = study_jobs(params)
    print("\n".join([*table_lines(params, jobs, rates), "", *notes(params, jobs, rates, chosen.cores)]))
    if chosen.measure:
        measured = {name: rates[name] for name in params["study"]["architecture"]}
        for name, rate in measured.items():
            speed = in_units(1000 * reference_work(params, name).flops / rate, "FLOP/s")
            print(f"{name}: {rate:.3g} ms an image of a base network, {speed} in each of {chosen.cores} at once")
        print("for params.yaml, or the study's file:")
        print(f"rates: {{{', '.join(f'{name}: {rate:.3g}' for name, rate in measured.items())}}}")


if __name__ == "__main__":
    exit_plainly(main)
