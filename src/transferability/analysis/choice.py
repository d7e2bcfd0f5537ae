"""Choice: which source, and which cut of it, one would take for a target by each way to choose, in choice.csv.

Candidates are the cuts of all architectures of a study, such as several pretrained networks. A way ranks them by a
score, by what a probe scores on validation images, or by training them all and looking at validation. What the chosen
one then gives on test images, fine-tuned (retrained where the study fine-tunes none), is held against the best.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from transferability import files
from transferability.analysis.tables import (
    CHOICE_COLUMNS,
    NETWORK_COLUMNS,
    SCORE_COLUMNS,
    read_tables,
    shape_table,
    write_table,
)
from transferability.errors import exit_plainly
from transferability.evaluation.scores import HEAD_SCORES
from transferability.forms.run import Run
from transferability.networks.notation import split_treatment

TARGET = ["dataset", "split", "seed", "target"]
SOURCE = ["architecture", "treatment"]
CUT = [*SOURCE, "n"]
TRUTH, CHOOSING = "test_top1", "validation_top1"
AT_RANDOM, TRAINING = "at random", "training all"


def run_seconds(path: Path) -> float:
    """The seconds that a network took, its share of its job's; NaN where its record is not there."""
    if not path.exists():
        return np.nan
    job = files.read_json(path, Run)["job"]
    return job["seconds"] / job["networks"]


def probe_seconds(path: Path) -> float:
    """The seconds that the fits of a probe took at one cut; NaN where its result is not there."""
    return files.read_json(path).get("probe", {}).get("seconds", np.nan) if path.exists() else np.nan


def with_seconds(networks: pd.DataFrame, results: Path, models: Path) -> pd.DataFrame:
    """A networks table with a column `seconds`, from the files beside it."""
    seconds = []
    for row in networks.itertuples():
        place = Path(row.dataset, row.architecture, row.split, f"seed{row.seed}")
        if row.option:
            seconds.append(probe_seconds(results / place / f"{row.network}.json"))
        else:
            seconds.append(run_seconds(models / place / row.network / "run.json"))
    return networks.assign(seconds=seconds)


@dataclass(frozen=True)
class Candidates:
    """The cuts that may be chosen for one target: `truth` is what each gives on test images, by CUT."""

    truth: pd.Series

    @classmethod
    def of(cls, networks: pd.DataFrame, treatments: set[str]) -> "Candidates":
        """What the networks of one target give that start from the scored stages: fine-tuned, else retrained."""
        for plus in ("+", ""):
            rows = networks[networks["treatment"].isin({f"{name}{plus}" for name in treatments}) & networks["trained"]]
            if len(rows):
                rows = rows.assign(treatment=rows["treatment"].str.removesuffix("+"))
                return cls(rows.set_index(CUT)[TRUTH])
        return cls(pd.Series(dtype=float))

    def chosen(self, value: pd.Series) -> tuple | None:
        """The candidate of the largest value, by CUT; None where no two of them have one."""
        known = value[value.notna() & value.index.isin(self.truth.index)]
        return known.idxmax() if len(known) > 1 else None


def named(cut: tuple) -> str:
    """A candidate in words: mobilenet, pretrained, n = 5."""
    architecture, treatment, n = cut
    return f"{architecture}, {treatment}, n = {n}"


def pass_seconds(scores: pd.DataFrame) -> float:
    """The seconds of the passes of the training images through all sources."""
    return float(scores.groupby(SOURCE)["pass_seconds"].max().sum())


def score_ways(scores: pd.DataFrame, candidates: Candidates) -> Iterator[tuple[str, str, pd.Series, float]]:
    """Each score as a way to choose: its kind and name, its value of each candidate, and its seconds.

    A score of the head speaks for a source's last cut.
    """
    deepest = candidates.truth.reset_index().groupby(SOURCE)["n"].max()
    for name, rows in scores.groupby("score", sort=False):
        if name in HEAD_SCORES:
            sources = pd.MultiIndex.from_frame(rows[SOURCE])
            rows = rows.assign(n=deepest.reindex(sources).to_numpy())
        seconds = float(rows["seconds"].sum()) + pass_seconds(scores)
        yield "score", name, rows.dropna(subset="n").astype({"n": int}).set_index(CUT)["above"], seconds


