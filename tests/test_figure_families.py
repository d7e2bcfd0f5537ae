"""Effects, volume, distance, learning curves and filters: what is drawn is what is planted or what files hold."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from drawn import drawing_of
from matplotlib.axes import Axes
from planted import GAINS, HALVES, PRETRAINED_GAINS, plant, reduce
from safetensors.numpy import save_file

from transferability.analysis.effects import effects_table
from transferability.analysis.tables import IDENTITY, LEARNING_COLUMNS, shape_table
from transferability.errors import InputError
from transferability.figures import distance, effects, filters, learning, volume
from transferability.figures.filters import BETWEEN, SCALE, first_layer, tile_filters
from transferability.figures.records import Drawing, NothingToDrawError


def some(*treatments: str) -> dict:
    return {name: GAINS[name] for name in ("base", *treatments)}


def noisy(seed: int = 0, size: float = 0.01):
    generator = np.random.default_rng(seed)
    return lambda: float(generator.normal(0, size))


def footer_of(drawing: Drawing) -> str:
    return drawing.figure.legends[0].get_title().get_text().replace("\n", " ")


def shown(drawing: Drawing) -> dict[str, Axes]:
    """The visible panels by title."""
    return {panel.get_title("left").replace("\n", " "): panel for panel in drawing.figure.axes if panel.get_visible()}


def bars_of(panel: Axes) -> list[tuple[float, float]]:
    """The intervals of a panel, by n."""
    segments = [
        segment for lines in panel.collections if hasattr(lines, "get_segments") for segment in lines.get_segments()
    ]
    return [(round(float(low), 6), round(float(high), 6)) for (_, low), (_, high) in segments]


def effects_drawing(networks: pd.DataFrame, unbalanced: bool = False) -> Drawing:
    return drawing_of(effects, networks, unbalanced=unbalanced)


class TestEffects:
    def test_means_and_intervals_are_those_of_the_table(self):
        networks = plant(noise=noisy())
        panels = shown(effects_drawing(networks))
        assert list(panels) == [
            "Fragile co-adaptation, BnB − base",
            "Specificity, AnB − BnB",
            "Frozen transfer, AnB − base",
            "Fine-tuned selffer, BnB+ − base",
            "Fine-tuned transfer, AnB+ − base",
            "Lingering boost, AnB+ − BnB+",
            "Random filters, RnB − base",
            "Preserved transfer-k2, AnB-k2 − base",
        ]
        table = effects_table(networks, unbalanced=False)
        rows = table[(table["effect"] == "total") & (table["read_out"] == "test_top1") & table["n"].notna()]
        expected = list(zip(rows["low"].round(6), rows["high"].round(6), strict=True))
        assert bars_of(panels["Frozen transfer, AnB − base"]) == expected

    def test_pretrained_networks_have_their_effects_also_over_random_ones(self):
        networks = plant(PRETRAINED_GAINS, noise=noisy(), layers=(1, 12))
        panels = shown(effects_drawing(networks))
        assert list(panels)[1:] == [
            "Frozen pretrained, PnB − base",
            "Fine-tuned pretrained, PnB+ − base",
            "Pretrained over random, PnB − RnB",
        ]
        table = effects_table(networks, unbalanced=False)
        rows = table[(table["effect"] == "pretrained over random") & (table["read_out"] == "test_top1")]
        expected = list(zip(rows["low"].round(6), rows["high"].round(6), strict=True))[:2]
        assert bars_of(panels["Pretrained over random, PnB − RnB"]) == expected

    def test_every_pair_has_a_point(self):
        networks = plant(some("transfer"), noise=noisy())
        (panel,) = shown(effects_drawing(networks)).values()
        assert len(panel.collections[0].get_offsets()) == 4 * 2 * 3

    def test_one_unit_has_no_interval_and_says_why(self):
        drawing = effects_drawing(plant(some("transfer"), {"random0": "random"}))
        assert bars_of(next(iter(shown(drawing).values()))) == []
        assert footer_of(drawing).endswith("No intervals: they need two independent units (splits × seeds)")
        assert not any("interval" in text.get_text() for text in drawing.figure.legends[0].get_texts())

    def test_the_footer_counts_units(self):
        assert "Intervals over 4 independent units" in footer_of(effects_drawing(plant(noise=noisy())))

    def test_the_footer_counts_the_networks_that_are_drawn(self):
        """Not the networks at reduced volume, and not selffers that differ from nothing that is there."""
        few = reduce(plant(some("transfer"), {"few": "random"}), {"A": 10, "B": 10})
        alone = plant({"selffer": GAINS["selffer"]}, {"alone": "random"})
        networks = pd.concat([plant(some("transfer"), noise=noisy()), few, alone], ignore_index=True)
        assert "digits, tiny: 32 networks shown" in footer_of(effects_drawing(networks))

    def test_a_refused_mean_is_not_drawn_and_counted_but_its_pairs_are(self):
        """Selffers of one target only, as in the original's logs: the boost has pairs, its units lack a target."""
        networks = plant(some("selffer", "transfer"), noise=noisy())
        networks = networks[(networks["treatment"] != "selffer") | (networks["target"] == "A") | (networks["n"] > 1)]
        drawing = effects_drawing(networks)
        panel = shown(drawing)["Fragile co-adaptation, BnB − base"]
        assert {round(float(n)) for n, _ in panel.collections[0].get_offsets()} == {1, 4, 7}
        assert len(bars_of(panel)) == 2
        assert "2 means not drawn: see the column `note`" in footer_of(drawing)

    def test_a_mean_over_other_cells_than_the_rest_is_hollow_and_counted(self):
        networks = plant(some("transfer"), noise=noisy())
        networks = networks[(networks["network"] != "B4A") | (networks["split"] != "random0")]
        drawing = effects_drawing(networks, unbalanced=True)
        (panel,) = shown(drawing).values()
        hollow = [line for line in panel.get_lines() if line.get_markerfacecolor() == "white"]
        assert [[round(x) for x in line.get_xdata()] for line in hollow] == [[4]]
        assert len(bars_of(panel)) == 3
        assert footer_of(drawing).endswith("Hollow too: 1 mean over other cells than the rest, or of nothing paired")
        assert "Hollow too" not in footer_of(effects_drawing(networks))

    def test_means_of_an_effect_without_any_pair_have_no_panel_and_are_not_counted_as_drawn(self):
        """As in the original's logs: fine-tuned selffers of A, and transfers to B."""
        networks = plant(some("selffer+", "transfer+"), noise=noisy())
        odd = {"selffer+": "B", "transfer+": "A"}
        networks = networks[networks["treatment"].map(odd) != networks["target"]]
        drawing = effects_drawing(networks, unbalanced=True)
        assert list(shown(drawing)) == ["Fine-tuned selffer, BnB+ − base", "Fine-tuned transfer, AnB+ − base"]
        assert "Hollow too" not in footer_of(drawing)

    def test_bases_alone_give_a_sentence(self):
        with pytest.raises(NothingToDrawError, match="no pair of networks on one target"):
            effects_drawing(plant(some()))


