"""Costs: what is told before a study is run, against torch, real files and Snakemake's own plan."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import snakemake.utils
import torch
import yaml
from test_workflow import CHECKOUT, start
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from transferability import files
from transferability.errors import InputError
from transferability.networks.building import build_network
from transferability.networks.checkpoints import Card, save_checkpoint
from transferability.networks.families import family_stages
from transferability.networks.notation import parse_network
from transferability.networks.stages import AlexNet
from transferability.networks.treatments import prepare_network
from transferability.study import costs, rates, sizes, work
from transferability.study.costs import read_params
from transferability.study.grid import expand_curve, study_networks
from transferability.study.jobs import Job, critical_path, study_jobs
from transferability.study.reading import merge
from transferability.study.sizes import task_size
from transferability.study.work import Work

torch.set_num_threads(1)

STUDIES = CHECKOUT / "workflow" / "studies"
ARCHITECTURE, SHAPE, CLASSES = AlexNet("tiny", 1, "batch", 0), (1, 8, 8), 5


@pytest.fixture
def params(tmp_path, monkeypatch) -> dict:
    """The default study's params, where nothing is packed."""
    monkeypatch.chdir(tmp_path)
    sizes.packed_card.cache_clear()
    yield read_params(CHECKOUT / "params.yaml", [])
    sizes.packed_card.cache_clear()


def job_of(curve: str, split: str = "random0") -> Job:
    return Job("digits", "tiny", split, 0, tuple(expand_curve(curve, [1, 2, 3, 4, 5, 6, 7])))


def torch_flops(network: torch.nn.Module, backward: bool) -> int:
    """The FLOPs that torch counts in a pass of 2 images, per image, and of the way back if asked."""
    with FlopCounterMode(display=False) as counter:
        loss = functional.cross_entropy(network(torch.randn(2, *SHAPE)), torch.tensor([0, 1]))
        forward = counter.get_total_flops()
        loss.backward()
    return (counter.get_total_flops() - forward if backward else forward) // 2


@pytest.mark.parametrize("name", ["baseA", "A1A", "B3A", "B5A", "B7A", "B3A+", "B2A-k3", "R6A"])
def test_the_arithmetic_of_a_network_is_what_torch_does(name):
    identity = parse_network(name)
    network = build_network(ARCHITECTURE, SHAPE, CLASSES)
    source = build_network(ARCHITECTURE, SHAPE, CLASSES).state_dict() if identity.source in ("A", "B") else None
    prepare_network(identity, network, source, frozen_dropout=True)
    layers = family_stages(ARCHITECTURE, SHAPE, CLASSES)
    assert 2 * work.forward_work(layers, [identity]) == torch_flops(network, backward=False)
    assert 2 * work.backward_work(layers, identity) == torch_flops(network, backward=True)


def test_the_layers_that_frozen_networks_of_a_job_share_are_passed_once():
    layers = family_stages(ARCHITECTURE, SHAPE, CLASSES)
    whole = sum(layer.multiply_adds for layer in layers)
    third, fifth = (sum(layer.multiply_adds for layer in layers[n:]) for n in (3, 5))
    frozen = [parse_network("A3B"), parse_network("A5B")]
    assert work.forward_work(layers, frozen) == whole - fifth + third + fifth
    assert work.forward_work(layers, [parse_network("A3B+"), parse_network("A5B+")]) == 2 * whole


def test_the_size_of_a_networks_file_is_told_but_for_its_header(tmp_path):
    network = build_network(ARCHITECTURE, SHAPE, CLASSES)
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, network, Card("baseA", ARCHITECTURE, SHAPE, list("abcde"), [0.5], [0.2]))
    told = work.checkpoint_bytes(family_stages(ARCHITECTURE, SHAPE, CLASSES))
    header = int.from_bytes(path.read_bytes()[:8], "little")
    assert path.stat().st_size == 8 + header + told


def test_the_default_study_trains_what_its_splits_name(params):
    found = study_jobs(params)
    assert len(found) == 36
    named = [(split, each.name) for split in params["study"]["split"] for each in study_networks(params, "tiny", split)]
    assert sorted((job.split, network.name) for job in found for network in job.networks) == sorted(named)
    assert {job.name for job in found if job.split == "random0"} == {
        *("baseA", "baseB", "AnA", "BnB", "AnA+", "BnB+", "BnA", "AnB", "BnA+", "AnB+", "RnA", "RnB")
    }


