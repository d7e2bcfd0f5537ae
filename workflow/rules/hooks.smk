# Requires all rules. Refuses files that no record tells of, before the plan; looks after what a cluster was handed.

from snakemake.logging import logger

from transferability.cluster.hooks import after_error, after_success, before_jobs, failure_sentences, remove_features
from transferability.cluster.hooks import LockWatch, deletes_temporary, lift_rate, settle_files
from transferability.data.listing import changed_since_packing
from transferability.errors import InputError
from transferability.study.machine import check_machine, missing_images
from transferability.study.sizes import packed_card


# Seconds each, and all in one place: a job on a cluster costs as much to start.
localrules:
    all,
    tables,
    draws,
    published,
    yosinski2014,
    summary,
    figures,
    yosinski2014_figures,
    page,
    yosinski2014_page,


# Images of a folder up to which each start looks whether they are those that were packed: a second for 100,000.
LISTED = 200_000


# What probes have read: no output of a rule, so that Snakemake removes none of it.
FEATURES = [
    Path("features", dataset, architecture) for dataset in STUDY["dataset"] for architecture in STUDY["architecture"]
]


logger.addHandler(LockWatch(say_last))


def image_lines():
    """What is to be said of the study's images before the plan: that they are others than were packed, or not here."""
    for name in STUDY["dataset"]:
        card = packed_card(name)
        if card and card["images"] <= LISTED:
            if line := changed_since_packing(config["datasets"][name]["images"], card, Path("data/packed", name)):
                yield f"datasets.{name}: {line}"
        # Nothing need be packed where a partial pull has brought what follows from it.
        elif not card and (line := missing_images(config, name)):
            yield line


try:
    if workflow.is_main_process:
        for line in settle_files(workflow.rules):
            logger.info(line)
        for line in image_lines():
            logger.warning(line)
        if deletes_temporary(sys.argv):
            remove_features(FEATURES)
except InputError as error:
    raise refusal(error)


onstart:
    try:
        needed = list(workflow.dag.needrun_jobs())
        packed = {job.wildcards.dataset for job in needed if job.rule.name == "pack"}
        trains = any(job.resources.get("device") for job in needed)
        check_machine(config, sorted(packed), trains and workflow.local_exec)
        before_jobs(workflow)
        lift_rate(workflow)
    except InputError as error:
        raise refusal(error)


onsuccess:
    if hours := after_success(workflow, [Path("models", network, "run.json") for network in trained_networks()]):
        logger.info(hours)
    if config.get("features") == "temp":
        remove_features(FEATURES)


onerror:
    after_error(workflow)
    # Said in the order that is the reverse of this.
    for sentence in reversed(failure_sentences(workflow)):
        say_last(sentence)
