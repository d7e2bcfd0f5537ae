"""Figure 2: what is drawn is what the table says. All tables here are planted."""

import re
from itertools import pairwise

import pandas as pd
import pytest
from drawn import drawing_of
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.markers import MarkerStyle
from matplotlib.text import Text
from planted import GAINS, HALVES, ONE_LABEL, PRETRAINED_GAINS, PROBE_GAINS, STAGES, plant

from transferability.analysis.conditions import KINDS
from transferability.analysis.effects import effects_table
from transferability.analysis.read_outs import SHARES, read_out_of
from transferability.figures import figure2
from transferability.figures.effect_texts import effect_meanings
from transferability.figures.records import Drawing, NothingToDrawError
from transferability.figures.styles import ordered_treatments, style_of, styles_of

TREATMENTS = ["selffer", "selffer+", "transfer", "transfer+", "random"]


def gains_of(treatments: list[str]) -> dict:
    """The planted gains of base networks and some treatments; those that have none lose a little."""
    return {name: GAINS.get(name, lambda n: -0.002 * n) for name in ["base", *treatments]}


def draw(networks: pd.DataFrame, read_out: str = "test_top1", width: float = 6.5, unbalanced: bool = False) -> Drawing:
    """Figure 2 of a networks table."""
    return drawing_of(figure2, networks, read_out, width, unbalanced)


def points_of(panel: Axes, treatment: str) -> list[tuple[float, float]]:
    """The points that a panel shows of a treatment, by its colour and marker: n and accuracy."""
    style = style_of(treatment)
    marker = MarkerStyle(style.marker)
    outline = marker.get_path().transformed(marker.get_transform()).vertices.tolist()
    return sorted(
        (round(x - style.offset, 6), round(y, 6))
        for collection in panel.collections
        if tuple(collection.get_facecolor()[0]) == to_rgba(style.colour)
        and collection.get_paths()[0].vertices.tolist() == outline
        for x, y in collection.get_offsets().tolist()
    )


def curve_of(panel: Axes, treatment: str) -> dict[int, float]:
    """The curve that a panel shows of a treatment: accuracy by n, without the layers that it leaves out."""
    style = style_of(treatment)
    (line,) = (
        line
        for line in panel.get_lines()
        if (line.get_color(), line.get_linestyle()) == (style.colour, style.dashes) and line.get_marker() == "None"
    )
    return {n: value for n, value in zip(line.get_xdata(), line.get_ydata(), strict=True) if value == value}


def legend_of(drawing: Drawing) -> list[str]:
    return [text.get_text() for text in drawing.figure.legends[0].get_texts()]


def footer_of(drawing: Drawing) -> str:
    """What the figure says it rests on, as one line."""
    return drawing.figure.legends[0].get_title().get_text().replace("\n", " ")


@pytest.mark.parametrize("read_out", [name for name in ONE_LABEL if name in SHARES])
def test_the_upper_panel_has_a_point_a_network(read_out):
    networks = plant()
    upper = draw(networks, read_out).figure.axes[0]
    for treatment in ["base", *TREATMENTS]:
        rows = networks[networks["treatment"] == treatment]
        assert points_of(upper, treatment) == sorted(zip(rows["n"], rows[read_out].round(6), strict=True)), treatment
    assert sum(len(collection.get_offsets()) for collection in upper.collections) == len(networks) == 152
    assert upper.get_ylabel() == read_out_of(read_out).label


@pytest.mark.parametrize("read_out", [name for name in ONE_LABEL if name in SHARES])
def test_the_middle_panel_has_the_means(read_out):
    networks = plant(gains_of(TREATMENTS))
    middle = draw(networks, read_out).figure.axes[1]
    means = networks.groupby(["treatment", "n"])[read_out].mean()
    for treatment in TREATMENTS:
        assert curve_of(middle, treatment) == pytest.approx(means[treatment].to_dict()), treatment
    base_line, base_point = middle.get_lines()[:2]
    assert set(base_line.get_ydata()) == {means["base", 0]}
    assert (list(base_point.get_xdata()), list(base_point.get_ydata())) == ([0], [means["base", 0]])


