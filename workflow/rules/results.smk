# Requires models/.../{network}/ and the data they were trained on.
# Gives results/.../{network}.json, of probes and scores too, and their features/, which are derived and may go; the tables
# networks.csv, learning.csv, pairs.csv, effects.csv, drops.csv, coverage.csv, scores.csv and criterion.csv; draws.csv and
# draw_effects.csv of probes, published.csv where the params have `published`, and sources.csv where `analysis` has
# `sources`; model.onnx for the networks of `export`; what figures show of chosen cuts, cka.csv, tsne.csv, shows.npz,
# invariance.csv and retrieval.csv; strategies.csv and advice.json where the params have recipes; and the tables of
# results/yosinski2014/caffenet/, which require nothing; and results/summary/.

from transferability.provenance import fingerprint
from transferability.study.architectures import image_shape
from transferability.study.grid import cuts
from transferability.study.jobs import rule_job
from transferability.study.looks import look_options, looked_cuts
from transferability.study.probes import pooling_section, probe_reader, probe_section
from transferability.study.scores import score_options
from transferability.study.sections import canonical
from transferability.study.work import evaluation_minutes, memory_mb, probing_mb, probing_minutes
from transferability.study.work import scoring_mb, scoring_minutes


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
        network=rf"(?:base[AB]|[ABP][1-9]\d?[AB]-k[1-9]\d?){RECIPE}",
    threads: 1
    resources:
        device=config["device"],
        gpu=int(config["device"] == "cuda"),
        mem_mb=lambda wildcards, attempt, rulename: attempt * memory_mb(config, rule_job(config, rulename, wildcards)),
        runtime=lambda wildcards, attempt, rulename: attempt
        * evaluation_minutes(config, rule_job(config, rulename, wildcards)),
    params:
        code=lambda wildcards: fingerprint("evaluation.evaluating", library(wildcards)),
    shell:
        """
        python -m transferability.evaluation.evaluating \
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
            "models/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{{source}}{n}{{target}}{{plus}}{{recipe}}/model.safetensors",
            n=N,
        ),
        histories=expand(
            "models/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{{source}}{n}{{target}}{{plus}}{{recipe}}/history.csv",
            n=N,
        ),
    output:
        expand(
            "results/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{{source}}{n}{{target}}{{plus}}{{recipe}}.json",
            n=N,
        ),
    log:
        expand(
            "logs/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/evaluate-{{source}}{n}{{target}}{{plus}}{{recipe}}.log",
            n=CURVE,
        ),


# Features are no output: they are derived, large and kept by their own cards, as states are by training.
rule probe:
    input:
        split="data/splits/{dataset}/{split}.json",
        model=read_weights("probe"),
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
        probe=lambda wildcards: canonical(probe_section(config, wildcards.probe) | {"seed": int(wildcards.seed)}),
        pooling=lambda wildcards: canonical(pooling_section(config, wildcards.probe)),
        features="{source}n{target}",
        reader=lambda wildcards: probe_reader(config, wildcards.probe),
        code=lambda wildcards: fingerprint(f"evaluation.{probe_reader(config, wildcards.probe)}", library(wildcards)),
    shell:
        """
        python -m transferability.evaluation.{params.reader} \
            --split {input.split:q} \
            --packed data/packed/{wildcards.dataset:q} \
            --model {input.model:q} \
            --shape {params.shape} \
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
        features="{source}{n}{target}+",


