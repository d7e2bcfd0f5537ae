import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transferability import files
from transferability.data.groups import read_groups
from transferability.data.images import decode, encode
from transferability.data.packed import PARTS, Packed, open_packed
from transferability.data.splits import (
    choose_classes,
    divide,
    graded_classes,
    make_split,
    normalisation,
    random_halves,
    reduce_volume,
    tell_likeness,
)
from transferability.errors import InputError
from transferability.facts import FACTS

CHECKOUT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CHECKOUT / "src")}
SHARES = {"validation": 0.2, "test": 0.3, "seed": 0}
DIGITS = [str(digit) for digit in range(10)]
GROUPS = {"even": DIGITS[::2], "odd": DIGITS[1::2], "one": ["1"], "ghosts": ["1", "boo"]}


# md5 of each half's synsets, sorted, one a line, and of its lines of the validation list: the original study's files.
ORIGINAL = {
    "half0A": ("b0481e695e28b2b99da4d620e3ea4b1e", "2f10009e20d77eb7007cf70674958b94"),
    "half0B": ("f9f53cc29f8183c8f790a75117a71756", "cce39b383d681345c873faf2c0c28d33"),
    "half1A": ("a85bfb0dcfb1056cd7fa3a822d351a0b", "9ab48b6420504e32ff4498e7d8569f8b"),
    "half1B": ("9fd635dce8e59eaa1f451f3252243216", "57522f5e2aa69547846089f5197c8a6b"),
    "half2A": ("2ac731eb157d685a2585adcdd690c473", "03d05b6565ab9176baccdd05d746bfd1"),
    "half2B": ("db87264c56db1e8786e5efc22323ffed", "18de8b37378e07e60dc602b6130eeeb2"),
    "half3A": ("05a012260bb86e5468af69340745e8cb", "46086440ddde128f169f23331998499d"),
    "half3B": ("14447605f5d2d54a82b59bbee0d886fe", "e5f9f0895fd0d49a8ac0b804ec891282"),
    "natmanA": ("74c3b248521a03e385519a7c275bd3e4", "4fb63c72229ba07106a558127192cb9f"),
    "natmanB": ("4da1adbb1867b38e0b009a46d51cbe4f", "f03be5732fb6bc7928ee53397b043613"),
}
DEFINITIONS = {
    **{f"half{seed}": {"kind": "random", "seed": seed} for seed in range(4)},
    "natman": {"kind": "groups", "A": "natural", "B": "man-made"},
}


@pytest.fixture(scope="module")
def groups() -> dict[str, list[str]]:
    """Natural and man-made synsets of ILSVRC2012."""
    return read_groups("ilsvrc2012")


def validation_labels() -> list[int]:
    """The 50,000 validation labels that come with the package, in the order of the files' numbers."""
    with gzip.open(FACTS / "ilsvrc2012_validation.txt.gz", "rt") as file:
        return [int(line.split()[-1]) for line in file]


def md5_of_lines(lines: list[str]) -> str:
    return hashlib.md5("".join(f"{line}\n" for line in lines).encode()).hexdigest()


@pytest.mark.parametrize("half", DEFINITIONS)
def test_the_halves_of_imagenet_are_the_originals_bit_for_bit(groups, half):
    known = sorted(name for names in groups.values() for name in names)
    sides = choose_classes(DEFINITIONS[half], groups, known)
    assert {side: md5_of_lines(sides[side]) for side in "AB"} == {side: ORIGINAL[half + side][0] for side in "AB"}


@pytest.mark.parametrize("half", DEFINITIONS)
def test_the_validation_lists_of_the_halves_are_the_originals_bit_for_bit(groups, half):
    known = sorted(name for names in groups.values() for name in names)
    labels = validation_labels()
    assert len(labels) == 50_000
    for side, classes in choose_classes(DEFINITIONS[half], groups, known).items():
        label = {name: number for number, name in enumerate(classes)}
        lines = [
            f"ILSVRC2012_val_{number:08}.JPEG {label[known[index]]}"
            for number, index in enumerate(labels, start=1)
            if known[index] in label
        ]
        assert md5_of_lines(lines) == ORIGINAL[half + side][1]


