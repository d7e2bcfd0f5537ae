"""Whole small runs of the workflow, as a user starts them."""

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from snakemake.settings.types import MaxJobsPerTimespan

from transferability.cluster.hooks import lift_rate

CHECKOUT = Path(__file__).parent.parent
DRAWN = {"figures", "page"}
"""The jobs that draw what tables and networks' files hold."""


def start(directory: Path, *arguments: str, checkout: Path = CHECKOUT) -> subprocess.CompletedProcess:
    """Run snakemake from a checkout on a directory of its own."""
    command = [sys.executable, "-m", "snakemake", "--directory", str(directory), "--cores", "2", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)


def run(directory: Path, *arguments: str, checkout: Path = CHECKOUT) -> None:
    """Run snakemake and expect it to succeed."""
    done = start(directory, *arguments, checkout=checkout)
    assert done.returncode == 0, done.stdout + done.stderr


def plan(directory: Path, *arguments: str, checkout: Path = CHECKOUT) -> set[str]:
    """The jobs that snakemake would run, but for `all`: rule and wildcards, as "curve random0 0 A B +"."""
    done = start(directory, "--dry-run", *arguments, checkout=checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = set()
    for block in re.split(r"\n(?=(?:local)?rule |\[)", done.stdout):
        rule = re.search(r"^(?:local)?rule (\w+):", block, re.MULTILINE)
        wildcards = re.search(r"^    wildcards: (.*)$", block, re.MULTILINE)
        if rule and rule[1] != "all":
            values = [pair.split("=")[1] for pair in wildcards[1].split(", ")] if wildcards else []
            jobs.add(" ".join([rule[1], *(value for value in values if value not in ("digits", "tiny", ""))]))
    return jobs


def change(directory: Path, **sections: object) -> None:
    """Rewrite sections of the directory's params.yaml: training={"base": {...}} is merged, lists are replaced."""

    def merge(old: object, new: object) -> object:
        if isinstance(old, dict) and isinstance(new, dict):
            return old | {key: merge(old.get(key), value) for key, value in new.items()}
        return new

    path = directory / "params.yaml"
    params = merge(yaml.safe_load(path.read_text()), sections)
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def network_hashes(directory: Path) -> dict[str, str]:
    """The SHA-256 of every checkpoint, by its path."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.glob("models/**/model.safetensors"))
    }


def write_small_params(directory: Path) -> None:
    """The default study, cut down to two splits, one treatment and two layers."""
    shutil.copy(CHECKOUT / "params.yaml", directory)
    small = {"steps": 20, "warmup": 2, "validations": 2}
    change(
        directory,
        study={"split": ["random0", "random1"], "treatment": ["transfer"], "n": [2, 6]},
        training={"base": small, "transferred": small},
        export=["baseA", "AnB"],
        figures={"dpi": 60},
        device="cpu",
    )


@pytest.fixture
def study(finished, tmp_path) -> Path:
    return shutil.copytree(finished, tmp_path / "study")


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy of what the workflow runs from, to be edited."""
    copy = tmp_path / "checkout"
    for name in ("workflow", "src", "profiles"):
        shutil.copytree(CHECKOUT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "params.yaml"):
        shutil.copy(CHECKOUT / name, copy)
    return copy


def jobs_of(split: str) -> set[str]:
    """All jobs of one split of the small study."""
    return {
        f"split {split}",
        *(f"base {split} 0 {target}" for target in "AB"),
        *(f"evaluate {split} 0 base{target}" for target in "AB"),
        *(
            f"{rule} {split} 0 {source} {target}"
            for rule in ("curve", "evaluate_curve")
            for source, target in ("AB", "BA")
        ),
        f"export {split} 0",
    }


def test_a_study_makes_every_file_that_it_names(finished):
    place = finished / "models/digits/tiny/random1/seed0"
    for network in ("baseA", "baseB", "A2B", "A6B", "B2A", "B6A"):
        assert {path.name for path in (place / network).iterdir()} >= {"model.safetensors", "run.json", "history.csv"}
        metrics = json.loads((finished / f"results/digits/tiny/random1/seed0/{network}.json").read_text())
        assert metrics["network"] == network
        assert metrics["test"]["count"] == sum(entry["count"] for entry in metrics["test"]["per_class"].values())
    assert {path.parent.name for path in place.glob("*/model.onnx")} == {"baseA", "AnB"}
    rows = list(csv.DictReader((finished / "results/digits/tiny/networks.csv").open()))
    assert len(rows) == 2 * (2 + 2 * 2)
    effects = list(csv.DictReader((finished / "results/digits/tiny/effects.csv").open()))
    assert {(row["effect"], row["n"], row["units"]) for row in effects} == {("total", n, "2") for n in ("2", "6", "")}
    states = [row["state"] for row in csv.DictReader((finished / "results/digits/tiny/coverage.csv").open())]
    assert len(states) == len(rows)
    assert "missing" not in states
    for table in ("learning", "pairs", "drops"):
        assert (finished / f"results/digits/tiny/{table}.csv").exists()
    assert (finished / "results/digits/tiny/figures/figure2.svg").stat().st_size > 10_000


def test_a_run_records_what_it_was_made_from(finished):
    place = finished / "models/digits/tiny/random0/seed0"
    record = json.loads((place / "A6B/run.json").read_text())
    source = place / "baseA/model.safetensors"
    assert record["network"] == {
        "name": "A6B",
        "treatment": "transfer",
        "source": "A",
        "n": 6,
        "target": "B",
        "fine_tune": False,
        "preserved": 0,
        "option": "",
    }
    assert record["inputs"][str(source.relative_to(finished))] == hashlib.sha256(source.read_bytes()).hexdigest()
    model = (place / "A6B/model.safetensors").read_bytes()
    assert record["model_sha256"] == hashlib.sha256(model).hexdigest()
    assert record["images_seen"] == 20 * 64
    assert record["parameters"]["schedule"]["steps"] == 20
    assert set(record["versions"]) == {"python", "machine", "numpy", "safetensors", "torch"}


def test_a_finished_study_has_nothing_to_do_whatever_the_file_times(study):
    assert plan(study) == set()
    for age, path in enumerate(sorted(study.glob("*/**/*.*"))):
        os.utime(path, (1.7e9 - age, 1.7e9 - age))
    assert plan(study) == set()


def test_what_others_wait_for_comes_first_and_then_what_takes_longest(finished, study):
    (log,) = finished.glob(".snakemake/log/*.log")
    order = ["pack", "split", "base", "curve", "evaluate"]
    started = [rule for rule in re.findall(r"^(?:local)?rule ([a-z]+)", log.read_text(), re.MULTILINE) if rule in order]
    assert started == sorted(started, key=order.index)
    assert set(started) == set(order)
    change(study, study={"treatment": ["selffer", "selffer+", "random"]}, export=[])
    said = start(study, "--dry-run").stdout
    ranks = re.findall(
        r"wildcards: .*source=(\w), target=\w, plus=(\+?), recipe=$\s+priority: (\d)", said, re.MULTILINE
    )
    assert set(ranks) == {("A", "", "1"), ("B", "", "1"), ("A", "+", "2"), ("B", "+", "2"), ("R", "", "1")}


def test_a_second_run_gives_the_same_networks(finished, tmp_path):
    write_small_params(tmp_path)
    change(tmp_path, study={"split": ["random1"]})
    wanted = [str(path) for path in network_hashes(finished) if "random1" in path]
    run(tmp_path, *wanted)
    assert network_hashes(tmp_path) == {path: network_hashes(finished)[path] for path in wanted}


def test_a_figure_option_trains_nothing(study):
    change(study, figures={"width": 5})
    assert plan(study) == DRAWN


def test_an_option_of_the_tables_trains_nothing(study):
    change(study, analysis={"drop": 0.05})
    assert plan(study) == {"tables", "summary", *DRAWN}


def test_the_original_study_is_read_without_training_anything(study):
    tables = [
        f"results/yosinski2014/caffenet/{name}.csv" for name in ("networks", "pairs", "effects", "drops", "coverage")
    ]
    assert plan(study, *tables) == {"yosinski2014"}
    run(study, *tables)
    assert all((study / table).stat().st_size > 1000 for table in tables)
    assert plan(study, *tables) == set()


def test_the_seed_of_a_split_concerns_that_split_only(study):
    change(study, splits={"random1": {"kind": "random", "seed": 17}})
    assert plan(study) == jobs_of("random1") | {"tables", "summary", *DRAWN}


def test_the_learning_rate_of_transferred_networks_leaves_the_bases_alone(study):
    change(study, training={"transferred": {"learning_rate": 0.02}})
    concerned = {job for split in ("random0", "random1") for job in jobs_of(split)}
    assert plan(study) == {job for job in concerned if re.match("curve|evaluate_curve|export", job)} | {
        "tables",
        "summary",
        *DRAWN,
    }


def test_an_added_treatment_makes_only_its_networks(study):
    change(study, study={"treatment": ["transfer", "selffer+"]})
    assert plan(study) == {
        *(
            f"{rule} {split} 0 {target} {target} +"
            for rule in ("curve", "evaluate_curve")
            for split in ("random0", "random1")
            for target in "AB"
        ),
        "tables",
        "summary",
        *DRAWN,
    }


def test_an_added_split_makes_only_its_networks(study):
    change(study, study={"split": ["random0", "random1", "even-odd"]})
    assert plan(study) == jobs_of("even-odd") | {"tables", "summary", *DRAWN}


def test_another_way_to_write_the_same_value_reruns_nothing(study):
    change(study, architectures={"tiny": {"width": 1.0}}, figures={"width": 6.50})
    assert plan(study) == set()


def test_the_device_reruns_nothing(study):
    change(study, device="auto")
    assert plan(study) == set()


def test_jobs_of_one_network_make_nothing_anew(study):
    change(study, jobs="network", export=[])
    assert plan(study) == {"page"}


def test_an_export_less_exports_nothing_anew(study):
    change(study, export=["AnB"])
    assert plan(study) <= {"page"}


def test_a_layer_less_concerns_the_tables_alone(study):
    change(study, study={"n": [2]}, export=[])
    assert plan(study) == {"tables", "summary", *DRAWN}


def test_with_jobs_of_one_network_an_added_layer_costs_just_that_layer(study, tmp_path):
    change(study, jobs="network", study={"split": ["random0"], "n": [2, 5, 6]})
    jobs = {job for job in plan(study) if job.startswith(("base", "curve"))}
    assert jobs == {f"curve random0 0 {source} {n} {target}" for n, source, target in ((5, "A", "B"), (5, "B", "A"))}
    write_small_params(tmp_path)
    change(tmp_path, jobs="network", study={"split": ["random0"]})
    networks = [f"models/digits/tiny/random0/seed0/{name}/model.safetensors" for name in ("A2B", "A6B")]
    run(tmp_path, *networks)
    made = network_hashes(tmp_path)
    assert set(made) >= set(networks)
    assert made == {path: network_hashes(study)[path] for path in made}


def test_a_partial_rerun_ends_where_a_clean_run_does(study, tmp_path):
    before = network_hashes(study)
    clean = tmp_path / "clean"
    clean.mkdir()
    write_small_params(clean)
    for directory in (study, clean):
        change(
            directory,
            study={"split": ["random0"], "treatment": ["transfer", "selffer-k1", "random", "transfer-svm"]},
            probes={"svm": {"classifier": "svm", "pooling": "full", "choices": [0.01, 1]}},
            training={"transferred": {"learning_rate": 0.02}},
            export=["RnB"],
        )
        run(directory)
    after, expected = network_hashes(study), network_hashes(clean)
    assert {path: after[path] for path in expected} == expected
    for path in expected:
        if path in before:
            assert ("/base" in path) == (after[path] == before[path]), path
    assert (study / "results/digits/tiny/networks.csv").read_text() == (
        clean / "results/digits/tiny/networks.csv"
    ).read_text()
    assert plan(study) == set()
    read_by_a_probe(study)


def read_by_a_probe(study: Path) -> None:
    """What a finished study holds of its probes, and what an edit of theirs reruns."""
    results = study / "results/digits/tiny"
    rows = {row["network"]: row for row in csv.DictReader((results / "networks.csv").open())}
    probes = {"A2B-svm", "A6B-svm", "B2A-svm", "B6A-svm"}
    assert {name for name, row in rows.items() if row["option"] == "svm"} == probes
    assert float(rows["A2B-svm"]["test_top1"]) > 0.9
    assert (rows["A2B-svm"]["pooling"], rows["A2B-svm"]["train_loss"]) == ("full", "")
    base = (study / "models/digits/tiny/random0/seed0/baseA/model.safetensors").read_bytes()
    metrics = json.loads((results / "random0/seed0/A6B-svm.json").read_text())
    assert metrics["model_sha256"] == hashlib.sha256(base).hexdigest()
    assert not list(study.glob("models/**/*-svm"))
    assert {path.name for path in study.glob("features/digits/tiny/random0/seed0/AnB/train/*.npy")} == {
        "2-full.npy",
        "6-full.npy",
    }
    learnt = {row["network"] for row in csv.DictReader((results / "learning.csv").open())}
    assert learnt == rows.keys() - probes
    effects = {row["effect"] for row in csv.DictReader((results / "effects.csv").open())}
    assert "probe minus retrained, transfer-svm" in effects
    page = (results / "report.html").read_text()
    assert ">AnB-svm<" in page.split('id="effects-', 1)[0]
    assert "random0/seed0/A6B-svm.json" in page
    assert "A6B-svm/run.json" not in page
    change(study, probes={"svm": {"choices": [0.1, 1]}})
    assert plan(study) == {"probe random0 0 A B svm", "probe random0 0 B A svm", "tables", "draws", "summary", *DRAWN}
    published = {"paper": "P (2014)", "data": "digits", "dataset": "digits", "read_out": "test_top1"}
    change(
        study,
        study={"treatment": ["transfer", "selffer-k1", "random", "transfer-svm", "transfer-means16"]},
        probes={"means16": {"classifier": "centroid", "pooling": "full", "views": 16, "combine": "max"}},
        features="temp",
        scores={"treatment": ["transfer"], "pooling": "full", "permutations": 2},
        published=[published | {"percent": {"A2B-svm": 87.5}}],
    )
    run(study)
    assert not (study / "features").exists()
    assert plan(study) == set()
    scored_beside_a_probe(study)
    seen_in_sixteen_views(study)


def seen_in_sixteen_views(study: Path) -> None:
    """What a probe of sixteen views gives; features that are gone are made again for what is missing alone."""
    results = study / "results/digits/tiny"
    metrics = json.loads((results / "random0/seed0/A2B-means16.json").read_text())
    assert (metrics["probe"]["views"], metrics["probe"]["combine"]) == (16, "max")
    draws = {row["network"]: row for row in csv.DictReader((results / "draws.csv").open())}
    assert float(draws["A2B-means16"]["test_top1"]) == metrics["test"]["top1"]
    page = (results / "report.html").read_text()
    assert "Published numbers" in page
    assert "What probes read at each cut" in page
    before = (results / "random0/seed0/A6B-svm.json").read_bytes()
    change(study, probes={"means16": {"combine": "sum"}})
    of_networks = {"published", "summary", "criterion", "choice"}
    probed = {f"probe random0 0 {source} {target} means16" for source, target in ("AB", "BA")}
    assert plan(study) == {*probed, "tables", "draws", *of_networks, *DRAWN}
    run(study)
    assert not (study / "features").exists()
    assert plan(study) == set()
    assert (results / "random0/seed0/A6B-svm.json").read_bytes() == before


def scored_beside_a_probe(study: Path) -> None:
    """What a finished study holds of its scores, and what an edit of theirs reruns."""
    results = study / "results/digits/tiny"
    rows = list(csv.DictReader((results / "scores.csv").open()))
    assert {row["cut"] for row in rows if row["score"] == "ridge"} == {
        *("A2B", "A6B", "B2A", "B6A"),
        *("R2B", "R6B", "R2A", "R6A"),
    }
    assert {row["cut"] for row in rows if row["score"] == "leep"} == {"A8B", "B8A"}
    assert all(row["above"] for row in rows)
    truths = {row["truth"] for row in csv.DictReader((results / "criterion.csv").open())}
    assert truths == {"transfer", "transfer-svm", "transfer-means16", "random"}
    choice = list(csv.DictReader((study / "results/summary/choice.csv").open()))
    assert {row["way"] for row in choice} >= {"ridge", "svm", "training all", "at random"}
    assert all(row["seconds"] for row in choice)
    assert "What scores say before anything is trained" in (results / "report.html").read_text()
    change(study, scores={"permutations": 3})
    scored = {f"scores random0 0 {source} {target}" for source, target in ("AB", "BA", "RA", "RB")}
    assert plan(study) == {*scored, "score_table", "criterion", "choice", *DRAWN}
    change(study, scores={"permutations": 2})


def test_a_comment_reruns_nothing_and_an_edit_what_follows_from_it(study, checkout):
    package = checkout / "src/transferability"
    assert plan(study, checkout=checkout) == set()

    optimizers = package / "training/optimizers.py"
    line = "        progress = (step - self.warmup)"
    optimizers.write_text(optimizers.read_text().replace(line, f"        # from 0 to 1\n\n{line}"))
    assert "# from 0 to 1" in optimizers.read_text()
    assert plan(study, checkout=checkout) == set()

    template = package / "figures/page.html"
    template.write_text(template.read_text().replace("<h2>Tasks", "<h2>The tasks"))
    assert plan(study, checkout=checkout) == {"page"}

    figures = package / "figures/figure2.py"
    figures.write_text(figures.read_text().replace("s=16", "s=17"))
    assert plan(study, checkout=checkout) == DRAWN

    optimizers.write_text(optimizers.read_text().replace("math.pi * progress", "math.pi * progress * 0.99"))
    everything = jobs_of("random0") | jobs_of("random1") | {"tables", "summary", *DRAWN}
    assert plan(study, checkout=checkout) == everything - {"split random0", "split random1"}


def test_any_network_can_be_asked_for_by_name(study):
    change(study, probes={"svm": {"classifier": "svm", "pooling": "full", "choices": [1]}})
    place = "results/digits/tiny/random0/seed0"
    run(study, *(f"{place}/{name}.json" for name in ("A6B+", "B2A-k3", "A6B+-svm")))
    place = study / place
    probe, model = json.loads((place / "A6B+-svm.json").read_text()), json.loads((place / "A6B+.json").read_text())
    assert (probe["treatment"], probe["model_sha256"]) == ("transfer+-svm", model["model_sha256"])
    assert json.loads((place / "A6B+.json").read_text())["treatment"] == "transfer+"
    assert json.loads((place / "B2A-k3.json").read_text())["treatment"] == "transfer-k3"


def test_a_study_of_its_own_is_chosen_with_configfile(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("study: {split: [even-odd], treatment: [], n: [4]}\nexport: [baseB]\n")
    jobs = plan(tmp_path, "--configfile", str(own))
    assert {job for job in jobs if job.startswith("base")} == {"base even-odd 0 A", "base even-odd 0 B"}
    assert not [job for job in jobs if job.startswith("curve")]


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("results/digits/tiny/random0/seed0/A3C.json", "'A3C' is no network"),
        ("models/digits/tiny/random0/seed0/A8B/model.safetensors", "n = 8 is outside 1..7"),
        ("models/digits/tiny/random0/seed0/A4B/model.safetensors", "n = 4 is not in study.n"),
        ("models/digits/tiny/random0/seed0/A2B/model.onnx", "A2B is not in export"),
        ("models/digits/tiny/random9/seed0/A2B/model.safetensors", "splits has no 'random9'"),
    ],
)
def test_a_target_that_cannot_be_says_why(study, target, sentence):
    before = network_hashes(study)
    refused = start(study, target)
    assert refused.returncode != 0
    assert sentence in refused.stderr + refused.stdout
    assert network_hashes(study) == before


