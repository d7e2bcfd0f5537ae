"""Time probes against what one would write by hand: a pass a layer, and scikit-learn a C at a time.

    python benchmarks/probes.py FEATURES [--images 60] [--cuts 2 4 6 8 9]

FEATURES is a file that benchmarks/caltech.py has left, such as imagenet-gap.npz. Linear SVMs are fitted at cuts, ten
values of C on 25 images a class and the best of them on 30: by this package, and by LinearSVC as it comes, both on
standardised features. Then MobileNetV2 passes random images forward, once for all cuts and once a cut, as torchvision's
create_feature_extractor would. Prints seconds of a core, ratios and accuracies. Both sides run in turn, on one thread.
"""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy starts its threads
CHECKOUT = Path(__file__).parent.parent
sys.path.insert(0, str(CHECKOUT / "src"))

import numpy as np
import timm
import torch
from caltech import training_images
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

from transferability.evaluation.features import cut_features
from transferability.evaluation.labelled import Labelled
from transferability.evaluation.pooling import Pooling
from transferability.evaluation.probes import CHOICES, Probe, accuracies, hold_out, run_probe

CLASSES, IMAGES = 24, 50


def timed(work: Callable, *arguments: object) -> tuple[float, object]:
    """The seconds of a core that some work takes, and what it gives."""
    started = time.process_time()
    result = work(*arguments)
    return time.process_time() - started, result


def mobilenet() -> nn.Sequential:
    """MobileNetV2 as stem, blocks, head and classifier."""
    model = timm.create_model("mobilenetv2_100", num_classes=1000)
    stem, head = nn.Sequential(model.conv_stem, model.bn1), nn.Sequential(model.conv_head, model.bn2)
    return nn.Sequential(stem, *model.blocks, head, nn.Sequential(model.global_pool, model.classifier)).eval()


def one_pass(network: nn.Sequential, batches: list[torch.Tensor]) -> dict[int, np.ndarray]:
    """Features at all cuts by this package."""
    return cut_features(network, batches, range(1, len(network) + 1), Pooling("gap"))


def pass_a_cut(network: nn.Sequential, batches: list[torch.Tensor]) -> dict[int, np.ndarray]:
    """The same by a network for each cut."""
    cuts = range(1, len(network) + 1)
    return {n: cut_features(network[:n], batches, [n], Pooling("gap"))[n] for n in cuts}


def time_passes(count: int) -> None:
    """One pass for all cuts against a pass a cut, for two numbers of images."""
    network = mobilenet()
    for images in (count, 2 * count):
        batches = torch.randn(images, 3, 224, 224).contiguous(memory_format=torch.channels_last).split(20)
        one, ours = timed(one_pass, network, batches)
        many, theirs = timed(pass_a_cut, network, batches)
        same = all(np.array_equal(ours[n], theirs[n]) for n in ours)
        print(
            f"{images} images, {len(ours)} cuts: {one:.1f} s, a pass a cut {many:.1f} s, ratio {many / one:.1f}", end=""
        )
        print("" if same else "; features differ", flush=True)


def by_hand(features: np.ndarray, labels: np.ndarray, train: np.ndarray) -> float:
    """The mean per-class accuracy of LinearSVC as it comes, C chosen on held-out images."""
    scaler = StandardScaler().fit(features[train])
    points, others = scaler.transform(features[train]), scaler.transform(features[~train])
    truth, held = labels[train], hold_out(labels[train], 1 / 6, np.random.default_rng(0))
    scores = [LinearSVC(C=c).fit(points[~held], truth[~held]).score(points[held], truth[held]) for c in CHOICES["svm"]]
    best = LinearSVC(C=CHOICES["svm"][int(np.argmax(scores))]).fit(points, truth)
    return accuracies(best.decision_function(others), labels[~train])[1]


def by_probe(features: np.ndarray, labels: np.ndarray, train: np.ndarray) -> float:
    """The same by a probe of this package."""
    (draw,) = run_probe(Probe("svm"), Labelled(features[train], labels[train]), {"test": features[~train]})
    return accuracies(draw.decisions["test"], labels[~train])[1]


def time_fits(features: dict[int, np.ndarray]) -> None:
    """Probes against LinearSVC at each cut, and over all of them."""
    labels = np.repeat(np.arange(CLASSES), IMAGES)
    train, totals = training_images(labels, 0), np.zeros(2)
    for n, values in features.items():
        ours, mine = timed(by_probe, values, labels, train)
        theirs, plain = timed(by_hand, values, labels, train)
        totals += ours, theirs
        print(
            f"cut {n}, {values.shape[1]:5} values: {ours:6.1f} s ({100 * mine:.1f} %), "
            f"by hand {theirs:6.1f} s ({100 * plain:.1f} %), ratio {theirs / ours:.1f}",
            flush=True,
        )
    print(f"all: {totals[0]:.1f} s, by hand {totals[1]:.1f} s, ratio {totals[1] / totals[0]:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time probes against what one would write by hand.")
    parser.add_argument("features", type=Path)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--cuts", type=int, nargs="+", default=[2, 4, 6, 8, 9])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # LinearSVC says of each C that it has not settled
    stored = np.load(arguments.features)
    time_fits({n: stored[str(n)] for n in arguments.cuts})
    time_passes(arguments.images)


if __name__ == "__main__":
    main()
