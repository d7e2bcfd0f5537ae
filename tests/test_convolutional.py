"""Fully convolutional evaluation: where it equals the patches one by one, to the last digits, and where it cannot."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from transferability.data.batches import normalise
from transferability.data.patches import resized
from transferability.errors import InputError
from transferability.evaluation.adaptation import Adaptation, Layers, learn_layers
from transferability.evaluation.convolutional import Pyramid, Scorer, read_images
from transferability.evaluation.features import Source, stage_features
from transferability.evaluation.pooling import Pooling
from transferability.networks.alexnet import draw
from transferability.networks.checkpoints import Card
from transferability.networks.stages import AlexNet

torch.set_num_threads(1)

CPU, SIDE = torch.device("cpu"), 31
CAFFENET = AlexNet("caffenet", 0.125, "none", 0.5)


def card_of(side: int) -> Card:
    return Card("baseA", CAFFENET, (3, side, side), ["a"], [0.3] * 3, [0.4] * 3)


@pytest.fixture(scope="module")
def unpadded() -> Source:
    """Convolutions and pooling that pad nothing, then fully connected layers, whose norms have seen something."""
    torch.manual_seed(0)
    below = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2, 2))
    above = nn.Sequential(nn.Conv2d(8, 12, 3), nn.ReLU(inplace=True))
    parts = OrderedDict(flatten=nn.Flatten(), linear=nn.Linear(12 * 5 * 5, 20), norm=nn.BatchNorm1d(20), relu=nn.ReLU())
    stages = OrderedDict(below=below, above=above, connected=nn.Sequential(parts), head=nn.Linear(20, 4))
    network = nn.Sequential(stages)
    network(torch.randn(16, 3, SIDE, SIDE))
    return Source(network.eval(), card_of(SIDE), CPU)


@pytest.fixture(scope="module")
def original() -> Source:
    """The original's network, narrow: its first stage pads nothing, and its second does."""
    return Source(draw(CAFFENET, (3, 99, 99), 5, lambda n: n).eval(), card_of(99), CPU)


def features_of(source: Source, patches: torch.Tensor, n: int, pooling: Pooling) -> np.ndarray:
    seen = normalise(patches, source.card.mean, source.card.std)
    return stage_features(source.network, seen, [n], pooling)[n]


def layers_on(source: Source, n: int, pooling: Pooling) -> Layers:
    """Layers that have learnt a little, so that they are no symmetric ones."""
    generator = np.random.default_rng(0)
    patches = torch.from_numpy(generator.integers(0, 256, (40, *source.card.shape), dtype=np.uint8))
    features = features_of(source, patches, n, pooling)
    return learn_layers(Adaptation(hidden=(8,), steps=30), features, generator.integers(0, 3, 40), 3)


def both_ways(source: Source, n: int, pooling: Pooling) -> tuple[np.ndarray, np.ndarray, Pyramid]:
    """The scores of patches of three sizes of two images, in one pass, and cut out one by one."""
    layers, patch = layers_on(source, n, pooling), source.card.shape[1]
    scorer = Scorer.of(source, n, pooling, layers)
    pyramid = Pyramid.of(scorer, (1, 1.5, 2))
    images = np.random.default_rng(1).integers(0, 256, (2, 3, 2 * patch, 2 * patch), dtype=np.uint8)
    together, each = read_images(scorer, images, pyramid, CPU), []
    for side in pyramid.sides:
        seen = resized(torch.from_numpy(images), side)
        for top in range(0, side - patch + 1, pyramid.stride):
            for left in range(0, side - patch + 1, pyramid.stride):
                cut = seen[:, :, top : top + patch, left : left + patch]
                each.append(layers(features_of(source, cut, n, pooling))[:, :-1])
    return together, np.stack(each, axis=1), pyramid


@pytest.mark.parametrize(("n", "pooling"), [(1, "gap"), (2, "gap"), (2, "full"), (3, "gap")])
def test_stages_that_pad_nothing_give_in_one_pass_what_patches_give_one_by_one(unpadded, n, pooling):
    together, each, pyramid = both_ways(unpadded, n, Pooling(pooling))
    assert (pyramid.stride, pyramid.sides) == (4, (31, 47, 63))
    assert together.shape == each.shape == (2, 1 + 5**2 + 9**2, 2)
    assert together.std() > 0.01
    assert np.abs(together - each).max() < 1e-5


def test_of_the_originals_network_that_holds_to_the_first_stage_and_ends_where_padding_begins(original):
    together, each, pyramid = both_ways(original, 1, Pooling("gap"))
    assert pyramid.stride == 8
    assert np.abs(together - each).max() < 1e-5
    together, each, pyramid = both_ways(original, 2, Pooling("gap"))
    assert pyramid.stride == 16
    assert np.abs(together - each).max() > 0.01
    # A patch that is the whole image has nothing beside it.
    assert np.abs(together[:, 0] - each[:, 0]).max() < 1e-5


def test_places_of_patches_are_shares_of_the_image(unpadded):
    scorer = Scorer.of(unpadded, 2, Pooling("gap"), layers_on(unpadded, 2, Pooling("gap")))
    pyramid = Pyramid.of(scorer, (1, 1.25))
    assert pyramid.sides == (31, 39)
    assert pyramid.corners[0].tolist() == [0, 0, 1, 1]
    assert pyramid.corners[2] == pytest.approx([4 / 39, 0, 35 / 39, 31 / 39])
    assert pyramid.corners[-1] == pytest.approx([8 / 39, 8 / 39, 1, 1])


def test_what_is_no_convolution_is_refused_in_a_sentence(unpadded):
    with pytest.raises(InputError, match="the pooling grid50 is no convolution; take gap or full"):
        Scorer.of(unpadded, 2, Pooling("grid", 50), layers_on(unpadded, 2, Pooling("grid", 50)))
    odd = nn.Sequential(
        OrderedDict(map=nn.Conv2d(3, 2, 3), mean=nn.Sequential(nn.Flatten(), nn.LayerNorm(2 * 29 * 29)))
    )
    source = Source(odd.eval(), card_of(SIDE), CPU)
    with pytest.raises(InputError, match="the stage mean gives no map, and its LayerNorm is no fully connected layer"):
        Scorer.of(source, 2, Pooling("gap"), layers_on(source, 2, Pooling("gap")))
