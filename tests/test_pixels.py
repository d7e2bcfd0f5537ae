"""Masks as they are packed, and the linear probe of pixels that learns from them."""

import base64
import io
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from devkits import LEVELS, MASKS, scattered, write_devkit, write_masks
from PIL import Image
from torch import nn

from transferability import files
from transferability.data.masks import BACKGROUND, VOID, Masks, decoded_mask
from transferability.data.packed import Packed, open_packed
from transferability.data.packing import pack
from transferability.data.splits import make_split
from transferability.errors import InputError
from transferability.evaluation.features import Source
from transferability.evaluation.pixels import (
    MapReader,
    MaskedTask,
    PixelProbe,
    confusion_of,
    intersections_over_unions,
    learn,
    level_table,
    read_part,
    shares_of_classes,
)
from transferability.networks.checkpoints import Card
from transferability.networks.stages import AlexNet

MATERIAL = Path(__file__).parents[2] / "shared/material/coco128-voc/VOCdevkit"


@pytest.fixture(scope="module")
def shown() -> dict:
    return scattered({"train": 80, "val": 40})


@pytest.fixture(scope="module")
def year(shown, tmp_path_factory) -> Path:
    made = write_devkit(tmp_path_factory.mktemp("masked"), shown)
    write_masks(made, shown)
    return made


@pytest.fixture(scope="module")
def packed(year, tmp_path_factory) -> Packed:
    folder = tmp_path_factory.mktemp("packed")
    pack({"source": "voc", "path": str(year), "size": 32, "channels": 3, "masks": MASKS}, folder)
    return open_packed(folder)


def test_masks_are_packed_with_their_images_and_squares_lie_where_they_were(packed, shown):
    assert packed.card["masks"] == {"labels": sorted(LEVELS), "images": 60}
    for part, file, text in zip(packed.parts, packed.files, packed.masks, strict=True):
        names = list(shown[part])
        assert (text != "") == (names.index(Path(file).stem) % 2 == 0)
        if text:
            mask = decoded_mask(text)
            assert mask.shape == (32, 32)
            for colour, left, top in shown[part][Path(file).stem]:
                # Of 48 columns 32 are stored, of 32 lines all; the first line of a square is void.
                column = round((left + 6) * 32 / 48)
                assert mask[top + 6, column] == sorted(LEVELS).index(colour) + 1
                assert mask[top, column] == VOID
            assert (mask == BACKGROUND).mean() > 0.5


def test_merged_classes_are_one_label_and_those_without_one_background(year, tmp_path):
    merge = {"warm": ["red"], "cold": ["green", "blue"]}
    pack({"source": "voc", "path": str(year), "size": 32, "channels": 3, "masks": MASKS, "merge": merge}, tmp_path)
    merged = open_packed(tmp_path)
    assert merged.card["masks"]["labels"] == ["cold", "warm"]
    levels = {int(level) for text in merged.masks if text for level in np.unique(decoded_mask(text))}
    assert levels == {BACKGROUND, 1, 2, VOID}


WRONG = {
    "has the level 40, which is no class of VOC's": (True, np.full((32, 48), 40, np.uint8)),
    "a mask has one level of 8 bits a pixel of its image, 48×32; this has 32×32": (MASKS, np.zeros((32, 32), np.uint8)),
    "no mask that can be read": (MASKS, None),
}


@pytest.mark.parametrize("sentence", WRONG)
def test_a_mask_that_is_none_is_named(tmp_path, sentence):
    options, levels = WRONG[sentence]
    year = write_devkit(tmp_path, {"train": {"000000": [("red", 0, 0)], "000001": [("red", 0, 0)]}})
    (year / "SegmentationClass").mkdir()
    path = year / "SegmentationClass/000001.png"
    path.write_bytes(b"no image") if levels is None else Image.fromarray(levels).save(path)
    with pytest.raises(InputError, match=f"000001.png: .*{sentence}"):
        pack({"source": "voc", "path": str(year), "size": 32, "channels": 3, "masks": options}, tmp_path / "packed")


def test_masks_that_the_params_misname_or_that_are_not_there_are_refused(year, tmp_path):
    slip = {"classes": {"whitte": 4}}
    with pytest.raises(InputError, match="masks names the class 'whitte', and the images show 'white'"):
        pack({"source": "voc", "path": str(year), "size": 32, "channels": 3, "masks": slip}, tmp_path / "a")
    with pytest.raises(InputError, match="a level stands for two classes"):
        Masks.of(year, {"classes": {"red": 1, "blue": 1}})
    bare = write_devkit(tmp_path, {"train": {"000000": [("red", 0, 0)], "000001": [("red", 0, 0)]}})
    with pytest.raises(InputError, match="SegmentationClass: there is no such folder of masks"):
        pack({"source": "voc", "path": str(bare), "size": 32, "channels": 3, "masks": True}, tmp_path / "b")
    (bare / "SegmentationClass").mkdir()
    with pytest.raises(InputError, match="has no mask of any image of the set"):
        pack({"source": "voc", "path": str(bare), "size": 32, "channels": 3, "masks": True}, tmp_path / "c")


