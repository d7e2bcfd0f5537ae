"""Figure 3: dissimilar tasks, random filters, and both relative to the base. Tables are planted or the original's."""

import pandas as pd
import pytest
from drawn import drawing_of
from matplotlib.axes import Axes
from planted import GAINS, plant, reduce

from transferability.analysis.yosinski2014 import read_published
from transferability.figures import figure3
from transferability.figures.records import Drawing, NothingToDrawError

TASKS = {"natural-man-made": {"A": "natural", "B": "man-made"}}


def some(*treatments: str) -> dict:
    return {name: GAINS[name] for name in ("base", *treatments)}


def draw(networks: pd.DataFrame, read_out: str = "test_top1", unbalanced: bool = False) -> Drawing:
    return drawing_of(figure3, networks, read_out, unbalanced=unbalanced, tasks=TASKS)


def curves_of(panel: Axes) -> dict[str, dict[int, float]]:
    """The curves of a panel with their labels, by n, without the layers that they leave out."""
    curves = {}
    for index, line in enumerate(panel.get_lines()):
        if len(line.get_xdata()) > 2:
            points = zip((round(float(x)) for x in line.get_xdata()), line.get_ydata(), strict=True)
            curves[f"{index} {line.get_label()}"] = {n: round(float(y), 4) for n, y in points if y == y}
    return curves


def test_each_target_of_chosen_tasks_has_its_line_and_its_name():
    """Targets differ much in level, so that their mean would be of neither."""
    chosen = plant(some("transfer"), {"natural-man-made": "groups"})
    left, _ = draw(chosen).figure.axes
    assert list(curves_of(left).values()) == [
        {1: 0.47, 4: 0.38, 7: 0.29},
        {1: 0.52, 4: 0.43, 7: 0.34},
    ]
    levels = [line.get_ydata()[0] for line in left.get_lines() if line.get_linestyle() == ":"]
    assert levels == pytest.approx([0.5, 0.55])
    assert {text.get_text() for text in left.texts} == {"to natural", "to man-made"}


def test_transfer_between_chosen_tasks_that_one_seed_lacks_has_a_gap_and_the_footer_says_so():
    """The other seed's level alone would be a jump away from the base's."""
    chosen = plant(some("transfer"), {"natural-man-made": "groups"}, seeds=(0, 1))
    drawing = draw(chosen[(chosen["network"] != "B4A") | (chosen["seed"] == 1)])
    left, _ = drawing.figure.axes
    assert list(curves_of(left).values()) == [{1: 0.48, 7: 0.3}, {1: 0.53, 4: 0.44, 7: 0.35}]
    footer = drawing.figure.legends[0].get_title().get_text().replace("\n", " ")
    assert footer.endswith("no line where means are over other networks than the base's: AnB")


def test_the_relative_panel_subtracts_the_base_of_the_own_target():
    networks = pd.concat(
        [
            plant(some("transfer")),
            plant(some("transfer") | {"transfer": lambda n: -0.06 * n}, {"natural-man-made": "groups"}),
            plant(some("random"), {"whole": "whole"}, targets="A"),
        ],
        ignore_index=True,
    )
    curves = {name.split(" ", 1)[1]: curve for name, curve in curves_of(draw(networks).figure.axes[2]).items()}
    assert curves["AnB, random halves of the classes"] == {1: -0.03, 4: -0.12, 7: -0.21}
    assert curves["AnB, groups of classes"] == {1: -0.06, 4: -0.24, 7: -0.42}
    assert curves["RnB, random filters, all classes"] == {1: -0.05, 4: -0.2, 7: -0.35}


def test_each_volume_of_a_kind_has_a_curve_of_its_own():
    networks = reduce(plant(some("transfer", "random"), {"natural-man-made": "groups"}), {"A": 10})
    _, right, lower = draw(networks).figure.axes
    assert [name.split(" ", 1)[1] for name in curves_of(right)] == [
        "Groups of classes, 10 of the other task",
        "Groups of classes, 10 images a class",
    ]
    assert sorted(curves_of(lower).values(), key=lambda curve: curve[7]) == [
        *2 * [{1: -0.05, 4: -0.2, 7: -0.35}],
        *2 * [{1: -0.03, 4: -0.12, 7: -0.21}],
    ]
    looks = [(line.get_color(), line.get_marker()) for line in lower.get_lines() if len(line.get_xdata()) > 2]
    assert len(set(looks)) == 4


