"""Images of several labels: what their sources give, how they are divided, and what is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from devkits import (
    HEIGHT,
    SIDE,
    WIDTH,
    annotation_xml,
    object_xml,
    scattered,
    write_devkit,
    write_instances,
    write_table,
)

from transferability import files
from transferability.data.entries import labels_of
from transferability.data.packed import Packed, open_packed
from transferability.data.packing import pack
from transferability.data.splits import make_split
from transferability.data.tasks import DIFFICULT, MULTI, open_task
from transferability.errors import InputError

STORED = {"size": 24, "channels": 3}
PARTS = {"validation": 0.25, "test": "val", "seed": 0}
MATERIAL = Path(__file__).parents[2] / "shared/material"
PAIR = {"kind": "classes", "A": ["red", "green"], "B": ["blue", "white"]}


@pytest.fixture(scope="module")
def shown() -> dict:
    """What the images of two parts show."""
    return scattered({"train": 60, "val": 30})


@pytest.fixture(scope="module")
def year(shown, tmp_path_factory) -> Path:
    """A devkit with those images."""
    return write_devkit(tmp_path_factory.mktemp("devkit"), shown)


@pytest.fixture(scope="module")
def packed(year, tmp_path_factory) -> Packed:
    """The devkit, packed."""
    return pack_into(tmp_path_factory.mktemp("packed"), {"source": "voc", "path": str(year.parent)})


@pytest.fixture
def small(tmp_path) -> Path:
    """A devkit of two images, to be broken."""
    images = {"train": {"000000": [("red", 4, 4)], "000001": [("green", 4, 4), ("blue", 30, 10)]}}
    return write_devkit(tmp_path / "devkit", images)


def pack_into(folder: Path, options: dict) -> Packed:
    pack({**STORED, **options}, folder / "packed")
    return open_packed(folder / "packed")


def test_a_devkit_gives_labels_parts_and_boxes_as_shares_of_the_stored_square(packed, shown):
    assert packed.several
    for text, part, file, boxes in zip(packed.classes, packed.parts, packed.files, packed.boxes, strict=True):
        squares = shown[part][Path(file).stem]
        assert labels_of(text) == tuple(sorted(colour for colour, *_ in squares))
        corners = {
            (label, round(x0 * WIDTH), round(y0 * HEIGHT), round(x1 * WIDTH), round(y1 * HEIGHT))
            for label, x0, y0, x1, y1, _, _ in json.loads(boxes)
        }
        assert corners == {(colour, x, y, x + SIDE, y + SIDE) for colour, x, y in squares}
    assert packed.card["classes"]["red"] == sum("red" in labels_of(text) for text in packed.classes)


@pytest.mark.parametrize("write", [write_instances, write_table])
def test_cocos_json_and_a_table_give_the_labels_of_the_devkit(write, year, shown, packed, tmp_path):
    other = pack_into(tmp_path, write(year, shown))
    assert (other.classes, other.parts, other.hashes) == (packed.classes, packed.parts, packed.hashes)
    if write is write_instances:
        assert [sorted(json.loads(text)) for text in other.boxes] == [sorted(json.loads(text)) for text in packed.boxes]


def test_boxes_follow_the_centre_that_is_cut_out(year, shown, tmp_path):
    cut = pack_into(tmp_path, {"source": "voc", "path": str(year), "square": "crop"})
    for part, file, boxes in zip(cut.parts, cut.files, cut.boxes, strict=True):
        for label, x0, y0, x1, y1, _, _ in json.loads(boxes):
            (square,) = (each for each in shown[part][Path(file).stem] if each[0] == label)
            # Of 48 columns the middle 32 are stored.
            left, right = (min(1, max(0, (x - 8) / 32)) for x in (square[1], square[1] + SIDE))
            assert (x0, x1) == pytest.approx((left, right), abs=0.02)
            assert (y0, y1) == pytest.approx((square[2] / 32, (square[2] + SIDE) / 32), abs=1e-5)


def test_classes_merge_into_labels_and_images_without_one_are_counted(year, shown, tmp_path):
    merge = {"warm": ["red"], "cold": ["green", "blue"]}
    merged = pack_into(tmp_path, {"source": "voc", "path": str(year), "merge": merge})
    white = [
        images for part in shown.values() for images in part.values() if {name for name, *_ in images} == {"white"}
    ]
    assert merged.card["classes"].keys() == {"cold", "warm"}
    (left_out,) = [entry for entry in merged.card["left_out"] if "without any" in entry["reason"]]
    assert left_out["count"] == len(white) > 0
    with pytest.raises(InputError, match=r"has no class 'gren', which .*merge names .is it 'green'"):
        pack_into(tmp_path / "slip", {"source": "voc", "path": str(year), "merge": {"a": ["gren"], "b": ["red"]}})


def test_objects_that_are_all_difficult_are_no_examples_for_or_against_a_class(tmp_path):
    images = {"train": {f"{number:06d}": [("red", 0, 0), ("blue", 30, 4)] for number in range(12)}}
    year = write_devkit(tmp_path, images)
    hard = annotation_xml("000002", object_xml("red", 0, 0, difficult=True) + object_xml("blue", 30, 4))
    (year / "Annotations/000002.xml").write_text(hard)
    packed = pack_into(tmp_path, {"source": "voc", "path": str(year)})
    assert (packed.classes[2], packed.difficult[2]) == ("blue", "red")
    parts = {"validation": 0.25, "test": 0.25, "seed": 0, "duplicates": "keep"}
    files.write_json(tmp_path / "split.json", make_split(packed, {"kind": "whole"}, {}, parts))
    task = open_task(tmp_path / "split.json", "A", tmp_path / "packed")
    labels = np.concatenate(list(task.labels.values()))
    assert (task.kind, labels.dtype, len(labels)) == (MULTI, np.int8, 12)
    assert sorted(labels[:, task.classes.index("red")]) == [DIFFICULT] + [1] * 11
    assert (labels[:, task.classes.index("blue")] == 1).all()


@pytest.mark.parametrize("shared", ["neither", "both"])
def test_images_of_both_tasks_go_where_the_params_say(packed, shared):
    split = make_split(packed, PAIR, {}, {**PARTS, "shared": shared})
    of_both = {
        index
        for index, text in enumerate(packed.classes)
        if {"red", "green"} & set(labels_of(text)) and {"blue", "white"} & set(labels_of(text))
    }
    found = {side: {part: union(split["tasks"][side][part]) for part in ("train", "test")} for side in "AB"}
    assert split["shared"] == {"images": len(of_both), "to": shared}
    everything = union_of(found["A"]) & union_of(found["B"])
    assert everything == ({index for index in of_both if in_parts(split, index)} if shared == "both" else set())
    assert all(packed.parts[index] == "val" for index in found["A"]["test"] | found["B"]["test"])


def union(classes: dict[str, list[int]]) -> set[int]:
    return {index for indices in classes.values() for index in indices}


def union_of(parts: dict[str, set[int]]) -> set[int]:
    return set().union(*parts.values())


def in_parts(split: dict, index: int) -> bool:
    """Whether an image serves training or test."""
    return any(index in union(split["tasks"]["A"][part]) for part in ("train", "test"))


def test_an_image_has_one_part_and_labels_are_those_of_its_task(packed, tmp_path):
    split = make_split(packed, PAIR, {}, {**PARTS, "shared": "both"})
    seen = [union(split["tasks"][side][part]) for side in "AB" for part in ("train", "validation", "test")]
    for one, other in ((0, 4), (0, 5), (1, 3), (1, 5), (2, 3), (2, 4), (0, 1), (0, 2), (1, 2)):
        assert not seen[one] & seen[other]
    files.write_json(tmp_path / "split.json", split)
    task = open_task(tmp_path / "split.json", "B", packed.folder)
    order = sorted(seen[5])
    expected = [[int(name in labels_of(packed.classes[index])) for name in task.classes] for index in order]
    assert task.labels["test"].tolist() == expected
    assert np.array_equal(task.images["test"][:2], packed.images[order[:2]])


def test_a_volume_keeps_so_many_images_of_each_class(packed):
    split = make_split(packed, {**PAIR, "volume": {"B": 3, "seed": 0}}, {}, PARTS)
    counts = [len(split["tasks"]["B"]["train"][name]) for name in ("blue", "white")]
    assert min(counts) >= 3
    assert len(union(split["tasks"]["B"]["train"])) <= 6


def test_a_class_that_no_test_image_shows_is_named(packed, tmp_path):
    images = {"train": {"000000": [("red", 0, 0)], "000001": [("red", 0, 8)]}, "val": {"000002": [("blue", 0, 0)]}}
    few = pack_into(tmp_path, {"source": "voc", "path": str(write_devkit(tmp_path, images))})
    with pytest.raises(
        InputError, match=r"2 classes have too few images for a part of each: 'blue' .*'red' \(2 images"
    ):
        make_split(few, {"kind": "whole"}, {}, {**PARTS, "validation": 0.5})


HOSTILE = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;">]><annotation>&c;</annotation>'
BROKEN = {
    "<annotation><size>": "not a whole XML file",
    HOSTILE: "declares a document type or entities",
    annotation_xml("000009", ""): "is of the image '000009.png', not of '000000'",
    "<annotation><filename>000000.png</filename></annotation>": "lacks <size>",
    annotation_xml("000000", "<object><name>red</name></object>"): "lacks its name or its <bndbox>",
    annotation_xml("000000", object_xml("red", 0, 0).replace(">1<", ">one<")): "xmin in <bndbox> is 'one'",
}


@pytest.mark.parametrize("text", BROKEN)
def test_an_annotation_that_is_none_is_named(small, tmp_path, text):
    (small / "Annotations/000000.xml").write_text(text)
    with pytest.raises(InputError, match=f"000000.xml: .*{BROKEN[text]}"):
        pack_into(tmp_path, {"source": "voc", "path": str(small)})


def test_images_that_are_missing_or_of_another_size_are_named(small, tmp_path):
    (small / "JPEGImages/000000.png").unlink()
    (small / "Annotations/000001.xml").write_text(annotation_xml("000001", object_xml("red", 0, 0), (480, 320)))
    with pytest.raises(InputError) as caught:
        pack_into(tmp_path, {"source": "voc", "path": str(small)})
    assert "000000.png" in str(caught.value)
    assert "its annotation says 480×320 pixels, and it has 48×32" in str(caught.value)


def test_boxes_outside_their_image_are_counted_and_the_label_stays(small, tmp_path):
    objects = object_xml("red", 60, 4) + object_xml("blue", 40, 4)
    (small / "Annotations/000000.xml").write_text(annotation_xml("000000", objects))
    packed = pack_into(tmp_path, {"source": "voc", "path": str(small)})
    assert packed.classes[0] == "blue|red"
    ((label, left, _, right, *_),) = json.loads(packed.boxes[0])
    assert (label, left, right) == ("blue", round(40 / 48, 5), 1)
    assert [entry["count"] for entry in packed.card["left_out"] if "box" in entry["reason"]] == [1]


TABLES = {
    "file,label\na.png,red\n": "has no column 'labels'",
    "file,labels\nJPEGImages/000000.png,red|red\n": "line 2 names a label twice",
    "file,labels\n../a.png,red\n": "a.png",
    "file,labels\nJPEGImages/000000.png\n": "line 2 lacks a file or labels",
    "file,labels\nJPEGImages/000000.png,red\nJPEGImages/000000.png,blue\n": "is named twice",
    "file,labels\nJPEGImages/000000.png,\n": "holds no images",
}


@pytest.mark.parametrize("text", TABLES)
def test_a_table_that_says_no_labels_is_named(small, tmp_path, text):
    (small / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=re.escape(TABLES[text])):
        pack_into(tmp_path, {"source": "table", "path": str(small), "table": "labels.csv"})


INSTANCES = {
    "{": "no COCO instances",
    '{"images": {}, "annotations": [], "categories": []}': "are to be lists",
    '{"images": [], "annotations": [{"image_id": 3}], "categories": []}': "lacks a key or names what is not there",
}


@pytest.mark.parametrize("text", INSTANCES)
def test_a_file_of_instances_that_is_none_is_named(small, tmp_path, text):
    (small / "train.json").write_text(text)
    options = {"source": "coco", "path": str(small), "parts": {"train": {"annotations": "train.json"}}}
    with pytest.raises(InputError, match=f"train.json: .*{INSTANCES[text]}"):
        pack_into(tmp_path, options)


def test_a_real_devkit_packs_with_its_boxes(tmp_path):
    if not (MATERIAL / "coco128-voc").is_dir():
        pytest.skip("needs coco128-voc")
    packed = pack_into(tmp_path, {"source": "voc", "path": str(MATERIAL / "coco128-voc/VOCdevkit"), "storage": "jpeg"})
    assert packed.card["parts"] == {"train": 126, "val": 128}
    assert len(packed.card["classes"]) == 76
    assert sum(len(json.loads(text)) for text in packed.boxes) == 1827
