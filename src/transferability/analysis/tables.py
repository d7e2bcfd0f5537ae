"""Tables: the columns of a study's tables, and tables as CSV files that are whole and mean what they say."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from transferability import files
from transferability.analysis.read_outs import LEARNING, READ_OUTS
from transferability.errors import InputError

CELL_COLUMNS = {
    "dataset": "str",
    "architecture": "str",
    "split": "str",
    "kind": "str",
    "seed": "int64",
    "volume": "Int64",
    "other_volume": "Int64",
    "synset_distance": "float64",
    "a_distance": "float64",
}
"""Where a network stands in a study, and how far apart the two tasks of its split are."""

NETWORK_COLUMNS = CELL_COLUMNS | {
    "network": "str",
    "treatment": "str",
    "source": "object",
    "n": "int64",
    "stage": "object",
    "target": "str",
    "fine_tune": "bool",
    "preserved": "int64",
    "option": "object",
    "pooling": "object",
    "trained": "bool",
    "reason": "object",
    "classes": "int64",
    "images_seen": "int64",
    **{read_out.name: "float64" for read_out in READ_OUTS},
    "validation_loss": "float64",
    **{read_out.chance: "float64" for read_out in READ_OUTS if read_out.chance},
    **{read_out.images: "Int64" for read_out in READ_OUTS if read_out.images},
}
"""networks.csv: one row a network, or a probe at a cut, that has metrics.

`option` is a probe's name and `pooling` how its features were pooled, both empty for networks; what only training gives
is empty for probes. `test_mean_per_class` is the mean of each class's own accuracy, and `test_class_chance` what always
guessing one class scores in it.
`stage` is the name of stage n, after which the network is cut; empty for base networks, and where the metrics do not
name it. `volume` and `other_volume`: training images a class of the target's task and of the other one, where the
split reduces them. `*_chance`: the accuracy of always guessing the largest class; `*_map_chance`, of images of several
labels, the share of images that show a class, of each the mean. `reason`: why it did not train, or,
of one that did, what is odd about it.
"""

LEARNING_COLUMNS = {
    "dataset": "str",
    "architecture": "str",
    "split": "str",
    "seed": "int64",
    "network": "str",
    "step": "int64",
    "train_loss": "float64",
    "validation_loss": "float64",
    **dict.fromkeys(LEARNING.values(), "float64"),
}
"""learning.csv: one row a validation of a network while it was trained; `train_loss` is since the one before. Probes
have none. Networks of images of one label have `validation_top1`, those of images of several `validation_map`."""

PAIR_COLUMNS = {
    "effect": "str",
    "dataset": "str",
    "architecture": "str",
    "split": "str",
    "kind": "str",
    "seed": "int64",
    "target": "str",
    "volume": "Int64",
    "other_volume": "Int64",
    "synset_distance": "float64",
    "a_distance": "float64",
    "treatment": "str",
    "reference": "str",
    "n": "int64",
    "read_out": "str",
    "difference": "float64",
    "normalised": "float64",
}
"""pairs.csv: one row a difference between two networks of one target, split and seed."""

EFFECT_COLUMNS = {
    "effect": "str",
    "dataset": "str",
    "architecture": "str",
    "kind": "str",
    "volume": "Int64",
    "other_volume": "Int64",
    "treatment": "str",
    "reference": "str",
    "read_out": "str",
    "n": "Int64",
    "mean": "float64",
    "low": "float64",
    "high": "float64",
    "low_these": "float64",
    "high_these": "float64",
    "splits": "int64",
    "seeds": "int64",
    "units": "int64",
    "pairs": "int64",
    "positive": "int64",
    "negative": "int64",
    "p": "float64",
    "p_these": "float64",
    "p_adjusted": "float64",
    "primary": "bool",
    "normalised_mean": "float64",
    "normalised_low": "float64",
    "normalised_high": "float64",
    "interval": "object",
    "interval_for": "object",
    "balanced": "bool",
    "untrained": "int64",
    "note": "object",
}
"""effects.csv: one row an effect, kind of split, volume, read-out and n; n is empty in the row over all layers.

