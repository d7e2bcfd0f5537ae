"""Staging: models of torchvision and timm as sequences of named stages that compute what the library's models do."""

import copy
from dataclasses import dataclass, field
from pathlib import Path

import borrowing
import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from transferability.errors import InputError
from transferability.evaluation.export import compare, convert
from transferability.networks import timm as our_timm
from transferability.networks import torchvision as our_torchvision
from transferability.networks.building import build_network
from transferability.networks.checkpoints import Card, read_checkpoint, save_checkpoint
from transferability.networks.dropout import Dropout
from transferability.networks.stages import LibraryModel
from transferability.networks.staging import Staged, from_library, replace_random, seeded, stage, to_library
from transferability.networks.treatments import copy_stages, freeze_stages
from transferability.training.sharing import share_frozen_stages

torch.set_num_threads(1)

PHOTOGRAPHS = Path(__file__).parents[2] / "shared/material/imagenet-250/images"

TORCHVISION = {
    "alexnet": (64, 8),
    "vgg11_bn": (32, 11),
    "resnet18": (32, 10),
    "resnet50": (32, 18),
    "resnext50_32x4d": (32, 18),
    "wide_resnet50_2": (32, 18),
    "densenet121": (32, 9),
    "mobilenet_v2": (32, 20),
    "mobilenet_v3_small": (32, 15),
    "efficientnet_b0": (32, 19),
    "efficientnet_v2_s": (32, 43),
    "convnext_tiny": (32, 23),
    "regnet_y_400mf": (32, 18),
    "shufflenet_v2_x1_0": (32, 19),
    "squeezenet1_1": (64, 10),
    "swin_t": (32, 17),
    "vit_b_16": (32, 14),
    "googlenet": (32, 13),
    "inception_v3": (75, 17),
    "mnasnet1_0": (32, 21),
}
"""torchvision's models: the side of the images that they are tried on, and how many blocks they have."""

TIMM = {
    "resnet18": (32, 10),
    "resnet26d": (32, 10),
    "vit_tiny_patch16_224": (32, 14),
    "deit3_small_patch16_224": (32, 14),
    "eva02_tiny_patch14_224": (28, 14),
    "beit_base_patch16_224": (32, 4),
    "swinv2_tiny_window8_256": (64, 17),
    "convnextv2_atto": (32, 17),
    "mobilenetv4_conv_small": (32, 20),
    "tf_efficientnet_lite0": (32, 19),
    "mobilenetv2_100": (32, 20),
    "maxvit_rmlp_pico_rw_256": (64, 13),
    "rdnet_tiny": (32, 15),
    "densenet121": (32, 9),
    "twins_pcpvt_small": (32, 25),
    "levit_128s": (64, 13),
    "cspresnet50": (32, 17),
    "crossvit_9_240": (240, 5),
    "coat_tiny": (64, 14),
    "selecsls42": (32, 7),
}
"""timm's models likewise."""

OPTIONS = {
    "vit_b_16": {"image_size": 32},
    "coat_tiny": {"serial_depths": (2, 2, 1, 1), "parallel_depth": 2},
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
    "beit_base_patch16_224": {"depth": 2},
    "mobilenetv2_100": {"pad_type": "same"},
    "vit_tiny_patch16_224": {"drop_path_rate": 0.2, "proj_drop_rate": 0.1},
}

MODELS = [("torchvision", name) for name in TORCHVISION] + [("timm", name) for name in TIMM]


@dataclass
class Case:
    """A model of a library, as the library makes it and as a network of stages, with the same weights."""

    plain: nn.Module
    model: nn.Module
    network: Staged
    images: Tensor
    blocks: int
    features: list[Tensor] = field(default_factory=list)


def photographs(size: int, count: int = 2) -> Tensor:
    """Some real images, normalised roughly; noise where there are none."""
    paths = sorted(PHOTOGRAPHS.glob("*.jpg"))[:count]
    if not paths:
        return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))
    arrays = [np.asarray(Image.open(path).convert("RGB").resize((size, size))) for path in paths]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 64 - 2


