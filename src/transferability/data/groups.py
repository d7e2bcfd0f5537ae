"""Groups: named sets of classes, from a table that comes with the package or from the user's own."""

import csv

from transferability.errors import InputError
from transferability.facts import FACTS
from transferability.files import expanded

SHIPPED = ("cifar100", "ilsvrc2012")


def read_groups(table: str) -> dict[str, list[str]]:
    """The named groups of a table, {group: classes in the table's order}.

    `table` is the name of one that comes with the package (see facts/README.md) or the path of a CSV file with
    the columns class and group; further columns are let be. A class belongs to one group, once. A table that
    cannot be read so is an InputError.
    """
    path = FACTS / f"{table}.csv" if table in SHIPPED else expanded(table)
    try:
        # Spreadsheets put a byte order mark in front.
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            header = reader.fieldnames or []
            missing = [column for column in ("class", "group") if column not in header]
            if missing:
                raise InputError(
                    f"{table}: the table has no column {missing[0]!r}; its first line must name class and group, "
                    f"with commas between, and is {','.join(header)!r}"
                )
            rows = [(reader.line_num, row["class"], row["group"]) for row in reader]
    except FileNotFoundError:
        raise InputError(
            f"{table}: there is no such file; name the path of a table of groups, or one that comes with the package: "
            + ", ".join(SHIPPED)
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: cannot be read as a table of groups ({error}); give a CSV file in UTF-8") from None
    if not rows:
        raise InputError(f"{table}: the table of groups has no rows; write one a class")

    groups: dict[str, list[str]] = {}
    seen: dict[str, str] = {}
    for line, name, group in rows:
        if not name or not group:
            raise InputError(f"{table}: line {line} lacks a class or a group; complete or remove it")
        if name in seen:
            where = f"the groups {seen[name]!r} and {group!r}" if seen[name] != group else f"the group {group!r} twice"
            raise InputError(f"{table}: the class {name!r} is in {where}; a class belongs to one group, once")
        seen[name] = group
        groups.setdefault(group, []).append(name)
    return groups


def name_in_set(name: str) -> str:
    """A class's name within its own data set: a packed set composed of several names its classes SET/CLASS."""
    return name.partition("/")[2] or name


def groups_of(table: dict[str, list[str]], known: list[str]) -> dict[str, list[str]]:
    """A table's groups restricted to the classes that a data set has, by the data set's names and in its order.

    A class SET/CLASS of a composed set is matched as a whole first, then as CLASS. Classes that the table does
    not name are in no group; a group of which the data set has no class is empty.
    """
    group_of = {name: group for group, names in table.items() for name in names}
    restricted: dict[str, list[str]] = {group: [] for group in table}
    for name in known:
        group = group_of.get(name, group_of.get(name_in_set(name)))
        if group is not None:
            restricted[group].append(name)
    return restricted
