"""Figures: what is drawn is what the table says."""

import re
import sys
from collections import Counter
from itertools import product

import matplotlib
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle

from transferability import figures
from transferability.errors import InputError
from transferability.figures import (
    KINDS,
    READ_OUTS,
    draw_figure2,
    main,
    ordered_treatments,
    save_figure,
    style_of,
)

TREATMENTS = ["selffer", "selffer+", "transfer", "transfer+", "random"]
EVERY_TREATMENT = ["base", *TREATMENTS, *(f"{kind}-k{k}" for kind in ("selffer", "transfer") for k in range(1, 7))]
SLOPES = {"base": 0, "selffer": 0.01, "selffer+": -0.001, "transfer": 0.03, "transfer+": -0.002, "random": 0.1}


@pytest.fixture(autouse=True)
def closed_figures():
    """Draw without a screen; leave no figure open."""
    matplotlib.use("agg")
    yield
    plt.close("all")


def planted(
    treatments: list[str] = TREATMENTS,
    layers: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7),
    kinds: dict[str, str] | None = None,
    seeds: tuple[int, ...] = (0, 1),
) -> pd.DataFrame:
    """A networks table: accuracies fall with n by the treatment's slope, from a level that differs by cell."""
    kinds = kinds or {"random0": "random", "random1": "random"}
    rows = []
    for (split, kind), seed, target, treatment in product(kinds.items(), seeds, "AB", ["base", *treatments]):
        for n in [0] if treatment == "base" else layers:
            accuracy = 0.9 - 0.02 * (target == "B") - 0.01 * seed - SLOPES.get(treatment, 0.005) * n
            rows.append(
                {
                    "dataset": "digits",
                    "architecture": "tiny",
                    "split": split,
                    "kind": kind,
                    "seed": seed,
                    "treatment": treatment,
                    "n": n,
                    "target": target,
                    "trained": True,
                    "reason": None,
                    "test_top1": accuracy,
                    "validation_top1": accuracy / 2,
                    "mean_of_ten_best": accuracy / 4,
                }
            )
    return pd.DataFrame(rows)


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
    """The curve that a panel shows of a treatment: accuracy by n."""
    style = style_of(treatment)
    (line,) = (
        line
        for line in panel.get_lines()
        if (line.get_color(), line.get_marker(), line.get_linestyle()) == (style.colour, style.marker, style.dashes)
    )
    return dict(zip(line.get_xdata(), line.get_ydata(), strict=True))


def footer_of(figure: Figure) -> str:
    """The line that says what the figure rests on."""
    (legend,) = figure.legends
    return legend.get_title().get_text()


@pytest.mark.parametrize("read_out", READ_OUTS)
def test_the_upper_panel_has_a_point_a_network(read_out):
    networks = planted()
    upper, _ = draw_figure2(networks, read_out, 6.5).axes
    for treatment in ["base", *TREATMENTS]:
        rows = networks[networks["treatment"] == treatment]
        assert points_of(upper, treatment) == sorted(zip(rows["n"], rows[read_out].round(6), strict=True)), treatment
    assert sum(len(collection.get_offsets()) for collection in upper.collections) == len(networks) == 288
    assert upper.get_ylabel() == READ_OUTS[read_out]


@pytest.mark.parametrize("read_out", READ_OUTS)
def test_the_lower_panel_has_the_means(read_out):
    networks = planted()
    _, lower = draw_figure2(networks, read_out, 6.5).axes
    means = networks.groupby(["treatment", "n"])[read_out].mean()
    for treatment in TREATMENTS:
        assert curve_of(lower, treatment) == pytest.approx(means[treatment].to_dict()), treatment
    base_line, base_point = lower.get_lines()[:2]
    assert set(base_line.get_ydata()) == {means["base", 0]}
    assert (list(base_point.get_xdata()), list(base_point.get_ydata())) == ([0], [means["base", 0]])
    assert len(lower.get_lines()) == 2 + len(TREATMENTS)


def test_the_drops_are_shaded_between_their_means():
    networks = planted()
    _, lower = draw_figure2(networks, "test_top1", 6.5).axes
    means = networks.groupby(["treatment", "n"])["test_top1"].mean()
    co_adaptation, specificity = (
        {(round(x), round(y, 6)) for x, y in shade.get_paths()[0].vertices.tolist()} for shade in lower.collections
    )
    assert co_adaptation == {(n, round(means[pair], 6)) for n in range(1, 8) for pair in (("base", 0), ("selffer", n))}
    assert specificity == {(n, round(means[name, n], 6)) for n in range(1, 8) for name in ("selffer", "transfer")}


