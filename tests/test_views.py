"""Views: what each shows of an image, their files, and probes that read all of them."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import InterpolationMode, resized_crop

from transferability.data.packed import open_packed
from transferability.errors import InputError
from transferability.evaluation.labelled import Labelled
from transferability.evaluation.probes import CLASSIFIERS, Probe, run_probe
from transferability.evaluation.views import DEGREES, VIEWS, WHOLE, View
from transferability.figures import views

torch.set_num_threads(1)

IMAGES = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def test_sixteen_views_are_the_whole_five_crops_two_rotations_and_their_mirror_images():
    once, mirrored = VIEWS[16][:8], VIEWS[16][8:]
    assert [(round(view.side**2, 9), view.degrees) for view in once] == [
        (1, 0),
        *[(round(4 / 9, 9), 0)] * 5,
        (1, DEGREES),
        (1, -DEGREES),
    ]
    assert mirrored == tuple(replace(view, name=f"{view.name}-mirrored", mirrored=True) for view in once)
    assert len({view.name for view in VIEWS[16]}) == len({view(IMAGES).numpy().tobytes() for view in VIEWS[16]}) == 16


def test_the_whole_image_is_that_which_is_given():
    assert WHOLE(IMAGES) is IMAGES
    assert VIEWS[1] == VIEWS[16][:1] == (WHOLE,)
    assert torch.equal(replace(WHOLE, mirrored=True)(IMAGES), IMAGES.flip(3))


@pytest.mark.parametrize(
    ("name", "top", "left"),
    [("centre", 2, 2), ("top-left", 0, 0), ("top-right", 0, 4), ("bottom-left", 4, 0), ("bottom-right", 4, 4)],
)
def test_a_crop_is_that_of_torchvision_away_from_its_edge(name, top, left):
    """At the edge torchvision repeats the crop's last pixels, where here the image goes on."""
    (view,) = (view for view in VIEWS[16] if view.name == name)
    cropped = resized_crop(IMAGES, top, left, 8, 8, [12, 12], InterpolationMode.BILINEAR, antialias=False)
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    assert torch.allclose(view(IMAGES)[inside], cropped[inside], atol=1e-5)


def test_a_quarter_turn_is_exact_and_right_turns_undo_left_ones():
    left, right = View("left", degrees=90), View("right", degrees=-90)
    assert torch.allclose(left(IMAGES), IMAGES.rot90(1, (2, 3)), atol=1e-4)
    assert torch.allclose(right(left(IMAGES)), IMAGES, atol=1e-4)


def test_a_turn_keeps_distances_on_images_that_are_not_square():
    """A disc in the middle of a wide image stays where it is and as round as it is."""
    y, x = torch.meshgrid(torch.arange(40) - 19.5, torch.arange(60) - 29.5, indexing="ij")
    disc = torch.sigmoid(8 - (x**2 + y**2).sqrt())[None, None]
    turned = View("turned", degrees=30)(disc)
    # What comes into the corners is the image's reflection.
    assert torch.allclose(turned[..., 15:45], disc[..., 15:45], atol=0.05)


def clouds(count: int, width: int = 6, views: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Features in some views, (views·N, D), each a little other than the rest, and labels of three classes, (N,)."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 3
    whole = generator.normal(size=(3, width))[labels] + generator.normal(size=(count, width))
    return np.concatenate([whole + 0.3 * generator.normal(size=whole.shape) for _ in range(views)]), labels


@pytest.mark.parametrize("classifier", [name for name in CLASSIFIERS if name != "knn"])
def test_sixteen_times_the_same_view_is_one_view(classifier):
    features, labels = clouds(90)
    points, _ = clouds(40)
    value = {} if classifier == "centroid" else {"choices": (0.1,)}
    one = run_probe(Probe(classifier, **value), Labelled(features, labels), {"test": points})
    for combine in ("sum", "max"):
        probe = Probe(classifier, **value, views=16, combine=combine)
        training = Labelled(np.tile(features, (16, 1)), labels, 16)
        (draw,) = run_probe(probe, training, {"test": np.tile(points, (16, 1))})
        assert np.allclose(draw.decisions["test"], one[0].decisions["test"], atol=1e-4)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_views_are_combined_image_by_image(classifier):
    features, labels = clouds(90, views=16)
    points, truth = clouds(30, views=16)
    shown = {}
    for combine in ("sum", "max"):
        choices = None if classifier == "centroid" else (1,)
        probe = Probe(classifier, choices=choices, views=16, combine=combine, normalisation="none")
        (draw,) = run_probe(probe, Labelled(features, labels, 16), {"test": points})
        shown[combine] = draw.decisions["test"]
        assert shown[combine].shape == (30, 3)
        assert (shown[combine].argmax(1) == truth).mean() > 0.6
    assert (shown["max"] >= shown["sum"] - 1e-9).all()


def test_an_image_is_held_out_in_all_its_views(monkeypatch):
    """Were views of held-out images learnt from, one neighbour would name every one of them."""
    features, _ = clouds(60, views=1)
    shuffled = np.random.default_rng(1).permutation(np.arange(60) % 3)
    training = Labelled(np.tile(features, (16, 1)), shuffled, 16)
    (draw,) = run_probe(Probe("knn", views=16, choices=(1, 2)), training, {})
    assert max(draw.choice.scores) < 0.8


def test_images_are_drawn_in_all_their_views():
    features, labels = clouds(60, views=16)
    drawn = run_probe(
        Probe("centroid", views=16, images_per_class=4, draws=2, normalisation="none"),
        Labelled(features, labels, 16),
        {"test": features},
    )
    assert not np.allclose(drawn[0].decisions["test"], drawn[1].decisions["test"])


@pytest.mark.parametrize("options", [{"views": 2}, {"combine": "median"}])
def test_views_that_there_are_not_are_refused_in_a_sentence(options):
    with pytest.raises(InputError, match="probes: views are 1 or 16, combined by sum or max; not"):
        Probe("svm", **options)


def test_all_views_of_an_image_are_drawn_by_name(packed_digits, tmp_path, monkeypatch):
    options = ["--packed", str(packed_digits), "--image", "3", "--into", str(tmp_path / "views.png")]
    monkeypatch.setattr(sys, "argv", ["views", *options])
    views.main()
    assert Image.open(tmp_path / "views.png").size[0] == 1300
    image = open_packed(packed_digits).images[3]
    figure = views.draw_views(image, 6.5)
    assert [panel.get_title("left") for panel in figure.axes] == [view.name for view in VIEWS[16]]
    first, eighth = (figure.axes[at].images[0].get_array() for at in (0, 8))
    assert np.array_equal(first, image[0])
    assert np.array_equal(eighth, image[0][:, ::-1])
    monkeypatch.setattr(sys, "argv", ["views", *options[:3], "5000", *options[4:]])
    with pytest.raises(InputError, match=r"--image: .* has images 0 to 1796, not 5000"):
        views.main()
