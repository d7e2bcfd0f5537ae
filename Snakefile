# How transferable are features? Says what exists; the package in src/ says how it is made.

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import min_version

min_version("9.17")

HERE = Path(workflow.current_basedir)
# Whether another workflow takes this one in, by `module`.
TAKEN_IN = not workflow.modifier.is_main_snakefile()


include: "workflow/rules/surroundings.smk"


from transferability.cluster.hooks import after_error, after_success, before_jobs, failure_sentences, remove_features
from transferability.cluster.hooks import settle_files
from transferability.data.listing import changed_since_packing
from transferability.errors import InputError
from transferability.networks.notation import SIDES
from transferability.provenance import fingerprint
from transferability.study.architectures import describe_architectures, image_shape
from transferability.study.grid import cuts, members_of, study_figures, study_networks
from transferability.study.jobs import rule_job, trains_curves, trains_random_alone
from transferability.study.machine import check_machine, missing_images
from transferability.study.looks import look_options, looked_cuts, looked_weights
from transferability.study.params import check_networks, check_params
from transferability.study.probes import pooling_section, probe_reader, probe_section, read_network
from transferability.study.reading import read_config, read_module
from transferability.study.recipes import is_trained, recipe_schedule, recipe_section
from transferability.study.scores import score_options, scored_networks
from transferability.study.sections import canonical, described, named, task_names
from transferability.study.sections import used_groups, weights_content
from transferability.study.sizes import packed_card
from transferability.study.targets import check_target
from transferability.study.work import evaluation_minutes, memory_mb, probing_mb, probing_minutes
from transferability.study.work import scoring_mb, scoring_minutes, training_minutes


report: "workflow/report/workflow.rst"


try:
    # In place of `configfile:`, which would run code that the file may hold, and reads another YAML than DVC writes.
    if TAKEN_IN:
        config = read_module(HERE / "params.yaml", config)
    else:
        read_config(workflow, next(path for path in [Path("params.yaml"), HERE / "params.yaml"] if path.exists()))
    check_params(config, HERE / "workflow/schemas/params.schema.yaml")
    describe_architectures(config)
    check_networks(config)
    # Snakemake tells its targets only after the rules are read; the command line has them now.
    for word in sys.argv[1:] if not TAKEN_IN else ():
        check_target(word, config)
except InputError as error:
    raise refusal(error)


include: "workflow/rules/grid.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/networks.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/hooks.smk"


rule all:
    default_target: not TAKEN_IN
    input:
        SUMMARY,
        expand(STUDY_FILES, dataset=STUDY["dataset"], architecture=STUDY["architecture"]),
        expand(
            SEED_FILES,
            dataset=STUDY["dataset"],
            architecture=STUDY["architecture"],
            split=STUDY["split"],
            seed=STUDY["seed"],
        ),
        lost_metrics,