@pytest.mark.parametrize(
    ("treatments", "shades"),
    [(["selffer"], 1), (["transfer"], 0), (["selffer", "transfer"], 2), (["random"], 0), ([], 0)],
)
def test_a_drop_is_shaded_and_explained_where_both_its_means_are_there(treatments, shades):
    figure = draw_figure2(planted(treatments), "test_top1", 6.5)
    assert len(figure.axes[1].collections) == shades
    assert sum(text.get_text().startswith("drop by") for text in figure.legends[0].get_texts()) == shades


def test_the_legend_names_every_treatment_in_order():
    figure = draw_figure2(planted(["random", "transfer-k2", "selffer", "transfer+"]), "test_top1", 6.5)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "base",
        "selffer BnB: copied from the same task, frozen",
        "transfer AnB+: ... and fine-tuned",
        "random RnB: untrained filters, frozen",
        "transfer AnB-k2: frozen, 2 above preserved",
        "drop by fragile co-adaptation",
    ]


def test_the_footer_says_what_the_figure_rests_on():
    assert footer_of(draw_figure2(planted(), "test_top1", 6.5)) == (
        "digits, tiny: 288 networks; splits: 2; targets: A, B; seeds: 0, 1; cells missing: 0"
    )


def test_untrained_networks_are_left_out_and_counted():
    networks = planted()
    untrained = (networks["treatment"] == "random") & (networks["n"] >= 3)
    networks.loc[untrained, ["trained", "test_top1"]] = False, 0.2
    figure = draw_figure2(networks, "test_top1", 6.5)
    upper, lower = figure.axes
    assert {n for n, _ in points_of(upper, "random")} == {1, 2}
    assert {n for n, accuracy in curve_of(lower, "random").items() if accuracy == accuracy} == {1, 2}
    assert footer_of(figure) == (
        "digits, tiny: 248 networks; splits: 2; targets: A, B; seeds: 0, 1; cells missing: 40 (did not train)"
    )


def test_one_untrained_network_leaves_the_mean_of_the_others():
    networks = planted()
    cell = (networks["treatment"] == "transfer") & (networks["n"] == 5)
    networks.loc[networks[cell].index[0], ["trained", "test_top1"]] = False, 0.0
    _, lower = draw_figure2(networks, "test_top1", 6.5).axes
    assert curve_of(lower, "transfer")[5] == pytest.approx(networks[cell]["test_top1"].iloc[1:].mean())


def test_a_treatment_that_nowhere_trained_is_not_in_the_legend():
    networks = planted()
    networks.loc[networks["treatment"] == "random", "trained"] = False
    figure = draw_figure2(networks, "test_top1", 6.5)
    assert not any("random" in text.get_text() for text in figure.legends[0].get_texts())


def test_nothing_to_draw_is_said_plainly():
    networks = planted()
    networks["trained"] = False
    with pytest.raises(InputError) as error:
        draw_figure2(networks, "test_top1", 6.5)
    assert str(error.value) == "no network of this study trained, so there is nothing to draw; see the column `reason`"


def test_every_kind_of_split_has_a_column_of_its_own_networks():
    networks = planted(["selffer"], kinds={"even-odd": "groups", "random0": "random", "mine": "classes"})
    networks.loc[networks["kind"] == "groups", "test_top1"] -= 0.5
    figure = draw_figure2(networks, "test_top1", 6.5)
    assert len(figure.axes) == 6
    assert [panel.get_title() for panel in figure.axes[:3]] == list(KINDS.values())
    for column, kind in enumerate(KINDS):
        rows = networks[(networks["kind"] == kind) & (networks["treatment"] == "selffer")]
        assert points_of(figure.axes[column], "selffer") == sorted(
            zip(rows["n"], rows["test_top1"].round(6), strict=True)
        )
        means = rows.groupby("n")["test_top1"].mean().to_dict()
        assert curve_of(figure.axes[3 + column], "selffer") == pytest.approx(means)
    assert footer_of(figure).startswith("digits, tiny: 96 networks; splits: 3;")


def test_every_layer_that_is_drawn_has_its_tick():
    networks = planted(kinds={"random0": "random", "even-odd": "groups"})
    networks.loc[(networks["kind"] == "groups") & (networks["n"] == 7), "trained"] = False
    figure = draw_figure2(networks, "test_top1", 6.5)
    ticks = [tick.get_text() for tick in figure.axes[2].get_xticklabels()]
    assert ticks == ["base", "1", "2", "3", "4", "5", "6", "7"]


