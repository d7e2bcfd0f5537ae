# Requires checked params. Gives the names that the other rules read: the study's networks, and the wildcards of paths.

from transferability.networks.notation import SIDES
from transferability.study.grid import cuts, members_of, study_figures, study_networks
from transferability.study.jobs import rule_job, trains_curves, trains_random_alone
from transferability.study.looks import looked_weights
from transferability.study.probes import read_network
from transferability.study.recipes import is_trained, recipe_schedule, recipe_section
from transferability.study.scores import scored_networks
from transferability.study.sections import canonical, named, weights_content

STUDY = config["study"]
NETWORKS = {
    architecture: {split: study_networks(config, architecture, split) for split in STUDY["split"]}
    for architecture in STUDY["architecture"]
}
# Without probes, which read networks and train none.
TRAINED = {
    architecture: {
        split: [network for network in networks if is_trained(config, network)] for split, networks in splits.items()
    }
    for architecture, splits in NETWORKS.items()
}
PROBED = {
    architecture: {
        split: [network for network in networks if network not in TRAINED[architecture][split]]
        for split, networks in splits.items()
    }
    for architecture, splits in NETWORKS.items()
}
# Of each split the cuts that are scored.
SCORED = {
    architecture: {split: scored_networks(config, architecture, split) for split in STUDY["split"]}
    for architecture in STUDY["architecture"]
}
FIGURES = study_figures(config)
# Those that the original's published numbers give; its networks are not published with them.
PUBLISHED_FIGURES = ["experiment", "figure2", "figure3", "effects", "volume"]

# What a study promises: `all` makes each of these that is missing. The rest are intermediates (images, splits, networks,
# run.json, history.csv, metrics): they may be absent, as after a partial pull, until something has to be made from them.
# One that is gone while its job's others are there is lost, and is made again (`lost_metrics`, and hooks.py).
TABLES = ["networks", "learning", "pairs", "effects", "drops", "coverage"]
# What figures show beside the tables, where the params ask for it.
LOOKS = [
    f"results/{{dataset}}/{{architecture}}/{name}"
    for section, names in {
        "scores": ["scores.csv", "criterion.csv"],
        "cka": ["cka.csv"],
        "tsne": ["tsne.csv"],
        "shows": ["shows.npz", "invariance.csv"],
        "retrieval": ["retrieval.csv"],
        "recipes": ["strategies.csv", "advice.json"],
        "published": ["published.csv"],
    }.items()
    for name in names
    if section in config
]
if any(networks for splits in PROBED.values() for networks in splits.values()):
    LOOKS += [f"results/{{dataset}}/{{architecture}}/{name}.csv" for name in ("draws", "draw_effects")]
if "sources" in config["analysis"]:
    LOOKS.append("results/{dataset}/{architecture}/sources.csv")
CHOICE = [f"results/summary/{name}.csv" for name in ("choice", "candidates") if "scores" in config]
SUMMARY = [*(f"results/summary/{name}" for name in ("metrics.json", "accuracy.csv", "effects.csv")), *CHOICE]
STUDY_FILES = [
    *(f"results/{{dataset}}/{{architecture}}/{table}.csv" for table in TABLES),
    *(f"results/{{dataset}}/{{architecture}}/figures/{name}.{form}" for name in FIGURES for form in ("svg", "png")),
    "results/{dataset}/{architecture}/figures/captions.json",
    "results/{dataset}/{architecture}/report.html",
    *LOOKS,
]
SEED_FILES = [
    *(f"models/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{name}/model.onnx" for name in config["export"]),
    *(["models/{dataset}/{architecture}/{split}/seed{seed}/exports.json"] if config["export"] else []),
]

# What the files of a job that trains a curve have for n, and its log.
N, CURVE = (cuts(config, STUDY["architecture"][0]), "n") if trains_curves(config) else ("{n}", "{n}")
SOURCE = r"[ABP]|R(?=[1-9]\d?[AB][-/.])"
CURVE_SOURCE = "[ABP]" if trains_random_alone(config) else SOURCE


def each_network(pattern, bases_alone=False, grid=TRAINED):
    """An input function: a pattern of files with {split}, {seed} and {network}, for all networks of an architecture."""

    def paths(wildcards):
        return [
            pattern.format(split=split, seed=seed, network=network.name, **wildcards)
            for split, networks in grid[wildcards.architecture].items()
            for seed in STUDY["seed"]
            for network in networks
            if network.source is None or not bases_alone
        ]

    return paths


def in_order(networks):
    """Networks in the one order of tables: in whichever the params name treatments and layers, nothing is made anew."""
    return sorted(
        networks, key=lambda network: (network.source is not None, network.treatment, network.n, network.target)
    )