def plain_model(library: str, name: str, size: int) -> nn.Module:
    """A model as the library itself makes it."""
    options = OPTIONS.get(name, {})
    if library == "torchvision":
        return torchvision.models.get_model(name, weights=None, num_classes=7, **options)
    try:
        return timm.create_model(name, num_classes=7, img_size=(size, size), **options)
    except TypeError:
        return timm.create_model(name, num_classes=7, **options)


@pytest.fixture(scope="module", params=MODELS, ids="-".join)
def case(request) -> Case:
    library, name = request.param
    size, blocks = (TORCHVISION if library == "torchvision" else TIMM)[name]
    with seeded(0):
        plain = plain_model(library, name, size)
        # Libraries begin with heads and branches of zeros, which would hide what is wrong.
        for parameter in plain.parameters():
            parameter.data.add_(torch.randn_like(parameter), alpha=0.01)
    replacements = {"torchvision": our_torchvision, "timm": our_timm}[library].REPLACEMENTS
    model = replace_random(copy.deepcopy(plain), replacements)
    network = stage(model, LibraryModel(library, name), (3, size, size))
    return Case(plain, model, network, photographs(size), blocks)


def gradients(network: nn.Module, case: Case) -> list[Tensor | None]:
    """The gradients of the model's parameters after a step in training, with dropout, from `network`."""
    for number, module in enumerate(case.model.modules()):
        if isinstance(module, Dropout):
            module.generator = torch.Generator().manual_seed(number)
    case.model.zero_grad()
    network.train()
    network(case.images).square().sum().backward()
    return [None if parameter.grad is None else parameter.grad.clone() for parameter in case.model.parameters()]


def test_a_network_gives_the_logits_of_the_librarys_model_bit_for_bit(case):
    with torch.no_grad():
        theirs, ours = case.plain.eval()(case.images), case.network.eval()(case.images)
    assert torch.equal(ours, theirs)
    assert ours.shape == (2, 7)


def test_a_network_gives_the_gradients_of_the_librarys_model(case):
    theirs, ours = gradients(case.model, case), gradients(case.network, case)
    for a, b in zip(theirs, ours, strict=True):
        assert (a is None and b is None) or torch.equal(a, b)
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in ours)


def test_every_entry_of_the_librarys_state_is_in_one_stage(case):
    theirs, ours = case.model.state_dict(), case.network.state_dict()
    translated = to_library(case.network, ours)
    assert translated.keys() == case.plain.state_dict().keys()
    assert all(translated[name].data_ptr() == theirs[name].data_ptr() for name in theirs)
    assert from_library(case.network, translated).keys() == ours.keys()
    assert len({tensor.data_ptr() for tensor in ours.values()}) == len(ours)
    names = [f"{name}." for name, _ in case.network.named_children()]
    assert all(sum(entry.startswith(name) for name in names) == 1 for entry in ours)
    assert case.plain.load_state_dict(translated) is not None


