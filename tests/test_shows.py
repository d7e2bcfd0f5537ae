"""What a layer shows: receptive fields, strongest images, deconvnets, occlusion and invariance, on planted networks."""

import csv
import json
import sys
from collections import OrderedDict
from math import ceil, floor
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import drawing_of
from planted import plant
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet18, squeezenet1_1

from transferability.analysis.tables import INVARIANCE_COLUMNS
from transferability.data.packed import open_packed
from transferability.data.tasks import open_task
from transferability.errors import InputError
from transferability.evaluation import showing
from transferability.evaluation.fields import Box, Fields
from transferability.evaluation.invariance import CHANGES, distances
from transferability.evaluation.projections import Deconvnet, not_a_chain, occlusion
from transferability.evaluation.showing import framed
from transferability.evaluation.strongest import SHOWN, peaks
from transferability.figures import invariance, shows
from transferability.figures.records import NothingToDrawError
from transferability.networks.alexnet import draw
from transferability.networks.checkpoints import Card, save_checkpoint
from transferability.networks.families import FAMILIES
from transferability.networks.stages import AlexNet

torch.set_num_threads(1)

CUTS = ["A5B, conv5", "R1B, conv1", "A2B, conv2"]
TINY = AlexNet("tiny", 1, "batch", 0.0)
NOISE = torch.Generator().manual_seed(0)


def arithmetic_field(family: str, side: int, n: int, place: tuple[int, int]) -> Box:
    """The field of a unit of convolution n of an AlexNet, by arithmetic: layer by layer down, within each map."""
    layers, sizes = [], [side]
    for row in FAMILIES[family](side).convolutions[:n]:
        for kernel, stride, padding in [(row.kernel, row.stride, row.padding), *([(*row.pool, 0)] if row.pool else [])]:
            rounded = ceil if family == "caffenet" and not padding else floor
            layers.append((kernel, stride, padding))
            sizes.append(rounded((sizes[-1] + 2 * padding - kernel) / stride) + 1)
    ends = []
    for low in place:
        high = low
        for (kernel, stride, padding), size in zip(reversed(layers), reversed(sizes[:-1]), strict=True):
            low = max(0, low * stride - padding)
            high = min(size - 1, high * stride - padding + kernel - 1)
        ends.append((low, high + 1))
    (top, bottom), (left, right) = ends
    return Box(top, left, bottom, right)


