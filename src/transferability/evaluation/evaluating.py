"""Evaluating: what the trained networks of one target score, as one JSON file a network."""

import argparse
from pathlib import Path

from transferability import files
from transferability.data.patched import PatchedTask
from transferability.data.patching import Patching
from transferability.data.tasks import open_task
from transferability.devices import choose_device, fitting
from transferability.errors import exit_plainly
from transferability.evaluation.metrics import SCORED, evaluate, training_sizes
from transferability.evaluation.patched import evaluate_patches
from transferability.networks.checkpoints import read_card
from transferability.networks.notation import parse_network


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluate the networks of one target.")
    parser.add_argument("--split", type=Path, required=True, help="the split's file")
    parser.add_argument("--packed", type=Path, required=True, help="folder of the packed data set")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="checkpoints; history.csv beside each")
    parser.add_argument("--metrics", type=Path, nargs="+", required=True, help="files to write, one a checkpoint")
    arguments = parser.parse_args()

    (target,) = {parse_network(path.parent.name).target for path in arguments.models}
    task = open_task(arguments.split, target, arguments.packed, parts=SCORED)
    training = training_sizes(arguments.split, target, task.kind)
    device = choose_device(arguments.device, arguments.threads)
    with fitting("evaluation: the network and its images", "let fewer jobs share a GPU, or set device to cpu"):
        for checkpoint, path in zip(arguments.models, arguments.metrics, strict=True):
            patches = read_card(checkpoint).patches
            if patches is None:
                metrics = evaluate(checkpoint, task, training, device)
            else:
                patched = PatchedTask.open(arguments.split, target, arguments.packed, Patching.of(patches))
                metrics = evaluate_patches(checkpoint, patched, device)
            files.write_json(path, metrics)


if __name__ == "__main__":
    exit_plainly(main)
