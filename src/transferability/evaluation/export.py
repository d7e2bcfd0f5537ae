"""Export: a trained network as one ONNX file that takes raw images, checked against torch on real ones."""

import argparse
import json
import logging
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from transferability import files, provenance
from transferability.data.batches import centre, hold, in_order, normalise
from transferability.data.packed import Images
from transferability.data.tasks import MULTI, SINGLE, open_task
from transferability.devices import choose_device
from transferability.errors import InputError, exit_plainly
from transferability.forms.fields import SEVERAL
from transferability.forms.metrics import read_metrics
from transferability.networks.checkpoints import Card, load_network
from transferability.networks.notation import parse_network
from transferability.training.history import MEASURES

TOLERANCE = 1e-4
"""The largest difference between onnxruntime's and torch's logits, as a share of the largest logit (at least 1)."""

COMPARED = 500
"""At most so many test images, evenly from all classes, go through both."""


class Deployed(nn.Module):
    """A network with its preprocessing: uint8 images (n, C, H, W) → logits (n, classes)."""

    def __init__(self, network: nn.Sequential, card: Card) -> None:
        super().__init__()
        self.network = network
        self.card = card

    def forward(self, images: Tensor) -> Tensor:
        return self.network(normalise(images, self.card.mean, self.card.std, self.card.channels))


def to_onnx(deployed: nn.Module, shape: tuple[int, int, int], output: str, metadata: dict[str, str]) -> onnx.ModelProto:
    """A module of uint8 images as an ONNX model: input `images` with a free batch size, one output, weights inside."""
    example = torch.zeros(2, *shape, dtype=torch.uint8)
    with warnings.catch_warnings():
        # The exporter warns about its own internals; what it makes is checked.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            deployed.eval(),
            (example,),
            input_names=["images"],
            output_names=[output],
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch's exporter gave nothing")
    model = program.model_proto
    # The exporter's stack traces hold paths of this machine, which are nobody's business and differ between clones.
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model


def convert(network: nn.Sequential, card: Card, identity: dict[str, str]) -> onnx.ModelProto:
    """A network as an ONNX model that gives `logits`.

    The metadata hold the identity, and the class names as a JSON list in the order of the logits.
    """
    return to_onnx(Deployed(network, card), card.shape, "logits", {**identity, "classes": json.dumps(card.classes)})


def run_both(
    model: onnx.ModelProto, deployed: nn.Module, shape: tuple[int, int, int], images: Images
) -> tuple[np.ndarray, np.ndarray]:
    """What onnxruntime and torch give for some images, at most COMPARED, evenly of all: (n, values) each."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    cpu, ours, theirs = torch.device("cpu"), [], []
    images = images[np.linspace(0, len(images) - 1, min(COMPARED, len(images))).astype(np.int64)]
    for _, chunk in in_order(hold(images, cpu), cpu):
        seen = centre(chunk, shape).contiguous()
        ours += session.run(None, {"images": seen.numpy()})
        with torch.no_grad():
            theirs.append(deployed(seen).numpy())
    return np.concatenate(ours), np.concatenate(theirs)


def agrees(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether the largest difference is within TOLERANCE of the largest value; NaN never is."""
    return bool(np.abs(ours - theirs).max() <= TOLERANCE * max(1.0, float(np.abs(theirs).max())))


def compare(model: onnx.ModelProto, network: nn.Sequential, card: Card, images: Images) -> dict:
    """Run some images of a task through onnxruntime and torch; a mismatch is a RuntimeError."""
    ours, theirs = run_both(model, Deployed(network, card), card.shape, images)
    difference = float(np.abs(ours - theirs).max())
    agreement = float((ours.argmax(1) == theirs.argmax(1)).mean())
    if not agrees(ours, theirs):
        raise RuntimeError(
            f"{card.network}: onnxruntime and torch differ by {difference:.3g} in the logits of {len(ours)} "
            f"test images (top-1 agreement {agreement:.1%})"
        )
    return {"images": len(ours), "max_abs_difference": difference, "top1_agreement": agreement}


def form_of(model: onnx.ModelProto) -> dict:
    """The version of ONNX's operators that a model uses, and the shape of its input: a free size has a name."""
    (opset,) = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    (images,) = model.graph.input
    return {"opset": opset, "input": [size.dim_param or size.dim_value for size in images.type.tensor_type.shape.dim]}


