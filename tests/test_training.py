"""Training: schedules, batches, augmentation, the optimiser, and that networks of a job do not touch each other."""

import copy
import csv
import json
import math
import re
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Stored
from torch import Tensor, nn
from torch.nn import functional

from transferability import files, provenance
from transferability.data.augmentation import Augmentation, augment
from transferability.data.batches import normalise
from transferability.data.packed import PARTS
from transferability.data.tasks import Task, open_task
from transferability.devices import choose_device
from transferability.errors import InputError
from transferability.evaluation.features import cut_features
from transferability.evaluation.pooling import Pooling
from transferability.evaluation.probes import LinearPath
from transferability.networks.alexnet import initialise
from transferability.networks.building import build_network
from transferability.networks.checkpoints import load_network
from transferability.networks.dropout import Dropout
from transferability.networks.notation import parse_network
from transferability.networks.stages import AlexNet
from transferability.training import job, trials
from transferability.training.learner import Learner
from transferability.training.loop import train, validate
from transferability.training.optimizers import Schedule, descend, learning_groups
from transferability.training.randomness import Draws
from transferability.training.setup import Setup
from transferability.training.sharing import share_frozen_stages, state_hash
from transferability.training.start import start_network

# Sums depend on the number of threads.
torch.set_num_threads(1)

CPU = torch.device("cpu")
LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
BATCH_NORM = AlexNet("tiny", 1, "batch", 0)
DROPOUT = AlexNet("tiny", 1, "none", 0.5)
ARCHITECTURES = {"batch norm": BATCH_NORM, "dropout": DROPOUT, "both": AlexNet("tiny", 1, "batch", 0.5)}
SCHEDULE = Schedule(
    steps=6,
    batch_size=32,
    learning_rate=0.03,
    warmup=2,
    decay="cosine",
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    bias_rate=1,
    validations=3,
    precision="fp32",
)
AUGMENTATION = Augmentation(padding=1, flip=False)


@pytest.fixture(scope="module")
def tasks(packed_digits, digits_split) -> dict[str, Task]:
    """Both tasks of the digits' split random0."""
    return {side: open_task(digits_split, side, packed_digits) for side in "AB"}


def start(names: list[str], architecture: AlexNet, task: Task, source: dict | None, seed: int = 0) -> dict:
    """Networks of one target before their first step, by name."""
    draws = Draws(seed, tuple(task.classes))
    return {
        name: start_network(parse_network(name), architecture, (1, 8, 8), draws, source, frozen_dropout=True)
        for name in names
    }


def learners_of(networks: dict, schedule: Schedule = SCHEDULE) -> list[Learner]:
    """Networks by name, ready to learn, with the frozen stages that they have in common as one."""
    identities = [parse_network(name) for name in networks]
    share_frozen_stages(list(networks.values()), [identity.frozen for identity in identities])
    return [Learner(identity, networks[identity.name], schedule) for identity in identities]


def setup_of(task: Task, schedule: Schedule = SCHEDULE, seed: int = 0) -> Setup:
    """What networks of a task have in common."""
    return Setup(task, schedule, AUGMENTATION, Draws(seed, tuple(task.classes)), CPU)


def run(networks: dict, task: Task, schedule: Schedule = SCHEDULE, seed: int = 0) -> dict[str, list[dict]]:
    """Train networks in place without a word; gives their histories."""
    learners = learners_of(networks, schedule)
    train(learners, setup_of(task, schedule, seed), lambda line: None)
    return {learner.name: learner.history for learner in learners}


@pytest.fixture(scope="module")
def bases(tasks) -> dict[str, dict[str, dict[str, Tensor]]]:
    """States of short-trained base networks, by the architecture's name in ARCHITECTURES and by side."""
    states = {}
    for kind, architecture in ARCHITECTURES.items():
        states[kind] = {}
        for side, task in tasks.items():
            networks = start([f"base{side}"], architecture, task, None)
            run(networks, task)
            states[kind][side] = networks[f"base{side}"].state_dict()
    return states


# Schedules


def test_the_rate_rises_in_a_line_and_falls_by_a_cosine():
    schedule = replace(SCHEDULE, steps=110, learning_rate=0.5, warmup=10)
    rates = [schedule.rate(step) for step in range(110)]
    assert rates[:10] == pytest.approx([0.05 * n for n in range(1, 11)])
    assert rates[10:] == pytest.approx([0.25 + 0.25 * math.cos(math.pi * n / 100) for n in range(100)])


def test_the_rate_is_never_zero_and_ends_near_it():
    schedule = replace(SCHEDULE, steps=200, warmup=20)
    rates = [schedule.rate(step) for step in range(200)]
    assert rates[0] == pytest.approx(0.03 / 20)
    assert max(rates) == 0.03
    assert 0 < rates[-1] < 1e-5
    assert all(rate > 0 for rate in rates)


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 1), (5, 0), (5, 5)])
def test_the_rate_starts_at_its_highest_without_warm_up(steps, warmup):
    schedule = replace(SCHEDULE, steps=steps, learning_rate=0.5, warmup=warmup)
    rates = [schedule.rate(step) for step in range(steps)]
    assert max(rates) == 0.5
    assert rates[0] == (0.5 / warmup if warmup else 0.5)


def test_the_originals_rate_falls_to_a_tenth_every_100000_of_450000_steps():
    decay = {"every": 100_000, "factor": 0.1}
    schedule = replace(SCHEDULE, steps=450_000, learning_rate=0.01, warmup=0, decay=decay)
    for stair in range(5):
        for step in (100_000 * stair, 100_000 * stair + 99_999):
            assert schedule.rate(step) == pytest.approx(0.01 / 10**stair), step


