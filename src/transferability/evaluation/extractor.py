"""Extractor: stages 1 to n of a network, with preprocessing and pooling, as one ONNX file that gives features.

    python -m transferability.evaluation.extractor --model models/pretrained/resnet18/model.safetensors --cut 4 \\
        --pooling '{"kind": "gap"}' --packed data/packed/photos --into layer3.onnx

The file takes uint8 images and gives what a probe at that cut reads, of the whole image or in a view; onnxruntime is
held against torch on images of the packed data set before it is written.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from transferability import files
from transferability.data.batches import normalise
from transferability.data.packed import Images, open_packed
from transferability.devices import choose_device
from transferability.errors import InputError, exit_plainly
from transferability.evaluation.export import agrees, run_both, to_onnx
from transferability.evaluation.pooling import Pooling, pool
from transferability.evaluation.views import VIEWS, WHOLE, View
from transferability.networks.checkpoints import Card, load_network


class Extractor(nn.Module):
    """Stages of a network between preprocessing and pooling: uint8 images (n, C, H, W) → features (n, values).

    `stages` is `load_network(path)[1][:n]`, `card` the card beside it, `view` how each image is seen.
    """

    def __init__(self, stages: nn.Sequential, card: Card, pooling: Pooling, view: View = WHOLE) -> None:
        super().__init__()
        self.stages, self.card, self.pooling, self.view = stages, card, pooling, view

    def forward(self, images: Tensor) -> Tensor:
        seen = normalise(images, self.card.mean, self.card.std, self.card.channels)
        return pool(self.stages(self.view(seen)), self.pooling)


def convert_stages(extractor: Extractor, metadata: dict[str, str]) -> onnx.ModelProto:
    """An extractor as an ONNX model with the output `features`; the metadata say its pooling and view too.

    What the pooling cannot pool is an InputError.
    """
    with torch.no_grad():
        # The exporter would hide in its own error what pooling has to say.
        extractor(torch.zeros(1, *extractor.card.shape, dtype=torch.uint8))
    how = {"pooling": extractor.pooling.name, "view": extractor.view.name, "channels": extractor.card.channels}
    metadata = metadata | how
    return to_onnx(extractor, extractor.card.shape, "features", metadata)


def compare_features(model: onnx.ModelProto, extractor: Extractor, images: Images) -> dict:
    """How onnxruntime and torch agree on some images; a mismatch is a RuntimeError."""
    ours, theirs = run_both(model, extractor, extractor.card.shape, images)
    difference = float(np.abs(ours - theirs).max())
    if not agrees(ours, theirs):
        raise RuntimeError(f"onnxruntime and torch differ by {difference:.3g} in the features of {len(ours)} images")
    return {"images": len(ours), "values": ours.shape[1], "max_abs_difference": difference}


def open_extractor(path: Path, cut: int, pooling: Pooling, view: View = WHOLE) -> tuple[Extractor, dict[str, str]]:
    """The stages of a checkpoint below a cut, and what the metadata of their file say; a cut must leave a stage."""
    card, network = load_network(path)
    if not 1 <= cut < len(network):
        raise InputError(f"--cut: {path} has {len(network)} stages, so a cut is 1 to {len(network) - 1}, not {cut}")
    stage = [name for name, _ in network.named_children()][cut - 1]
    identity = {"network": card.network, "cut": str(cut), "stage": stage, "model_sha256": files.sha256(path)}
    return Extractor(network[:cut], card, pooling, view), identity


def main() -> None:
    parser = argparse.ArgumentParser(description="Export stages 1 to n of a network as a feature extractor.")
    parser.add_argument("--model", type=Path, required=True, help="checkpoint, model.safetensors")
    parser.add_argument("--cut", type=int, required=True, help="the last stage that is kept, n")
    parser.add_argument(
        "--pooling",
        type=files.json_argument,
        default={"kind": "gap"},
        help='JSON, such as {"kind": "grid", "values": 9000}; {"kind": "gap"} if missing',
    )
    parser.add_argument("--view", choices=[view.name for view in VIEWS[16]], default=WHOLE.name)
    parser.add_argument("--packed", type=Path, required=True, help="folder of the packed data set it is checked on")
    parser.add_argument("--into", type=Path, required=True, help="the ONNX file to write")
    arguments = parser.parse_args()
    choose_device("cpu", threads=1)
    (view,) = [view for view in VIEWS[16] if view.name == arguments.view]
    extractor, identity = open_extractor(arguments.model, arguments.cut, Pooling(**arguments.pooling), view)
    model = convert_stages(extractor, identity)
    compared = compare_features(model, extractor, open_packed(arguments.packed).checked)
    arguments.into.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(arguments.into) as temporary:
        onnx.save_model(model, temporary)
    print(json.dumps(identity | compared))


if __name__ == "__main__":
    exit_plainly(main)