def test_a_network_can_be_cut_after_every_stage(case):
    network = case.network.eval()
    assert len(network) == case.blocks
    names = [name for name, _ in network.named_children()]
    assert names[0] in ("stem", "embed")
    assert names[-1] == "head"
    with torch.no_grad():
        whole, features = network(case.images), case.images
        for n in range(1, len(network)):
            features = network[n - 1 : n](features)
            version = features._version
            if n in (1, len(network) // 2, len(network) - 1):
                assert torch.equal(network[:n](case.images), features)
                assert torch.equal(network[n:](features), whole)
            else:
                network[n : n + 1](features)
            # A stage that overwrote what it is given would change the features of the stages below.
            assert features._version == version, names[n]
            assert features.shape[0] == 2


def test_below_a_cut_nothing_changes_in_training(case):
    network = copy.deepcopy(case.network)
    n = len(network) // 2
    freeze_stages(network, n, dropout=False)
    before = {name: tensor.clone() for name, tensor in network[:n].state_dict().items()}
    network(case.images).sum().backward()
    assert all(torch.equal(before[name], tensor) for name, tensor in network[:n].state_dict().items())
    assert all(parameter.grad is None for parameter in network[:n].parameters())


def names_of(name: str, library: str = "torchvision", size: int = 64, **definition: object) -> list[str]:
    """The names of the stages of an architecture."""
    network = build_network(LibraryModel(library, name, **definition), (3, size, size), 5)
    return [name for name, _ in network.named_children()]


def test_blocks_bear_the_names_of_the_librarys_modules():
    layers = [f"layer{layer}.{block}" for layer in range(1, 5) for block in range(2)]
    assert names_of("resnet18") == ["stem", *layers, "head"]
    assert names_of("squeezenet1_1") == [
        "stem",
        *(f"features.{place}" for place in (3, 4, 6, 7, 9, 10, 11, 12)),
        "head",
    ]
    assert names_of("vit_tiny_patch16_224", "timm", options={"depth": 3}) == [
        "embed",
        "blocks.0",
        "blocks.1",
        "blocks.2",
        "head",
    ]


def test_coarser_stages_are_those_of_the_librarys_authors():
    assert names_of("resnet18", granularity="stage") == ["stem", "layer1", "layer2", "layer3", "layer4", "head"]
    assert names_of("efficientnet_b0", granularity="stage") == [
        "stem",
        *(f"features.{place}" for place in range(1, 9)),
        "head",
    ]
    assert names_of("convnextv2_atto", "timm", granularity="stage") == [
        "stem",
        *(f"stages.{place}" for place in range(4)),
        "head",
    ]
    # A flat list has one for each size of its maps.
    assert names_of("mobilenet_v2", granularity="stage") == [
        "stem",
        *(f"features.{place}" for place in (2, 4, 7, 14)),
        "head",
    ]


def test_layers_are_finer_than_blocks():
    names = names_of("mobilenet_v2", granularity="layer")
    assert len(names) > 25
    assert {"features.2.conv.0.0", "features.2.conv.1.0", "features.2.conv.2"} <= set(names)


def test_stages_can_be_listed_and_coarser_ones_compute_the_same():
    architecture = LibraryModel("torchvision", "resnet18", stages=("stem", "layer1", "layer3.1", "head"))
    images = photographs(64)
    with torch.no_grad():
        fine = build_network(LibraryModel("torchvision", "resnet18"), (3, 64, 64), 5).eval()
        coarse = build_network(architecture, (3, 64, 64), 5).eval()
        coarse.load_state_dict(from_library(coarse, to_library(fine, fine.state_dict())))
        assert [name for name, _ in coarse.named_children()] == ["stem", "layer1", "layer3.1", "head"]
        assert torch.equal(coarse(images), fine(images))
        assert torch.equal(coarse[:2](images), fine[:6](images))


@pytest.mark.parametrize(
    "listed", [("stem", "layer9", "head"), ("layer1", "head"), ("stem", "layer2", "layer1", "head")]
)
def test_stages_that_are_not_there_are_refused_with_those_that_are(listed):
    with pytest.raises(InputError, match=r"stem, layer1, layer1\.0|stem, layer1\.0") as caught:
        build_network(LibraryModel("torchvision", "resnet18", stages=listed), (3, 64, 64), 5)
    assert "\n" not in str(caught.value)


def test_entries_are_named_as_the_library_names_them_where_a_stage_is_its_module():
    network = build_network(LibraryModel("torchvision", "resnet18"), (3, 64, 64), 5)
    same = [ours for ours, theirs in network.library_names.items() if ours == theirs]
    assert "layer1.0.conv1.weight" in same
    assert network.library_names["stem.conv1.weight"] == "conv1.weight"
    assert network.library_names["head.fc.bias"] == "fc.bias"


def test_a_stage_is_copied_from_a_network_with_another_head():
    shape, architecture = (3, 32, 32), LibraryModel("timm", "vit_tiny_patch16_224", options={"depth": 2})
    source = build_network(architecture, shape, 11).state_dict()
    target = build_network(architecture, shape, 4)
    copy_stages(source, target, len(target) - 1)
    assert all(torch.equal(tensor, source[name]) for name, tensor in target[:-1].state_dict().items())


def test_a_network_of_stages_with_dots_is_exported():
    shape, architecture = (3, 32, 32), LibraryModel("timm", "vit_tiny_patch16_224", options={"depth": 1})
    network = build_network(architecture, shape, 4).eval()
    card = Card("baseA", architecture, shape, list("abcd"), [0.5] * 3, [0.25] * 3)
    images = np.random.default_rng(0).integers(0, 256, (6, *shape), dtype=np.uint8)
    check = compare(convert(network, card, {}), network, card, images)
    assert check["top1_agreement"] == 1


def borrowing_network() -> Staged:
    """A network whose blocks borrow the position encoding of the first."""
    return borrowing.draw(borrowing.ARCHITECTURE, (3, 8, 8), 5, lambda n: n)


def test_what_blocks_share_belongs_to_the_first_of_them():
    network = borrowing_network()
    assert network.linked
    assert not build_network(LibraryModel("torchvision", "resnet18"), (3, 64, 64), 5).linked
    names = ["stem", "blocks.0", "blocks.1", "blocks.2", "head"]
    assert [name for name, _ in network.named_children()] == names
    assert [len(stage.state_dict()) for stage in network] == [2, 9, 7, 7, 2]
    assert network.library_names["blocks.0.position.convolution.weight"] == "position.convolution.weight"
    assert network.second_names["blocks.2.position.convolution.bias"] == "position.convolution.bias"


def test_what_blocks_share_is_frozen_and_copied_with_the_stage_that_has_it():
    source, network, images = borrowing_network(), borrowing_network(), photographs(8)
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(1)
    copy_stages(source.state_dict(), network, 2)
    freeze_stages(network, 2, dropout=False)
    position = network[1].position.convolution
    assert torch.equal(position.weight, source[1].position.convolution.weight)
    assert network[2].position.lent[0] is network[1].position
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network(images).square().sum().backward()
    optimizer.step()
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.split(".convolution")[0] for name in changed} >= {"blocks.1", "blocks.2"}
    assert not any(name.startswith(("stem", "blocks.0")) for name in changed)
    # Above a cut below its first use it learns.
    freeze_stages(network.requires_grad_(True), 1, dropout=False)
    network(images).square().sum().backward()
    assert position.weight.grad is not None