`low`, `high` and `p` are for what `interval_for` says: new splits, or these splits where there is but one; those that
end in `_these` are for these splits, by their seeds. `seeds`: the fewest that a split has. `primary`: whether the study
has declared the row as what it concludes from. `balanced`: False also where there is no mean. `untrained`: pairs kept
out because one of their networks did not train.
"""

DROP_COLUMNS = {
    "effect": "str",
    "dataset": "str",
    "architecture": "str",
    "kind": "str",
    "volume": "Int64",
    "other_volume": "Int64",
    "read_out": "str",
    "measure": "str",
    "size": "float64",
    "first": "Int64",
    "low": "Int64",
    "high": "Int64",
    "note": "object",
}
"""drops.csv: the first layer at which an effect is a drop of more than `size`."""

COVERAGE_COLUMNS = {
    "dataset": "str",
    "architecture": "str",
    "kind": "str",
    "split": "str",
    "seed": "int64",
    "target": "str",
    "treatment": "str",
    "n": "int64",
    "network": "str",
    "state": "str",
    "reason": "object",
}
"""coverage.csv: one row a network that the study asks for; `state` is present, did not train or missing."""

STRATEGY_COLUMNS = {
    "dataset": "str",
    "architecture": "str",
    "kind": "str",
    "volume": "Int64",
    "other_volume": "Int64",
    "strategy": "str",
    "n": "int64",
    "rank": "int64",
    "validation": "float64",
    "test": "float64",
    "behind": "float64",
    "low": "float64",
    "high": "float64",
    "tie": "bool",
    "units": "int64",
    "training_seconds": "float64",
    "note": "object",
}
"""strategies.csv: one row a condition and strategy, a treatment with the cut that is best on validation images.

`rank` is by accuracy on them. `behind` is what the first strategy scores more on test images, a paired mean over splits
and seeds with its interval; with a `tie` it is not told apart from the first. `training_seconds` are a network's.
"""

DRAW_COLUMNS = {
    "dataset": "str",
    "architecture": "str",
    "split": "str",
    "seed": "int64",
    "network": "str",
    "treatment": "str",
    "source": "str",
    "n": "int64",
    "stage": "str",
    "target": "str",
    "option": "str",
    "classifier": "str",
    "normalisation": "str",
    "pooling": "str",
    "learn_from": "str",
    "images_per_class": "Int64",
    "other_per_class": "Int64",
    "draw": "int64",
    "chosen": "float64",
    "validation_top1": "float64",
    "test_top1": "float64",
    "test_mean_per_class": "float64",
    "note": "object",
}
"""draws.csv: one row a draw of a probe's training images. `learn_from`: of the target's images, the other task's, or
both; so many of a class are learnt from, `images_per_class` and `other_per_class`, or all where that is empty. `chosen`
is the C, penalty or k; the `note` says where that of some draw lies at an end of the grid."""

DRAW_EFFECT_COLUMNS = {
    "effect": "str",
    "dataset": "str",
    "architecture": "str",
    "split": "str",
    "seed": "int64",
    "target": "str",
    "n": "int64",
    "treatment": "str",
    "reference": "str",
    "read_out": "str",
    "mean": "float64",
    "low": "float64",
    "high": "float64",
    "draws": "int64",
    "note": "object",
}
"""draw_effects.csv: one row an effect of two probes, split, seed, target, read-out and n: what draws of the same number
differ by, their mean, with Student's interval over draws. These are of one data set: the interval says nothing of other
test images, splits or seeds; those of effects.csv do."""

PUBLISHED_COLUMNS = {
    "paper": "str",
    "data": "str",
    "network": "str",
    "read_out": "str",
    "published": "float64",
    "comparable": "bool",
    "here": "float64",
}
"""published.csv: one row a number of a paper that the study names. `comparable`: it is of the study's data
set, and its cuts are named as the study's; `here` is what the study has measured, the mean over splits and seeds. The
others are reference alone."""

EMBEDDING_COLUMNS = {
    "cut": "str",
    "n": "int64",
    "stage": "str",
    "class": "str",
    "group": "object",
    "x": "float64",
    "y": "float64",
    "images": "int64",
    "perplexity": "float64",
    "pooling": "str",
}
"""tsne.csv: one row a cut and test image, its place on the plane; how it was made is the same in all rows."""

INVARIANCE_COLUMNS = {
    "cut": "str",
    "n": "int64",
    "stage": "str",
    "change": "str",
    "amount": "float64",
    "distance": "float64",
    "images": "int64",
}
"""invariance.csv: one row a cut, change and amount: how far features move, where 1 is another image."""

RETRIEVAL_COLUMNS = {
    "cut": "str",
    "n": "int64",
    "stage": "str",
    "way": "str",
    "map": "float64",
    "first": "float64",
    "chance": "float64",
    "queries": "int64",
    "components": "int64",
    "pooling": "str",
}
"""retrieval.csv: one row a cut and way of finding: mean average precision, and the share found first."""

SCORE_COLUMNS = CELL_COLUMNS | {
    "cut": "str",
    "treatment": "str",
    "source": "str",
    "n": "int64",
    "stage": "str",
    "target": "str",
    "seen": "bool",
    "score": "str",
    "value": "float64",
    "null": "float64",
    "null_deviation": "float64",
    "above": "float64",
    "images": "int64",
    "values": "int64",
    "pooling": "str",
    "permutations": "int64",
    "seconds": "float64",
    "pass_seconds": "float64",
    "reason": "object",
}
"""scores.csv: one row a cut and score; those of the source's own classes are at its last stage, its head.