def test_stairs_begin_where_the_warm_up_ends():
    decay = {"every": 4, "factor": 0.5}
    schedule = replace(SCHEDULE, steps=16, learning_rate=0.8, warmup=3, decay=decay)
    rates = [schedule.rate(step) for step in range(16)]
    assert rates == pytest.approx([0.8 / 3, 1.6 / 3, *5 * [0.8], *4 * [0.4], *4 * [0.2], 0.1])


def test_the_original_is_validated_every_1000_of_450000_steps():
    schedule = replace(SCHEDULE, steps=450_000, validations=450)
    assert schedule.validation_steps() == list(range(1000, 450_001, 1000))


@pytest.mark.parametrize(
    ("steps", "validations", "expected"),
    [
        (200, 20, list(range(10, 201, 10))),
        (10, 3, [3, 6, 10]),
        (7, 7, [1, 2, 3, 4, 5, 6, 7]),
        (5, 1, [5]),
        (1, 1, [1]),
        (3, 10, [1, 2, 3]),
    ],
)
def test_validations_are_evenly_spaced_and_the_last_is_at_the_end(steps, validations, expected):
    assert replace(SCHEDULE, steps=steps, validations=validations).validation_steps() == expected


# Draws


@pytest.mark.parametrize(("size", "images"), [(3, 10), (10, 10), (4, 8), (25, 10), (1, 3), (7, 3)])
def test_each_epoch_visits_every_image_exactly_once(size, images):
    draws = Draws(0, ("a", "b"))
    stream = torch.cat([draws.batch(step, size, images) for step in range(images)])
    assert len(stream) == size * images
    for epoch in stream.split(images):
        assert sorted(epoch.tolist()) == list(range(images))


def test_every_batch_is_full_also_across_epochs():
    draws = Draws(0, ("a", "b"))
    assert [len(draws.batch(step, 7, 10)) for step in range(20)] == [7] * 20


def test_epochs_differ_in_order():
    stream = torch.cat([Draws(0, ("a",)).batch(step, 50, 50) for step in range(4)]).split(50)
    assert len({tuple(epoch.tolist()) for epoch in stream}) == 4


def test_a_batch_is_a_function_of_its_step_alone():
    draws = Draws(5, ("a", "b"))
    batches = [draws.batch(step, 8, 30) for step in range(40)]
    assert torch.equal(Draws(5, ("a", "b")).batch(37, 8, 30), batches[37])
    assert torch.equal(draws.batch(2, 8, 30), batches[2])


def test_draws_depend_on_seed_classes_and_purpose():
    keys = [
        Draws(0, ("a", "b")).key("epoch", 0),
        Draws(1, ("a", "b")).key("epoch", 0),
        Draws(0, ("b", "a")).key("epoch", 0),
        Draws(0, ("ab",)).key("epoch", 0),
        Draws(0, ("a", "b")).key("epoch", 1),
        Draws(0, ("a", "b")).key("augmentation", 0),
        Draws(0, ("a", "b")).key("epoch", "0"),
    ]
    assert len(set(keys)) == len(keys)
    assert all(0 <= key < 2**63 for key in keys)
    assert Draws(0, ("a", "b")).key("epoch", 0) == keys[0]


# Augmentation


def plain_augmentation(image: np.ndarray, down: int, right: int, mirrored: bool, padding: int) -> np.ndarray:
    """One image (C, H, W) shifted by the given numbers of pixels, zeros coming in, then mirrored, pixel by pixel."""
    channels, height, width = image.shape
    result = np.zeros_like(image)
    for c, y, x in np.ndindex(channels, height, width):
        if 0 <= y - down < height and 0 <= x - right < width:
            result[c, y, x] = image[c, y - down, x - right]
    return result[:, :, ::-1] if mirrored else result


@pytest.mark.parametrize(("padding", "flip"), [(0, False), (0, True), (2, False), (1, True)])
def test_augmentation_shifts_and_mirrors_each_image_by_its_own_draw(padding, flip):
    images = np.random.default_rng(0).integers(1, 256, (200, 3, 5, 4), dtype=np.uint8)
    augmented = augment(torch.from_numpy(images), Augmentation(padding, flip), torch.Generator().manual_seed(0))
    assert augmented.shape == images.shape
    assert augmented.dtype == torch.uint8

    possible = [
        (down, right, mirrored)
        for down in range(-padding, padding + 1)
        for right in range(-padding, padding + 1)
        for mirrored in ((False, True) if flip else (False,))
    ]
    seen = Counter()
    for image, result in zip(images, augmented.numpy(), strict=True):
        (found,) = (move for move in possible if np.array_equal(plain_augmentation(image, *move, padding), result))
        seen[found] += 1
    assert set(seen) == set(possible)
    if flip:
        assert 70 < sum(count for (_, _, mirrored), count in seen.items() if mirrored) < 130


@pytest.mark.parametrize(("padding", "crop", "flip"), [(0, 4, True), (0, 6, False), (1, 5, True), (1, 7, False)])
def test_a_crop_is_at_every_place_of_the_padded_image_equally_often(padding, crop, flip):
    images = np.random.default_rng(0).integers(1, 256, (4000, 2, 6, 6), dtype=np.uint8)
    before = images.copy()
    augmentation = Augmentation(padding, flip, crop)
    cropped = augment(torch.from_numpy(images), augmentation, torch.Generator().manual_seed(0)).numpy()
    assert cropped.shape == (4000, 2, crop, crop)
    assert cropped.dtype == np.uint8
    assert np.array_equal(images, before)

    padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    places = 6 + 2 * padding - crop + 1
    seen = Counter()
    for top, left, mirrored in np.ndindex(places, places, 2):
        window = padded[:, :, top : top + crop, left : left + crop]
        same = (cropped == (window[..., ::-1] if mirrored else window)).all(axis=(1, 2, 3))
        seen[top, left, mirrored] = int(same.sum())
    assert sum(seen.values()) == 4000
    kinds = [place for place in seen if flip or not place[2]]
    expected = 4000 / len(kinds)
    assert all(abs(seen[place] - expected) < 5 * expected**0.5 for place in kinds)


