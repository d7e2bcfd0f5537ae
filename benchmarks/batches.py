"""What a selffer gains from batches that its frozen layers have met: it is trained again with other ones.

    python benchmarks/batches.py FOLDER [--n 5] [--offset 100]

Reads a finished study with selffers, such as workflow/studies/digits-seeds.yaml. Each frozen selffer BnB is trained
once more from the same base network, with the random numbers of another seed (its own and the offset): other batches,
and other first weights of its new layers, which both its accuracies have drawn by chance. Prints the mean of first
minus second on test images, in points, over splits and seeds, targets averaged, with the interval for these splits.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from retraining import request_again

from transferability import files
from transferability.analysis.replication import estimate_replicated
from transferability.training.job import make_checkpoints
from transferability.words import points


def again(folder: Path, network: Path, offset: int, into: Path) -> Path:
    """A selffer of a study, models/.../seed{seed}/{network}, trained with the random numbers of another seed."""
    checkpoint = into / network.relative_to(folder / "models") / "model.safetensors"
    make_checkpoints(request_again(folder, network, checkpoint, offset))
    return checkpoint


def accuracy(folder: Path, network: Path, checkpoint: Path) -> float:
    """The accuracy on test images of a network that stands for one of a study."""
    dataset, _, split, _ = network.parent.relative_to(folder / "models").parts
    metrics = checkpoint.with_suffix(".json")
    command = [sys.executable, "-m", "transferability.evaluation.evaluating", "--device", "cpu", "--threads", "1"]
    command += ["--split", folder / "data/splits" / dataset / f"{split}.json"]
    command += ["--packed", folder / "data/packed" / dataset, "--models", checkpoint, "--metrics", metrics]
    subprocess.run(list(map(str, command)), check=True)
    return files.read_json(metrics)["test"]["top1"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Selffers trained again with other batches.")
    parser.add_argument("folder", type=Path, help="where a study with selffers has run")
    parser.add_argument("--n", type=int, default=5, help="where they are cut (5)")
    parser.add_argument("--offset", type=int, default=100, help="added to the seed (100)")
    arguments = parser.parse_args()
    names = [f"{side}{arguments.n}{side}" for side in "AB"]
    places = sorted(arguments.folder.glob(f"models/*/*/*/seed*/{names[0]}"))
    if not places:
        parser.error(f"{arguments.folder}: no selffers {names[0]}; run workflow/studies/digits-seeds.yaml there")
    units = []
    with tempfile.TemporaryDirectory() as temporary:
        for place in (path.parent for path in places):
            differences = []
            for network in (place / name for name in names):
                other = again(arguments.folder, network, arguments.offset, Path(temporary))
                results = arguments.folder / "results" / place.relative_to(arguments.folder / "models")
                first = files.read_json(results / f"{network.name}.json")["test"]["top1"]
                differences.append(first - accuracy(arguments.folder, network, other))
            units.append(float(np.mean(differences)))
    splits = sorted({path.parents[1].name for path in places})
    codes = np.array([splits.index(path.parents[1].name) for path in places])
    found = estimate_replicated(np.array(units), codes).these
    print(
        f"BnB at n = {arguments.n}, its base's batches minus other batches: {points(found.mean)} points "
        f"({points(found.low)} to {points(found.high)}), {len(units)} splits and seeds of {len(splits)} splits"
    )


if __name__ == "__main__":
    main()
