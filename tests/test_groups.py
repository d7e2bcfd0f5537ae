import hashlib
import subprocess
import sys
from collections import Counter

import pytest

from transferability.data.groups import SHIPPED, groups_of, read_groups, unmatched_rows
from transferability.errors import InputError
from transferability.facts import FACTS


def md5_of_list(names: list[str]) -> str:
    """The md5 of a list of names, one a line."""
    return hashlib.md5("".join(f"{name}\n" for name in names).encode()).hexdigest()


@pytest.fixture
def table(tmp_path):
    """Writes a table of groups and gives its path."""

    def write(text: str | bytes) -> str:
        path = tmp_path / "a table.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def test_ilsvrc2012_is_natural_and_man_made_as_in_the_original():
    groups = read_groups("ilsvrc2012")
    assert {group: len(names) for group, names in groups.items()} == {"natural": 449, "man-made": 551}
    assert md5_of_list(groups["natural"]) == "74c3b248521a03e385519a7c275bd3e4"
    assert md5_of_list(groups["man-made"]) == "4da1adbb1867b38e0b009a46d51cbe4f"


def test_cifar100_has_its_20_superclasses_of_5():
    groups = read_groups("cifar100")
    assert len(groups) == 20
    assert {len(names) for names in groups.values()} == {5}
    assert groups["fish"] == ["aquarium_fish", "flatfish", "ray", "shark", "trout"]
    assert groups["trees"] == ["maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"]
    assert groups["vehicles_2"] == ["lawn_mower", "rocket", "streetcar", "tank", "tractor"]


def test_cifar100_superclasses_are_those_of_the_data_sets_labels():
    """The coarse label of each fine label, in order, as the published files pair them."""
    coarse = (
        "4 1 14 8 0 6 7 7 18 3 3 14 9 18 7 11 3 9 7 11 6 11 5 10 7 6 13 15 3 15 0 11 1 10 12 14 16 9 11 5 5 19 8 8 15 "
        "13 14 17 18 10 16 4 17 4 2 0 17 4 18 17 10 3 2 12 12 16 12 1 9 19 2 10 0 1 16 12 9 13 15 13 16 19 2 4 6 19 5 "
        "5 8 19 18 1 2 15 6 0 17 8 14 13"
    )
    group_of = {name: group for group, names in read_groups("cifar100").items() for name in names}
    superclasses = sorted(set(group_of.values()))
    assert [superclasses.index(group_of[name]) for name in sorted(group_of)] == list(map(int, coarse.split()))


def test_every_shipped_table_is_described_beside_it():
    described = (FACTS / "README.md").read_text(encoding="utf-8")
    tables = [path.name for path in FACTS.glob("*.csv")]
    assert {f"{name}.csv" for name in SHIPPED} < set(tables)
    assert all(f"| `{name}` |" in described for name in tables)


def test_a_users_table_is_read_with_further_columns_and_a_byte_order_mark(table):
    text = 'group,note,class\nwarm,"yes, it is",häuser und wege\ncold,,b\nwarm,,a\n'
    assert read_groups(table(text)) == {"warm": ["häuser und wege", "a"], "cold": ["b"]}
    assert read_groups(table("\ufeffclass,group\r\na,one\r\n\r\nb,two\r\n")) == {"one": ["a"], "two": ["b"]}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("class;group\na;one\n", "the table has no column 'class'; its first line must name class and group, "),
        ("class,words\na,one\n", "the table has no column 'group'"),
        ("", "the table has no column 'class'"),
        ("class,group\n", "the table of groups has no rows; write one a class"),
        ("class,group\na,one\nb\n", "line 3 lacks a class or a group; complete or remove it"),
        ("class,group\n,one\n", "line 2 lacks a class or a group"),
        ("class,group\na,one\nb,one\na,two\n", "the class 'a' is in the groups 'one' and 'two'; a class belongs to "),
        ("class,group\na,one\na,one\n", "the class 'a' is in the group 'one' twice; a class belongs to one group"),
        (b"class,group\n\xff\xfe,one\n", "cannot be read as a table of groups ('utf-8' codec"),
        ('class,group\na,"one\n', "cannot be read as a table of groups (unexpected end of data)"),
    ],
)
def test_a_bad_table_is_refused_in_one_sentence_that_names_it(table, text, complaint):
    path = table(text)
    with pytest.raises(InputError) as error:
        read_groups(path)
    assert str(error.value).startswith(f"{path}: {complaint}")
    assert "\n" not in str(error.value)


