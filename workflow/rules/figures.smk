# Requires the tables of results/{dataset}/{architecture}/, and for filters the base networks.
# Gives results/{dataset}/{architecture}/figures/ and results/{dataset}/{architecture}/report.html.
# A job draws all figures of a study: most of the time of one goes into starting.

from transferability.provenance import fingerprint
from transferability.study.sections import canonical, task_names


rule figures:
    input:
        networks="results/{dataset}/{architecture}/networks.csv",
        pairs="results/{dataset}/{architecture}/pairs.csv",
        effects="results/{dataset}/{architecture}/effects.csv",
        coverage="results/{dataset}/{architecture}/coverage.csv",
        learning="results/{dataset}/{architecture}/learning.csv",
        models=each_network(
            "models/{dataset}/{architecture}/{split}/seed{seed}/{network}/model.safetensors", bases_alone=True
        ),
        looks=LOOKS,
        choice=CHOICE if "choice" in FIGURES else [],
    output:
        svg=expand("results/{{dataset}}/{{architecture}}/figures/{figure}.svg", figure=FIGURES),
        png=expand("results/{{dataset}}/{{architecture}}/figures/{figure}.png", figure=FIGURES),
        captions="results/{dataset}/{architecture}/figures/captions.json",
    log:
        "logs/{dataset}/{architecture}/figures.log",
    params:
        tables=subpath(input.networks, parent=True),
        models="--models models/{dataset}/{architecture}",
        summary="--summary results/summary" if "choice" in FIGURES else "",
        # A function, because Snakemake would take braces in a name for a wildcard.
        tasks=lambda wildcards: canonical(task_names(config)),
        draw=FIGURES,
        read_out=config["figures"]["read_out"],
        unbalanced=canonical(config["analysis"]["unbalanced"]),
        width=config["figures"]["width"],
        dpi=config["figures"]["dpi"],
        # Figures are found by name, so the fingerprint names them.
        code=fingerprint("figures.drawing", *[f"figures.{name}" for name in FIGURES]),
    shell:
        """
        python -m transferability.figures.drawing \
            --tables {params.tables:q} \
            {params.models} \
            {params.summary} \
            --tasks <(printf %s {params.tasks:q}) \
            --draw {params.draw:q} \
            --read-out {params.read_out:q} \
            --unbalanced {params.unbalanced} \
            --width {params.width} \
            --dpi {params.dpi} \
            --into {params.tables:q}/figures \
            2>{log:q}
        """


use rule figures as yosinski2014_figures with:
    input:
        networks="results/yosinski2014/caffenet/networks.csv",
        pairs="results/yosinski2014/caffenet/pairs.csv",
        effects="results/yosinski2014/caffenet/effects.csv",
        coverage="results/yosinski2014/caffenet/coverage.csv",
    output:
        svg=expand("results/yosinski2014/caffenet/figures/{figure}.svg", figure=PUBLISHED_FIGURES),
        png=expand("results/yosinski2014/caffenet/figures/{figure}.png", figure=PUBLISHED_FIGURES),
        captions="results/yosinski2014/caffenet/figures/captions.json",
    log:
        "logs/yosinski2014/caffenet/figures.log",
    params:
        models="",
        summary="",
        tasks=canonical({"natman": {"A": "natural", "B": "man-made"}}),
        draw=PUBLISHED_FIGURES,
        code=fingerprint("figures.drawing", *[f"figures.{name}" for name in PUBLISHED_FIGURES]),
        read_out="mean_of_ten_best",
        # As the paper's Figure 2: its BnB curve is of A targets only, and hollow here.
        unbalanced="true",


rule page:
    input:
        networks="results/{dataset}/{architecture}/networks.csv",
        pairs="results/{dataset}/{architecture}/pairs.csv",
        effects="results/{dataset}/{architecture}/effects.csv",
        drops="results/{dataset}/{architecture}/drops.csv",
        coverage="results/{dataset}/{architecture}/coverage.csv",
        svg=expand("results/{{dataset}}/{{architecture}}/figures/{figure}.svg", figure=FIGURES),
        captions="results/{dataset}/{architecture}/figures/captions.json",
        splits=expand("data/splits/{{dataset}}/{split}.json", split=STUDY["split"]),
        runs=each_network("models/{dataset}/{architecture}/{split}/seed{seed}/{network}/run.json"),
        exports=(
            expand(
                "models/{{dataset}}/{{architecture}}/{split}/seed{seed}/exports.json",
                split=STUDY["split"],
                seed=STUDY["seed"],
            )
            if config["export"]
            else []
        ),
    output:
        in_report("results/{dataset}/{architecture}/report.html", "page"),
    log:
        "logs/{dataset}/{architecture}/page.log",
    params:
        tables=subpath(input.networks, parent=True),
        files="--models models/{dataset}/{architecture} --splits data/splits/{dataset}",
        read_out=config["figures"]["read_out"],
        code=fingerprint("figures.page"),
    shell:
        """
        python -m transferability.figures.page \
            --tables {params.tables:q} \
            --figures {params.tables:q}/figures \
            {params.files} \
            --read-out {params.read_out:q} \
            --into {output:q} \
            2>{log:q}
        """


use rule page as yosinski2014_page with:
    input:
        networks="results/yosinski2014/caffenet/networks.csv",
        pairs="results/yosinski2014/caffenet/pairs.csv",
        effects="results/yosinski2014/caffenet/effects.csv",
        drops="results/yosinski2014/caffenet/drops.csv",
        coverage="results/yosinski2014/caffenet/coverage.csv",
        svg=expand("results/yosinski2014/caffenet/figures/{figure}.svg", figure=PUBLISHED_FIGURES),
        captions="results/yosinski2014/caffenet/figures/captions.json",
    output:
        in_report("results/yosinski2014/caffenet/report.html", "page"),
    log:
        "logs/yosinski2014/caffenet/page.log",
    params:
        files="",
        read_out="mean_of_ten_best",