@pytest.mark.parametrize("seed", range(4))
def test_random_halves_follow_the_recipe_of_the_original(seed):
    names = [f"n{index:08}" for index in range(1000)]
    drawn = np.random.RandomState([seed]).choice(np.arange(1000), 500, replace=False)
    half_a, half_b = random_halves(names, seed)
    assert half_a == [names[index] for index in sorted(drawn)]
    assert half_b == sorted(set(names) - set(half_a))


def divide_all(classes: list[str], parts: dict) -> dict[str, dict[str, list[int]]]:
    """Divide all classes of images that have no parts of their own."""
    return divide(classes, [""] * len(classes), sorted(set(classes)), parts)


def test_the_random_halves_of_the_digits_are_these():
    assert "".join(random_halves(DIGITS, 0)[0]) == "01378"
    assert "".join(random_halves(DIGITS, 1)[0]) == "23689"
    assert "".join(random_halves(DIGITS, 2)[0]) == "01246"


def test_of_an_odd_number_of_classes_b_has_one_more():
    half_a, half_b = random_halves(list("abcdefg"), 0)
    assert (len(half_a), len(half_b)) == (3, 4)
    assert sorted(half_a + half_b) == list("abcdefg")


def test_a_random_split_halves_the_known_classes():
    sides = choose_classes({"kind": "random", "seed": 1}, {}, DIGITS)
    assert sides == dict(zip("AB", random_halves(DIGITS, 1), strict=True))


def test_a_split_of_groups_takes_the_classes_of_the_groups():
    sides = choose_classes({"kind": "groups", "A": "odd", "B": "even"}, GROUPS, DIGITS)
    assert sides == {"A": ["1", "3", "5", "7", "9"], "B": ["0", "2", "4", "6", "8"]}


def test_a_split_of_classes_takes_them_in_the_order_given_and_may_leave_some_out():
    sides = choose_classes({"kind": "classes", "A": ["7", "3"], "B": ["0", "1", "2"]}, {}, DIGITS)
    assert sides == {"A": ["7", "3"], "B": ["0", "1", "2"]}


@pytest.mark.parametrize(
    ("definition", "sentence"),
    [
        (
            {"kind": "classes", "A": ["1", "boo"], "B": ["2", "3"]},
            "A names the unknown class 'boo'; the classes are: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        ),
        (
            {"kind": "groups", "A": "even", "B": "ghosts"},
            "B names the unknown class 'boo'; the classes are: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        ),
        (
            {"kind": "classes", "A": ["1", "2", "1"], "B": ["3", "4"]},
            "the class '1' is named twice; a class belongs to one side, once",
        ),
        (
            {"kind": "classes", "A": ["1", "2"], "B": ["3", "2"]},
            "the class '2' is named twice; a class belongs to one side, once",
        ),
        (
            {"kind": "groups", "A": "even", "B": "even"},
            "the class '0' is named twice; a class belongs to one side, once",
        ),
        (
            {"kind": "classes", "A": ["1", "2"], "B": ["3"]},
            "B has 1 class; a task needs at least 2, and the data set has 10 (0, 1, 2, 3, 4, 5, 6, 7, 8, 9): name more "
            "of them in the split",
        ),
        (
            {"kind": "groups", "A": "one", "B": "even"},
            "A has 1 class; a task needs at least 2, and the data set has 10 (0, 1, 2, 3, 4, 5, 6, 7, 8, 9): name more "
            "groups, or add classes to them",
        ),
        (
            {"kind": "groups", "A": "even", "B": "prime"},
            "there is no group 'prime' (there are: even, odd, one, ghosts); name it in datasets.*.groups",
        ),
    ],
)
def test_a_definition_that_cannot_be_is_refused_in_one_sentence(definition, sentence):
    with pytest.raises(InputError) as error:
        choose_classes(definition, GROUPS, DIGITS)
    assert str(error.value) == sentence


def test_a_group_where_there_are_none_is_refused():
    with pytest.raises(InputError) as error:
        choose_classes({"kind": "groups", "A": "even", "B": "odd"}, {}, DIGITS)
    assert str(error.value) == "there is no group 'even' (there are: none); name it in datasets.*.groups"


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        (
            ["a", "b", "c"],
            "A has 1 class; a task needs at least 2, and the data set has 3 (a, b, c): random halves need 4",
        ),
        (
            ["flowers"],
            "A has 0 classes; a task needs at least 2, and the data set has 1 (flowers): random halves need 4",
        ),
    ],
)
def test_random_halves_of_less_than_four_classes_are_refused_with_what_to_do(classes, sentence):
    with pytest.raises(InputError) as error:
        choose_classes({"kind": "random", "seed": 0}, {}, classes)
    assert str(error.value) == (
        f"{sentence}; datasets.*.images.path must name the folder of the classes' folders, or let the split be kind: "
        "whole"
    )