def reduced(volumes: tuple[int, ...]) -> pd.DataFrame:
    """Planted base networks on few images a class, better with more; those on 5 did not train."""
    tables = [
        plant({"base": lambda n, k=k: 0.1 * np.log10(k)}, {f"whole-{k}": "whole"}, targets="A").assign(volume=k)
        for k in volumes
    ]
    table = pd.concat(tables, ignore_index=True)
    return table.assign(trained=table["volume"] != 5)


class TestVolume:
    def test_the_curve_has_the_accuracies_and_a_gap_at_what_did_not_train(self):
        drawing = drawing_of(volume, reduced((1, 5, 10, 100)))
        (panel,) = drawing.figure.axes
        (line,) = (line for line in panel.get_lines() if len(line.get_xdata()) == 4)
        assert list(line.get_xdata()) == [1, 5, 10, 100]
        assert line.get_ydata()[[0, 2, 3]] == pytest.approx([0.5, 0.6, 0.7])
        assert np.isnan(line.get_ydata()[1])
        assert panel.get_xscale() == "log"
        assert "60.0 % with 10" in drawing.caption
        assert drawing.caption.endswith("1 did not train and are hollow.")

    def test_all_images_are_a_dotted_level(self):
        networks = pd.concat([reduced((1, 10)), plant(some(), {"whole": "whole"}, targets="A")], ignore_index=True)
        (panel,) = drawing_of(volume, networks).figure.axes
        assert [line.get_ydata()[0] for line in panel.get_lines() if line.get_linestyle() == ":"] == [0.5]

    def test_each_kind_of_split_has_a_panel_and_a_level_of_its_own(self):
        halves = reduced((1, 10)).assign(kind="random", seed=1)
        networks = pd.concat([reduced((1, 10)), halves, plant(some(), {"random0": "random"})], ignore_index=True)
        networks.loc[networks["kind"] == "random", "test_top1"] += 0.1
        drawing = drawing_of(volume, networks)
        panels = shown(drawing)
        assert list(panels) == ["base networks, random halves of the classes", "base networks, all classes"]
        lines = [[list(line.get_ydata()) for line in panel.get_lines()] for panel in panels.values()]
        assert lines == [[pytest.approx([0.6, 0.7]), pytest.approx([0.625] * 2)], [pytest.approx([0.5, 0.6])]]
        assert "Base networks, all classes, score 50.0 % with 1, 60.0 % with 10 images" in drawing.caption

    def test_what_differs_in_the_other_tasks_volume_has_lines_and_levels_of_its_own(self):
        networks = pd.concat([reduced((1, 10)), reduced((1, 10)).assign(seed=1)], ignore_index=True)
        both = networks["seed"] == 1
        networks.loc[both, "other_volume"] = networks["volume"]
        networks.loc[both, "test_top1"] -= 0.2
        drawing = drawing_of(volume, networks)
        (panel,) = drawing.figure.axes
        assert [list(line.get_ydata()) for line in panel.get_lines()] == [
            pytest.approx([0.5, 0.6]),
            pytest.approx([0.3, 0.4]),
        ]
        assert len({line.get_linestyle() for line in panel.get_lines()}) == 2
        words = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
        assert words == ["base", "all images of the other task", "as many images of the other task"]
        assert "with as many images of the other task, score 30.0 % with 1, 40.0 % with 10" in drawing.caption

    def test_one_volume_is_no_curve(self):
        with pytest.raises(NothingToDrawError, match="two or more volumes"):
            drawing_of(volume, reduced((10,)))


