"""Recipes with patches: networks that learn what patches of images show, through the loop that trains all others."""

from pathlib import Path

import numpy as np
import pytest
import torch
from devkits import scattered, write_devkit
from making import NETWORKS, SCHEDULE, maker, weights

from transferability import files
from transferability.data.packed import open_packed
from transferability.data.packing import pack
from transferability.data.patched import PatchedTask
from transferability.data.patches import DROPPED, patch_labels
from transferability.data.patching import Patching
from transferability.data.splits import make_split
from transferability.data.tasks import MULTI, PATCHES
from transferability.errors import InputError
from transferability.evaluation.patched import evaluate_patches
from transferability.networks.checkpoints import load_network
from transferability.training.losses import OBJECTIVES
from transferability.training.precision import mean_average_precision
from transferability.training.resuming import Keeper

torch.set_num_threads(1)

CPU = torch.device("cpu")
RECIPE = {"hidden": [12, 10], "dropout": 0.25, "patches": {"scales": [1, 2], "overlap": 0.5}}
SPLIT = {"kind": "classes", "A": ["red", "green"], "B": ["blue", "white"]}


@pytest.fixture(scope="module")
def squares(tmp_path_factory) -> Path:
    """Coloured squares in noise, packed, and a split of them: red and green, blue and white."""
    folder = tmp_path_factory.mktemp("squares")
    year = write_devkit(folder / "devkit", scattered({"train": 60, "val": 24}))
    pack({"source": "voc", "path": str(year), "size": 16, "channels": 3}, folder / "packed")
    shares = {"validation": 0.25, "test": "val", "seed": 0, "shared": "both"}
    files.write_json(folder / "pair.json", make_split(open_packed(folder / "packed"), SPLIT, {}, shares))
    return folder


@pytest.fixture(scope="module")
def make(squares, tmp_path_factory):
    """Trains networks of some names by a recipe, into a folder, or one of its own; gives that."""
    augmentation = {"padding": 1, "flip": True}
    settings = {
        "split": squares / "pair.json",
        "packed": squares / "packed",
        "architecture": NETWORKS,
        "augmentation": augmentation,
    }
    return maker(tmp_path_factory.mktemp, SCHEDULE, **settings)


@pytest.fixture(scope="module")
def patched(squares) -> PatchedTask:
    """Task B, patch by patch."""
    return PatchedTask.open(squares / "pair.json", "B", squares / "packed", Patching((1, 2), seed=3))


def test_fused_is_separate_and_a_stopped_training_goes_on_to_the_same_bits(make, tmp_path, monkeypatch):
    names = ["A2B-oquab", "A5B-oquab"]
    together = make(names, RECIPE)
    saved, stopped = Keeper.save, []

    def stop(keeper, tensors, progress):
        saved(keeper, tensors, progress)
        if not stopped:
            stopped.append(progress["step"])
            raise SystemExit

    monkeypatch.setattr(Keeper, "due", lambda keeper: True)
    monkeypatch.setattr(Keeper, "save", stop)
    with pytest.raises(SystemExit):
        make(names[1:], RECIPE, into=tmp_path)
    make(names[1:], RECIPE, into=tmp_path)
    ours, theirs = weights(together, names[1]), weights(tmp_path, names[1])
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    history = f"{names[1]}/history.csv"
    assert (together / history).read_text() == (tmp_path / history).read_text()


def test_stages_below_the_cut_stay_as_copied_and_the_head_tells_classes_from_background(make):
    folder, source = make(["A5B-oquab"], RECIPE), weights(make(["baseA"]), "baseA")
    state = weights(folder, "A5B-oquab")
    kept = [name for name in source if name.startswith(("conv", "norm"))]
    assert len(kept) > 10
    assert all(torch.equal(state[name], source[name]) for name in kept)
    card, network = load_network(folder / "A5B-oquab/model.safetensors")
    assert card.classes == ["blue", "white", "background"]
    assert card.hidden == (12, 10)
    assert Patching.of(card.patches) == Patching((1, 2), seed=3)
    assert network(torch.zeros(2, 3, 16, 16)).shape == (2, 3)
    assert files.read_json(folder / "A5B-oquab/run.json")["frozen"]["layers"] == 5


@pytest.mark.parametrize("name", ["A2B+-oquab", "baseB-patched"])
def test_fine_tuned_and_base_networks_learn_patches_too(make, name, patched):
    recipe = {"patches": RECIPE["patches"]} if name.startswith("base") else RECIPE
    folder = make([name], recipe)
    metrics = evaluate_patches(folder / name / "model.safetensors", patched, CPU)
    assert metrics["network"] == name
    assert 0 < metrics["test"]["map"] <= 1


