"""Choice: which source, and which cut of it, one would take for a target by each way to choose, in choice.csv.

Candidates are the cuts of all architectures of a study, such as several pretrained networks. A way ranks them by a
score, by what a probe scores on validation images, or by training them all and looking at validation; candidates.csv
has what it says of each. What the chosen one then gives on test images is held against the best: fine-tuned (retrained
where the study fine-tunes none), and read by each probe.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from transferability import files
from transferability.analysis.effects import joined_notes
from transferability.analysis.ranks import rank_correlation
from transferability.analysis.tables import (
    CANDIDATE_COLUMNS,
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
TESTED, CHOOSING = "test_top1", "validation_top1"
AT_RANDOM, TRAINING, PROBE = "at random", "training", "probe"


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
        if pd.notna(row.pooling):
            seconds.append(probe_seconds(results / place / f"{row.network}.json"))
        else:
            seconds.append(run_seconds(models / place / row.network / "run.json"))
    return networks.assign(seconds=seconds)


def named(cut: tuple) -> str:
    """A candidate in words: mobilenet, pretrained, n = 5."""
    architecture, treatment, n = cut
    return f"{architecture}, {treatment}, n = {n}"


def measured(networks: pd.DataFrame, treatments: set[str]) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """The networks of one target that tell what the stages of some treatments give: kind, name, and rows of CUT.

    Fine-tuned, else retrained; and read by each probe.
    """
    for name, plus in (("fine-tuned", "+"), ("retrained", "")):
        rows = networks[networks["treatment"].isin({f"{each}{plus}" for each in treatments}) & networks["trained"]]
        if len(rows):
            yield TRAINING, name, rows.assign(treatment=rows["treatment"].str.removesuffix("+"))
            break
    probes = networks[networks["pooling"].notna()]
    probes = probes.assign(treatment=probes["treatment"].map(lambda each: split_treatment(each).treatment.name))
    for name, rows in probes[probes["treatment"].isin(treatments)].groupby("option"):
        yield PROBE, name, rows


@dataclass(frozen=True)
class Truth:
    """What tells what candidates give, and the accuracy on test images of each, by CUT."""

    name: str
    gives: pd.Series

    @property
    def ranks(self) -> pd.Series:
        """The rank of each candidate, 1 the best."""
        return self.gives.rank(ascending=False, method="min").astype(int)

    def of(self, value: pd.Series) -> pd.Series:
        """The candidates of which a way says something, and what it says."""
        return value[value.notna() & value.index.isin(self.gives.index)]


@dataclass(frozen=True)
class Way:
    """A way to choose: what it says of each candidate, by CUT, and the seconds that this takes for all of them."""

    kind: str
    name: str
    value: pd.Series
    seconds: float

    @property
    def is_training(self) -> bool:
        return self.kind == TRAINING


def pass_seconds(scores: pd.DataFrame) -> float:
    """The seconds of the passes of the training images through all sources."""
    return float(scores.groupby(SOURCE)["pass_seconds"].max().sum())


def score_ways(scores: pd.DataFrame, candidates: pd.Index) -> Iterator[Way]:
    """Each score as a way to choose; a score of the head speaks for the last cut of its source."""
    deepest = candidates.to_frame(index=False).groupby(SOURCE)["n"].max()
    for name, rows in scores.groupby("score", sort=False):
        if name in HEAD_SCORES:
            sources = pd.MultiIndex.from_frame(rows[SOURCE])
            rows = rows.assign(n=deepest.reindex(sources).to_numpy())
        value = rows.dropna(subset="n").astype({"n": int}).set_index(CUT)["above"]
        yield Way("score", name, value, float(rows["seconds"].sum()) + pass_seconds(scores))


def measured_ways(scores: pd.DataFrame, networks: pd.DataFrame, treatments: set[str]) -> Iterator[Way]:
    """Each probe, and training all, as a way to choose by validation images."""
    ways = sorted(measured(networks, treatments), key=lambda each: each[0] == TRAINING)
    for kind, name, rows in ways:
        seconds = rows["seconds"].sum(skipna=False) + (pass_seconds(scores) if kind == PROBE else 0)
        yield Way(kind, "training all" if kind == TRAINING else name, rows.set_index(CUT)[CHOOSING], seconds)


@dataclass(frozen=True)
class Target:
    """One target: the ways to choose for it, and what tells what its candidates give."""

    ways: list[Way]
    truths: list[Truth]

    @classmethod
    def of(cls, scores: pd.DataFrame, networks: pd.DataFrame) -> "Target":
        """From the scores and the networks of one target, which have their `seconds`."""
        # Stages that have learnt from the target are no candidates, nor are untrained ones.
        scores = scores[~scores["seen"] & (scores["treatment"] != "random") & scores["above"].notna()]
        treatments = set(scores["treatment"])
        truths = [Truth(name, rows.set_index(CUT)[TESTED]) for _, name, rows in measured(networks, treatments)]
        truths = [truth for truth in truths if len(truth.gives) > 1]
        if not truths:
            return cls([], [])
        ways = [*score_ways(scores, truths[0].gives.index), *measured_ways(scores, networks, treatments)]
        return cls(ways, truths)

    def pairs(self) -> Iterator[tuple[Truth, Way]]:
        """Each truth with each way that speaks of two candidates or more; that all are trained tells what they give
        trained alone."""
        for truth in self.truths:
            trained = truth is self.truths[0]
            for way in self.ways:
                if len(truth.of(way.value)) > 1 and (trained or not way.is_training):
                    yield truth, way


def chosen_row(truth: Truth, way: Way) -> dict:
    """The row of choice.csv of one way."""
    value = truth.of(way.value)
    chosen, gives = value.idxmax(), truth.gives[value.index]
    tau = rank_correlation("weighted_tau", value.to_numpy(), gives.to_numpy())
    reasons = [
        "nothing to rank: fewer than 3 candidates, or all the same" if np.isnan(tau) else None,
        "what some of it took is not recorded" if np.isnan(way.seconds) else None,
    ]
    return {
        "kind": way.kind,
        "way": way.name,
        "chosen": named(chosen),
        "gives": truth.gives[chosen],
        "rank": truth.ranks[chosen],
        "weighted_tau": tau,
        "ranked": len(value),
        "seconds": way.seconds,
        "note": joined_notes(*reasons),
    }


def at_random_row(truth: Truth) -> dict:
    """The row of choice.csv of drawing lots."""
    note = "the mean of all candidates: none is chosen, or ranked"
    return {"kind": AT_RANDOM, "way": AT_RANDOM, "gives": truth.gives.mean(), "ranked": 0, "seconds": 0.0, "note": note}


def choice_rows(target: Target) -> Iterator[dict]:
    """The rows of choice.csv of one target, without its place."""
    rows = [(truth, chosen_row(truth, way)) for truth, way in target.pairs()]
    rows += [(truth, at_random_row(truth)) for truth in target.truths]
    for truth, row in sorted(rows, key=lambda each: target.truths.index(each[0])):
        best = truth.gives.max()
        shared = {"truth": truth.name, "candidates": len(truth.gives), "best": named(truth.gives.idxmax())}
        yield shared | row | {"best_gives": best, "regret": best - row["gives"]}


def candidate_rows(target: Target) -> Iterator[dict]:
    """The rows of candidates.csv of one target, without its place."""
    for truth, way in target.pairs():
        value = truth.of(way.value)
        ranks = value.rank(ascending=False, method="min").astype(int)
        for cut in value.index:
            measures = {"value": value[cut], "rank": ranks[cut], "gives": truth.gives[cut]}
            named_cut = dict(zip(CUT, cut, strict=True))
            yield {"truth": truth.name, "kind": way.kind, "way": way.name} | named_cut | measures


def choice_tables(scores: pd.DataFrame, networks: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What each way would choose for each target, as CHOICE_COLUMNS has it, and what it says of each candidate, as
    CANDIDATE_COLUMNS has it; `networks` have their `seconds`."""
    chosen, candidates = [], []
    for key, group in scores.groupby(TARGET, sort=False):
        place = dict(zip(TARGET, key, strict=True))
        target = Target.of(group, networks[(networks[TARGET] == pd.Series(place)).all(axis=1)])
        chosen += [place | row for row in choice_rows(target)]
        candidates += [place | row for row in candidate_rows(target)]
    return shape_table(chosen, CHOICE_COLUMNS), shape_table(candidates, CANDIDATE_COLUMNS)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell which source each way would choose for each target.")
    parser.add_argument("--tables", type=Path, nargs="+", required=True, help="folders with a study's tables")
    parser.add_argument("--results", type=Path, required=True, help="the folder results, for what probes took")
    parser.add_argument("--models", type=Path, required=True, help="the folder models, for what networks took")
    parser.add_argument("--choice", type=Path, required=True, help="choice.csv to write")
    parser.add_argument("--candidates", type=Path, required=True, help="candidates.csv to write")
    arguments = parser.parse_args()
    scores, networks = (
        read_tables(arguments.tables, name, columns)
        for name, columns in (("scores", SCORE_COLUMNS), ("networks", NETWORK_COLUMNS))
    )
    timed = with_seconds(networks, arguments.results, arguments.models)
    choice, candidates = choice_tables(scores, timed)
    write_table(arguments.choice, choice)
    write_table(arguments.candidates, candidates)


if __name__ == "__main__":
    exit_plainly(main)
