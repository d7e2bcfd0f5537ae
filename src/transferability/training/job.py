"""Training: the networks of one target, side by side on one stream of images.

All treatments of one target and seed see the same batches, the same augmentation and the same dropout (`draws`), and
their new layers start from the same weights. What is alike is computed once: a batch for all networks of a job, and
of them the frozen layers that they have in common. Which networks share a job, and whether it was stopped and went
on, changes nothing.
"""

import argparse
import csv
import hashlib
import io
import json
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from transferability import files, provenance
from transferability.data.augmentation import Augmentation, augment
from transferability.data.batches import centre, cropped_shape, fetch, hold, in_order, normalise
from transferability.data.tasks import Task, open_task
from transferability.devices import choose_device, fitting
from transferability.errors import InputError, exit_plainly
from transferability.locks import only_writer
from transferability.networks.alexnet import input_std
from transferability.networks.building import draw_network
from transferability.networks.checkpoints import Card, read_checkpoint, save_checkpoint
from transferability.networks.dropout import Dropout
from transferability.networks.notation import Network, parse_network
from transferability.networks.stages import Architecture, architecture_of
from transferability.networks.treatments import prepare_network
from transferability.training.optimizers import Group, Schedule, descend, learning_groups
from transferability.training.randomness import Draws
from transferability.training.resuming import Keeper

LINES = 600
"""A long run writes a line to its log at least every so many seconds."""


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
    purpose = "base" if identity.source is None else "new"
    network = draw_network(architecture, shape, len(draws.classes), lambda n: draws.key("weights", purpose, n))
    prepare_network(identity, network, source, frozen_dropout)
    return network, identity.frozen


def state_hash(network: nn.Module) -> str:
    """The SHA-256 of all parameters and buffers with their names."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def frozen_layers(network: nn.Sequential) -> int:
    """How many layers of a network are frozen, from the first one on."""
    for number, layer in enumerate(network):
        if any(parameter.requires_grad for parameter in layer.parameters()):
            return number
    return len(network)


def share_frozen_layers(networks: dict[str, nn.Sequential]) -> None:
    """Let networks hold the same modules for the frozen layers in which they are alike from the first one on."""
    known: dict[tuple, nn.Module] = {}
    for network in networks.values():
        for n in range(frozen_layers(network)):
            alike = state_hash(network[: n + 1]), *(module.training for module in network[: n + 1].modules())
            network[n] = known.setdefault(alike, network[n])


def logits(network: nn.Sequential, images: Tensor, taps: dict[nn.Module, Tensor]) -> Tensor:
    """The logits (n, classes) of normalised images (n, C, H, W).

    `taps` has what frozen layers gave for these images, and gets what this network's give: a layer that several
    networks share computes a batch once.
    """
    frozen, outputs = frozen_layers(network), images
    for number, layer in enumerate(network):
        if number >= frozen:
            outputs = layer(outputs)
            continue
        if layer not in taps:
            taps[layer] = layer(outputs)
        outputs = taps[layer]
    return outputs


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
        taps: dict[nn.Module, Tensor] = {}
        for name, network in networks.items():
            guesses = logits(network, images, taps)
            losses[name] += functional.cross_entropy(guesses, truth, reduction="sum").item()
            hits[name] += int((guesses.argmax(1) == truth).sum())
    for module, mode in modes.items():
        module.training = mode
    return {name: (losses[name] / count, hits[name] / count) for name in networks}


def learning_state(network: nn.Sequential) -> dict[str, Tensor]:
    """The parameters and buffers of the layers that are not frozen: the network's own tensors, not copies."""
    return network[frozen_layers(network) :].state_dict()


@torch.no_grad()
def exchange(networks: dict[str, nn.Sequential], others: dict[str, dict[str, Tensor]]) -> None:
    """Let what learns in networks and other tensors of the same names change places."""
    for name, network in networks.items():
        for key, tensor in learning_state(network).items():
            before = tensor.clone()
            tensor.copy_(others[name][key])
            others[name][key].copy_(before)


def training_state(
    networks: dict[str, nn.Sequential],
    groups: dict[str, list[Group]],
    best: dict[str, dict[str, Tensor]],
    losses: dict[str, Tensor],
) -> dict[str, Tensor]:
    """All that training changes, by name: the tensors themselves, not copies of them."""
    tensors = {f"{name}/losses": losses[name] for name in networks}
    for name, network in networks.items():
        tensors |= {f"{name}/weights/{key}": tensor for key, tensor in learning_state(network).items()}
        tensors |= {f"{name}/best/{key}": tensor for key, tensor in best[name].items()}
        velocities = [velocity for group in groups[name] for velocity in group.velocities]
        tensors |= {f"{name}/velocities/{number}": velocity for number, velocity in enumerate(velocities)}
    return tensors