def test_a_condition_of_random_filters_looks_alike_in_both_panels_and_no_two_curves_do():
    halves = some("transfer", "random")
    tables = [reduce(plant(halves, {f"few{k}": "random"}), {"A": k, "B": k}) for k in range(10, 90, 10)]
    networks = pd.concat(tables, ignore_index=True)
    upper, lower = draw(networks).figure.axes
    filters, relative = (
        {
            line.get_label().split("halves")[-1]: (line.get_color(), line.get_marker(), line._unscaled_dash_pattern)
            for line in panel.get_lines()
            if len(line.get_xdata()) > 2 and "AnB" not in line.get_label()
        }
        for panel in (upper, lower)
    )
    assert filters == relative
    looks = [
        (line.get_color(), line.get_marker(), line._unscaled_dash_pattern)
        for line in lower.get_lines()
        if len(line.get_xdata()) > 2
    ]
    assert len(set(looks)) == len(looks) == 16


def test_the_original_has_its_figure_without_any_training():
    """The published curves: natural .6571 to .3990, man-made .5392 to .2914, random filters .4917, .4026."""
    networks, _ = read_published()
    tasks = {"natman": TASKS["natural-man-made"]}
    figure = drawing_of(figure3, networks, "mean_of_ten_best", tasks=tasks).figure
    left, right, lower = figure.axes
    ends = sorted((round(curve[1], 3), round(curve[7], 3)) for curve in curves_of(left).values())
    assert ends == [(0.539, 0.291), (0.657, 0.399)]
    (filters,) = curves_of(right).values()
    assert (filters[1], filters[2]) == (pytest.approx(0.4917, abs=1e-4), pytest.approx(0.4026, abs=1e-4))
    assert 3 not in filters, "they did not train"
    relative = {name.split(" ", 1)[1]: curve for name, curve in curves_of(lower).items()}
    assert relative["AnB, random halves of the classes"][7] == pytest.approx(-0.0826, abs=1e-4)


def test_random_filters_of_which_one_did_not_train_keep_their_points_but_have_no_mean_there():
    networks = plant(some("random"))
    networks.loc[networks[networks["network"] == "R4A"].index[0], "trained"] = False
    drawing = draw(networks)
    above, _ = drawing.figure.axes
    (curve,) = curves_of(above).values()
    assert set(curve) == {1, 7}
    footer = drawing.figure.legends[0].get_title().get_text().replace("\n", " ")
    assert footer.endswith("no line where means are over other networks than the base's: RnB")
    assert len(above.collections[0].get_offsets()) == 8 * 3 - 1


def test_means_over_other_networks_than_the_bases_are_hollow_where_asked_for_and_the_legend_says_so():
    networks = plant(some("transfer", "random"), {"natural-man-made": "groups"}, seeds=(0, 1))
    whole, holes = (
        draw(table, unbalanced=True)
        for table in (networks, networks[~networks["network"].isin(["B4A", "R4A"]) | (networks["seed"] == 1)])
    )
    hollow = [
        [line.get_xdata().round().tolist() for line in panel.get_lines() if line.get_markerfacecolor() == "white"]
        for panel in holes.figure.axes
    ]
    assert hollow == [[[4]], [[4]], [[4], [4]]]
    *_, last = (text.get_text() for text in holes.figure.legends[0].get_texts())
    assert last == "hollow: mean over other networks than the base's"
    assert not any("hollow" in text.get_text() for text in whole.figure.legends[0].get_texts())


def test_random_filters_of_which_none_trained_have_a_panel_that_says_so():
    networks = plant(some("transfer", "random"), {"natural-man-made": "groups"})
    networks.loc[networks["treatment"] == "random", "trained"] = False
    _, right, _ = draw(networks).figure.axes
    assert [text.get_text() for text in right.texts] == ["no networks above random filters\nthat trained"]


def test_a_study_without_transfer_or_random_filters_says_so():
    with pytest.raises(NothingToDrawError, match="needs networks of the treatments transfer or random"):
        draw(plant(some("selffer")))


def test_one_layer_and_one_treatment_are_enough():
    drawing = draw(plant(some("transfer"), {"even-odd": "groups"}, layers=(4,)))
    assert "−12.0 at n = 4" in drawing.caption