def test_a_typo_stops_the_run_with_the_name_of_the_key(study):
    before = network_hashes(study)
    change(study, training={"base": {"lerning_rate": 0.1}})
    refused = start(study)
    assert refused.returncode != 0
    assert refused.stderr.splitlines()[-1].startswith("error: params: training.base: unknown key 'lerning_rate'")
    assert network_hashes(study) == before


def test_a_group_that_is_not_there_stops_the_run(study):
    change(study, splits={"even-odd": {"kind": "groups", "A": "even", "B": "prime"}}, study={"split": ["even-odd"]})
    refused = start(study)
    assert refused.returncode != 0
    assert "splits.even-odd.B names the group 'prime'" in refused.stderr + refused.stdout


def test_groups_of_more_classes_than_fit_into_an_argument_are_split_by(study):
    strange = ["it's", '"so"', "$HOME", "`so`", "\\\\%s{x}"]
    many = [f"{name} {number}" for number in range(10_000) for name in strange]
    with (study / "groups.csv").open("w", newline="") as file:
        rows = [(name, ("even", "odd")[number % 2]) for number, name in enumerate([*"0123456789", *many])]
        csv.writer(file).writerows([("class", "group"), *rows])
    change(
        study,
        datasets={"digits": {"groups": "groups.csv"}},
        splits={"parity": {"kind": "groups", "A": "even", "B": "odd"}},
        study={"split": ["parity"]},
    )
    run(study, "data/splits/digits/parity.json")
    tasks = json.loads((study / "data/splits/digits/parity.json").read_text())["tasks"]
    assert tasks["A"]["classes"] == ["0", "2", "4", "6", "8"]