def test_every_curve_is_named_at_its_end_and_no_name_lies_on_another():
    middle = draw(plant(gains_of(TREATMENTS))).figure.axes[1]
    names = {text.get_text(): text.xyann[1] for text in middle.texts}
    assert set(names) == {"AnB", "AnB+", "BnB", "BnB+", "RnB"}
    low, high = middle.get_ylim()
    heights = sorted(names.values())
    assert all(above - below >= 0.08 * (high - low) for below, above in pairwise(heights))
    assert low <= heights[0]
    assert heights[-1] <= high


def test_the_drops_are_shaded_between_their_means():
    networks = plant(gains_of(TREATMENTS))
    middle = draw(networks).figure.axes[1]
    means = networks.groupby(["treatment", "n"])["test_top1"].mean()
    co_adaptation, specificity = (
        {(round(x), round(y, 6)) for x, y in shade.get_paths()[0].vertices.tolist()} for shade in middle.collections
    )
    assert co_adaptation == {(n, round(means[pair], 6)) for n in (1, 4, 7) for pair in (("base", 0), ("selffer", n))}
    assert specificity == {(n, round(means[name, n], 6)) for n in (1, 4, 7) for name in ("selffer", "transfer")}


@pytest.mark.parametrize(
    ("treatments", "shades"),
    [(["selffer"], 1), (["transfer"], 0), (["selffer", "transfer"], 2), (["random"], 0), ([], 0)],
)
def test_a_drop_is_shaded_and_explained_where_both_its_means_are_there(treatments, shades):
    drawing = draw(plant(gains_of(treatments)))
    assert len(drawing.figure.axes[1].collections) == shades
    assert sum(text.startswith("drop by") for text in legend_of(drawing)) == shades


def test_fine_tuned_networks_are_compared_with_their_own_base():
    """The planted gains are 0.002 and 0.004 n, however much levels differ between targets and splits."""
    lower = draw(plant()).figure.axes[2]
    drawn = {line.get_color(): list(line.get_ydata()) for line in lower.get_lines() if len(line.get_xdata()) == 3}
    assert drawn[style_of("selffer+").colour] == pytest.approx([0.002] * 3)
    assert drawn[style_of("transfer+").colour] == pytest.approx([0.004, 0.016, 0.028])


def test_no_line_of_what_fine_tuning_gains_leads_past_a_refused_mean():
    networks = plant()
    networks = networks[(networks["treatment"] != "transfer+") | (networks["n"] != 4) | (networks["target"] == "A")]
    lower = draw(networks).figure.axes[2]
    (line,) = (line for line in lower.get_lines() if line.get_color() == style_of("transfer+").colour)
    assert list(line.get_ydata()) == pytest.approx([0.004, float("nan"), 0.028], nan_ok=True)
    assert list(line.get_xdata()) == pytest.approx([n + style_of("transfer+").offset for n in (1, 4, 7)])


def test_a_gain_over_other_cells_than_the_rest_is_hollow():
    networks = plant(gains_of(["transfer+"]))
    networks = networks[(networks["network"] != "B4A+") | (networks["split"] != "random0")]
    drawing = draw(networks, unbalanced=True)
    hollow = [line for line in drawing.figure.axes[2].get_lines() if line.get_markerfacecolor() == "white"]
    assert [line.get_ydata().tolist() for line in hollow] == [[pytest.approx(0.016)]]
    assert legend_of(drawing)[-1] == "hollow: mean over other networks than the base's"
    assert not any("hollow" in text for text in legend_of(draw(networks.query("n != 4"), unbalanced=True)))


def test_without_fine_tuned_networks_there_is_no_third_panel():
    assert len(draw(plant(gains_of(["selffer", "transfer"]))).figure.axes) == 2


def test_the_legend_names_every_treatment_in_order():
    assert legend_of(draw(plant(gains_of(["random", "transfer-k2", "selffer", "transfer+"])))) == [
        "base",
        "selffer BnB: copied from the same task, frozen",
        "transfer AnB+: ... and fine-tuned",
        "random RnB: untrained filters, frozen",
        "transfer AnB-k2: frozen, 2 above preserved",
        "drop by fragile co-adaptation",
    ]


def test_the_footer_says_what_the_figure_rests_on():
    assert footer_of(draw(plant())) == "digits, tiny: 152 networks shown. Study: the coverage"


