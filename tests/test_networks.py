"""Networks: shapes, sizes and first weights of every family."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from transferability.data.batches import normalise
from transferability.errors import InputError
from transferability.networks.alexnet import LocalResponseNorm, initialise, input_std
from transferability.networks.building import build_network
from transferability.networks.dropout import Dropout
from transferability.networks.families import FAMILIES
from transferability.networks.families import LAYERS as NAMES
from transferability.networks.stages import AlexNet

torch.set_num_threads(1)

LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
SIZES = [
    ("tiny", 1, 8),
    ("tiny", 3, 13),
    ("small", 3, 32),
    ("small", 1, 64),
    ("full", 3, 224),
    ("full", 3, 227),
    ("caffenet", 3, 227),
]


@pytest.fixture(scope="module")
def caffenet() -> nn.Sequential:
    """The original study's network of 1,000 classes, as it is before training."""
    architecture = AlexNet("caffenet", 1, "none", 0.5)
    network = build_network(architecture, (3, 227, 227), 1000)
    initialise(network, architecture, lambda n: n - 1)
    return network


def weights_of(layer: nn.Sequential) -> nn.Conv2d | nn.Linear:
    """The one module of a layer that has a weight and is no norm."""
    (found,) = (module for module in layer if isinstance(module, nn.Conv2d | nn.Linear))
    return found


def test_every_family_is_tested():
    assert {family for family, _, _ in SIZES} == set(FAMILIES)


@pytest.mark.parametrize(("family", "channels", "size"), SIZES)
def test_a_network_is_eight_numbered_layers(family, channels, size):
    network = build_network(AlexNet(family, 0.1, "none", 0), (channels, size, size), 7)
    images = torch.randn(2, channels, size, size)

    assert [name for name, _ in network.named_children()] == LAYERS
    assert list(NAMES) == LAYERS
    assert all(isinstance(weights_of(layer), nn.Conv2d) for layer in network[:5])
    assert all(isinstance(weights_of(layer), nn.Linear) for layer in network[5:])
    assert network(images).shape == (2, 7)
    assert network(images).dtype == torch.float32


@pytest.mark.parametrize(("family", "channels", "size"), SIZES)
def test_a_slice_is_the_first_layers(family, channels, size):
    network = build_network(AlexNet(family, 0.1, "none", 0.5), (channels, size, size), 7).eval()
    images = torch.randn(2, channels, size, size)
    features = images
    for n, layer in enumerate(network.children(), start=1):
        features = layer(features)
        assert torch.equal(network[:n](images), features)


def test_a_new_network_is_in_training_mode():
    network = build_network(AlexNet("tiny", 1, "batch", 0.5), (1, 8, 8), 5)
    assert all(module.training for module in network.modules())


def test_caffenet_has_the_parameters_of_the_original(caffenet):
    assert sum(parameter.numel() for parameter in caffenet.parameters()) == 60_965_224


def test_caffenet_has_the_sizes_of_the_original(caffenet):
    images = torch.zeros(1, 3, 227, 227)
    with torch.no_grad():
        assert caffenet.conv1.conv(images).shape == (1, 96, 55, 55)
        assert caffenet[:1](images).shape == (1, 96, 27, 27)
        assert caffenet[:2](images).shape == (1, 256, 13, 13)
        assert caffenet[:3](images).shape == (1, 384, 13, 13)
        assert caffenet[:4](images).shape == (1, 384, 13, 13)
        assert caffenet[:5](images).shape == (1, 256, 6, 6)
        assert caffenet[:6](images).shape == (1, 4096)
        assert caffenet[:7](images).shape == (1, 4096)


def test_caffenet_normalises_after_pooling_in_its_first_two_layers(caffenet):
    parts = {name: [part for part, _ in layer.named_children()] for name, layer in caffenet.named_children()}
    assert parts == {
        "conv1": ["conv", "pool", "relu", "norm"],
        "conv2": ["conv", "pool", "relu", "norm"],
        "conv3": ["conv", "relu"],
        "conv4": ["conv", "relu"],
        "conv5": ["conv", "pool", "relu"],
        "fc6": ["flatten", "linear", "relu", "dropout"],
        "fc7": ["linear", "relu", "dropout"],
        "fc8": ["linear"],
    }
    for norm in (caffenet.conv1.norm, caffenet.conv2.norm):
        assert isinstance(norm, nn.LocalResponseNorm)
        assert (norm.size, norm.alpha, norm.beta, norm.k) == (5, 1e-4, 0.75, 1)


