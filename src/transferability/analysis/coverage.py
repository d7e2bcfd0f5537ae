"""Coverage: which of a study's networks are there, did not train or are missing, and which means that leaves."""

import pandas as pd

from transferability.analysis.tables import COVERAGE_COLUMNS, refuse_twice, shape_table
from transferability.analysis.treatments import is_base
from transferability.errors import InputError
from transferability.networks.notation import parse_network

PRESENT, UNTRAINED, MISSING = "present", "did not train", "missing"


def coverage_table(networks: pd.DataFrame, absent: list[dict]) -> pd.DataFrame:
    """One row a network that the study asks for, as COVERAGE_COLUMNS has them.

    `networks` are those that have metrics; `absent` those that do not: dataset, architecture, kind, split, seed,
    network and the reason.
    """
    present = networks.assign(state=networks["trained"].map({True: PRESENT, False: UNTRAINED}))
    missing = []
    for cell in absent:
        identity = parse_network(cell["network"])
        columns = {"treatment": identity.treatment, "n": identity.n, "target": identity.target}
        missing.append(cell | columns | {"state": MISSING})
    # Rows as dictionaries: a table without rows has no types that could be joined.
    table = shape_table([*present[list(COVERAGE_COLUMNS)].to_dict("records"), *missing], COVERAGE_COLUMNS)
    refuse_twice(table, "coverage.csv")
    order = ["dataset", "architecture", "kind", "split", "seed", "treatment", "n", "target"]
    return table.sort_values(order, kind="stable").reset_index(drop=True)


def coverage_line(coverage: pd.DataFrame) -> str:
    """What a study rests on in one line, for the foot of a figure: networks, splits, targets, seeds, and the gaps."""
    counts = coverage["state"].value_counts()
    present = coverage[coverage["state"] == PRESENT]
    seeds = sorted(coverage["seed"].unique())
    line = (
        f"{len(present)} of {len(coverage)} networks; splits: {coverage['split'].nunique()}; "
        f"targets: {', '.join(sorted(coverage['target'].unique()))}; "
        f"seed{'s' * (len(seeds) > 1)}: {', '.join(map(str, seeds))}; "
        f"did not train: {counts.get(UNTRAINED, 0)}; missing: {counts.get(MISSING, 0)}"
    )
    doubtful = int(present["reason"].notna().sum())
    return line + (f"; validation loss that of guessing: {doubtful}" if doubtful else "")


CELL = ["split", "seed", "target"]
GROUP = ["dataset", "architecture", "kind", "volume", "other_volume"]


def cells_in_words(cells: set[tuple[str, int, str]]) -> str:
    """Cells (split, seed, target) as a phrase; the first three, and how many more."""
    phrases = [f"{split} seed {seed} target {target}" for split, seed, target in sorted(cells)]
    more = f" and {len(phrases) - 3} more" if len(phrases) > 3 else ""
    return ", ".join(phrases[:3]) + more


def imbalance_note(cells: set[tuple[str, int, str]], wanted: set[tuple[str, int, str]]) -> str | None:
    """What a mean over some cells lacks of the wanted ones, and has beside them; None if they are the same."""
    notes = {"lacks": wanted - cells, "has no base": cells - wanted}
    return "; ".join(f"{word}: {cells_in_words(odd)}" for word, odd in notes.items() if odd) or None


def condition_means(networks: pd.DataFrame, read_out: str, unbalanced: bool) -> list[dict]:
    """The rows of `means_table` of one condition's networks that trained, without the columns that name it."""
    others = networks.loc[~networks["treatment"].map(is_base), "target"]
    if not others.empty:
        networks = networks[networks["target"].isin(others)]
    bases = networks[networks["treatment"] == "base"]
    wanted = cells_of(networks if bases.empty else bases)
    rows = []
    for (treatment, n), curve in networks.groupby(["treatment", "n"]):
        note = imbalance_note(cells_of(curve), wanted)
        mean = curve[read_out].mean() if unbalanced or note is None else float("nan")
        row = {"treatment": treatment, "n": n, "mean": mean, "networks": len(curve), "balanced": note is None}
        rows.append(row | {"note": note})
    return rows


def means_table(networks: pd.DataFrame, read_out: str, unbalanced: bool) -> pd.DataFrame:
    """The mean of a read-out for each treatment at each n, over the networks that trained.

    Columns: dataset, architecture, kind, volume, other_volume, treatment, n, mean, networks, balanced, note. A mean
    is balanced if it is over the same cells (split, seed, target) as the base networks, or, where there are none,
    over all cells of its kind. One that is not is refused (NaN; the note says what lacks), or made and marked where
    `unbalanced` asks for it. Base networks of a target that no other network has, mere sources, are in no mean.
    """
    refuse_twice(networks, "networks.csv")
    trained = networks[networks["trained"] & networks[read_out].notna()]
    rows = [
        dict(zip(GROUP, values, strict=True)) | row
        for values, group in trained.groupby(GROUP, dropna=False)
        for row in condition_means(group, read_out, unbalanced)
    ]
    columns = {name: COVERAGE_COLUMNS.get(name, "Int64") for name in GROUP}
    rest = {"treatment": "str", "n": "int64", "mean": "float64", "networks": "int64", "balanced": "bool"}
    return shape_table(rows, columns | rest | {"note": "object"})


def cells_of(networks: pd.DataFrame) -> set[tuple[str, int, str]]:
    """The cells (split, seed, target) that some networks are in."""
    return set(networks[CELL].itertuples(index=False, name=None))


def require_balance(means: pd.DataFrame) -> None:
    """Raise an InputError with the first mean of `means_table` that is not balanced."""
    refused = means[~means["balanced"]]
    if len(refused):
        row = refused.iloc[0]
        raise InputError(
            f"the mean of {row['treatment']} at n = {row['n']} ({row['kind']}) is over other networks than the base's: "
            f"{row['note']}; compare pairs, or ask for unbalanced means"
        )
