"""Broken files: whatever is wrong with a file between jobs, its reader answers with one sentence that names it."""

import copy
import json
import random
import struct
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from transferability import files
from transferability.analysis.gathering import read_network, split_columns
from transferability.analysis.scores import read_scores
from transferability.analysis.tables import LEARNING_COLUMNS, NETWORK_COLUMNS, read_table, shape_table, write_table
from transferability.cluster.hours import spent_hours
from transferability.data.packed import open_packed
from transferability.data.tasks import open_task
from transferability.errors import InputError
from transferability.evaluation.metrics import evaluate
from transferability.figures.pretraining import pretraining_facts
from transferability.forms.description import Description
from transferability.forms.metrics import Metrics
from transferability.forms.network import NetworkCard
from transferability.forms.packed import PackedCard
from transferability.forms.pretrained import Pretrained
from transferability.forms.run import Run
from transferability.forms.scores import Scores
from transferability.forms.split import Split
from transferability.networks.alexnet import initialise
from transferability.networks.building import build_network
from transferability.networks.checkpoints import KEY, Card, load_network, read_checkpoint, save_checkpoint
from transferability.networks.stages import AlexNet, read_stages
from transferability.training.history import read_history

ARCHITECTURE = AlexNet("tiny", 1, "batch", 0.5)
HISTORY = """step,images_seen,learning_rate,train_loss,validation_loss,validation_top1,test_top1
2,64,0.03,1.5,1.4,0.25,
4,128,0.015,0.5,0.6,0.75,0.5
"""
HASH = "0" * 64
RUN = {
    "network": {"name": "baseA", "treatment": "base", "source": None, "n": 0, "target": "A"},
    "model_sha256": HASH,
    "parameters": {"architecture": {}, "seed": 0},
    "inputs": {"data/splits/digits/random0.json": HASH},
    "code": "0123456789abcdef",
    "versions": {"python": "3.12", "machine": "x86_64", "torch": "2.11"},
    "device": "cpu",
    "threads": 1,
    "git": None,
    "images_seen": 128,
    "job": {"networks": 1, "seconds": 2.5, "training_seconds": 2.0},
}
PRETRAINED = {
    "weights": "IMAGENET1K_V1",
    "sha256": HASH,
    "preprocessing": {
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "size": 224,
        "crop": 0.875,
        "interpolation": "bilinear",
        "channels": "rgb",
    },
}
SCORED = {"value": 0.5, "null": 0.1, "null_deviation": 0.02, "seconds": 0.1, "reason": None}
SCORES = {
    "network": "A5B-scores",
    "treatment": "transfer-scores",
    "source": "A",
    "n": 5,
    "target": "B",
    "stage": "conv5",
    "head_stage": "fc8",
    "depth": 8,
    "seen": False,
    "images": 400,
    "values": 64,
    "source_classes": 5,
    "pooling": {"kind": "gap"},
    "permutations": 10,
    "seed": 0,
    "pass_seconds": 0.5,
    "scores": {"ridge": SCORED},
    "head": {"leep": SCORED},
}
STAGE = {"name": "stem", "shape": [64, 8, 8], "parameters": 10, "buffers": 0, "multiply_adds": 10, "outputs": 10}
DESCRIPTION = {"definition": {"name": "resnet18"}, "versions": {"torchvision": "0.26"}, "stages": [STAGE, STAGE]}
WRONG: tuple[object, ...] = ([], {}, "x", "", -1, 1.5, True, 10**30, None)
"""Values of which some fit no field, each of another kind."""


def plain(kind: object) -> object:
    """A kind of values without its limits."""
    return plain(typing.get_args(kind)[0]) if typing.get_origin(kind) is typing.Annotated else kind


def alternatives(kind: object) -> tuple:
    """The kinds that a field may have: those of a union, or the one."""
    kind = plain(kind)
    return typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)


def fits(value: object, kind: object) -> bool:
    """Whether a value of WRONG may stand in a field after all, told from the kind alone, without its limits."""
    for one in alternatives(kind):
        origin = typing.get_origin(one) or one
        if value is None or one is type(None):
            fitting = value is None and one is type(None)
        elif origin is float:
            fitting = type(value) in (int, float)
        elif origin is tuple or typing.is_typeddict(origin):
            fitting = False
        else:
            fitting = type(value) is origin
        if fitting:
            return True
    return False


def fields(form: type, content: dict, place: tuple = ()) -> Iterator[tuple[tuple, object]]:
    """The places of all fields that a form requires, with their kinds, through the records in records."""
    for name, kind in typing.get_type_hints(form, include_extras=True).items():
        if name not in form.__required_keys__:
            continue
        yield (*place, name), kind
        value = content[name]
        for part in alternatives(kind):
            if typing.is_typeddict(part) and value is not None:
                yield from fields(part, value, (*place, name))
            elif typing.get_origin(part) is dict and typing.is_typeddict(plain(typing.get_args(part)[1])):
                key = sorted(value)[0]
                yield from fields(plain(typing.get_args(part)[1]), value[key], (*place, name, key))
            elif typing.get_origin(part) is list and typing.is_typeddict(plain(typing.get_args(part)[0])):
                yield from fields(plain(typing.get_args(part)[0]), value[0], (*place, name, 0))


