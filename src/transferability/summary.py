"""Summary: a study in a few numbers, for `dvc metrics`, and as curves over n, for `dvc plots`."""

import argparse
from pathlib import Path

import pandas as pd

from transferability import files
from transferability.errors import exit_plainly

READ_OUT = "test_top1"
PLACE = ["dataset", "architecture"]
PAIR = [*PLACE, "split", "seed", "target"]
"""What two networks share whose difference is an effect, beside n."""

EFFECTS = {
    "co-adaptation": ("selffer", "base"),
    "specificity": ("transfer", "selffer"),
    "lingering boost": ("transfer+", "selffer+"),
}
CURVES = ["dataset", "architecture", "quantity", "curve", "n", "mean", "networks"]


def paired(networks: pd.DataFrame, treatment: str, reference: str) -> pd.DataFrame:
    """Differences of the read-out between two treatments at the same target, split, seed and n."""
    first, second = (networks[networks["treatment"] == name] for name in (treatment, reference))
    # A base network is cut nowhere and stands against every n.
    keys = PAIR if reference == "base" else [*PAIR, "n"]
    pairs = first.merge(second[[*keys, READ_OUT]], on=keys, suffixes=("", "_of_reference"))
    return pairs.assign(**{READ_OUT: pairs[READ_OUT] - pairs[f"{READ_OUT}_of_reference"]})


def curves_table(networks: pd.DataFrame) -> pd.DataFrame:
    """One row a treatment and n, and one an effect and n: means over targets, splits and seeds.

    `networks` are rows of networks.csv; those that did not train are left out.
    """
    networks = networks[networks["trained"]]
    groups = [("accuracy", name, rows) for name, rows in networks.groupby("treatment")]
    groups += [("effect", name, paired(networks, *pair)) for name, pair in EFFECTS.items()]
    rows = [
        dict(zip(PLACE, place[:2], strict=True))
        | {"quantity": quantity, "curve": name, "n": place[2], "mean": values.mean(), "networks": len(values)}
        for quantity, name, group in groups
        for place, values in group.groupby([*PLACE, "n"])[READ_OUT]
    ]
    return pd.DataFrame(rows, columns=CURVES)


def summarise(networks: pd.DataFrame) -> dict:
    """The same as {dataset: {architecture: {"accuracy" or "effect": {curve: {"n=3": mean}}, "networks": counts}}}."""
    summary: dict = {}
    for (dataset, architecture), rows in networks.groupby(PLACE):
        summary.setdefault(dataset, {})[architecture] = {
            "networks": {"trained": int(rows["trained"].sum()), "untrained": int((~rows["trained"]).sum())}
        }
    for row in curves_table(networks).itertuples():
        place = summary[row.dataset][row.architecture]
        place.setdefault(row.quantity, {}).setdefault(row.curve, {})[f"n={row.n}"] = round(row.mean, 4)
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description="Sum up a study's tables of networks.")
    parser.add_argument("--networks", type=Path, nargs="+", required=True, help="tables of networks")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json to write")
    parser.add_argument("--accuracy", type=Path, required=True, help="accuracy.csv to write")
    parser.add_argument("--effects", type=Path, required=True, help="effects.csv to write")
    arguments = parser.parse_args()
    text = dict.fromkeys(("dataset", "architecture", "split", "target", "treatment"), str)
    networks = pd.concat([pd.read_csv(path, dtype=text) for path in arguments.networks], ignore_index=True)
    curves = curves_table(networks)
    for quantity, path in (("accuracy", arguments.accuracy), ("effect", arguments.effects)):
        rows = curves[curves["quantity"] == quantity].drop(columns="quantity")
        files.write_text(path, rows.to_csv(index=False, lineterminator="\n", float_format="%.6f"))
    files.write_json(arguments.metrics, summarise(networks))


if __name__ == "__main__":
    exit_plainly(main)
