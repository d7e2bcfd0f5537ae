# Requires models/.../{network}/ and the data they were trained on.
# Gives results/.../{network}.json, of probes too, and their features/, which are derived and may go; the tables
# networks.csv, learning.csv, pairs.csv, effects.csv, drops.csv and coverage.csv, and model.onnx for the networks of
# `export`; what figures show of chosen cuts, tsne.csv, shows.npz, invariance.csv and retrieval.csv; and the tables of
# results/yosinski2014/caffenet/, which require nothing.


rule evaluate:
    input:
        split="data/splits/{dataset}/{split}.json",
        models="models/{dataset}/{architecture}/{split}/seed{seed}/{network}/model.safetensors",
        histories="models/{dataset}/{architecture}/{split}/seed{seed}/{network}/history.csv",
    output:
        "results/{dataset}/{architecture}/{split}/seed{seed}/{network}.json",
    log:
        "logs/{dataset}/{architecture}/{split}/seed{seed}/evaluate-{network}.log",
    wildcard_constraints:
        network=r"base[AB]|[ABP][1-9]\d?[AB]-k[1-9]\d?",
    threads: 1
    resources:
        device=config["device"],
        gpu=int(config["device"] == "cuda"),
        mem_mb=lambda wildcards, attempt, rulename: attempt * memory_mb(config, rule_job(config, rulename, wildcards)),
        runtime=lambda wildcards, attempt, rulename: attempt
        * evaluation_minutes(config, rule_job(config, rulename, wildcards)),
    params:
        code=lambda wildcards: fingerprint("evaluation.metrics", library(wildcards)),
    shell:
        """
        python -m transferability.evaluation.metrics \
            --split {input.split:q} \
            --packed data/packed/{wildcards.dataset:q} \
            --device {resources.device:q} \
            --threads {threads} \
            --models {input.models:q} \
            --metrics {output:q} \
            2>{log:q}
        """


use rule evaluate as evaluate_curve with:
    input:
        split="data/splits/{dataset}/{split}.json",
        models=expand(
            "models/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{{source}}{n}{{target}}{{plus}}/model.safetensors",
            n=N,
        ),
        histories=expand(
            "models/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{{source}}{n}{{target}}{{plus}}/history.csv",
            n=N,
        ),
    output:
        expand(
            "results/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{{source}}{n}{{target}}{{plus}}.json",
            n=N,
        ),
    log:
        expand(
            "logs/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/evaluate-{{source}}{n}{{target}}{{plus}}.log",
            n=CURVE,
        ),


# Features are no output: they are derived, large and kept by their own cards, as states are by training.
rule probe:
    input:
        split="data/splits/{dataset}/{split}.json",
        model=probed_weights,
    output:
        expand(
            "results/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{{source}}{n}{{target}}-{{probe}}.json",
            n=N,
        ),
    log:
        expand(
            "logs/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{{source}}{n}{{target}}-{{probe}}.log",
            n=CURVE,
        ),
    threads: 1
    resources:
        device=config["device"],
        gpu=int(config["device"] == "cuda"),
        mem_mb=lambda wildcards, attempt, rulename: attempt * probing_mb(config, rule_job(config, rulename, wildcards)),
        runtime=lambda wildcards, attempt, rulename: attempt
        * probing_minutes(config, rule_job(config, rulename, wildcards)),
    params:
        shape=lambda wildcards: image_shape(config["datasets"][wildcards.dataset]),
        cuts=N,
        probe=lambda wildcards: canonical(probe_section(config, wildcards.probe) | {"seed": int(wildcards.seed)}),
        pooling=lambda wildcards: canonical(pooling_section(config, wildcards.probe)),
        features="{source}n{target}",
        code=lambda wildcards: fingerprint("evaluation.probing", library(wildcards)),
    shell:
        """
        python -m transferability.evaluation.probing \
            --split {input.split:q} \
            --packed data/packed/{wildcards.dataset:q} \
            --model {input.model:q} \
            --shape {params.shape} \
            --cuts {params.cuts} \
            --probe {params.probe:q} \
            --pooling {params.pooling:q} \
            --features features/{wildcards.dataset:q}/{wildcards.architecture:q}/{wildcards.split:q}/seed{wildcards.seed}/{params.features} \
            --device {resources.device:q} \
            --threads {threads} \
            --metrics {output:q} \
            2>{log:q}
        """


# Each fine-tuned network has features of its own.
use rule probe as probe_tuned with:
    input:
        split="data/splits/{dataset}/{split}.json",
        model="models/{dataset}/{architecture}/{split}/seed{seed}/{source}{n}{target}+/model.safetensors",
    output:
        "results/{dataset}/{architecture}/{split}/seed{seed}/{source}{n}{target}+-{probe}.json",
    log:
        "logs/{dataset}/{architecture}/{split}/seed{seed}/{source}{n}{target}+-{probe}.log",
    params:
        cuts="{n}",
        features="{source}{n}{target}+",


