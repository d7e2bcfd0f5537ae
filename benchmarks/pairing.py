"""What pairing is worth: the spread of paired differences against that of unpaired ones, by effect and n.

    python benchmarks/pairing.py FOLDER [--read-out test_top1]

Reads the tables of a finished study with several seeds, networks.csv and pairs.csv under FOLDER/results, such as those
of workflow/studies/digits-seeds.yaml. *Seeds*: within a split and target, the standard deviation over seeds of a paired
difference, against that which the two treatments would have if their seeds had nothing in common, sqrt(var + var);
variances are pooled over splits and targets. Below 1, sharing a seed (batches, first weights of new layers, the base
network) helps. *Targets*: the same within a seed, over targets: what it helps to take differences within a target. A
ratio of k degrees of freedom is uncertain by a share of about 1/sqrt(2k). *Skew*: of the paired differences within
splits and targets, each set at the same mean and spread; intervals suffer from one-sided skew alone.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import skew


def values_of_pairs(networks: pd.DataFrame, pairs: pd.DataFrame, read_out: str) -> pd.DataFrame:
    """The pairs of a read-out with the value of the treatment and that of the reference."""
    keys = ["split", "seed", "target", "treatment", "n"]
    chosen = pairs[pairs["read_out"] == read_out]
    values = chosen.merge(networks[[*keys, read_out]], on=keys, validate="many_to_one")
    return values.assign(treated=values[read_out], referred=values[read_out] - values["difference"])


def pooled(values: pd.DataFrame, within: list[str]) -> tuple[float, float, int]:
    """The paired and the unpaired standard deviation within groups, and the degrees of freedom of each."""
    groups = values.groupby(within)[["difference", "treated", "referred"]]
    squares, counts = groups.var(ddof=0).mul(groups.size(), axis=0).sum(), groups.size()
    freedom = int((counts - 1).sum())
    if freedom == 0:
        return np.nan, np.nan, 0
    variances = squares / freedom
    return (
        float(np.sqrt(variances["difference"])),
        float(np.sqrt(variances["treated"] + variances["referred"])),
        freedom,
    )


def skew_of(values: pd.DataFrame, within: list[str]) -> float:
    """The skew of the differences within groups, each group at mean 0 and deviation 1; NaN where none has a spread."""
    groups = values.groupby(within)["difference"]
    standard = ((values["difference"] - groups.transform("mean")) / groups.transform("std", ddof=0)).dropna()
    return float(skew(standard)) if len(standard) > 2 else np.nan


def main() -> None:
    parser = argparse.ArgumentParser(description="The spread of paired differences against that of unpaired ones.")
    parser.add_argument("folder", type=Path, help="where a study with several seeds has run")
    parser.add_argument("--read-out", default="test_top1")
    arguments = parser.parse_args()
    tables = sorted(arguments.folder.glob("results/*/*/pairs.csv"))
    if not tables:
        parser.error(f"{arguments.folder}: no results/*/*/pairs.csv; run a study with several seeds there")
    for table in tables:
        networks = pd.read_csv(table.with_name("networks.csv"), keep_default_na=False, na_values=[""])
        pairs = pd.read_csv(table, keep_default_na=False, na_values=[""])
        values = values_of_pairs(networks, pairs, arguments.read_out)
        print(f"{table.parent}, {arguments.read_out}: spread in points, over seeds and over targets")
        heads = f"{'effect':22}{'n':>3}{'paired':>9}{'unpaired':>10}{'ratio':>7}{'of':>5}"
        print(f"{heads}{'targets, ratio':>16}{'of':>5}{'skew':>7}")
        for (effect, n), cell in [*values.groupby(["effect", "n"], sort=False), *over_layers(values)]:
            paired, unpaired, freedom = pooled(cell, ["split", "target", "n"])
            across, alone, targets = pooled(cell, ["seed", "n"])
            print(
                f"{effect:22}{n:>3}{100 * paired:9.2f}{100 * unpaired:10.2f}{paired / unpaired:7.2f}{freedom:5}"
                f"{across / alone:16.2f}{targets:5}{skew_of(cell, ['split', 'target', 'n']):7.2f}"
            )


def over_layers(values: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """The values of each effect at all n, in the form of a group."""
    return [((effect, "all"), cell) for effect, cell in values.groupby("effect", sort=False)]


if __name__ == "__main__":
    main()
