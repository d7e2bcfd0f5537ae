"""A training job: from a split and a source to the checkpoints of some networks of one target.

Python calls `make_checkpoints` with a `Request`; the command line does the same.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from transferability import files, provenance
from transferability.data.augmentation import Augmentation
from transferability.data.batches import cropped_shape
from transferability.data.patched import PatchedTask
from transferability.data.patching import Patching
from transferability.data.tasks import Task, open_task
from transferability.devices import choose_device, fitting
from transferability.errors import InputError, exit_plainly
from transferability.forms.packed import PackedCard
from transferability.locks import only_writer
from transferability.networks.checkpoints import Card, read_card, save_checkpoint
from transferability.networks.notation import PRETRAINED, Network, parse_network
from transferability.networks.recipes import PLAIN, Recipe, recipe_of
from transferability.networks.stages import AlexNet, Architecture, architecture_of
from transferability.training.history import HistoryRow, write_history
from transferability.training.learner import Learner
from transferability.training.optimizers import Schedule
from transferability.training.randomness import Draws
from transferability.training.resuming import Keeper
from transferability.training.setup import Setup
from transferability.training.start import follow_recipe, start_networks, with_preprocessing
from transferability.training.trials import Trial, choose, learners_of, run_trial, setups_of, trial_record


@dataclass(frozen=True)
class Request:
    """What a job is asked for.

    `split`, a split's file, and `packed`, the folder of its data set; `architecture`, `augmentation` and `schedule` as
    in the params; `models`, the checkpoints to write, NETWORK/model.safetensors: run.json and history.csv go beside
    each. `source` is the checkpoint that stages are copied from, `pretrained` that of the architecture's pretrained
    weights, if it has some. `recipe` is that of the networks, without what the schedule already says. In the folder
    `states` the job keeps what it resumes from if it is stopped.
    """

    split: Path
    packed: Path
    architecture: dict
    augmentation: dict
    schedule: dict
    seed: int
    device: str
    threads: int
    states: Path
    models: list[Path]
    source: Path | None = None
    pretrained: Path | None = None
    recipe: dict = field(default_factory=dict)
    save_seconds: float = 60

    @property
    def identities(self) -> list[Network]:
        """The networks that are asked for."""
        return [parse_network(path.parent.name) for path in self.models]

    @property
    def built(self) -> Architecture:
        """The architecture of the networks."""
        return architecture_of(self.architecture)

    @property
    def way(self) -> Recipe:
        """The recipe by which the networks are trained."""
        return recipe_of(self.recipe)

    @property
    def patching(self) -> Patching | None:
        """The patches by which the recipe has images read, if it does."""
        return None if self.way.patches is None else Patching.of({**self.way.patches, "seed": self.seed})

    @property
    def frozen_dropout(self) -> bool:
        """Whether dropout in frozen stages stays on; a base network's schedule does not say: it has none."""
        return self.schedule.get("frozen_dropout", False)


def make_checkpoints(request: Request) -> None:
    """Train the networks that a request names and write their files, each whole or not at all.

    Bad input is an InputError; so is a network that another process is making now.
    """
    with only_writer([request.states / f"{identity.name}.lock" for identity in request.identities]):
        started = time.time()
        setup = open_setup(request)
        origin = origin_of(request, setup.device)
        trials = run_trials(request, setup, origin)
        chosen = [choose(trials, number) for number in range(len(request.models))]
        earlier = sum(trial.keeper.earlier for trial in trials)
        job = {
            "networks": len(chosen),
            "seconds": round(earlier + time.time() - started, 3),
            "training_seconds": round(earlier + sum(trial.seconds for trial in trials), 3),
        }
        record = origin | record_of(setup, len(trials)) | {"job": job}
        for number, place in enumerate(chosen):
            write_files(request, trials, number, place, record)
        for trial in trials:
            trial.keeper.forget()