def test_a_whole_split_is_one_task_of_all_classes():
    assert choose_classes({"kind": "whole"}, {}, DIGITS) == {"A": DIGITS}


def test_a_task_may_be_several_groups():
    groups = {"low": ["0", "1"], "middle": ["4", "5"], "high": ["8", "9"]}
    sides = choose_classes({"kind": "groups", "A": ["high", "low"], "B": "middle"}, groups, DIGITS)
    assert sides == {"A": ["8", "9", "0", "1"], "B": ["4", "5"]}


LIVING, MADE = [f"living{index:02}" for index in range(24)], [f"made{index:02}" for index in range(15)]


@pytest.mark.parametrize("share", [0, 0.25, 0.5, 0.75, 1])
def test_a_graded_task_b_has_its_share_of_classes_from_as_group(share):
    half_a, half_b = graded_classes(LIVING, MADE, share, seed=3)
    assert (len(half_a), len(half_b)) == (12, 12)
    assert set(half_a) <= set(LIVING)
    assert len(set(half_b) & set(LIVING)) == 12 * share
    assert len(set(half_b) & set(MADE)) == 12 - 12 * share
    assert not set(half_a) & set(half_b)


def test_of_a_graded_family_a_stays_and_b_changes_class_by_class():
    family = [graded_classes(LIVING, MADE, step / 12, seed=3) for step in range(13)]
    assert all(half_a == family[0][0] for half_a, _ in family)
    for (_, before), (_, after) in pairwise(family):
        assert len(set(before) - set(after)) == len(set(after) - set(before)) == 1


def test_graded_tasks_depend_on_the_seed_and_not_on_the_order_of_the_groups():
    assert graded_classes(LIVING, MADE, 0.5, seed=3) == graded_classes(LIVING[::-1], MADE[::-1], 0.5, seed=3)
    assert graded_classes(LIVING, MADE, 0.5, seed=3) != graded_classes(LIVING, MADE, 0.5, seed=4)


def test_the_parts_of_a_class_are_disjoint_exhaustive_and_sorted():
    classes = [DIGITS[index % 10] for index in range(1797)]
    divided = divide_all(classes, SHARES)
    assert sorted(divided) == DIGITS
    for name, parts in divided.items():
        together = [index for part in PARTS for index in parts[part]]
        assert sorted(together) == [index for index, other in enumerate(classes) if other == name]
        assert all(parts[part] == sorted(parts[part]) for part in PARTS)


def test_the_parts_have_their_shares_in_every_class():
    divided = divide_all(["a"] * 100 + ["b"] * 10, SHARES)
    assert {part: len(indices) for part, indices in divided["a"].items()} == {"train": 50, "validation": 20, "test": 30}
    assert {part: len(indices) for part, indices in divided["b"].items()} == {"train": 5, "validation": 2, "test": 3}


def test_the_division_is_by_chance_and_not_by_order():
    assert divide_all(["a"] * 100, SHARES)["a"]["train"] != list(range(50))


def test_the_division_of_a_class_does_not_depend_on_the_other_classes():
    alone = divide_all(["a"] * 100, SHARES)
    assert divide_all(["a"] * 100 + ["b"] * 50, SHARES)["a"] == alone["a"]


def test_two_classes_of_as_many_images_are_divided_differently():
    divided = divide_all(["a"] * 100 + ["b"] * 100, SHARES)
    assert divided["a"]["train"] != [index - 100 for index in divided["b"]["train"]]


