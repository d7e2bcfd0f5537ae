"""Networks tables with planted effects, for tests of what is made of them."""

from collections.abc import Callable, Collection
from itertools import product

import numpy as np
import pandas as pd

from transferability.analysis.read_outs import MULTI, READ_OUTS
from transferability.analysis.tables import NETWORK_COLUMNS, shape_table
from transferability.networks.notation import PRETRAINED, RANDOM, TREATMENTS, Network, split_treatment

HALVES = {"random0": "random", "random1": "random", "random2": "random", "random3": "random"}
# What each treatment adds to the accuracy of its own base network, as a function of n.
GAINS = {
    "base": lambda n: 0,
    "selffer": lambda n: -0.01 * n,
    "selffer+": lambda n: 0.002,
    "transfer": lambda n: -0.03 * n,
    "transfer+": lambda n: 0.004 * n,
    "random": lambda n: -0.05 * n,
    "transfer-k2": lambda n: 0.001,
}
PROBE_GAINS = {
    "base": lambda n: 0,
    "selffer": lambda n: -0.01 * n,
    "transfer": lambda n: -0.03 * n,
    "transfer-k2": lambda n: 0.001,
    **{f"selffer-{probe}": lambda n: 0.01 - 0.01 * n for probe in ("svm", "logreg")},
    **{f"transfer-{probe}": lambda n: 0.02 - 0.02 * n for probe in ("svm", "logreg")},
    "transfer+-svm": lambda n: 0.001 * n,
    "random-svm": lambda n: -0.04 * n,
    "pretrained-svm": lambda n: 0.03,
}
"""Those of a study with probes; logreg reads no random stages."""
PRETRAINED_GAINS = {
    "base": lambda n: 0,
    "pretrained": lambda n: 0.05 - 0.01 * n,
    "pretrained+": lambda n: 0.06 - 0.002 * n,
    "random": lambda n: -0.03 * n,
}
"""Those of a study of a pretrained network, whose stages are named STAGES."""
STAGES = dict(enumerate(["stem", *(f"layer{i}.{j}" for i in (1, 2, 3, 4) for j in (0, 1, 2))][:12], start=1))

ONE_LABEL = [record.name for record in READ_OUTS if record.kind != MULTI]
"""The read-outs of planted networks, whose images have one label."""


def identity_of(treatment: str, n: int, target: str) -> Network:
    """The network of a treatment."""
    treated = split_treatment(treatment)
    kind = treated.treatment.name
    other = "B" if target == "A" else "A"
    source = {"base": None, "selffer": target, "transfer": other, "random": RANDOM, "pretrained": PRETRAINED}[
        kind.removesuffix("+")
    ]
    return Network(source, n, target, TREATMENTS[kind].fine_tune, treated.preserved, treated.option)


def plant(
    gains: dict[str, Callable[[int], float]] = GAINS,
    splits: dict[str, str] = HALVES,
    seeds: tuple[int, ...] = (0,),
    layers: tuple[int, ...] = (1, 4, 7),
    targets: str = "AB",
    noise: Callable[[], float] = lambda: 0.0,
    dataset: str = "digits",
    stages: dict[int, str] | None = None,
    recipes: Collection[str] = (),
) -> pd.DataFrame:
    """A networks table in which every treatment adds its gain to the level of its target, split and seed.

    Levels differ by more than any effect. `noise` is drawn once for each treatment and n of a split and seed: what
    both targets share, as networks of one stream do. An option is a probe's, if it is none of the `recipes`.
    """
    rows = []
    for (index, (split, kind)), seed in product(enumerate(splits.items()), seeds):
        for treatment, gain in gains.items():
            treated = split_treatment(treatment)
            probed = bool(treated.option) and treated.option not in recipes
            for n in [0] if treated.source is None else layers:
                shared = noise()
                for target in targets:
                    accuracy = 0.5 + 0.03 * index + 0.02 * seed + 0.05 * (target == "B") + gain(n) + shared
                    identity = identity_of(treatment, n, target)
                    rows.append(
                        {
                            "dataset": dataset,
                            "architecture": "tiny",
                            "split": split,
                            "kind": kind,
                            "seed": seed,
                            "network": identity.name,
                            "treatment": treatment,
                            "source": identity.source,
                            "n": n,
                            "stage": (stages or {}).get(n),
                            "target": target,
                            "fine_tune": identity.fine_tune,
                            "preserved": identity.preserved,
                            "option": identity.option or None,
                            "pooling": "gap" if probed else None,
                            "trained": True,
                            "reason": None,
                            "classes": 10,
                            "images_seen": 100,
                            "train_loss": None if probed else 1 - accuracy,
                            "validation_top1": accuracy / 2,
                            "validation_chance": 0.05,
                            "validation_images": 10**9,
                            "validation_loss": 1.0,
                            "mean_of_ten_best": None if probed else accuracy / 4,
                            "test_top1": accuracy,
                            "chosen_test_top1": None if probed else 0.75 * accuracy,
                            "test_top5": 0.5 + accuracy / 2,
                            "test_loss": 2 - 2 * accuracy,
                            "test_mean_per_class": 0.9 * accuracy,
                            "test_class_chance": 0.1,
                            "test_chance": 0.1,
                            "test_images": 10**9,
                        }
                    )
    return shape_table(pd.DataFrame(rows), NETWORK_COLUMNS)


def only(networks: pd.DataFrame, read_out: str) -> pd.DataFrame:
    """A networks table in which one read-out alone is left."""
    others = [record.name for record in READ_OUTS if record.name != read_out]
    return networks.assign(**dict.fromkeys(others, np.nan))


def reduce(networks: pd.DataFrame, volumes: dict[str, int]) -> pd.DataFrame:
    """A networks table whose tasks, "A" and "B", are reduced to some images a class, as a split's `volume` does."""
    other = networks["target"].map({"A": "B", "B": "A"})
    return networks.assign(
        volume=networks["target"].map(volumes).astype("Int64"), other_volume=other.map(volumes).astype("Int64")
    )
