"""The golden run: a few steps of every treatment, held against the numbers that this code once gave.

It is done in double precision: in single precision a ReLU that one machine's rounding flips and another's does not
changes losses by a tenth within twelve steps.

A change of results is seen here, wherever it comes from. If it is meant, `python tests/test_golden.py` writes
golden.json anew; say in the changelog what changed.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import transferability
from transferability import files
from transferability.data.augmentation import Augmentation
from transferability.data.packed import open_packed
from transferability.data.packing import pack
from transferability.data.splits import make_split
from transferability.data.tasks import Task, open_task
from transferability.networks.notation import parse_network
from transferability.networks.stages import AlexNet
from transferability.training.learner import Learner
from transferability.training.loop import train
from transferability.training.optimizers import Schedule
from transferability.training.randomness import Draws
from transferability.training.setup import Setup
from transferability.training.sharing import share_frozen_stages
from transferability.training.start import start_network

torch.set_num_threads(1)

GOLDEN = Path(__file__).parent / "golden.json"
ARCHITECTURES = {
    # The default study's.
    "batch norm": AlexNet("tiny", 1, "batch", 0),
    "dropout": AlexNet("tiny", 1, "none", 0.5),
}
SCHEDULE = Schedule(
    steps=12,
    batch_size=64,
    learning_rate=0.03,
    warmup=3,
    decay="cosine",
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    bias_rate=1,
    validations=3,
    precision="fp32",
)
AUGMENTATION = Augmentation(padding=1, flip=False)
TRANSFERRED = {"A": ["A3B", "A6B", "A3B+", "A3B-k2"], "B": ["B3B", "B6B", "B3B+"], "R": ["R3B"]}
CHANGED = (
    "results have changed; if that is meant, make tests/golden.json anew with `python tests/test_golden.py` and say "
    "so in the changelog"
)


def golden_run(tasks: dict[str, Task]) -> dict[str, dict[str, list[dict]]]:
    """The histories of both bases and of transferred networks, by architecture and network."""
    histories = {}
    for kind, architecture in ARCHITECTURES.items():
        sources, found = {"R": None}, histories.setdefault(kind, {})
        for names in (["baseA"], ["baseB"], *TRANSFERRED.values()):
            task = tasks[parse_network(names[0]).target]
            draws = Draws(0, tuple(task.classes))
            source = sources.get(names[0][0])
            identities = [parse_network(name) for name in names]
            networks = [start_network(one, architecture, (1, 8, 8), draws, source, True) for one in identities]
            share_frozen_stages(networks, [identity.frozen for identity in identities])
            learners = [Learner(*pair, SCHEDULE) for pair in zip(identities, networks, strict=True)]
            train(learners, Setup(task, SCHEDULE, AUGMENTATION, draws, torch.device("cpu")), report=lambda line: None)
            found |= {learner.name: learner.history for learner in learners}
            sources |= {learner.name.removeprefix("base"): learner.network.state_dict() for learner in learners}
    return histories


@pytest.fixture
def double_precision() -> Iterator[None]:
    """New tensors are of 64 bits."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def given(row: dict) -> dict[str, float]:
    """A row of a history without what it leaves out."""
    return {name: value for name, value in row.items() if value is not None}


@pytest.mark.usefixtures("double_precision")
def test_results_are_as_they_were(packed_digits, digits_split):
    golden = json.loads(GOLDEN.read_text())
    histories = golden_run({side: open_task(digits_split, side, packed_digits) for side in "AB"})
    assert {kind: list(found) for kind, found in histories.items()} == {
        kind: list(found) for kind, found in golden.items()
    }
    for kind, found in histories.items():
        for name, rows in found.items():
            for row, expected in zip(rows, golden[kind][name], strict=True):
                where = f"{kind}, {name}, step {row['step']}"
                assert given(row) == pytest.approx(given(expected), rel=1e-6), f"{where}: {CHANGED}"


PROBE = """
import numpy, torch
from transferability import provenance
from transferability.networks.stages import AlexNet
from transferability.data.tasks import Task
from transferability.data.augmentation import Augmentation
from transferability.training.randomness import Draws
from transferability.training.optimizers import Schedule
from transferability.training.learner import Learner
from transferability.training.loop import train
from transferability.training.setup import Setup
from transferability.training.sharing import state_hash
from transferability.training.start import start_network
from transferability.networks.notation import parse_network

torch.set_num_threads(1)
images = numpy.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), dtype=numpy.uint8)
labels = numpy.arange(40) % 2
parts = ("train", "validation", "test")
task = Task(["a", "b"], dict.fromkeys(parts, images), dict.fromkeys(parts, labels), [0.5], [0.3])
draws = Draws(0, ("a", "b"))
architecture = AlexNet("tiny", 1, "batch", 0)
schedule = Schedule(4, 16, 0.03, 1, "cosine", 0.9, True, 5e-4, 1, 1, "fp32")
network = start_network(parse_network("baseA"), architecture, (1, 8, 8), draws, None, True)
setup = Setup(task, schedule, Augmentation(1, False), draws, torch.device("cpu"))
train([Learner(parse_network("baseA"), network, schedule)], setup, print)
print(provenance.PACKAGE, state_hash(network), provenance.fingerprint("training.job"))
"""


def test_an_edit_that_changes_results_changes_the_fingerprint_and_a_comment_neither(tmp_path):
    package = Path(transferability.__file__).parent
    line = "        return self.learning_rate * (1 + math.cos(math.pi * progress)) / 2\n"
    edits = {
        "as it is": line,
        "comment": f"        # Half a period.\n\n{line.rstrip()}  # At the end nearly 0.\n",
        "number": line.replace("math.pi *", "3.1 *"),
    }
    found = {}
    for name, edited in edits.items():
        copied = tmp_path / name / package.name
        shutil.copytree(package, copied, ignore=shutil.ignore_patterns("__pycache__"))
        source = (copied / "training/optimizers.py").read_text(encoding="utf-8")
        assert source.count(line) == 1
        (copied / "training/optimizers.py").write_text(source.replace(line, edited), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", PROBE],
            env=os.environ | {"PYTHONPATH": str(tmp_path / name)},
            capture_output=True,
            text=True,
            check=True,
        )
        folder, weights, fingerprint = done.stdout.splitlines()[-1].rsplit(" ", 2)
        assert folder == str(copied)
        found[name] = (weights, fingerprint)
    assert found["comment"] == found["as it is"]
    assert found["number"][0] != found["as it is"][0]
    assert found["number"][1] != found["as it is"][1]


def main() -> None:
    torch.set_default_dtype(torch.float64)
    with tempfile.TemporaryDirectory() as folder:
        packed, split = Path(folder) / "digits", Path(folder) / "random0.json"
        pack({"source": "digits", "size": 8, "channels": 1}, packed)
        parts = {"validation": 0.2, "test": 0.3, "seed": 0}
        files.write_json(split, make_split(open_packed(packed), {"kind": "random", "seed": 0}, {}, parts))
        files.write_json(GOLDEN, golden_run({side: open_task(split, side, packed) for side in "AB"}))


if __name__ == "__main__":
    main()