@pytest.mark.parametrize(("family", "side"), [("tiny", 16), ("small", 64), ("caffenet", 227)])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_field_by_gradient_is_the_arithmetic_one(family, side, n):
    norm = "none" if family == "caffenet" else "batch"
    stages = draw(AlexNet(family, 0.25, norm, 0.0), (3, side, side), 5, lambda n: n)[:n].eval()
    fields = Fields(stages, (3, side, side))
    last = fields.values.shape[1] - 1
    for place in ((0, 0), (last, last), (last // 2, last // 3)):
        # LRN sees the same places of neighbouring channels.
        assert fields((1, *place)) == arithmetic_field(family, side, n, place)


def test_fully_connected_units_and_squeezed_ones_see_the_whole_image():
    whole = Box(0, 0, 8, 8)
    assert Fields(draw(TINY, (1, 8, 8), 5, lambda n: n)[:6].eval(), (1, 8, 8))((3,)) == whole
    squeezed = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert Fields(squeezed, (1, 8, 8))((1,)) == whole


def test_fields_of_a_residual_network_grow_with_depth():
    model = resnet18().eval()
    stem = nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)
    stages = nn.Sequential(stem, model.layer1, model.layer2)
    areas = []
    for n in (1, 2, 3):
        fields = Fields(stages[:n], (3, 224, 224))
        box = fields((0, 14, 14))
        areas.append((box.height, box.width))
    # 7 × 7 and 3 × 3 by steps of 2 see 11; four convolutions at a step of 4 add 32; at 8, and one at 4, 56.
    assert areas == [(11, 11), (43, 43), (99, 99)]


def stripes(side: int = 24) -> tuple[Tensor, list[int]]:
    """Sixty images of noise, (60, 1, side, side), twelve of which have a patch of upright stripes; and which."""
    generator = torch.Generator().manual_seed(3)
    images = 0.3 * torch.randn(60, 1, side, side, generator=generator)
    striped = list(range(2, 60, 5))
    wave = torch.tensor([1.0, -1.0]).repeat(4)
    for order, image in enumerate(striped):
        y, x = (3 * order) % 14, (5 * order) % 14
        images[image, 0, y : y + 8, x : x + 8] = (1 + 0.05 * order) * wave
    return images, striped


def stripe_detector(trace: bool = False) -> nn.Sequential:
    """Two stages: eight filters, of which the sixth is upright stripes, ReLU and max pooling; then their mixture."""
    first = nn.Conv2d(1, 8, 4, bias=False)
    second = nn.Conv2d(8, 6, 3, padding=1, bias=False)
    with torch.no_grad():
        first.weight.copy_(0.1 * torch.randn(first.weight.shape, generator=torch.Generator().manual_seed(5)))
        first.weight[5] = torch.tensor([1.0, -1.0, 1.0, -1.0]).expand(1, 4, 4) / 4
        second.weight.zero_()
        second.weight[2, 5] = 1 / 9
        second.weight[[0, 1, 3, 4, 5], [0, 1, 2, 3, 4]] = 0.1
    one = nn.Sequential(OrderedDict(conv=first, relu=nn.ReLU(), pool=nn.MaxPool2d(2)))
    two = nn.Sequential(OrderedDict(conv=second, relu=nn.ReLU()))
    return nn.Sequential(OrderedDict(conv1=one, conv2=two)).eval()


@pytest.mark.parametrize(("n", "unit"), [(1, 5), (2, 2)])
def test_a_planted_stripe_detector_finds_stripes(n, unit):
    network, (images, striped) = stripe_detector(), stripes()
    found = peaks(network, images.split(25), [1, 2])[n]
    strongest = found.images(unit)
    assert len(strongest) == len(set(strongest)) == SHOWN
    assert strongest == sorted(striped, reverse=True)[:SHOWN]
    stages = network[:n]
    fields, deconvnet = Fields(stages, (1, 24, 24)), Deconvnet(stages)
    for image in strongest:
        place = found.place(image, unit)
        box = fields(place)
        assert stages(images[image][None])[0][place] == stages(images[image][None])[0, unit].max()
        order = striped.index(image)
        y, x = (3 * order) % 14, (5 * order) % 14
        assert max(box.top, y) < min(box.bottom, y + 8)
        assert max(box.left, x) < min(box.right, x + 8)
        back = deconvnet(images[image], place)
        outside = back.clone()
        box.of(outside).zero_()
        assert outside.abs().max() == 0
        # Stripes: neighbours across differ in sign, neighbours along do not.
        pattern = box.of(back)[0]
        assert (pattern[:, 1:] * pattern[:, :-1]).sum() < 0 < (pattern[1:] * pattern[:-1]).sum()
        assert functional.cosine_similarity(pattern.flatten(), box.of(images[image])[0].flatten(), 0) > 0.6


def test_a_deconvnet_unpools_by_switches_and_rectifies_on_the_way_down():
    """Held against its definition written out: transposed filters, unpooling, ReLU of the signal."""
    network = stripe_detector()
    images, _ = stripes()
    one, two = network
    convolved = one.conv(images[:1])
    pooled, switches = functional.max_pool2d(one.relu(convolved), 2, return_indices=True)
    top = two(pooled)
    place = (2, 5, 4)
    signal = torch.zeros_like(top)
    signal[0][place] = top[0][place]
    down = functional.conv_transpose2d(functional.relu(signal), two.conv.weight, padding=1)
    unpooled = functional.max_unpool2d(down, switches, 2, output_size=convolved.shape[2:])
    expected = functional.conv_transpose2d(functional.relu(unpooled), one.conv.weight)
    assert torch.allclose(Deconvnet(network)(images[0], place), expected[0], atol=1e-6)


def test_chains_are_told_from_other_networks_with_what_is_in_the_way():
    assert not_a_chain(draw(TINY, (1, 8, 8), 5, lambda n: n)[:7].eval()) is None
    original = draw(AlexNet("caffenet", 0.1, "none", 0.0), (3, 227, 227), 5, lambda n: n)
    assert not_a_chain(original[:1]) == "conv1 has a LocalResponseNorm, which a deconvnet cannot go back through"
    model = squeezenet1_1()
    staged = nn.Sequential(OrderedDict(stem=model.features[:3], fire=model.features[3]))
    assert not_a_chain(staged[:1]) is None
    assert not_a_chain(staged) == "fire has a Fire, which a deconvnet cannot go back through"


def test_occlusion_falls_where_the_unit_looks():
    network, (images, striped) = stripe_detector(), stripes()
    found = peaks(network, [images], [2])[2]
    image = found.images(2)[0]
    place = found.place(image, 2)
    box = Fields(network, (1, 24, 24))(place)
    fallen = occlusion(network, images[image], place, box)
    assert fallen.shape == (24, 24)
    order = striped.index(image)
    y, x = (3 * order) % 14, (5 * order) % 14
    striped_part = torch.zeros(24, 24, dtype=torch.bool)
    striped_part[y : y + 8, x : x + 8] = True
    seen = torch.zeros(24, 24, dtype=torch.bool)
    box.of(seen).fill_(True)
    assert fallen[~seen].abs().max() == 0
    beside = seen & ~striped_part
    assert beside.sum() > 10
    # A square that lies half on the stripes lies half beside them.
    assert fallen.argmax() in striped_part.flatten().nonzero()
    assert fallen[seen & striped_part].mean() > 2 * fallen[beside].mean().abs()


def test_units_are_chosen_by_number_among_those_that_answer():
    values = np.zeros((20, 10))
    values[:9, [1, 2, 4, 5, 8]] = 1
    values[:8, 3] = 5
    found = peaks(nn.Sequential(nn.Identity()).eval(), [torch.from_numpy(values)], [1])[1]
    assert found.units(3) == [1, 4, 8]
    assert found.units(50) == [1, 2, 4, 5, 8]
    assert found.images(1) == list(range(9))
    assert found.place(3, 4) == (4,)


def test_tokens_have_units_too_and_other_shapes_are_refused():
    tokens = torch.randn(4, 7, 5, generator=NOISE)
    found = peaks(nn.Sequential(nn.Identity()).eval(), [tokens], [1])[1]
    for image in range(4):
        assert float(tokens[image][found.place(image, 2)]) == float(tokens[image, :, 2].max())
    with pytest.raises(InputError, match="a stage that gives 2×2×2×2 for an image has no units that are known"):
        peaks(nn.Sequential(nn.Identity()).eval(), [torch.zeros(3, 2, 2, 2, 2)], [1])


def test_a_field_that_the_edge_cuts_off_lies_where_it_would_in_the_whole():
    pixels = torch.full((1, 3, 5), 7, dtype=torch.uint8)
    frame = framed(pixels, Box(0, 4, 3, 9), (5, 5))
    assert frame[0].eq(7).sum(1).tolist() == [0, 0, 5, 5, 5]
    assert framed(pixels, Box(6, 4, 9, 9), (5, 5))[0].eq(7).sum(1).tolist() == [5, 5, 5, 0, 0]


def test_what_does_not_move_with_an_image_has_no_distance():
    """The mean over places is the same for an image turned by 90 degrees; all places in their order are not."""
    images = torch.randn(12, 1, 16, 16, generator=NOISE)
    mean = nn.Sequential(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Linear(1, 3)).eval()
    rows = {(change, amount): distance for n, change, amount, distance in distances(mean, images, [1, 2]) if n == 1}
    assert rows["rotation", 90] < 1e-4
    assert rows["rotation", 180] < 1e-4
    assert rows["shift", 0.0] == rows["scale", 1.0] == rows["rotation", 0.0] == 0
    places = nn.Sequential(nn.Identity(), nn.Identity()).eval()
    rows = {(change, amount): distance for _, change, amount, distance in distances(places, images, [1])}
    assert rows.keys() == {(change, amount) for change, views in CHANGES.items() for amount in views} | {
        ("shift", 0.0),
        ("scale", 1.0),
        ("rotation", 0.0),
    }
    assert rows["rotation", 180] == pytest.approx(1, abs=0.1)
    constant = nn.Sequential(nn.Threshold(1e9, 0.0)).eval()
    assert list(distances(constant, images, [1])) == []


@pytest.fixture(scope="module")
def looked(packed_digits, digits_split, tmp_path_factory) -> Path:
    """The folder of what the command has written for three cuts of two networks, and of their tables."""
    folder, task = tmp_path_factory.mktemp("looked"), open_task(digits_split, "B", packed_digits)
    words = ["--split", digits_split, "--packed", packed_digits, "--shape", 1, 8, 8, "--cuts", "A5B", "R1B", "A2B"]
    for name in ("baseA", "R6B"):
        card = Card(name, TINY, (1, 8, 8), task.classes, task.mean, task.std)
        save_checkpoint(folder / name / "model.safetensors", draw(TINY, (1, 8, 8), 5, lambda n: n), card)
    words += ["--models", *(folder / name / "model.safetensors" for name in ("baseA", "R6B", "baseA"))]
    words += ["--units", 3, "--images", 80, "--device", "cpu", "--threads", 1]
    words += ["--shows", folder / "shows.npz", "--invariance", folder / "invariance.csv"]
    for _ in range(2):
        before = {path: path.read_bytes() for path in folder.glob("*.*")}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["showing", *map(str, words)])
            showing.main()
    assert before == {path: path.read_bytes() for path in folder.glob("*.*")}
    return folder


