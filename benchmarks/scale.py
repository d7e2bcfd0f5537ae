"""Plan a large study on clusters of several sizes, on paper, and time Snakemake's own plan of it.

    python benchmarks/scale.py --study workflow/studies/imagenet-original.yaml --rate 0.1 [--gpus 8 64 256] [--dry-run]

--rate is the milliseconds that an image of a base network takes on one GPU; `python -m transferability.study.costs
--measure` finds it. Hours are of a list schedule: whenever a GPU is free it takes the job that is ready and has most
behind it, or with --order names, as a queue does, that came first. A job is a curve or a network, each in turn.
Traffic is what jobs read of packed images (once each where the node's memory holds them, else every epoch) and write:
networks and states.
--dry-run times `snakemake --dry-run` of the study.
"""

import argparse
import heapq
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from transferability.study.costs import read_params
from transferability.study.jobs import Job, critical_path, study_jobs
from transferability.study.work import START, checkpoint_bytes, job_schedule, job_stages, training_work, work_seconds

CHECKOUT = Path(__file__).parent.parent
OVERHEAD = 10.0
"""Seconds that a job takes on a cluster beside its work: two starts of Snakemake, and SLURM's own."""
POLL = 180.0
"""Seconds between two questions to the queue, when jobs are long."""
JPEG = 16_000
"""Bytes of an image of 256 pixels as it is packed; ILSVRC2012's 1.33 million make 21 GB."""


def makespan(jobs: list[Job], seconds: dict[Job, float], gpus: int, longest_first: bool) -> float:
    """The seconds until the last job has ended on some GPUs, each job after the base network that it needs."""
    place = {(job.dataset, job.architecture, job.split, job.seed, job.name): job for job in jobs}
    behind: dict[Job, list[Job]] = {job: [] for job in jobs}
    ready: list[tuple[float, int, Job]] = []
    order = {job: number for number, job in enumerate(jobs)}
    for job in jobs:
        if job.source:
            behind[place[job.dataset, job.architecture, job.split, job.seed, job.source]].append(job)

    def push(job: Job) -> None:
        rest = seconds[job] + max((seconds[later] for later in behind[job]), default=0.0)
        heapq.heappush(ready, (-rest if longest_first else order[job], order[job], job))

    for job in jobs:
        if not job.source:
            push(job)
    now, running = 0.0, []
    while ready or running:
        while ready and len(running) < gpus:
            job = heapq.heappop(ready)[2]
            heapq.heappush(running, (now + seconds[job], order[job], job))
        now, _, done = heapq.heappop(running)
        for job in behind[done]:
            push(job)
    return now


def main() -> None:
    parser = argparse.ArgumentParser(description="Plan a large study on clusters of several sizes.")
    parser.add_argument("--study", type=Path, nargs="+", required=True, help="files of workflow/studies")
    parser.add_argument("--rate", type=float, required=True, help="milliseconds an image of a base network on one GPU")
    parser.add_argument("--gpus", type=int, nargs="+", default=[8, 64, 256])
    parser.add_argument("--order", choices=["longest", "names"], default="longest")
    parser.add_argument("--dry-run", action="store_true", help="time Snakemake's plan, too")
    arguments = parser.parse_args()
    params = read_params(CHECKOUT / "params.yaml", arguments.study)
    rates = dict.fromkeys(params["study"]["architecture"], arguments.rate)
    for unit in ("curve", "network"):
        jobs = list(dict.fromkeys(study_jobs(params | {"jobs": unit})))
        seconds = {
            job: START + OVERHEAD + work_seconds(params, job.architecture, training_work(params, job), rates)
            for job in jobs
        }
        path, chain = critical_path(jobs, seconds)
        networks = sum(len(job.networks) for job in jobs)
        size = sum(len(job.networks) * checkpoint_bytes(job_stages(params, job)) for job in jobs)
        seen = sum(job_schedule(params, job)["steps"] * job_schedule(params, job)["batch_size"] for job in jobs)
        print(
            f"a job is a {unit}: {networks} networks in {len(jobs)} jobs, {sum(seconds.values()) / 3600:,.0f} GPU hours"
        )
        print(f"  never less than {path / 3600:.1f} h: {', then '.join(job.name for job in chain)}")
        print(f"  networks on disk {size / 1e9:.0f} GB; images read {seen * JPEG / 1e12:.0f} TB where not in memory")
        for gpus in arguments.gpus:
            span = makespan(jobs, seconds, gpus, arguments.order == "longest")
            busy = sum(seconds.values()) / span / gpus
            # A state is thrice its networks, kept each minute or a fiftieth of the time.
            at_once = min(gpus, len(jobs))
            states = at_once * 3 * max(len(job.networks) * checkpoint_bytes(job_stages(params, job)) for job in jobs)
            print(
                f"  {gpus:4d} GPUs: {span / 3600:8.1f} h, GPUs busy {busy:4.0%}; states at most {states / 1e9:.0f} GB, "
                f"written at {states / 60e6:.0f} MB/s; images at {seen * JPEG / span / 1e6:.0f} MB/s; "
                f"{2 * len(jobs)} submissions, {span / POLL:.0f} questions to the queue"
            )
    if arguments.dry_run:
        with tempfile.TemporaryDirectory() as directory:
            started = time.perf_counter()
            plan = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "--cores", "1", "--directory", directory]
            plan += ["--configfile", *(str(study.resolve()) for study in arguments.study)]
            subprocess.run(plan, check=True, cwd=CHECKOUT, stdout=subprocess.DEVNULL)
            print(f"snakemake --dry-run: {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
