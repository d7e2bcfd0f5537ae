import csv
import hashlib
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transferability.data import distances
from transferability.data.distances import (
    SAMPLE,
    ancestors,
    features,
    hypernyms,
    proxy_a_distance,
    similarities,
    synset_distance,
    task_distance,
)
from transferability.data.groups import read_groups
from transferability.data.packed import open_packed
from transferability.data.splits import random_halves

TINY_IMAGENET = Path(__file__).parent.parent.parent / "shared" / "data" / "tiny-imagenet-80.tar.gz"
# The original's random halves: md5 of the synsets of A and of B, one a line.
HALVES = [
    ("b0481e695e28b2b99da4d620e3ea4b1e", "f9f53cc29f8183c8f790a75117a71756"),
    ("a85bfb0dcfb1056cd7fa3a822d351a0b", "9fd635dce8e59eaa1f451f3252243216"),
    ("2ac731eb157d685a2585adcdd690c473", "db87264c56db1e8786e5efc22323ffed"),
    ("05a012260bb86e5468af69340745e8cb", "14447605f5d2d54a82b59bbee0d886fe"),
]


@pytest.fixture(scope="module")
def natural_and_man_made() -> tuple[list[str], list[str]]:
    groups = read_groups("ilsvrc2012")
    return groups["natural"], groups["man-made"]


@pytest.fixture(scope="module")
def tiny_imagenet() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """80 classes of Tiny-ImageNet, 60 images each: uint8 (4800, 3, 64, 64), the synset of each, the natural ones."""
    if not TINY_IMAGENET.exists():
        pytest.skip(f"the real images are not at {TINY_IMAGENET}")
    pixels, classes, taken = [], [], Counter()
    with tarfile.open(TINY_IMAGENET) as archive:
        for member in archive:
            name = Path(member.name)
            if name.name == "classes.csv":
                rows = list(csv.DictReader(archive.extractfile(member).read().decode().splitlines()))
            elif name.suffix == ".JPEG" and "train" in name.parts and taken[name.parent.name] < 60:
                with Image.open(archive.extractfile(member)) as image:
                    pixels.append(np.asarray(image.convert("RGB")).transpose(2, 0, 1))
                classes.append(name.parent.name)
                taken[name.parent.name] += 1
    return np.stack(pixels), np.array(classes), [row["wnid"] for row in rows if row["group"] == "natural"]


def test_wordnet_joins_all_synsets_of_ilsvrc2012_to_one_root(natural_and_man_made):
    parents = hypernyms()
    assert [synset for synset in parents if not parents[synset]] == [distances.ROOT]
    synsets = [*natural_and_man_made[0], *natural_and_man_made[1]]
    assert all(distances.ROOT in ancestors(synset) for synset in synsets)
    assert set().union(*map(ancestors, synsets)) == set(parents)
    assert (len(parents), sum(map(len, parents.values()))) == (1860, 1937)
    # A tench is a cyprinid, and a dog both a canine and a domestic animal.
    assert parents["n01440764"] == ["n01439121"]
    assert parents["n02084071"] == ["n01317541", "n02083346"]


def test_similarity_is_wu_and_palmers_by_the_shortest_paths_and_the_best_ancestor(monkeypatch):
    """root - a - b - (x, y), y also below a alone, z below the root; w below c, which is below b and the root."""
    tree = {"a": ["root"], "b": ["a"], "x": ["b"], "y": ["b", "a"], "z": ["root"], "c": ["b", "root"], "w": ["c", "a"]}
    monkeypatch.setattr(distances, "ROOT", "root")
    monkeypatch.setattr(distances, "hypernyms", lambda: {"root": [], **tree})
    assert ancestors("w") == {"w": 0, "c": 1, "a": 1, "b": 2, "root": 2}
    found = similarities(["x", "w"], ["x", "y", "z", "c"])
    # x and y meet at b (3 nodes deep, 1 + 1 edges down); w and y at a (2 deep, 1 + 1): at b they are no nearer.
    assert found == pytest.approx(
        np.array([[1, 6 / 8, 2 / (2 + 4), 6 / (6 + 2)], [6 / (6 + 3), 4 / 6, 2 / (2 + 3), 4 / (4 + 1)]])
    )