rule tsne:
    input:
        split=f"data/splits/{{dataset}}/{STUDY['split'][0]}.json",
        models=looked_at("tsne"),
    output:
        "results/{dataset}/{architecture}/tsne.csv",
    log:
        "logs/{dataset}/{architecture}/tsne.log",
    threads: 1
    resources:
        device=config["device"],
        gpu=int(config["device"] == "cuda"),
        mem_mb=lambda wildcards, attempt: attempt * 4000,
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        shape=lambda wildcards: image_shape(config["datasets"][wildcards.dataset]),
        cuts=lambda wildcards: [cut.name for cut in looked_cuts(config, "tsne", wildcards.architecture)],
        options=lambda wildcards: canonical(look_options(config, "tsne", wildcards.dataset)),
        code=lambda wildcards: fingerprint("evaluation.embedding", library(wildcards)),
    shell:
        """
        python -m transferability.evaluation.embedding \
            --split {input.split:q} \
            --packed data/packed/{wildcards.dataset:q} \
            --cuts {params.cuts:q} \
            --models {input.models:q} \
            --shape {params.shape} \
            --options <(printf %s {params.options:q}) \
            --device {resources.device:q} \
            --threads {threads} \
            --into {output:q} \
            2>{log:q}
        """


rule shows:
    input:
        split=f"data/splits/{{dataset}}/{STUDY['split'][0]}.json",
        models=looked_at("shows"),
    output:
        shows="results/{dataset}/{architecture}/shows.npz",
        invariance="results/{dataset}/{architecture}/invariance.csv",
    log:
        "logs/{dataset}/{architecture}/shows.log",
    threads: 1
    resources:
        device=config["device"],
        gpu=int(config["device"] == "cuda"),
        mem_mb=lambda wildcards, attempt: attempt * 6000,
        runtime=lambda wildcards, attempt: attempt * 120,
    params:
        shape=lambda wildcards: image_shape(config["datasets"][wildcards.dataset]),
        cuts=lambda wildcards: [cut.name for cut in looked_cuts(config, "shows", wildcards.architecture)],
        units=config.get("shows", {}).get("units", 4),
        images=config.get("shows", {}).get("images", 500),
        code=lambda wildcards: fingerprint("evaluation.showing", library(wildcards)),
    shell:
        """
        python -m transferability.evaluation.showing \
            --split {input.split:q} \
            --packed data/packed/{wildcards.dataset:q} \
            --cuts {params.cuts:q} \
            --models {input.models:q} \
            --shape {params.shape} \
            --units {params.units} \
            --images {params.images} \
            --device {resources.device:q} \
            --threads {threads} \
            --shows {output.shows:q} \
            --invariance {output.invariance:q} \
            2>{log:q}
        """


rule retrieval:
    input:
        split=f"data/splits/{{dataset}}/{STUDY['split'][0]}.json",
        models=looked_at("retrieval"),
    output:
        "results/{dataset}/{architecture}/retrieval.csv",
    log:
        "logs/{dataset}/{architecture}/retrieval.log",
    threads: 1
    resources:
        device=config["device"],
        gpu=int(config["device"] == "cuda"),
        mem_mb=lambda wildcards, attempt: attempt * 6000,
        runtime=lambda wildcards, attempt: attempt * 120,
    params:
        shape=lambda wildcards: image_shape(config["datasets"][wildcards.dataset]),
        cuts=lambda wildcards: [cut.name for cut in looked_cuts(config, "retrieval", wildcards.architecture)],
        options=lambda wildcards: canonical(look_options(config, "retrieval", wildcards.dataset)),
        code=lambda wildcards: fingerprint("evaluation.retrieval", library(wildcards)),
    shell:
        """
        python -m transferability.evaluation.retrieval \
            --split {input.split:q} \
            --packed data/packed/{wildcards.dataset:q} \
            --cuts {params.cuts:q} \
            --models {input.models:q} \
            --shape {params.shape} \
            --options {params.options:q} \
            --device {resources.device:q} \
            --threads {threads} \
            --into {output:q} \
            2>{log:q}
        """