def test_the_caption_states_numbers_and_how_many():
    caption = draw(plant()).caption
    assert "152 networks" in caption
    assert "base networks score 57.0 % (n = 8)" in caption
    assert "frozen transfer minus base: −21.0 points (4 units, no interval) at n = 7" in caption


def test_the_caption_says_where_a_curve_leaves_the_base():
    noise = iter([0.001 * (i * 7 % 5) for i in range(1000)]).__next__
    caption = draw(plant(noise=noise)).caption
    assert re.search(
        r"frozen transfer minus base: −2\d\.\d points \(95 % .*?\) at n = 7, below base from n = 1 on", caption
    )


def test_the_level_of_the_base_in_the_caption_is_without_mere_sources():
    """Only task B is a target: base networks of A, 5 points lower, are sources alone."""
    networks = plant({name: GAINS[name] for name in ("base", "transfer")})
    networks = networks[(networks["treatment"] == "base") | (networks["target"] == "B")]
    assert "base networks score 59.5 % (n = 4)" in draw(networks).caption


def test_a_mean_over_other_networks_than_the_bases_is_drawn_only_if_asked_for_and_hollow():
    """As in the original's logs: all selffers have target A."""
    networks = plant(gains_of(["selffer", "transfer"]))
    networks = networks[(networks["treatment"] != "selffer") | (networks["target"] == "A")]
    refused = draw(networks)
    assert "no line where means are over other networks than the base's: BnB" in footer_of(refused)
    assert "BnB" not in {text.get_text() for text in refused.figure.axes[1].texts}
    asked = draw(networks, unbalanced=True)
    means = networks[networks["treatment"] == "selffer"].groupby("n")["test_top1"].mean()
    assert curve_of(asked.figure.axes[1], "selffer") == pytest.approx(means.to_dict())
    faces = {
        tuple(to_rgba(line.get_markerfacecolor()))
        for line in asked.figure.axes[1].get_lines()
        if line.get_marker() == style_of("selffer").marker and len(line.get_xdata()) == 3
    }
    assert faces == {to_rgba("white")}
    assert legend_of(asked)[-1] == "hollow: mean over other networks than the base's"


def test_untrained_networks_are_left_out_and_a_curve_has_a_gap_there():
    networks = plant(gains_of(TREATMENTS), layers=(1, 2, 3))
    networks.loc[(networks["treatment"] == "random") & (networks["n"] == 2), ["trained", "test_top1"]] = False, 0.2
    drawing = draw(networks)
    assert {n for n, _ in points_of(drawing.figure.axes[0], "random")} == {1, 3}
    assert set(curve_of(drawing.figure.axes[1], "random")) == {1, 3}
    assert footer_of(drawing).startswith(f"digits, tiny: {len(networks) - 8} networks shown")


def test_a_treatment_that_nowhere_trained_is_not_in_the_legend():
    networks = plant()
    networks.loc[networks["treatment"] == "random", "trained"] = False
    assert not any("random" in text for text in legend_of(draw(networks)))


def test_nothing_to_draw_is_said_plainly():
    with pytest.raises(NothingToDrawError) as error:
        draw(plant().assign(trained=False))
    assert str(error.value) == "no network of this study trained, so there is nothing to draw; see the column `reason`"


def test_a_read_out_that_the_study_lacks_is_named_with_those_it_has():
    """As the original: it has no test images of its own."""
    with pytest.raises(
        NothingToDrawError, match=r"has the read-out test_top1; set figures\.read_out to chosen_test_top1 or test_m"
    ):
        draw(plant().assign(test_top1=float("nan")))


def test_every_kind_of_split_has_a_column_of_its_own_networks():
    kinds = {"even-odd": "groups", "random0": "random", "mine": "classes"}
    networks = plant(gains_of(["selffer"]), kinds, seeds=(0, 1))
    networks.loc[networks["kind"] == "groups", "test_top1"] -= 0.4
    axes = draw(networks).figure.axes
    titles = [panel.get_title("left").replace("\n", " ") for panel in axes[:3]]
    assert titles == [KINDS[kind] for kind in ("random", "groups", "classes")]
    for column, kind in enumerate(("random", "groups", "classes")):
        rows = networks[(networks["kind"] == kind) & (networks["treatment"] == "selffer")]
        assert points_of(axes[column], "selffer") == sorted(zip(rows["n"], rows["test_top1"].round(6), strict=True))
        assert curve_of(axes[3 + column], "selffer") == pytest.approx(rows.groupby("n")["test_top1"].mean().to_dict())