def trained_networks():
    """The folder of each network that the study trains, below models/; results/ has its metrics likewise."""
    return [
        Path(dataset, architecture, split, f"seed{seed}", network.name)
        for dataset in STUDY["dataset"]
        for architecture, splits in TRAINED.items()
        for split, networks in splits.items()
        for seed in STUDY["seed"]
        for network in networks
    ]


def lost_metrics(wildcards):
    """The metrics that are gone of networks that are there. Beside no other metrics they were left out, not lost."""
    return [
        f"results/{network}.json"
        for network in trained_networks()
        if Path("results", network.parent).is_dir()
        and Path("models", network, "model.safetensors").exists()
        and not Path("results", f"{network}.json").exists()
    ]


def named_grid(grid):
    """A grid of the networks of each split as the commands that gather them get it."""
    return {
        "seed": sorted(STUDY["seed"]),
        "networks": {split: [network.name for network in in_order(networks)] for split, networks in grid.items()},
    }


def looked_at(section):
    """An input function: of each cut that a section such as tsne names, the weights of the network it is of."""

    def paths(wildcards):
        place = f"models/{{dataset}}/{{architecture}}/{STUDY['split'][0]}/seed{STUDY['seed'][0]}"
        return [
            (
                f"{place}/{network.name}/model.safetensors"
                if network
                else "models/pretrained/{architecture}/model.safetensors"
            )
            for network in looked_weights(config, section, wildcards.architecture)
        ]

    return paths


def exported_networks(wildcards):
    """The names of the networks among which those to export are chosen."""
    networks = study_networks(config, wildcards.architecture, wildcards.split)
    return [network.name for network in members_of(config["export"], networks)]


def read_weights(rule):
    """An input function: the weights that a job of a rule reads at the cuts of a curve, or at one."""

    def path(wildcards):
        read, *_ = rule_job(config, rule, wildcards).networks
        network = read_network(read, cuts(config, wildcards.architecture))
        if network is None:
            return "models/pretrained/{architecture}/model.safetensors"
        return f"models/{{dataset}}/{{architecture}}/{{split}}/seed{{seed}}/{network.name}/model.safetensors"

    return path


def library(wildcards):
    """The module that builds an architecture's networks, which a job's code depends on."""
    return f"networks.{config['architectures'][wildcards.architecture].get('library', 'alexnet')}"


def architecture_section(wildcards):
    """An architecture, a file of pretrained weights by its hash: what decides its networks, wherever that lies."""
    name = wildcards.architecture
    return canonical(weights_content(config["architectures"][name], Path(f"models/pretrained/{name}/run.json")))


def pretrained_weights(wildcards):
    """The architecture's pretrained weights, if it has any: its networks see images as these expect them."""
    has_weights = "weights" in config["architectures"][wildcards.architecture]
    return "models/pretrained/{architecture}/model.safetensors" if has_weights else []


def source_weights(wildcards):
    """The weights that a curve's stages are copied from."""
    if wildcards.source in SIDES:
        return "models/{dataset}/{architecture}/{split}/seed{seed}/base{source}/model.safetensors"
    return pretrained_weights(wildcards) if wildcards.source == "P" else []  # random stages


def training_schedule(wildcards, kind=None):
    """The schedule by which a job's networks are trained, those of a source as transferred ones if no `kind` is said."""
    kind = kind or ("transferred" if "source" in wildcards.keys() else "base")
    return canonical(recipe_schedule(config, wildcards.split, kind, wildcards.recipe.removeprefix("-")))


def training_recipe(wildcards):
    """What else the recipe of a job's networks says; nothing for plain ones."""
    return canonical(recipe_section(config, wildcards.recipe.removeprefix("-")))


def in_report(path, content):
    """An output of a study, results/{dataset}/{architecture}/..., that Snakemake's own report shows.

    `content` names its caption, and the table if it is one.
    """
    _, dataset, architecture, _ = path.split("/")
    page = content == "page"
    return report(
        path,
        caption=f"../report/{content}.rst",
        category="Studies" if page else "Tables",
        labels={"data set": dataset, "architecture": architecture} | ({} if page else {"table": content}),
    )


# What the names of networks end in that are trained by a recipe. Snakemake takes an empty constraint for none.
RECIPE = rf"(?:-(?:{named(config['recipes'])}))?" if config.get("recipes") else "(?:)"


wildcard_constraints:
    dataset=named(config["datasets"]),
    split=named(config["splits"]),
    architecture=named(config["architectures"]),
    seed=r"0|[1-9]\d*",
    source=SOURCE,
    n=r"[1-9]\d?",
    target="[AB]",
    plus=r"\+?",
    k=r"[1-9]\d?",
    recipe=RECIPE,
    probe=named(config.get("probes", {})) or "(?!)",
