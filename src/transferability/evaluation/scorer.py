"""Scorer: what has learnt patches, with the stages below, as one fully convolutional ONNX file that gives score maps.

    python -m transferability.evaluation.scorer --metrics results/photos/resnet18/all/seed0/P8A-patches.json \\
        --split data/splits/photos/all.json --packed data/packed/photos \\
        --model models/pretrained/resnet18/model.safetensors --shape 3 224 224 --into scorer.onnx

The metrics say what it is: a network that a recipe has taught patches, or a probe, whose layers learn again, from the
same patches to the same weights. The file takes whole images resized to squares, uint8, and gives `map` (n, classes,
lines, columns): the probability of each class at each place, of the patch that begins so many strides from the left
upper corner. An image scores the mean over places of the map to a power. onnxruntime is held against torch on test
images before the file is written.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from transferability import files, provenance
from transferability.data.batches import normalise
from transferability.data.packed import Images
from transferability.data.patched import PatchedTask
from transferability.data.patches import resized
from transferability.data.patching import Patching
from transferability.devices import choose_device
from transferability.errors import InputError, exit_plainly
from transferability.evaluation.adaptation import Adaptation
from transferability.evaluation.adapting import Reader, learn, scores_of
from transferability.evaluation.convolutional import Pyramid, Scorer, difference_from_patches, read_images
from transferability.evaluation.export import COMPARED, agrees, form_of, run_both, to_onnx
from transferability.evaluation.features import Source
from transferability.evaluation.metrics import SCORED
from transferability.evaluation.patch_scores import PatchScores
from transferability.evaluation.pooling import Pooling
from transferability.evaluation.thresholds import mean_f1, thresholds_of
from transferability.forms.metrics import read_metrics
from transferability.forms.packed import PackedCard
from transferability.networks.checkpoints import load_network


def patching_of(metrics: dict, path: Path) -> Patching:
    """The patches that metrics say are read; those of what reads none are an InputError."""
    if "patches" in metrics:
        return Patching.of(metrics["patches"])
    if metrics.get("probe", {}).get("classifier") != "patches":
        raise InputError(f"{path}: {metrics['network']} reads no patches, so it gives no maps")
    return Adaptation.of(metrics["probe"])


@dataclass(frozen=True)
class Scored:
    """A scorer, and what gives the scores (P, K) of patches uint8 (P, C, h, w) one by one."""

    scorer: Scorer
    one_by_one: Callable[[Tensor], np.ndarray]

    @classmethod
    def of(cls, source: Source, metrics: dict, patched: PatchedTask) -> "Scored":
        """That of a network that has learnt patches, or of layers, learnt anew, on stages of one."""
        if not isinstance(patched.patching, Adaptation):
            return cls(Scorer.of_network(source.network, source.card), scores_of_network(source))
        n, pooling = metrics["n"], Pooling(**metrics["probe"]["pooling"])
        reader = Reader(source, [n], pooling)
        layers = learn(reader, patched, patched.patching)
        return cls(Scorer.of(source, n, pooling, layers[n]), scores_of(reader, layers, n))


def scores_of_network(source: Source) -> Callable[[Tensor], np.ndarray]:
    """What gives the scores (P, K) of patches uint8 (P, C, h, w) by a network, without background."""

    @torch.no_grad()
    def read(patches: Tensor) -> np.ndarray:
        seen = normalise(patches, source.card.mean, source.card.std, source.card.channels)
        return source.network(seen).softmax(dim=1)[:, :-1].numpy()

    return read


def prepared_form(packed: Path, side: int) -> dict[str, str]:
    """What the metadata say of images that the file takes: pixels a side, and how they become squares."""
    card = files.read_json(packed / "card.json", PackedCard)
    return {"size": str(side), "square": card["square"], "interpolation": card["interpolation"]}


def decision_of(scorer: Scorer, patched: PatchedTask, pyramid: Pyramid) -> dict[str, str]:
    """What the metadata say of whole images: the power and the thresholds that validation images chose for the file's
    own maps, and the mean F1 of that on test images."""
    cpu, labels = torch.device("cpu"), patched.task.labels
    scores = {part: read_images(scorer, patched.task.images[part], pyramid, cpu) for part in SCORED}
    read = PatchScores.of(patched, scores, pyramid.corners)
    thresholds = thresholds_of(read.image_scores("validation"), labels["validation"])
    f1 = mean_f1(read.image_scores("test"), labels["test"], thresholds)
    return {"power": f"{read.power:g}", "thresholds": json.dumps(thresholds), "test_f1": f"{f1:.4f}"}


def compare_maps(model: onnx.ModelProto, scorer: Scorer, shape: tuple[int, int, int], images: Images) -> dict:
    """How onnxruntime and torch agree on maps of some images, resized to a shape; a mismatch is a RuntimeError."""
    some = images[np.linspace(0, len(images) - 1, min(COMPARED, len(images))).astype(np.int64)]
    ours, theirs = run_both(model, scorer, shape, resized(torch.from_numpy(np.asarray(some)), shape[1]).numpy())
    difference = float(np.abs(ours - theirs).max())
    if not agrees(ours, theirs):
        raise RuntimeError(f"onnxruntime and torch differ by {difference:.3g} in the maps of {len(ours)} images")
    return {"images": len(ours), "map": list(ours.shape[1:]), "max_abs_difference": difference}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Export adaptation layers as a fully convolutional scorer.")
    parser.add_argument(
        "--metrics", type=Path, required=True, help="metrics of a network, or a probe, that reads patches"
    )
    parser.add_argument("--split", type=Path, required=True, help="the split's file")
    parser.add_argument("--packed", type=Path, required=True, help="folder of the packed data set")
    parser.add_argument(
        "--model", type=Path, required=True, help="checkpoint of that network, or of the one whose stages are read"
    )
    parser.add_argument("--shape", type=int, nargs=3, help="C H W of a patch; the model's own if missing")
    parser.add_argument(
        "--scale", type=float, help="the image's side by that of a patch; the stored image's if missing"
    )
    parser.add_argument("--into", type=Path, required=True, help="the ONNX file to write")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    cpu = choose_device("cpu", threads=1)
    metrics = read_metrics(arguments.metrics)
    patching = patching_of(metrics, arguments.metrics)
    if files.sha256(arguments.model) != metrics["model_sha256"]:
        raise InputError(f"{arguments.model}: {arguments.metrics} is of another network's stages; name that one")
    card, network = load_network(arguments.model, arguments.shape and tuple(arguments.shape))
    patched = PatchedTask.open(arguments.split, metrics["target"], arguments.packed, patching)
    scored, images = Scored.of(Source(network, card, cpu), metrics, patched), patched.task.images["test"]
    scorer = scored.scorer
    pyramid = Pyramid.of(scorer, [arguments.scale or images.shape[2] / scorer.patch])
    shape = (card.shape[0], pyramid.sides[0], pyramid.sides[0])
    identity = {
        **{name: metrics[name] for name in ("network", "model_sha256")},
        "classes": json.dumps(patched.task.classes),
        "patch": str(scorer.patch),
        "stride": str(scorer.stride),
        **decision_of(scorer, patched, pyramid),
        **prepared_form(arguments.packed, pyramid.sides[0]),
    }
    model = to_onnx(scorer, shape, "map", identity)
    told = {
        **compare_maps(model, scorer, shape, images),
        "difference": difference_from_patches(scorer, scored.one_by_one, images, shape[1], cpu),
        "versions": provenance.versions("onnx", "onnxruntime"),
    }
    arguments.into.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(arguments.into) as temporary:
        onnx.save_model(model, temporary)
    print(json.dumps(identity | form_of(model) | told))


if __name__ == "__main__":
    exit_plainly(main)