def test_a_base_network_that_a_curve_needs_is_counted_though_not_named(params):
    params["study"] |= {"split": ["random0"], "networks": {"random0": ["A3B"]}}
    # A job trains a whole curve.
    assert [(job.name, len(job.networks)) for job in study_jobs(params)] == [("AnB", 7), ("baseA", 1)]


def test_jobs_of_one_network_each(params):
    params["jobs"] = "network"
    found = study_jobs(params)
    assert len(found) == 216
    assert all(len(job.networks) == 1 for job in found)


@pytest.mark.parametrize(("study", "networks"), [("imagenet-original", 170), ("imagenet-balanced", 298)])
def test_the_imagenet_studies_are_counted(study, networks):
    params = read_params(CHECKOUT / "params.yaml", [STUDIES / f"{study}.yaml"])
    assert sum(len(job.networks) for job in study_jobs(params)) == networks
    sizes = [task_size(params, "imagenet", split, "A").classes for split in ("random0", "natural-man-made", "whole")]
    assert sizes == [500, 449, 1000]


@pytest.mark.parametrize("study", sorted(path.stem for path in STUDIES.glob("*.yaml") if "modern" not in path.stem))
def test_every_ready_study_has_its_costs(params, study):
    params = read_params(CHECKOUT / "params.yaml", [STUDIES / f"{study}.yaml"])
    rates = dict.fromkeys(params["study"]["architecture"], 2.0)
    assert costs.table_lines(params, study_jobs(params), rates)[-1].startswith("all ")
    expected = "longest chain" if study_jobs(params) else "training: none"
    assert expected in costs.notes(params, study_jobs(params), rates, 2)[-1]


def test_a_task_is_known_from_the_packed_set_as_its_split_has_it(params, packed_digits, digits_split, tmp_path):
    before = task_size(params, "digits", "random0", "B")
    shutil.copytree(packed_digits, tmp_path / "data/packed/digits")
    sizes.packed_card.cache_clear()
    for side, task in files.read_json(digits_split)["tasks"].items():
        told = task_size(params, "digits", "random0", side)
        assert told.classes == len(task["classes"])
        for part in ("train", "validation", "test"):
            assert getattr(told, part) == pytest.approx(sum(map(len, task[part].values())), rel=0.03)
        assert told.pixels == 64
    assert task_size(params, "digits", "random0", "B") == before
    params["splits"]["random0"]["volume"] = {"B": 7, "seed": 0}
    assert task_size(params, "digits", "random0", "B").train == 35


def test_a_set_that_is_not_packed_is_counted_by_its_folders_and_a_volume_by_its_number(params, tmp_path):
    for name in ("cat", "dog", "cow", "owl", "hen"):
        (tmp_path / "zoo" / "train" / name).mkdir(parents=True)
    params["datasets"]["digits"]["images"] = {"source": "folder", "path": "zoo", "size": 8, "channels": 3}
    params["splits"]["random0"]["volume"] = {"B": 20, "seed": 0}
    a, b = (task_size(params, "digits", "random0", side) for side in "AB")
    assert (a.classes, a.train, a.validation) == (2, None, None)
    assert (b.classes, b.train, b.pixels) == (3, 60, 192)


def test_time_is_the_rate_of_a_base_network_by_the_arithmetic(params):
    params["rates"] = {"tiny": 60.0}
    schedule = params["training"]["base"]
    images = schedule["steps"] * schedule["batch_size"]
    arithmetic = work.training_work(params, job_of("baseA"))
    training = work.work_seconds(params, "tiny", arithmetic, params["rates"])
    assert 0.06 * images < training < 0.06 * images * 1.3  # and its validations
    assert work.training_minutes(params, job_of("baseA")) >= 2 * training / 60
    longer, shorter = (work.training_minutes(params, job_of(curve)) for curve in ("AnB+", "AnB"))
    assert longer > shorter > work.training_minutes(params, job_of("A7B"))
    assert work.work_seconds(params, "tiny", Work(1, 1), {}) is None