def test_a_missing_table_is_told_with_the_ones_that_come_with_the_package(tmp_path):
    with pytest.raises(InputError, match=r"cifar10: there is no such file; .* package: cifar100, ilsvrc2012$"):
        read_groups("cifar10")
    with pytest.raises(InputError, match="cannot be read as a table of groups"):
        read_groups(str(tmp_path))


def test_a_subset_of_synsets_keeps_its_groups_in_the_data_sets_order():
    known = ["n04456115", "n01443537", "dragon", "n01644900", "n02666196"]
    assert groups_of(read_groups("ilsvrc2012"), known) == {
        "natural": ["n01443537", "n01644900"],
        "man-made": ["n04456115", "n02666196"],
    }


def test_a_composed_sets_classes_are_matched_within_their_set():
    known = ["cifar/oak_tree", "tiny/oak_tree", "cifar/trout", "omniglot/Latin/trout"]
    groups = groups_of(read_groups("cifar100"), known)
    assert {group: names for group, names in groups.items() if names} == {
        "trees": ["cifar/oak_tree", "tiny/oak_tree"],
        "fish": ["cifar/trout"],
    }
    assert len(groups) == 20


def test_a_whole_name_goes_before_the_name_within_the_set():
    table = {"plain": ["a"], "composed": ["x/a", "Greek/alpha"]}
    known = ["a", "x/a", "y/a", "omniglot/Greek/alpha"]
    groups = groups_of(table, known)
    assert groups == {"plain": ["a", "y/a"], "composed": ["x/a", "omniglot/Greek/alpha"]}
    assert max(Counter(name for names in groups.values() for name in names).values()) == 1


@pytest.mark.parametrize("slip", ["owl ", " owl", "Owl", "OWL", "owll", "ow l", "o_wl", "o-wl"])
def test_a_class_that_a_table_misses_by_a_slip_is_refused_and_not_left_out(slip):
    table = {"animals": ["cat", slip, "fox"], "vehicles": ["car"]}
    with pytest.raises(InputError) as error:
        unmatched_rows(table, ["car", "cat", "fox", "owl"])
    assert str(error.value) == (
        f"datasets.*.groups has the class {slip!r} and the data set 'owl'; write the table's as the data set's, or, if "
        "they are two classes, give the data set's a row of its own or take the table's out"
    )


@pytest.mark.parametrize(
    ("row", "name"), [("elephent", "elephant"), ("elefant", "ele-fant"), ("elephnat", "elephant"), ("tram", "x/trams")]
)
def test_another_letter_or_two_that_are_swapped_in_a_longer_name_are_a_slip(row, name):
    with pytest.raises(InputError, match="has the class '"):
        unmatched_rows({"g": [row]}, [name])


@pytest.mark.parametrize(
    ("row", "name"), [("n01440764", "n01440765"), ("class 1", "class 2"), ("cat", "car"), ("dog", "fox"), ("1", "2")]
)
def test_classes_that_are_two_are_no_slip_and_are_counted(row, name):
    assert unmatched_rows({"g": [row, "whale"]}, [name, "whale"]) == (
        f"the data set lacks 1 of the 2 classes that datasets.*.groups names, such as {row!r}"
    )


def test_a_table_that_fits_the_data_set_has_nothing_to_tell():
    cifar100 = read_groups("cifar100")
    assert unmatched_rows(cifar100, [name for names in cifar100.values() for name in names]) is None
    assert unmatched_rows({"a": ["x", "Y"], "b": ["y"]}, ["x", "Y", "y", "set/x"]) is None


def test_of_a_subset_the_shipped_table_tells_how_many_classes_it_lacks():
    table = read_groups("ilsvrc2012")
    subset = [*table["natural"][:37], *table["man-made"][:43]]
    assert unmatched_rows(table, subset).startswith("the data set lacks 920 of the 1,000 classes that ")


def test_classes_are_matched_however_their_accents_are_written(table):
    groups = read_groups(table("class,group\ncaf\u00e9,warm\nthe\u0301,warm\n"))
    assert groups_of(groups, ["cafe\u0301", "th\u00e9"]) == {"warm": ["cafe\u0301", "th\u00e9"]}
    assert unmatched_rows(groups, ["cafe\u0301", "th\u00e9"]) is None
    with pytest.raises(InputError, match="is in the groups 'a' and 'b'"):
        read_groups(table("class,group\ncaf\u00e9,a\ncafe\u0301,b\n"))


def test_a_table_in_utf_16_as_windows_tools_write_it_is_read(table):
    assert read_groups(table("class,group\r\nhäuser,one\r\n".encode("utf-16"))) == {"one": ["häuser"]}


def test_the_module_imports_no_library():
    code = "import sys; import transferability.data.groups; print({'numpy', 'torch', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