def train(
    networks: dict[str, nn.Sequential],
    task: Task,
    schedule: Schedule,
    augmentation: Augmentation,
    draws: Draws,
    device: torch.device,
    report: Callable[[str], None],
    keeper: Keeper | None = None,
) -> dict[str, list[dict]]:
    """Train networks of one target in place, each batch drawn and augmented once for all of them.

    `networks` come from `start_network`, on the device. Returns each network's history: a row a validation, with
    the mean training loss since the row before. The row of the best validation, the first of equal ones, has the test
    accuracy of the weights at that time; the others have None. With a `keeper` training goes on from the state that
    it has, if any. A loss that is not finite is an InputError naming network, step and rate.
    """
    images = {part: hold(stored, device) for part, stored in task.images.items()}
    labels = {part: torch.from_numpy(truth).to(device) for part, truth in task.labels.items()}
    shape = cropped_shape(task.images["validation"].shape[1:], augmentation.crop)
    share_frozen_layers(networks)
    groups = {name: learning_groups(network, schedule) for name, network in networks.items()}
    dropouts = {
        name: [(layer, module) for layer, module in network.named_modules() if isinstance(module, Dropout)]
        for name, network in networks.items()
    }
    for modules in dropouts.values():
        for _, module in modules:
            module.generator = torch.Generator(device)
    best = {
        name: {key: tensor.clone() for key, tensor in learning_state(network).items()}
        for name, network in networks.items()
    }
    losses = {name: torch.zeros(schedule.steps, device=device) for name in networks}
    history: dict[str, list[dict]] = {name: [] for name in networks}
    first, checked = 0, 0
    kept = keeper.load() if keeper else None
    if kept:
        first, history = kept[1]["step"], kept[1]["history"]
        checked = max((rows[-1]["step"] for rows in history.values() if rows), default=0)
        with torch.no_grad():
            for name, tensor in training_state(networks, groups, best, losses).items():
                tensor.copy_(kept[0][name])
        report(f"going on after step {first} of {schedule.steps}")

    def seen(part: str) -> Iterable[tuple[Tensor, Tensor]]:
        """A part's images as the networks see them, with their labels."""
        for indices, chunk in in_order(images[part], device):
            yield normalise(centre(chunk, shape), task.mean, task.std), labels[part][indices]

    validation_steps = set(schedule.validation_steps())
    started = told = time.monotonic()
    lower = torch.autocast(device.type, torch.bfloat16) if schedule.precision == "bf16" else nullcontext()
    choices = (draws.batch(step, schedule.batch_size, len(labels["train"])) for step in range(first, schedule.steps))
    bar = tqdm(total=schedule.steps, initial=first, unit=" steps", disable=None)
    for step, (chosen, stored) in enumerate(fetch(images["train"], choices, device), start=first):
        augmented = augment(stored, augmentation, draws.generator("augmentation", step))
        batch, truth = normalise(augmented, task.mean, task.std), labels["train"][chosen]
        taps: dict[nn.Module, Tensor] = {}
        for name, network in networks.items():
            for layer, module in dropouts[name]:
                module.generator.manual_seed(draws.key("dropout", layer, step))
            with lower:
                loss = functional.cross_entropy(logits(network, batch, taps), truth)
            loss.backward()
            descend(groups[name], schedule.rate(step), schedule.momentum, schedule.nesterov)
            losses[name][step] = loss.detach()
        bar.update()

        done, line = step + 1, ""
        if done in validation_steps:
            recent = {name: losses[name][checked:done] for name in networks}
            for name in networks:
                refuse_infinite(name, recent[name], checked, schedule)
            validated = validate(networks, seen("validation"))
            for name, (loss, top1) in validated.items():
                # The weights of the last step meet their first images here.
                refuse_infinite(name, torch.tensor([loss]), done, schedule)
                if top1 > max((row["validation_top1"] for row in history[name]), default=-1):
                    for key, tensor in learning_state(networks[name]).items():
                        best[name][key].copy_(tensor)
                history[name].append(
                    {
                        "step": done,
                        "images_seen": done * schedule.batch_size,
                        "learning_rate": schedule.rate(step),
                        "train_loss": recent[name].mean().item(),
                        "validation_loss": loss,
                        "validation_top1": top1,
                        "test_top1": None,
                    }
                )
            checked = done
            line = "; validation top-1 " + ", ".join(f"{name} {top1:.3f}" for name, (_, top1) in validated.items())
        now = time.monotonic()
        if line or now - told > LINES:
            told, pace = now, (done - first) / (now - started)
            mean = sum(losses[name][step].item() for name in networks) / len(networks)
            speed = f"{pace * schedule.batch_size:.0f} images/s, {(schedule.steps - done) / pace:.0f} s left"
            report(f"step {done} of {schedule.steps}: mean loss {mean:.3f}, {speed}{line}")
            bar.set_postfix(loss=f"{mean:.3f}", images=f"{pace * schedule.batch_size:.0f}/s")
        if keeper and done < schedule.steps and keeper.due():
            keeper.save(training_state(networks, groups, best, losses), {"step": done, "history": history})
    bar.close()
    exchange(networks, best)
    for name, (_, top1) in validate(networks, seen("test")).items():
        max(history[name], key=lambda row: row["validation_top1"])["test_top1"] = top1
    exchange(networks, best)
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
    parser.add_argument("--states", type=Path, required=True, help="folder for what a stopped job goes on from")
    parser.add_argument("--save-seconds", type=float, default=60, help="how often its state is saved (60)")
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
    names = [path.parent.name for path in arguments.models]
    with only_writer([arguments.states / f"{name}.lock" for name in names]):
        make_checkpoints(arguments)


