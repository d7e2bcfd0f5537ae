"""Yosinski et al. (2014): the networks of the original study, from its published logs, in the form of one's own study.

The numbers are in facts/yosinski2014.csv; facts/README.md names the source. The logs have one read-out on one
set of images, ILSVRC 2012's validation images: what they call accuracy is `validation_top1` at the end and
`mean_of_ten_best`, and the columns of the test images stay empty. All classes have 50 of these images.
"""

import argparse
from itertools import product

import pandas as pd

from transferability.analysis.gathering import add_table_options, table_files, write_tables
from transferability.analysis.tables import NETWORK_COLUMNS, shape_table
from transferability.analysis.treatments import curves_of
from transferability.errors import exit_plainly
from transferability.evaluation.guessing import chance, verdict
from transferability.facts import FACTS
from transferability.networks.notation import parse_network

STUDY = {"dataset": "yosinski2014", "architecture": "caffenet", "seed": 0}
KINDS = {"natman": "groups", "whole": "whole"}
# Natural classes are A, man-made ones B, as in the logs.
CLASSES = {("natman", "A"): 449, ("natman", "B"): 551, ("whole", "A"): 1000}
HALF = 500
BATCH = 256
DRAWN = {
    "random": ("base", "selffer", "selffer+", "transfer", "transfer+"),
    "groups": ("base", "transfer"),
    "whole": ("base", "random"),
}
"""The treatments that the paper's figures show of each kind of split."""


def published_networks() -> pd.DataFrame:
    """The 170 published folders by the names of this project: split, kind, network, volume, and the logged numbers.

    The network on all 1,000 classes is baseA of a split `whole`; those on k images a class are baseA of `whole-k`.
    """
    logs = pd.read_csv(FACTS / "yosinski2014.csv")
    reduced = logs["treatment"] == "reduced"
    volume = logs["network"].where(reduced).str.removeprefix("reduced").astype("Int64")
    whole = logs["split"] == "whole"
    name = logs["network"].mask(whole & (logs["treatment"] == "random"), logs["network"] + "A")
    return logs.assign(
        network=name.mask(whole & (logs["source"] != "R"), "baseA"),
        kind=logs["split"].map(KINDS).fillna("random"),
        split=logs["split"].mask(reduced, "whole-" + volume.astype("object").astype(str)),
        volume=volume,
    )


def network_row(log: dict) -> dict:
    """One row of networks.csv from a published folder that has a log."""
    identity = parse_network(log["network"])
    classes = CLASSES.get((log["split"].split("-")[0], identity.target), HALF)
    balanced = [1] * classes
    history = {
        "train_loss": log["train_loss_last500"],
        "validation_loss": log["valid_loss_final"],
        "validation_top1": log["top1_final"],
    }
    trained, reason = verdict([history], balanced, balanced)
    return {
        **STUDY,
        "split": log["split"],
        "kind": log["kind"],
        "volume": log["volume"],
        "network": identity.name,
        "treatment": identity.treatment,
        "source": identity.source,
        "n": identity.n,
        "target": identity.target,
        "fine_tune": identity.fine_tune,
        "preserved": identity.preserved,
        "trained": trained,
        "reason": reason,
        "classes": classes,
        "images_seen": int(log["last_iteration"]) * BATCH,
        **history,
        "validation_chance": chance(balanced),
        "mean_of_ten_best": log["top1_mean10best"],
    }


def drawn_networks(published: pd.DataFrame) -> list[tuple[str, str, str]]:
    """The networks (kind, split, network) of a balanced design of the paper's figures.

    That is, of the splits of each kind every treatment, n and target that the figures show of it.
    """
    cells = []
    for kind, treatments in DRAWN.items():
        splits = sorted(set(published["split"][(published["kind"] == kind) & published["volume"].isna()]))
        targets = "A" if kind == "whole" else "AB"
        for split, treatment, target in product(splits, treatments, targets):
            cells += [(kind, split, network) for network in treatment_networks(treatment, target)]
    return cells


def absent_networks(published: pd.DataFrame) -> list[dict]:
    """The networks of `drawn_networks` that the logs have not, each with the reason, for `coverage_table`."""
    scores = published.set_index(["split", "network"])["top1_final"].to_dict()
    absent = []
    for kind, split, network in drawn_networks(published):
        if pd.notna(scores.get((split, network))):
            continue
        is_published = (split, network) in scores
        reason = "the published folder has no log" if is_published else "there is no published folder of it"
        absent.append(STUDY | {"split": split, "kind": kind, "network": network, "reason": reason})
    return absent


def treatment_networks(treatment: str, target: str) -> list[str]:
    """The networks of one treatment and target, n from 1 to 7."""
    curve = curves_of(treatment)["AB".index(target)]
    return [curve] if treatment == "base" else [curve.replace("n", str(n)) for n in range(1, 8)]


def read_published() -> tuple[pd.DataFrame, list[dict]]:
    """The original's networks as NETWORK_COLUMNS has them, and the absent ones, as `coverage_table` takes them."""
    published = published_networks()
    rows = [network_row(log) for log in published[published["top1_final"].notna()].to_dict("records")]
    return shape_table(rows, NETWORK_COLUMNS), absent_networks(published)


def main() -> None:
    parser = argparse.ArgumentParser(description="Gather the original study's published networks in tables.")
    add_table_options(parser)
    arguments = parser.parse_args()
    networks, absent = read_published()
    write_tables(networks, absent, table_files(arguments), arguments.drop, arguments.unbalanced)


if __name__ == "__main__":
    exit_plainly(main)