def test_synset_distance_is_the_mean_distance_to_the_nearest_class_of_the_other_side(monkeypatch):
    near = np.array([[1, 0.5, 0.2], [0.4, 0.6, 0.1]])
    monkeypatch.setattr(distances, "similarities", lambda a, b: near)
    sides = ["n02085620", "n02085782"], ["n02085620", "n02086079", "n04456115"]
    assert synset_distance(*sides) == round(1 - ((1 + 0.6) / 2 + (1 + 0.6 + 0.2) / 3) / 2, 3)


def test_natural_and_man_made_are_much_farther_apart_than_the_originals_random_halves(natural_and_man_made):
    synsets = sorted([*natural_and_man_made[0], *natural_and_man_made[1]])
    halves = [random_halves(synsets, seed) for seed in range(4)]
    sums = [
        tuple(hashlib.md5("".join(f"{name}\n" for name in h).encode()).hexdigest() for h in pair) for pair in halves
    ]
    assert sums == HALVES
    random = [synset_distance(a, b) for a, b in halves]
    assert random == pytest.approx([0.136] * 4, abs=0.0015)
    assert synset_distance(*natural_and_man_made) == pytest.approx(0.566, abs=0.0005)


def test_synset_distance_is_symmetric_and_nothing_between_equal_sets():
    dogs, cars = ["n02085620", "n02085782", "n02086079"], ["n02701002", "n02814533"]
    assert synset_distance(dogs, cars) == synset_distance(cars, dogs) > 0.5
    assert synset_distance(dogs, dogs[::-1]) == 0
    assert 0 < synset_distance(dogs[:2], dogs[2:]) < 0.1


def test_synsets_of_a_composed_set_are_known_behind_its_name():
    dogs, cars = ["n02085620", "n02085782"], ["n02701002", "n02814533"]
    composed = synset_distance([f"tiny/{name}" for name in dogs], [f"imagenet/{name}" for name in cars])
    assert composed == synset_distance(dogs, cars)


@pytest.mark.parametrize("stranger", ["dog", "n99999999", "n02085620x", "tiny/n2085620", "3"])
def test_one_class_that_is_no_known_synset_leaves_no_synset_distance(stranger):
    known = ["n02085620", "n02085782"]
    assert synset_distance(known, [*known, stranger]) is None
    assert synset_distance([stranger, *known], known) is None


def test_images_of_one_distribution_are_about_0_apart_and_of_disjoint_ones_2():
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (2400, 3, 12, 12), dtype=np.uint8)
    indices = np.arange(2400)
    assert proxy_a_distance(noise, indices[:1200], indices[1200:], 0) < 0.2
    darker = noise.copy()
    darker[1200:] //= 2
    assert proxy_a_distance(darker, indices[:1200], indices[1200:], 0) == 2
    # The same pixels at other places: means and deviations agree, the differences of neighbours do not.
    smooth = np.sort(noise, axis=3)
    smooth[1200:] = random.permuted(smooth[1200:], axis=3)
    assert proxy_a_distance(smooth, indices[:1200], indices[1200:], 0) == 2


def test_a_classifier_that_errs_more_than_chance_leaves_a_distance_of_0():
    noise = np.random.default_rng(0).integers(0, 256, (80, 1, 8, 8), dtype=np.uint8)
    found = [proxy_a_distance(noise, np.arange(40), np.arange(40, 80), seed) for seed in range(10)]
    assert min(found) == 0


def test_a_distance_grows_with_the_share_of_images_from_elsewhere():
    images = np.random.default_rng(0).integers(0, 200, (4000, 1, 8, 8), dtype=np.uint8)
    images[2000:] += 55
    own, other = np.arange(2000), np.arange(2000, 4000)
    found = [
        proxy_a_distance(images, own[:1000], np.r_[own[1000 : 2000 - n], other[:n]], 0) for n in range(0, 1001, 250)
    ]
    assert found == sorted(found)
    assert (found[0] < 0.2, found[2] > 0.5, found[4]) == (True, True, 2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [5, 8, 28])
def test_ten_images_a_side_suffice(channels, size):
    images = np.random.default_rng(0).integers(0, 256, (20, channels, size, size), dtype=np.uint8)
    images[10:] //= 3
    assert proxy_a_distance(images, np.arange(10), np.arange(10, 20), 0) == 2