def changed(content: dict, place: tuple, change: Callable[[dict, object], None]) -> dict:
    """A copy of content, changed in one place."""
    content = copy.deepcopy(content)
    parent = content
    for key in place[:-1]:
        parent = parent[key]
    change(parent, place[-1])
    return content


def broken_contents(form: type, content: dict) -> Iterator[tuple[str, str]]:
    """JSON that is of no such form, a field at a time: left out, or of another kind."""
    for place, kind in fields(form, content):
        yield f"without {place}", json.dumps(changed(content, place, lambda parent, key: parent.pop(key)))
        for value in WRONG:
            if not fits(value, kind):
                wrong = changed(content, place, lambda parent, key, value=value: parent.update({key: value}))
                yield f"{place} is {value!r}", json.dumps(wrong)


def broken_texts(text: str) -> Iterator[tuple[str, bytes]]:
    """Bytes that are no whole JSON object: cut off, empty, of another form, or with what JSON does not have."""
    data = text.encode()
    draw = random.Random(0)
    for _ in range(8):
        end = draw.randrange(1, len(data.rstrip()))
        yield f"cut off at {end}", data[:end]
    yield "empty", b""
    yield "zeros", bytes(len(data))
    yield "a list", b"[" + data + b"]"
    yield "a number of 5,000 digits", b'{"a": ' + b"1" * 5000 + b"}"
    yield "thousands of brackets", b"[" * 100_000
    yield "not UTF-8", b'{"a": "\xff"}'
    yield "not a number", b'{"a": NaN}'
    yield "infinity", data.rstrip()[:-1] + b', "a": Infinity}'


@pytest.fixture(scope="module")
def network(packed_digits, digits_split, tmp_path_factory) -> Path:
    """A network B3A of untrained weights with its history and its metrics."""
    task = open_task(digits_split, "A", packed_digits)
    built = build_network(ARCHITECTURE, (1, 8, 8), 5)
    initialise(built, ARCHITECTURE, lambda n: n - 1)
    path = tmp_path_factory.mktemp("models") / "B3A" / "model.safetensors"
    save_checkpoint(path, built, Card("B3A", ARCHITECTURE, (1, 8, 8), task.classes, task.mean, task.std))
    (path.parent / "history.csv").write_text(HISTORY)
    files.write_json(path.parent / "B3A.json", evaluate(path, task, [90] * 5, torch.device("cpu")))
    return path.parent


def sentence_of(read: Callable[[], object], name: str, fault: str) -> None:
    """Hold that a reader refuses what it reads with one sentence that names the file."""
    try:
        read()
    except InputError as error:
        said = str(error)
    else:
        pytest.fail(f"{name}, {fault}: nobody says a word")
    assert name in said, fault
    assert "\n" not in said, fault
    assert len(said) < 1000, fault


def hold(path: Path, form: type, content: dict, read: Callable[[], object], least: int) -> None:
    """Break a file in every way, and hold that its reader says each time what is wrong; it reads the whole file."""
    files.write_json(path, content)
    read()
    whole = path.read_text()
    faults = [(fault, text.encode()) for fault, text in broken_contents(form, content)] + list(broken_texts(whole))
    for fault, data in faults:
        if data != whole.encode():
            path.write_bytes(data)
            sentence_of(read, path.name, fault)
    assert len(faults) >= least


def test_a_broken_card_of_packed_images_is_said(packed_digits, tmp_path):
    folder = tmp_path / "digits"
    folder.mkdir()
    for name in ("index.csv", "images.npy"):
        (folder / name).symlink_to(packed_digits / name)
    content = files.read_json(packed_digits / "card.json")
    hold(folder / "card.json", PackedCard, content, lambda: open_packed(folder), 60)


def test_a_broken_split_is_said(packed_digits, digits_split, tmp_path):
    path = tmp_path / "random0.json"
    content = files.read_json(digits_split)
    hold(path, Split, content, lambda: (open_task(path, "A", packed_digits), split_columns(path)), 80)


def test_a_broken_record_of_a_network_is_said(tmp_path):
    path = tmp_path / "run.json"
    hold(path, Run, RUN, lambda: spent_hours([path]), 140)


def test_broken_metrics_are_said(network, tmp_path):
    path = tmp_path / "B3A.json"
    shared = {"dataset": "digits", "architecture": "tiny", "split": "random0", "seed": 0, "volume": {}}
    shared |= {"kind": "random", "synset_distance": None, "a_distance": None}
    hold(path, Metrics, files.read_json(network / "B3A.json"), lambda: read_network(path, shared), 180)