def test_another_seed_divides_otherwise_and_the_same_seed_alike():
    first, again = divide_all(["a"] * 100, SHARES), divide_all(["a"] * 100, SHARES)
    assert first == again
    assert divide_all(["a"] * 100, {**SHARES, "seed": 1}) != first


@pytest.mark.parametrize(
    ("images", "validation", "test", "part"),
    [(1, 0.2, 0.3, "validation"), (2, 0.2, 0.3, "validation"), (2, 0.5, 0.1, "test"), (2, 0.45, 0.45, "train")],
)
def test_a_class_with_too_few_images_is_named(images, validation, test, part):
    with pytest.raises(InputError) as error:
        divide_all(["lone"] * images + ["many"] * 50, {"validation": validation, "test": test, "seed": 0})
    assert str(error.value) == (
        f"the class 'lone' has {images} image{'s' if images > 1 else ''}, too few for a {part} part; "
        "add images or change datasets.*.parts"
    )


def test_all_classes_with_too_few_images_are_named_at_once():
    with pytest.raises(InputError) as error:
        divide_all(["lone"] + ["many"] * 50 + ["pair"] * 2, SHARES)
    assert str(error.value) == (
        "2 classes have too few images for a part of each: 'lone' (1 image, none for validation), 'pair' (2 images, "
        "none for validation); add images, change datasets.*.parts, or leave these classes out"
    )


def test_one_own_part_for_both_validation_and_test_is_refused():
    with pytest.raises(InputError) as error:
        divide(["a"] * 100, OWN, ["a"], {"validation": "val", "test": "val", "seed": 0})
    assert str(error.value) == (
        "datasets.*.parts names 'val' for both validation and test: validation picks and test reports, so no image may "
        "serve both; name two parts, or let one be a share such as 0.1"
    )


def test_names_of_classes_are_found_however_their_accents_are_written():
    """macOS takes letters and accents apart; what a split is made of are the data set's own names."""
    classes = ["cafe\u0301", "the\u0301", "lait", "eau"]
    definition = {"kind": "classes", "A": ["caf\u00e9", "lait"], "B": ["eau", "th\u00e9"]}
    assert choose_classes(definition, {}, classes) == {"A": [classes[0], "lait"], "B": ["eau", classes[1]]}
    groups = {"warm": ["caf\u00e9", "th\u00e9"], "cold": ["lait", "eau"]}
    assert choose_classes({"kind": "groups", "A": "warm", "B": "cold"}, groups, classes)["A"] == classes[:2]


@pytest.mark.parametrize("slip", ["Cat", "cat ", "cats", "c_at"])
def test_an_unknown_class_that_is_nearly_one_is_asked_about(slip):
    with pytest.raises(InputError) as error:
        choose_classes({"kind": "classes", "A": [slip, "owl"], "B": ["dog", "fox"]}, {}, ["cat", "dog", "fox", "owl"])
    assert str(error.value).startswith(f"A names the unknown class {slip!r} (is it 'cat'?); the classes are: cat, dog")


OWN = ["train"] * 80 + ["val"] * 20


def test_an_own_part_is_taken_whole_and_shares_are_of_what_it_leaves():
    parts = {"validation": 0.25, "test": "val", "seed": 0}
    divided = divide(["a"] * 100, OWN, ["a"], parts)["a"]
    assert divided["test"] == list(range(80, 100))
    assert len(divided["validation"]) == 20
    assert sorted(divided["train"] + divided["validation"]) == list(range(80))
    assert divided["validation"] != list(range(60, 80))


def test_both_parts_may_be_own_ones_and_the_rest_is_for_training():
    own = ["test"] * 10 + ["train"] * 50 + ["val"] * 20
    divided = divide(["a"] * 80, own, ["a"], {"validation": "val", "test": "test", "seed": 0})["a"]
    assert divided == {"train": [*range(10, 60)], "validation": [*range(60, 80)], "test": [*range(10)]}


def test_a_part_that_the_data_set_lacks_is_refused_and_its_parts_are_told():
    with pytest.raises(InputError) as error:
        divide(["a"] * 100, OWN, ["a"], {"validation": 0.25, "test": "tset", "seed": 0})
    assert str(error.value) == "datasets.*.parts.test names 'tset', no part of the data set (train, val)"