def distant(count: int, name: str = "a_distance") -> pd.DataFrame:
    """Planted splits whose frozen transfer costs as much as their tasks are apart."""
    tables = [
        plant(some() | {"transfer": lambda n, d=index: -0.02 * d}, {f"graded{index}": "graded"}).assign(**{name: index})
        for index in range(1, count + 1)
    ]
    return pd.concat(tables, ignore_index=True)


class TestDistance:
    @pytest.mark.parametrize("name", ["a_distance", "synset_distance"])
    def test_a_point_is_a_split_and_the_correlation_is_stated(self, name):
        networks = distant(6, name)
        drawing = drawing_of(distance, networks)
        panels = shown(drawing)
        assert list(panels) == ["n = 1", "n = 4", "n = 7"]
        offsets = panels["n = 4"].collections[0].get_offsets()
        assert offsets.tolist() == pytest.approx(np.array([(d, -0.02 * d) for d in range(1, 7)]))
        assert "r = −1.00 at n = 4" in drawing.caption, "graded splits share task A"
        assert footer_of(drawing).endswith("r: Pearson's, without an interval, since graded splits share task A")
        assert "6 splits" in drawing.caption

    def test_the_correlation_over_splits_of_their_own_has_an_interval(self):
        networks = distant(6).assign(kind="random")
        drawing = drawing_of(distance, networks)
        assert "r = −1.00 (−1.00 to −1.00) at n = 4" in drawing.caption
        assert footer_of(drawing).endswith("r: Pearson's, with Fisher's 95 % interval from 4 splits on")
        few = networks[(networks["n"] != 7) | networks["split"].eq("graded1")]
        drawing = drawing_of(distance, few)
        assert "; no two different units to correlate at n = 7." in drawing.caption

    def test_the_footer_counts_the_networks_that_are_drawn(self):
        networks = pd.concat([distant(6), reduce(distant(6), {"A": 10, "B": 10}).assign(seed=1)], ignore_index=True)
        more = plant({"random": GAINS["random"]}, {"graded1": "graded"})
        networks = pd.concat([networks, more], ignore_index=True)
        drawing = drawing_of(distance, networks)
        assert "digits, tiny: 48 networks shown" in footer_of(drawing)

    @pytest.mark.parametrize("networks", [distant(4), distant(6).assign(a_distance=1.0), plant(some("transfer"))])
    def test_too_few_distances_give_a_sentence(self, networks):
        with pytest.raises(NothingToDrawError, match="needs frozen transfer on 5 or more splits of different distance"):
            drawing_of(distance, networks)