rule scores:
    input:
        split="data/splits/{dataset}/{split}.json",
        model=read_weights("scores"),
    output:
        expand(
            "results/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{{source}}{n}{{target}}-scores.json",
            n=N,
        ),
    log:
        expand(
            "logs/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{{source}}{n}{{target}}-scores.log",
            n=CURVE,
        ),
    threads: 1
    resources:
        device=config["device"],
        gpu=int(config["device"] == "cuda"),
        mem_mb=lambda wildcards, attempt, rulename: attempt * scoring_mb(config, rule_job(config, rulename, wildcards)),
        runtime=lambda wildcards, attempt, rulename: attempt
        * scoring_minutes(config, rule_job(config, rulename, wildcards)),
    params:
        shape=lambda wildcards: image_shape(config["datasets"][wildcards.dataset]),
        pooling=lambda wildcards: canonical(score_options(config)["pooling"]),
        permutations=lambda wildcards: score_options(config)["permutations"],
        code=lambda wildcards: fingerprint("evaluation.scoring", library(wildcards)),
    shell:
        """
        python -m transferability.evaluation.scoring \
            --split {input.split:q} \
            --packed data/packed/{wildcards.dataset:q} \
            --model {input.model:q} \
            --shape {params.shape} \
            --pooling {params.pooling:q} \
            --permutations {params.permutations} \
            --seed {wildcards.seed} \
            --features features/{wildcards.dataset:q}/{wildcards.architecture:q}/{wildcards.split:q}/seed{wildcards.seed}/{wildcards.source}n{wildcards.target} \
            --device {resources.device:q} \
            --threads {threads} \
            --scores {output:q} \
            2>{log:q}
        """


rule score_table:
    input:
        splits=expand("data/splits/{{dataset}}/{split}.json", split=STUDY["split"]),
        scores=each_network("results/{dataset}/{architecture}/{split}/seed{seed}/{network}.json", grid=SCORED),
    output:
        in_report("results/{dataset}/{architecture}/scores.csv", "scores"),
    log:
        "logs/{dataset}/{architecture}/scores.log",
    params:
        grid=lambda wildcards: canonical(named_grid(SCORED[wildcards.architecture])),
        code=fingerprint("analysis.scores"),
    shell:
        """
        python -m transferability.analysis.scores \
            --results results/{wildcards.dataset:q}/{wildcards.architecture:q} \
            --splits data/splits/{wildcards.dataset:q} \
            --grid <(printf %s {params.grid:q}) \
            --into {output:q} \
            2>{log:q}
        """


rule criterion:
    input:
        scores="results/{dataset}/{architecture}/scores.csv",
        networks="results/{dataset}/{architecture}/networks.csv",
    output:
        in_report("results/{dataset}/{architecture}/criterion.csv", "criterion"),
    log:
        "logs/{dataset}/{architecture}/criterion.log",
    params:
        read_out=config["figures"]["read_out"],
        code=fingerprint("analysis.criterion"),
    shell:
        """
        python -m transferability.analysis.criterion \
            --scores {input.scores:q} \
            --networks {input.networks:q} \
            --read-out {params.read_out:q} \
            --into {output:q} \
            2>{log:q}
        """


