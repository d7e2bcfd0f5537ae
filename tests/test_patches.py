"""Patches: where they lie, what they show, and what maps of their scores find."""

import itertools

import numpy as np
import pytest
import torch

from transferability.data.patches import (
    DROPPED,
    Objects,
    PatchImages,
    corners,
    cut_patches,
    patch_grid,
    patch_labels,
)
from transferability.data.patching import Patching
from transferability.errors import InputError
from transferability.evaluation.adaptation import Adaptation, learn_layers
from transferability.evaluation.score_maps import (
    CELLS,
    coverage,
    highest_place,
    on_a_box,
    point,
    pointing_scores,
    score_map,
)

BACKGROUND = 2
SCALES = Patching().scales


def objects(*rows: tuple) -> Objects:
    """Objects of the classes cat and dog: class, left, top, right, bottom and whether they are difficult."""
    return Objects.of([[*row[:5], int(row[5]) if len(row) > 5 else 0, 0] for row in rows], ["cat", "dog"])


@pytest.mark.parametrize("overlap", [0, 0.5, 0.66])
def test_patches_cover_the_image_and_overlap_as_they_are_asked_to(overlap):
    grid = patch_grid(224, SCALES, overlap)
    for scale in SCALES:
        side = round(224 / scale)
        starts = sorted({left for own, left, _ in grid.tolist() if own == side})
        assert (starts[0], starts[-1]) == (0, 224 - side)
        assert all(later - earlier <= side * (1 - overlap) + 1 for earlier, later in itertools.pairwise(starts))
    assert len(grid) == pytest.approx(Patching(overlap=overlap).count, rel=0.1)


def test_the_papers_scales_give_some_two_hundred_patches_a_square():
    assert len(patch_grid(256, SCALES, 0.5)) == Patching().count == 198
    # 1 + 1.69 + 2.56 + 4 + 5.76 + 7.84 + 10.24 + 12.96 + 16 squares of a patch.
    assert Patching(dense=True).count == 63


@pytest.mark.parametrize(
    ("rows", "label"),
    [
        ([], BACKGROUND),
        ([("cat", 0.6, 0.6, 0.9, 0.9)], BACKGROUND),
        # The box is inside, and a quarter of the patch, the upper left quarter of the image.
        ([("dog", 0.0, 0.0, 0.25, 0.25)], 1),
        # Inside, but 16 % of the patch.
        ([("dog", 0.0, 0.0, 0.2, 0.2)], DROPPED),
        # Of the box 62.5 % are inside, then 50 %.
        ([("cat", 0.0, 0.0, 0.8, 0.5)], 0),
        ([("cat", 0.0, 0.0, 1.0, 0.5)], DROPPED),
        # Another object is touched.
        ([("cat", 0.0, 0.0, 0.4, 0.4), ("dog", 0.45, 0.45, 0.9, 0.9)], DROPPED),
        ([("cat", 0.0, 0.0, 0.4, 0.4), ("dog", 0.5, 0.5, 0.9, 0.9)], 0),
        ([("cat", 0.0, 0.0, 0.4, 0.4, True)], DROPPED),
        # An object of no class of the task is background.
        ([("horse", 0.0, 0.0, 0.4, 0.4)], BACKGROUND),
    ],
)
def test_a_patch_shows_the_class_of_the_one_object_that_it_covers_enough_of(rows, label):
    patch = np.array([[0.0, 0.0, 0.5, 0.5]])
    assert patch_labels(patch, objects(*rows), BACKGROUND).tolist() == [label]


def test_a_patch_may_touch_objects_that_it_shows_too_little_of_where_that_is_allowed():
    patch = np.array([[0.0, 0.0, 0.5, 0.5]])
    near = objects(("cat", 0.0, 0.0, 0.4, 0.4), ("dog", 0.45, 0.45, 0.9, 0.9))
    assert patch_labels(patch, near, BACKGROUND, touching=True).tolist() == [0]
    both = objects(("cat", 0.0, 0.0, 0.3, 0.4), ("dog", 0.2, 0.0, 0.5, 0.4))
    assert patch_labels(patch, both, BACKGROUND, touching=True).tolist() == [DROPPED]


