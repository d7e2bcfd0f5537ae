"""Families: what layers hold and compute, against the networks that torch builds from them."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from transferability.errors import InputError
from transferability.networks.building import build_network
from transferability.networks.families import FAMILIES, family_stages
from transferability.networks.stages import AlexNet

torch.set_num_threads(1)

CASES = [
    (AlexNet("tiny", 1, "batch", 0), (1, 8, 8), 5),
    (AlexNet("tiny", 0.3, "none", 0), (3, 13, 13), 2),
    (AlexNet("small", 0.5, "batch", 0), (3, 64, 64), 40),
    (AlexNet("small", 1, "none", 0), (1, 32, 32), 10),
    (AlexNet("full", 0.25, "batch", 0.5), (3, 224, 224), 100),
    (AlexNet("caffenet", 1, "none", 0.5), (3, 227, 227), 500),
    (AlexNet("caffenet", 0.1, "none", 0), (3, 231, 231), 3),
]


def test_every_family_is_tested():
    assert {architecture.family for architecture, _, _ in CASES} == set(FAMILIES)


@pytest.mark.parametrize(("architecture", "shape", "classes"), CASES)
def test_layers_are_told_as_torch_builds_and_runs_them(architecture, shape, classes):
    network = build_network(architecture, shape, classes).eval()
    features = torch.zeros(1, *shape)
    for layer, told in zip(network, family_stages(architecture, shape, classes), strict=True):
        weights = next(module for module in layer if isinstance(module, nn.Conv2d | nn.Linear))
        passed = []
        hook = weights.register_forward_hook(lambda _, given, values, passed=passed: passed.append((*given, values)))
        with torch.no_grad():
            features = layer(features)
            hook.remove()
            [(given, values)] = passed
            with FlopCounterMode(display=False) as counter:
                weights(given)
        assert told.shape == tuple(features.shape[1:])
        assert told.parameters == sum(parameter.numel() for parameter in layer.parameters())
        assert told.buffers == sum(buffer.numel() * buffer.element_size() for buffer in layer.buffers())
        assert 2 * told.multiply_adds == counter.get_total_flops()
        assert told.outputs == values.numel()


@pytest.mark.parametrize("family", FAMILIES)
def test_sizes_agree_with_torch_at_every_size_of_image(family):
    """What is left of an image fits the first linear layer, and no size is let through that torch cannot run."""
    architecture = AlexNet(family, 0.02, "none", 0)
    for size in range(40, 90):
        try:
            network = build_network(architecture, (1, size, size), 2)
        except InputError:
            continue
        with torch.no_grad():
            assert network(torch.zeros(1, 1, size, size)).shape == (1, 2)


def test_planning_needs_no_torch():
    code = (
        "import json, sys, transferability.networks.families; "
        "print(json.dumps([name for name in ('torch', 'numpy', 'pandas') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
