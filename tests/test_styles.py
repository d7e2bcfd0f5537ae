"""Styles: treatments are told apart, names at the ends of lines too, and the same figure gives the same bytes."""

from collections import Counter
from itertools import pairwise

import pytest
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

from transferability.figures.axes import label_ends
from transferability.figures.styles import DASHES, SERIES, finish, save_figure, set_theme, style_of, styles_of
from transferability.networks.notation import TREATMENTS
from transferability.words import points

COPIED = ("selffer", "transfer", "pretrained")
EVERY_TREATMENT = [*TREATMENTS, *(f"{kind}-k{k}" for kind in COPIED for k in range(1, 7))]


def test_treatments_are_told_apart_without_colour():
    styles = Counter((style_of(name).marker, style_of(name).dashes) for name in EVERY_TREATMENT)
    assert [style for style, count in styles.items() if count > 1] == []
    assert len({marker for _, marker, _ in SERIES}) == len(SERIES)
    assert len(DASHES) == 6


def test_no_treatments_points_lie_on_anothers_or_on_another_layer():
    offsets = Counter(style_of(name).offset for name in EVERY_TREATMENT if name != "base")
    assert [offset for offset, count in offsets.items() if count > 1] == []
    assert all(abs(offset) < 0.5 for offset in offsets)


@pytest.mark.parametrize("probes", [("svm",), ("knn", "logreg", "svm")])
def test_a_figure_s_probes_are_told_apart_and_lie_apart(probes):
    kinds = [name for name in TREATMENTS if name != "base"]
    treatments = [*TREATMENTS, "transfer-k2", *(f"{kind}-{probe}" for probe in probes for kind in kinds)]
    styles = styles_of(treatments)
    assert list(styles) == treatments
    looks = Counter((style.marker, style.dashes) for style in styles.values())
    assert [look for look, count in looks.items() if count > 1] == []
    offsets = sorted(style.offset for name, style in styles.items() if name != "base")
    assert all(second - first > 0.01 for first, second in pairwise(offsets) if second != first)
    assert len(set(offsets)) >= len(offsets) - 1  # selffer+ and a preserved one have been as near before
    assert all(abs(offset) < 0.5 for offset in offsets)
    assert {styles[f"transfer-{probe}"].colour for probe in probes} == {styles["transfer"].colour}
    assert all(styles[name] == style_of(name) for name in TREATMENTS)


@pytest.mark.parametrize("heights", [[0.5], [0.5, 0.5, 0.5], [1.0, 0.99, 0.98, 0.2], [0.0, 0.01, 0.02], [0.9, 0.95]])
def test_names_at_the_ends_of_lines_are_apart_in_order_and_inside(heights):
    _, axes = plt.subplots()
    axes.set_ylim(0, 1)
    label_ends(axes, [(f"line {index}", 1, y, "black") for index, y in enumerate(heights)], gap=0.1)
    placed = {text.get_text(): text.xyann[1] for text in axes.texts}
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    found = [placed[f"line {index}"] for index in order]
    assert all(above - below > 0.0999 for below, above in pairwise(found))
    assert all(0 <= height <= 1 for height in found)
    if len(heights) == 1:
        assert found == heights


@pytest.mark.parametrize(
    ("share", "text"), [(-0.018, "−1.8"), (0.018, "+1.8"), (-0.0001, "0.0"), (0, "0.0"), (-0.00051, "−0.1")]
)
def test_points_have_a_sign_but_zero_has_none(share, text):
    assert points(share) == text


def test_a_dollar_in_a_name_is_a_dollar(tmp_path):
    set_theme()
    figure, axes = plt.subplots(layout="constrained")
    axes.set_title("task $a_$")
    axes.plot([1, 200_000, 3e7], [0.001, 0.002, 0.003])
    label_ends(axes, [("to $a_$", 1, 0.002, "black")], gap=0.1)
    finish(figure, "data set $a_$", [Line2D([], [], label="$b^$")], 1)
    save_figure(figure, tmp_path / "dollars.png", 60)
    assert not any("$" in label.get_text() for label in [*axes.get_xticklabels(), axes.xaxis.get_offset_text()])


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_file_does_not_depend_on_what_was_saved_before_it(kind, tmp_path):
    def drawn():
        set_theme()
        figure, axes = plt.subplots(layout="constrained")
        axes.plot([1, 2, 3])
        finish(figure, "what it rests on", [Line2D([], [], label="a line")], 1)
        return figure

    save_figure(drawn(), tmp_path / f"alone.{kind}", 60)
    figure = drawn()
    for name in ("first.svg", "first.png", "second.svg", "second.png"):
        save_figure(figure, tmp_path / name, 60)
    for name in ("first", "second"):
        assert (tmp_path / f"{name}.{kind}").read_bytes() == (tmp_path / f"alone.{kind}").read_bytes(), name