def learning_table(networks: pd.DataFrame, accuracies: Callable[[int, dict], list[float]]) -> pd.DataFrame:
    """How planted networks learnt: the accuracies that are given for each one's index and row, ten steps apart."""
    rows = [
        {name: network[name] for name in IDENTITY} | {"step": 10 * (i + 1), "validation_top1": accuracy}
        for index, network in enumerate(networks.to_dict("records"))
        for i, accuracy in enumerate(accuracies(index, network))
    ]
    return shape_table(rows, LEARNING_COLUMNS)


class TestLearning:
    def test_a_line_is_the_mean_of_the_networks_of_its_treatment_and_n(self):
        networks = plant(some("transfer"), {"random0": "random"})
        steps = learning_table(networks, lambda index, network: [0.01 * index, 0.5 + network["n"] / 100])
        drawing = drawing_of(learning, networks, learning=steps)
        panels = shown(drawing)
        ends = [line.get_ydata()[-1] for line in panels["transfer AnB"].get_lines()]
        assert ends == pytest.approx([0.5, 0.51, 0.54, 0.57])
        starts = [line.get_ydata()[0] for line in panels["transfer AnB"].get_lines()]
        assert starts == pytest.approx([0.005, 0.025, 0.045, 0.065]), "means of two targets"
        single = [line.get_ydata().tolist() for line in panels["base"].get_lines()[1:]]
        assert single == [[0, 0.5], [pytest.approx(0.01), 0.5]], "each base network alone"
        assert all(line.get_xdata().tolist() == [10, 20] for line in panels["base"].get_lines())
        assert "transfer 51.0–57.0 %" in drawing.caption

    def test_lines_over_other_networks_than_the_bases_are_named_in_the_footer(self):
        """Random filters of another kind of split, whose base networks are part of the dotted line."""
        halves = plant(some("transfer", "selffer"), {"random0": "random"})
        more = pd.concat([halves, plant(some("random"), {"whole": "whole"}, targets="A")], ignore_index=True)
        gap = halves[halves["network"] != "B4A"]
        for networks, names in ((halves, None), (more, "BnB, AnB and RnB"), (gap, "AnB")):
            steps = learning_table(networks, lambda index, network: [0.5])
            found = footer_of(drawing_of(learning, networks, learning=steps))
            assert found.endswith(
                f"than the base's, not to be compared with them: {names}" if names else "the coverage"
            )

    def test_a_network_that_the_table_does_not_tell_of_is_named(self):
        networks = plant(some("transfer"), {"random0": "random"})
        steps = learning_table(networks, lambda index, network: [0.5])
        with pytest.raises(InputError, match=r"learning.csv: lacks how A4B of random0, seed 0, learnt"):
            drawing_of(learning, networks, learning=steps[steps["network"] != "A4B"])

    def test_what_did_not_train_is_left_out(self):
        networks = plant(some("transfer"), {"random0": "random"})
        steps = learning_table(networks, lambda index, network: [0.5 + network["n"] / 100])
        odd = networks.assign(trained=networks["n"] != 7)
        drawing = drawing_of(learning, odd, learning=steps)
        assert len(shown(drawing)["transfer AnB"].get_lines()) == 3
        assert "transfer 51.0–54.0 %" in drawing.caption


def test_filters_are_tiled_with_zero_as_mid_grey_and_each_scaled_by_its_own_largest():
    weights = np.zeros((3, 1, 2, 2))
    weights[0, 0, 0, 0], weights[1, 0, 1, 1] = 5, -0.1
    image = tile_filters(weights, columns=2)
    side = 2 * SCALE
    assert image.shape == (2 * side + SCALE, 2 * side + SCALE, 3)
    assert image[0, 0].tolist() == [1, 1, 1]
    assert image[0, side - 1].tolist() == [0.5, 0.5, 0.5]
    assert image[side - 1, -1].tolist() == [0, 0, 0]
    assert image[-1, 0].tolist() == [0.5, 0.5, 0.5], "a filter of zeros"
    assert image[0, side].tolist() == list(BETWEEN)
    assert image[-1, -1].tolist() == list(BETWEEN), "there is no fourth filter"


