"""Groups: named sets of classes, from a table that comes with the package or from the user's own."""

import csv
import io
from collections.abc import Mapping

from transferability.data.names import composed, decoded, near_miss
from transferability.errors import InputError
from transferability.facts import FACTS
from transferability.files import expanded

SHIPPED = ("cifar100", "ilsvrc2012")


def table_rows(table: str) -> list[tuple[int, str, str]]:
    """The rows of a table of groups: line, class, group. A table that cannot be read so is an InputError."""
    path = FACTS / f"{table}.csv" if table in SHIPPED else expanded(table)
    try:
        reader = csv.DictReader(io.StringIO(decoded(path.read_bytes()), newline=""), strict=True)
        header = reader.fieldnames or []
        missing = [column for column in ("class", "group") if column not in header]
        if missing:
            raise InputError(
                f"{table}: the table has no column {missing[0]!r}; its first line must name class and group, "
                f"with commas between, and is {','.join(header)!r}"
            )
        return [(reader.line_num, row["class"], row["group"]) for row in reader]
    except FileNotFoundError:
        raise InputError(
            f"{table}: there is no such file; name the path of a table of groups, or one that comes with the package: "
            + ", ".join(SHIPPED)
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: cannot be read as a table of groups ({error}); give a CSV file in UTF-8") from None


def read_groups(table: str) -> dict[str, list[str]]:
    """The named groups of a table, {group: classes in the table's order}.

    `table` is the name of one that comes with the package (see facts/README.md) or the path of a CSV file with
    the columns class and group; further columns are let be. A class belongs to one group, once. A table that
    cannot be read so is an InputError.
    """
    rows = table_rows(table)
    if not rows:
        raise InputError(f"{table}: the table of groups has no rows; write one a class")
    groups: dict[str, list[str]] = {}
    group_of: dict[str, str] = {}
    for line, name, group in rows:
        if not name or not group:
            raise InputError(f"{table}: line {line} lacks a class or a group; complete or remove it")
        if (earlier := group_of.get(composed(name))) is not None:
            where = f"the groups {earlier!r} and {group!r}" if earlier != group else f"the group {group!r} twice"
            raise InputError(f"{table}: the class {name!r} is in {where}; a class belongs to one group, once")
        group_of[composed(name)] = group
        groups.setdefault(group, []).append(name)
    return groups


def name_in_set(name: str) -> str:
    """A class's name within its own data set: a packed set composed of several names its classes SET/CLASS."""
    return name.partition("/")[2] or name


def groups_of(table: Mapping[str, list[str]], classes: list[str]) -> dict[str, list[str]]:
    """A table's groups restricted to the classes that a data set has, by the data set's names and in its order.

    A class SET/CLASS of a composed set is matched as a whole first, then as CLASS. Classes that the table does
    not name are in no group; a group of which the data set has no class is empty.
    """
    group_of = {composed(name): group for group, names in table.items() for name in names}
    restricted: dict[str, list[str]] = {group: [] for group in table}
    for name in classes:
        whole = composed(name)
        group = group_of.get(whole, group_of.get(name_in_set(whole)))
        if group is not None:
            restricted[group].append(name)
    return restricted


def unmatched_rows(table: dict[str, list[str]], classes: list[str]) -> str | None:
    """A sentence that counts the classes of a table that a data set lacks; None where it has them all.

    One that a class of the data set without a row misses by a slip is an InputError that names both: such a class
    would leave its task.
    """
    in_table = {composed(name): name for names in table.values() for name in names}
    in_set = {composed(name): name for name in classes}
    within = {name_in_set(name) for name in in_set}
    rows = [name for key, name in in_table.items() if key not in in_set and key not in within]
    lone = [name for key, name in in_set.items() if key not in in_table and name_in_set(key) not in in_table]
    near = near_miss(rows, [name_in_set(name) for name in lone])
    if near:
        raise InputError(
            f"datasets.*.groups has the class {near[0]!r} and the data set {near[1]!r}; write the table's as the data "
            "set's, or, if they are two classes, give the data set's a row of its own or take the table's out"
        )
    if not rows:
        return None
    return (
        f"the data set lacks {len(rows):,} of the {len(in_table):,} classes that datasets.*.groups names, such as "
        f"{rows[0]!r}"
    )