def test_broken_scores_are_said(digits_split, tmp_path):
    path = tmp_path / "digits/tiny/random0/seed0/A5B-scores.json"
    grid = {"seed": [0], "networks": {"random0": ["A5B-scores"]}}
    hold(path, Scores, SCORES, lambda: read_scores(tmp_path / "digits/tiny", grid, digits_split.parent), 140)


def test_a_broken_record_of_pretrained_weights_is_said(tmp_path):
    path = tmp_path / "run.json"
    hold(path, Pretrained, PRETRAINED, lambda: pretraining_facts(path), 70)


def test_a_broken_description_of_an_architecture_is_said(tmp_path):
    path = tmp_path / "3x32x32.json"
    hold(path, Description, DESCRIPTION, lambda: read_stages(path), 60)


def test_a_broken_card_of_a_checkpoint_is_said(network, tmp_path):
    path = tmp_path / "model.safetensors"
    card, state = read_checkpoint(network / "model.safetensors")
    content = json.loads(card.to_json())
    for fault, text in broken_contents(NetworkCard, content):
        path.write_bytes(save(state, {KEY: text}))
        sentence_of(lambda: load_network(path), path.name, fault)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_said(network, tmp_path, value):
    path = tmp_path / "model.safetensors"
    card, state = read_checkpoint(network / "model.safetensors")
    name = next(name for name, tensor in state.items() if tensor.is_floating_point())
    state[name].view(-1)[-1] = value
    path.write_bytes(save(state, {KEY: card.to_json()}))
    with pytest.raises(InputError, match=f"model.safetensors: its weights {name} are not all numbers"):
        read_checkpoint(path)


def test_a_broken_checkpoint_is_said(network, tmp_path):
    path = tmp_path / "model.safetensors"
    data = (network / "model.safetensors").read_bytes()
    draw = random.Random(0)
    faults = [data[: draw.randrange(len(data))] for _ in range(30)]
    faults += [b"", bytes(100), struct.pack("<Q", 2**62) + data[8:], data[:8] + b"x" * 50 + data[58:], data + b"x"]
    for number, broken in enumerate(faults):
        path.write_bytes(broken)
        sentence_of(lambda: load_network(path), path.name, f"fault {number}")


def test_a_broken_history_is_said(tmp_path):
    path = tmp_path / "history.csv"
    lines = HISTORY.splitlines()
    names = lines[0].split(",")
    faults = ["", lines[0], "\n".join([*lines, lines[2]]), HISTORY.replace("0.5\n", "\n"), "\x00" * 200]
    for number, line in ((1, lines[1]), (2, lines[2])):
        cells = line.split(",")
        for index, name in enumerate(names):
            wrong = ("x", "1e999999x", "nan", "") if name != "test_top1" else ("x", "nan")
            for value in wrong:
                changed_line = ",".join([*cells[:index], value, *cells[index + 1 :]])
                faults.append("\n".join([*lines[:number], changed_line, *lines[number + 1 :]]) + "\n")
        faults.append("\n".join([*lines[:number], ",".join(cells[:-2]), *lines[number + 1 :]]))
        faults.append("\n".join([*lines[:number], f"{line},1", *lines[number + 1 :]]))
    for index in range(len(names)):
        faults.append(
            "\n".join(",".join(part for i, part in enumerate(line.split(",")) if i != index) for line in lines)
        )
    for text in faults:
        path.write_text(text)
        sentence_of(lambda: read_history(path), path.name, text)
    assert len(faults) >= 60


@pytest.mark.parametrize(("columns", "name"), [(NETWORK_COLUMNS, "networks.csv"), (LEARNING_COLUMNS, "learning.csv")])
def test_a_broken_table_is_said(tmp_path, columns, name):
    path = tmp_path / name
    row = {column: {"object": "x", "bool": True}.get(kind, 1) for column, kind in columns.items()}
    write_table(path, shape_table([row], columns))
    read_table(path, columns)
    header, line = path.read_text().splitlines()
    cells = line.split(",")
    faults = ["", "\x00" * 50, f'{header}\n"{line}', f"{header}\n{line},1,2\n", f"{header}\n{line}\n{line}\n"]
    for index, kind in enumerate(columns.values()):
        left = [part for number, part in enumerate(header.split(",")) if number != index]
        faults.append(",".join(left) + "\n" + ",".join(cells[:index] + cells[index + 1 :]) + "\n")
        if kind not in ("object", "str"):
            faults.append(f"{header}\n{','.join([*cells[:index], 'x', *cells[index + 1 :]])}\n")
    for text in faults:
        path.write_text(text)
        sentence_of(lambda: read_table(path, columns), path.name, text)


@pytest.mark.parametrize(
    "form",
    [PackedCard, Split, Description, Pretrained, Run, NetworkCard, Metrics, Scores],
    ids=lambda form: form.__name__,
)
def test_the_docs_name_every_field_of_a_form(form):
    lines = (Path(__file__).parent.parent / "docs/files.md").read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in lines if f"| `{form.__name__}` |" in line]
    assert [name for name in form.__annotations__ if f"`{name}`" not in row] == []