@pytest.mark.parametrize("count", [4, 5, 6])
def test_many_conditions_are_folded_and_no_title_or_panel_lies_on_another(count):
    tables = [
        plant(gains_of(["transfer", "transfer+"]), {f"cut{volume}": "random"}).assign(
            volume=volume, other_volume=volume, test_top1=volume / 100
        )
        for volume in range(10 * count, 0, -10)
    ]
    figure = draw(pd.concat(tables, ignore_index=True)).figure
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert len(panels) == 3 * count
    above = [panel for panel in panels if panel.get_title("left")]
    assert [panel.get_title("left").split(" of")[0] for panel in above] == ["Random halves"] * count
    levels = [panel.collections[0].get_offsets()[0, 1] for panel in above]
    assert levels == pytest.approx([volume / 100 for volume in range(10 * count, 0, -10)])
    boxes = [panel.get_tightbbox() for panel in panels]
    assert not any(box.overlaps(other) for index, box in enumerate(boxes) for other in boxes[:index])


def test_reduced_volumes_and_splits_without_copied_layers_stay_out():
    networks = plant(gains_of(["transfer"]))
    few = plant({"base": lambda n: -0.2}, {"whole-5": "whole"}, targets="A").assign(volume=5)
    whole = plant({"base": lambda n: 0, "random": lambda n: -0.1}, {"whole": "whole"}, targets="A")
    cut = plant(gains_of(["transfer"]), {"random0-5": "random"}).assign(volume=5, other_volume=5)
    drawing = draw(pd.concat([networks, few, whole, cut], ignore_index=True))
    assert [panel.get_title("left") for panel in drawing.figure.axes if panel.get_title("left")] == [KINDS["random"]]
    assert footer_of(drawing).startswith(f"digits, tiny: {len(networks)} networks shown")


def test_curves_of_a_study_without_task_b_are_named_for_task_a():
    gains = {"base": lambda n: 0, "pretrained": lambda n: 0.1, "random": lambda n: -0.1, "pretrained-svm": lambda n: 0}
    networks = plant(gains, {"all": "whole"}, targets="A")
    words = [text.get_text() for text in draw(networks).figure.findobj(Text)]
    assert {"PnA", "RnA", "PnA-svm"} <= set(words)
    assert "PnA-svm: features of PnA read by svm" in words
    assert not any("nB" in text for text in words)
    meanings = dict(effect_meanings(effects_table(networks, unbalanced=False)))
    assert meanings["Frozen pretrained"].startswith("PnA − base: ")


@pytest.mark.parametrize("layers", [(3,), (1, 7)])
@pytest.mark.parametrize("treatments", [["transfer"], ["random"], ["selffer-k1"], ["transfer+"], []])
def test_a_study_may_be_small(treatments, layers):
    networks = plant(gains_of(treatments), {"random0": "random"}, layers=layers)
    upper, middle, *_ = draw(networks).figure.axes
    for treatment in treatments:
        assert {n for n, _ in points_of(upper, treatment)} == set(layers)
        assert set(curve_of(middle, treatment)) == set(layers)
    assert len(points_of(upper, "base")) == 2


def test_treatments_are_ordered_as_the_legend_is():
    networks = plant(gains_of(["transfer-k2", "random", "selffer-k1", "transfer"]))
    assert ordered_treatments(networks) == ["base", "transfer", "random", "selffer-k1", "transfer-k2"]


def test_the_figure_has_the_width_that_was_asked_for():
    assert draw(plant(splits=HALVES), width=4.25).figure.get_size_inches()[0] == 4.25


