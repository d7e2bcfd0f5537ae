"""Libraries: what torchvision's and timm's networks start from, their description, and what they refuse."""

import json
import sys

import pytest
import timm
import torch
import torchvision
from torch import nn

from transferability import files
from transferability.errors import InputError
from transferability.networks import description
from transferability.networks.building import build_network, draw_network
from transferability.networks.dropout import Dropout, StochasticDepth
from transferability.networks.heads import draw_hidden_layers
from transferability.networks.stages import LibraryModel, architecture_of, read_stages, section_of

torch.set_num_threads(1)

SHAPE = (3, 32, 32)
NETWORKS = [
    LibraryModel("torchvision", "convnext_tiny"),
    LibraryModel("timm", "vit_tiny_patch16_224", options={"depth": 2, "drop_path_rate": 0.1}),
]


@pytest.mark.parametrize("architecture", NETWORKS, ids=lambda architecture: architecture.library)
def test_the_same_seeds_give_the_same_weights_whatever_torchs_own_is(architecture):
    states = []
    for torchs, ours in ((0, 5), (1, 5), (1, 6)):
        torch.manual_seed(torchs)
        before = torch.get_rng_state()
        network = draw_network(architecture, SHAPE, 4, lambda n, ours=ours: ours + n)
        assert torch.equal(torch.get_rng_state(), before)
        states.append(network.state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], tensor) for name, tensor in states[1].items())
    drawn = [name for name, tensor in states[0].items() if tensor.ndim > 1 and tensor.min() < tensor.max()]
    assert not any(torch.equal(states[0][name], states[2][name]) for name in drawn)
    assert network(torch.randn(2, *SHAPE)).shape == (2, 4)


def test_weights_below_the_classifier_are_those_that_the_library_draws():
    torch.manual_seed(12)
    theirs = torchvision.models.resnet18(num_classes=4)
    network = draw_network(LibraryModel("torchvision", "resnet18"), SHAPE, 4, lambda n: 11 + n)
    state, drawn = theirs.state_dict(), network.state_dict()
    unlike = {
        network.library_names[name] for name in drawn if not drawn[name].equal(state[network.library_names[name]])
    }
    assert unlike == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize(
    ("library", "name"),
    [
        ("timm", "efficientnet_b0"),
        ("timm", "mobilenetv3_small_050"),
        ("timm", "resnet18"),
        ("timm", "test_vit"),
        ("torchvision", "efficientnet_b0"),
        ("torchvision", "squeezenet1_1"),
    ],
)
def test_a_new_classifier_starts_near_guessing_however_few_its_classes(library, name):
    """EfficientNet's own rule gives four classes weights of deviation .29, and features of a thousand values large
    logits, whose gradients would spoil what was copied."""
    network = draw_network(LibraryModel(library, name), (3, 64, 64), 4, lambda n: n)
    (classifier,) = [
        module
        for module in network[-1].modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and len(module.weight) == 4
    ]
    assert classifier.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert not classifier.bias.any()


@pytest.mark.parametrize(("library", "deviation"), [("torchvision", 0.01), ("alexnet", (2 / 64) ** 0.5)])
def test_a_classifier_above_hidden_layers_is_drawn_in_the_way_of_its_library(library, deviation):
    network = draw_network(LibraryModel("torchvision", "resnet18"), SHAPE, 4, lambda n: n)
    draw_hidden_layers(network, [64], 0.0, lambda n: n, library)
    hidden, classifier = (module for module in network[-1].modules() if isinstance(module, nn.Linear))
    assert hidden.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.1)
    assert classifier.weight.std().item() == pytest.approx(deviation, rel=0.15)
    assert not hidden.bias.any()
    assert not classifier.bias.any()


def test_dropout_of_both_libraries_is_ours():
    for architecture in (
        LibraryModel("torchvision", "efficientnet_b0"),
        LibraryModel("timm", "efficientnet_b0", options={"drop_rate": 0.2, "drop_path_rate": 0.2}),
        LibraryModel("timm", "ghostnet_100"),
    ):
        network = build_network(architecture, SHAPE, 4)
        random = [module for module in network.modules() if isinstance(module, Dropout)]
        assert 0.2 in [module.probability for module in random]
        assert not any(type(module).__name__ in ("DropPath", "Dropout2d") for module in network.modules())
        assert not any(isinstance(module, nn.Dropout) for module in network.modules())
        outputs = []
        for seed in (0, 0, 1):
            for number, module in enumerate(random):
                module.generator = torch.Generator().manual_seed(100 * seed + number)
            outputs.append(network(torch.ones(2, *SHAPE)))
        assert torch.equal(outputs[0], outputs[1])
        assert not torch.equal(outputs[0], outputs[2])


def test_stochastic_depth_drops_whole_images():
    module = StochasticDepth(0.25)
    module.generator = torch.Generator().manual_seed(0)
    activations = torch.rand(4000, 2, 3) + 1
    given = module(activations)
    dropped = (given == 0).all(dim=(1, 2))
    assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert torch.allclose(given[~dropped], activations[~dropped] / 0.75)
    assert torch.equal(module.eval()(activations), activations)


