import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from transferability import files
from transferability.errors import InputError
from transferability.splits import choose_classes, divide, make_split, normalisation, random_halves
from transferability.tasks import PARTS, open_packed

CHECKOUT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CHECKOUT / "src")}
REFERENCE = CHECKOUT.parent / "shared" / "reference"
SHARES = {"validation": 0.2, "test": 0.3, "seed": 0}
DIGITS = [str(digit) for digit in range(10)]
GROUPS = {"even": DIGITS[::2], "odd": DIGITS[1::2], "one": ["1"], "ghosts": ["1", "boo"]}


@pytest.fixture(scope="module")
def synsets() -> list[dict]:
    """The 1,000 classes of ILSVRC 2012, in order."""
    if not REFERENCE.is_dir():
        pytest.skip(f"the original study's facts are not at {REFERENCE}")
    with open(REFERENCE / "ilsvrc2012_classes.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def original(synsets) -> dict[str, dict]:
    """The original's ten halves by name: class counts and md5 sums."""
    with open(REFERENCE / "yosinski2014_splits.csv", newline="") as file:
        return {row["half"]: row for row in csv.DictReader(file)}


def md5_of_lines(lines: list[str]) -> str:
    return hashlib.md5("".join(f"{line}\n" for line in lines).encode()).hexdigest()


@pytest.mark.parametrize("seed", range(4))
def test_the_random_halves_are_the_originals_bit_for_bit(synsets, original, seed):
    wnids = sorted(row["wnid"] for row in synsets)
    half_a, half_b = random_halves(wnids, seed)
    assert md5_of_lines(half_a) == original[f"half{seed}A"]["md5_of_wnids"]
    assert md5_of_lines(half_b) == original[f"half{seed}B"]["md5_of_wnids"]


def test_natural_and_man_made_are_the_originals_bit_for_bit(synsets, original):
    groups = {name: [row["wnid"] for row in synsets if row["group"] == name] for name in ("natural", "man-made")}
    definition = {"kind": "groups", "A": "natural", "B": "man-made"}
    sides = choose_classes(definition, groups, sorted(row["wnid"] for row in synsets))
    assert md5_of_lines(sides["A"]) == original["halfnatmanA"]["md5_of_wnids"]
    assert md5_of_lines(sides["B"]) == original["halfnatmanB"]["md5_of_wnids"]


@pytest.mark.parametrize("seed", range(4))
def test_random_halves_follow_the_recipe_of_the_original(seed):
    names = [f"n{index:08}" for index in range(1000)]
    drawn = np.random.RandomState([seed]).choice(np.arange(1000), 500, replace=False)
    half_a, half_b = random_halves(names, seed)
    assert half_a == [names[index] for index in sorted(drawn)]
    assert half_b == sorted(set(names) - set(half_a))


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
        ({"kind": "classes", "A": ["1", "2"], "B": ["3"]}, "B has 1 class; a task needs at least 2"),
        ({"kind": "groups", "A": "one", "B": "even"}, "A has 1 class; a task needs at least 2"),
        (
            {"kind": "groups", "A": "even", "B": "prime"},
            "there is no group 'prime'; name it in datasets.*.groups of the params",
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
    assert str(error.value) == "there is no group 'even'; name it in datasets.*.groups of the params"


def test_random_halves_of_three_classes_are_refused():
    with pytest.raises(InputError, match="A has 1 class; a task needs at least 2"):
        choose_classes({"kind": "random", "seed": 0}, {}, ["a", "b", "c"])


def test_the_parts_of_a_class_are_disjoint_exhaustive_and_sorted():
    classes = [DIGITS[index % 10] for index in range(1797)]
    divided = divide(classes, SHARES)
    assert sorted(divided) == DIGITS
    for name, parts in divided.items():
        together = [index for part in PARTS for index in parts[part]]
        assert sorted(together) == [index for index, other in enumerate(classes) if other == name]
        assert all(parts[part] == sorted(parts[part]) for part in PARTS)


def test_the_parts_have_their_shares_in_every_class():
    divided = divide(["a"] * 100 + ["b"] * 10, SHARES)
    assert {part: len(indices) for part, indices in divided["a"].items()} == {"train": 50, "validation": 20, "test": 30}
    assert {part: len(indices) for part, indices in divided["b"].items()} == {"train": 5, "validation": 2, "test": 3}


def test_the_division_is_by_chance_and_not_by_order():
    assert divide(["a"] * 100, SHARES)["a"]["train"] != list(range(50))


def test_the_division_of_a_class_does_not_depend_on_the_other_classes():
    alone = divide(["a"] * 100, SHARES)
    assert divide(["a"] * 100 + ["b"] * 50, SHARES)["a"] == alone["a"]


def test_two_classes_of_as_many_images_are_divided_differently():
    divided = divide(["a"] * 100 + ["b"] * 100, SHARES)
    assert divided["a"]["train"] != [index - 100 for index in divided["b"]["train"]]


def test_another_seed_divides_otherwise_and_the_same_seed_alike():
    first, again = divide(["a"] * 100, SHARES), divide(["a"] * 100, SHARES)
    assert first == again
    assert divide(["a"] * 100, {**SHARES, "seed": 1}) != first


@pytest.mark.parametrize(
    ("images", "validation", "test", "part"),
    [(1, 0.2, 0.3, "validation"), (2, 0.2, 0.3, "validation"), (2, 0.5, 0.1, "test"), (2, 0.45, 0.45, "train")],
)
def test_a_class_with_too_few_images_is_named(images, validation, test, part):
    with pytest.raises(InputError) as error:
        divide(["lone"] * images + ["many"] * 50, {"validation": validation, "test": test, "seed": 0})
    assert str(error.value) == f"the class 'lone' has {images} images, too few for a {part} part; " + (
        "add images or change the shares in datasets.*.parts"
    )


def test_the_smallest_class_that_can_be_divided_has_an_image_in_each_part():
    divided = divide(["a"] * 3, SHARES)
    assert {part: len(indices) for part, indices in divided["a"].items()} == {"train": 1, "validation": 1, "test": 1}


def test_normalisation_is_the_mean_and_deviation_of_each_channel():
    images = np.random.default_rng(0).integers(0, 256, (2500, 3, 4, 5), dtype=np.uint8)
    images[:, 1] //= 4
    indices = np.arange(0, 2500, 2)
    expected = images[indices] / 255
    result = normalisation(images, indices)
    assert result["mean"] == pytest.approx(expected.mean(axis=(0, 2, 3)), abs=1e-6)
    assert result["std"] == pytest.approx(expected.std(axis=(0, 2, 3)), abs=1e-6)


@pytest.mark.parametrize("level", [0, 1, 40, 77, 128, 255])
def test_training_images_of_one_colour_are_refused(level):
    images = np.full((300, 1, 8, 8), level, dtype=np.uint8)
    with pytest.raises(InputError, match="there is nothing to learn from"):
        normalisation(images, np.arange(300))


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


def test_the_command_writes_the_split(packed_digits, tmp_path):
    command = [sys.executable, "-m", "transferability.splits", "--packed", packed_digits, "--groups", "{}"]
    definition = {"kind": "random", "seed": 0}
    options = ["--definition", json.dumps(definition), "--parts", json.dumps(SHARES), "--into", tmp_path / "s/a.json"]
    subprocess.run([*command, *options], env=ENVIRONMENT, check=True)
    assert files.read_json(tmp_path / "s/a.json") == make_split(open_packed(packed_digits), definition, {}, SHARES)


def test_bad_input_ends_the_command_with_one_sentence_and_status_1(packed_digits, tmp_path):
    command = [sys.executable, "-m", "transferability.splits", "--packed", packed_digits, "--groups", "{}"]
    definition = {"kind": "groups", "A": "even", "B": "odd"}
    options = ["--definition", json.dumps(definition), "--parts", json.dumps(SHARES), "--into", tmp_path / "a.json"]
    done = subprocess.run([*command, *options], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert (
        done.stderr
        == f"error: {tmp_path / 'a.json'}: there is no group 'even'; name it in datasets.*.groups of the params\n"
    )
    assert not (tmp_path / "a.json").exists()


def test_a_missing_packed_set_ends_the_command_with_one_sentence_and_status_1(tmp_path):
    command = [sys.executable, "-m", "transferability.splits", "--packed", tmp_path / "none", "--groups", "{}"]
    definition = {"kind": "random", "seed": 0}
    options = ["--definition", json.dumps(definition), "--parts", json.dumps(SHARES), "--into", tmp_path / "a.json"]
    done = subprocess.run([*command, *options], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path / 'a.json'}: {tmp_path / 'none' / 'card.json'}: there is no such")
    assert done.stderr.count("\n") == 1