def test_probes_have_curves_beside_the_others_and_lie_on_none_of_their_points():
    networks = plant(PROBE_GAINS)
    drawing = draw(networks)
    upper, middle = drawing.figure.axes[:2]
    styles = styles_of(ordered_treatments(networks))
    means = networks.groupby(["treatment", "n"])["test_top1"].mean()
    for treatment in ("transfer-svm", "transfer-logreg", "random-svm", "pretrained-svm", "transfer+-svm"):
        style = styles[treatment]
        look = style.marker, style.colour
        lines = [line for line in middle.get_lines() if (line.get_marker(), line.get_markerfacecolor()) == look]
        assert [list(line.get_ydata()) for line in lines] == [pytest.approx(means[treatment].tolist())], treatment
    places = [(round(x, 6), round(y, 6)) for points in upper.collections for x, y in points.get_offsets().tolist()]
    assert len({x for x, _ in places}) == 1 + 3 * (len(PROBE_GAINS) - 1)
    assert "AnB-svm: features of AnB read by svm" in legend_of(drawing)
    names = [text.get_window_extent() for text in middle.texts]
    assert len(names) == len(PROBE_GAINS) - 1
    assert not any(box.overlaps(other) for index, box in enumerate(names) for other in names[:index])
    assert all(box.x1 <= drawing.figure.bbox.x1 for box in names)


def visible_labels(panel: Axes) -> list:
    """The labels of a panel's x axis that are not empty: n and names of stages."""
    labels = [*panel.get_xticklabels(), *panel.get_xticklabels(minor=True)]
    return [label for label in labels if label.get_text() and label.get_visible()]


def test_networks_of_pretrained_weights_have_curves_and_gains_beside_the_other_fine_tuned_ones():
    gains = GAINS | PRETRAINED_GAINS
    networks = plant({name: gains[name] for name in ("base", "transfer+", "pretrained", "pretrained+")})
    drawing = draw(networks)
    upper, middle, lower = drawing.figure.axes
    means = networks.groupby(["treatment", "n"])["test_top1"].mean()
    for treatment in ("pretrained", "pretrained+"):
        assert {n for n, _ in points_of(upper, treatment)} == {1, 4, 7}
        assert curve_of(middle, treatment) == pytest.approx(means[treatment].to_dict()), treatment
    drawn = {line.get_color(): list(line.get_ydata()) for line in lower.get_lines() if len(line.get_xdata()) == 3}
    assert drawn[style_of("pretrained+").colour] == pytest.approx([0.058, 0.052, 0.046])
    assert drawn[style_of("transfer+").colour] == pytest.approx([0.004, 0.016, 0.028])
    assert "pretrained PnB+: ... and fine-tuned" in legend_of(drawing)
    assert "fine-tuned pretrained minus base: +5.8 points" in drawing.caption
    assert "shaded" not in drawing.caption


def test_the_cuts_of_a_network_that_is_none_of_the_alexnets_have_the_names_of_its_stages():
    networks = plant(PRETRAINED_GAINS, {"random0": "random"}, layers=tuple(STAGES), stages=STAGES)
    bottom = draw(networks).figure.axes[-1]
    texts = [label.get_text() for label in visible_labels(bottom)]
    assert texts == ["base", *map(str, STAGES), *STAGES.values()]
    numbers = draw(networks.assign(stage=None)).figure.axes[-1]
    assert [label.get_text() for label in visible_labels(numbers)] == ["base", *map(str, STAGES)]


@pytest.mark.parametrize(("depth", "width"), [(12, 4.0), (30, 6.5), (30, 3.5)])
def test_of_many_cuts_those_are_labelled_that_do_not_lie_on_each_other(depth, width):
    stages = {n: f"blocks.{n - 1}" for n in range(1, depth + 1)}
    gains = gains_of(["transfer", "transfer+"])
    networks = plant(gains, {"random0": "random", "groups": "groups"}, layers=tuple(stages), stages=stages)
    figure = draw(networks, width=width).figure
    bottom = [panel for panel in figure.axes if panel.get_xlabel()]
    assert len(bottom) == 2
    for panel in bottom:
        labels = visible_labels(panel)
        assert len(labels) >= 2 * 3
        boxes = [label.get_window_extent() for label in labels]
        assert not any(box.overlaps(other) for index, box in enumerate(boxes) for other in boxes[:index])
        assert not any(box.overlaps(panel.xaxis.label.get_window_extent()) for box in boxes)
        assert [tick for tick in panel.get_xticks() if tick] == list(stages), "every cut has its tick"