def test_what_is_learnt_are_patches_with_what_boxes_say_of_them(patched):
    task = patched.to_learn((3, 12, 12))
    assert (task.kind, task.classes) == (PATCHES, ["blue", "white", "background"])
    lessons = patched.lessons("train")
    assert len(task.images["train"]) == len(task.labels["train"]) == sum(len(rows) for rows, _ in lessons)
    assert task.images["train"][np.array([5, 0])].shape == (2, 3, 12, 12)
    counts = np.bincount(task.labels["train"], minlength=3)
    assert counts.tolist() == list(patched.shown("train").values())
    # A tenth of the background is drawn, all that shows a square is taken.
    labels = np.concatenate([patch_labels(patched.corners, each, 2) for each in patched.objects["train"]])
    assert counts[:2].tolist() == [(labels == 0).sum(), (labels == 1).sum()]
    assert 0.02 < counts[2] / (labels == 2).sum() < 0.2
    told, images = task.labels["validation"], len(patched.task.labels["validation"])
    assert told.shape == (images * len(patched.grid), 2 + 2)
    assert np.array_equal(told[:: len(patched.grid), 2:], patched.task.labels["validation"])
    assert (told[:, 0] != DROPPED).sum() == sum(patched.shown("validation").values())


def test_networks_are_validated_by_the_mean_of_an_images_patches_and_the_loss_of_those_that_show_one_thing():
    tally, logits = OBJECTIVES[PATCHES].tally(), torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    # Two images of three patches, of two classes and background.
    shown = torch.tensor([[0, 0, 1, 0], [-1, 0, 1, 0], [2, 0, 1, 0], [1, 1, 0, 1], [1, 1, 0, 1], [-1, 1, 0, 1]])
    for part in (slice(0, 4), slice(4, 6)):
        tally.add(logits[part], shown[part].int())
    loss, precision = tally.result()
    sure = logits.log_softmax(1)[[0, 2, 3, 4], [0, 2, 1, 1]]
    assert loss == pytest.approx(-sure.mean().item())
    values = logits.softmax(1)[:, :2].reshape(2, 3, 2).mean(1).numpy()
    assert precision == pytest.approx(mean_average_precision(values, np.array([[1, 0], [0, 1]])))


def test_the_metrics_are_those_of_patches_read_one_by_one(make, patched):
    path = make(["A5B-oquab"], RECIPE) / "A5B-oquab/model.safetensors"
    metrics = evaluate_patches(path, patched, CPU)
    card, network = load_network(path)
    values, images = {}, patched.task.images
    for part in ("validation", "test"):
        each = []
        for index in range(len(images[part])):
            rows = np.stack([np.full(len(patched.grid), index), np.arange(len(patched.grid))], axis=1)
            patches = torch.from_numpy(patched.images_of(part, rows, card.shape)[np.arange(len(rows))]).float() / 255
            seen = (patches - torch.tensor(card.mean).view(3, 1, 1)) / torch.tensor(card.std).view(3, 1, 1)
            with torch.no_grad():
                each.append(network(seen).softmax(1)[:, :2].double().numpy())
        values[part] = np.stack(each)
    precisions = {
        power: mean_average_precision((values["validation"] ** power).mean(1), patched.task.labels["validation"])
        for power in patched.patching.powers
    }
    block = metrics["patches"]
    assert precisions[block["power"]] == pytest.approx(max(precisions.values()))
    test = mean_average_precision((values["test"] ** block["power"]).mean(1), patched.task.labels["test"])
    assert metrics["test"]["map"] == pytest.approx(test)
    assert (metrics["labels"], metrics["classes"], block["per_image"]) == ("several", 2, 1 + 3 * 3)
    assert block["learnt"] == patched.shown("train")
    assert metrics["test"]["loss"] is None
    assert len(metrics["thresholds"]) == 2


def test_a_network_of_other_classes_is_refused(make, squares):
    path = make(["A5B-oquab"], RECIPE) / "A5B-oquab/model.safetensors"
    other = PatchedTask.open(squares / "pair.json", "A", squares / "packed", Patching((1, 2), seed=3))
    assert other.task.kind == MULTI
    with pytest.raises(InputError, match="trained on another task than the split's"):
        evaluate_patches(path, other, CPU)


def test_patches_that_show_no_class_alone_are_refused_before_training(make):
    with pytest.raises(InputError, match="no patch of a training image shows 'blue' alone; allow touching"):
        make(["A5B-oquab"], {"hidden": [4], "patches": {"scales": [1]}})