def test_a_failed_job_shows_its_one_sentence(study):
    change(study, splits={"odd": {"kind": "classes", "A": ["1", "3"], "B": ["5", "10"]}}, study={"split": ["odd"]})
    failed = start(study)
    assert failed.returncode != 0
    last = failed.stderr.splitlines()[-1]
    assert last.startswith("error: data/splits/digits/odd.json: B names the unknown class '10'")
    assert "Traceback" not in failed.stderr + failed.stdout


def test_a_truncated_source_is_named(study):
    source = study / "models/digits/tiny/random0/seed0/baseA/model.safetensors"
    source.write_bytes(source.read_bytes()[:1000])
    failed = start(study)
    assert failed.returncode != 0
    assert "random0/seed0/baseA/model.safetensors: not a whole checkpoint" in failed.stderr + failed.stdout


def test_the_page_of_the_study_has_its_figures_and_their_numbers(finished):
    page = (finished / "results/digits/tiny/report.html").read_text()
    captions = json.loads((finished / "results/digits/tiny/figures/captions.json").read_text())
    assert list(captions) == ["experiment", "figure2", "effects", "learning"]
    assert all(entry["drawn"] for entry in captions.values())
    for name, entry in captions.items():
        assert entry["caption"].replace(">", "&gt;") in page, name
        assert (finished / f"results/digits/tiny/figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    assert page.count('<div class="frame" role="group"') == 4


def test_snakemakes_own_report_holds_the_page(study):
    run(study, "--report", "report.html")
    assert "results/digits/tiny/report.html" in (study / "report.html").read_text()


def test_the_original_is_drawn_without_training_anything(tmp_path):
    page = "results/yosinski2014/caffenet/report.html"
    assert plan(tmp_path, page) == {"yosinski2014", "yosinski2014_figures", "yosinski2014_page"}
    run(tmp_path, page)
    captions = json.loads((tmp_path / "results/yosinski2014/caffenet/figures/captions.json").read_text())
    drawn = {name for name, entry in captions.items() if entry["drawn"]}
    assert drawn == {"experiment", "figure2", "figure3", "effects", "volume"}
    assert "base networks score 62.5 % (n = 8)" in (tmp_path / page).read_text()


def test_the_python_of_the_docs_runs_on_what_a_study_has_made(finished):
    text = (CHECKOUT / "docs/api.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(import numpy.*?)```", text, re.DOTALL)[1]
    # The small study cuts at 2 and 6, and trains no selffers.
    code = code.replace("A3B", "A2B").replace('"specificity"', '"total"')
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT / "src")}
    done = subprocess.run([sys.executable, "-c", code], cwd=finished, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "{1: (10, 8), 3: (10, 24)}" in done.stdout
    assert re.search(r"^\d+ +2 +test_top1 +-?0\.\d+$", done.stdout, re.MULTILINE)


def test_another_workflow_takes_a_study_in(finished, tmp_path):
    """What a study of its own has made, one that is part of a workflow takes for made."""
    place = shutil.copytree(finished, tmp_path / "study")
    (place / "params.yaml").rename(place / "study.yaml")
    text = (CHECKOUT / "docs/api.md").read_text(encoding="utf-8")
    outer = re.search(r"```python\n(configfile.*?)```", text, re.DOTALL)[1]
    outer = outer.replace("../transferability/workflow/Snakefile", str(CHECKOUT / "workflow/Snakefile"))
    (place / "Snakefile").write_text(outer)
    words = ["--snakefile", str(place / "Snakefile")]
    assert plan(place, *words) == {"answer"}
    asked = plan(place, *words, "transferability_all", "--forcerun", "transferability_summary")
    assert asked == {"transferability_summary", "transferability_all"}


def test_the_workflow_passes_the_linter(tmp_path):
    """Rules run in the environment that snakemake itself runs in, so none names a conda environment of its own."""
    linted = start(tmp_path, "--lint")
    complaints = set(re.findall(r"^    \* (.*?):?$", linted.stdout + linted.stderr, re.MULTILINE))
    assert complaints == {"Specify a conda environment or container for each rule."}


@pytest.mark.parametrize("executor", ["slurm", "local"])
def test_jobs_whose_logs_lie_elsewhere_stand_in_the_way_too(tmp_path, executor):
    write_small_params(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    logs = tmp_path / "elsewhere"
    if executor == "local":
        (tmp_path / ".snakemake/handed-over.json").write_text(json.dumps({"outputs": ["a"], "logs": str(logs)}))
    answers = {
        "sinfo": "all*|infinite|(null)|64|512000",
        "scontrol": "AccountingStorageType = (null)\nMinJobAge = 300 sec",
        "squeue": f"{'7':<40}{'rule_base':<400}{f'{logs}/rule_base/7.log':<4096}",
        "sbatch": "",
    }
    (tmp_path / "bin").mkdir()
    for name, answer in answers.items():
        (tmp_path / f"bin/{name}").write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
        (tmp_path / f"bin/{name}").chmod(0o755)
    words = ["--profile", "slurm", "--slurm-logdir", str(logs)] if executor == "slurm" else []
    command = ["env", f"PATH={tmp_path / 'bin'}:{os.environ['PATH']}", sys.executable, "-m", "snakemake"]
    command += ["--directory", str(tmp_path), "--cores", "2", "--jobs", "1", "data/packed/digits/index.csv", *words]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "jobs of this study are in SLURM's queue from an earlier start: 7 (rule_base)" in done.stdout + done.stderr


def test_the_docker_image_names_users_that_its_system_does_not_know():
    """Snakemake asks for the user's name, and --user gives a number."""
    settings = re.search(r"^ENV (.*?[^\\])$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE | re.DOTALL)[1]
    assert re.search(r"\bUSER=\w+", settings)


@pytest.mark.parametrize("file", [".gitignore", ".dockerignore"])
def test_images_of_users_stay_out_of_git_and_of_the_docker_image(file):
    assert {"images", "/images"} & set((CHECKOUT / file).read_text().splitlines())


@pytest.mark.parametrize(
    ("local", "rate", "lifted"),
    [(True, "100/1s", True), (True, "60/1m", False), (False, "100/1s", False)],
)
def test_local_jobs_have_no_rate_but_one_that_was_asked_for(local, rate, lifted):
    settings = SimpleNamespace(max_jobs_per_timespan=MaxJobsPerTimespan.parse_choice(rate))
    scheduler = SimpleNamespace(job_rate_limiter="the limiter")
    workflow = SimpleNamespace(local_exec=local, scheduling_settings=settings, scheduler=scheduler)
    lift_rate(workflow)
    assert (workflow.scheduler.job_rate_limiter is None) == lifted


def test_features_are_deleted_with_what_is_temporary_and_by_a_dry_run_are_not(tmp_path):
    features = tmp_path / "features/digits/tiny/random0"
    features.mkdir(parents=True)
    (tmp_path / "features/letters").mkdir()
    for words in (["--delete-temp-output", "-n"], ["--delete-temp-output", "-np"], ["--delete-temp-output"]):
        assert features.exists()
        run(tmp_path, *words)
    assert [path.name for path in (tmp_path / "features").iterdir()] == ["letters"]