def test_patches_are_the_images_pixels_resized():
    image = torch.arange(3 * 8 * 8, dtype=torch.uint8).reshape(3, 8, 8)
    grid = np.array([[4, 2, 1], [8, 0, 0], [2, 6, 6]])
    cut = cut_patches(image, grid, (3, 4, 4))
    assert torch.equal(cut[0], image[:, 1:5, 2:6])
    halves = image.float().reshape(3, 4, 2, 4, 2).mean(dim=(2, 4))
    assert (cut[1].float() - halves)[:, 1:-1, 1:-1].abs().max() <= 1
    assert cut[2].float().mean() == pytest.approx(image[:, 6:, 6:].float().mean().item(), abs=0.6)


def test_patches_are_cut_image_by_image_and_only_those_that_are_asked_for():
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), dtype=np.uint8)
    grid = patch_grid(8, (1, 2), 0.5)
    patches = PatchImages(images, grid, np.array([[0, 0], [0, 3], [2, 2], [1, 0]]), (1, 8, 8))
    assert patches.shape == (len(patches), 1, 8, 8) == (4, 1, 8, 8)
    cut = patches[np.array([2, 0, 2, 1])]
    assert np.array_equal(cut[1], images[0])
    assert np.array_equal(cut[0], cut_patches(torch.from_numpy(images[2]), grid[[2]], (1, 8, 8))[0])
    assert np.array_equal(cut[2], cut[0])
    assert not np.array_equal(cut[3], cut[1])


def test_the_highest_place_of_a_map_lies_where_patches_score():
    grid = patch_grid(64, (1, 2, 4), 0.5)
    patches = corners(grid, 64)
    covered = coverage(patches)
    planted = objects(("dog", 0.6, 0.1, 0.9, 0.4))
    scores = np.zeros((len(patches), 2))
    scores[:, 1] = patch_labels(patches, planted, BACKGROUND) == 1
    assert score_map(scores[:, 1], covered).sum() == pytest.approx(covered[scores[:, 1] > 0].sum())
    (found,) = point(0, scores, covered, planted)
    assert (found.label, found.hit, found.centre_hit) == (1, True, False)
    across, down = found.place
    assert abs(across - 0.75) < 0.1
    assert abs(down - 0.25) < 0.1


def test_of_a_map_without_a_peak_the_place_is_the_centre():
    assert highest_place(np.zeros((CELLS, CELLS))) == pytest.approx((0.5, 0.5))
    assert on_a_box((0.5, 0.5), objects(("cat", 0.4, 0.4, 0.6, 0.6)).boxes)
    assert not on_a_box((0.5, 0.3), objects(("cat", 0.4, 0.4, 0.6, 0.6)).boxes)


def test_pointing_is_compared_with_the_centre_image_by_image():
    centre, corner = ("cat", 0.4, 0.4, 0.6, 0.6), ("dog", 0.0, 0.0, 0.2, 0.2)
    covered = coverage(corners(patch_grid(10, (5,), 0.0), 10))
    everything = np.zeros((25, 2))
    everything[12, 0], everything[0, 1] = 1, 1
    wrong = everything[:, ::-1]
    pointed = [
        *point(0, everything, covered, objects(centre, corner)),
        *point(1, everything, covered, objects(corner)),
        *point(2, wrong, covered, objects(centre)),
    ]
    told = pointing_scores(pointed)
    # Gains: (0 + 1) / 2 in the first image, 1 in the second, −1 in the third.
    assert (told["count"], told["images"], told["hits"], told["centre"]) == (4, 3, 0.75, 0.5)
    assert told["gain"] == pytest.approx(0.5 / 3)
    half = 4.302652729911275 * np.std([0.5, 1, -1], ddof=1) / np.sqrt(3)
    assert told["interval"] == pytest.approx([0.5 / 3 - half, 0.5 / 3 + half])


def test_layers_learn_what_one_linear_layer_cannot_and_are_the_same_again():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(600, 2)).astype(np.float32)
    labels = (features[:, 0] * features[:, 1] > 0).astype(np.int64)
    accuracy = {}
    for hidden in ((), (32,)):
        adaptation = Adaptation(hidden=hidden, steps=300, learning_rate=0.02)
        first, again = (learn_layers(adaptation, features, labels, 2)(features) for _ in range(2))
        assert np.array_equal(first, again)
        assert first.sum(axis=1) == pytest.approx(np.ones(600), abs=1e-5)
        accuracy[hidden] = (first.argmax(axis=1) == labels).mean()
    assert accuracy[32,] > 0.95
    assert accuracy[()] < 0.7


def test_patches_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="scales are 1 or more"):
        Adaptation(scales=(0.5,))