def test_filters_of_three_channels_are_in_colour():
    weights = np.zeros((1, 3, 1, 1))
    weights[0, 0], weights[0, 2] = 2, -2
    assert tile_filters(weights, columns=1)[0, 0].tolist() == [1, 0.5, 0]


def save_network(path, first: tuple[int, ...], **others: tuple[int, ...]) -> None:
    """Weights as a checkpoint holds them: the first layer's, by their shape, and others by name and shape."""
    generator = np.random.default_rng(0)
    shapes = {"conv1.conv.weight": first, "fc8.fc.weight": (2, 16), **others}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: generator.normal(size=shape).astype("float32") for name, shape in shapes.items()}, path)


@pytest.fixture
def models(tmp_path):
    """Base networks of the planted study's splits, as checkpoints."""
    for split in HALVES:
        for side in "AB":
            save_network(tmp_path / f"{split}/seed0/base{side}/model.safetensors", (8, 1, 5, 5))
    return tmp_path


def test_filters_of_base_networks_are_read_from_their_checkpoints(models):
    networks = plant(some("transfer"))
    drawing = drawing_of(filters, networks, models=models)
    assert len(shown(drawing)) == 8
    assert drawing.caption.startswith("The 8 filters of 5×5 pixels of the first layer, in grey, of 8 base networks")
    assert "digits, tiny: 8 networks shown" in footer_of(drawing)
    image = shown(drawing)["random0, seed 0, baseA"].get_images()[0].get_array()
    weights = np.random.default_rng(0).normal(size=(8, 1, 5, 5)).astype("float32")
    assert np.asarray(image) == pytest.approx(tile_filters(weights, 8))


def test_filters_of_three_pixels_show_nothing_and_are_left_out(tmp_path):
    save_network(tmp_path / "random0/seed0/baseA/model.safetensors", (8, 1, 3, 3))
    with pytest.raises(NothingToDrawError) as error:
        drawing_of(filters, plant(some(), {"random0": "random"}, targets="A"), models=tmp_path)
    assert str(error.value) == "filters of 3×3 pixels show nothing to a reader"


@pytest.mark.parametrize(
    ("shapes", "first"),
    [
        ({"stem.conv1.weight": [64, 3, 7, 7], "layer1.0.conv1.weight": [64, 64, 3, 3]}, "stem.conv1.weight"),
        ({"stem.0.weight": [96, 3, 4, 4], "stages.0.0.conv_dw.weight": [96, 1, 7, 7]}, "stem.0.weight"),
        ({"embed.proj.weight": [192, 3, 16, 16], "head.fc.weight": [10, 192]}, "embed.proj.weight"),
        ({"conv1.conv.weight": [8, 1, 5, 5], "conv2.conv.weight": [16, 8, 3, 3]}, "conv1.conv.weight"),
        ({"stem.0.weight": [96, 1, 4, 4], "stages.0.0.conv_dw.weight": [96, 1, 7, 7]}, None),
        ({"fc1.weight": [10, 64]}, None),
    ],
)
def test_the_first_layer_is_the_convolution_that_reads_the_images(shapes, first):
    assert first_layer(shapes) == first


def test_a_network_without_filters_gives_a_sentence(tmp_path):
    save_network(tmp_path / "random0/seed0/baseA/model.safetensors", (8, 64))
    with pytest.raises(NothingToDrawError, match="the first layer of these networks has no filters that are images"):
        drawing_of(filters, plant(some(), {"random0": "random"}, targets="A"), models=tmp_path)


def test_of_many_base_networks_the_first_are_shown_and_it_says_so(models):
    more = plant(some(), {"zebra": "random"})
    drawing = drawing_of(filters, pd.concat([plant(some()), more], ignore_index=True).iloc[::-1], models=models)
    assert "of 8 base networks of 10" in drawing.caption
    assert footer_of(drawing).endswith("of 10 base networks the first 8 are shown")


def test_a_checkpoint_that_is_no_network_is_named(models):
    path = models / "random0/seed0/baseA/model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"baseA/model\.safetensors: not a whole checkpoint"):
        drawing_of(filters, plant(some()), models=models)
