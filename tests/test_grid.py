"""The grid: which networks a study asks for, where architectures differ in depth and in pretrained weights."""

import copy
import json
from pathlib import Path

import pytest
import yaml

from transferability.errors import InputError
from transferability.study import architectures, costs, work
from transferability.study.architectures import depth_of, description_file, is_current, stages_of
from transferability.study.grid import cuts, study_figures, study_networks
from transferability.study.jobs import probe_jobs, study_jobs, trains_curves
from transferability.study.params import check_networks, check_params
from transferability.study.sections import staged_section, weights_content

CHECKOUT = Path(__file__).parent.parent
SCHEMA = CHECKOUT / "src/transferability/study/params.schema.yaml"
RESNET = {"library": "torchvision", "name": "resnet18", "weights": "IMAGENET1K_V1", "granularity": "stage"}
STAGES = ["stem", "layer1", "layer2", "layer3", "layer4", "head"]


@pytest.fixture
def params(tmp_path, monkeypatch) -> dict:
    """The default study's params in a folder of their own, with a pretrained network of six stages beside tiny."""
    monkeypatch.chdir(tmp_path)
    architectures.described_stages.cache_clear()
    params = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    params["architectures"]["resnet18"] = dict(RESNET)
    params["splits"]["whole"] = {"kind": "whole"}
    params["export"] = []
    yield params
    architectures.described_stages.cache_clear()


def write_description(section: dict = RESNET) -> None:
    """What describing the network would leave, its head of 1,000 classes."""
    stages = [
        {"name": name, "shape": [8], "parameters": 100, "buffers": 0, "multiply_adds": 50, "outputs": 8}
        for name in STAGES
    ]
    stages[-1] |= {"parameters": 9000, "multiply_adds": 8000}
    content = {
        "definition": section,
        "versions": {"torchvision": architectures.version("torchvision")},
        "stages": stages,
    }
    path = description_file("resnet18", (1, 8, 8))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))


def check(params: dict) -> None:
    check_params(params, SCHEMA)
    check_networks(params)


def names(params: dict, architecture: str, split: str) -> list[str]:
    return [network.name for network in study_networks(params, architecture, split)]


def test_all_cuts_are_those_between_the_stages_of_each_architecture(params):
    write_description()
    params["study"] |= {"n": "all", "architecture": ["tiny", "resnet18"]}
    check(params)
    assert cuts(params, "tiny") == [1, 2, 3, 4, 5, 6, 7]
    assert cuts(params, "resnet18") == [1, 2, 3, 4, 5]
    assert depth_of(params, "resnet18") == 6


def test_each_architecture_may_have_its_cuts(params):
    write_description()
    params["study"] |= {"n": {"tiny": [3], "resnet18": "all"}, "architecture": ["tiny", "resnet18"]}
    check_params(params, SCHEMA)
    assert (cuts(params, "tiny"), cuts(params, "resnet18")) == ([3], [1, 2, 3, 4, 5])
    # Then a job trains a network: a curve would be another list of files for each.
    assert not trains_curves(params)
    assert {len(job.networks) for job in study_jobs(params)} == {1}
    params["study"]["n"].pop("resnet18")
    with pytest.raises(InputError, match=r"study\.n says nothing of resnet18"):
        cuts(params, "resnet18")


@pytest.mark.parametrize(
    ("cut_after", "sentence"),
    [
        ([2, 6], "study.n has 6, but resnet18 has 6 stages, so n is at most 5"),
        ("every", "n is a list of stages"),
        ([0], "study.n.0"),
        ([100], "study.n.0"),
        ({"tiny": "most"}, "study.n.tiny"),
    ],
)
def test_a_cut_that_an_architecture_lacks_is_refused(params, cut_after, sentence):
    write_description()
    params["study"] |= {"n": cut_after, "architecture": ["resnet18"]}
    with pytest.raises(InputError, match=sentence):
        check(params)


def test_all_cuts_of_stages_that_are_not_known_are_refused(params):
    params["study"] |= {"n": "all", "architecture": ["resnet18"]}
    with pytest.raises(InputError, match="the stages of resnet18 are not known yet"):
        cuts(params, "resnet18")


def test_a_pretrained_network_on_all_classes_is_its_curves_beside_a_base(params):
    write_description()
    params["study"] |= {"n": "all", "architecture": ["resnet18"], "split": ["whole"]}
    params["study"]["treatment"] = ["pretrained", "pretrained+", "random", "pretrained-k2"]
    check(params)
    assert names(params, "resnet18", "whole") == [
        "baseA",
        *(f"P{n}A" for n in range(1, 6)),
        *(f"P{n}A+" for n in range(1, 6)),
        *(f"R{n}A" for n in range(1, 6)),
        *("P1A-k2", "P2A-k2", "P3A-k2"),
    ]
    # The weights are a file that a rule brings: no base network is waited for.
    assert {job.source for job in study_jobs(params)} == {None}


def test_pretrained_networks_of_both_tasks(params):
    params["study"] |= {"treatment": ["pretrained"], "n": [2], "architecture": ["resnet18"]}
    assert names(params, "resnet18", "random0") == ["baseA", "baseB", "P2A", "P2B"]


def test_pretrained_networks_of_an_architecture_without_weights_are_refused(params):
    params["study"]["treatment"] = ["pretrained"]
    with pytest.raises(InputError, match=r"asks for P1A, but architectures\.tiny has no pretrained weights"):
        check_networks(params)