def make_checkpoints(arguments: argparse.Namespace) -> None:
    """Train the networks that the arguments name and write their files."""
    started = time.time()
    identities = [parse_network(path.parent.name) for path in arguments.models]
    (target,) = {identity.target for identity in identities}
    architecture = architecture_of(arguments.architecture)
    augmentation = Augmentation(**arguments.augmentation)
    # A base network's schedule does not say: nothing in it is frozen.
    frozen_dropout = arguments.schedule.get("frozen_dropout", False)
    schedule = Schedule(**{key: value for key, value in arguments.schedule.items() if key != "frozen_dropout"})
    device = choose_device(arguments.device, arguments.threads)
    if (
        schedule.precision == "bf16"
        and device.type == "cpu"
        and "AVX512" not in torch.backends.cpu.get_cpu_capability()
    ):
        tell("this processor imitates bf16; fp32 is faster here")
    task = open_task(arguments.split, target, arguments.packed)
    task = replace(task, std=input_std(architecture, task.std))
    draws = Draws(arguments.seed, tuple(task.classes))
    shape = cropped_shape(task.images["train"].shape[1:], augmentation.crop)

    networks, frozen = start_networks(identities, architecture, shape, draws, arguments.source, frozen_dropout)
    before = {name: state_hash(network[: frozen[name]]) for name, network in networks.items()}
    origin = {
        "parameters": {
            "architecture": arguments.architecture,
            "augmentation": arguments.augmentation,
            "schedule": arguments.schedule,
            "seed": arguments.seed,
        },
        "inputs": {str(path): files.sha256(path) for path in (arguments.split, arguments.source) if path},
        "images": files.read_json(arguments.packed / "card.json")["content"],
        "code": provenance.fingerprint("training.job", f"networks.{architecture.library}"),
        "versions": provenance.versions(),
        "device": str(device),
        "threads": arguments.threads,
    }
    keeper = Keeper(arguments.states / f"{'_'.join(networks)}.safetensors", origin, arguments.save_seconds)
    ready = time.time()
    section = "base" if identities[0].source is None else "transferred"
    with (
        fitting(
            f"{', '.join(networks)}: {len(networks)} networks and batches of {schedule.batch_size} images",
            f'set jobs to "network", lower training.{section}.batch_size, or that of training.reduced if the split '
            "has a volume, or let fewer jobs share a GPU",
        ),
        keeper.listening(),
    ):
        networks = {name: network.to(device, memory_format=torch.channels_last) for name, network in networks.items()}
        history = train(networks, task, schedule, augmentation, draws, device, tell, keeper)
    trained = time.time()
    for name, network in networks.items():
        if state_hash(network[: frozen[name]]) != before[name]:
            raise RuntimeError(f"{name}: its {frozen[name]} frozen layers changed in training")

    record = origin | {
        "git": provenance.git_revision(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "images_seen": schedule.steps * schedule.batch_size,
        "job": {
            "networks": len(networks),
            "seconds": round(keeper.earlier + time.time() - started, 3),
            "training_seconds": round(keeper.earlier + trained - ready, 3),
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
    keeper.forget()


def tell(line: str) -> None:
    """Write a line to the log, or above the bar."""
    tqdm.write(line, file=sys.stderr)


if __name__ == "__main__":
    exit_plainly(main)
