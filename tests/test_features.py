"""Features: pooled stages against torch's own functions, one pass for all cuts, files that follow what made them."""

import json
from collections import OrderedDict, namedtuple
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import Stored
from torch import nn
from torch.nn import functional

from transferability import files
from transferability.data.batches import normalise
from transferability.data.tasks import open_task
from transferability.errors import InputError
from transferability.evaluation import features as module
from transferability.evaluation.features import (
    ImageSet,
    Source,
    cut_features,
    hash_names,
    prepared,
    stage_hashes,
    stored_features,
)
from transferability.evaluation.metrics import predict
from transferability.evaluation.pooling import Pooling, pool
from transferability.evaluation.views import VIEWS
from transferability.networks.alexnet import draw
from transferability.networks.checkpoints import Card
from transferability.networks.stages import AlexNet

torch.set_num_threads(1)

CPU = torch.device("cpu")
GAP, FULL = Pooling("gap"), Pooling("full")
TINY = AlexNet("tiny", 1, "batch", 0.5)
MAPS = torch.randn(3, 5, 6, 4, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("pooling", "activations", "features"),
    [
        (GAP, MAPS, MAPS.mean((2, 3))),
        (Pooling("gap", channels="last"), MAPS, MAPS.mean((1, 2))),
        (FULL, MAPS, MAPS.reshape(3, -1)),
        (FULL, TOKENS, TOKENS.reshape(3, -1)),
        (Pooling("grid", 20), MAPS, functional.adaptive_avg_pool2d(MAPS, 2).reshape(3, 20)),
        (Pooling("grid", 1), MAPS, MAPS.mean((2, 3))),
        (Pooling("grid"), MAPS, MAPS.reshape(3, -1)),
        (Pooling("class"), TOKENS, TOKENS[:, 0]),
        (Pooling("mean"), TOKENS, TOKENS.mean(1)),
    ],
)
def test_poolings_are_what_they_say(pooling, activations, features):
    assert torch.allclose(pool(activations, pooling), features, atol=1e-6)


@pytest.mark.parametrize("kind", ["gap", "grid", "full", "class", "mean"])
def test_vectors_stay_as_they_are(kind):
    vectors = torch.arange(6.0).reshape(2, 3)
    assert torch.equal(pool(vectors, Pooling(kind)), vectors)


def test_a_grid_of_wide_maps_has_about_as_many_values_as_were_asked_for():
    for channels, side in ((96, 55), (256, 27), (384, 13), (3000, 7), (20000, 4)):
        values = pool(torch.zeros(1, channels, side, side), Pooling("grid")).shape[1]
        assert 6000 <= values <= 12000 or values == channels


def test_what_cannot_be_pooled_is_refused_in_a_sentence():
    with pytest.raises(InputError, match="'gap' cannot pool what is 7×5 an image; take full or class or mean"):
        pool(TOKENS, GAP)
    with pytest.raises(InputError, match="'class' cannot pool what is 5×6×4 an image; take gap or grid or full"):
        pool(MAPS, Pooling("class"))
    with pytest.raises(InputError, match="there is no 'max'; take one of gap, grid"):
        Pooling("max")
    with pytest.raises(InputError, match="a grid of 0 values"):
        Pooling("grid", 0)
    assert [Pooling("grid").name, Pooling("gap", channels="last").name] == ["grid9000", "gap-last"]


@pytest.fixture(scope="module")
def images(packed_digits, digits_split) -> np.ndarray:
    """The test images of task A."""
    return open_task(digits_split, "A", packed_digits, parts=("test",)).images["test"]


