"""Scorer: adaptation layers, and the stages that they read, as one fully convolutional ONNX file that gives score maps.

    python -m transferability.evaluation.scorer --metrics results/photos/resnet18/all/seed0/P8A-patches.json \\
        --split data/splits/photos/all.json --packed data/packed/photos \\
        --model models/pretrained/resnet18/model.safetensors --shape 3 224 224 --into scorer.onnx

The metrics say what the layers are; they learn again, from the same patches to the same weights. The file takes whole
images resized to squares, uint8, and gives `map` (n, classes, lines, columns): the probability of each class at each
place, of the patch that begins so many strides from the left upper corner. An image scores the mean over places of the
map to a power. onnxruntime is held against torch on test images before the file is written.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch

from transferability import files, provenance
from transferability.data.packed import Images
from transferability.devices import choose_device
from transferability.errors import InputError, exit_plainly
from transferability.evaluation.adaptation import Adaptation
from transferability.evaluation.adapting import (
    PatchedTask,
    Reader,
    best_power,
    difference_from_patches,
    first_image,
    image_scores,
    learn,
)
from transferability.evaluation.convolutional import Pyramid, Scorer, read_images
from transferability.evaluation.export import COMPARED, agrees, form_of, run_both, to_onnx
from transferability.evaluation.features import Source
from transferability.evaluation.patches import resized
from transferability.evaluation.pooling import Pooling
from transferability.evaluation.thresholds import mean_f1, thresholds_of
from transferability.forms.metrics import read_metrics
from transferability.forms.packed import PackedCard
from transferability.networks.checkpoints import load_network


def probe_of(metrics: dict, path: Path) -> tuple[Adaptation, Pooling]:
    """What the metrics of adaptation layers say of them; those of anything else are an InputError."""
    block = metrics.get("probe", {})
    if block.get("classifier") != "patches":
        raise InputError(f"{path}: {metrics['network']} is no probe that reads patches, so it gives no maps")
    section = {name: block[name] for name in Adaptation.__dataclass_fields__}
    lists = {name: tuple(value) for name, value in section.items() if isinstance(value, list)}
    return Adaptation(**section | lists), Pooling(**block["pooling"])


def prepared_form(packed: Path, side: int) -> dict[str, str]:
    """What the metadata say of images that the file takes: pixels a side, and how they become squares."""
    card = files.read_json(packed / "card.json", PackedCard)
    return {"size": str(side), "square": card["square"], "interpolation": card["interpolation"]}


def decision_of(scorer: Scorer, patched: PatchedTask, adaptation: Adaptation, pyramid: Pyramid) -> dict[str, str]:
    """What the metadata say of whole images: the power and the thresholds that validation images chose for the file's
    own maps, and the mean F1 of that on test images."""
    cpu, task = torch.device("cpu"), patched.task
    scores = {part: read_images(scorer, task.images[part], pyramid, cpu) for part in ("validation", "test")}
    power = best_power(scores["validation"], task.labels["validation"], adaptation.powers)
    values = {part: image_scores(own, power) for part, own in scores.items()}
    thresholds = thresholds_of(values["validation"], task.labels["validation"])
    f1 = mean_f1(values["test"], task.labels["test"], thresholds)
    return {"power": f"{power:g}", "thresholds": json.dumps(thresholds), "test_f1": f"{f1:.4f}"}


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
    parser.add_argument("--metrics", type=Path, required=True, help="metrics of a probe that reads patches")
    parser.add_argument("--split", type=Path, required=True, help="the split's file")
    parser.add_argument("--packed", type=Path, required=True, help="folder of the packed data set")
    parser.add_argument("--model", type=Path, required=True, help="checkpoint of the network whose stages are read")
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
    adaptation, pooling = probe_of(metrics, arguments.metrics)
    if files.sha256(arguments.model) != metrics["model_sha256"]:
        raise InputError(f"{arguments.model}: {arguments.metrics} is of another network's stages; name that one")
    card, network = load_network(arguments.model, arguments.shape and tuple(arguments.shape))
    patched = PatchedTask.open(arguments.split, metrics["target"], arguments.packed, adaptation)
    reader = Reader(Source(network, card, cpu), [metrics["n"]], pooling)
    layers = learn(reader, patched, adaptation)[0][metrics["n"]]
    scorer, images = Scorer.of(reader.source, metrics["n"], pooling, layers), patched.task.images["test"]
    pyramid = Pyramid.of(scorer, [arguments.scale or images.shape[2] / scorer.patch])
    shape = (card.shape[0], pyramid.sides[0], pyramid.sides[0])
    identity = {
        **{name: metrics[name] for name in ("network", "model_sha256")},
        "classes": json.dumps(patched.task.classes),
        "patch": str(scorer.patch),
        "stride": str(scorer.stride),
        **decision_of(scorer, patched, adaptation, pyramid),
        **prepared_form(arguments.packed, pyramid.sides[0]),
    }
    model = to_onnx(scorer, shape, "map", identity)
    told = {
        **compare_maps(model, scorer, shape, images),
        "difference": difference_from_patches(reader, layers, scorer, first_image(images), shape[1]),
        "versions": provenance.versions("onnx", "onnxruntime"),
    }
    arguments.into.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(arguments.into) as temporary:
        onnx.save_model(model, temporary)
    print(json.dumps(identity | form_of(model) | told))


if __name__ == "__main__":
    exit_plainly(main)