def test_a_crop_of_the_whole_image_draws_as_none_does():
    images = torch.randint(0, 256, (50, 3, 8, 8), dtype=torch.uint8)
    whole, cropped = (
        augment(images, Augmentation(1, True, crop), torch.Generator().manual_seed(0)) for crop in (None, 8)
    )
    assert torch.equal(whole, cropped)


def test_augmentation_repeats_itself_for_the_same_seed():
    images = torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8)
    first, again, other = (
        augment(images, Augmentation(2, True), torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_augmentation_leaves_its_input_alone():
    images = torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8)
    before = images.clone()
    augment(images, Augmentation(2, True), torch.Generator().manual_seed(0)).zero_()
    assert torch.equal(images, before)


# The optimiser


RECIPES = {
    "default": replace(SCHEDULE, steps=8, weight_decay=5e-3),
    "no momentum": replace(SCHEDULE, steps=8, momentum=0),
    "original": Schedule(
        steps=8,
        batch_size=32,
        learning_rate=0.05,
        warmup=0,
        decay={"every": 3, "factor": 0.1},
        momentum=0.9,
        nesterov=False,
        weight_decay=5e-3,
        bias_rate=2,
        validations=2,
        precision="fp32",
    ),
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_training_is_a_plain_loop_of_torchs_sgd_bit_for_bit(norm, recipe, tasks):
    """Biases are those of convolutions and linear layers; batch norm's shift is none."""
    schedule, task = RECIPES[recipe], tasks["A"]
    networks = start(["baseA"], AlexNet("tiny", 1, norm, 0), task, None)
    plain = copy.deepcopy(networks["baseA"])
    run(networks, task, schedule)

    parameters = dict(plain.named_parameters())
    weights = [name for name in parameters if name.endswith(("conv.weight", "linear.weight"))]
    biases = [name for name in parameters if name.endswith(("conv.bias", "linear.bias"))]
    norms = [name for name in parameters if name.endswith(("norm.weight", "norm.bias"))]
    assert sorted(weights + biases + norms) == sorted(parameters)
    assert (len(weights), len(biases), len(norms)) == ((8, 1, 14) if norm == "batch" else (8, 8, 0))
    factors = [1, schedule.bias_rate, 1]
    optimiser = torch.optim.SGD(
        [
            {"params": [parameters[name] for name in names], "weight_decay": decay}
            for names, decay in ((weights, schedule.weight_decay), (biases, 0), (norms, 0))
        ],
        lr=1,
        momentum=schedule.momentum,
        nesterov=schedule.nesterov and schedule.momentum > 0,
        fused=True,
    )
    draws = Draws(0, tuple(task.classes))
    images, labels = torch.from_numpy(task.images["train"]), torch.from_numpy(task.labels["train"])
    for step in range(schedule.steps):
        rate = 0.05 * [1, 0.1, 0.1**2][step // 3] if recipe == "original" else schedule.rate(step)
        for group, factor in zip(optimiser.param_groups, factors, strict=True):
            group["lr"] = rate * factor
        chosen = draws.batch(step, 32, len(images))
        batch = augment(images[chosen], AUGMENTATION, draws.generator("augmentation", step)).float() / 255
        loss = functional.cross_entropy(plain((batch - task.mean[0]) / task.std[0]), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert state_hash(networks["baseA"]) == state_hash(plain)


def test_gradients_are_spent():
    network = build_network(BATCH_NORM, (1, 8, 8), 5)
    network(torch.zeros(2, 1, 8, 8)).sum().backward()
    descend(learning_groups(network, SCHEDULE), SCHEDULE, 0.1)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_weight_decay_spares_biases_and_norms():
    architecture = ARCHITECTURES["batch norm"]
    network = build_network(architecture, (1, 8, 8), 5)
    initialise(network, architecture, lambda n: n - 1)
    nn.init.constant_(network.fc8.linear.bias, 0.7)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    schedule = replace(SCHEDULE, weight_decay=0.1, momentum=0)
    descend(learning_groups(network, schedule), schedule, rate=0.5)
    for name, parameter in network.named_parameters():
        decays = name.endswith(("conv.weight", "linear.weight"))
        assert torch.allclose(parameter, before[name] * (0.95 if decays else 1)), name
        assert decays or torch.equal(parameter, before[name]), name


def test_frozen_parameters_are_in_no_group(tasks, bases):
    network = start(["A5B"], BATCH_NORM, tasks["B"], bases["batch norm"]["A"])["A5B"]
    learning = [parameter for group in learning_groups(network, SCHEDULE) for parameter in group.parameters]
    assert {id(parameter) for parameter in learning} == {id(parameter) for parameter in network[5:].parameters()}


# Where networks start


def test_new_layers_start_from_the_same_weights_in_every_treatment_and_not_from_the_bases(tasks):
    task = tasks["B"]
    source = {side: start([f"base{side}"], DROPOUT, tasks[side], None)[f"base{side}"].state_dict() for side in "AB"}
    started = {
        **start(["A3B", "A3B+", "A3B-k2"], DROPOUT, task, source["A"]),
        **start(["B3B", "B3B+", "B1B"], DROPOUT, task, source["B"]),
        **start(["R3B"], DROPOUT, task, None),
    }
    drawn = started["R3B"].state_dict()
    for name, network in started.items():
        identity = parse_network(name)
        first_new = 0 if identity.source == "R" else identity.n + identity.preserved
        for layer in LAYERS[first_new:]:
            weight = f"{layer}.{'conv' if layer.startswith('conv') else 'linear'}.weight"
            assert torch.equal(network.state_dict()[weight], drawn[weight]), (name, weight)
            assert not torch.equal(network.state_dict()[weight], source["B"][weight]), (name, weight)


def test_another_seed_or_target_starts_from_other_weights(tasks):
    first = start(["R1A"], DROPOUT, tasks["A"], None)["R1A"].state_dict()
    others = [
        start(["R1A"], DROPOUT, tasks["A"], None, seed=1)["R1A"].state_dict(),
        start(["R1B"], DROPOUT, tasks["B"], None)["R1B"].state_dict(),
    ]
    for other in others:
        assert not any(torch.equal(first[name], other[name]) for name in first if name.endswith("weight"))


# Training


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize(
    "names",
    [
        ["B1B", "B4B", "B7B"],
        ["A2B+", "A6B+"],
        ["R1B", "R5B", "R7B"],
        ["A2B-k1", "A3B-k2", "A4B-k3"],
        ["A3B", "A3B+", "A3B-k2"],
    ],
    ids=["frozen", "fine-tuned", "random", "preserved", "mixed"],
)
def test_networks_trained_together_equal_those_trained_one_by_one(names, kind, tasks, bases):
    architecture, task = ARCHITECTURES[kind], tasks["B"]
    source = bases[kind].get(names[0][0])
    together = start(names, architecture, task, source)
    histories = run(together, task)
    for name in names:
        alone = start([name], architecture, task, source)
        assert run(alone, task)[name] == histories[name]
        assert state_hash(alone[name]) == state_hash(together[name])
    assert len({state_hash(network) for network in together.values()}) == len(names)


def test_frozen_layers_in_common_compute_a_batch_once(tasks, bases):
    networks = start(["A2B", "A5B", "A7B", "A3B+"], DROPOUT, tasks["B"], bases["dropout"]["A"])
    networks |= start(["R5B"], DROPOUT, tasks["B"], None)
    learners_of(networks)
    assert networks["A2B"][1] is networks["A7B"][1]
    assert networks["A2B"][2] is not networks["A7B"][2]
    assert networks["A3B+"][0] is not networks["A2B"][0] is not networks["R5B"][0]

    calls = Counter()
    for layer in {layer for network in networks.values() for layer in network}:
        layer.register_forward_pre_hook(lambda layer, inputs: calls.update([layer]))
    run(networks, tasks["B"], replace(SCHEDULE, steps=5, validations=1))
    # Five steps, one pass over the validation images, and one over the test images.
    assert set(calls.values()) == {7}
    # Of five networks' 40 layers A7B's serve A5B and A2B too.
    assert len(calls) == 40 - 5 - 2


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_two_runs_give_the_same_bits_whatever_torchs_own_seed_is(kind, tasks):
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        networks = start(["baseA"], ARCHITECTURES[kind], tasks["A"], None)
        results.append((run(networks, tasks["A"]), state_hash(networks["baseA"])))
    assert results[0] == results[1]


def test_another_seed_gives_another_network(tasks):
    hashes = set()
    for seed in (0, 1):
        networks = start(["baseA"], BATCH_NORM, tasks["A"], None, seed)
        run(networks, tasks["A"], seed=seed)
        hashes.add(state_hash(networks["baseA"]))
    assert len(hashes) == 2


def test_all_treatments_of_a_target_see_the_same_batches_and_dropout_masks(tasks, bases):
    batches, masks = {}, {}
    for name in ("baseB", "B3B", "A3B", "A5B+", "R7B", "A3B-k2"):
        seen, dropped = batches.setdefault(name, []), masks.setdefault(name, [])
        networks = start([name], DROPOUT, tasks["B"], bases["dropout"].get(name[0]))

        def keep_batch(layer, inputs, seen=seen):
            if torch.is_grad_enabled():
                seen.append(inputs[0].clone())

        def keep_mask(module, inputs, dropped=dropped):
            if torch.is_grad_enabled():
                generator = torch.Generator()
                generator.set_state(module.generator.get_state())
                dropped.append(torch.empty(inputs[0].shape).bernoulli_(0.5, generator=generator))

        networks[name][0].register_forward_pre_hook(keep_batch)
        for module in networks[name].modules():
            if isinstance(module, Dropout):
                module.register_forward_pre_hook(keep_mask)
        run(networks, tasks["B"])

    assert len(batches["baseB"]) == SCHEDULE.steps
    assert len(masks["baseB"]) == 2 * SCHEDULE.steps
    for name in batches:
        assert all(torch.equal(*pair) for pair in zip(batches[name], batches["baseB"], strict=True)), name
        assert all(torch.equal(*pair) for pair in zip(masks[name], masks["baseB"], strict=True)), name
    assert len({tensor.numpy().tobytes() for tensor in [*batches["baseB"], *masks["baseB"]]}) == 3 * SCHEDULE.steps


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize(
    ("name", "frozen"), [("B3B", 3), ("A7B", 7), ("R5B", 5), ("A2B-k3", 2), ("A4B+", 0), ("baseB", 0)]
)
def test_frozen_layers_keep_every_bit_and_the_others_learn(name, frozen, kind, tasks, bases):
    networks = start([name], ARCHITECTURES[kind], tasks["B"], bases[kind].get(name[0]))
    before = {key: tensor.clone() for key, tensor in networks[name].state_dict().items()}
    run(networks, tasks["B"])
    changed = {key for key, tensor in networks[name].state_dict().items() if not torch.equal(tensor, before[key])}
    assert changed == {key for key in before if key.split(".")[0] in LAYERS[frozen:]}


def test_validating_more_often_changes_no_network(tasks):
    hashes = set()
    for validations in (1, 2, 6):
        networks = start(["baseA"], ARCHITECTURES["both"], tasks["A"], None)
        run(networks, tasks["A"], replace(SCHEDULE, validations=validations))
        hashes.add(state_hash(networks["baseA"]))
    assert len(hashes) == 1


def test_a_history_tells_of_every_validation(tasks):
    histories = {}
    for validations in (3, 6):
        schedule = replace(SCHEDULE, validations=validations)
        networks = start(["baseA"], BATCH_NORM, tasks["A"], None)
        histories[validations] = run(networks, tasks["A"], schedule)["baseA"]
    rows, every_step = histories[3], histories[6]

    assert [row["step"] for row in rows] == [2, 4, 6]
    assert [row["images_seen"] for row in rows] == [64, 128, 192]
    assert [row["learning_rate"] for row in rows] == [SCHEDULE.rate(step) for step in (1, 3, 5)]
    for row, first, second in zip(rows, every_step[::2], every_step[1::2], strict=True):
        assert row["train_loss"] == pytest.approx((first["train_loss"] + second["train_loss"]) / 2)
        assert (row["validation_loss"], row["validation_top1"]) == (
            second["validation_loss"],
            second["validation_top1"],
        )

    seen = (torch.from_numpy(tasks["A"].images["validation"]).float() / 255 - tasks["A"].mean[0]) / tasks["A"].std[0]
    truth = torch.from_numpy(tasks["A"].labels["validation"])
    with torch.no_grad():
        logits = networks["baseA"].eval()(seen)
    assert rows[-1]["validation_loss"] == pytest.approx(functional.cross_entropy(logits, truth).item(), rel=1e-4)
    assert rows[-1]["validation_top1"] == (logits.argmax(1) == truth).double().mean().item()


def test_the_best_row_has_the_test_accuracy_of_the_weights_at_its_step(tasks):
    # At a rate that does not fall by the number of steps, a shorter run is the beginning of a longer one.
    schedule = replace(SCHEDULE, steps=16, learning_rate=0.3, validations=16, decay={"every": 1000, "factor": 0.1})
    names, task = ["B3A", "B3A+"], tasks["A"]
    source = {"source": start(["baseB"], BATCH_NORM, tasks["B"], None)["baseB"].state_dict()}
    whole = start(names, BATCH_NORM, task, **source)
    steps = set()
    for name, rows in run(whole, task, schedule).items():
        accuracies = [row["validation_top1"] for row in rows]
        best = accuracies.index(max(accuracies))
        assert [row["step"] for row in rows if row["test_top1"] is not None] == [best + 1]
        steps.add(best + 1)

        stopped = start(names, BATCH_NORM, task, **source)
        run(stopped, task, replace(schedule, steps=best + 1, validations=1))
        batches = normalise(torch.from_numpy(task.images["test"]), task.mean, task.std)
        scores = validate(learners_of({name: stopped[name]}), [(batches, torch.from_numpy(task.labels["test"]))])
        assert rows[best]["test_top1"] == scores[0][1]
    assert min(steps) < schedule.steps, "a best network that is the last one shows nothing"
    unchosen = start(names, BATCH_NORM, task, **source)
    run(unchosen, task, replace(schedule, validations=1))
    assert {name: state_hash(network) for name, network in whole.items()} == {
        name: state_hash(network) for name, network in unchosen.items()
    }


def test_validation_covers_every_batch_and_restores_every_mode():
    torch.manual_seed(0)
    networks = {name: build_network(ARCHITECTURES["both"], (1, 8, 8), 5) for name in ("A1B", "A2B")}
    learners = learners_of(networks)
    networks["A1B"].fc6.eval()
    modes = [module.training for network in networks.values() for module in network.modules()]
    images, labels = torch.randn(1203, 1, 8, 8), torch.randint(0, 5, (1203,))
    before = {name: state_hash(network) for name, network in networks.items()}
    scores = validate(learners, iter(list(zip(images.split(500), labels.split(500), strict=True))))
    assert [module.training for network in networks.values() for module in network.modules()] == modes
    assert {name: state_hash(network) for name, network in networks.items()} == before
    for network, (loss, top1) in zip(networks.values(), scores, strict=True):
        logits = network.eval()(images)
        assert loss == pytest.approx(functional.cross_entropy(logits, labels).item(), rel=1e-5)
        assert top1 == (logits.argmax(1) == labels).double().mean().item()
    assert scores[0] != scores[1]


def test_training_says_how_it_goes_at_every_validation(tasks):
    lines = []
    networks = start(["R1A", "R2A"], BATCH_NORM, tasks["A"], None)
    learners = learners_of(networks)
    train(learners, setup_of(tasks["A"]), lines.append)
    histories = {learner.name: learner.history for learner in learners}
    told = [re.sub(r": mean loss \d\.\d{3}, \d+ images/s, \d+ s left;", ":", line) for line in lines]
    assert told == [
        f"step {step} of 6: validation top-1 " + ", ".join(f"{name} {accuracy:.3f}" for name, accuracy in accuracies)
        for step, accuracies in (
            (row["step"], [(name, histories[name][index]["validation_top1"]) for name in networks])
            for index, row in enumerate(histories["R1A"])
        )
    ]


def test_a_base_network_learns_the_digits(tasks):
    networks = start(["baseA"], BATCH_NORM, tasks["A"], None)
    schedule = replace(SCHEDULE, steps=80, batch_size=64, warmup=10, validations=4)
    history = run(networks, tasks["A"], schedule)["baseA"]
    assert history[0]["train_loss"] > 3 * history[-1]["train_loss"]
    assert history[-1]["validation_top1"] > 0.9


# Crops and images that are not in memory


def test_networks_see_random_crops_in_training_and_the_centre_in_validation(tasks):
    task, seen = tasks["A"], {True: [], False: []}
    draws, augmentation = Draws(0, tuple(task.classes)), Augmentation(padding=0, flip=True, crop=7)
    identity = parse_network("baseA")
    network = start_network(identity, BATCH_NORM, (1, 7, 7), draws, None, frozen_dropout=True)
    network[0].register_forward_pre_hook(lambda layer, inputs: seen[layer.training].append(inputs[0].clone()))
    setup = Setup(task, SCHEDULE, augmentation, draws, CPU)
    train([Learner(identity, network, SCHEDULE)], setup, lambda line: None)

    def pixels(inputs: Tensor) -> Tensor:
        return (inputs * task.std[0] + task.mean[0]).mul(255).round().to(torch.uint8)

    images = {part: torch.from_numpy(task.images[part]) for part in PARTS}
    assert len(seen[True]) == SCHEDULE.steps
    for step, inputs in enumerate(seen[True]):
        chosen = images["train"][draws.batch(step, 32, len(images["train"]))]
        expected = augment(chosen, augmentation, draws.generator("augmentation", step))
        assert torch.equal(pixels(inputs), expected)
    parts = ["validation"] * SCHEDULE.validations + ["test"]
    for inputs, part in zip(seen[False], parts, strict=True):
        assert torch.equal(pixels(inputs), images[part][:, :, :7, :7])


def stored_task(task: Task) -> Task:
    """The task with none of its images in memory, and all of them to validate on: more than 500."""
    images = task.images | {"validation": np.concatenate(list(task.images.values()))}
    labels = task.labels | {"validation": np.concatenate(list(task.labels.values()))}
    return replace(task, images={part: Stored(images[part], most=500) for part in images}, labels=labels)


def test_images_that_are_not_in_memory_give_the_same_bits_and_are_read_by_the_batch(tasks, bases):
    stored = stored_task(tasks["B"])
    memory = replace(stored, images={part: images.images for part, images in stored.images.items()})
    stored.images["train"].most = SCHEDULE.batch_size
    found = []
    for task in (memory, stored):
        networks = start(["A2B", "A4B+"], ARCHITECTURES["both"], task, bases["both"]["A"])
        history = run(networks, task)
        found.append((history, {name: state_hash(network) for name, network in networks.items()}))
    assert found[0] == found[1]

    count, draws = len(stored.labels["validation"]), Draws(0, tuple(stored.classes))
    assert 500 < count < 1000
    steps = [draws.batch(step, 32, len(stored.labels["train"])).tolist() for step in range(SCHEDULE.steps)]
    assert stored.images["train"].asked == steps
    # Once for all networks of the job.
    assert stored.images["validation"].asked == SCHEDULE.validations * [
        list(range(500)),
        list(range(500, count)),
    ]
    assert threading.get_ident() not in stored.images["train"].threads | stored.images["validation"].threads


def test_the_next_batch_is_read_while_this_one_is_computed_and_none_further(tasks):
    task = stored_task(tasks["A"])
    asked, behind = task.images["train"].asked, []
    networks = start(["baseA"], BATCH_NORM, task, None)

    def wait(layer, inputs):
        if layer.training:
            step = len(behind)
            ready = threading.Event()
            for _ in range(1000):
                if len(asked) >= min(step + 2, SCHEDULE.steps):
                    break
                ready.wait(0.01)
            behind.append(len(asked) - step)

    networks["baseA"][0].register_forward_pre_hook(wait)
    run(networks, task)
    assert behind == [*(SCHEDULE.steps - 1) * [2], 1]


def test_an_image_that_cannot_be_read_ends_training_with_its_sentence(tasks):
    class Broken(Stored):
        def __getitem__(self, indices: np.ndarray) -> np.ndarray:
            if len(self.asked) == 2:
                raise InputError("images/cat/7.jpg: cut off; replace it and run again")
            return super().__getitem__(indices)

    task = stored_task(tasks["A"])
    task = replace(task, images=task.images | {"train": Broken(task.images["train"].images, 32)})
    with pytest.raises(InputError, match=r"^images/cat/7\.jpg: cut off"):
        run(start(["baseA"], BATCH_NORM, task, None), task)


# Losses that are not finite


@pytest.mark.parametrize(("name", "section"), [("baseB", "base"), ("R1B", "transferred")])
def test_a_loss_that_is_not_finite_names_network_step_rate_and_the_key_to_lower(name, section, tasks):
    schedule = replace(SCHEDULE, steps=8, learning_rate=1e30, warmup=0, validations=2)
    with pytest.raises(InputError) as error:
        run(start([name], DROPOUT, tasks["B"], None), tasks["B"], schedule)
    assert str(error.value) == (
        f"{name}: the loss is nan at step 2 with learning rate {schedule.rate(1):.4g}; "
        f"lower training.{section}.learning_rate, or training.reduced.learning_rate if the split has a volume"
    )


def test_of_the_networks_of_a_job_the_one_whose_loss_is_not_finite_is_named(tasks):
    networks = start(["R1B", "R2B", "R3B"], BATCH_NORM, tasks["B"], None)
    nn.init.constant_(networks["R2B"].fc8.linear.weight, math.nan)
    with pytest.raises(InputError, match=r"^R2B: the loss is nan at step 1 with learning rate"):
        run(networks, tasks["B"])


def test_weights_that_overflow_in_the_last_step_are_refused(tasks):
    # The training loss of that step is still finite: it is that of the weights before it.
    schedule = replace(SCHEDULE, steps=1, learning_rate=1e30, warmup=0, validations=1)
    with pytest.raises(InputError, match=r"lower training\.base\.learning_rate"):
        run(start(["baseB"], DROPOUT, tasks["B"], None), tasks["B"], schedule)


# The command line


def command(folder: Path, split: Path, packed: Path, names: list[str], source: Path | None) -> list[str]:
    """The command that trains networks into folder/<name>/."""
    return [
        *(sys.executable, "-m", "transferability.training.job"),
        *("--split", str(split), "--packed", str(packed)),
        *("--architecture", '{"family": "tiny", "width": 1, "norm": "batch", "dropout": 0.5}'),
        *("--augmentation", '{"padding": 1, "flip": false}'),
        "--schedule",
        '{"steps": 4, "batch_size": 32, "learning_rate": 0.03, "warmup": 1, "decay": {"every": 2, "factor": 0.1}, '
        '"momentum": 0.9, "nesterov": false, "weight_decay": 0.0005, "bias_rate": 2, "validations": 2, '
        '"precision": "fp32", "frozen_dropout": true}',
        *("--seed", "3", "--device", "cpu", "--threads", "1", "--states", str(folder / "states")),
        *("--source", *([str(source)] if source else []), "--pretrained"),
        *("--models", *(str(folder / name / "model.safetensors") for name in names)),
    ]


def execute(words: list[str]) -> subprocess.CompletedProcess:
    """Run a command and keep what it says."""
    return subprocess.run(words, capture_output=True, text=True)


@pytest.fixture(scope="module")
def trained_base(packed_digits, digits_split, tmp_path_factory) -> Path:
    """The folder of a baseA that the command line has trained."""
    folder = tmp_path_factory.mktemp("models")
    done = execute(command(folder, digits_split, packed_digits, ["baseA"], None))
    assert done.returncode == 0, done.stderr
    return folder / "baseA"


def test_the_command_writes_checkpoint_history_and_record(trained_base, packed_digits, digits_split):
    assert sorted(path.name for path in trained_base.iterdir()) == ["history.csv", "model.safetensors", "run.json"]
    card, network = load_network(trained_base / "model.safetensors")
    run = files.read_json(trained_base / "run.json")
    split = files.read_json(digits_split)
    with open(trained_base / "history.csv", newline="") as file:
        history = list(csv.DictReader(file))

    assert card.network == "baseA"
    assert card.architecture == AlexNet("tiny", 1, "batch", 0.5)
    assert card.shape == (1, 8, 8)
    assert card.classes == split["tasks"]["A"]["classes"]
    assert {"mean": card.mean, "std": card.std} == split["normalisation"]
    assert not network.training

    assert [(row["step"], row["images_seen"]) for row in history] == [("2", "64"), ("4", "128")]
    assert run["network"] == {
        "name": "baseA",
        "treatment": "base",
        "source": None,
        "n": 0,
        "target": "A",
        "fine_tune": False,
        "preserved": 0,
        "option": "",
    }
    assert run["parameters"]["seed"] == 3
    assert run["parameters"]["schedule"]["learning_rate"] == 0.03
    assert run["inputs"] == {str(digits_split): files.sha256(digits_split)}
    assert run["images"] == files.read_json(packed_digits / "card.json")["content"]
    assert run["code"] == provenance.fingerprint("training.job", "networks.alexnet")
    assert run["model_sha256"] == files.sha256(trained_base / "model.safetensors")
    assert run["images_seen"] == 128
    assert run["frozen"]["layers"] == 0


def test_the_command_crops_and_the_card_has_the_crops_shape(packed_digits, digits_split, tmp_path, monkeypatch):
    arguments = command(tmp_path, digits_split, packed_digits, ["baseA"], None)[3:]
    place = arguments.index("--augmentation") + 1
    arguments[place] = '{"padding": 0, "flip": false, "crop": 7}'
    monkeypatch.setattr(sys, "argv", ["training", *arguments])
    job.main()
    card, _ = load_network(tmp_path / "baseA/model.safetensors")
    assert card.shape == (1, 7, 7)
    assert files.read_json(tmp_path / "baseA/run.json")["parameters"]["augmentation"]["crop"] == 7

    arguments[place] = '{"padding": 1, "flip": false, "crop": 9}'
    monkeypatch.setattr(sys, "argv", ["training", *arguments])
    with pytest.raises(InputError) as error:
        job.main()
    assert str(error.value) == (
        "datasets.*.augmentation.crop is 9, more than the 8 pixels of the stored images; "
        "lower it, or raise datasets.*.images.size"
    )


def test_the_command_gives_the_same_files_twice(trained_base, packed_digits, digits_split, tmp_path):
    source = trained_base / "model.safetensors"
    for folder, names in ((tmp_path / "one", ["A1B", "A4B", "A7B"]), (tmp_path / "two", ["A7B", "A4B"])):
        done = execute(command(folder, digits_split, packed_digits, names, source))
        assert done.returncode == 0, done.stderr
        assert re.search("^step 4 of 4: mean loss .*; validation top-1 ", done.stderr, re.MULTILINE)
        assert done.stdout == ""
    for name in ("A4B", "A7B"):
        for file in ("model.safetensors", "history.csv"):
            assert (tmp_path / "one" / name / file).read_bytes() == (tmp_path / "two" / name / file).read_bytes()
    base = load_network(source)[1]
    run = files.read_json(tmp_path / "one/A4B/run.json")
    assert run["frozen"] == {"layers": 4, "sha256": state_hash(base[:4])}
    assert run["inputs"] == {str(digits_split): files.sha256(digits_split), str(source): files.sha256(source)}
    assert run["network"]["treatment"] == "transfer"


def test_the_command_ends_in_one_sentence_and_leaves_no_file(packed_digits, digits_split, tmp_path):
    missing = tmp_path / "baseA/model.safetensors"
    done = execute(command(tmp_path, digits_split, packed_digits, ["A4B"], missing))
    assert done.returncode == 1
    assert done.stderr == f"error: {missing}: there is no such checkpoint\n"
    assert not list(tmp_path.rglob("*.*"))


def test_a_source_of_another_architecture_is_named_with_the_network(
    trained_base, packed_digits, digits_split, tmp_path, monkeypatch
):
    source = trained_base / "model.safetensors"
    arguments = command(tmp_path, digits_split, packed_digits, ["A4B"], source)[3:]
    architecture = {"family": "tiny", "width": 2, "norm": "batch", "dropout": 0}
    arguments[arguments.index("--architecture") + 1] = json.dumps(architecture)
    monkeypatch.setattr(sys, "argv", ["training", *arguments])
    with pytest.raises(InputError, match=f"^A4B from {re.escape(str(source))}: the source is of another architecture"):
        job.main()


def test_a_source_that_is_another_base_is_refused(trained_base, packed_digits, digits_split, tmp_path):
    source = trained_base / "model.safetensors"
    done = execute(command(tmp_path, digits_split, packed_digits, ["B4A"], source))
    assert done.returncode == 1
    assert done.stderr == f"error: {source}: holds baseA, but B4A needs baseB\n"
    assert not (tmp_path / "B4A").exists()


def test_too_small_images_are_no_fault_of_a_source(packed_digits, digits_split, tmp_path, monkeypatch):
    arguments = command(tmp_path, digits_split, packed_digits, ["baseA"], None)[3:]
    architecture = {"family": "small", "width": 1, "norm": "batch", "dropout": 0}
    arguments[arguments.index("--architecture") + 1] = json.dumps(architecture)
    monkeypatch.setattr(sys, "argv", ["training", *arguments])
    with pytest.raises(InputError) as error:
        job.main()
    assert "images of 8×8 are too small for 'small'" in str(error.value)
    assert "from None" not in str(error.value)


@pytest.mark.parametrize(("names", "section"), [(["baseA"], "base"), (["R3A", "R5A"], "transferred")])
@pytest.mark.parametrize(
    "fault",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=["tensor", "context", "library"],
)
def test_a_full_gpu_says_what_to_lower(names, section, fault, packed_digits, digits_split, tmp_path, monkeypatch):
    def fill(*_: object) -> None:
        raise fault

    monkeypatch.setattr(sys, "argv", ["training", *command(tmp_path, digits_split, packed_digits, names, None)[3:]])
    monkeypatch.setattr(trials, "train", fill)
    with pytest.raises(InputError) as error:
        job.main()
    assert str(error.value) == (
        f"{', '.join(names)}: {len(names)} networks and batches of 32 images do not fit into the GPU's memory; "
        f'set jobs to "network", lower training.{section}.batch_size, or that of training.reduced if the split '
        "has a volume, or let fewer jobs share a GPU"
    )


# Devices


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(InputError) as error:
        choose_device("cuda", 1)
    assert str(error.value) == 'device: "cuda" was asked for, but torch sees no GPU here; use "auto" or "cpu"'


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_auto_is_the_cpu_where_there_is_no_gpu():
    assert choose_device("auto", 1) == CPU


def test_the_number_of_threads_is_as_asked():
    choose_device("cpu", 2)
    assert torch.get_num_threads() == 2
    choose_device("cpu", 1)
    assert torch.get_num_threads() == 1


# Against a classifier of the same features


def regularised(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray, decay: float) -> float:
    """What SGD with weight decay lowers: the mean cross-entropy, and half the decay times the squared weights."""
    entropy = functional.cross_entropy(torch.from_numpy(logits).double(), torch.from_numpy(labels)).item()
    return entropy + decay / 2 * float(np.square(weights).sum())


def test_a_frozen_network_that_has_converged_is_logistic_regression_on_its_features(tasks, bases):
    """A7B trains its head alone: with a decay of λ it nears A7B-logreg's with C = 1/(λN), which is at the minimum."""
    task, decay = tasks["B"], 0.03
    schedule = replace(SCHEDULE, steps=600, batch_size=64, learning_rate=0.3, warmup=20, weight_decay=decay)
    setup = replace(setup_of(task, schedule), augmentation=Augmentation(padding=0, flip=False))
    networks = start(["A7B"], BATCH_NORM, task, bases["batch norm"]["A"])
    train(learners_of(networks, schedule), setup, lambda line: None)
    network = networks["A7B"].eval()
    seen = {part: [images for images, _ in setup.batches_of(part)] for part in ("train", "test")}
    read = {part: cut_features(network, batches, [7, 8], Pooling("full")) for part, batches in seen.items()}
    labels = task.labels["train"]
    logreg = LinearPath("logreg", read["train"][7].astype(float), labels).fit(1 / (decay * len(labels)), final=True)
    least = regularised(logreg(read["train"][7]), labels, logreg.weights, decay)
    head = network[-1][0].weight.detach().numpy()
    assert 0 <= regularised(read["train"][8], labels, head, decay) - least < 1e-3
    # Logits, but for what is added to all of an image.
    given, fitted = (logits - logits.mean(1, keepdims=True) for logits in (read["test"][8], logreg(read["test"][7])))
    assert np.sqrt(np.square(given - fitted).mean()) < 0.05 * fitted.std()