def test_caffenet_has_groups_of_two_in_conv2_conv4_and_conv5(caffenet):
    groups = [weights_of(layer).groups for layer in caffenet[:5]]
    assert groups == [1, 2, 1, 2, 2]


def test_caffenet_pools_as_caffe_does_rounding_up():
    # 231 pixels give 56 after conv1; pools of 3 by 2 leave 28 of them rounded up, 27 rounded down.
    images = torch.zeros(1, 3, 231, 231)
    network = build_network(AlexNet("caffenet", 0.1, "none", 0), (3, 231, 231), 5)
    assert network[:1](images).shape[2:] == (28, 28)


def test_caffenet_starts_from_the_originals_gaussian_weights(caffenet):
    for name, layer in caffenet.named_children():
        weights = weights_of(layer).weight.detach()
        std = 0.005 if name in ("fc6", "fc7") else 0.01
        assert weights.std().item() == pytest.approx(std, rel=0.02), name
        assert abs(weights.mean().item()) < 0.02 * std, name
        # Of a Gaussian 68.3 % lie within one deviation, of a uniform distribution 57.7 %.
        assert (weights.abs() < std).float().mean().item() == pytest.approx(0.683, abs=0.01), name


def test_caffenet_starts_from_the_originals_biases(caffenet):
    biases = {name: weights_of(layer).bias.unique().tolist() for name, layer in caffenet.named_children()}
    assert biases == {
        "conv1": [0],
        "conv2": [1],
        "conv3": [0],
        "conv4": [1],
        "conv5": [1],
        "fc6": [1],
        "fc7": [1],
        "fc8": [0],
    }


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dropout", [0, 0.5])
def test_dropout_follows_fc6_and_fc7_with_the_given_probability(family, dropout):
    network = build_network(AlexNet(family, 0.1, "none", dropout), (3, 227, 227), 5)
    found = {name: module.probability for name, module in network.named_modules() if isinstance(module, Dropout)}
    assert found == {"fc6.dropout": dropout, "fc7.dropout": dropout}


@pytest.mark.parametrize(("size", "stride"), [(32, 1), (40, 1), (41, 2), (64, 2)])
def test_small_steps_by_two_on_images_above_40_pixels(size, stride):
    network = build_network(AlexNet("small", 0.1, "none", 0), (3, size, size), 5)
    assert network.conv1.conv.stride == (stride, stride)


@pytest.mark.parametrize(
    ("width", "channels"),
    [
        (0.5, [4, 8, 12, 12, 8, 16, 16, 5]),
        (1, [8, 16, 24, 24, 16, 32, 32, 5]),
        (3, [24, 48, 72, 72, 48, 96, 96, 5]),
        (0.001, [2, 2, 2, 2, 2, 1, 1, 5]),
    ],
)
def test_width_scales_every_hidden_layer_and_leaves_the_classes(width, channels):
    network = build_network(AlexNet("tiny", width, "none", 0), (1, 8, 8), 5)
    assert [weights_of(layer).weight.shape[0] for layer in network] == channels


@pytest.mark.parametrize("family", ["tiny", "small", "full"])
def test_batch_norm_stands_before_every_relu_in_place_of_the_bias(family):
    network = build_network(AlexNet(family, 0.1, "batch", 0), (3, 227, 227), 5)
    for layer in network[:7]:
        parts = list(layer)
        (norm,) = (part for part in parts if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d))
        assert parts[parts.index(norm) - 1] is weights_of(layer)
        after = [part for part in parts[parts.index(norm) + 1 :] if not isinstance(part, nn.MaxPool2d)]
        assert isinstance(after[0], nn.ReLU)
        assert weights_of(layer).bias is None
    assert weights_of(network.fc8).bias is not None
    assert not any(isinstance(part, nn.BatchNorm1d) for part in network.fc8)