def run_trials(request: Request, setup: Setup, origin: dict) -> list[Trial]:
    """The networks of a job, trained at each of the learning rates that their recipe tries, or at the only one."""
    trials, setups = [], setups_of(setup, request.way)
    name = "_".join(identity.name for identity in request.identities)
    for number, tried in enumerate(setups):
        file, rate = (f"{name}-{number}", tried.schedule.learning_rate) if len(setups) > 1 else (name, None)
        identity = origin | ({"learning_rate": rate} if rate else {})
        keeper = Keeper(request.states / f"{file}.safetensors", identity, request.save_seconds)
        with fitting(*advice(request, setup.schedule)):
            learners = learners_of(request.identities, *started(request, tried), tried)
            trials.append(run_trial(learners, tried, keeper, tell))
    return trials


def started(request: Request, setup: Setup) -> tuple[list[nn.Sequential], list[Recipe]]:
    """The networks of a job before their first step, and the recipe of each."""
    networks = start_networks(
        request.identities, request.built, setup.shape, setup.draws, request.source, request.frozen_dropout
    )
    if not request.recipe:
        return networks, [PLAIN] * len(networks)
    dropout, library = request.frozen_dropout, request.built.library
    recipes = [
        follow_recipe(identity, network, request.way, setup, dropout, library)
        for identity, network in zip(request.identities, networks, strict=True)
    ]
    return networks, recipes


def open_setup(request: Request) -> Setup:
    """What the networks of a job have in common."""
    target, *more = sorted({identity.target for identity in request.identities})
    if more:
        raise InputError(f"a job trains networks of one target, not of {' and '.join([target, *more])}; make it two")
    if request.pretrained is None and any(identity.source == PRETRAINED for identity in request.identities):
        raise InputError("networks of pretrained weights need --pretrained, by which their images are normalised")
    if request.source:
        read_card(request.source)  # one that is missing or not whole says so before it is hashed
    schedule = Schedule(**{key: value for key, value in request.schedule.items() if key != "frozen_dropout"})
    device = choose_device(request.device, request.threads)
    slow = device.type == "cpu" and "AVX512" not in torch.backends.cpu.get_cpu_capability()
    if schedule.precision == "bf16" and slow:
        tell("this processor imitates bf16; fp32 is faster here")
    task, augmentation = task_of(request, target)
    task, channels = with_preprocessing(task, request.built, request.pretrained)
    draws = Draws(request.seed, tuple(task.classes))
    return Setup(task, schedule, augmentation, draws, device, channels)


def task_of(request: Request, target: str) -> tuple[Task, Augmentation]:
    """The task that networks learn, and what is done to its training images: of patches, which are cut as the network
    sees them, that is whether they are mirrored."""
    augmentation = Augmentation(**request.augmentation)
    if request.patching is None:
        return open_task(request.split, target, request.packed), augmentation
    patched = PatchedTask.open(request.split, target, request.packed, request.patching)
    seen = cropped_shape(patched.task.images["train"].shape[1:], augmentation.crop)
    return patched.to_learn(seen), Augmentation(padding=0, flip=augmentation.flip)


def origin_of(request: Request, device: torch.device) -> dict:
    """What the networks are made from: a state of another origin is not resumed from."""
    library = request.built.library
    inputs = (request.split, request.source, request.pretrained)
    return {
        "parameters": {
            "architecture": request.architecture,
            "augmentation": request.augmentation,
            "schedule": request.schedule,
            "seed": request.seed,
            **({"recipe": request.recipe} if request.recipe else {}),
        },
        "inputs": {str(path): files.sha256(path) for path in inputs if path},
        "images": files.read_json(request.packed / "card.json", PackedCard)["content"],
        "code": provenance.fingerprint("training.job", f"networks.{library}"),
        "versions": provenance.versions(*([] if library == AlexNet.library else [library])),
        "device": str(device),
        "threads": request.threads,
    }