def stored_form(packed: Path) -> dict[str, str]:
    """How images were prepared before a network saw them: how they became squares of so many pixels, and were resized.

    Of the result's centre a network sees as many pixels as its input has.
    """
    card = files.read_json(packed / "card.json")
    square = card.get("square", "crop")
    return {"stored_size": str(card["shape"][-1]), "interpolation": card["interpolation"], "square": square}


def best_of(metrics: list[Path]) -> dict:
    """The metrics of the network that is best on validation; of equals the one with the lowest loss."""
    candidates = [read_metrics(path) for path in metrics]
    return max(candidates, key=lambda one: (one["validation"][measure_of(one)], -one["validation"]["loss"]))


def measure_of(metrics: dict) -> str:
    """What a network is chosen by: accuracy, or, where images have several labels, mean average precision."""
    return MEASURES[MULTI if metrics.get("labels") == SEVERAL else SINGLE]


def decision_of(metrics: dict) -> dict[str, str]:
    """What the metadata say of several labels: the logits, as a JSON list, from which on an image shows a class."""
    if metrics.get("labels") != SEVERAL:
        return {}
    return {"labels": SEVERAL, "thresholds": json.dumps(metrics["thresholds"]), "test_f1": f"{metrics['test_f1']:.4f}"}


def open_network(checkpoint: Path, metrics: dict) -> tuple[Card, nn.Sequential]:
    """The network of a checkpoint that metrics are about; if they are of other weights, an InputError."""
    if files.sha256(checkpoint) != metrics.get("model_sha256"):
        raise InputError(f"{checkpoint}: its metrics are of other weights; delete the metrics and run again")
    return load_network(checkpoint)


def choose(name: str, arguments: argparse.Namespace) -> tuple[Card, nn.Sequential, dict[str, str]]:
    """The network that a name means, itself or the best of a curve, and what the metadata of its file say of it."""
    members = [file for file in arguments.metrics if name in (file.stem, parse_network(file.stem).curve)]
    if not members:
        raise InputError(f"export: there is no network {name} in the study")
    metrics = best_of(members)
    measure = measure_of(metrics)
    card, network = open_network(arguments.models / metrics["network"] / "model.safetensors", metrics)
    identity = {
        "name": metrics["network"],
        "model_sha256": metrics["model_sha256"],
        "split": str(arguments.split),
        "seed": arguments.models.name.removeprefix("seed"),
        "task": f"{metrics['target']} of {arguments.split.stem}",
        f"test_{measure}": f"{metrics['test'][measure]:.4f}",
        **decision_of(metrics),
    }
    return card, network, identity


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Export networks of one split and seed as ONNX.")
    parser.add_argument("--split", type=Path, required=True, help="the split's file")
    parser.add_argument("--packed", type=Path, required=True, help="folder of the packed data set")
    parser.add_argument("--metrics", type=Path, nargs="+", required=True, help="metrics of the networks to choose from")
    parser.add_argument("--models", type=Path, required=True, help="folder of the split and seed, models/.../seedS")
    parser.add_argument(
        "--into",
        type=Path,
        nargs="+",
        required=True,
        help="files to write, NAME/model.onnx, NAME a network or a curve (AnB+: its best network on validation)",
    )
    parser.add_argument("--checks", type=Path, required=True, help="file to write: of each what it is, and its check")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    choose_device("cpu", threads=1)

    @cache
    def test_images(target: str) -> Images:
        return open_task(arguments.split, target, arguments.packed, parts=("test",)).images["test"]

    checks, stored = {}, stored_form(arguments.packed)
    for path in arguments.into:
        card, network, identity = choose(path.parent.name, arguments)
        model = convert(network, card, identity | stored)
        compared = compare(model, network, card, test_images(parse_network(card.network).target))
        versions = provenance.versions("onnx", "onnxruntime")
        checks[path.parent.name] = identity | form_of(model) | compared | {"versions": versions}
        with files.replacing(path) as temporary:
            onnx.save_model(model, temporary)
    files.write_json(arguments.checks, checks)


if __name__ == "__main__":
    exit_plainly(main)
