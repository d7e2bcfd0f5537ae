"""How the cost of a study grows: networks, images seen, images stored and classes doubled, each by itself.

    python benchmarks/growth.py FOLDER [--steps 40] [--cores 2]

FOLDER has train/CLASS and val/CLASS, colour images, of 80 classes such as those of Tiny-ImageNet. The study is that of
workflow/studies/tiny-imagenet.yaml, both base networks and BnB, AnB, BnB+ and AnB+ at n = 2, 4, 6, from the folder to
test accuracies, on 40 of the classes with half of their images. Prints wall and CPU time of each variant and their
ratio to the first, and the same ratio for the training arithmetic as `transferability.study.jobs` tells it before.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from engine import run_study, schedules, study_params

from transferability.study.costs import merge
from transferability.study.jobs import study_jobs
from transferability.study.work import training_work

CURVES = ["baseA", "baseB", "BnB", "BnB+", "AnB", "AnB+"]


def copy_part(folder: Path, into: Path, classes: int, share: float) -> int:
    """Copy a share of the images of the first classes, in the order of their names; how many there are."""
    copied = 0
    for part in ("train", "val"):
        for place in sorted((folder / part).iterdir())[:classes]:
            files = sorted(path for path in place.rglob("*") if path.is_file())
            (into / part / place.name).mkdir(parents=True)
            for path in files[: round(share * len(files))]:
                shutil.copy(path, into / part / place.name)
                copied += 1
    return copied


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell how the cost of a study grows.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    # What is changed: seeds, steps, share of each class's images, classes.
    variants = {
        "as it is": (1, 1, 0.5, 40),
        "twice the networks (seeds)": (2, 1, 0.5, 40),
        "twice the images seen (steps)": (1, 2, 0.5, 40),
        "twice the images stored": (1, 1, 1, 40),
        "twice the classes, of half as many": (1, 1, 0.25, 80),
    }
    print(f"{'study':36}{'networks':>10}{'stored':>9}{'wall':>11}{'CPU':>11}{'wall':>8}{'CPU':>7}{'FLOP':>7}")
    first = None
    with tempfile.TemporaryDirectory() as temporary:
        for number, (name, (seeds, steps, share, classes)) in enumerate(variants.items()):
            images = Path(temporary) / f"images{number}"
            stored = copy_part(arguments.folder, images, classes, share)
            params = study_params(
                ["tiny-imagenet"],
                datasets={"tiny-imagenet": {"images": {"path": str(images)}}},
                study={
                    "split": ["random0"],
                    "seed": list(range(seeds)),
                    "n": [2, 4, 6],
                    "networks": {"random0": CURVES},
                },
                device="cpu",
            )
            training = schedules(params, steps * arguments.steps, arguments.precision, validations=2)
            params = merge(params, {"training": training})
            took = run_study(params, Path(temporary) / f"{number}", arguments.cores)
            jobs = study_jobs(params)
            flops = sum(training_work(params, job).flops for job in jobs)
            first = first or (took, flops)
            networks = sum(len(job.networks) for job in jobs)
            print(f"{name:36}{networks:10}{stored:9}{took.wall:9.1f} s{took.cpu:9.1f} s", end="")
            print(f"{took.wall / first[0].wall:8.2f}{took.cpu / first[0].cpu:7.2f}{flops / first[1]:7.2f}", flush=True)


if __name__ == "__main__":
    main()