`null` is the mean over permuted labels, and `above` what the score has more. `seen`: the stages have learnt from the
very images that are scored. `values`: of an image's features. `seconds`: those of the score and its null, and
`pass_seconds` of the pass that made the features of all cuts, which alone differ from run to run. `reason`: why there
is no value.
"""

CRITERION_COLUMNS = {
    "dataset": "str",
    "architecture": "str",
    "treatment": "str",
    "truth": "str",
    "read_out": "str",
    "predictor": "str",
    "over": "str",
    "measure": "str",
    "mean": "float64",
    "low": "float64",
    "high": "float64",
    "chance": "float64",
    "units": "int64",
    "items": "int64",
    "groups": "int64",
    "note": "object",
}
"""criterion.csv: one row a predictor, what it should predict, and measure.

`predictor` is a score above its null, depth or a distance, of the stages of `treatment`; `truth` is the treatment that
tells what these gave. `over` cuts: the mean of the rank correlations of curves; over tasks: of those at each cut.
`items` are ranked at once, in so many `groups`, and `chance` is what that many reach 5 times in 100. `low` and `high`:
95 %, by resampling `units`, splits and seeds; of a regression Student's, over splits, and no `chance`. `note` says why
another cell is empty.
"""

ASKED = {
    "dataset": "str",
    "split": "str",
    "seed": "int64",
    "target": "str",
    "truth": "str",
    "kind": "str",
    "way": "str",
}
"""Of choice.csv and candidates.csv: the target, what is chosen for, and the way to choose."""

CHOICE_COLUMNS = {
    **ASKED,
    "chosen": "object",
    "gives": "float64",
    "rank": "Int64",
    "best": "str",
    "best_gives": "float64",
    "regret": "float64",
    "weighted_tau": "float64",
    "ranked": "int64",
    "candidates": "int64",
    "seconds": "float64",
    "note": "object",
}
"""choice.csv: one row a target, truth and way to choose among the scored cuts of all architectures.

`truth` is what the chosen cut is for: `fine-tuned` networks (`retrained` where the study fine-tunes none), or a probe.
`gives` is the accuracy on test images of what is made from the `chosen` cut, whose `rank` among all is 1 where it is
the best; `regret` is what the `best` of the `candidates` gives more. `weighted_tau` tells how well the way ranks those
of which it says something, `ranked`. `seconds` are those of all candidates: of scores and probes the pass of the
training images too. At random: the mean of all, at no cost. `note` says why a cell is empty.
"""

CANDIDATE_COLUMNS = {
    **ASKED,
    "architecture": "str",
    "treatment": "str",
    "n": "int64",
    "value": "float64",
    "rank": "int64",
    "gives": "float64",
}
"""candidates.csv: what each way of choice.csv says of each candidate, its `value`: of a score what it has above its
null, of probes and training the accuracy on validation images; the `rank` among candidates by it, 1 the best; and what
the candidate `gives` on test images.
"""

SOURCE_COLUMNS = {
    "dataset": "str",
    "architecture": "str",
    "source": "str",
    "source_classes": "int64",
    "source_images": "int64",
    "over": "str",
    "over_classes": "int64",
    "over_images": "int64",
    "treatment": "str",
    "n": "int64",
    "target": "str",
    "read_out": "str",
    "gives": "float64",
    "over_gives": "float64",
    "mean": "float64",
    "low": "float64",
    "high": "float64",
    "p": "float64",
    "seeds": "int64",
    "note": "object",
}
"""sources.csv: one row a pair of splits whose target is the same, treatment, cut and read-out.