def test_pooling_before_the_relu_gives_the_same_bits_forth_and_back():
    images = torch.randn(8, 6, 15, 15, generator=torch.Generator().manual_seed(0)).relu_() - 0.5
    found = []
    for parts in ([nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)], [nn.MaxPool2d(3, 2, ceil_mode=True), nn.ReLU()]):
        inputs = images.clone().requires_grad_()
        outputs = nn.Sequential(*parts)(inputs)
        outputs.square().sum().backward()
        found.append((outputs.detach(), inputs.grad))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))
    assert 0 < (found[0][1] != 0).float().mean() < 1


def test_local_response_norm_is_torchs():
    activations = 30 * torch.randn(4, 16, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = []
    for kind in (nn.LocalResponseNorm, LocalResponseNorm):
        inputs = activations.clone().requires_grad_()
        outputs = kind(5, alpha=1e-2, beta=0.75, k=2)(inputs)
        outputs.square().sum().backward()
        found.append((outputs.detach(), inputs.grad))
    assert all(torch.allclose(*pair, rtol=1e-12, atol=1e-12) for pair in zip(*found, strict=True))


@pytest.mark.parametrize("family", ["tiny", "small", "full"])
def test_without_norm_every_layer_has_a_bias(family):
    network = build_network(AlexNet(family, 0.1, "none", 0), (3, 227, 227), 5)
    kinds = {type(module) for module in network.modules()}
    assert not kinds & {nn.BatchNorm1d, nn.BatchNorm2d, nn.LocalResponseNorm}
    assert all(weights_of(layer).bias is not None for layer in network)


@pytest.mark.parametrize("family", ["tiny", "small", "full"])
def test_local_normalisation_follows_the_first_two_layers_and_batch_norm_does_not(family):
    network = build_network(AlexNet(family, 0.1, "lrn", 0), (3, 227, 227), 5)
    kinds = {type(module) for module in network.modules()}
    assert not kinds & {nn.BatchNorm1d, nn.BatchNorm2d}
    assert [layer for layer, stage in network.named_children() if hasattr(stage, "norm")] == ["conv1", "conv2"]
    assert [list(dict(stage.named_children()))[-1] for stage in network[:3]] == ["norm", "norm", "relu"]
    assert all(weights_of(layer).bias is not None for layer in network)


@pytest.mark.parametrize("norm", ["batch", "lrn"])
def test_caffenet_takes_no_other_norm(norm):
    with pytest.raises(InputError) as error:
        build_network(AlexNet("caffenet", 1, norm, 0.5), (3, 227, 227), 1000)
    assert str(error.value) == 'architectures: caffenet has its own normalisation (LRN); its norm must be "none"'


@pytest.mark.parametrize(("family", "size"), [("tiny", 3), ("small", 14), ("full", 62), ("caffenet", 38)])
def test_too_small_images_are_refused_with_what_to_do(family, size):
    with pytest.raises(InputError) as error:
        build_network(AlexNet(family, 0.1, "none", 0), (3, size, size), 5)
    assert str(error.value) == (
        f"architectures: images of {size}×{size} are too small for '{family}'; "
        "take a smaller family or a larger datasets.*.images.size"
    )
    build_network(AlexNet(family, 0.1, "none", 0), (3, size + 1, size + 1), 5)


@pytest.mark.parametrize("family", ["tiny", "caffenet"])
def test_the_same_seeds_give_the_same_weights_whatever_torchs_own_seed_is(family):
    architecture = AlexNet(family, 0.1, "none", 0)
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        network = build_network(architecture, (3, 64, 64), 5)
        before = torch.get_rng_state()
        initialise(network, architecture, lambda n: n - 1)
        assert torch.equal(torch.get_rng_state(), before)
        states.append(network.state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


@pytest.mark.parametrize("family", ["tiny", "caffenet"])
@pytest.mark.parametrize("changed", LAYERS)
def test_layers_are_independent_draws(family, changed):
    architecture = AlexNet(family, 0.1, "none", 0)
    first = build_network(architecture, (3, 64, 64), 5)
    second = build_network(architecture, (3, 64, 64), 5)
    seeds = list(range(len(LAYERS)))
    initialise(first, architecture, lambda n: seeds[n - 1])
    seeds[LAYERS.index(changed)] = 99
    initialise(second, architecture, lambda n: seeds[n - 1])
    different = {
        name
        for name, layer in first.named_children()
        if not torch.equal(weights_of(layer).weight, weights_of(second.get_submodule(name)).weight)
    }
    assert different == {changed}


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_first_weights_are_those_of_he(norm):
    architecture = AlexNet("small", 1, norm, 0)
    network = build_network(architecture, (3, 32, 32), 20)
    initialise(network, architecture, lambda n: n - 1)
    for name, layer in network.named_children():
        weights = weights_of(layer)
        inputs = weights.weight[0].numel()
        assert weights.weight.std().item() == pytest.approx(math.sqrt(2 / inputs), rel=0.04), name
        assert weights.bias is None or not weights.bias.any(), name


@pytest.mark.parametrize(("family", "channels", "size"), [("tiny", 1, 8), ("small", 3, 32), ("small", 3, 64)])
def test_first_weights_keep_the_scale_of_activations_where_torchs_own_shrink_it(family, channels, size):
    torch.manual_seed(0)
    architecture = AlexNet(family, 1, "none", 0)
    network = build_network(architecture, (channels, size, size), 5)
    images = torch.randn(32, channels, size, size)

    def fifth_against_first() -> float:
        with torch.no_grad():
            first, fifth = (network[:n](images).square().mean().sqrt().item() for n in (1, 5))
        return fifth / first

    assert fifth_against_first() < 0.1
    initialise(network, architecture, lambda n: n - 1)
    assert 0.5 < fifth_against_first() < 2


def test_dropout_repeats_its_mask_for_the_same_seed():
    dropout = Dropout(0.5)
    dropout.generator = torch.Generator()
    masks = []
    for seed in (7, 7, 8):
        dropout.generator.manual_seed(seed)
        masks.append(dropout(torch.ones(8, 100)))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_dropout_without_a_generator_uses_torchs():
    dropout = Dropout(0.5)
    ones = torch.ones(8, 100)
    torch.manual_seed(3)
    first = dropout(ones)
    assert not torch.equal(dropout(ones), first)
    torch.manual_seed(3)
    assert torch.equal(dropout(ones), first)


@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(probability):
    dropout = Dropout(probability)
    dropout.generator = torch.Generator().manual_seed(0)
    dropped = dropout(torch.full((400, 500), 3.0))
    assert (dropped == 0).float().mean().item() == pytest.approx(probability, abs=0.01)
    assert dropped.mean().item() == pytest.approx(3, rel=0.02)
    assert dropped[dropped != 0].unique().tolist() == pytest.approx([3 / (1 - probability)])


def test_dropout_passes_the_gradient_of_what_it_keeps():
    dropout = Dropout(0.5)
    dropout.generator = torch.Generator().manual_seed(0)
    values = torch.ones(50, requires_grad=True)
    dropped = dropout(values)
    dropped.sum().backward()
    assert torch.equal(values.grad, dropped.detach())


def test_dropout_does_nothing_in_evaluation_or_at_probability_zero():
    values = torch.randn(4, 9)
    assert torch.equal(Dropout(0.5).eval()(values), values)
    assert torch.equal(Dropout(0)(values), values)


def test_normalise_gives_every_channel_in_its_own_units():
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)
    mean, std = [0.1, 0.5, 0.9], [0.2, 0.25, 0.4]
    expected = np.empty(images.shape)
    for image, channel in np.ndindex(5, 3):
        expected[image, channel] = (images[image, channel] / 255.0 - mean[channel]) / std[channel]
    ours = normalise(torch.from_numpy(images), mean, std)
    assert ours.dtype == torch.float32
    assert ours.numpy() == pytest.approx(expected, abs=1e-5)


def test_only_caffenet_takes_images_that_are_not_divided_by_their_deviation():
    # Its weights are drawn for 0..255 with the mean subtracted.
    assert input_std(AlexNet("tiny", 1, "batch", 0), [0.2]) == [0.2]
    std = input_std(AlexNet("caffenet", 1, "none", 0.5), [0.2, 0.3, 0.4])
    images = torch.full((1, 3, 2, 2), 200, dtype=torch.uint8)
    assert torch.allclose(normalise(images, [0.5, 0.5, 0.5], std), torch.tensor(200 - 127.5), atol=1e-3)
