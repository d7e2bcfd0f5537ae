"""What it saves to keep what frozen stages give for the training images, where no augmentation changes them.

    python benchmarks/caching.py FOLDER [--network A7B] [--repeats 3]

Reads a finished study, such as workflow/studies/tiny-imagenet-statistics.yaml, and trains one of its frozen networks
again, without augmentation: through all stages, and from what the frozen ones give, in turn. Prints the seconds of
both, medians, and their ratio, and exits 1 where the two networks differ in a bit.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from retraining import request_again

from transferability import files
from transferability.training import caching
from transferability.training.job import make_checkpoints


def train(folder: Path, network: Path, into: Path, kept: bool) -> tuple[float, str]:
    """Train a network, models/.../seed{seed}/{network}, without augmentation: its seconds, and its weights' hash."""
    checkpoint = into / str(kept) / network.name / "model.safetensors"
    schedule = files.read_json(network / "run.json")["parameters"]["schedule"] | {"frozen_dropout": False}
    plain = {"augmentation": {"padding": 0, "flip": False}, "schedule": schedule}
    caching.LIMIT, limit = (caching.LIMIT if kept else 0), caching.LIMIT
    make_checkpoints(request_again(folder, network, checkpoint, **plain))
    caching.LIMIT = limit
    run = files.read_json(checkpoint.with_name("run.json"))
    return run["job"]["training_seconds"], run["model_sha256"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Training with and without what frozen stages give, in turn.")
    parser.add_argument("folder", type=Path, help="where a study with frozen networks has run")
    parser.add_argument("--network", default="A7B", help="the network (A7B)")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is trained (3)")
    arguments = parser.parse_args()
    places = sorted(arguments.folder.glob(f"models/*/*/*/seed*/{arguments.network}"))
    if not places:
        parser.error(f"{arguments.folder}: there is no {arguments.network}")
    seconds: dict[bool, list[float]] = {False: [], True: []}
    hashes = set()
    with tempfile.TemporaryDirectory() as temporary:
        for _ in range(arguments.repeats):
            for kept, times in seconds.items():
                time, digest = train(arguments.folder, places[0], Path(temporary), kept)
                times.append(time)
                hashes.add(digest)
    through, fewer = median(seconds[False]), median(seconds[True])
    print(
        f"{arguments.network}: {through:.1f} s through all stages, {fewer:.1f} s from what frozen ones give, "
        f"{through / fewer:.1f} times; networks {'equal' if len(hashes) == 1 else 'DIFFER'}"
    )
    sys.exit(len(hashes) > 1)


if __name__ == "__main__":
    main()
