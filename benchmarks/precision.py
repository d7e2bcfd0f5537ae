"""Compare the accuracy of bf16 with that of fp32, seed by seed.

    python benchmarks/precision.py [FOLDER] [--seeds 10] [--steps N] [--cores 2]

Runs the same study twice, with `precision: fp32` and `precision: bf16`, on scikit-learn's digits (the default study's
split random0), or on a FOLDER of colour images with train/CLASS and val/CLASS by workflow/studies/tiny-imagenet.yaml.
A seed's networks differ in nothing but the precision of products: first weights, batches and augmentation are the same.
Prints for each treatment the mean over seeds of the paired differences of test accuracy (bf16 − fp32; a seed's is the
mean over its networks) with Student's 95 % interval; and the spread of fp32 from seed to seed, beside which a
difference is small or not. At least 10 seeds.
"""

import argparse
import json
import math
import tempfile
from pathlib import Path

import numpy as np
from engine import run_study, schedules, study_params
from scipy.special import stdtrit

from transferability.networks.notation import parse_network

CURVES = ["baseA", "baseB", "AnB", "AnB+"]


def accuracies(directory: Path) -> dict[str, dict[int, float]]:
    """The mean test accuracy of each treatment's networks, and of all, by seed."""
    found: dict[str, dict[int, list[float]]] = {}
    for path in directory.glob("results/*/*/*/seed*/*.json"):
        treatment, seed = parse_network(path.stem).treatment, int(path.parent.name.removeprefix("seed"))
        top1 = json.loads(path.read_text())["test"]["top1"]
        for row in (treatment, "all"):
            found.setdefault(row, {}).setdefault(seed, []).append(top1)
    return {row: {seed: float(np.mean(values)) for seed, values in seeds.items()} for row, seeds in found.items()}


def student(differences: np.ndarray) -> tuple[float, float]:
    """The mean of paired differences, and half the width of Student's 95 % interval."""
    count = len(differences)
    error = differences.std(ddof=1) / math.sqrt(count)
    return float(differences.mean()), float(stdtrit(count - 1, 0.975) * error)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the accuracy of bf16 with that of fp32, seed by seed.")
    parser.add_argument("folder", type=Path, nargs="?", help="colour images; the digits, if missing")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, help="those of the study, if missing")
    parser.add_argument("--n", type=int, nargs="+", default=[2, 4, 6])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    if arguments.seeds < 10:
        parser.error("--seeds must be at least 10")
    changes = {
        "study": {
            "split": ["random0"],
            "seed": list(range(arguments.seeds)),
            "n": arguments.n,
            "networks": {"random0": CURVES},
        },
        "device": arguments.device,
    }
    if arguments.folder:
        changes["datasets"] = {"tiny-imagenet": {"images": {"path": str(arguments.folder.resolve())}}}
    params = study_params(["tiny-imagenet"] if arguments.folder else [], **changes)
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        for precision in ("fp32", "bf16"):
            training = schedules(params, arguments.steps, precision)
            took = run_study({**params, "training": training}, Path(temporary) / precision, arguments.cores)
            found[precision] = accuracies(Path(temporary) / precision)
            print(f"{precision}: {took.wall:.0f} s, CPU {took.cpu:.0f} s", flush=True)
    print(f"\n{'treatment':12}{'fp32':>8}{'bf16':>8}{'difference':>12}{'95 % interval':>20}{'fp32, seeds':>14}")
    for treatment, by_seed in found["fp32"].items():
        single = np.array([by_seed[seed] for seed in range(arguments.seeds)])
        half = np.array([found["bf16"][treatment][seed] for seed in range(arguments.seeds)])
        mean, width = student(half - single)
        interval = f"{mean - width:+.4f} {mean + width:+.4f}"
        print(
            f"{treatment:12}{single.mean():8.4f}{half.mean():8.4f}{mean:+12.4f}{interval:>20}{single.std(ddof=1):14.4f}"
        )
    differences = (found["bf16"]["all"][seed] - found["fp32"]["all"][seed] for seed in range(arguments.seeds))
    print("\npaired differences over all networks:", *(f"{difference:+.4f}" for difference in differences))


if __name__ == "__main__":
    main()