`source` and `over` are the splits, each with the classes and training images of its source task; `mean` is what
networks that copy from the one score more than those that copy from the other, over seeds, with Student's interval.
"""

CKA_COLUMNS = {
    "cut": "str",
    "n": "int64",
    "stage": "str",
    "other": "str",
    "other_n": "int64",
    "other_stage": "str",
    "cka": "float64",
    "images": "int64",
    "pooling": "str",
    "reason": "object",
}
"""cka.csv: one row a pair of cuts, each with itself too: how alike their features are, or the reason why not known."""

IDENTITY = ["dataset", "architecture", "split", "seed", "network"]
"""What tells one network of a table from another."""


def shape_table(rows: pd.DataFrame | list[dict], columns: dict[str, str]) -> pd.DataFrame:
    """Rows as a table of the given columns and types; what is missing is NaN or NA in numbers, None in text."""
    table = pd.DataFrame(rows, columns=list(columns)).astype(columns).reset_index(drop=True)
    for name in (name for name, kind in columns.items() if kind == "object"):
        table[name] = table[name].astype(object).replace({np.nan: None})
    return table


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, whole or not at all."""
    files.write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_table(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    """Read a table that `write_table` wrote, with its types; an empty cell is a missing value, and nothing else is.

    A missing, truncated or foreign file is an InputError, as is a network, step or draw that stands in it twice.
    """
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=columns)
        if not isinstance(table.index, pd.RangeIndex):  # pandas takes what a row has too much for names of rows
            raise ValueError("a row has more cells than there are columns")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (ValueError, UnicodeDecodeError) as error:  # pandas' own errors of parsing are ValueErrors
        raise InputError(f"{path}: not a whole table ({error}); delete it and run again") from None
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(f"{path}: lacks the column {missing[0]!r}; delete it and run again")
    if set(IDENTITY) <= columns.keys():
        refuse_twice(table, str(path))
    added = [name for name in table if name not in columns]
    return pd.concat([shape_table(table, columns), table[added]], axis=1)


def read_tables(folders: Iterable[Path], name: str, columns: dict[str, str]) -> pd.DataFrame:
    """The tables {folder}/{name}.csv of several studies as one."""
    return pd.concat([read_table(folder / f"{name}.csv", columns) for folder in folders], ignore_index=True)


def refuse_twice(table: pd.DataFrame, origin: str) -> None:
    """Raise an InputError if a network, step or draw stands twice in a table; `origin` says where that is from."""
    twice = np.flatnonzero(table.duplicated([name for name in (*IDENTITY, "step", "draw") if name in table]))
    if len(twice):
        row = table.iloc[twice[0]]
        raise InputError(
            f"{origin}: {row['network']} of {row['split']}, seed {row['seed']}, is there twice; leave one of the two"
        )


def stage_names(networks: pd.DataFrame) -> dict[int, str]:
    """The names of the stages at which networks are cut, by n, where networks.csv has them.

    There are none if every name says no more than n does, as conv3 of AlexNet's third stage.
    """
    cut = networks[networks["stage"].notna() & (networks["n"] > 0)]
    names = dict(zip(cut["n"].tolist(), cut["stage"].tolist(), strict=True))
    telling = any(re.fullmatch(rf"[a-z]+{n}", name) is None for n, name in names.items())
    return dict(sorted(names.items())) if telling else {}


def cut_name(n: int, stages: dict[int, str]) -> str:
    """A cut in words: n = 3, or, with `stage_names`, n = 3, layer2."""
    return f"n = {n}, {stages[n]}" if n in stages else f"n = {n}"