def network_ways(networks: pd.DataFrame, treatments: set[str]) -> Iterator[tuple[str, str, pd.Series, float]]:
    """Each probe, and training all, as a way to choose by validation images."""
    treated = {name: split_treatment(name) for name in networks["treatment"].unique()}
    plain = {name: each.treatment.name for name, each in treated.items() if each.treatment.name in treatments}
    for option in sorted({treated[name].option for name in plain} - {""}):
        rows = networks[networks["treatment"].isin([name for name in plain if treated[name].option == option])]
        rows = rows.assign(treatment=rows["treatment"].map(plain))
        yield "probe", option, rows.set_index(CUT)[CHOOSING], rows["seconds"].sum(skipna=False)
    for plus in ("+", ""):
        rows = networks[networks["treatment"].isin({f"{name}{plus}" for name in treatments}) & networks["trained"]]
        if len(rows):
            value = rows.assign(treatment=rows["treatment"].str.removesuffix("+")).set_index(CUT)[CHOOSING]
            yield "training", TRAINING, value, rows["seconds"].sum(skipna=False)
            return


def target_rows(scores: pd.DataFrame, networks: pd.DataFrame) -> Iterator[dict]:
    """The rows of choice.csv of one target."""
    # Stages that have learnt from the target are no candidates, nor are untrained ones.
    scores = scores[~scores["seen"] & (scores["treatment"] != "random") & scores["above"].notna()]
    treatments = set(scores["treatment"])
    candidates = Candidates.of(networks, treatments)
    truth = candidates.truth
    if len(truth) < 2:
        return
    best = {"candidates": len(truth), "best": named(truth.idxmax()), "best_gives": truth.max()}
    ways = [*score_ways(scores, candidates), *network_ways(networks, treatments)]
    for kind, way, value, seconds in ways:
        seconds += pass_seconds(scores) if kind == "probe" else 0
        chosen = candidates.chosen(value)
        if chosen is not None:
            gives = truth[chosen]
            yield best | {"kind": kind, "way": way, "chosen": named(chosen), "gives": gives, "seconds": seconds}
    yield best | {"kind": AT_RANDOM, "way": AT_RANDOM, "gives": truth.mean(), "seconds": 0.0}


def choice_table(scores: pd.DataFrame, networks: pd.DataFrame) -> pd.DataFrame:
    """What each way would choose for each target, as CHOICE_COLUMNS has it; `networks` have their `seconds`."""
    rows = []
    for key, group in scores.groupby(TARGET, sort=False):
        place = dict(zip(TARGET, key, strict=True))
        own = networks[(networks[TARGET] == pd.Series(place)).all(axis=1)]
        rows += [place | row | {"regret": row["best_gives"] - row["gives"]} for row in target_rows(group, own)]
    return shape_table(rows, CHOICE_COLUMNS)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell which source each way would choose for each target.")
    parser.add_argument("--tables", type=Path, nargs="+", required=True, help="folders with a study's tables")
    parser.add_argument("--results", type=Path, required=True, help="the folder results, for what probes took")
    parser.add_argument("--models", type=Path, required=True, help="the folder models, for what networks took")
    parser.add_argument("--into", type=Path, required=True, help="choice.csv to write")
    arguments = parser.parse_args()
    scores, networks = (
        read_tables(arguments.tables, name, columns)
        for name, columns in (("scores", SCORE_COLUMNS), ("networks", NETWORK_COLUMNS))
    )
    timed = with_seconds(networks, arguments.results, arguments.models)
    write_table(arguments.into, choice_table(scores, timed))


if __name__ == "__main__":
    exit_plainly(main)
