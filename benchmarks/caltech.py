"""Read real pretrained networks layer by layer: a linear SVM on 24 classes of Caltech-101, and scores beside it.

    python benchmarks/caltech.py MATERIAL [--into FOLDER] [--sources imagenet birds untrained] [--draws 3] [--scores]

MATERIAL has caltech101-24/images/CLASS/*.jpg and networks/mobilenet_v2_{imagenet,birds}.safetensors, weights of timm's
mobilenetv2_100. Of 50 images a class 30 are drawn for training, and 20 test; C is chosen on 5 of the 30. Prints mean
per-class accuracy of every stage, in percent, and what else is asked for. Features are kept in FOLDER.
"""

import argparse
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
sys.path.insert(0, str(CHECKOUT / "src"))

import numpy as np
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from transferability.data.images import fit, open_image
from transferability.evaluation.features import cut_features
from transferability.evaluation.labelled import Labelled
from transferability.evaluation.pooling import Pooling
from transferability.evaluation.probes import Probe, accuracies, run_probe
from transferability.evaluation.scores import cka, leep, nce, score_features

OUTPUTS = {"imagenet": 1001, "birds": 965, "untrained": 1000}
CUTS = range(1, 11)


def build(source: str, material: Path) -> nn.Sequential:
    """MobileNetV2 as its stem, seven blocks, head and classifier."""
    torch.manual_seed(0)
    model = timm.create_model("mobilenetv2_100", pad_type="same", num_classes=OUTPUTS[source])
    if source != "untrained":
        state = load_file(material / f"networks/mobilenet_v2_{source}.safetensors")
        model.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        )
    blocks = {f"blocks {number}": block for number, block in enumerate(model.blocks, start=1)}
    return nn.Sequential(
        OrderedDict(
            stem=nn.Sequential(model.conv_stem, model.bn1),
            **blocks,
            head=nn.Sequential(model.conv_head, model.bn2),
            logits=nn.Sequential(model.global_pool, model.classifier),
        )
    ).eval()


def image_files(material: Path) -> list[Path]:
    """The photographs, class by class."""
    return sorted((material / "caltech101-24/images").glob("*/*.jpg"))


def batches(paths: list[Path]) -> Iterator[Tensor]:
    """Photographs as the networks expect them: the shorter side 256, the centre 224, from -1 to 1."""
    for start in range(0, len(paths), 50):
        pixels = np.stack([fit(open_image(path.read_bytes()), 256, 3) for path in paths[start : start + 50]])
        centre = torch.from_numpy(pixels[:, :, 16:240, 16:240]).float() / 127.5 - 1
        yield centre.contiguous(memory_format=torch.channels_last)


def source_features(source: str, material: Path, folder: Path, pooling: Pooling) -> dict[int, np.ndarray]:
    """A network's features of all photographs, from the folder or computed."""
    path = folder / f"{source}-{pooling.name}.npz"
    if not path.exists():
        features = cut_features(build(source, material), batches(image_files(material)), CUTS, pooling)
        np.savez(path, **{str(n): values for n, values in features.items()})
    stored = np.load(path)
    return {n: stored[str(n)] for n in CUTS}


def training_images(labels: np.ndarray, draw: int) -> np.ndarray:
    """Which photographs (N,) a draw trains on: 30 a class."""
    generator, chosen = np.random.default_rng(draw), np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        chosen[generator.permutation(np.flatnonzero(labels == label))[:30]] = True
    return chosen


def probed(features: np.ndarray, labels: np.ndarray, probe: Probe, draw: int) -> tuple[float, str | None]:
    """The mean per-class accuracy of a probe on the photographs that a draw leaves, and what is odd about its C."""
    train = training_images(labels, draw)
    (fitted,) = run_probe(probe, Labelled(features[train], labels[train]), {"test": features[~train]})
    return accuracies(fitted.decisions["test"], labels[~train])[1], fitted.choice.reason


def print_row(name: str, values: list[float], form: str = "5.1f") -> None:
    print(f"| {name} |" + "".join(f" {value:{form}} |" for value in values), flush=True)


def print_scores(
    source: str, features: dict[int, np.ndarray], labels: np.ndarray, compared: dict[int, np.ndarray]
) -> None:
    """Every score of a source by stage, less its null, of a draw's training images; and CKA to another network."""
    train, started = training_images(labels, 0), time.process_time()
    scores = [score_features(Labelled(values[train], labels[train])) for values in features.values()]
    seconds = time.process_time() - started
    for name in scores[0]:
        print_row(f"{source}, {name}", [score[name].value for score in scores], ".3f")
        print_row(f"{source}, {name} − null", [score[name].above for score in scores], ".3f")
    print_row(
        f"{source}, CKA to imagenet", [cka(features[n][train], compared[n][train]) for n in CUTS if n < 10], ".2f"
    )
    logits, data = features[10][train].astype(np.float64), Labelled(features[10][train], labels[train])
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    head = leep(exponents / exponents.sum(1, keepdims=True), data), nce(logits.argmax(1), data)
    for name, score in zip(("LEEP", "NCE"), head, strict=True):
        print(f"{source}: {name} {score.value:.2f}, null {score.null:.2f}")
    print(f"{source}: the four scores of all stages took {seconds:.1f} s of a core")


def main() -> None:
    parser = argparse.ArgumentParser(description="Read real pretrained networks layer by layer.")
    parser.add_argument("material", type=Path)
    parser.add_argument("--into", type=Path, default=Path("features/caltech"))
    parser.add_argument("--sources", nargs="+", choices=list(OUTPUTS), default=list(OUTPUTS))
    parser.add_argument("--pooling", default="gap")
    parser.add_argument("--classifier", default="svm")
    parser.add_argument("--normalisation", default="standard")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--scores", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.into.mkdir(parents=True, exist_ok=True)
    paths, pooling = image_files(arguments.material), Pooling(arguments.pooling)
    labels = np.unique([path.parent.name for path in paths], return_inverse=True)[1]
    for source in arguments.sources:
        features = source_features(source, arguments.material, arguments.into, pooling)
        started, rows = time.process_time(), []
        for draw in range(arguments.draws):
            probe = Probe(arguments.classifier, arguments.normalisation, seed=draw)
            rows.append([probed(features[n], labels, probe, draw) for n in CUTS])
        print_row(source, [100 * np.mean([row[at][0] for row in rows]) for at in range(len(CUTS))])
        ends = sum(reason is not None for row in rows for _, reason in row)
        print(
            f"{source}: {time.process_time() - started:.0f} s of a core; {ends} of {10 * len(rows)} choices at an end"
        )
        if arguments.scores:
            compared = source_features("imagenet", arguments.material, arguments.into, pooling)
            print_scores(source, features, labels, compared)


if __name__ == "__main__":
    main()