def test_the_command_shows_every_cut_in_the_order_asked_for(looked, packed_digits):
    with np.load(looked / "shows.npz", allow_pickle=False) as arrays:
        cards = json.loads(str(arrays["card"]))
        assert [(card["cut"], card["stage"]) for card in cards] == [
            ("A5B", "conv5"),
            ("R1B", "conv1"),
            ("A2B", "conv2"),
        ]
        for at, card in enumerate(cards):
            assert arrays[f"patches{at}"].shape == arrays[f"answers{at}"].shape == (3, 9, *card["field"], 1)
            assert card["method"] == "deconvnet"
            assert all(values == sorted(values, reverse=True) and values[-1] > 0 for values in card["values"])
            assert all(len(set(images)) == 9 for images in card["images"])
        # In a map of 4 × 4, padding cuts every field of the second stage off.
        assert [card["field"] for card in cards] == [[8, 8], [4, 4], [7, 7]]
        # A patch of the first stage is a part of its image.
        stored = open_packed(packed_digits).images
        patch = arrays["patches1"][0, 0, 1:3, 1:3, 0]
        windows = np.lib.stride_tricks.sliding_window_view(stored[:, 0], (2, 2), axis=(1, 2))
        assert (windows == patch).all((3, 4)).any()
    rows = list(csv.DictReader((looked / "invariance.csv").open()))
    assert list(rows[0]) == list(INVARIANCE_COLUMNS)
    assert list(dict.fromkeys(row["cut"] for row in rows)) == ["A5B", "R1B", "A2B"]
    assert len(rows) == 3 * 3 * 6
    assert {row["images"] for row in rows} == {"50"}