@pytest.mark.parametrize("layers", [(3,), (1, 7)])
@pytest.mark.parametrize("treatments", [["transfer"], ["random"], ["selffer-k1"], []])
def test_a_study_may_be_small(treatments, layers, tmp_path):
    networks = planted(treatments, layers, {"random0": "random"}, (0,))
    figure = draw_figure2(networks, "test_top1", 6.5)
    save_figure(figure, tmp_path / "figure.png", 50)
    upper, lower = figure.axes
    for treatment in treatments:
        assert {n for n, _ in points_of(upper, treatment)} == set(layers)
        assert set(curve_of(lower, treatment)) == set(layers)
    assert len(points_of(upper, "base")) == 2


def test_preserved_treatments_are_drawn():
    networks = planted(["selffer-k1", "transfer-k1", "transfer-k2"], layers=(1, 2, 3, 4, 5))
    networks.loc[networks["treatment"] == "transfer-k2", "test_top1"] += 0.05
    figure = draw_figure2(networks, "test_top1", 6.5)
    means = networks.groupby(["treatment", "n"])["test_top1"].mean()
    drawn = [list(line.get_ydata()) for line in figure.axes[1].get_lines()]
    for treatment in ("selffer-k1", "transfer-k1", "transfer-k2"):
        assert any(curve == pytest.approx(means[treatment].tolist()) for curve in drawn), treatment
    assert sum(len(collection.get_offsets()) for collection in figure.axes[0].collections) == len(networks)


def test_treatments_are_told_apart_without_colour():
    styles = Counter((style_of(name).marker, style_of(name).dashes) for name in EVERY_TREATMENT)
    assert [style for style, count in styles.items() if count > 1] == []


def test_no_treatments_points_lie_on_anothers_or_on_another_layer():
    offsets = Counter(style_of(name).offset for name in EVERY_TREATMENT if name != "base")
    assert [offset for offset, count in offsets.items() if count > 1] == []
    assert all(abs(offset) < 0.5 for offset in offsets)


def test_treatments_are_ordered_as_the_legend_is():
    networks = planted(["transfer-k2", "random", "selffer-k1", "transfer"])
    assert ordered_treatments(networks) == ["base", "transfer", "random", "selffer-k1", "transfer-k2"]


def test_the_figure_has_the_width_that_was_asked_for():
    assert draw_figure2(planted(), "test_top1", 4.25).get_size_inches()[0] == 4.25


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_same_table_gives_the_same_bytes(kind, tmp_path):
    for name in ("one", "two"):
        figure = draw_figure2(planted(), "test_top1", 6.5)
        save_figure(figure, tmp_path / f"{name}.{kind}", 100)
        save_figure(figure, tmp_path / f"{name} again.{kind}", 100)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_file_does_not_depend_on_what_was_saved_before_it(kind, tmp_path):
    save_figure(draw_figure2(planted(), "test_top1", 6.5), tmp_path / f"alone.{kind}", 100)
    figure = draw_figure2(planted(), "test_top1", 6.5)
    for name in ("first.svg", "first.png", "second.svg", "second.png"):
        save_figure(figure, tmp_path / name, 100)
    for name in ("first", "second"):
        assert (tmp_path / f"{name}.{kind}").read_bytes() == (tmp_path / f"alone.{kind}").read_bytes(), name


def test_the_command_draws_from_a_table_on_disk(tmp_path, monkeypatch):
    planted(["selffer", "transfer"]).assign(test_top5=None, source=None).to_csv(tmp_path / "networks.csv", index=False)
    for folder in ("one", "two"):
        monkeypatch.setattr(
            sys,
            "argv",
            [
                "figures",
                *("--networks", str(tmp_path / "networks.csv"), "--read-out", "test_top1"),
                *("--width", "6.5", "--dpi", "50"),
                *("--into", str(tmp_path / folder / "figure2.svg"), str(tmp_path / folder / "figure2.png")),
            ],
        )
        figures.main()
    for name in ("figure2.svg", "figure2.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert (tmp_path / "one/figure2.png").read_bytes().startswith(b"\x89PNG")
    assert re.search("<svg ", (tmp_path / "one/figure2.svg").read_text())


def test_names_that_look_like_numbers_stay_apart(tmp_path, monkeypatch):
    table = planted(["transfer"])
    table["split"] = table["split"].map(dict(zip(sorted(table["split"].unique()), ("1", "01"), strict=True)))
    table.assign(test_top5=None, source=None).to_csv(tmp_path / "networks.csv", index=False)
    read = []
    monkeypatch.setattr("transferability.figures.save_figure", lambda figure, path, dpi: read.append(footer_of(figure)))
    options = ["--networks", str(tmp_path / "networks.csv"), "--read-out", "test_top1", "--width", "5", "--dpi", "50"]
    monkeypatch.setattr(sys, "argv", ["figures", *options, "--into", "figure2.svg"])
    main()
    assert "splits: 2;" in read[0]
