import pytest

from transferability.data.duplicates import SHOWN, leaks, refuse, repeated, surplus
from transferability.errors import InputError

HASHES = list("xyxzyxw")


def test_repeated_images_stand_together_in_order():
    assert repeated(HASHES, range(7)) == [[0, 2, 5], [1, 4]]


def test_an_image_is_repeated_only_by_those_asked_about():
    assert repeated(HASHES, [5, 4, 3, 0]) == [[0, 5]]
    assert repeated(HASHES, [0, 1, 3]) == []


def test_of_copies_in_one_class_the_first_is_left_and_in_several_classes_none():
    assert surplus(HASHES, ["a"] * 7) == {2, 5, 4}
    assert surplus(HASHES, ["a", "a", "a", "a", "b", "a", "a"]) == {2, 5, 1, 4}


def tasks(**places: list[int]) -> dict:
    """Two tasks of one class each; A_train=[...] and so on, other parts empty."""
    return {
        side: {part: {side.lower(): places.get(f"{side}_{part}", [])} for part in ("train", "validation", "test")}
        for side in "AB"
    }


@pytest.mark.parametrize(
    ("split", "found"),
    [
        (tasks(A_train=[0, 2, 5], B_train=[1, 4]), []),
        (tasks(A_train=[0, 2], A_test=[5]), [[0, 2, 5]]),
        (tasks(A_train=[0, 2], A_validation=[5]), [[0, 2, 5]]),
        (tasks(A_train=[0], B_train=[2]), [[0, 2]]),
        (tasks(A_train=[0, 1], B_test=[2, 4]), [[0, 2], [1, 4]]),
        (tasks(A_train=[0, 3], B_train=[6], B_test=[4]), []),
    ],
)
def test_copies_in_two_parts_or_two_tasks_leak(split, found):
    assert leaks(HASHES, split) == found


def test_leaks_are_listed_by_file_with_their_number():
    names = [f"{name}.png" for name in "abcdefg"]
    refuse([], names)
    with pytest.raises(InputError) as error:
        refuse([[0, 2], [1, 4]], names)
    assert "tasks: a.png = c.png; b.png = e.png; mend the data" in str(error.value)
    with pytest.raises(InputError, match=r"= c.png; and 3 more; mend the data"):
        refuse([[0, 2]] * (SHOWN + 3), names)