def test_stochastic_depth_is_torchvisions_and_timms():
    values = torch.rand(50, 3, 2, 2) + 1
    for theirs in (
        torchvision.ops.StochasticDepth(0.5, "row"),
        timm.layers.DropPath(0.5),
        timm.layers.DropPath(0.5, scale_by_keep=False),
    ):
        ours = StochasticDepth(0.5, getattr(theirs, "scale_by_keep", True))
        torch.manual_seed(3)
        expected = theirs.train()(values)
        torch.manual_seed(3)
        assert torch.equal(ours(values), expected)


def test_grey_images_are_for_timm_alone():
    grey = (1, 32, 32)
    network = build_network(LibraryModel("timm", "resnet18"), grey, 4)
    assert network(torch.randn(2, *grey)).shape == (2, 4)
    with pytest.raises(InputError, match=r"takes images of 3 channels, not 1; set datasets\.\*\.images\.channels to 3"):
        build_network(LibraryModel("torchvision", "resnet18"), grey, 4)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (LibraryModel("torchvision", "resnet19"), "torchvision has no model 'resnet19'; did you mean resnet"),
        (
            LibraryModel("timm", "vit_tiny_patch16_225"),
            "timm has no model 'vit_tiny_patch16_225'; did you mean vit_tiny",
        ),
        (LibraryModel("torchvision", "vit_b_16"), r"vit_b_16 takes no images of 32×32 .*datasets\.\*\.images\.size"),
        (
            LibraryModel("torchvision", "resnet18", options={"drop": 1}),
            r"cannot build resnet18 with the options .*drop",
        ),
        (LibraryModel("timm", "resnet18", options={"drop": 1}), r"cannot build resnet18 with the options .*drop"),
        (LibraryModel("torchvision", "resnet18", granularity="atoms"), "granularity is one of layer, block or stage"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(architecture, message):
    with pytest.raises(InputError, match=message) as caught:
        build_network(architecture, SHAPE, 4)
    assert "\n" not in str(caught.value)


def test_an_unknown_library_is_one_sentence():
    with pytest.raises(InputError, match=r"no library 'keras'.*alexnet, torchvision.*timm"):
        build_network(LibraryModel("keras", "resnet50"), SHAPE, 4)


def test_without_timm_its_networks_say_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.delitem(sys.modules, "transferability.networks.timm", raising=False)
    with pytest.raises(InputError, match=r"timm is not installed; pip install transferability\[timm\]"):
        build_network(LibraryModel("timm", "resnet18"), SHAPE, 4)


def test_a_section_of_the_params_is_its_architecture():
    section = {"library": "timm", "name": "resnet18", "weights": "w.pth", "preprocessing": {"mean": [0.5, 0.5, 0.5]}}
    assert section_of(architecture_of(section)) == section


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "efficientnet_b0", "regnet_y_400mf", "vit_b_16", "swin_t"])
def test_a_description_has_the_numbers_that_torchvision_publishes(name):
    published = torchvision.models.get_model_weights(name).DEFAULT.meta
    stages = description.description(LibraryModel("torchvision", name), (3, 224, 224))["stages"]
    assert sum(stage["parameters"] for stage in stages) == published["num_params"]
    billions = sum(stage["multiply_adds"] for stage in stages) / 1e9
    assert billions == pytest.approx(published["_ops"], rel=0.005, abs=0.001)
    assert stages[-1]["shape"] == [1000]


@pytest.mark.parametrize(("name", "grade"), [("coat_tiny", "linked"), ("resnet18", "staged")])
def test_a_description_tells_the_grade_and_counts_what_stages_share_once(name, grade):
    described = description.description(LibraryModel("timm", name), (3, 224, 224))
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in timm.create_model(name).parameters())
    assert described["grade"] == grade
    assert sum(stage["parameters"] for stage in described["stages"]) == parameters


def test_a_description_says_what_networks_give(tmp_path, monkeypatch):
    section = {"library": "timm", "name": "mobilenetv2_100", "granularity": "stage", "options": {"pad_type": "same"}}
    path = tmp_path / "data/architectures/mobilenet.json"
    arguments = ["--architecture", json.dumps(section), "--shape", "3", "64", "64", "--into", str(path)]
    monkeypatch.setattr(sys, "argv", ["description", *arguments])
    description.main()

    content, stages = files.read_json(path), read_stages(path)
    assert {key: content[key] for key in ("library", "name", "definition", "image", "classes")} == {
        "library": "timm",
        "name": "mobilenetv2_100",
        "definition": section,
        "image": [3, 64, 64],
        "classes": 1000,
    }
    assert content["versions"] == {"timm": timm.__version__}
    network = build_network(architecture_of(section), (3, 64, 64), 1000).eval()
    features = torch.randn(1, 3, 64, 64)
    for stage, (name, module) in zip(stages, network.named_children(), strict=True):
        features = module(features)
        assert (stage.name, stage.shape) == (name, tuple(features.shape[1:]))
        assert stage.parameters == sum(parameter.numel() for parameter in module.parameters())
        assert stage.buffers == sum(buffer.nbytes for buffer in module.buffers())
        assert stage.outputs > 0
    # The first convolution: 3 channels of 3×3 into 32 maps of 32×32; then 32 maps of one channel, and 16 of 32.
    first = 32 * 32 * 32 * 27
    assert stages[0].multiply_adds == first