def test_a_class_without_images_in_an_own_part_is_named():
    with pytest.raises(InputError) as error:
        divide(
            ["a"] * 100 + ["b"] * 9, [*OWN, *["train"] * 9], ["a", "b"], {"validation": 0.25, "test": "val", "seed": 0}
        )
    assert str(error.value).startswith("the class 'b' has 9 images, too few for a test part; add images")


def test_a_rare_class_outside_both_tasks_does_no_harm():
    assert list(divide(["a"] * 100 + ["rare"], [""] * 101, ["a"], SHARES)) == ["a"]


def test_smaller_volumes_are_nested_in_larger_ones():
    images = list(range(100, 300))
    volumes = [reduce_volume("a", images, volume, 0) for volume in (1, 2, 5, 50, 200, 1000)]
    assert [len(volume) for volume in volumes] == [1, 2, 5, 50, 200, 200]
    assert all(set(small) < set(large) for small, large in pairwise(volumes[:5]))
    assert all(volume == sorted(volume) for volume in volumes)
    assert volumes[-1] == images


def test_volumes_are_drawn_by_seed_and_class_or_the_first():
    images = list(range(100, 300))
    assert reduce_volume("a", images, 5, "first") == [100, 101, 102, 103, 104]
    drawn = [reduce_volume(name, images, 5, seed) for name in "ab" for seed in (0, 1)]
    assert len({tuple(volume) for volume in drawn}) == 4


def test_a_volume_shrinks_the_training_part_of_its_side_alone(packed_digits):
    packed = open_packed(packed_digits)
    whole = make_split(packed, {"kind": "random", "seed": 0}, {}, SHARES)["tasks"]
    definition = {"kind": "random", "seed": 0, "volume": {"B": 7, "seed": 0}}
    split = make_split(packed, definition, {}, SHARES)
    assert split["volume"] == definition["volume"]
    assert split["tasks"]["A"] == whole["A"]
    for name in whole["B"]["classes"]:
        assert len(split["tasks"]["B"]["train"][name]) == 7
        assert set(split["tasks"]["B"]["train"][name]) < set(whole["B"]["train"][name])
    assert all(split["tasks"]["B"][part] == whole["B"][part] for part in ("validation", "test", "classes"))


def test_the_smallest_class_that_can_be_divided_has_an_image_in_each_part():
    divided = divide_all(["a"] * 3, SHARES)
    assert {part: len(indices) for part, indices in divided["a"].items()} == {"train": 1, "validation": 1, "test": 1}


def packed_like(images: np.ndarray, classes: list[str] | None = None, files: list[str] | None = None) -> Packed:
    """A packed data set of these images, opened."""
    classes = classes or ["a"] * len(images)
    return Packed(
        images=images,
        classes=classes,
        parts=[""] * len(images),
        files=files or [f"{index}.png" for index in range(len(images))],
        hashes=[hashlib.sha256(image.tobytes()).hexdigest() for image in images],
        card={"classes": dict(Counter(classes)), "source": {"source": "digits"}, "content": "these"},
    )


def test_normalisation_is_the_mean_and_deviation_of_each_channel():
    images = np.random.default_rng(0).integers(0, 256, (2500, 3, 4, 5), dtype=np.uint8)
    images[:, 1] //= 4
    indices = np.arange(0, 2500, 2)
    expected = images[indices] / 255
    result = normalisation(packed_like(images).images, indices)
    assert result["mean"] == pytest.approx(expected.mean(axis=(0, 2, 3)), abs=1e-6)
    assert result["std"] == pytest.approx(expected.std(axis=(0, 2, 3)), abs=1e-6)


@pytest.mark.parametrize("level", [0, 1, 40, 77, 128, 255])
def test_training_images_of_one_colour_are_refused(level):
    images = np.full((300, 1, 8, 8), level, dtype=np.uint8)
    with pytest.raises(InputError, match="there is nothing to learn from"):
        normalisation(packed_like(images).images, np.arange(300))