def network(seed: int = 0, bias: float = 0.1) -> nn.Sequential:
    """A tiny network of drawn weights, whose biases are not 0."""
    drawn = draw(TINY, (1, 8, 8), 5, lambda n: n + 100 * seed)
    for module_ in drawn.modules():
        if isinstance(module_, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.constant_(module_.bias, bias)
    return drawn.eval()


CARD = Card("baseB", TINY, (1, 8, 8), ["a", "b", "c", "d", "e"], [0.3], [0.4])


def test_one_pass_gives_what_the_network_cut_at_each_n_gives(images):
    whole = network()
    batches = list(prepared(images, CARD, CPU))
    features = cut_features(whole, batches, range(1, 9), FULL)
    seen = normalise(torch.from_numpy(images), CARD.mean, CARD.std)
    with torch.no_grad():
        for n in range(1, 9):
            assert features[n].dtype == np.float32
            np.testing.assert_allclose(features[n], whole[:n](seen).flatten(1), atol=1e-5)
            np.testing.assert_array_equal(features[n], cut_features(whole[:n], batches, [n], FULL)[n])
    np.testing.assert_allclose(features[8], predict(whole, images, CARD, CPU), atol=1e-5)


def test_a_later_stage_that_overwrites_what_it_is_given_does_not_change_the_features_below():
    stages = OrderedDict(first=nn.Linear(4, 4), second=nn.ReLU(inplace=True), third=nn.Hardtanh(0, 0.1, inplace=True))
    chain, given = nn.Sequential(stages).eval(), torch.randn(6, 4)
    features = cut_features(chain, [given], [1, 2, 3], FULL)
    with torch.no_grad():
        first = chain[0](given)
    assert (features[1] < 0).any()
    assert np.array_equal(features[1], first.numpy())
    assert np.array_equal(features[2], first.clamp(min=0).numpy())
    assert np.array_equal(features[3], first.clamp(0, 0.1).numpy())


def test_stages_above_the_last_cut_do_not_run():
    class Forbidden(nn.Module):
        def forward(self, activations):
            raise AssertionError

    chain = nn.Sequential(nn.Linear(4, 3), Forbidden()).eval()
    assert cut_features(chain, [torch.ones(2, 4)], [1], FULL)[1].shape == (2, 3)


def test_colours_are_turned_round_for_a_network_that_wants_it(images):
    colours = np.repeat(images[:5], 3, axis=1) // np.array([1, 2, 4], np.uint8)[:, None, None]
    card = replace(CARD, shape=(3, 8, 8), mean=[0.1, 0.2, 0.3], std=[0.1, 0.2, 0.4], channels="bgr")
    (seen,) = prepared(colours, card, CPU)
    assert torch.equal(seen, normalise(torch.from_numpy(colours[:, ::-1].copy()), card.mean, card.std))


@pytest.fixture
def passes(monkeypatch) -> list[list[int]]:
    """The cuts of every batch that is passed forward."""
    seen, real = [], module.stage_features

    def counting(network, images, cuts, pooling):
        seen.append(list(cuts))
        return real(network, images, cuts, pooling)

    monkeypatch.setattr(module, "stage_features", counting)
    return seen


def test_a_second_call_makes_no_forward_pass_and_reads_the_same(images, tmp_path, passes):
    source, seen = Source(network(), CARD, CPU), ImageSet(Stored(images, 500), "aa")
    first = stored_features(tmp_path, source, seen, [2, 5, 8], GAP)
    batches = -(-len(images) // module.BATCH)
    assert passes == batches * [[2, 5, 8]]
    again = stored_features(tmp_path, source, seen, [8, 2], GAP)
    assert len(passes) == batches
    assert isinstance(again[2], np.memmap)
    direct = cut_features(source.network, prepared(images, CARD, CPU), [2, 5, 8], GAP)
    for n in (2, 5, 8):
        assert np.array_equal(first[n], direct[n])
    assert np.array_equal(again[8], direct[8])
    card = files.read_json(tmp_path / "5-gap.json")
    assert (card["stage"], card["cut"], card["count"], card["values"]) == ("conv5", 5, len(images), 16)
    assert card["weights"] == stage_hashes(source.network)[4]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json"] * 3 + [".npy"] * 3


def test_only_what_follows_from_a_change_is_computed_again(images, tmp_path, passes):
    original, seen = network(), ImageSet(images, "aa")
    source = Source(original, CARD, CPU)

    def computed(source: Source, seen: ImageSet, pooling: Pooling = GAP) -> list[int]:
        passes.clear()
        stored_features(tmp_path, source, seen, [1, 3, 6], pooling)
        return passes[0] if passes else []

    assert computed(source, seen) == [1, 3, 6]
    with torch.no_grad():
        original.fc7.linear.weight[0, 0] += 1
    assert computed(source, seen) == []
    with torch.no_grad():
        original.conv3.conv.weight[0, 0, 0, 0] += 1
    assert computed(source, seen) == [3, 6]
    original.conv2.norm.running_mean += 1
    assert computed(source, seen) == [3, 6]
    assert computed(source, seen, FULL) == [1, 3, 6]
    assert computed(source, seen) == []
    assert computed(source, ImageSet(images, "bb")) == [1, 3, 6]
    cropped = replace(source, card=replace(CARD, mean=[0.2]))
    assert computed(cropped, ImageSet(images, "bb")) == [1, 3, 6]
    assert computed(cropped, ImageSet(images[:-1], "bb")) == [1, 3, 6]


@pytest.mark.parametrize("harm", ["cut off", "no card", "card of another shape", "card cut off"])
def test_files_that_are_not_whole_are_computed_again(images, tmp_path, passes, harm):
    source, seen = Source(network(), CARD, CPU), ImageSet(images, "aa")
    before = np.array(stored_features(tmp_path, source, seen, [3], GAP)[3])
    passes.clear()
    array, card = tmp_path / "3-gap.npy", tmp_path / "3-gap.json"
    if harm == "cut off":
        array.write_bytes(array.read_bytes()[:-100])
    elif harm == "no card":
        card.unlink()
    elif harm == "card cut off":
        card.write_text(card.read_text()[:50])
    else:
        card.write_text(json.dumps(json.loads(card.read_text()) | {"values": 99}))
    assert np.array_equal(stored_features(tmp_path, source, seen, [3], GAP)[3], before)
    assert passes


def test_a_pass_that_fails_leaves_nothing_that_looks_whole(images, tmp_path, monkeypatch):
    real, source, seen = module.stage_features, Source(network(), CARD, CPU), ImageSet(images, "aa")
    calls = []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise OSError("the disk is gone")
        return real(*arguments)

    monkeypatch.setattr(module, "stage_features", failing)
    with pytest.raises(OSError, match="the disk is gone"):
        stored_features(tmp_path, source, seen, [1, 2], GAP)
    assert list(tmp_path.iterdir()) == []


def test_features_that_the_disk_has_no_room_for_are_refused_before_they_are_written(images, tmp_path, monkeypatch):
    usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage(10**6, 10**6, 10))
    with pytest.raises(
        InputError, match=r"the features of 2 cuts take 0.0 GiB, and the disk has 0.0 GiB free"
    ) as error:
        stored_features(tmp_path, Source(network(), CARD, CPU), ImageSet(images, "aa"), [1, 2], FULL)
    assert str(tmp_path) in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_features_is_refused_in_a_sentence(images):
    broken = network()
    with torch.no_grad():
        broken.conv2.conv.weight[0] = torch.nan
    batches = list(prepared(images[:4], CARD, CPU))
    assert cut_features(broken, batches, [1], GAP)[1].shape == (4, 8)
    with pytest.raises(InputError, match=r"what stage 2 \(conv2\) gives is not finite"):
        cut_features(broken, batches, [1, 2], GAP)
    with pytest.raises(InputError, match="there is none after stage 9; this network has 1 to 8"):
        cut_features(network(), batches, [1, 9], GAP)
    with pytest.raises(ValueError, match="call eval"):
        cut_features(network().train(), batches, [1], GAP)
    with pytest.raises(InputError, match="the network sees images of 1×9×9, those of the data set are 1×8×8"):
        next(prepared(images, replace(CARD, shape=(1, 9, 9)), CPU))


def test_a_hash_of_images_knows_their_order():
    assert hash_names(["a", "b"]) != hash_names(["b", "a"]) != hash_names(["ab"])


def test_views_have_files_of_their_own_and_the_whole_is_that_of_one_view(images, tmp_path, passes):
    source, seen = Source(network(), CARD, CPU), ImageSet(images, "aa")
    whole = stored_features(tmp_path, source, seen, [2], GAP)[2]
    passes.clear()
    for view in VIEWS[16]:
        stored_features(tmp_path, source, replace(seen, view=view), [2], GAP)
    assert len(passes) == 15 * -(-len(images) // module.BATCH)
    assert len(list(tmp_path.glob("2-gap*.npy"))) == 16
    (mirror,) = (view for view in VIEWS[16] if view.name == "whole-mirrored")
    (batch,) = [next(prepared(images[:60], CARD, CPU))]
    mirrored = stored_features(tmp_path, source, replace(seen, view=mirror), [2], GAP)[2]
    assert np.allclose(mirrored[:60], cut_features(source.network, [batch.flip(3)], [2], GAP)[2], atol=1e-6)
    assert not np.allclose(mirrored, whole, atol=1e-3)
    assert len(passes) == 15 * -(-len(images) // module.BATCH) + 1
