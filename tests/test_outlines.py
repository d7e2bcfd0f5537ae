"""Outlines: masks drawn from polygons and run lengths, as COCO's JSON has them."""

import json

import numpy as np
import pytest
from devkits import SIDE, scattered, write_devkit, write_instances, write_masks

from transferability.data.masks import BACKGROUND, VOID, decoded_mask
from transferability.data.outlines import Drawn, region_of, unpacked_counts
from transferability.data.packed import open_packed
from transferability.data.packing import pack
from transferability.errors import InputError

SHOWN = scattered({"train": 12, "val": 6})
COMPRESSED = (
    "i01W10000000ZO`0D@<`0D@<`0D@<`0D@<`0D@<`0D@<`0D@<`0D@<`0D@<`0D@<`0D@<`0D@<`0D@<`0D@<`0D@<`0D@<`0D@<`0D@<`0D@<"
    "`0D@<`0D@<`0D@<`0D@<`0D@<`0D@R10000000000000000000000000000000000000WO0:0F"
)
"""What pycocotools 2.0 writes of an image of 50×40 with a rectangle, a line and a pixel."""


def write_outlines(year, every: bool = True) -> dict:
    """The squares of a devkit in COCO's form, each with its outline, by turns a polygon and run lengths; the options of
    the source. Unless `every` has one, the last object has none."""
    options = write_instances(year, SHOWN)
    for part, where in options["parts"].items():
        path = year / where["annotations"]
        content = json.loads(path.read_text())
        for number, row in enumerate(content["annotations"]):
            left, top, width, height = row["bbox"]
            right, bottom = left + width, top + height
            polygon = [left, top, right, top, right, bottom, left, bottom]
            row["segmentation"] = [polygon] if number % 2 else runs_of(left, top)
        if not every and part == "val":
            del content["annotations"][-1]["segmentation"]
        path.write_text(json.dumps(content))
    return options | {"size": 32, "channels": 3, "masks": True}


def runs_of(left: int, top: int, width: int = 48, height: int = 32) -> dict:
    """The run lengths of a square, column by column."""
    counts = [left * height + top, SIDE, *[height - SIDE, SIDE] * (SIDE - 1)]
    return {"size": [height, width], "counts": [*counts, width * height - sum(counts)]}


def test_drawn_masks_are_those_of_a_devkit(tmp_path):
    year = write_devkit(tmp_path / "devkit", SHOWN)
    write_masks(year, SHOWN)
    levels = {"classes": {"blue": 3, "green": 2, "red": 1, "white": 4}}
    pack({"source": "voc", "path": str(year), "size": 32, "channels": 3, "masks": levels}, tmp_path / "voc")
    pack(write_outlines(year), tmp_path / "coco")
    voc, coco = (open_packed(tmp_path / name) for name in ("voc", "coco"))
    assert coco.card["masks"] == {"labels": voc.card["masks"]["labels"], "images": len(coco.masks)}
    compared = 0
    for file, text in zip(voc.files, voc.masks, strict=True):
        if text:
            theirs, ours = decoded_mask(text), decoded_mask(coco.masks[coco.files.index(file)])
            # The first line of each square is of no class in the devkit's masks.
            known = theirs != VOID
            known[1:] &= known[:-1]
            assert np.array_equal(theirs[known & (theirs != BACKGROUND)], ours[known & (theirs != BACKGROUND)])
            compared += int((ours != BACKGROUND).sum())
    assert compared > 500


def test_an_image_of_which_an_object_has_no_outline_has_no_mask(tmp_path):
    options = write_outlines(write_devkit(tmp_path / "devkit", SHOWN), every=False)
    pack(options, tmp_path / "packed")
    packed = open_packed(tmp_path / "packed")
    assert packed.masks.count("") == 1
    assert packed.card["masks"]["images"] == len(packed.masks) - 1


def test_pixels_whose_centre_lies_in_a_polygon_are_its_region():
    triangle = region_of([[0, 0, 4, 0, 0, 4]], (5, 4))
    # Centres on the edge at the right, such as (0.5, 3.5), are outside.
    assert triangle.astype(int).tolist() == [[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    two = region_of([[0, 0, 1, 0, 1, 1, 0, 1], [3, 2, 9, 2, 9, 9, 3, 9]], (5, 4))
    assert np.argwhere(two).tolist() == [[0, 0], [2, 3], [2, 4], [3, 3], [3, 4]]


def test_run_lengths_go_down_the_columns_and_compressed_ones_are_what_pycocotools_writes():
    assert region_of({"size": [2, 3], "counts": [1, 2, 3]}, (3, 2)).astype(int).tolist() == [[0, 1, 0], [1, 0, 0]]
    mask = np.zeros((40, 50), bool)
    mask[3:20, 5:30], mask[25], mask[0, 49] = True, True, True
    assert np.array_equal(region_of({"size": [40, 50], "counts": COMPRESSED}, (50, 40)), mask)
    assert sum(unpacked_counts(COMPRESSED)) == 40 * 50


def test_where_objects_of_two_labels_overlap_pixels_do_not_count_whatever_their_order(tmp_path):
    cat, dog = [[0, 0, 2, 0, 2, 1, 0, 1]], [[1, 0, 3, 0, 3, 1, 1, 1]]
    for objects in ([("cat", cat), ("dog", dog)], [("dog", dog), ("cat", cat)]):
        masks = Drawn.by(tmp_path, ["cat", "dog"], {"a.jpg": objects})
        assert masks.read("a.jpg", (4, 1)).tolist() == [[1, VOID, 2, BACKGROUND]]
        # Of one label they do, and what has no label is background.
        animals = masks.renamed({"cat": "animal", "dog": "animal"})
        assert animals.read("a.jpg", (4, 1)).tolist() == [[1, 1, 1, BACKGROUND]]
        assert masks.renamed({"dog": "dog"}).read("a.jpg", (4, 1)).tolist() == [[BACKGROUND, 1, 1, BACKGROUND]]


@pytest.mark.parametrize(
    ("outline", "sentence"),
    [
        ([[0, 0, 1, 1]], "a polygon has three corners at least"),
        ([[0, 0, 1, 0, 1, "x"]], "could not convert string to float"),
        ({"size": [2, 3], "counts": [1, 2]}, "its run lengths are not those of 3×2 pixels"),
        ({"size": [3, 2], "counts": [6]}, "its run lengths are not those of 3×2 pixels"),
        ({"size": [2, 3]}, "'counts'"),
    ],
)
def test_an_outline_that_is_none_is_named_with_its_image(tmp_path, outline, sentence):
    with pytest.raises(InputError, match=r"an object of a\.jpg has an outline that is none") as error:
        Drawn.by(tmp_path, ["cat"], {"a.jpg": [("cat", outline)]}).read("a.jpg", (3, 2))
    assert sentence in str(error.value)


def test_more_classes_than_masks_have_room_for_are_refused(tmp_path):
    with pytest.raises(InputError, match="masks have room for 254 classes, and these are 300"):
        Drawn.by(tmp_path, [str(number) for number in range(300)], {})