def advice(request: Request, schedule: Schedule) -> tuple[str, str]:
    """What does not fit, if a GPU's memory does not suffice, and what to do then."""
    names = [identity.name for identity in request.identities]
    section = "base" if request.identities[0].source is None else "transferred"
    return (
        f"{', '.join(names)}: {len(names)} networks and batches of {schedule.batch_size} images",
        f'set jobs to "network", lower training.{section}.batch_size, or that of training.reduced if the split '
        "has a volume, or let fewer jobs share a GPU",
    )


def record_of(setup: Setup, trials: int) -> dict:
    """What run.json says of a job beside its origin; the images of all its trials count."""
    return {
        "git": provenance.git_revision(),
        "gpu": torch.cuda.get_device_name(setup.device) if setup.device.type == "cuda" else None,
        "images_seen": trials * setup.schedule.images_seen,
    }


def frozen_record(learner: Learner, digest: str) -> dict:
    """What run.json says of a network's frozen stages: how many, and the hash of their weights."""
    frozen = len(learner.kept)
    return {"frozen": {"layers": frozen, "sha256": digest if frozen else None}}


def write_files(request: Request, trials: list[Trial], number: int, place: int, record: dict) -> None:
    """Write the checkpoint of the network of a number, and its history and record beside it, from the trial chosen."""
    path, trial = request.models[number], trials[place]
    learner, task = trial.learners[number], trial.setup.task
    identity, shape, channels = learner.identity, trial.setup.shape, trial.setup.channels
    patches = asdict(request.patching) if request.patching else None
    card = Card(
        identity.name, request.built, shape, task.classes, task.mean, task.std, channels, request.way.hidden, patches
    )
    save_checkpoint(path, learner.network, card)
    write_history(path.parent / "history.csv", with_trials(learner.history, trials), task.kind)
    network = {"name": identity.name, "treatment": identity.treatment, **asdict(identity)}
    run = {"network": network, "model_sha256": files.sha256(path), **record}
    run |= frozen_record(learner, trial.hashes[number])
    if identity.option:
        run |= {"recipe": trial_record(trials, number) | {"learning_rate": trial.setup.schedule.learning_rate}}
    files.write_json(path.parent / "run.json", run)


def with_trials(history: list[HistoryRow], trials: list[Trial]) -> list[HistoryRow]:
    """A history in which the images that other trials have seen count before all of its own."""
    earlier = (len(trials) - 1) * trials[0].setup.schedule.images_seen
    return [row | {"images_seen": row["images_seen"] + earlier} for row in history]


def tell(line: str) -> None:
    """Write a line to the log, or above the bar."""
    tqdm.write(line, file=sys.stderr)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the networks of one target and write their checkpoints.")
    parser.add_argument("--split", type=Path, required=True, help="the split's file")
    parser.add_argument("--packed", type=Path, required=True, help="folder of the packed data set")
    parser.add_argument("--architecture", type=json.loads, required=True, help="architectures.* of the params")
    parser.add_argument("--augmentation", type=json.loads, required=True, help="datasets.*.augmentation of the params")
    parser.add_argument("--schedule", type=json.loads, required=True, help="training.* of the params")
    parser.add_argument("--recipe", type=json.loads, default={}, help="recipes.* of the params, but for its schedule")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--states", type=Path, required=True, help="folder for what a stopped job resumes from")
    parser.add_argument("--save-seconds", type=float, default=60, help="how often its state is saved (60)")
    parser.add_argument("--source", type=Path, nargs="?", help="checkpoint that stages are copied from, if any")
    parser.add_argument(
        "--pretrained", type=Path, nargs="?", help="checkpoint of the architecture's pretrained weights, if it has some"
    )
    parser.add_argument(
        "--models",
        type=Path,
        nargs="+",
        required=True,
        help="checkpoints to write, <network>/model.safetensors; run.json and history.csv go beside each",
    )
    return parser.parse_args()


def main() -> None:
    make_checkpoints(Request(**vars(parse_arguments())))


if __name__ == "__main__":
    exit_plainly(main)
