"""What frozen stages give is computed once where nothing changes it, and the networks keep their bits."""

from dataclasses import replace

import pytest
import torch
from test_training import ARCHITECTURES, CPU, SCHEDULE, learners_of, start
from torch import nn

from transferability.data.augmentation import Augmentation
from transferability.data.tasks import open_task
from transferability.networks.treatments import freeze
from transferability.training import caching
from transferability.training.caching import cache_of, constant_part
from transferability.training.loop import train
from transferability.training.randomness import Draws
from transferability.training.setup import Setup

torch.set_num_threads(1)

PLAIN = Augmentation(padding=0, flip=False)
LONG = replace(SCHEDULE, steps=40, batch_size=64)
NAMES = ["A2B", "A5B", "A7B"]


@pytest.fixture(scope="module")
def task(packed_digits, digits_split):
    return open_task(digits_split, "B", packed_digits)


@pytest.fixture(scope="module")
def sources(task):
    """States of networks that stages are copied from, by the architecture's name."""
    return {
        kind: start(["baseB"], one, task, None, seed=9)["baseB"].state_dict() for kind, one in ARCHITECTURES.items()
    }


def setup_of(task, augmentation=PLAIN, schedule=LONG) -> Setup:
    return Setup(task, schedule, augmentation, Draws(0, tuple(task.classes)), CPU)


def networks_of(kind: str, task, sources) -> dict[str, nn.Sequential]:
    return start(NAMES, ARCHITECTURES[kind], task, sources[kind])


def trained(kind: str, task, sources) -> tuple[dict, int]:
    """The states of networks after training, and how often their first stage was passed."""
    networks, passed = networks_of(kind, task, sources), []
    learners = learners_of(networks, LONG)
    learners[0].network[0].register_forward_hook(lambda *_: passed.append(learners[0].network[0].training))
    train(learners, setup_of(task), lambda line: None)
    return {name: network.state_dict() for name, network in networks.items()}, len(passed)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_networks_are_the_same_with_and_without_what_is_kept(kind, task, sources, monkeypatch):
    kept, fewer = trained(kind, task, sources)
    monkeypatch.setattr(caching, "LIMIT", 0)
    plain, passes = trained(kind, task, sources)
    for name, state in plain.items():
        assert all(torch.equal(kept[name][key], tensor) for key, tensor in state.items()), name
    images = -(-len(task.labels["train"]) // LONG.batch_size)
    # Without: a pass a step, and the one that showed that it would be too much. With: all images once.
    assert passes - fewer == LONG.steps + 1 - images - caching.COMPARED
    assert fewer < passes


def test_nothing_is_kept_where_images_change_or_too_few_steps_follow(task, sources):
    learners = learners_of(networks_of("batch norm", task, sources), LONG)
    assert len(cache_of(learners, setup_of(task), 0).outputs) == 3
    assert cache_of(learners, setup_of(task, Augmentation(padding=1, flip=False)), 0).outputs == {}
    assert cache_of(learners, setup_of(task, Augmentation(padding=0, flip=True)), 0).outputs == {}
    assert cache_of(learners, setup_of(task), LONG.steps - 5).outputs == {}


def test_what_lies_behind_dropout_that_draws_is_computed_each_time(task, sources):
    network = networks_of("dropout", task, sources)["A7B"]
    assert len(constant_part(network[:7])) == 5
    freeze(network[:7], dropout=False)
    assert len(constant_part(network[:7])) == 7


def test_a_stage_that_gives_other_values_another_time_is_not_kept(task, sources):
    learners = learners_of(networks_of("batch norm", task, sources), LONG)
    learners[0].network[0].register_forward_hook(lambda module, inputs, outputs: outputs + 1e-6 * torch.rand(1))
    assert cache_of(learners, setup_of(task), 0).outputs == {}
