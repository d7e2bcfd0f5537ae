"""Draws of probes: their table, what pairs of them say, and the figures and published numbers beside them."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import yaml
from drawn import drawing_of
from planted import plant
from scipy.stats import ttest_rel
from test_looks import CHECKOUT, SCHEMA

from transferability.analysis.draws import draw_effects, draw_rows
from transferability.analysis.published import published_table
from transferability.analysis.tables import DRAW_COLUMNS, RETRIEVAL_COLUMNS, shape_table, write_table
from transferability.errors import InputError
from transferability.figures import domains, probes
from transferability.figures.effect_texts import draw_effect_rows
from transferability.figures.records import NothingToDrawError
from transferability.networks.notation import parse_network
from transferability.study.grid import study_figures
from transferability.study.params import check_params
from transferability.words import points

ARMS = {"svm": ("target", 0.6), "svmSource": ("other", 0.5), "svmBoth": ("both", 0.7)}
SPLITS = {"photo-art": "groups", "photo-cartoon": "groups"}
TASKS = {"photo-art": {"A": "photo", "B": "art"}, "photo-cartoon": {"A": "photo", "B": "cartoon"}}


def planted_draws(splits: dict[str, str] = SPLITS, layers: tuple[int, ...] = (1, 4, 7)) -> pd.DataFrame:
    """Draws of the three arms of P; each arm has its level, each draw adds the same to all, and each cell a little."""
    generator, rows = np.random.default_rng(0), []
    shared = generator.normal(0, 0.05, 5)
    for split, n, (probe, (learn_from, level)), draw in product(splits, layers, ARMS.items(), range(5)):
        identity = parse_network(f"P{n}B-{probe}")
        accuracy = level + 0.01 * n + shared[draw] + generator.normal(0, 0.002)
        rows.append(
            {
                "dataset": "digits",
                "architecture": "tiny",
                "split": split,
                "seed": 0,
                "network": identity.name,
                "treatment": identity.treatment,
                "source": "P",
                "n": n,
                "stage": f"layer{n}",
                "target": "B",
                "option": probe,
                "classifier": "svm",
                "normalisation": "l2",
                "pooling": "gap",
                "learn_from": learn_from,
                "images_per_class": 3,
                "draw": draw + 1,
                "chosen": 1,
                "other_per_class": None if learn_from == "target" else 20,
                "validation_top1": accuracy / 2,
                "test_top1": accuracy,
                "test_mean_per_class": accuracy - 0.01,
            }
        )
    return shape_table(rows, DRAW_COLUMNS)


def planted_networks() -> pd.DataFrame:
    """The rows of networks.csv beside these draws."""
    return plant({f"pretrained-{probe}": lambda n: 0.1 for probe in ARMS}, SPLITS, targets="B")


def test_a_draw_is_a_row_and_what_has_several_labels_has_none():
    identity = {"network": "P3B-svm", "treatment": "pretrained-svm", "source": "P", "n": 3, "target": "B"}
    said = {"classifier": "svm", "normalisation": "l2", "learn_from": "other", "images_per_class": 3}
    drawn = {part: {"values": [0.25, 0.75]} for part in ("validation", "test")}
    scores = {"draws_top1": drawn, "draws_mean_per_class": drawn}
    probe = said | scores | {"other_per_class": 20, "pooling": {"kind": "gap"}, "chosen": [1, 10]}
    probe["reasons"] = ["the largest of the choices, 10, was best; a better one may lie beyond"]
    metrics = identity | {"stage": "conv3", "option": "svm", "probe": probe}
    place = {"dataset": "digits", "architecture": "tiny", "split": "random0", "seed": 0}
    rows = shape_table(list(draw_rows(place, metrics)), DRAW_COLUMNS)
    assert rows[["draw", "chosen", "test_top1"]].to_numpy().tolist() == [[1, 1, 0.25], [2, 10, 0.75]]
    assert set(rows["note"]) == set(probe["reasons"])
    assert set(rows["other_per_class"]) == {20}
    del probe["draws_top1"]
    assert list(draw_rows(place, metrics)) == []


def test_effects_over_draws_are_paired_draw_by_draw_and_have_student_s_interval():
    draws = planted_draws()
    effects = draw_effects(draws)
    assert set(effects["effect"]) == {"svmSource over svm, pretrained", "svmBoth over svm, pretrained"}
    chosen = effects["effect"].str.startswith("svmBoth") & (effects["read_out"] == "test_top1")
    row = effects[chosen & (effects["split"] == "photo-art") & (effects["n"] == 4)].iloc[0]
    cell = draws[(draws["split"] == "photo-art") & (draws["n"] == 4)].set_index("option")["test_top1"]
    low, high = ttest_rel(cell["svmBoth"], cell["svm"]).confidence_interval()
    assert (row["low"], row["high"], row["draws"]) == (pytest.approx(low), pytest.approx(high), 5)
    (told,) = [
        told
        for told in draw_effect_rows(effects, "test_top5")
        if (told["n"], told["place"][:9]) == (4, "photo-art") and told["name"].startswith("SvmBoth")
    ]
    assert told["mean"] == points(row["mean"])
    assert told["interval"] == f"{points(low)} to {points(high)}"
    # Paired, the spread that draws share is gone.
    assert row["high"] - row["low"] < cell["svm"].std()


def test_probes_of_one_draw_or_of_unlike_numbers_of_draws_have_no_effect_over_draws():
    draws = planted_draws()
    assert draw_effects(draws[draws["draw"] == 1]).empty
    assert draw_effects(draws[(draws["draw"] < 5) | (draws["option"] != "svm")]).empty


class TestDomains:
    def drawing(self, tmp_path, draws: pd.DataFrame):
        write_table(tmp_path / "draws.csv", draws)
        return drawing_of(domains, planted_networks(), "test_mean_per_class", tables=tmp_path, tasks=TASKS)

    def test_a_panel_is_a_pair_of_domains_and_its_lines_the_means_of_the_arms(self, tmp_path):
        draws = planted_draws()
        drawing = self.drawing(tmp_path, draws)
        panels = [panel for panel in drawing.figure.axes if panel.get_visible()]
        assert [panel.get_title("left") for panel in panels] == ["photo → art", "photo → cartoon"]
        lines = {line.get_label(): line for line in panels[0].get_lines() if len(line.get_xdata()) == 3}
        means = draws[draws["split"] == "photo-art"].groupby(["option", "n"])["test_mean_per_class"].mean()
        heights = sorted(tuple(np.round(line.get_ydata(), 9)) for line in lines.values())
        assert heights == sorted(tuple(np.round(means[probe], 9)) for probe in ARMS)
        bars = [segment for bar in panels[0].collections for segment in bar.get_segments()]
        assert len(bars) == 3 * 3
        legend = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
        assert legend == ["S: source only", "T: target only", "S+T: source and target"]

    def test_the_caption_has_the_arms_at_the_last_cut_and_what_they_differ_by(self, tmp_path):
        draws = planted_draws()
        caption = self.drawing(tmp_path, draws).caption
        last = (
            draws[(draws["n"] == 7) & (draws["split"] == "photo-art")].groupby("option")["test_mean_per_class"].mean()
        )
        stated = f"S {100 * last['svmSource']:.1f}, T {100 * last['svm']:.1f} and S+T {100 * last['svmBoth']:.1f} %"
        assert stated in caption
        assert f"S+T − T +{100 * (last['svmBoth'] - last['svm']):.1f} (+" in caption
        assert "20 of the source and 3 of the target, images a class," in caption

    def test_a_study_without_such_arms_says_so(self, tmp_path):
        draws = planted_draws()
        with pytest.raises(NothingToDrawError, match="no probe learns from the other task's images; let one learn"):
            self.drawing(tmp_path, draws[draws["learn_from"] == "target"])


class TestPublished:
    RECORDS = (
        {"paper": "P (2014)", "data": "digits", "dataset": "digits", "read_out": "test_mean_per_class"}
        | {"percent": {"P4B-svm": 84.77, "P5B-svm": 12.5}},
        {"paper": "P (2014)", "data": "letters", "read_out": "test_mean_per_class", "percent": {"P4B-svm": 50}},
        {"paper": "R (2014)", "data": "digits", "dataset": "digits", "read_out": "map", "way": "spatial"}
        | {"percent": {"P4B": 70}},
    )

    def table(self, retrieval: pd.DataFrame | None = None) -> pd.DataFrame:
        return published_table(list(self.RECORDS), planted_networks(), retrieval)

    def test_what_a_paper_gives_stands_beside_what_the_study_measured_on_the_same_data_alone(self):
        row = {"cut": "P4B", "n": 4, "stage": "x", "map": 0.6, "first": 0, "chance": 0, "queries": 1, "components": 1}
        found = [row | {"way": "plain", "pooling": "gap"}, row | {"way": "spatial", "pooling": "gap", "map": 0.65}]
        table = self.table(shape_table(found, RETRIEVAL_COLUMNS))
        networks = planted_networks()
        here = networks.loc[networks["network"] == "P4B-svm", "test_mean_per_class"].mean()
        assert table["here"].fillna(-1).tolist() == pytest.approx([here, -1, -1, 0.65])
        assert table["published"].tolist() == [0.8477, 0.125, 0.5, 0.7]
        assert self.table()["here"].isna().tolist() == [False, True, True, True]

    def test_cuts_of_another_architecture_are_no_counterpart(self):
        records = [self.RECORDS[0] | {"architecture": name} for name in ("tiny", "alexnet")]
        table = published_table(records, planted_networks(), None)
        assert table["comparable"].tolist() == [True, True, False, False]
        assert table["here"].isna().tolist() == [False, True, True, True]

    def test_stars_of_the_figure_are_the_published_numbers_of_the_study_s_probes(self, tmp_path):
        write_table(tmp_path / "published.csv", self.table())
        write_table(tmp_path / "draws.csv", planted_draws())
        drawing = drawing_of(probes, planted_networks(), "test_mean_per_class", tables=tmp_path, tasks=TASKS)
        for panel in drawing.figure.axes:
            stars = [line for line in panel.get_lines() if line.get_marker() == "*"]
            assert [(*line.get_xdata(), *line.get_ydata()) for line in stars] == [(4, 0.8477)]
        assert "published: P (2014)" in [text.get_text() for text in drawing.figure.legends[0].get_texts()]
        assert drawing.caption.endswith("Stars are published numbers: P (2014) (digits); 1 of 18 cuts have one.")

    def test_a_data_set_that_the_study_lacks_is_refused(self):
        params = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
        check_params(params | {"published": [*self.RECORDS]}, SCHEMA)
        with pytest.raises(InputError, match=r"published.dataset names 'office', which datasets lacks"):
            check_params(params | {"published": [self.RECORDS[0] | {"dataset": "office"}]}, SCHEMA)


def test_a_study_with_arms_has_the_figure_of_domains_and_another_with_probes_that_of_probes():
    params = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    params["study"]["treatment"] = ["transfer-svm"]
    params["probes"] = {"svm": {"classifier": "svm", "pooling": "gap"}}
    drawn = {"probes", "domains"}
    assert drawn & set(study_figures(params)) == {"probes"}
    params["probes"]["svm"]["learn_from"] = "both"
    assert drawn & set(study_figures(params)) == {"domains"}
    params["study"]["treatment"] = ["transfer"]
    assert drawn & set(study_figures(params)) == set()
