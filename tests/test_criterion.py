"""The criterion: how well predictors rank what transfer gave, on tables whose truth is planted."""

import itertools

import numpy as np
import pandas as pd
import pytest
from drawn import drawing_of
from planted import plant
from scipy.stats import kendalltau, spearmanr, weightedtau

from transferability.analysis.criterion import criterion_table
from transferability.analysis.ranks import MEASURES, bootstrap, chance_size, rank_correlation
from transferability.analysis.slopes import line, slope_rows
from transferability.analysis.tables import CRITERION_COLUMNS, SCORE_COLUMNS, shape_table, write_table
from transferability.figures import criterion, scores
from transferability.figures.records import NothingToDrawError

LAYERS = tuple(range(1, 8))
SPLITS = {f"random{index}": "random" for index in range(6)}
UP_AND_DOWN = {1: 0.0, 2: 0.02, 3: 0.05, 4: 0.03, 5: -0.02, 6: -0.06, 7: -0.12}
"""What frozen transfer gains at each cut: best in the middle, so that depth is no good guide."""


def planted_networks(**options: object) -> pd.DataFrame:
    """Seven cuts of six splits whose frozen transfer is best in the middle, and whose fine-tuned transfer falls."""
    gains = {"base": lambda n: 0, "transfer": UP_AND_DOWN.get, "transfer+": lambda n: -0.01 * n}
    return plant(gains, **{"splits": SPLITS, "layers": LAYERS, **options})