def test_networks_that_share_frozen_stages_borrow_alike():
    networks, images = [borrowing_network(), borrowing_network()], photographs(8)
    for number, network in enumerate(networks, start=2):
        freeze_stages(network, number, dropout=True)
    expected = [network(images) for network in networks]
    share_frozen_stages(networks, [2, 3])
    assert networks[0][1] is networks[1][1]
    for network, before in zip(networks, expected, strict=True):
        assert torch.equal(network(images), before)
        assert torch.equal(copy.deepcopy(network)(images), before)


def test_a_network_whose_stages_borrow_is_exported(tmp_path):
    network = borrowing_network().eval()
    card = Card("baseA", borrowing.ARCHITECTURE, (3, 8, 8), list("abcde"), [0.5] * 3, [0.25] * 3)
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)
    assert compare(convert(network, card, {}), network, card, images)["top1_agreement"] == 1
    save_checkpoint(tmp_path / "model.safetensors", network, card)
    assert read_checkpoint(tmp_path / "model.safetensors")[1].keys() == network.state_dict().keys()


class Tied(nn.Module):
    """A model that gives, by the weights with which it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first, self.second = nn.Conv2d(3, 4, 2), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.second.weight, self.head = self.first.weight, nn.Linear(4, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.second(torch.relu(self.first(self.stem(images)))))
        return self.head(maps.mean((2, 3)))


class Unused(borrowing.Model):
    """A model with a layer that takes no part."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (Unused(), r"timm's mine cannot be cut .*: unused\.bias takes no part in what it gives"),
        (Tied(), "two of its modules have a parameter in common"),
        (borrowing.Model(dropout=0.5), "that draw random numbers is used in more than one stage"),
    ],
)
def test_models_that_cannot_be_cut_say_where_they_resist(model, sentence):
    with pytest.raises(InputError, match=sentence):
        stage(model, LibraryModel("timm", "mine"), (3, 8, 8))


def test_random_numbers_that_cannot_be_drawn_again_are_refused():
    with pytest.raises(InputError, match="draws random numbers of its own in training"):
        build_network(LibraryModel("timm", "vit_tiny_patch16_224", options={"attn_drop_rate": 0.1}), (3, 32, 32), 5)
