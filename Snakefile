# How transferable are features? Says what exists; the package in src/ says how it is made.

import atexit
import gc
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import min_version

min_version("9.17")

# Nearly all that a plan makes lives to its end; to look for garbage among it takes up to a tenth of the time.
gc.set_threshold(100_000, 50, 100)
# Nor is it freed piece by piece at the end, a seventh of the time: the process ends anyway.
atexit.register(gc.freeze)

# Jobs run this checkout's code with this interpreter, whatever is installed or first on the path.
HERE = Path(workflow.basedir)
sys.path.insert(0, str(HERE / "src"))
os.environ.update(
    PYTHONPATH=os.pathsep.join([str(HERE / "src"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
)

from transferability.cluster.slurm import Request, check_cluster, refuse_live_jobs
from transferability.errors import InputError
from transferability.cluster.hours import hours_table, spent_hours
from transferability.study.jobs import evaluation_minutes, memory_mb, packed_card, rule_job, training_minutes
from transferability.study.params import (
    canonical,
    check_params,
    check_target,
    described,
    members_of,
    named,
    schedule_of,
    study_figures,
    study_networks,
    task_names,
    used_groups,
)
from transferability.networks.notation import SIDES
from transferability.provenance import fingerprint
from transferability.cluster.records import (
    handed_over,
    handed_over_logs,
    mark_unfinished,
    note_handed_over,
    settle_handed_over,
    unrecorded_files,
)


configfile: "params.yaml" if Path("params.yaml").exists() else str(HERE / "params.yaml")


report: "workflow/report/workflow.rst"


try:
    check_params(config, HERE / "workflow/schemas/params.schema.yaml")
    # Snakemake tells its targets only after the rules are read; the command line has them now.
    for word in sys.argv[1:]:
        check_target(word, config)
except InputError as error:
    raise WorkflowError(str(error))


STUDY = config["study"]
NETWORKS = {split: study_networks(config, split) for split in STUDY["split"]}
RUNS = [
    f"models/{{dataset}}/{{architecture}}/{split}/seed{seed}/{network}/run.json"
    for split, networks in NETWORKS.items()
    for seed in STUDY["seed"]
    for network in networks
]
FIGURES = study_figures(config)
# Those that the original's published numbers give; its networks are not published with them.
PUBLISHED_FIGURES = ["figure2", "figure3", "effects", "volume"]


wildcard_constraints:
    dataset=named(config["datasets"]),
    split=named(config["splits"]),
    architecture=named(config["architectures"]),
    seed=r"0|[1-9]\d*",
    source=r"[AB]|R(?=\d[AB][/.])",
    n=r"[1-7]",
    target="[AB]",
    plus=r"\+?",
    k="[1-6]",


# Seconds each, and all in one place: a job on a cluster costs as much to start.
localrules:
    all,
    tables,
    yosinski2014,
    summary,
    figures,
    yosinski2014_figures,
    page,
    yosinski2014_page,


include: "workflow/rules/data.smk"
include: "workflow/rules/networks.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/figures.smk"


# A file without its record would pass for up to date, such as results that git or a partial pull has brought.
if workflow.is_main_process:
    OUTPUTS = [output for rule in workflow.rules for output in rule.output]
    ORPHANS = handed_over()
    for path in unrecorded_files(["data", "models", "results"]):
        if path in ORPHANS:
            mark_unfinished(path)
        elif any(output.match(path) for output in OUTPUTS):
            raise WorkflowError(
                f"{path}: there is no record of what it was made from; "
                "get the records with `dvc pull .snakemake/metadata`, or delete the file to have it made anew"
            )


# On a cluster, jobs and the snakemake that looks after them may outlive each other.
onstart:
    settings, jobs = workflow.executor_settings, [job for job in workflow.dag.needrun_jobs() if not job.is_local]
    on_slurm = type(settings).__module__ == "snakemake_executor_plugin_slurm"
    try:
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
    except InputError as error:
        raise WorkflowError(str(error))


onsuccess:
    if handed_over():
        settle_handed_over()
        runs = (Path(run) for run in expand(RUNS, dataset=STUDY["dataset"], architecture=STUDY["architecture"]))
        spent = spent_hours(run for run in runs if run.exists())
        if spent:
            logger.info(f"What the study's networks have cost:\n{hours_table(spent)}")


onerror:
    settle_handed_over()


rule all:
    default_target: True
    input:
        "results/summary/metrics.json",
        expand(
            "results/{dataset}/{architecture}/{file}",
            dataset=STUDY["dataset"],
            architecture=STUDY["architecture"],
            file=["networks.csv", "effects.csv", "report.html"],
        ),
        expand(
            "models/{dataset}/{architecture}/{split}/seed{seed}/{network}/model.onnx",
            dataset=STUDY["dataset"],
            architecture=STUDY["architecture"],
            split=STUDY["split"],
            seed=STUDY["seed"],
            network=config["export"],
        ),