def test_what_is_asked_has_a_minimum_and_a_stated_size_where_there_is_no_rate(params):
    assert work.training_minutes(params, job_of("AnB+")) == work.UNKNOWN_MINUTES
    assert work.memory_mb(params, job_of("baseA")) == work.LEAST_MB
    params["rates"] = {"tiny": 1e-6}
    assert work.training_minutes(params, job_of("AnB+")) == work.LEAST_MINUTES
    assert work.evaluation_minutes(params, job_of("AnB+")) == work.LEAST_MINUTES


def test_memory_grows_with_networks_batch_and_images(params):
    params["architectures"]["tiny"]["width"] = 100
    params["training"]["transferred"]["batch_size"] = 4096
    one, curve = (work.memory_mb(params, job_of(name)) for name in ("A3B", "AnB"))
    params["training"]["transferred"]["batch_size"] = 64
    assert curve > one > work.memory_mb(params, job_of("A3B")) > work.LEAST_MB
    small = work.memory_mb(params, job_of("A3B"))
    params["datasets"]["digits"]["images"]["classes"] = ["0", "1", "2", "3"]  # how many images is not known then
    assert work.memory_mb(params, job_of("A3B")) > small


def test_images_up_to_as_much_are_held_in_memory_as_tasks_hold():
    from transferability.data.tasks import IN_MEMORY
    from transferability.training.caching import LIMIT

    assert (work.IN_MEMORY, work.CACHE) == (IN_MEMORY, LIMIT)


def test_the_longest_chain_is_a_base_network_and_what_waits_for_it(params):
    found = [job_of(name) for name in ("baseA", "baseB", "AnB", "BnA", "RnA")]
    seconds = dict(zip(found, [3.0, 9.0, 10.0, 5.0, 12.0], strict=True))
    total, chain = critical_path(found, seconds)
    assert (total, [job.name for job in chain]) == (14.0, ["baseB", "BnA"])
    assert critical_path(found, seconds | {found[4]: 15.0})[1] == [found[4]]


def test_studies_are_merged_as_snakemake_merges_them():
    params = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    for path in sorted(STUDIES.glob("*.yaml")):
        study = yaml.safe_load(path.read_text())
        merged = merge(params, study)
        expected = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
        snakemake.utils.update_config(expected, study)
        assert merged == expected, path
    assert params == yaml.safe_load((CHECKOUT / "params.yaml").read_text())


def run_costs(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "transferability.study.costs", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def test_the_command_tells_a_studys_costs(tmp_path):
    params = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params | {"rates": {"tiny": 0.1}}))
    done = run_costs("--params", "params.yaml", "--cores", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^all +216 +36 +2.07 M ", done.stdout, re.MULTILINE)
    assert re.search(
        r"training: .* min on one core or GPU, at least .* on 2; .*: base[AB] \(\d+ s\), then", done.stdout
    )
    done = run_costs("--params", str(CHECKOUT / "params.yaml"), cwd=tmp_path)
    assert "no rate of tiny" in done.stdout


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--params", "none.yaml"], "none.yaml: there is no such file"),
        (["--params", "list.yaml"], "list.yaml: holds no params; it must be a mapping such as params.yaml"),
        (["--params", "torn.yaml"], "torn.yaml: not a YAML file"),
        (["--params", "wrong.yaml"], "params: the top level: the key"),
        (["--params", str(CHECKOUT / "params.yaml"), "--cores", "0"], "--cores is 0; it must be at least 1"),
        (
            ["rates.yaml", "--params", str(CHECKOUT / "params.yaml")],
            "params: rates names 'huge', which architectures lacks (there are: tiny)",
        ),
    ],
)
def test_bad_input_is_told_in_a_sentence(tmp_path, words, complaint):
    (tmp_path / "list.yaml").write_text("[1, 2]\n")
    (tmp_path / "torn.yaml").write_text("study: {\n")
    (tmp_path / "wrong.yaml").write_text("study: {}\n")
    (tmp_path / "rates.yaml").write_text("rates: {huge: 1}\n")
    done = run_costs(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {complaint}")
    assert "Traceback" not in done.stderr


def test_planning_imports_neither_torch_nor_numpy():
    code = (
        "import json, sys, transferability.study.costs; "
        "print(json.dumps(sorted({'torch', 'numpy'} & set(sys.modules))))"
    )
    assert json.loads(subprocess.check_output([sys.executable, "-c", code])) == []


def test_a_rate_is_measured_with_the_training_command(params):
    slow = rates.measure_rate(params, "tiny", 1, least=0.5)
    params["architectures"]["tiny"]["width"] = 8
    wide = rates.measure_rate(params, "tiny", 1, least=0.5)
    # Where it was tried 0.07 ms; four times as wide has sixteen times the arithmetic, at a better rate.
    assert 0.01 < slow < 2
    assert wide > 3 * slow


def test_a_rate_that_cannot_be_measured_is_told_with_the_reason(params):
    params["device"] = "cuda"
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match=r"architectures\.tiny: its rate could not be measured: device: \"cuda\" was"):
        rates.measure_rate(params, "tiny", 1)


