"""Feature extractors as ONNX: what onnxruntime alone gives is what probes read."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from transferability.data.packed import open_packed
from transferability.errors import InputError
from transferability.evaluation import extractor
from transferability.evaluation.extractor import compare_features, convert_stages, open_extractor
from transferability.evaluation.features import cut_features, prepared
from transferability.evaluation.pooling import Pooling
from transferability.evaluation.views import VIEWS
from transferability.networks.alexnet import draw
from transferability.networks.checkpoints import Card, load_network, save_checkpoint
from transferability.networks.stages import AlexNet

torch.set_num_threads(1)

TINY = AlexNet("tiny", 1, "batch", 0.5)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("extracted") / "model.safetensors"
    save_checkpoint(
        path, draw(TINY, (1, 8, 8), 5, lambda n: n), Card("baseA", TINY, (1, 8, 8), list("01234"), [0.3], [0.4])
    )
    return path


@pytest.fixture
def extract(checkpoint, packed_digits, tmp_path, monkeypatch, capsys):
    """Run the command, and give the file and what it has printed."""

    def command(cut: int, pooling: dict, view: str = "whole") -> tuple[Path, dict]:
        into = tmp_path / "made" / "features.onnx"
        words = ["--model", checkpoint, "--cut", cut, "--pooling", json.dumps(pooling), "--packed", packed_digits]
        words += ["--view", view]
        monkeypatch.setattr(sys, "argv", ["extractor", *map(str, words), "--into", str(into)])
        extractor.main()
        return into, json.loads(capsys.readouterr().out)

    return command


@pytest.mark.parametrize(
    ("cut", "pooling", "view"),
    [
        (2, {"kind": "gap"}, "whole"),
        (3, {"kind": "grid", "values": 200}, "top-left"),
        (5, {"kind": "full"}, "turned-left-mirrored"),
        (7, {"kind": "gap"}, "whole"),
    ],
)
def test_onnxruntime_alone_gives_what_a_probe_reads(extract, checkpoint, packed_digits, cut, pooling, view):
    path, told = extract(cut, pooling, view)
    images = np.array(open_packed(packed_digits).images[:70])
    card, network = load_network(checkpoint)
    (seen,) = [each for each in VIEWS[16] if each.name == view]
    batches = map(seen, prepared(images, card, torch.device("cpu")))
    expected = cut_features(network, batches, [cut], Pooling(**pooling))[cut]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (features,) = session.run(["features"], {"images": images})
    assert features.shape == expected.shape == (70, told["values"])
    assert np.allclose(features, expected, atol=1e-5)
    (one,) = session.run(None, {"images": images[:1]})
    assert np.allclose(one, expected[:1], atol=1e-5)


def test_the_file_says_what_it_is_and_the_command_how_it_was_checked(extract):
    path, told = extract(4, {"kind": "gap"})
    properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert properties.keys() == {"network", "cut", "stage", "model_sha256", "pooling", "view", "channels"}
    assert (properties["cut"], properties["stage"], properties["pooling"]) == ("4", "conv4", "gap")
    assert told["images"] == 500
    assert told["max_abs_difference"] < 1e-4


def test_other_weights_fail_the_comparison(checkpoint, packed_digits):
    made, identity = open_extractor(checkpoint, 2, Pooling("gap"))
    model = convert_stages(made, identity)
    with torch.no_grad():
        next(made.parameters()).add_(0.1)
    with pytest.raises(RuntimeError, match=r"onnxruntime and torch differ by .* in the features of 500 images"):
        compare_features(model, made, open_packed(packed_digits).images)


def test_what_is_no_cut_or_cannot_be_pooled_is_refused_in_a_sentence(extract):
    for cut in (0, 8):
        with pytest.raises(InputError, match=rf"has 8 stages, so a cut is 1 to 7, not {cut}"):
            extract(cut, {"kind": "gap"})
    with pytest.raises(InputError, match="pooling: 'class' cannot pool what is"):
        extract(2, {"kind": "class"})
