"""Training: the networks of one target, side by side on one stream of images.

Everything random is a function of the seed, the target's classes, a purpose and, where it recurs, the step. All
treatments of one target and seed therefore see the same batches, the same augmentation and the same dropout, and
their new layers start from the same weights; which networks share a job changes nothing.
"""

import argparse
import csv
import hashlib
import io
import json
import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.sgd import sgd

from transferability import files, provenance
from transferability.batches import centre, cropped_shape, fetch, hold, in_order
from transferability.checkpoints import Card, read_checkpoint, save_checkpoint
from transferability.devices import choose_device
from transferability.errors import InputError, exit_plainly
from transferability.networks import Architecture, Dropout, build_network, initialise, input_std, normalise
from transferability.notation import DEPTH, Network, parse_network
from transferability.tasks import Task, open_task
from transferability.treatments import prepare_network


@dataclass(frozen=True)
class Schedule:
    """SGD with momentum; the rate rises in a line over `warmup` steps, then falls as `decay` says.

    By a "cosine" to 0, or in stairs, {"every": steps, "factor": f}: it is multiplied by f after every so many steps
    since the warm-up. A fixed number of steps, whatever the treatment and the volume of data. The biases of
    convolutions and linear layers learn at `bias_rate` times the rate. Weight decay spares them, and what batch norm
    learns. The networks are validated `validations` times, evenly spaced, the last time at the end.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup: int
    decay: str | dict[str, float]
    momentum: float
    nesterov: bool
    weight_decay: float
    bias_rate: float
    validations: int

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if self.decay != "cosine":
            return self.learning_rate * self.decay["factor"] ** ((step - self.warmup) // self.decay["every"])
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * (1 + math.cos(math.pi * progress)) / 2

    def validation_steps(self) -> list[int]:
        """The numbers of steps after which the networks are validated."""
        return sorted({self.steps * i // self.validations for i in range(1, self.validations + 1)} - {0})


@dataclass(frozen=True)
class Augmentation:
    """Shift by up to `padding` pixels (zeros come in from outside), and mirror half of the images if `flip`.

    With a `crop`, networks see a square of that side, anywhere in the padded image; otherwise the whole image.
    """

    padding: int
    flip: bool
    crop: int | None = None


@dataclass(frozen=True)
class Draws:
    """The random numbers of all networks of one target and seed, each a function of its purpose."""

    seed: int
    classes: tuple[str, ...]

    def key(self, *purpose: str | int) -> int:
        """A seed for torch's generators, 63 bits, from what it is for."""
        text = json.dumps([self.seed, self.classes, purpose])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def generator(self, *purpose: str | int) -> torch.Generator:
        """A generator on the CPU, seeded for one purpose."""
        return torch.Generator().manual_seed(self.key(*purpose))

    @lru_cache(maxsize=4)  # noqa: B019 (a handful of these exist, for the length of a job)
    def epoch(self, number: int, images: int) -> Tensor:
        """The order of an epoch: a permutation of the training images, int64 (images,)."""
        return torch.randperm(images, generator=self.generator("epoch", number))

    def batch(self, step: int, size: int, images: int) -> Tensor:
        """The training images of a step, int64 (size,): a window on epochs laid end to end."""
        start = step * size
        epochs = range(start // images, (start + size - 1) // images + 1)
        return torch.cat(
            [
                self.epoch(number, images)[max(0, start - number * images) : start + size - number * images]
                for number in epochs
            ]
        )


def augment(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Shift, crop and mirror a batch, uint8 (n, C, H, W), each image by its own draw from a generator on the CPU.

    Images that are cropped are squares.
    """
    count, _, height, width = images.shape
    crop, padding = augmentation.crop, augmentation.padding
    places = 2 * padding + 1 + (height - crop if crop else 0)
    shifts = torch.randint(0, places, (2, count, 1), generator=generator)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    rows = torch.arange(crop or height) + shifts[0]
    columns = torch.arange(crop or width) + shifts[1]
    if augmentation.flip:
        columns = torch.where(mirrored, columns.flip(1), columns)
    padded = functional.pad(images, [padding] * 4) if padding else images
    rows, columns = rows.to(images.device), columns.to(images.device)
    each = torch.arange(count, device=images.device)[:, None, None]
    return padded[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def start_network(
    identity: Network,
    architecture: Architecture,
    shape: tuple[int, int, int],
    draws: Draws,
    source: dict[str, Tensor] | None,
    frozen_dropout: bool,
) -> tuple[nn.Sequential, int]:
    """A network as it stands before its first step, and how many of its layers are frozen.

    Base networks and the new layers of transferred ones are different draws: were they the same, a selffer's new
    layers would start as those did with which its copied layers once adapted.
    """
    network = build_network(architecture, shape, len(draws.classes))
    purpose = "base" if identity.source is None else "new"
    initialise(network, architecture, [draws.key("weights", purpose, n) for n in range(1, DEPTH + 1)])
    frozen = prepare_network(identity, network, source, frozen_dropout)
    return network, frozen


@dataclass(frozen=True)
class Group:
    """Parameters that learn by one rule: float tensors with a velocity each, their weight decay, and the factor on
    the learning rate."""

    parameters: list[nn.Parameter]
    velocities: list[Tensor]
    weight_decay: float
    rate: float


def learning_groups(network: nn.Sequential, schedule: Schedule) -> list[Group]:
    """What of a network is not frozen: weights, which decay; biases, at their own rate; what batch norm learns.

    A bias is one of a convolution or a linear layer. Batch norm's own shift is none: it learns as its scale does.
    """
    weights, biases, norms = [], [], []
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            if not isinstance(module, nn.Conv2d | nn.Linear):
                norms.append(parameter)
            elif name == "bias":
                biases.append(parameter)
            else:
                weights.append(parameter)
    return [
        Group(parameters, [torch.zeros_like(parameter) for parameter in parameters], decay, rate)
        for parameters, decay, rate in (
            (weights, schedule.weight_decay, 1.0),
            (biases, 0.0, schedule.bias_rate),
            (norms, 0.0, 1.0),
        )
        if parameters
    ]


@torch.no_grad()
def descend(groups: list[Group], rate: float, momentum: float, nesterov: bool) -> None:
    """One step of SGD with momentum, in place; spends the gradients."""
    for group in groups:
        # torch.optim.SGD is this function and a second of imports. In the original's solver, Caffe's, the rate is
        # inside the velocity: after a fall to a tenth the old pace lasts some 20 steps longer, of 100,000.
        sgd(
            group.parameters,
            [parameter.grad for parameter in group.parameters],
            group.velocities,
            fused=True,
            weight_decay=group.weight_decay,
            momentum=momentum,
            lr=rate * group.rate,
            dampening=0.0,
            nesterov=nesterov and momentum > 0,
            maximize=False,
        )
        for parameter in group.parameters:
            parameter.grad = None


def state_hash(network: nn.Module) -> str:
    """The SHA-256 of all parameters and buffers with their names."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def validate(
    networks: dict[str, nn.Sequential], batches: Iterable[tuple[Tensor, Tensor]]
) -> dict[str, tuple[float, float]]:
    """Mean loss and top-1 accuracy of each network, with every layer in evaluation mode.

    `batches` of normalised images with their labels are gone through once for all networks.
    """
    modes = {module: module.training for network in networks.values() for module in network.modules()}
    for network in networks.values():
        network.eval()
    losses, hits, count = dict.fromkeys(networks, 0.0), dict.fromkeys(networks, 0), 0
    for images, truth in batches:
        count += len(truth)
        for name, network in networks.items():
            logits = network(images)
            losses[name] += functional.cross_entropy(logits, truth, reduction="sum").item()
            hits[name] += int((logits.argmax(1) == truth).sum())
    for module, mode in modes.items():
        module.training = mode
    return {name: (losses[name] / count, hits[name] / count) for name in networks}


def train(
    networks: dict[str, nn.Sequential],
    task: Task,
    schedule: Schedule,
    augmentation: Augmentation,
    draws: Draws,
    device: torch.device,
    report: Callable[[str], None],
) -> dict[str, list[dict]]:
    """Train networks of one target in place, each batch drawn and augmented once for all of them.

    `networks` come from `start_network`, on the device. Returns each network's history: a row a validation, with
    the mean training loss since the row before. A loss that is not finite is an InputError naming network, step
    and rate.
    """
    images = {part: hold(task.images[part], device) for part in ("train", "validation")}
    labels = {part: torch.from_numpy(task.labels[part]).to(device) for part in ("train", "validation")}
    shape = cropped_shape(task.images["validation"].shape[1:], augmentation.crop)
    groups = {name: learning_groups(network, schedule) for name, network in networks.items()}
    dropouts = {
        name: [(layer, module) for layer, module in network.named_modules() if isinstance(module, Dropout)]
        for name, network in networks.items()
    }
    for modules in dropouts.values():
        for _, module in modules:
            module.generator = torch.Generator(device)
    losses = {name: torch.zeros(schedule.steps, device=device) for name in networks}
    history: dict[str, list[dict]] = {name: [] for name in networks}
    validation_steps = schedule.validation_steps()
    checked = 0

    choices = (draws.batch(step, schedule.batch_size, len(labels["train"])) for step in range(schedule.steps))
    for step, (chosen, stored) in enumerate(fetch(images["train"], choices, device)):
        augmented = augment(stored, augmentation, draws.generator("augmentation", step))
        batch, truth = normalise(augmented, task.mean, task.std), labels["train"][chosen]
        for name, network in networks.items():
            for layer, module in dropouts[name]:
                module.generator.manual_seed(draws.key("dropout", layer, step))
            loss = functional.cross_entropy(network(batch), truth)
            loss.backward()
            descend(groups[name], schedule.rate(step), schedule.momentum, schedule.nesterov)
            losses[name][step] = loss.detach()

        if step + 1 in validation_steps:
            recent = {name: losses[name][checked : step + 1] for name in networks}
            for name in networks:
                refuse_infinite(name, recent[name], checked, schedule)
            seen = (
                (normalise(centre(chunk, shape), task.mean, task.std), labels["validation"][indices])
                for indices, chunk in in_order(images["validation"], device)
            )
            for name, (loss, top1) in validate(networks, seen).items():
                # The weights of the last step meet their first images here.
                refuse_infinite(name, torch.tensor([loss]), step + 1, schedule)
                history[name].append(
                    {
                        "step": step + 1,
                        "images_seen": (step + 1) * schedule.batch_size,
                        "learning_rate": schedule.rate(step),
                        "train_loss": recent[name].mean().item(),
                        "validation_loss": loss,
                        "validation_top1": top1,
                    }
                )
            latest = ", ".join(f"{name} {rows[-1]['validation_top1']:.3f}" for name, rows in history.items())
            report(f"step {step + 1} of {schedule.steps}: validation top-1 {latest}")
            checked = step + 1
    return history


def refuse_infinite(name: str, losses: Tensor, first_step: int, schedule: Schedule) -> None:
    """Raise an InputError if a loss is NaN or infinite; `losses` are those from `first_step` on."""
    wrong = torch.nonzero(~torch.isfinite(losses))
    if len(wrong):
        step = min(first_step + int(wrong[0]), schedule.steps - 1)
        section = "base" if parse_network(name).source is None else "transferred"
        raise InputError(
            f"{name}: the loss is {losses[wrong[0]].item()} at step {step + 1} with learning rate "
            f"{schedule.rate(step):.4g}; lower training.{section}.learning_rate, "
            "or training.reduced.learning_rate if the split has a volume"
        )


def write_history(path: Path, rows: list[dict]) -> None:
    """Write a history as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(path, text.getvalue())


def start_networks(
    identities: list[Network],
    architecture: Architecture,
    shape: tuple[int, int, int],
    draws: Draws,
    source: Path | None,
    frozen_dropout: bool,
) -> tuple[dict[str, nn.Sequential], dict[str, int]]:
    """The networks of a job as they stand before their first step, and how many layers of each are frozen."""
    card, state = read_checkpoint(source) if source else (None, None)
    networks, frozen = {}, {}
    for identity in identities:
        if card and card.network != f"base{identity.source}":
            raise InputError(f"{source}: holds {card.network}, but {identity.name} needs base{identity.source}")
        try:
            network, layers = start_network(identity, architecture, shape, draws, state, frozen_dropout)
        except InputError as error:
            origin = f" from {source}" if source else ""
            raise InputError(f"{identity.name}{origin}: {error}") from None
        networks[identity.name], frozen[identity.name] = network, layers
    return networks, frozen


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the networks of one target and write their checkpoints.")
    parser.add_argument("--split", type=Path, required=True, help="the split's file")
    parser.add_argument("--packed", type=Path, required=True, help="folder of the packed data set")
    parser.add_argument("--architecture", type=json.loads, required=True, help="architectures.* of the params")
    parser.add_argument("--augmentation", type=json.loads, required=True, help="datasets.*.augmentation of the params")
    parser.add_argument("--schedule", type=json.loads, required=True, help="training.* of the params")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument(
        "--source", type=Path, nargs="?", help="checkpoint of the base network that layers are copied from, if any"
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
    arguments = parse_arguments()
    started = time.time()
    identities = [parse_network(path.parent.name) for path in arguments.models]
    (target,) = {identity.target for identity in identities}
    architecture = Architecture(**arguments.architecture)
    augmentation = Augmentation(**arguments.augmentation)
    # A base network's schedule does not say: nothing in it is frozen.
    frozen_dropout = arguments.schedule.get("frozen_dropout", False)
    schedule = Schedule(**{key: value for key, value in arguments.schedule.items() if key != "frozen_dropout"})
    device = choose_device(arguments.device, arguments.threads)
    task = open_task(arguments.split, target, arguments.packed, parts=("train", "validation"))
    task = replace(task, std=input_std(architecture, task.std))
    draws = Draws(arguments.seed, tuple(task.classes))
    shape = cropped_shape(task.images["train"].shape[1:], augmentation.crop)

    networks, frozen = start_networks(identities, architecture, shape, draws, arguments.source, frozen_dropout)
    before = {name: state_hash(network[: frozen[name]]) for name, network in networks.items()}
    networks = {name: network.to(device) for name, network in networks.items()}
    ready = time.time()
    history = train(networks, task, schedule, augmentation, draws, device, lambda line: print(line, file=sys.stderr))
    trained = time.time()
    for name, network in networks.items():
        if state_hash(network[: frozen[name]]) != before[name]:
            raise RuntimeError(f"{name}: its {frozen[name]} frozen layers changed in training")

    record = {
        "parameters": {
            "architecture": arguments.architecture,
            "augmentation": arguments.augmentation,
            "schedule": arguments.schedule,
            "seed": arguments.seed,
        },
        "inputs": {str(path): files.sha256(path) for path in (arguments.split, arguments.source) if path},
        "images": files.read_json(arguments.packed / "card.json")["content"],
        "code": provenance.fingerprint("training"),
        "git": provenance.git_revision(),
        "versions": provenance.versions(),
        "device": str(device),
        "threads": arguments.threads,
        "images_seen": schedule.steps * schedule.batch_size,
        "job": {
            "networks": len(networks),
            "seconds": round(time.time() - started, 3),
            "training_seconds": round(trained - ready, 3),
        },
    }
    for path, identity in zip(arguments.models, identities, strict=True):
        name = identity.name
        save_checkpoint(path, networks[name], Card(name, architecture, shape, task.classes, task.mean, task.std))
        write_history(path.parent / "history.csv", history[name])
        run = {
            "network": {"name": name, "treatment": identity.treatment, **asdict(identity)},
            "model_sha256": files.sha256(path),
            "frozen": {"layers": frozen[name], "sha256": before[name] if frozen[name] else None},
            **record,
        }
        files.write_json(path.parent / "run.json", run)


if __name__ == "__main__":
    exit_plainly(main)
