# Requires the params' datasets and splits. Gives data/packed/{dataset}/ and data/splits/{dataset}/{split}.json.

from transferability.provenance import fingerprint
from transferability.study.sections import canonical, described, used_groups
from transferability.study.sizes import packed_card


rule pack:
    output:
        images="data/packed/{dataset}/images.npy",
        index="data/packed/{dataset}/index.csv",
        card="data/packed/{dataset}/card.json",
    log:
        "logs/{dataset}/pack.log",
    priority: 4
    # All cores of a machine that has fewer.
    threads: 16
    resources:
        mem_mb=lambda wildcards, attempt, threads: attempt * (2000 + 500 * threads),
        # What a job that is ended has packed is kept.
        runtime=lambda wildcards, attempt: attempt * 60,
        # Where the images lie is this machine's, and no reason to make anything anew.
        source=lambda wildcards: canonical(config["datasets"][wildcards.dataset]["images"]),
    params:
        description=lambda wildcards: canonical(
            described(
                config["datasets"][wildcards.dataset]["images"],
                (packed_card(wildcards.dataset) or {}).get("source"),
            )
        ),
        code=fingerprint("data.packing"),
    # Files, because the thousands of classes that these may name are more than the system takes as an argument.
    shell:
        """
        python -m transferability.data.packing \
            --source <(printf %s {resources.source:q}) \
            --description <(printf %s {params.description:q}) \
            --threads {threads} \
            --splits data/splits/{wildcards.dataset:q} \
            --into data/packed/{wildcards.dataset:q} \
            2>{log:q}
        grep '^note: .*left out' {log:q} >&2 || true
        """


rule split:
    input:
        index="data/packed/{dataset}/index.csv",
    output:
        "data/splits/{dataset}/{split}.json",
    log:
        "logs/{dataset}/split-{split}.log",
    priority: 4
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 4000,
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        definition=lambda wildcards: canonical(config["splits"][wildcards.split]),
        groups=lambda wildcards: canonical(
            used_groups(config["datasets"][wildcards.dataset], config["splits"][wildcards.split])
        ),
        parts=lambda wildcards: canonical(config["datasets"][wildcards.dataset]["parts"]),
        partial=lambda wildcards: (
            "--partial" if isinstance(config["datasets"][wildcards.dataset].get("groups"), str) else ""
        ),
        code=fingerprint("data.splits"),
    # Files, because the thousands of classes that these may name are more than the system takes as an argument.
    shell:
        """
        python -m transferability.data.splits \
            --packed data/packed/{wildcards.dataset:q} \
            --definition <(printf %s {params.definition:q}) \
            --groups <(printf %s {params.groups:q}) {params.partial} \
            --parts <(printf %s {params.parts:q}) \
            --into {output:q} \
            2>{log:q}
        grep '^note: ' {log:q} >&2 || true
        """