def planted_scores(networks: pd.DataFrame, noise: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Scores of the cuts of a networks table: ridge knows what frozen transfer gives, LogME nothing, NCE the split."""
    generator, rows = np.random.default_rng(seed), []
    for row in networks[networks["treatment"] == "transfer"].itertuples():
        place = {name: getattr(row, name) for name in ("dataset", "architecture", "split", "kind", "seed", "target")}
        common = place | {"treatment": "transfer", "source": row.source, "stage": f"conv{row.n}", "seen": False}
        common |= {"images": 100, "values": 9, "pooling": "gap", "permutations": 10, "null": 0.0}
        values = {"ridge": UP_AND_DOWN[row.n] + noise * generator.normal(), "logme": generator.normal()}
        for name, value in values.items():
            rows.append(common | {"n": row.n, "cut": row.network, "score": name, "value": value, "above": value})
        if row.n == 1:
            head = {"n": 8, "cut": f"{row.source}8{row.target}", "score": "nce", "above": int(row.split[-1])}
            rows.append(common | head | {"value": head["above"]})
    return shape_table(rows, SCORE_COLUMNS)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    networks = planted_networks()
    return criterion_table(planted_scores(networks), networks, "test_top1")


def row_of(table: pd.DataFrame, **cell: str) -> pd.Series:
    (row,) = [row for _, row in table.iterrows() if all(row[name] == value for name, value in cell.items())]
    return row


def test_a_score_that_knows_the_truth_ranks_it_and_one_that_knows_nothing_is_chance(table):
    for measure in MEASURES:
        cell = {"truth": "transfer", "over": "cuts", "measure": measure}
        ridge, logme = (row_of(table, predictor=name, **cell) for name in ("ridge", "logme"))
        assert (ridge["mean"], ridge["low"], ridge["high"]) == pytest.approx((1, 1, 1))
        assert (ridge["units"], ridge["items"], ridge["groups"]) == (6, 7, 12)
        assert ridge["note"] is None
        assert abs(logme["mean"]) < logme["chance"]
        assert "not above what chance reaches" in logme["note"]


def test_a_score_that_is_no_better_than_depth_says_so_as_does_one_that_an_accuracy_left_out_beats(table):
    cell = {"over": "cuts", "measure": "kendall"}
    assert row_of(table, predictor="depth", truth="transfer+", **cell)["mean"] == pytest.approx(1)
    assert "does not beat 'deeper is worse'" in row_of(table, predictor="ridge", truth="transfer+", **cell)["note"]
    note = row_of(table, predictor="logme", truth="transfer", **cell)["note"]
    assert note.endswith("does not beat 'deeper is worse'; beaten by ridge")


def test_rank_correlations_are_those_of_scipy_with_ties_too():
    generator, theirs = (
        np.random.default_rng(0),
        {"weighted_tau": weightedtau, "kendall": kendalltau, "spearman": spearmanr},
    )
    for _ in range(20):
        first, second = generator.integers(0, 5, (2, 9)).astype(float)
        for measure, correlate in theirs.items():
            assert rank_correlation(measure, first, second) == pytest.approx(correlate(first, second).statistic)


def test_the_chance_of_seven_layers_is_known():
    assert chance_size("weighted_tau", 7) == pytest.approx(0.67, abs=0.02)
    orders = [abs(kendalltau(order, range(5)).statistic) for order in itertools.permutations(range(5))]
    assert chance_size("kendall", 5) == pytest.approx(np.quantile(orders, 0.95), abs=0.01)


def test_what_tells_nothing_apart_ranks_nothing_and_says_so():
    assert np.isnan(rank_correlation("kendall", np.ones(5), np.arange(5)))
    networks = planted_networks(layers=(1, 4))
    table = criterion_table(planted_scores(networks), networks, "test_top1")
    row = row_of(table, predictor="ridge", truth="transfer", over="cuts", measure="spearman")
    assert np.isnan(row["mean"])
    assert row["note"].startswith("the same at all cuts, or too few")


def test_over_tasks_a_score_of_the_head_ranks_what_differs_between_tasks():
    level = {f"random{index}": 0.012 * index for index in range(6)}
    networks = planted_networks()
    more = networks["split"].map(level) * (networks["treatment"] == "transfer")
    table = criterion_table(
        planted_scores(networks), networks.assign(test_top1=networks["test_top1"] + more), "test_top1"
    )
    row = row_of(table, predictor="nce", truth="transfer", over="tasks", measure="spearman")
    assert row["mean"] == pytest.approx(1, abs=0.01)
    assert (row["units"], row["items"], row["groups"]) == (6, 12, 7)
    assert row["low"] > 0.9


def test_fewer_than_four_units_have_no_interval_and_graded_splits_none_either():
    few = planted_networks(splits={"random0": "random", "random1": "random"})
    row = row_of(
        criterion_table(planted_scores(few), few, "test_top1"),
        predictor="ridge",
        truth="transfer",
        over="cuts",
        measure="kendall",
    )
    assert np.isnan(row["low"])
    assert "2 independent units: no interval" in row["note"]
    graded = planted_networks(splits=dict.fromkeys(SPLITS, "graded"))
    table = criterion_table(planted_scores(graded), graded, "test_top1")
    assert table["low"].isna().all()
    assert table["note"].str.contains("graded splits share task A: no interval").all()


def test_a_bootstrap_of_a_mean_is_about_normal_where_units_are_many():
    values = np.random.default_rng(1).normal(size=400)
    estimate = bootstrap(lambda drawn: float(values[drawn].mean()), 400, float(values.mean()))
    error = values.std() / 20
    assert (estimate.low, estimate.high) == pytest.approx(
        (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.15 * error * 2
    )


def distant_items(distance: np.ndarray, seed: int, interaction: float) -> pd.DataFrame:
    """Gains of splits at five cuts that fall with distance, more so with depth; each split has a line of its own."""
    generator, rows = np.random.default_rng(seed), []
    for split, far in enumerate(distance):
        level, slope = generator.normal(scale=[0.02, 0.005])
        for n in range(1, 6):
            gain = level - 0.05 * far + (slope + interaction * far) * (n - 3) + generator.normal(scale=0.002)
            item = {"split": split, "seed": 0, "target": "B", "n": n, "kind": "random", "gain": gain}
            rows.append(item | {"synset_distance": -far, "a_distance": -2.0})
    return pd.DataFrame(rows)


def test_a_regression_finds_the_drop_that_distance_and_depth_make_together():
    distance = np.linspace(0, 1, 40)
    level, product = slope_rows(distant_items(distance, 0, -0.03), 1.95)
    assert (level["predictor"], product["predictor"]) == ("synset_distance", "synset_distance × depth")
    assert level["low"] < -0.05 < level["high"] < 0
    assert product["low"] < -0.03 < product["high"] < 0
    assert product["units"] == 40


def test_on_shuffled_distance_the_interval_of_the_regression_covers_nought():
    generator, distance, missed = np.random.default_rng(0), np.linspace(0, 1, 8), 0
    for seed in range(200):
        items = distant_items(distance, seed, -0.03)
        shuffled = dict(enumerate(-generator.permutation(distance)))
        _, product = slope_rows(items.assign(synset_distance=items["split"].map(shuffled)), 1.95)
        missed += not product["low"] <= 0 <= product["high"]
    # Five in 100, give or take.
    assert 2 <= missed <= 20


def test_a_line_is_that_of_least_squares_and_an_exact_one_has_no_interval():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 9))
    assert line(x, y).mean == pytest.approx(np.polyfit(x, y, 1)[0])
    assert line(x, 3 * x).note == "on a line to the last digit: no interval"


def test_an_a_distance_that_is_at_its_end_is_shown_and_nothing_is_ranked_by_it():
    networks = planted_networks().assign(a_distance=2.0, synset_distance=0.5)
    table = criterion_table(planted_scores(networks), networks, "test_top1")
    rows = table[table["predictor"] == "a_distance"]
    assert len(rows) == 6
    assert rows["mean"].isna().all()
    assert (rows["note"] == "the A-distance is at its end, 2: nothing is ranked by it").all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layers": (1, 4)},
        {"splits": {"random0": "random"}},
        {"splits": dict.fromkeys(SPLITS, "graded")},
        {"targets": "B"},
    ],
)
def test_no_cell_of_the_criterion_is_empty_without_a_reason(options):
    networks = planted_networks(**options)
    networks = networks.assign(synset_distance=np.linspace(0, 1, len(networks)).round(1), a_distance=2.0)
    table = criterion_table(planted_scores(networks), networks, "test_top1")
    unsaid = table[table["note"].isna()]
    ranked = unsaid["measure"] != "regression"
    assert unsaid[["mean", "low", "high"]].notna().all(axis=None)
    assert unsaid.loc[ranked, "chance"].notna().all()
    assert len(table) > 10


def test_the_figures_show_scores_beside_what_transfer_gave_and_what_chance_reaches(table, tmp_path):
    networks = planted_networks()
    write_table(tmp_path / "scores.csv", planted_scores(networks))
    write_table(tmp_path / "criterion.csv", table)
    drawing = drawing_of(scores, networks, tables=tmp_path)
    panels = [axes for axes in drawing.figure.axes if axes.get_visible()]
    assert [len(panel.get_lines()) for panel in panels] == [2, 2, 2]
    best = panels[1].get_lines()[0].get_ydata()
    assert best.tolist() == pytest.approx(list(UP_AND_DOWN.values()))
    assert "Largest: ridge of transfer at n = 3" in drawing.caption
    assert "NCE of transfer 2.50" in drawing.caption
    drawing = drawing_of(criterion, networks, tables=tmp_path)
    titles = [axes.get_title("left") for axes in drawing.figure.axes if axes.get_visible()]
    assert titles == [f"{truth}, over {over}" for truth in ("transfer", "transfer+") for over in ("cuts", "tasks")]
    assert "transfer, over cuts: ridge +1.00 (+1.00 to +1.00)" in drawing.caption


def test_without_scores_the_figures_say_so(tmp_path):
    for module in (scores, criterion):
        with pytest.raises(NothingToDrawError, match="nothing was scored; name some treatments in scores"):
            drawing_of(module, plant(), tables=tmp_path)
    write_table(tmp_path / "criterion.csv", shape_table([], CRITERION_COLUMNS))
    with pytest.raises(NothingToDrawError, match="no score can be held against transfer"):
        drawing_of(criterion, plant(), tables=tmp_path)