@pytest.mark.parametrize(
    "definition",
    [
        {"kind": "random", "seed": 0},
        {"kind": "groups", "A": "even", "B": "odd"},
        {"kind": "classes", "A": ["0", "3", "6"], "B": ["1", "4"]},
    ],
)
def test_a_split_of_the_digits_says_what_it_is_and_gives_every_image_to_one_part(packed_digits, definition):
    packed = open_packed(packed_digits)
    split = make_split(packed, definition, GROUPS, SHARES)
    assert split["kind"] == definition["kind"]
    assert split["definition"] == definition
    assert split["parts"] == SHARES
    assert split["content"] == packed.card["content"]
    sides = choose_classes(definition, GROUPS, DIGITS)
    assert {side: task["classes"] for side, task in split["tasks"].items()} == sides

    given = []
    for task in split["tasks"].values():
        for part in PARTS:
            assert list(task[part]) == task["classes"]
            for name, indices in task[part].items():
                assert {packed.classes[index] for index in indices} == {name}
                given += indices
    chosen = {*sides["A"], *sides["B"]}
    assert sorted(given) == [index for index, name in enumerate(packed.classes) if name in chosen]


def test_a_splits_normalisation_is_that_of_both_sides_training_images(packed_digits):
    packed = open_packed(packed_digits)
    split = make_split(packed, {"kind": "classes", "A": ["0", "3"], "B": ["1", "4"]}, {}, SHARES)
    training = [index for task in split["tasks"].values() for indices in task["train"].values() for index in indices]
    expected = packed.images[training] / 255
    assert split["normalisation"]["mean"] == pytest.approx([expected.mean()], abs=1e-6)
    assert split["normalisation"]["std"] == pytest.approx([expected.std()], abs=1e-6)


def test_of_many_training_images_a_sample_gives_the_normalisation(monkeypatch):
    monkeypatch.setattr("transferability.data.splits.SAMPLE", 500)
    images = np.random.default_rng(0).integers(0, 256, (3000, 1, 8, 8), dtype=np.uint8)
    result = normalisation(packed_like(images).images, np.arange(3000))
    assert result != {"mean": [(images / 255).mean().round(6)], "std": [(images / 255).std().round(6)]}
    assert result["mean"] == pytest.approx([0.5], abs=0.01)


def test_a_split_tells_how_far_its_tasks_are_apart(packed_digits):
    distance = make_split(open_packed(packed_digits), {"kind": "random", "seed": 0}, {}, SHARES)["distance"]
    assert distance["synset"] is None
    assert 0 <= distance["a_distance"] <= 2


@pytest.fixture
def with_copies() -> Packed:
    """Four classes of 20 images: 3 and 7, both of class a, are identical; so are 5, 25 and 45 of a, b and c."""
    images = np.random.default_rng(0).integers(0, 256, (80, 1, 8, 8), dtype=np.uint8)
    images[7] = images[3]
    images[25] = images[45] = images[5]
    return packed_like(images, [name for name in "abcd" for _ in range(20)])


PAIR = {"kind": "classes", "A": ["a", "b"], "B": ["c", "d"]}


def test_identical_images_across_parts_or_tasks_are_listed_and_refused(with_copies):
    with pytest.raises(InputError) as error:
        make_split(with_copies, PAIR, {}, SHARES)
    assert "5.png = 25.png = 45.png" in str(error.value)
    assert "datasets.*.parts.duplicates" in str(error.value)


def test_kept_copies_are_counted_in_the_split(with_copies):
    split = make_split(with_copies, PAIR, {}, {**SHARES, "duplicates": "keep"})
    assert ["5.png", "25.png", "45.png"] in split["duplicates"]["shared"]
    assert split["duplicates"]["left out"] == []


def test_dropped_copies_are_named_and_nowhere_in_the_split(with_copies):
    split = make_split(with_copies, PAIR, {}, {**SHARES, "duplicates": "drop"})
    assert split["duplicates"] == {"left out": ["5.png", "7.png", "25.png", "45.png"], "shared": []}
    used = {
        index for task in split["tasks"].values() for part in PARTS for rows in task[part].values() for index in rows
    }
    assert used == set(range(80)) - {5, 7, 25, 45}


