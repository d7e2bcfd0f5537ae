"""A curve of ten cuts by this package, and as one would write it: a pass a layer, a scikit-learn fit a value of C.

    python benchmarks/layers.py MATERIAL [--per-class 50] [--cuts 10] [--only ours [--pooling grid]]

MATERIAL has caltech101-24/images/CLASS/*.jpg and networks/squeezenet1_1_imagenet.safetensors, weights of torchvision's
model, whose colours are blue first. By hand: torchvision's `create_feature_extractor` for one layer at a time,
photographs read anew for each, means over places, StandardScaler and LinearSVC as it comes for each of ten values of C
on five sixths of the training photographs, and the best one on all. Here: one pass, and `run_probe`. Both get the same
photographs and the same draw: three fifths of a class train. `--pooling grid` reads means over the cells of a grid,
about 9,000 values, in place of those over all places. Prints the seconds by the clock and on the processor, and the
accuracies of both; run it on an idle machine, with one thread.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
sys.path.insert(0, str(CHECKOUT / "src"))

import numpy as np
import torch
from safetensors.torch import load_file
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from torchvision.models import squeezenet1_1
from torchvision.models.feature_extraction import create_feature_extractor

from transferability.data.images import fit, open_image
from transferability.evaluation.features import cut_features
from transferability.evaluation.labelled import Labelled
from transferability.evaluation.pooling import Pooling
from transferability.evaluation.probes import Probe, hold_out, run_probe

LAYERS = ["features.2", *(f"features.{at}" for at in (3, 4, 6, 7, 9, 10, 11, 12)), "classifier.3"]
"""Where torchvision's model is cut: behind the stem, each fire module, and the logits."""
ENDS = [0, 3, 4, 5, 7, 8, 10, 11, 12, 13]
"""Where the stages begin and end in `features`: pooling belongs to the stage above it."""
CHOICES = [10.0**power for power in range(-5, 5)]
MEAN = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)


def photographs(material: Path, per_class: int) -> tuple[list[Path], np.ndarray]:
    """So many photographs of each class, and their labels."""
    folders = sorted((material / "caltech101-24/images").iterdir())
    paths = [path for folder in folders for path in sorted(folder.glob("*.jpg"))[:per_class]]
    return paths, np.unique([path.parent.name for path in paths], return_inverse=True)[1]


def batches(paths: list[Path]) -> Iterator[Tensor]:
    """Photographs as the network expects them: the shorter side 256, the centre 224, blue first, less the mean."""
    for start in range(0, len(paths), 50):
        pixels = np.stack([fit(open_image(path.read_bytes()), 256, 3) for path in paths[start : start + 50]])
        yield torch.from_numpy(pixels[:, ::-1, 16:240, 16:240].astype(np.float32)).sub(MEAN)


def training_images(labels: np.ndarray) -> np.ndarray:
    """Which photographs (N,) train: three fifths of each class."""
    return ~hold_out(labels, 0.4, np.random.default_rng(0))


def by_hand(model: nn.Module, paths: list[Path], labels: np.ndarray, cuts: int) -> list[float]:
    """The accuracies of the first cuts, layer by layer, C by C."""
    train, accuracies = training_images(labels), []
    held = hold_out(labels[train], 1 / 6, np.random.default_rng(1))
    for layer in LAYERS[:cuts]:
        extractor = create_feature_extractor(model, {layer: "features"}).eval()
        with torch.no_grad():
            features = np.concatenate([extractor(batch)["features"].mean((2, 3)).numpy() for batch in batches(paths)])
        scaler = StandardScaler().fit(features[train])
        learnt, tested = scaler.transform(features[train]), scaler.transform(features[~train])
        scores = [
            LinearSVC(C=c).fit(learnt[~held], labels[train][~held]).score(learnt[held], labels[train][held])
            for c in CHOICES
        ]
        best = LinearSVC(C=CHOICES[int(np.argmax(scores))]).fit(learnt, labels[train])
        accuracies.append(best.score(tested, labels[~train]))
    return accuracies


def by_package(model: nn.Module, paths: list[Path], labels: np.ndarray, cuts: int, pooling: str = "gap") -> list[float]:
    """The accuracies of the first cuts from one pass, by probes."""
    network = nn.Sequential(*(model.features[low:high] for low, high in pairwise(ENDS)), model.classifier).eval()
    train, accuracies = training_images(labels), []
    features = cut_features(network, batches(paths), range(1, cuts + 1), Pooling(pooling))
    for values in features.values():
        (draw,) = run_probe(Probe("svm"), Labelled(values[train], labels[train]), {"test": values[~train]})
        accuracies.append(float((draw.decisions["test"].argmax(1) == labels[~train]).mean()))
    return accuracies


def timed(way: Callable, *arguments: object) -> tuple[list[float], float, float]:
    """What a way gives, and how long it takes, by the clock and on the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    accuracies = way(*arguments)
    return accuracies, time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a curve of ten cuts, by this package and by hand.")
    parser.add_argument("material", type=Path)
    parser.add_argument("--per-class", type=int, default=50)
    parser.add_argument("--cuts", type=int, default=10, choices=range(1, 11))
    parser.add_argument("--only", choices=("ours", "hand"))
    parser.add_argument("--pooling", choices=("gap", "grid"), default="gap", help="other than gap with --only ours")
    arguments = parser.parse_args()
    if arguments.pooling != "gap" and arguments.only != "ours":
        parser.error("by hand reads means over all places: --pooling grid takes --only ours")
    torch.set_num_threads(1)
    # LinearSVC as it comes does not settle at large C, and says so each time.
    warnings.simplefilter("ignore", ConvergenceWarning)
    model = squeezenet1_1()
    model.load_state_dict(load_file(arguments.material / "networks/squeezenet1_1_imagenet.safetensors"))
    paths, labels = photographs(arguments.material, arguments.per_class)
    seconds = {}
    for name, way in {"ours": partial(by_package, pooling=arguments.pooling), "hand": by_hand}.items():
        if arguments.only in (None, name):
            accuracies, clock, processor = timed(way, model.eval(), paths, labels, arguments.cuts)
            seconds[name] = clock
            print(f"| {name} |" + "".join(f" {100 * value:.1f} |" for value in accuracies))
            print(f"{name}: {clock:.1f} s by the clock, {processor:.1f} s on the processor", flush=True)
    if len(seconds) == 2:
        print(f"by hand it takes {seconds['hand'] / seconds['ours']:.1f} times as long")


if __name__ == "__main__":
    main()