rule tables:
    input:
        splits=expand("data/splits/{{dataset}}/{split}.json", split=STUDY["split"]),
        metrics=each_network("results/{dataset}/{architecture}/{split}/seed{seed}/{network}.json", grid=NETWORKS),
    output:
        networks=in_report("results/{dataset}/{architecture}/networks.csv", "networks"),
        learning=in_report("results/{dataset}/{architecture}/learning.csv", "learning"),
        pairs=in_report("results/{dataset}/{architecture}/pairs.csv", "pairs"),
        effects=in_report("results/{dataset}/{architecture}/effects.csv", "effects"),
        drops=in_report("results/{dataset}/{architecture}/drops.csv", "drops"),
        coverage=in_report("results/{dataset}/{architecture}/coverage.csv", "coverage"),
    log:
        "logs/{dataset}/{architecture}/tables.log",
    params:
        grid=lambda wildcards: canonical(
            {
                "seed": sorted(STUDY["seed"]),
                "networks": {
                    split: [network.name for network in in_order(networks)]
                    for split, networks in NETWORKS[wildcards.architecture].items()
                },
            }
        ),
        drop=config["analysis"]["drop"],
        unbalanced=canonical(config["analysis"]["unbalanced"]),
        primary=canonical(config["analysis"].get("primary")),
        code=fingerprint("analysis.gathering"),
    shell:
        """
        python -m transferability.analysis.gathering \
            --results results/{wildcards.dataset:q}/{wildcards.architecture:q} \
            --splits data/splits/{wildcards.dataset:q} \
            --grid <(printf %s {params.grid:q}) \
            --drop {params.drop} \
            --unbalanced {params.unbalanced} \
            --primary {params.primary:q} \
            --networks {output.networks:q} \
            --learning {output.learning:q} \
            --pairs {output.pairs:q} \
            --effects {output.effects:q} \
            --drops {output.drops:q} \
            --coverage {output.coverage:q} \
            2>{log:q}
        """


rule yosinski2014:
    output:
        networks=in_report("results/yosinski2014/caffenet/networks.csv", "networks"),
        pairs=in_report("results/yosinski2014/caffenet/pairs.csv", "pairs"),
        effects=in_report("results/yosinski2014/caffenet/effects.csv", "effects"),
        drops=in_report("results/yosinski2014/caffenet/drops.csv", "drops"),
        coverage=in_report("results/yosinski2014/caffenet/coverage.csv", "coverage"),
    log:
        "logs/yosinski2014/caffenet/tables.log",
    params:
        drop=config["analysis"]["drop"],
        unbalanced=canonical(config["analysis"]["unbalanced"]),
        code=fingerprint("analysis.yosinski2014"),
    shell:
        """
        python -m transferability.analysis.yosinski2014 \
            --drop {params.drop} \
            --unbalanced {params.unbalanced} \
            --networks {output.networks:q} \
            --pairs {output.pairs:q} \
            --effects {output.effects:q} \
            --drops {output.drops:q} \
            --coverage {output.coverage:q} \
            2>{log:q}
        """


rule summary:
    input:
        expand(
            "results/{dataset}/{architecture}/{table}.csv",
            dataset=STUDY["dataset"],
            architecture=STUDY["architecture"],
            table=["networks", "effects"],
        ),
    output:
        metrics="results/summary/metrics.json",
        accuracy="results/summary/accuracy.csv",
        effects="results/summary/effects.csv",
    log:
        "logs/summary.log",
    params:
        tables=expand("results/{dataset}/{architecture}", dataset=STUDY["dataset"], architecture=STUDY["architecture"]),
        code=fingerprint("analysis.summary"),
    shell:
        """
        python -m transferability.analysis.summary \
            --tables {params.tables:q} \
            --metrics {output.metrics:q} \
            --accuracy {output.accuracy:q} \
            --effects {output.effects:q} \
            2>{log:q}
        """


rule export:
    input:
        split="data/splits/{dataset}/{split}.json",
        models=lambda wildcards: expand(
            "models/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{network}/model.safetensors",
            network=exported_networks(wildcards),
        ),
        metrics=lambda wildcards: expand(
            "results/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{network}.json",
            network=exported_networks(wildcards),
        ),
    output:
        models=expand(
            "models/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{network}/model.onnx",
            network=config["export"],
        ),
        checks="models/{dataset}/{architecture}/{split}/seed{seed}/exports.json",
    log:
        "logs/{dataset}/{architecture}/{split}/seed{seed}/export.log",
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt, rulename: attempt * memory_mb(config, rule_job(config, rulename, wildcards)),
        runtime=lambda wildcards, attempt, rulename: attempt
        * evaluation_minutes(config, rule_job(config, rulename, wildcards)),
    params:
        code=lambda wildcards: fingerprint("evaluation.export", library(wildcards)),
    shell:
        """
        python -m transferability.evaluation.export \
            --split {input.split:q} \
            --packed data/packed/{wildcards.dataset:q} \
            --models models/{wildcards.dataset:q}/{wildcards.architecture:q}/{wildcards.split:q}/seed{wildcards.seed} \
            --metrics {input.metrics:q} \
            --into {output.models:q} \
            --checks {output.checks:q} \
            2>{log:q}
        """
