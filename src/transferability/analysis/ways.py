"""Ways to use a network: what a study compares as strategies, and the seconds that each way takes."""

from pathlib import Path

import pandas as pd

from transferability import files
from transferability.analysis.treatments import probed_rows
from transferability.forms.metrics import read_metrics
from transferability.forms.run import Run


def learns_from_all(probe: dict) -> bool:
    """Whether a probe, the block of its metrics, learns from what networks are trained on: all images of the target."""
    return probe.get("images_per_class") is None and probe.get("learn_from", "target") == "target"


def training_seconds(run: Path) -> float:
    """What training a network has taken, of its job an equal part."""
    job = files.read_json(run, Run)["job"]
    return job["training_seconds"] / job["networks"]


def probing_seconds(probe: dict) -> float:
    """What a probe has taken, its fit and the passes that gave its features; NaN where its metrics do not say."""
    return probe.get("seconds", float("nan")) + probe.get("pass_seconds", float("nan"))


def ways_of(networks: pd.DataFrame, results: Path, models: Path) -> pd.DataFrame:
    """The rows of networks.csv that are compared, with the column `seconds`.

    They are the networks, and the probes that learn from the same images; one of a fine-tuned network takes what that
    has taken, too. `results` and `models` are folders of {split}/seed{seed}/, with metrics and with networks.
    """
    seconds = dict[object, float]()
    probed = set(probed_rows(networks).index)
    for row in networks.itertuples():
        place = Path(row.split, f"seed{row.seed}")
        if row.Index not in probed:
            seconds[row.Index] = training_seconds(models / place / row.network / "run.json")
            continue
        probe = read_metrics(results / place / f"{row.network}.json").get("probe", {})
        if learns_from_all(probe):
            own = models / place / row.network.rpartition("-")[0] / "run.json"
            learnt = training_seconds(own) if row.fine_tune or row.preserved else 0
            seconds[row.Index] = probing_seconds(probe) + learnt
    return networks.loc[list(seconds)].assign(seconds=pd.Series(seconds, dtype=float))