def planned(directory: Path, *words: str) -> dict[str, list[dict[str, str]]]:
    """The resources of every job that Snakemake plans, by rule."""
    done = start(directory, "--dry-run", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, list[dict[str, str]]] = {}
    for rule, listed in re.findall(r"^rule (\w+):\n(?:    .*\n)*?    resources: (.*)$", done.stdout, re.MULTILINE):
        found.setdefault(rule, []).append(dict(re.findall(r"(\w+)=(\S+?)(?:,|$)", listed)))
    return found


def test_jobs_ask_for_what_their_networks_cost(tmp_path):
    params = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    params["study"]["treatment"] += ["transfer-k2"]
    params |= {"device": "cuda", "rates": {"tiny": 100.0}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    found = planned(tmp_path)
    trained = ("base", "curve", "preserved")
    for rule in (*trained, "evaluate", "evaluate_curve"):
        assert {job["gpu"] for job in found[rule]} == {"1"}, rule
    assert [(job["mem_mb"], job["runtime"]) for job in found["pack"]] == [("3000", "60")]
    assert {(job["mem_mb"], job["runtime"]) for job in found["split"]} == {("4000", "60")}
    for rule in (*trained, "evaluate", "evaluate_curve", "export"):
        assert all(int(job["mem_mb"]) >= work.LEAST_MB for job in found[rule]), rule
        assert all(int(job["runtime"]) >= work.LEAST_MINUTES for job in found[rule]), rule
    (base,) = {int(job["runtime"]) for job in found["base"]}
    assert base == work.training_minutes(params, job_of("baseA"))
    expected = {work.training_minutes(params, job_of(curve)) for curve in ("AnB", "AnB+")}
    assert {int(job["runtime"]) for job in found["curve"]} == expected
    assert min(expected) > base


def test_a_rate_reruns_nothing(finished, tmp_path):
    directory = Path(shutil.copytree(finished, tmp_path / "study"))
    params = yaml.safe_load((directory / "params.yaml").read_text())
    for rate in (0.1, 1e4):
        (directory / "params.yaml").write_text(yaml.safe_dump(params | {"rates": {"tiny": rate}}))
        assert planned(directory) == {}


def test_memory_that_is_asked_is_enough(params, packed_digits, digits_split, tmp_path):
    """What a training process takes at its peak, images and a wide network included."""
    params["architectures"]["tiny"]["width"] = 30
    params["training"]["base"] |= {"steps": 2, "batch_size": 512, "warmup": 0, "validations": 1}
    sections = {
        "architecture": params["architectures"]["tiny"],
        "augmentation": params["datasets"]["digits"]["augmentation"],
        "schedule": params["training"]["base"],
    }
    command = [sys.executable, "-m", "transferability.training.job", "--split", digits_split, "--packed", packed_digits]
    command += [word for name, section in sections.items() for word in (f"--{name}", json.dumps(section))]
    command += ["--seed", "0", "--device", "cpu", "--threads", "1", "--states", tmp_path / "states"]
    command += ["--models", tmp_path / "baseA/model.safetensors"]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0
    peak = used.ru_maxrss * 1024 / 1e6
    asked = work.memory_mb(params, job_of("baseA"))
    assert peak < asked < 4 * peak
