"""Sources compared: sets of one label and of several as one, and what one source gives more than another."""

import json

import numpy as np
import pandas as pd
import pytest
from devkits import scattered, write_devkit
from drawn import drawing_of
from PIL import Image

from transferability import files
from transferability.analysis.sources import sources_table
from transferability.analysis.tables import NETWORK_COLUMNS, shape_table, write_table
from transferability.data.entries import labels_of
from transferability.data.packed import open_packed
from transferability.data.packing import pack
from transferability.data.splits import make_split
from transferability.data.tasks import MULTI, open_task
from transferability.errors import InputError
from transferability.figures import sources
from transferability.figures.page import source_rows

FEW = ["things/cup", "things/fork"]
MORE = [*FEW, "things/oak"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A folder of four classes of eight images, and a devkit of coloured squares, as two sets of one."""
    root, generator = tmp_path_factory.mktemp("sets"), np.random.default_rng(0)
    for name in ("ash", "cup", "fork", "oak"):
        (root / "things/train" / name).mkdir(parents=True)
        for number in range(8):
            pixels = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / f"things/train/{name}/{number}.png")
    year = write_devkit(root / "devkit", scattered({"train": 60, "val": 40}))
    sets = {
        "things": {"source": "folder", "path": str(root / "things")},
        "squares": {"source": "voc", "path": str(year), "merge": {"warm": ["red"], "cold": ["green", "blue"]}},
    }
    pack({"source": "sets", "sets": sets, "size": 16, "channels": 3}, root / "packed")
    return open_packed(root / "packed")


def test_a_set_of_one_label_stands_beside_one_of_several(packed):
    assert packed.several
    assert packed.card["sets"] == {
        "squares": ["squares/cold", "squares/warm"],
        "things": ["things/ash", "things/cup", "things/fork", "things/oak"],
    }
    for file, text, boxes in zip(packed.files, packed.classes, packed.boxes, strict=True):
        name = file.partition("/")[0]
        assert {label.partition("/")[0] for label in labels_of(text)} == {name}
        assert {row[0] for row in json.loads(boxes)} == (set(labels_of(text)) if name == "squares" else set())
    assert max(len(labels_of(text)) for text in packed.classes) == 2
    (left_out,) = [entry for entry in packed.card["left_out"] if "without any" in entry["reason"]]
    assert left_out["such as"][0].startswith("squares/")


def split_of(packed, classes: list[str]) -> dict:
    definition = {"kind": "classes", "A": classes, "B": ["squares/cold", "squares/warm"]}
    return make_split(packed, definition, {}, {"validation": 0.25, "test": 0.25, "seed": 0, "duplicates": "keep"})


def test_both_tasks_are_read_and_the_target_is_the_same_whatever_the_source(packed, tmp_path):
    splits = {"few": split_of(packed, FEW), "more": split_of(packed, MORE)}
    assert splits["few"]["tasks"]["B"] == splits["more"]["tasks"]["B"]
    files.write_json(tmp_path / "more.json", splits["more"])
    task = open_task(tmp_path / "more.json", "A", packed.folder)
    assert task.kind == MULTI
    assert task.labels["train"].sum(axis=1).tolist() == [1] * len(task.labels["train"])


def networks_of(values: dict[str, list[float]]) -> pd.DataFrame:
    """Networks A3B+ of seeds that score so, by split; and base networks, which copy nothing."""
    rows = [
        {
            "dataset": "mixed",
            "architecture": "tiny",
            "split": split,
            "kind": "classes",
            "seed": seed,
            "network": network,
            "treatment": treatment,
            "source": source,
            "n": n,
            "target": "B",
            "fine_tune": n > 0,
            "preserved": 0,
            "trained": True,
            "classes": 2,
            "images_seen": 9,
            "test_map": value,
        }
        for split, own in values.items()
        for seed, value in enumerate(own)
        for network, treatment, source, n in (("A3B+", "transfer+", "A", 3), ("baseB", "base", None, 0))
    ]
    return shape_table(rows, NETWORK_COLUMNS)


def test_what_a_source_gives_more_is_paired_by_seed(packed):
    splits = {"few": split_of(packed, FEW), "more": split_of(packed, MORE)}
    table = sources_table(networks_of({"few": [0.5, 0.6, 0.7], "more": [0.52, 0.66, 0.71]}), splits)
    (row,) = table.to_dict("records")
    assert (row["source"], row["over"], row["treatment"], row["n"], row["read_out"]) == (
        "few",
        "more",
        "transfer+",
        3,
        "test_map",
    )
    assert (row["source_classes"], row["over_classes"]) == (2, 3)
    assert (row["source_images"], row["over_images"]) == (8, 12)
    gains = np.array([-0.02, -0.06, -0.01])
    assert row["mean"] == pytest.approx(gains.mean())
    half = 4.302652729911275 * gains.std(ddof=1) / np.sqrt(3)
    assert (row["low"], row["high"]) == pytest.approx((gains.mean() - half, gains.mean() + half))


@pytest.fixture
def compared(packed, tmp_path):
    """A folder with sources.csv of two sources, of which one is told apart, and the networks that it is of."""
    splits = {"few": split_of(packed, FEW), "more": split_of(packed, MORE)}
    networks = networks_of({"few": [0.5, 0.6, 0.7], "more": [0.55, 0.66, 0.75]})
    write_table(tmp_path / "sources.csv", sources_table(networks, splits))
    return tmp_path, networks


def test_the_figure_has_a_mean_with_its_interval_for_each_source_and_says_what_is_told_apart(compared):
    tables, networks = compared
    drawing = drawing_of(sources, networks, "test_map", tables=tables)
    (panel,) = drawing.figure.axes
    few, more = (line.get_ydata()[0] for line in panel.lines[:2])
    assert (few, more) == pytest.approx((0.6, 1.96 / 3))
    half = 4.302652729911275 * np.std([0.5, 0.6, 0.7], ddof=1) / np.sqrt(3)
    (segment, _) = (lines.get_segments()[0] for lines in panel.collections)
    assert segment[:, 1] == pytest.approx([0.6 - half, 0.6 + half])
    assert panel.lines[2].get_ydata()[0] == pytest.approx(networks.query("treatment == 'base'")["test_map"].mean())
    assert [label.get_text().split("\n")[0] for label in panel.get_xticklabels()] == ["few", "more"]
    told = "told apart in 1 of 1 comparison; most more over few by 5.3 points (+3.9 to +6.8), AnB+ at n = 3."
    assert drawing.caption.endswith(told)


def test_of_one_seed_the_figure_says_that_there_are_no_intervals(packed, tmp_path):
    networks, splits = networks_of({"few": [0.5], "more": [0.55]}), {"few": split_of(packed, FEW)}
    write_table(tmp_path / "sources.csv", sources_table(networks, splits | {"more": split_of(packed, MORE)}))
    caption = drawing_of(sources, networks, "test_map", tables=tmp_path).caption
    assert "of one seed, which gives no intervals; the dotted line" in caption
    assert caption.endswith(
        "told apart in 0 of 1 comparison; most more over few by 5.0 points (no interval), AnB+ at n = 3."
    )


def test_the_page_has_the_table_of_sources(compared):
    (row,) = source_rows(compared[0], "test_map")
    assert (row["source"], row["over"], row["curve"], row["n"], row["seeds"]) == ("few", "more", "AnB+", 3, 3)
    assert (row["gives"], row["over_gives"], row["more"], row["interval"]) == ("60.0", "65.3", "−5.3", "−6.8 to −3.9")
    assert source_rows(compared[0] / "elsewhere", "test_map") == []


def test_splits_without_a_common_task_are_refused(packed):
    others = {"kind": "classes", "A": FEW, "B": ["things/oak", "things/ash"]}
    parts = {"validation": 0.25, "test": 0.25, "seed": 0, "duplicates": "keep"}
    splits = {"few": split_of(packed, ["things/oak", "things/fork"]), "other": make_split(packed, others, {}, parts)}
    with pytest.raises(InputError, match="the splits few, other have no task in common"):
        sources_table(networks_of({"few": [0.5], "other": [0.6]}), splits)