PROBES = {"svm": {"classifier": "svm", "pooling": "gap"}}


def test_probes_train_what_they_read_and_nothing_else(params):
    params["probes"] = PROBES
    params["study"] |= {"treatment": ["random-svm", "transfer-svm", "transfer+-svm"], "n": [2, 5], "split": ["random0"]}
    check(params)
    trained = {(job.name, len(job.networks)) for job in study_jobs(params)}
    # A job trains a curve, but of random networks the one that is read; baseA and baseB are the study's own.
    bases = {("baseA", 1), ("baseB", 1)}
    assert trained == bases | {("R5A", 1), ("R5B", 1), ("BnA+", 2), ("AnB+", 2)}
    more = copy.deepcopy(params)
    more["study"]["treatment"].append("random")
    named = {(job.name, len(job.networks)) for job in study_jobs(more)}
    assert named == bases | {("RnA", 2), ("RnB", 2), ("BnA+", 2), ("AnB+", 2)}
    read = {(job.name, len(job.networks)) for job in probe_jobs(params)}
    curves = {(name, 2) for name in ("RnA-svm", "RnB-svm", "AnB-svm", "BnA-svm")}
    assert read == curves | {(f"{name}+-svm", 1) for name in ("A2B", "A5B", "B2A", "B5A")}
    params["jobs"] = "network"
    params["study"]["networks"] = {"random0": ["RnB-svm", "A2B-svm"]}
    assert [job.name for job in study_jobs(params)] == ["R5B", "baseA"]
    assert [job.name for job in probe_jobs(params)] == ["R2B-svm", "R5B-svm", "A2B-svm"]
    assert study_figures(params) == ["experiment", "figure2", "effects", "probes"]


def test_probes_of_pretrained_stages_train_nothing(params):
    write_description()
    params |= {"probes": PROBES, "jobs": "network"}
    params["study"] |= {"n": "all", "architecture": ["resnet18"], "split": ["whole"], "treatment": ["pretrained-svm"]}
    params["study"]["networks"] = {"whole": ["PnA-svm"]}
    check(params)
    assert names(params, "resnet18", "whole") == [f"P{n}A-svm" for n in range(1, 6)]
    assert study_jobs(params) == []
    # Each stage below the last cut is 50 multiply-adds, and the 1,797 images are passed once.
    params["jobs"] = "curve"
    (job,) = probe_jobs(params)
    assert work.probing_work(params, job).forward == pytest.approx(1797 * 5 * 50, rel=0.01)
    assert "probes: 5 in 1 job, which train nothing: 898 kFLOP forward" in "\n".join(costs.notes(params, [], {}, 1))
    assert costs.table_lines(params, [], {})[-1].split()[:3] == ["all", "0", "0"]
    assert work.probing_minutes(params, job) == work.UNKNOWN_MINUTES
    params["rates"] = {"resnet18": 1.0}
    assert work.probing_minutes(params, job) == 5 * work.LEAST_MINUTES + 1
    assert work.probing_mb(params, job) >= work.LEAST_MB


def test_a_described_head_is_in_proportion_to_the_classes(params):
    write_description()
    stages = stages_of(params, "resnet18", "digits", 10)
    assert [stage.name for stage in stages] == STAGES
    assert (stages[-1].shape, stages[-1].parameters, stages[-1].multiply_adds) == ((10,), 90, 80)
    assert stages[0].parameters == 100


def test_a_description_holds_for_its_definition_and_version_alone(params):
    assert not is_current(description_file("resnet18", (1, 8, 8)), RESNET)
    write_description()
    path = description_file("resnet18", (1, 8, 8))
    assert is_current(path, RESNET)
    assert is_current(path, RESNET | {"weights": "other.pth"})  # whatever the weights are
    assert not is_current(path, RESNET | {"granularity": "block"})
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"versions": {"torchvision": "0.1"}}))
    assert not is_current(path, RESNET)


def test_weights_count_by_their_content_and_retrain_by_their_file(tmp_path):
    section = RESNET | {"weights": str(tmp_path / "mine.pth")}
    record = tmp_path / "run.json"
    assert weights_content(section, record)["weights"] == section["weights"]
    record.write_text(json.dumps({"sha256": "abc"}))
    assert weights_content(section, record)["weights"] == "abc"
    (tmp_path / "mine.pth").write_bytes(b"weights")
    first = weights_content(section, record)
    (tmp_path / "moved.pth").write_bytes(b"weights")
    assert weights_content(section | {"weights": str(tmp_path / "moved.pth")}, record) == first
    assert weights_content(RESNET, record) == RESNET
    assert "weights" not in staged_section(section)


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"library": "keras", "name": "x"}, "none of torchvision, timm"),
        ({"library": "torchvision"}, "'name' is missing"),
        (RESNET | {"family": "tiny"}, "unknown key 'family'"),
        (RESNET | {"granularity": "neuron"}, "none of layer, block, stage"),
        (RESNET | {"preprocessing": {"channels": "hsv"}}, "none of rgb, bgr"),
    ],
)
def test_a_bad_architecture_is_refused_in_one_sentence(params, section, sentence):
    params["architectures"]["resnet18"] = section
    with pytest.raises(InputError, match=sentence):
        check_params(params, SCHEMA)