def test_a_class_has_the_same_parts_in_every_split(packed_digits):
    packed = open_packed(packed_digits)
    definitions = [
        {"kind": "random", "seed": 0},
        {"kind": "random", "seed": 1},
        {"kind": "groups", "A": "even", "B": "odd"},
        {"kind": "classes", "A": ["9", "3"], "B": ["1", "4"]},
    ]
    divisions = []
    for definition in definitions:
        tasks = make_split(packed, definition, GROUPS, SHARES)["tasks"].values()
        divisions += [{part: task[part]["3"] for part in PARTS} for task in tasks if "3" in task["classes"]]
    assert divisions == [divisions[0]] * 4


def command_of(packed: Path, definition: dict, into: Path) -> list[str | Path]:
    """The command of the job that makes a split."""
    options = {"--definition": definition, "--groups": {}}
    for name, content in options.items():
        files.write_json(into.with_name(f"{name}.json"), content)
        options[name] = into.with_name(f"{name}.json")
    options |= {"--packed": packed, "--parts": json.dumps(SHARES), "--into": into}
    return [sys.executable, "-m", "transferability.data.splits", *(word for pair in options.items() for word in pair)]


def test_the_command_writes_the_split(packed_digits, tmp_path):
    definition = {"kind": "random", "seed": 0}
    command = command_of(packed_digits, definition, tmp_path / "s/a.json")
    subprocess.run(command, env=ENVIRONMENT, check=True)
    assert files.read_json(tmp_path / "s/a.json") == make_split(open_packed(packed_digits), definition, {}, SHARES)


def test_bad_input_ends_the_command_with_one_sentence_and_status_1(packed_digits, tmp_path):
    definition = {"kind": "groups", "A": "even", "B": "odd"}
    command = command_of(packed_digits, definition, tmp_path / "a.json")
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert (
        done.stderr
        == f"error: {tmp_path / 'a.json'}: there is no group 'even' (there are: none); name it in datasets.*.groups\n"
    )
    assert not (tmp_path / "a.json").exists()


def test_a_missing_packed_set_ends_the_command_with_one_sentence_and_status_1(tmp_path):
    definition = {"kind": "random", "seed": 0}
    command = command_of(tmp_path / "none", definition, tmp_path / "a.json")
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path / 'a.json'}: {tmp_path / 'none' / 'card.json'}: there is no such")
    assert done.stderr.count("\n") == 1


def photographs(count: int, side: int = 32) -> np.ndarray:
    """Smooth colour images, uint8 (count, 3, side, side), each of a look of its own."""
    grids = np.random.default_rng(1).integers(0, 256, (count, 8, 9, 3), dtype=np.uint8)
    smooth = [Image.fromarray(grid).resize((side, side), Image.Resampling.BICUBIC) for grid in grids]
    return np.stack([np.asarray(image).transpose(2, 0, 1) for image in smooth])


def of_four_classes(images: np.ndarray) -> Packed:
    """A packed set of 80 images, 20 of each class."""
    return packed_like(images, [name for name in "abcd" for _ in range(20)])


def test_images_that_look_nearly_the_same_in_two_tasks_are_counted_and_named_and_not_refused(capsys):
    """A copy saved once more as JPEG, and one a little brighter; an identical one is no near one."""
    images = photographs(80)
    images[43] = decode(encode(images[3]))
    images[49] = images[9] * 0.9 + 12
    split = make_split(of_four_classes(images), PAIR, {}, SHARES)
    assert split["duplicates"]["alike"] == {
        "compared": 80,
        "pairs": 2,
        "such as": [["3.png", "43.png"], ["9.png", "49.png"]],
    }
    tell_likeness(split)
    assert capsys.readouterr().err.startswith(
        "note: 2 pairs of images in different parts or tasks look nearly the same, such as 3.png and 43.png; 9.png and "
    )
    images[43] = images[3]
    alike = make_split(of_four_classes(images), PAIR, {}, {**SHARES, "duplicates": "keep"})["duplicates"]["alike"]
    assert alike["such as"] == [["9.png", "49.png"]]