def test_a_palette_is_no_level(tmp_path):
    levels = np.array([[0, 1], [2, 255]], np.uint8)
    image = Image.fromarray(levels).convert("P")
    image.putdata(levels.ravel().tolist())
    image.putpalette([value for level in range(256) for value in (level // 2, 9, 200)])
    image.save(tmp_path / "one.png")
    masks = Masks.of(tmp_path, True)
    assert masks.read("one", (2, 2)).tolist() == [[0, 1], [2, VOID]]
    stored = decoded_mask(masks.stored("one", (2, 2), 4, "warp"))
    assert stored.tolist() == np.kron([[0, 1], [2, VOID]], np.ones((2, 2), int)).tolist()
    data = Image.open(io.BytesIO(base64.b64decode(masks.stored("one", (2, 2), 2, "crop"))))
    assert (data.mode, data.size) == ("L", (2, 2))
    assert masks.stored("two", (2, 2), 4, "warp") == ""


def test_labels_of_no_class_of_the_task_are_background():
    table = level_table(["blue", "green", "red"], ["green", "blue"])
    assert table[[BACKGROUND, 1, 2, 3, 4, VOID]].tolist() == [2, 1, 0, 2, VOID, VOID]


def test_a_place_is_taught_the_shares_of_its_pixels_that_count():
    mask = np.array([[0, 0, 1, VOID], [0, 2, VOID, VOID]])
    shares, counted = shares_of_classes(mask, 3, (1, 2))
    assert counted == pytest.approx([1, 0.25])
    assert shares == pytest.approx(np.array([[0.75, 0, 0.25], [0, 1, 0]]))


def test_intersection_over_union_of_a_case_by_hand():
    # Three pixels of class 0, two of them called 0; four of class 1, all called 1; the other of 0 is called 1.
    confusion = np.array([[2, 1, 0], [0, 4, 0], [0, 0, 0]])
    values = intersections_over_unions(confusion)
    assert values[:2] == pytest.approx([2 / 3, 4 / 5])
    assert np.isnan(values[2])


def test_pixels_between_places_are_interpolated_and_void_does_not_count():
    logits = torch.tensor([[[4.0, -4.0]], [[0.0, 0.0]]])
    mask = np.array([[0, 0, 1, 1], [0, VOID, 0, 1]])
    # Of four columns the left two are nearer to the left place, whose class is 0.
    assert confusion_of(logits, mask).tolist() == [[3, 1], [0, 3]]


@pytest.fixture(scope="module")
def masked(packed, tmp_path_factory) -> MaskedTask:
    path = tmp_path_factory.mktemp("split") / "all.json"
    parts = {"validation": 0.2, "test": "val", "seed": 0, "duplicates": "keep"}
    files.write_json(path, make_split(packed, {"kind": "whole"}, {}, parts))
    return MaskedTask.open(path, "A", packed.folder)


@pytest.fixture(scope="module")
def colours() -> Source:
    """A network whose first stage gives the colours themselves, a place for two pixels, and whose second gives none."""
    stages = OrderedDict(colours=nn.AvgPool2d(2), mean=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    card = Card("pretrained", AlexNet("tiny", 1, "none", 0.5), (3, 32, 32), [], [0.5] * 3, [0.5] * 3)
    return Source(nn.Sequential(stages).eval(), card, torch.device("cpu"))


def test_a_linear_probe_of_colours_finds_coloured_squares_and_its_scores_are_those_of_every_pixel(masked, colours):
    reader = MapReader(colours, [1])
    layers = learn(reader, masked, PixelProbe(steps=600, learning_rate=0.1))
    scores = read_part(reader, layers, masked, "test")[1].scores(masked.task, "test")
    assert scores["miou"] > 0.75
    assert scores["miou"] > scores["miou_of_background"] + 0.4
    assert scores["map"] > 0.95
    right = total = 0
    for index in range(len(masked.task.labels["test"])):
        if (mask := masked.mask("test", index)) is not None:
            (maps,) = reader.maps(masked.task.images["test"][np.array([index])])
            logits = layers[1].logits(maps[1].permute(0, 2, 3, 1).reshape(-1, 3).numpy()).T.reshape(1, -1, 16, 16)
            called = nn.functional.interpolate(logits, (32, 32), mode="bilinear")[0].argmax(0).numpy()
            right, total = right + (called == mask)[mask != VOID].sum(), total + (mask != VOID).sum()
    assert scores["pixel_accuracy"] == pytest.approx(right / total)


def test_a_cut_without_a_map_and_a_set_without_masks_are_refused_in_a_sentence(masked, colours, year, tmp_path):
    with pytest.raises(InputError, match=r"stage 2 \(mean\) gives no map, so it has no pixels to tell"):
        MapReader(colours, [2]).shapes()
    pack({"source": "voc", "path": str(year), "size": 32, "channels": 3}, tmp_path / "bare")
    parts = {"validation": 0.2, "test": "val", "seed": 0, "duplicates": "keep"}
    files.write_json(tmp_path / "s.json", make_split(open_packed(tmp_path / "bare"), {"kind": "whole"}, {}, parts))
    with pytest.raises(InputError, match="has no masks, which a pixel probe learns from"):
        MaskedTask.open(tmp_path / "s.json", "A", tmp_path / "bare")


def test_real_masks_of_coco_are_read_by_level(tmp_path):
    if not MATERIAL.is_dir():
        pytest.skip("needs coco128-voc")
    masks = {"classes": {"person": 1, "car": 3, "cat": 17, "dog": 18}, "void": [0]}
    pack({"source": "voc", "path": str(MATERIAL), "size": 64, "channels": 3, "masks": masks}, tmp_path)
    packed = open_packed(tmp_path)
    assert packed.card["masks"]["labels"] == ["car", "cat", "dog", "person"]
    assert packed.card["masks"]["images"] > 190
    shows = [index for index, text in enumerate(packed.masks) if text and "cat" in packed.classes[index].split("|")]
    assert all((decoded_mask(packed.masks[index]) == 2).any() for index in shows)