def test_the_figures_have_a_panel_a_unit_and_a_curve_a_cut(looked):
    drawing = drawing_of(shows, plant(), tables=looked)
    titles = [panel.get_title("left") for panel in drawing.figure.axes if panel.get_visible()]
    assert len(titles) == 9
    assert titles[0].startswith("A5B, conv5, unit ")
    footer = drawing.figure.legends[0].get_title().get_text().replace("\n", " ")
    assert "evenly spaced by number among those that answer" in footer
    assert "A5B 8×8, R1B 4×4 and A2B 7×7" in footer
    assert "deconvnet" in drawing.caption
    moved = drawing_of(invariance, plant(), tables=looked)
    assert [len(panel.get_lines()) for panel in moved.figure.axes] == [4, 4, 4]
    assert [text.get_text() for text in moved.figure.legends[0].get_texts()] == [
        "A5B, conv5",
        "R1B, conv1",
        "A2B, conv2",
    ]


def test_without_shows_the_figures_say_so_and_half_a_file_is_refused(looked, tmp_path):
    for module in (shows, invariance):
        with pytest.raises(NothingToDrawError, match="name some"):
            drawing_of(module, plant(), tables=tmp_path)
    (tmp_path / "shows.npz").write_bytes((looked / "shows.npz").read_bytes()[:500])
    with pytest.raises(InputError, match=r"shows.npz: not whole \(.*\); delete it and run again"):
        drawing_of(shows, plant(), tables=tmp_path)