def test_likeness_within_one_part_of_one_task_is_no_leak():
    images = photographs(80)
    first, second = make_split(of_four_classes(images), PAIR, {}, SHARES)["tasks"]["A"]["train"]["a"][:2]
    images[second] = decode(encode(images[first]))
    assert make_split(of_four_classes(images), PAIR, {}, SHARES)["duplicates"]["alike"]["pairs"] == 0


PAIR_OF_DIGITS = {"kind": "classes", "A": ["0", "1"], "B": ["2", "3"]}


def test_images_too_small_to_tell_are_not_compared(packed_digits):
    assert "alike" not in make_split(open_packed(packed_digits), PAIR_OF_DIGITS, {}, SHARES)["duplicates"]


def test_a_split_is_not_made_of_images_that_were_changed_after_packing(packed_digits, tmp_path):
    shutil.copytree(packed_digits, tmp_path / "packed")
    with open(tmp_path / "packed/images.npy", "rb+") as file:
        file.seek(128 + 64 * 100)
        file.write(bytes(64 * 1000))
    with pytest.raises(InputError, match=r"images.npy: image \d+, digits/\d+, is not the one that was packed"):
        make_split(open_packed(tmp_path / "packed"), {"kind": "random", "seed": 0}, {}, SHARES)


def test_rows_of_a_table_that_name_no_class_are_counted(packed_digits, tmp_path):
    command = command_of(packed_digits, {"kind": "groups", "A": "even", "B": "odd"}, tmp_path / "a.json")
    files.write_json(tmp_path / "--groups.json", {"even": [*DIGITS[::2], "ten", "twelve"], "odd": DIGITS[1::2]})
    done = subprocess.run([*command, "--partial"], env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        0,
        "note: the data set lacks 2 of the 12 classes that datasets.*.groups names, such as 'ten'\n",
    )


def test_parts_may_be_given_in_a_file(packed_digits, tmp_path):
    definition = {"kind": "random", "seed": 0}
    command = command_of(packed_digits, definition, tmp_path / "a.json")
    files.write_json(tmp_path / "parts.json", SHARES)
    command[command.index("--parts") + 1] = str(tmp_path / "parts.json")
    subprocess.run(command, env=ENVIRONMENT, check=True)
    assert files.read_json(tmp_path / "a.json") == make_split(open_packed(packed_digits), definition, {}, SHARES)
    command[command.index("--parts") + 1] = "/no/such/file"
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


LARGER = {"natural": [f"n{index:02}" for index in range(30)], "man-made": [f"m{index:02}" for index in range(40)]}
EVERY = sorted([*LARGER["natural"], *LARGER["man-made"]])


def drawn_from_groups(classes: int, seed: int) -> dict[str, list[str]]:
    """The tasks of equal samples of the larger groups."""
    definition = {"kind": "groups", "A": "natural", "B": "man-made", "classes": classes, "seed": seed}
    return choose_classes(definition, LARGER, EVERY)


def test_groups_give_several_splits_of_equal_samples_each_of_its_seed():
    samples = [drawn_from_groups(15, seed) for seed in range(4)]
    for sides in samples:
        assert [len(sides[side]) for side in "AB"] == [15, 15]
        assert set(sides["A"]) < set(LARGER["natural"])
        assert set(sides["B"]) < set(LARGER["man-made"])
        assert all(names == sorted(set(names)) for names in sides.values())
    assert len({tuple(sides[side]) for sides in samples for side in "AB"}) == 8
    assert drawn_from_groups(15, 2) == samples[2]


def test_the_order_of_a_group_does_not_change_its_sample():
    reordered = {name: classes[::-1] for name, classes in LARGER.items()}
    definition = {"kind": "groups", "A": "natural", "B": "man-made", "classes": 9, "seed": 3}
    assert choose_classes(definition, reordered, EVERY) == drawn_from_groups(9, 3)


def test_larger_samples_hold_the_smaller_ones():
    small, large = drawn_from_groups(10, 1), drawn_from_groups(20, 1)
    assert all(set(small[side]) < set(large[side]) for side in "AB")


def test_a_sample_larger_than_a_group_is_refused():
    with pytest.raises(InputError) as error:
        drawn_from_groups(31, 0)
    assert str(error.value) == "A has 30 classes, too few to draw 31; lower splits.*.classes"
