"""Time a study against the script that a user would write by hand, from the folder of images to test accuracies.

    python benchmarks/engine.py FOLDER [--steps 60] [--repeats 1] [--precision fp32] [--cores 2] [--keep DIRECTORY]

FOLDER has train/CLASS and val/CLASS, colour images such as Tiny-ImageNet's. In turn, so that what else the machine does
falls on both: the study of workflow/studies/tiny-imagenet.yaml on it, by Snakemake, from listing and decoding the
folder to a file of metrics for each network; and benchmarks/naive.py, which trains the same networks on the same
images by the same schedule, one after another. One random split, one direction: both base networks, and selffer,
selffer+, transfer and transfer+ on B at all n, 30 networks. --precision is the study's; the script stays at fp32.
Prints wall and CPU times of both, their ratios, and accuracies side by side: two random draws of the same
distribution, which differ as two seeds do.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).parent.parent
sys.path.insert(0, str(CHECKOUT / "src"))
os.environ["PYTHONPATH"] = str(CHECKOUT / "src")  # for what is started from here

from transferability.networks.notation import parse_network
from transferability.study.grid import expand_curve
from transferability.study.reading import merge, read_study

CURVES = ["baseA", "baseB", "BnB", "BnB+", "AnB", "AnB+"]
PLACE = "tiny-imagenet/small"


@dataclass(frozen=True)
class Took:
    """The seconds of a command by the clock, and of the processors, all its processes together."""

    wall: float
    cpu: float


def timed(command: list[object], **options: object) -> Took:
    """Run a command and expect it to succeed."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stdout}\n{done.stderr}")
    return Took(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def study_params(studies: list[str], **changes: object) -> dict:
    """The params of the default study, with what ready studies and then changes state in their place."""
    files = [CHECKOUT / "workflow/studies" / f"{name}.yaml" for name in studies]
    return merge(read_study(CHECKOUT / "params.yaml", files), changes)


def schedules(params: dict, steps: int | None, precision: str, validations: int | None = None) -> dict:
    """The schedules of params with other steps and precision; the warm-up stays a tenth."""
    found = {}
    for kind in ("base", "transferred"):
        before = params["training"][kind]
        count = steps or before["steps"]
        found[kind] = before | {
            "precision": precision,
            "steps": count,
            "warmup": count // 10 if steps else before["warmup"],
            "validations": min(validations or before["validations"], count),
        }
    return found


def run_study(params: dict, directory: Path, cores: int) -> Took:
    """The workflow on a directory of its own, up to the metrics of all networks of the params' study.networks."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "params.yaml").write_text(yaml.safe_dump({**params, "export": []}, sort_keys=False))
    study = params["study"]
    targets = [
        f"results/{dataset}/{architecture}/{split}/seed{seed}/{network.name}.json"
        for dataset in study["dataset"]
        for architecture in study["architecture"]
        for seed in study["seed"]
        for split, curves in study["networks"].items()
        for curve in curves
        for network in expand_curve(curve, study["n"])
    ]
    command = [sys.executable, "-m", "snakemake", "--cores", cores, "--directory", directory]
    return timed([*command, "--", *targets], cwd=CHECKOUT)


def run_naive(folder: Path, params: dict, directory: Path) -> tuple[Took, dict[str, dict[str, float]]]:
    """The script by hand on the networks of a study that has been run in the directory."""
    (name,), (architecture,), (split,) = (params["study"][key] for key in ("dataset", "architecture", "split"))
    told = directory / "naive.json"
    told.write_text(
        json.dumps(
            {
                "dataset": params["datasets"][name],
                "architecture": params["architectures"][architecture],
                **params["training"],
            }
        )
    )
    networks = [
        network.name
        for curve in params["study"]["networks"][split]
        for network in expand_curve(curve, params["study"]["n"])
    ]
    into = directory / "accuracies.json"
    command = [sys.executable, CHECKOUT / "benchmarks/naive.py", folder, "--params", told]
    command += ["--split", directory / f"data/splits/{name}/{split}.json"]
    command += ["--index", directory / f"data/packed/{name}/index.csv", "--into", into, "--networks", *networks]
    return timed(command), json.loads(into.read_text())


def compare(accuracies: dict[str, dict[str, float]], metrics: dict[str, dict]) -> None:
    """Print test accuracies side by side, and their means by treatment."""
    print(f"\n{'network':10}{'by hand':>10}{'study':>10}")
    by_treatment: dict[str, list[tuple[float, float]]] = {}
    for name, scores in accuracies.items():
        pair = scores["test"], metrics[name]["test"]["top1"]
        by_treatment.setdefault(parse_network(name).treatment, []).append(pair)
        print(f"{name:10}{pair[0]:10.3f}{pair[1]:10.3f}")
    for treatment, pairs in by_treatment.items():
        ours, theirs = (statistics.mean(column) for column in zip(*pairs, strict=True))
        print(f"mean of {len(pairs):2} {treatment:12} by hand {ours:.3f}, study {theirs:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a study against the script that a user would write by hand.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--validations", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--curves", nargs="+", default=CURVES)
    parser.add_argument("--keep", type=Path, help="directory for the studies' files, instead of a temporary one")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    params = study_params(
        ["tiny-imagenet"],
        datasets={"tiny-imagenet": {"images": {"path": str(folder)}}},
        study={"split": ["random0"], "networks": {"random0": arguments.curves}},
        device="cpu",
    )
    params["training"] = schedules(params, arguments.steps, arguments.precision, arguments.validations)
    studies, scripts = [], []
    with tempfile.TemporaryDirectory() as temporary:
        for repeat in range(arguments.repeats):
            directory = (arguments.keep or Path(temporary)) / f"{repeat}"
            studies.append(run_study(params, directory, arguments.cores))
            script, accuracies = run_naive(folder, params, directory)
            scripts.append(script)
            print(
                f"study {studies[-1].wall:7.1f} s (CPU {studies[-1].cpu:7.1f} s)   "
                f"by hand {script.wall:7.1f} s (CPU {script.cpu:7.1f} s)   "
                f"ratios {script.wall / studies[-1].wall:.2f} (CPU {script.cpu / studies[-1].cpu:.2f})",
                flush=True,
            )
        results = directory / f"results/{PLACE}/random0/seed0"
        metrics = {path.stem: json.loads(path.read_text()) for path in results.glob("*.json")}
    compare(accuracies, metrics)
    print(f"\nnetworks                  {len(accuracies):8d} of {arguments.steps} steps, {arguments.precision}")
    for name in ("wall", "cpu"):
        ratios = [getattr(a, name) / getattr(b, name) for a, b in zip(scripts, studies, strict=True)]
        print(
            f"ratio of {name.upper() if name == 'cpu' else name} times, median{'' if name == 'wall' else ' '}"
            f"{statistics.median(ratios):8.2f} of {len(ratios)}"
        )


if __name__ == "__main__":
    main()
