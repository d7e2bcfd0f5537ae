"""Checkpoints: what is written is read again, and what is no checkpoint is refused by name."""

import json
import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from transferability.errors import InputError
from transferability.networks.alexnet import initialise
from transferability.networks.building import build_network
from transferability.networks.checkpoints import Card, load_network, read_checkpoint, save_checkpoint
from transferability.networks.stages import AlexNet

torch.set_num_threads(1)

CARD = Card(
    network="A3B+",
    architecture=AlexNet("tiny", 0.5, "batch", 0.25),
    shape=(1, 8, 8),
    classes=["seven", "Ünïcode", "0"],
    mean=[0.305378],
    std=[0.1 + 0.2],
)


def draw(card: Card, seed: int = 0) -> nn.Sequential:
    """A card's network with weights and batch-norm statistics of its own."""
    network = build_network(card.architecture, card.shape, len(card.classes))
    initialise(network, card.architecture, lambda n: 100 * seed + n - 1)
    torch.manual_seed(seed)
    with torch.no_grad():
        network(torch.randn(16, *card.shape))
    return network


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    path = tmp_path / "models" / "A3B+" / "model.safetensors"
    save_checkpoint(path, draw(CARD), CARD)
    return path


def test_card_and_state_are_read_as_they_were_written(checkpoint):
    card, state = read_checkpoint(checkpoint)
    expected = draw(CARD).state_dict()
    assert card == CARD
    assert state.keys() == expected.keys()
    for name, tensor in state.items():
        assert tensor.dtype == expected[name].dtype, name
        assert torch.equal(tensor, expected[name]), name


def test_a_loaded_network_computes_what_the_saved_one_did(checkpoint):
    card, network = load_network(checkpoint)
    images = torch.randn(5, 1, 8, 8)
    assert card == CARD
    assert not any(module.training for module in network.modules())
    assert torch.equal(network(images), draw(CARD).eval()(images))


def test_the_same_network_gives_the_same_bytes_and_another_gives_others(checkpoint, tmp_path):
    again, other = tmp_path / "again.safetensors", tmp_path / "other.safetensors"
    save_checkpoint(again, draw(CARD), CARD)
    save_checkpoint(other, draw(CARD, seed=1), CARD)
    assert again.read_bytes() == checkpoint.read_bytes()
    assert other.read_bytes() != checkpoint.read_bytes()


def test_a_checkpoint_is_as_open_to_others_as_any_new_file(checkpoint, tmp_path):
    (tmp_path / "new").touch()
    assert checkpoint.stat().st_mode == (tmp_path / "new").stat().st_mode


def test_mode_and_frozen_layers_leave_no_trace_in_the_bytes(checkpoint, tmp_path):
    network = draw(CARD).eval().requires_grad_(False)
    save_checkpoint(tmp_path / "evaluated.safetensors", network, CARD)
    assert (tmp_path / "evaluated.safetensors").read_bytes() == checkpoint.read_bytes()


def test_a_checkpoint_says_what_it_is_to_any_reader_of_safetensors(checkpoint):
    with safe_open(checkpoint, framework="np") as file:
        card = json.loads(file.metadata()["transferability"])
    assert card == {
        "network": "A3B+",
        "architecture": {"family": "tiny", "width": 0.5, "norm": "batch", "dropout": 0.25},
        "shape": [1, 8, 8],
        "classes": ["seven", "Ünïcode", "0"],
        "mean": [0.305378],
        "std": [0.1 + 0.2],
    }


def test_saving_leaves_one_file(checkpoint):
    assert [path.name for path in checkpoint.parent.iterdir()] == ["model.safetensors"]


def test_saving_replaces_an_older_network(checkpoint):
    save_checkpoint(checkpoint, draw(CARD, seed=1), CARD)
    assert torch.equal(read_checkpoint(checkpoint)[1]["fc8.linear.weight"], draw(CARD, seed=1).fc8.linear.weight)


@pytest.mark.parametrize("load", [read_checkpoint, load_network])
@pytest.mark.parametrize("share", [0, 1, 7, 8, 100, 0.5, 0.99, -1])
def test_a_truncated_checkpoint_is_refused_by_name(share, load, checkpoint):
    content = checkpoint.read_bytes()
    length = int(share * len(content)) if isinstance(share, float) else share % len(content)
    checkpoint.write_bytes(content[:length])
    with pytest.raises(InputError) as error:
        load(checkpoint)
    assert str(error.value).startswith(f"{checkpoint}: not a whole checkpoint (")
    assert str(error.value).endswith("; delete it and run again")


def test_a_missing_checkpoint_is_refused_by_name(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(InputError) as error:
        load_network(path)
    assert str(error.value) == f"{path}: there is no such checkpoint"


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_foreign_safetensors_file_is_refused_by_name(metadata, tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.ones(3)}, path, metadata)
    with pytest.raises(InputError) as error:
        load_network(path)
    assert str(error.value) == f"{path}: a safetensors file, but no network of a study (it has no card)"


@pytest.mark.parametrize("card", ["{}", "[]", "not JSON", '{"architecture": {"family": "tiny"}}'])
def test_a_card_that_is_none_is_refused_by_name(card, tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.ones(3)}, path, {"transferability": card})
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: "):
        load_network(path)


@pytest.mark.parametrize(
    "changed",
    [
        AlexNet("tiny", 1, "batch", 0.25),
        AlexNet("tiny", 0.5, "none", 0.25),
        AlexNet("small", 0.5, "batch", 0),
    ],
    ids=["width", "norm", "family"],
)
def test_weights_that_do_not_fit_the_card_are_refused_in_one_sentence(changed, tmp_path):
    path = tmp_path / "model.safetensors"
    card = Card("baseA", changed, (1, 16, 16), ["a", "b"], [0.5], [0.2])
    other = Card("baseA", CARD.architecture, (1, 16, 16), ["a", "b"], [0.5], [0.2])
    save_checkpoint(path, draw(other), card)
    with pytest.raises(InputError) as error:
        load_network(path)
    assert str(error.value).startswith(f"{path}: its weights do not fit its own card (")
    assert "\n" not in str(error.value)


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "sprung")


def test_loading_runs_no_code_that_a_file_brings(tmp_path):
    sprung = tmp_path / "sprung"
    (tmp_path / "pickled.safetensors").write_bytes(pickle.dumps(Trap(sprung)))
    torch.save({"weight": torch.ones(3), "trap": Trap(sprung)}, tmp_path / "saved.safetensors")
    for name in ("pickled", "saved"):
        path = tmp_path / f"{name}.safetensors"
        with pytest.raises(InputError, match=f"^{re.escape(str(path))}: not a whole checkpoint"):
            load_network(path)
    assert not sprung.exists()
    pickle.loads((tmp_path / "pickled.safetensors").read_bytes())
    assert sprung.exists()


def test_a_folder_in_a_checkpoints_place_is_named(tmp_path):
    with pytest.raises(InputError, match=re.escape(str(tmp_path))):
        load_network(tmp_path)
