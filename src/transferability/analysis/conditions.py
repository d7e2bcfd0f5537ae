"""Conditions: a kind of split at a volume of images, within which networks of several splits and seeds are alike."""

import pandas as pd

KINDS = {
    "random": "Random halves of the classes",
    "groups": "Groups of classes",
    "classes": "Chosen classes",
    "graded": "Graded groups",
    "whole": "All classes",
    "unknown": "Splits that cannot be read",
}
"""Kinds of splits in words, in the order of tables and figures; unknown is that of a network without a split."""

CONDITION = ["kind", "volume", "other_volume"]


def unreduced(table: pd.DataFrame) -> pd.DataFrame:
    """The rows at full volume; all rows of a study that reduces every split."""
    full = table[table["volume"].isna() & table["other_volume"].isna()]
    return table if full.empty else full


def with_volumes(name: str, volume: float, other_volume: float) -> str:
    """A name with the volumes of its condition, where they are reduced: "whole, 25 images a class"."""
    volumes = [
        f"{volume:.0f} images a class" if pd.notna(volume) else "",
        f"{other_volume:.0f} of the other task" if pd.notna(other_volume) else "",
    ]
    return ", ".join([name, *filter(None, volumes)])


def label_of(kind: str, volume: float, other_volume: float) -> str:
    """A condition in words."""
    return with_volumes(KINDS[kind], volume, other_volume)


def in_a_line(label: str) -> str:
    """A kind or condition as it stands inside a sentence."""
    return label[0].lower() + label[1:]


def conditions_of(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each condition of a table, with its name, in the order of KINDS and by falling volume."""
    groups = dict(iter(table.groupby(CONDITION, dropna=False, sort=False)))

    def rank(key: tuple) -> tuple:
        kind, *volumes = key
        return (list(KINDS).index(kind), *(-volume if pd.notna(volume) else -float("inf") for volume in volumes))

    return [(label_of(*key), groups[key]) for key in sorted(groups, key=rank)]