rule sources:
    input:
        networks="results/{dataset}/{architecture}/networks.csv",
        splits=expand("data/splits/{{dataset}}/{split}.json", split=config["analysis"].get("sources", [])),
    output:
        in_report("results/{dataset}/{architecture}/sources.csv", "sources"),
    log:
        "logs/{dataset}/{architecture}/sources.log",
    params:
        names=canonical(config["analysis"].get("sources", [])),
        code=fingerprint("analysis.sources"),
    shell:
        """
        python -m transferability.analysis.sources \
            --networks {input.networks:q} \
            --splits data/splits/{wildcards.dataset:q} \
            --names {params.names:q} \
            --into {output:q} \
            2>{log:q}
        """


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
        module="embedding",
        options=lambda wildcards: canonical(look_options(config, "tsne", wildcards.dataset)),
        code=lambda wildcards: fingerprint("evaluation.embedding", library(wildcards)),
    shell:
        """
        python -m transferability.evaluation.{params.module} \
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


use rule tsne as cka with:
    input:
        split=f"data/splits/{{dataset}}/{STUDY['split'][0]}.json",
        models=looked_at("cka"),
    output:
        "results/{dataset}/{architecture}/cka.csv",
    log:
        "logs/{dataset}/{architecture}/cka.log",
    params:
        module="comparing",
        cuts=lambda wildcards: [cut.name for cut in looked_cuts(config, "cka", wildcards.architecture)],
        options=lambda wildcards: canonical(look_options(config, "cka", wildcards.dataset)),
        code=lambda wildcards: fingerprint("evaluation.comparing", library(wildcards)),


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
        grid=lambda wildcards: canonical(named_grid(NETWORKS[wildcards.architecture])),
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


rule draws:
    input:
        metrics=each_network("results/{dataset}/{architecture}/{split}/seed{seed}/{network}.json", grid=PROBED),
    output:
        draws=in_report("results/{dataset}/{architecture}/draws.csv", "draws"),
        effects=in_report("results/{dataset}/{architecture}/draw_effects.csv", "draw_effects"),
    log:
        "logs/{dataset}/{architecture}/draws.log",
    params:
        grid=lambda wildcards: canonical(named_grid(PROBED[wildcards.architecture])),
        code=fingerprint("analysis.draws"),
    shell:
        """
        python -m transferability.analysis.draws \
            --results results/{wildcards.dataset:q}/{wildcards.architecture:q} \
            --grid <(printf %s {params.grid:q}) \
            --draws {output.draws:q} \
            --effects {output.effects:q} \
            2>{log:q}
        """


rule published:
    input:
        networks="results/{dataset}/{architecture}/networks.csv",
        retrieval="results/{dataset}/{architecture}/retrieval.csv" if "retrieval" in config else [],
    output:
        in_report("results/{dataset}/{architecture}/published.csv", "published"),
    log:
        "logs/{dataset}/{architecture}/published.log",
    params:
        published=lambda wildcards: canonical(config["published"]),
        retrieval="--retrieval" if "retrieval" in config else "",
        code=fingerprint("analysis.published"),
    shell:
        """
        python -m transferability.analysis.published \
            --published <(printf %s {params.published:q}) \
            --networks {input.networks:q} \
            {params.retrieval} {input.retrieval:q} \
            --into {output:q} \
            2>{log:q}
        """


rule strategies:
    input:
        networks="results/{dataset}/{architecture}/networks.csv",
        runs=each_network("models/{dataset}/{architecture}/{split}/seed{seed}/{network}/run.json"),
        probes=each_network("results/{dataset}/{architecture}/{split}/seed{seed}/{network}.json", grid=PROBED),
    output:
        strategies=in_report("results/{dataset}/{architecture}/strategies.csv", "strategies"),
        advice="results/{dataset}/{architecture}/advice.json",
    log:
        "logs/{dataset}/{architecture}/strategies.log",
    params:
        code=fingerprint("analysis.strategies"),
    shell:
        """
        python -m transferability.analysis.strategies \
            --networks {input.networks:q} \
            --results results/{wildcards.dataset:q}/{wildcards.architecture:q} \
            --models models/{wildcards.dataset:q}/{wildcards.architecture:q} \
            --strategies {output.strategies:q} \
            --advice {output.advice:q} \
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


rule choice:
    input:
        tables=expand(
            "results/{dataset}/{architecture}/{table}.csv",
            dataset=STUDY["dataset"],
            architecture=STUDY["architecture"],
            table=["scores", "networks"],
        ),
    output:
        choice="results/summary/choice.csv",
        candidates="results/summary/candidates.csv",
    log:
        "logs/choice.log",
    params:
        tables=expand("results/{dataset}/{architecture}", dataset=STUDY["dataset"], architecture=STUDY["architecture"]),
        code=fingerprint("analysis.choice"),
    shell:
        """
        python -m transferability.analysis.choice \
            --tables {params.tables:q} \
            --results results \
            --models models \
            --choice {output.choice:q} \
            --candidates {output.candidates:q} \
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
        # A curve's best is looked for among these; they are no option of the command, which reads the names of metrics.
        cuts=lambda wildcards: cuts(config, wildcards.architecture),
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
