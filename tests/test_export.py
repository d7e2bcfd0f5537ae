"""Export: the ONNX file gives torch's answers on raw images, alone."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import Stored
from PIL import Image
from torch import nn

from transferability import files
from transferability.data.batches import normalise
from transferability.data.tasks import Task, open_task
from transferability.errors import InputError
from transferability.evaluation import classifying, export
from transferability.evaluation.export import best_of, compare, convert
from transferability.networks.alexnet import initialise
from transferability.networks.building import build_network
from transferability.networks.checkpoints import Card, load_network, save_checkpoint
from transferability.networks.notation import parse_network
from transferability.networks.stages import AlexNet

torch.set_num_threads(1)

ARCHITECTURES = {
    "tiny with batch norm": (AlexNet("tiny", 1, "batch", 0.5), (1, 8, 8)),
    "tiny without": (AlexNet("tiny", 1, "none", 0), (1, 8, 8)),
    "caffenet": (AlexNet("caffenet", 0.05, "none", 0.5), (3, 67, 67)),
}


@pytest.fixture(scope="module")
def task(packed_digits, digits_split) -> Task:
    """Task B of the digits' split random0."""
    return open_task(digits_split, "B", packed_digits)


def draw(architecture: AlexNet, shape: tuple[int, int, int], seed: int) -> nn.Sequential:
    """A network whose logits differ from image to image, as a trained one's do; in evaluation mode."""
    network = build_network(architecture, shape, 5)
    initialise(network, architecture, lambda n: 1000 * seed + n - 1)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        if architecture.family == "caffenet":
            for module in network.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    nn.init.kaiming_normal_(module.weight, generator=generator)
        for _ in range(10):
            network(torch.randn(32, *shape, generator=generator))
    return network.eval()


