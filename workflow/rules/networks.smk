# Requires data/packed/{dataset}/ and data/splits/{dataset}/{split}.json.
# Gives models/{dataset}/{architecture}/{split}/seed{seed}/{network}/ with model.safetensors, run.json, history.csv, and
# models/pretrained/{architecture}/ for architectures with pretrained weights.
# A job trains a curve, the networks that differ in n alone, or one network, as `jobs` says; a file is one network's.
# What others wait for comes first, then what takes longest, so that few cores are idle at the end.

from transferability.provenance import fingerprint
from transferability.study.jobs import rule_job, trains_random_alone
from transferability.study.sections import canonical
from transferability.study.work import memory_mb, training_minutes


rule pretrained:
    output:
        model="models/pretrained/{architecture}/model.safetensors",
        run="models/pretrained/{architecture}/run.json",
    log:
        "logs/pretrained/{architecture}.log",
    priority: 4
    resources:
        # Where a file of weights lies is this machine's, and no reason to make anything anew.
        weights=lambda wildcards: config["architectures"][wildcards.architecture]["weights"],
    params:
        architecture=architecture_section,
        code=lambda wildcards: fingerprint("networks.pretrained", library(wildcards)),
    shell:
        """
        python -m transferability.networks.pretrained \
            --architecture {params.architecture:q} \
            --weights {resources.weights:q} \
            --into models/pretrained/{wildcards.architecture:q} \
            2>{log:q}
        """


rule base:
    input:
        split="data/splits/{dataset}/{split}.json",
        pretrained=pretrained_weights,
        source=[],
    output:
        models="models/{dataset}/{architecture}/{split}/seed{seed}/base{target}{recipe}/model.safetensors",
        runs="models/{dataset}/{architecture}/{split}/seed{seed}/base{target}{recipe}/run.json",
        histories="models/{dataset}/{architecture}/{split}/seed{seed}/base{target}{recipe}/history.csv",
    log:
        "logs/{dataset}/{architecture}/{split}/seed{seed}/base{target}{recipe}.log",
    priority: 3
    threads: 1
    resources:
        device=config["device"],
        gpu=int(config["device"] == "cuda"),
        mem_mb=lambda wildcards, attempt, rulename: attempt * memory_mb(config, rule_job(config, rulename, wildcards)),
        runtime=lambda wildcards, attempt, rulename: attempt
        * training_minutes(config, rule_job(config, rulename, wildcards)),
    params:
        architecture=architecture_section,
        augmentation=lambda wildcards: canonical(config["datasets"][wildcards.dataset]["augmentation"]),
        schedule=training_schedule,
        recipe=training_recipe,
        code=lambda wildcards: fingerprint("training.job", library(wildcards)),
    # In place of the shell, which a cluster's signal to end would end at once: the training first saves its state.
    shell:
        """
        exec python -m transferability.training.job \
            --split {input.split:q} \
            --packed data/packed/{wildcards.dataset:q} \
            --architecture {params.architecture:q} \
            --augmentation {params.augmentation:q} \
            --schedule {params.schedule:q} \
            --recipe {params.recipe:q} \
            --seed {wildcards.seed} \
            --device {resources.device:q} \
            --threads {threads} \
            --states states/{wildcards.dataset:q}/{wildcards.architecture:q}/{wildcards.split:q}/seed{wildcards.seed} \
            --pretrained {input.pretrained:q} \
            --source {input.source:q} \
            --models {output.models:q} \
            2>{log:q}
        """


use rule base as curve with:
    input:
        split="data/splits/{dataset}/{split}.json",
        pretrained=pretrained_weights,
        source=source_weights,
    output:
        models=expand(
            "models/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{{source}}{n}{{target}}{{plus}}{{recipe}}/model.safetensors",
            n=N,
        ),
        runs=expand(
            "models/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{{source}}{n}{{target}}{{plus}}{{recipe}}/run.json",
            n=N,
        ),
        histories=expand(
            "models/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{{source}}{n}{{target}}{{plus}}{{recipe}}/history.csv",
            n=N,
        ),
    log:
        expand(
            "logs/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{{source}}{n}{{target}}{{plus}}{{recipe}}.log",
            n=CURVE,
        ),
    wildcard_constraints:
        source=CURVE_SOURCE,
    priority: lambda wildcards: 2 if wildcards.plus else 1


# Probes read the one random network that is cut last: where nothing else needs random networks, each is a job.
if trains_random_alone(config):

    use rule base as random with:
        output:
            models="models/{dataset}/{architecture}/{split}/seed{seed}/R{n}{target}{recipe}/model.safetensors",
            runs="models/{dataset}/{architecture}/{split}/seed{seed}/R{n}{target}{recipe}/run.json",
            histories="models/{dataset}/{architecture}/{split}/seed{seed}/R{n}{target}{recipe}/history.csv",
        log:
            "logs/{dataset}/{architecture}/{split}/seed{seed}/R{n}{target}{recipe}.log",
        priority: 1
        params:
            schedule=lambda wildcards: training_schedule(wildcards, "transferred"),


use rule base as preserved with:
    input:
        split="data/splits/{dataset}/{split}.json",
        pretrained=pretrained_weights,
        source=source_weights,
    output:
        models="models/{dataset}/{architecture}/{split}/seed{seed}/{source}{n}{target}-k{k}{recipe}/model.safetensors",
        runs="models/{dataset}/{architecture}/{split}/seed{seed}/{source}{n}{target}-k{k}{recipe}/run.json",
        histories="models/{dataset}/{architecture}/{split}/seed{seed}/{source}{n}{target}-k{k}{recipe}/history.csv",
    log:
        "logs/{dataset}/{architecture}/{split}/seed{seed}/{source}{n}{target}-k{k}{recipe}.log",
    wildcard_constraints:
        source="[ABP]",
    priority: 1