def test_images_all_alike_are_0_apart():
    images = np.full((40, 1, 8, 8), 7, dtype=np.uint8)
    assert proxy_a_distance(images, np.arange(20), np.arange(20, 40), 0) == 0


def test_sides_of_unlike_size_are_balanced():
    """A classifier that always names the larger side would err on 1 of 11 images only."""
    images = np.random.default_rng(0).integers(0, 256, (2200, 1, 8, 8), dtype=np.uint8)
    assert proxy_a_distance(images, np.arange(2000), np.arange(2000, 2200), 0) < 0.4


def test_at_most_the_sample_is_read_of_either_side_and_nothing_else():
    class Watched:
        shape = (5000, 1, 8, 8)
        read: list[int] = []  # noqa: RUF012

        def __getitem__(self, indices):
            self.read.extend(indices.tolist())
            return np.random.default_rng(0).integers(0, 256, (len(indices), 1, 8, 8), dtype=np.uint8)

    watched = Watched()
    proxy_a_distance(watched, np.arange(0, 1500), np.arange(2000, 4500), 0)
    assert len(watched.read) == len(set(watched.read)) == 2 * SAMPLE
    assert sum(index < 1500 for index in watched.read) == SAMPLE
    assert all(index < 1500 or 2000 <= index < 4500 for index in watched.read)


def test_features_are_means_of_cells_and_the_statistics_of_each_channel():
    images = np.random.default_rng(0).integers(0, 256, (130, 2, 16, 24), dtype=np.uint8)
    indices = np.arange(0, 130, 1)[::-1]
    pixels = images[indices] / 255
    cells = pixels.reshape(130, 2, 8, 2, 8, 3).mean(axis=(3, 5)).reshape(130, -1)
    down = ((pixels[:, :, 1:] - pixels[:, :, :-1]) ** 2).mean(axis=(2, 3))
    across = ((pixels[..., 1:] - pixels[..., :-1]) ** 2).mean(axis=(2, 3))
    expected = np.hstack([cells, pixels.mean(axis=(2, 3)), pixels.std(axis=(2, 3)), down, across])
    assert features(images, indices) == pytest.approx(expected, abs=1e-5)


def test_digits_are_told_apart_by_class_and_not_by_chance(packed_digits):
    packed = open_packed(packed_digits)
    classes = np.array(packed.classes, dtype=int)
    even, odd = np.flatnonzero(classes % 2 == 0), np.flatnonzero(classes % 2)
    assert proxy_a_distance(packed.images, even, odd, 0) > 1.5
    shuffled = np.random.default_rng(0).permutation(len(classes))
    assert proxy_a_distance(packed.images, shuffled[:900], shuffled[900:], 0) < 0.2


def test_tiny_imagenets_natural_and_man_made_classes_look_farther_apart_than_random_halves(tiny_imagenet):
    images, classes, natural = tiny_imagenet
    known = sorted(set(classes))

    def distance(side: list[str]) -> float:
        inside = np.isin(classes, side)
        return proxy_a_distance(images, np.flatnonzero(inside), np.flatnonzero(~inside), 0)

    assert distance(natural) > max(distance(random_halves(known, seed)[0]) for seed in range(4))


def test_task_distance_gives_both_and_repeats_itself(packed_digits):
    packed = open_packed(packed_digits)
    classes = np.array(packed.classes)
    sides = {"A": ["0", "1"], "B": ["2", "3"]}
    indices = {side: np.flatnonzero(np.isin(classes, names)) for side, names in sides.items()}
    found = task_distance(sides, packed.images, indices, 3)
    assert found == {"synset": None, "a_distance": proxy_a_distance(packed.images, indices["A"], indices["B"], 3)}
    assert found == task_distance(sides, packed.images, indices, 3)
    assert len({proxy_a_distance(packed.images, indices["A"][:40], indices["B"][:40], seed) for seed in range(5)}) > 1

    synsets = {"A": ["n02085620", "n02085782"], "B": ["n02701002", "n02814533"]}
    assert task_distance(synsets, packed.images, indices, 3)["synset"] == synset_distance(*synsets.values())


def test_the_module_imports_no_heavy_library():
    heavy = "{'torch', 'sklearn', 'pandas', 'torchvision'}"
    code = f"import sys, transferability.data.distances; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