@pytest.fixture(scope="module", params=ARCHITECTURES)
def exported(request, task) -> tuple[onnx.ModelProto, nn.Sequential, Card, np.ndarray]:
    """A converted network, what it was made from, and real test digits of its size."""
    architecture, shape = ARCHITECTURES[request.param]
    card = Card("A3B+", architecture, shape, task.classes, task.mean * shape[0], task.std * shape[0])
    network = draw(architecture, shape, 0)
    # Every pixel as a square of pixels, as far as whole ones go; the rest is black.
    scale = shape[1] // 8
    images = np.zeros((len(task.images["test"]), *shape), dtype=np.uint8)
    images[:, :, : 8 * scale, : 8 * scale] = task.images["test"].repeat(scale, axis=2).repeat(scale, axis=3)
    model = convert(network, card, {"name": "A3B+", "seed": "0", "test_top1": "0.9876"})
    return model, network, card, images


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session of onnxruntime on a model in memory."""
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def test_onnxruntime_alone_gives_torchs_answers_on_real_digits(exported):
    model, network, card, images = exported
    (logits,) = session_of(model).run(None, {"images": images})
    with torch.no_grad():
        floats = torch.from_numpy(images).float() / 255
        expected = network((floats - card.mean[0]) / card.std[0]).numpy()
    assert len(images) > 250
    assert logits.dtype == np.float32
    assert len(set(expected.argmax(1))) > 1
    assert (logits.argmax(1) == expected.argmax(1)).all()
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("count", [1, 7])
def test_a_batch_may_be_of_any_size(count, exported):
    model, _, _, images = exported
    session = session_of(model)
    (every,) = session.run(["logits"], {"images": images})
    (some,) = session.run(["logits"], {"images": images[:count]})
    assert some.shape == (count, 5)
    assert np.abs(some - every[:count]).max() < 1e-4 * np.abs(every).max()


def test_the_model_takes_raw_images_and_gives_logits(exported):
    model, _, card, images = exported
    session = session_of(model)
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape[1:]) == ("images", "tensor(uint8)", list(card.shape))
    assert (made.name, made.type, made.shape[1:]) == ("logits", "tensor(float)", [5])
    assert isinstance(given.shape[0], str)
    with pytest.raises(Exception, match=r"[Uu]nexpected input data type"):
        session.run(None, {"images": images.astype(np.float32)})


def test_the_model_says_what_it_is(exported):
    model, _, card, _ = exported
    found = session_of(model).get_modelmeta().custom_metadata_map
    assert json.loads(found.pop("classes")) == card.classes
    assert found == {"name": "A3B+", "seed": "0", "test_top1": "0.9876"}


def test_the_model_is_one_file(exported, tmp_path):
    model, _, _, images = exported
    (expected,) = session_of(model).run(None, {"images": images[:7]})
    onnx.save_model(model, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert not any(weight.external_data for weight in model.graph.initializer)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, {"images": images[:7]})[0], expected)


def test_the_model_holds_no_path_of_the_machine_that_made_it(exported):
    content = exported[0].SerializeToString()
    assert str(Path(export.__file__).parent).encode() not in content
    assert str(Path(torch.__file__).parent).encode() not in content
    assert b"stack_trace" not in content


def test_the_same_network_gives_the_same_bytes(exported):
    model, network, card, _ = exported
    again = convert(network, card, {"name": "A3B+", "seed": "0", "test_top1": "0.9876"})
    assert again.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


def test_the_model_has_no_dropout_and_no_random_numbers(exported):
    model, _, _, images = exported
    assert not {node.op_type for node in model.graph.node} & {"Dropout", "Bernoulli", "RandomUniform", "RandomNormal"}
    session = session_of(model)
    first, second = (session.run(None, {"images": images[:7]})[0] for _ in range(2))
    assert np.array_equal(first, second)


def test_the_comparison_says_how_many_images_agree(exported):
    model, network, card, images = exported
    compared = compare(model, network, card, images)
    assert compared["images"] == len(images)
    assert compared["top1_agreement"] == 1
    assert 0 <= compared["max_abs_difference"] < 1e-3


def test_the_comparison_takes_the_centre_of_larger_images_and_so_many_evenly(exported, monkeypatch):
    monkeypatch.setattr(export, "COMPARED", 10)
    model, network, card, images = exported
    larger = np.pad(images, ((0, 0), (0, 0), (2, 3), (2, 3)), constant_values=255)
    stored = Stored(larger, most=10)
    compared = compare(model, network, card, stored)
    assert stored.asked == [[0, 29, 59, 89, 119, 149, 179, 209, 239, 269]]
    assert compared == compare(model, network, card, larger)
    assert (compared["images"], compared["top1_agreement"]) == (10, 1)


def test_a_model_of_other_weights_fails_the_comparison(exported):
    model, _, card, images = exported
    other = draw(card.architecture, card.shape, 1)
    with pytest.raises(RuntimeError, match=r"^A3B\+: onnxruntime and torch differ by .* in the logits of 270 test"):
        compare(model, other, card, images)


def test_a_model_of_other_normalisation_fails_the_comparison(exported):
    model, network, card, images = exported
    other = Card(card.network, card.architecture, card.shape, card.classes, card.mean, [0.9 * std for std in card.std])
    with pytest.raises(RuntimeError, match=r"^A3B\+: onnxruntime and torch differ"):
        compare(model, network, other, images)


def test_a_model_that_gives_no_numbers_fails_the_comparison(exported):
    model, _, card, images = exported
    other = draw(card.architecture, card.shape, 0)
    nn.init.constant_(other.fc8.linear.bias, torch.nan)
    with pytest.raises(RuntimeError, match="differ by nan"):
        compare(model, other, card, images)


def score_of(top1: float, loss: float) -> dict:
    """What metrics say of a part."""
    return {"count": 10, "top1": top1, "loss": loss, "per_class": {}}


def metrics_of(name: str, content: str, validation: dict, test: dict) -> dict:
    """What metrics say of a network whose weights have this hash."""
    identity = parse_network(name)
    return {
        "network": name,
        "treatment": identity.treatment,
        "source": identity.source,
        "n": identity.n,
        "target": identity.target,
        "model_sha256": content,
        "trained": True,
        "reason": None,
        "classes": 5,
        "images_seen": 10,
        "train_loss": 1.0,
        "chosen": None,
        "learning": [],
        "validation": validation,
        "test": test,
    }


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ({"A1B": (0.5, 1.0), "A2B": (0.7, 2.0), "A3B": (0.6, 0.1)}, "A2B"),
        ({"A1B": (0.7, 1.0), "A2B": (0.7, 0.5), "A3B": (0.6, 0.1)}, "A2B"),
        ({"A1B": (0.7, 0.5), "A2B": (0.7, 1.0)}, "A1B"),
        ({"A1B": (0.7, 0.5), "A2B": (0.7, 0.5)}, "A1B"),
        ({"A1B": (0.0, 9.0)}, "A1B"),
    ],
)
def test_the_best_is_highest_on_validation_and_of_equals_the_lowest_in_loss(scores, best, tmp_path):
    for name, (top1, loss) in scores.items():
        # On test images the order is the other way round: they pick nothing.
        metrics = metrics_of(name, "0" * 64, score_of(top1, loss), score_of(1 - top1, loss))
        files.write_json(tmp_path / f"{name}.json", metrics)
    assert best_of([tmp_path / f"{name}.json" for name in scores])["network"] == best


@pytest.fixture(scope="module")
def study(task, tmp_path_factory) -> Path:
    """The folder of a small study: three checkpoints and their metrics."""
    folder = tmp_path_factory.mktemp("study")
    architecture, shape = ARCHITECTURES["tiny with batch norm"]
    for seed, (name, top1) in enumerate({"A1B": 0.5, "A2B": 0.75, "B1B": 0.9}.items()):
        card = Card(name, architecture, shape, task.classes, task.mean, task.std)
        save_checkpoint(folder / "models/seed3" / name / "model.safetensors", draw(architecture, shape, seed), card)
        content = files.sha256(folder / "models/seed3" / name / "model.safetensors")
        scores = score_of(top1, 1.0)
        files.write_json(folder / "results" / f"{name}.json", metrics_of(name, content, scores, scores))
    return folder


def arguments(study: Path, packed: Path, split: Path, into: list[Path], checks: Path) -> list[str]:
    """The words of the command that exports from the small study."""
    return [
        "export",
        *("--split", str(split), "--packed", str(packed), "--models", str(study / "models/seed3")),
        *("--metrics", *(str(study / "results" / f"{name}.json") for name in ("A1B", "A2B", "B1B"))),
        *("--into", *map(str, into), "--checks", str(checks)),
    ]


def test_the_command_exports_networks_and_the_best_of_a_curve(
    study, task, packed_digits, digits_split, tmp_path, monkeypatch
):
    into = [tmp_path / name / "model.onnx" for name in ("A1B", "AnB")]
    monkeypatch.setattr(sys, "argv", arguments(study, packed_digits, digits_split, into, tmp_path / "exports.json"))
    export.main()
    checks = files.read_json(tmp_path / "exports.json")
    assert list(checks) == ["A1B", "AnB"]
    for path, name, top1 in ((into[0], "A1B", "0.5000"), (into[1], "A2B", "0.7500")):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        identity = {
            "name": name,
            "model_sha256": files.sha256(study / "models/seed3" / name / "model.safetensors"),
            "split": str(digits_split),
            "seed": "3",
            "task": f"B of {digits_split.stem}",
            "test_top1": top1,
        }
        stored = {"stored_size": "8", "interpolation": "bilinear", "square": "crop"}
        told = session.get_modelmeta().custom_metadata_map
        assert told == identity | stored | {"classes": json.dumps(task.classes)}
        check = checks[path.parent.name]
        assert {key: check[key] for key in identity} == identity
        assert (check["images"], check["top1_agreement"]) == (len(task.images["test"]), 1)
        assert check["opset"] == onnx.load(path).opset_import[0].version >= 18
        assert check["input"] == ["batch", 1, 8, 8]
        assert (check["versions"]["onnx"], check["versions"]["torch"]) == (onnx.__version__, torch.__version__)
        assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]


def test_a_split_of_one_task_is_enough(study, packed_digits, digits_split, tmp_path, monkeypatch):
    split = files.read_json(digits_split)
    files.write_json(tmp_path / "whole.json", split | {"tasks": {"B": split["tasks"]["B"]}})
    into = [tmp_path / "A1B/model.onnx"]
    words = arguments(study, packed_digits, tmp_path / "whole.json", into, tmp_path / "exports.json")
    monkeypatch.setattr(sys, "argv", words)
    export.main()
    assert into[0].exists()


def test_weights_other_than_those_of_the_metrics_are_refused(study, packed_digits, digits_split, tmp_path, monkeypatch):
    copy = Path(shutil.copytree(study, tmp_path / "study"))
    model, other = (copy / "models/seed3" / name / "model.safetensors" for name in ("A1B", "B1B"))
    shutil.copy(other, model)
    into = [tmp_path / "A1B/model.onnx"]
    monkeypatch.setattr(sys, "argv", arguments(copy, packed_digits, digits_split, into, tmp_path / "exports.json"))
    with pytest.raises(InputError) as error:
        export.main()
    assert str(error.value) == f"{model}: its metrics are of other weights; delete the metrics and run again"
    assert not into[0].exists()


def test_a_network_that_the_study_lacks_is_refused(study, packed_digits, digits_split, tmp_path, monkeypatch):
    into, checks = [tmp_path / "A3B/model.onnx"], tmp_path / "exports.json"
    monkeypatch.setattr(sys, "argv", arguments(study, packed_digits, digits_split, into, checks))
    with pytest.raises(InputError) as error:
        export.main()
    assert str(error.value) == "export: there is no network A3B in the study"


@pytest.fixture(scope="module")
def shipped(study, packed_digits, digits_split, tmp_path_factory) -> Path:
    """The ONNX file of A1B of the small study, as it is handed on."""
    folder = tmp_path_factory.mktemp("shipped")
    words = arguments(study, packed_digits, digits_split, [folder / "A1B/model.onnx"], folder / "exports.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        export.main()
    return folder / "A1B/model.onnx"


def test_images_are_classified_by_the_file_alone(study, shipped, task, tmp_path, capsys):
    network = load_network(study / "models/seed3/A1B/model.safetensors")[1]
    images = task.images["test"][:4]
    seen = normalise(torch.from_numpy(images), task.mean, task.std)
    expected = torch.softmax(network(seen), 1).detach().numpy()
    paths = [tmp_path / f"{place}.png" for place in range(4)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image[0]).save(path)
    classifying.main([str(shipped), *map(str, paths)])
    for path, line, shares in zip(paths, capsys.readouterr().out.splitlines(), expected, strict=True):
        best = np.argsort(-shares)[:3]
        assert line == f"{path}: " + ", ".join(f"{task.classes[one]} {100 * shares[one]:.1f} %" for one in best)


def test_an_image_is_prepared_as_those_of_training_were(tmp_path):
    """A photo of 60 × 40 in colour: the shorter side to 20, of the middle 20 × 20 the middle 16 × 16, in grey."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :10], pixels[:, 10:] = (255, 0, 0), (0, 200, 0)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", quality=95)
    model = classifying.Model(None, ["a", "b"], channels=1, side=16, size=20, interpolation="bilinear")
    seen = model.prepared(tmp_path / "photo.jpg")
    assert (seen.shape, seen.dtype) == ((1, 16, 16), np.uint8)
    # Red lies outside of the middle; the luma of 200 of green is 117.
    assert np.abs(seen.astype(int) - 117).max() <= 3


def test_what_is_no_image_or_no_network_of_a_run_is_said_in_a_sentence(shipped, tmp_path):
    (tmp_path / "torn.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"torn\.jpg: no image that can be read"):
        classifying.main([str(shipped), str(tmp_path / "torn.jpg")])
    with pytest.raises(InputError, match=r"none\.jpg: no image that can be read"):
        classifying.main([str(shipped), str(tmp_path / "none.jpg")])
    foreign = onnx.load(shipped)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(InputError, match=r"foreign\.onnx: no network of a run, it lacks 'classes'"):
        classifying.main([str(tmp_path / "foreign.onnx"), str(tmp_path / "torn.jpg")])
