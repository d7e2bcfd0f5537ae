"""Effects: planted ones are recovered with their uncertainty, and nothing is found where nothing is."""

import re
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from planted import GAINS, HALVES, ONE_LABEL, PROBE_GAINS, only, plant
from scipy import stats

from transferability.analysis.contrasts import EFFECTS, effect_of, effects_of, preserved_effect
from transferability.analysis.drops import drops_table
from transferability.analysis.effects import effects_table
from transferability.analysis.pairs import match_pairs, pairs_table
from transferability.analysis.read_outs import READ_OUTS
from transferability.analysis.tables import DROP_COLUMNS, EFFECT_COLUMNS, PAIR_COLUMNS
from transferability.errors import InputError

SCALES = {
    "test_top1": 1,
    "chosen_test_top1": 0.75,
    "test_mean_per_class": 0.9,
    "validation_top1": 0.5,
    "mean_of_ten_best": 0.25,
    "test_top5": 0.5,
    "test_loss": -2,
    "train_loss": -1,
}
LAYERS = (1, 4, 7)
SCHEMA = Path(__file__).parent.parent / "src/transferability/study/params.schema.yaml"


def contrasts() -> dict[str, tuple[str, str]]:
    """The effects that the planted treatments allow."""
    return {effect.name: (effect.treatment, effect.reference) for effect in effects_of(GAINS)}


def row_of(effects: pd.DataFrame, effect: str, n: int | None, read_out: str = "test_top1") -> pd.Series:
    """The one row of an effect at a layer, or over all."""
    chosen = effects[(effects["effect"] == effect) & (effects["read_out"] == read_out)]
    (index,) = chosen.index[chosen["n"].isna() if n is None else chosen["n"] == n]
    return effects.loc[index]


def test_a_pair_is_a_difference_within_target_split_and_seed():
    networks = plant(seeds=(0, 1)).sample(frac=1, random_state=0)
    pairs = pairs_table(networks)
    assert {name: str(kind) for name, kind in pairs.dtypes.items()} == {
        name: str(kind) for name, kind in pairs.astype(PAIR_COLUMNS).dtypes.items()
    }
    assert list(pairs) == list(PAIR_COLUMNS)
    for effect, read_out in product(contrasts(), ONE_LABEL):
        treatment, reference = contrasts()[effect]
        rows = pairs[(pairs["effect"] == effect) & (pairs["read_out"] == read_out)]
        places = sorted(zip(rows["split"], rows["seed"], rows["target"], rows["n"], strict=True))
        assert places == sorted(product(HALVES, (0, 1), "AB", LAYERS)), effect
        assert set(zip(rows["treatment"], rows["reference"], strict=True)) == {(treatment, reference)}
        for row in rows.itertuples():
            gain = GAINS[treatment](row.n) - GAINS[reference](row.n)
            assert row.difference == pytest.approx(SCALES[read_out] * gain), (effect, read_out)
    assert set(pairs["effect"]) == set(contrasts())


def test_normalised_transfer_is_the_share_of_what_the_base_scores_above_guessing():
    networks = plant()
    pairs = pairs_table(networks)
    base = networks[(networks["treatment"] == "base")].set_index(["split", "target"])
    chances = dict.fromkeys(("test_top1", "chosen_test_top1", "test_mean_per_class"), 0.1)
    chances |= dict.fromkeys(("validation_top1", "mean_of_ten_best"), 0.05)
    for read_out, chance in chances.items():
        rows = pairs[(pairs["effect"] == "total") & (pairs["read_out"] == read_out)]
        for row in rows.itertuples():
            own = base.loc[(row.split, row.target), read_out]
            assert row.normalised == pytest.approx((own + row.difference - chance) / (own - chance))
    lacking = pairs["read_out"].isin(["test_top5", "test_loss", "train_loss"])
    without = pairs[pairs["effect"].isin(["specificity", "lingering boost"]) | lacking]
    assert without["normalised"].isna().all()
    assert pairs["normalised"].notna().sum() == len(pairs) - len(without)


def test_a_base_that_does_no_better_than_guessing_is_no_measure():
    networks = plant()
    networks.loc[networks["split"] == "random0", "test_chance"] = 0.9
    pairs = pairs_table(networks)
    rows = pairs[(pairs["effect"] == "total") & (pairs["read_out"] == "test_top1")]
    assert rows["normalised"].isna().tolist() == (rows["split"] == "random0").tolist()
    row = row_of(effects_table(networks, unbalanced=False), "total", 4)
    assert row["units"] == 4
    assert row["normalised_mean"] == pytest.approx(rows[rows["n"] == 4]["normalised"].mean())


def test_an_untrained_network_takes_its_pairs_with_it_and_no_others():
    networks = plant()
    cell = (networks["split"] == "random1") & (networks["target"] == "B")
    untrained = cell & (networks["treatment"] == "selffer") & (networks["n"] == 4)
    assert untrained.sum() == 1
    whole = pairs_table(networks)
    networks.loc[untrained, ["trained", "test_top1"]] = False, 0.0
    left = pairs_table(networks)
    lost = whole.merge(left, how="left", indicator=True).query("_merge == 'left_only'")
    assert sorted(lost["effect"]) == sorted(["co-adaptation", "specificity"] * len(ONE_LABEL))
    assert set(zip(lost["split"], lost["target"], lost["n"], strict=True)) == {("random1", "B", 4)}
    assert len(left) == len(whole) - len(lost)

    row = row_of(effects_table(networks, unbalanced=False), "specificity", 4)
    assert (row["untrained"], row["units"], row["pairs"]) == (1, 3, 6)
    assert row["note"].startswith("left out: 1 of 4 units lack a target")
    other = row_of(effects_table(networks, unbalanced=False), "specificity", 1)
    assert (other["untrained"], other["units"], other["pairs"]) == (0, 4, 8)
    assert "left out" not in other["note"]


def test_a_layer_at_which_nothing_trained_is_a_row_without_a_mean():
    networks = plant()
    networks.loc[(networks["treatment"] == "random") & (networks["n"] == 4), "trained"] = False
    effects = effects_table(networks, unbalanced=False)
    row = row_of(effects, "random filters", 4)
    assert np.isnan(row["mean"])
    assert (row["units"], row["untrained"]) == (0, 8)
    assert row["note"] == "no pair of which both networks trained"
    assert row_of(effects, "random filters", None)["mean"] == pytest.approx(-0.05 * 4)


def test_an_untrained_base_takes_every_comparison_with_it():
    networks = plant(splits={"random0": "random"})
    networks.loc[networks["treatment"] == "base", "trained"] = False
    pairs = pairs_table(networks)
    assert set(pairs["effect"]) == {"specificity", "lingering boost"}


@pytest.mark.parametrize("read_out", ONE_LABEL)
def test_planted_effects_are_recovered_with_every_read_out(read_out):
    generator = np.random.default_rng(0)
    networks = plant(seeds=(0, 1), noise=lambda: generator.normal(0, 1e-5))
    effects = effects_table(networks, unbalanced=False)
    assert {name: str(kind) for name, kind in effects.dtypes.items()} == {
        name: str(kind) for name, kind in effects.astype(EFFECT_COLUMNS).dtypes.items()
    }
    assert list(effects) == list(EFFECT_COLUMNS)
    for effect, n in product(contrasts(), [*LAYERS, None]):
        treatment, reference = contrasts()[effect]
        gain = np.mean([GAINS[treatment](at) - GAINS[reference](at) for at in ([n] if n else LAYERS)])
        row = row_of(effects, effect, n, read_out)
        assert row["mean"] == pytest.approx(SCALES[read_out] * gain, abs=3e-5)
        assert row["low"] < row["mean"] < row["high"]
        assert (row["units"], row["pairs"]) == (8, 16 * (1 if n else 3))
        if abs(gain) > 1e-3:
            signs = (row["pairs"], 0) if SCALES[read_out] * gain > 0 else (0, row["pairs"])
            assert (row["positive"], row["negative"]) == signs
            assert row["p_adjusted"] < 0.01


def test_targets_are_averaged_within_the_unit():
    """Both targets share their noise: to count them as two would halve its variance."""
    generator = np.random.default_rng(0)
    networks = plant(noise=lambda: generator.normal(0, 0.01))
    pairs = pairs_table(networks)
    rows = pairs[(pairs["effect"] == "total") & (pairs["read_out"] == "test_top1") & (pairs["n"] == 4)]
    expected = stats.ttest_1samp(rows.groupby("split")["difference"].mean(), 0)
    row = row_of(effects_table(networks, unbalanced=False), "total", 4)
    assert row["p"] == pytest.approx(expected.pvalue)
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert row["interval"] == "Student"


def test_p_values_are_corrected_over_the_layers_of_their_effect():
    generator = np.random.default_rng(3)
    effects = effects_table(plant(noise=lambda: generator.normal(0, 0.02)), unbalanced=False)
    rows = effects[(effects["effect"] == "co-adaptation") & (effects["read_out"] == "test_top1")]
    single, over = rows[rows["n"].notna()].sort_values("p"), rows[rows["n"].isna()]
    raised = np.minimum(1, np.maximum.accumulate(single["p"].to_numpy() * [3, 2, 1]))
    assert single["p_adjusted"].to_numpy() == pytest.approx(raised)
    assert over["p_adjusted"].tolist() == over["p"].tolist()


def simulate(studies: int, seed: int, gains: dict, sigma: float, units: int) -> pd.DataFrame:
    """Many studies of the same truth in one table, told apart by data set; test accuracy alone."""
    generator = np.random.default_rng(seed)
    splits = dict.fromkeys((f"random{index}" for index in range(units)), "random")
    tables = [
        plant(gains, splits, noise=lambda: generator.normal(0, sigma), dataset=f"study{study}")
        for study in range(studies)
    ]
    return only(pd.concat(tables, ignore_index=True), "test_top1")


CHOSEN = {name: GAINS[name] for name in ("base", "selffer", "transfer")}


@pytest.mark.parametrize("units", [3, 6])
def test_intervals_of_effects_hold_the_truth_95_times_in_100(units):
    studies = 250
    effects = effects_table(simulate(studies, units, CHOSEN, 0.01, units), unbalanced=False)
    least, most = stats.binom.ppf([0.0005, 0.9995], studies, 0.95) / studies
    for effect, n in product(("co-adaptation", "specificity", "total"), [*LAYERS, None]):
        treatment, reference = effect_of(effect).treatment, effect_of(effect).reference
        truth = np.mean([GAINS[treatment](at) - GAINS[reference](at) for at in ([n] if n else LAYERS)])
        rows = effects[(effects["effect"] == effect) & (effects["n"].isna() if n is None else effects["n"] == n)]
        assert len(rows) == studies
        held = np.mean((rows["low"] <= truth) & (truth <= rows["high"]))
        assert least <= held <= most, (effect, n)


def test_shuffled_labels_show_no_effect():
    """Treatments trade places at random within every cell and layer: then 5 families in 100 may find something."""
    studies = 300
    networks = simulate(studies, 1, {name: GAINS[name] for name in ("selffer", "transfer")}, 0.03, 5)
    generator = np.random.default_rng(2)
    cells = networks.groupby(["dataset", "split", "target", "n"]).ngroup().to_numpy()
    # A random order within each cell, in which the two treatments' accuracies are dealt out anew.
    order = np.lexsort((generator.random(len(cells)), cells))
    slots = np.argsort(cells, kind="stable")
    values = networks["test_top1"].to_numpy()
    dealt = np.empty_like(values)
    dealt[slots] = values[order]
    networks["test_top1"] = dealt
    effects = effects_table(networks, unbalanced=False)
    rows = effects[(effects["effect"] == "specificity") & effects["n"].notna()]
    assert abs(rows["mean"].mean()) < 4 * rows["mean"].std() / np.sqrt(len(rows))
    found = rows.groupby("dataset")["p_adjusted"].min() < 0.05
    assert len(found) == studies
    assert found.mean() <= stats.binom.ppf(0.999, studies, 0.05) / studies
    assert rows.groupby("dataset")["p"].min().lt(0.05).mean() > found.mean()


def test_without_an_effect_p_values_are_uniform():
    gains = {"selffer": lambda n: -0.01 * n, "transfer": lambda n: -0.01 * n}
    effects = effects_table(simulate(300, 4, gains, 0.01, 4), unbalanced=False)
    rows = effects[(effects["effect"] == "specificity") & (effects["n"] == 4)]
    assert stats.kstest(rows["p"], "uniform").pvalue > 0.001
    families = effects[(effects["effect"] == "specificity") & effects["n"].notna()].groupby("dataset")
    assert (families["p_adjusted"].min() < 0.05).mean() <= stats.binom.ppf(0.999, 300, 0.05) / 300


def test_one_split_and_seed_shows_no_interval_and_says_why():
    effects = effects_table(plant(splits={"random0": "random"}), unbalanced=False)
    assert effects["mean"].notna().all()
    assert effects[["low", "high", "p", "p_adjusted", "normalised_low", "normalised_high"]].isna().all(axis=None)
    assert set(effects["note"]) == {"one independent unit: no interval"}
    assert set(effects["units"]) == {1}


def test_seeds_of_one_split_are_units_and_the_note_says_what_of():
    generator = np.random.default_rng(0)
    networks = plant(splits={"random0": "random"}, seeds=(0, 1, 2), noise=lambda: generator.normal(0, 0.01))
    row = row_of(effects_table(networks, unbalanced=False), "total", 4)
    assert row["units"] == 3
    assert row["note"] == "one split: the interval is for it, not for new ones"


def test_several_seeds_of_several_splits_give_an_interval_for_new_splits_and_one_for_these():
    generator = np.random.default_rng(0)
    networks = plant(seeds=(0, 1, 2), noise=lambda: generator.normal(0, 0.01))
    pairs = pairs_table(networks)
    rows = pairs[(pairs["effect"] == "total") & (pairs["read_out"] == "test_top1") & (pairs["n"] == 4)]
    units = rows.groupby(["split", "seed"])["difference"].mean().unstack()
    new = stats.ttest_1samp(units.mean(axis=1), 0)
    row = row_of(effects_table(networks, unbalanced=False), "total", 4)
    assert (row["low"], row["high"]) == pytest.approx(tuple(new.confidence_interval(0.95)))
    assert row["p"] == pytest.approx(new.pvalue)
    assert (row["splits"], row["seeds"], row["units"], row["interval_for"]) == (4, 3, 12, "new splits")
    error = np.sqrt(units.var(axis=1, ddof=1).mean() / 12)
    assert (row["low_these"], row["high_these"]) == pytest.approx(stats.t.interval(0.95, 8, row["mean"], error))
    assert row["p_these"] == pytest.approx(2 * stats.t.sf(abs(row["mean"]) / error, 8))
    assert row["note"] is None


def test_splits_count_the_same_whatever_their_seeds_and_that_is_said():
    generator = np.random.default_rng(0)
    networks = plant(seeds=(0, 1, 2), noise=lambda: generator.normal(0, 0.01))
    networks = networks[(networks["split"] != "random0") | (networks["seed"] == 0)]
    pairs = pairs_table(networks)
    rows = pairs[(pairs["effect"] == "total") & (pairs["read_out"] == "test_top1") & (pairs["n"] == 4)]
    row = row_of(effects_table(networks, unbalanced=False), "total", 4)
    assert row["mean"] == pytest.approx(rows.groupby("split")["difference"].mean().mean())
    assert row["mean"] != pytest.approx(rows["difference"].mean())
    assert (row["splits"], row["seeds"], row["units"]) == (4, 1, 10)
    assert row["note"] == "splits have 1 to 3 seeds: each split counts the same"


def test_two_units_say_how_little_they_tell():
    generator = np.random.default_rng(0)
    networks = plant(splits={"random0": "random", "random1": "random"}, noise=lambda: generator.normal(0, 0.01))
    row = row_of(effects_table(networks, unbalanced=False), "total", 4)
    assert row["note"] == "one degree of freedom: t = 12.7, so wide an interval says little"


def test_the_primary_effect_is_marked_and_corrected_over_all_its_kinds_and_layers():
    generator = np.random.default_rng(1)
    splits = HALVES | {f"groups{index}": "groups" for index in range(4)}
    networks = plant(CHOSEN, splits, noise=lambda: generator.normal(0, 0.05))
    primary = {"effect": "total", "read_out": "test_top1"}
    effects, exploratory = effects_table(networks, False, primary), effects_table(networks, False)
    assert not exploratory["primary"].any()
    declared = effects[effects["primary"]]
    assert set(zip(declared["effect"], declared["read_out"], strict=True)) == {("total", "test_top1")}
    assert sorted(zip(declared["kind"], declared["n"], strict=True)) == [
        (kind, n) for kind in ("groups", "random") for n in LAYERS
    ]
    ordered = declared.sort_values("p")
    raised = np.minimum(1, np.maximum.accumulate(ordered["p"].to_numpy() * [6, 5, 4, 3, 2, 1]))
    assert ordered["p_adjusted"].to_numpy() == pytest.approx(raised)
    others = ~effects["primary"]
    assert effects["p_adjusted"][others].equals(exploratory["p_adjusted"][others])


def test_every_effect_and_read_out_can_be_declared_primary():
    schema = yaml.safe_load(SCHEMA.read_text())["properties"]["analysis"]["properties"]["primary"]["properties"]
    variant = effects_of(["transfer-svm", "transfer-svm16", "transfer+-svm", "transfer+-svm16"])
    names = [effect.name for effect in (*EFFECTS, preserved_effect("selffer-k2"), *variant, *effects_of(PROBE_GAINS))]
    assert {"svm16 over svm, transfer", "svm16 over svm, transfer+", "learned over random, transfer-svm"} <= {*names}
    assert all(re.search(schema["effect"]["pattern"], name) for name in names)
    assert schema["read_out"]["enum"] == [read_out.name for read_out in READ_OUTS]


def test_kinds_of_splits_are_kept_apart():
    networks = plant(splits={"random0": "random", "random1": "random", "even-odd": "groups"})
    effects = effects_table(networks, unbalanced=False)
    assert dict(effects[effects["n"] == 4].groupby("kind")["units"].max()) == {"groups": 1, "random": 2}


def test_volumes_are_kept_apart_and_with_them_the_targets_of_an_uneven_split():
    networks = plant(gains=CHOSEN, splits={"random0": "random", "small": "random"}, layers=(2,))
    small = networks["split"] == "small"
    networks.loc[small & (networks["target"] == "B"), "volume"] = 10
    networks.loc[small & (networks["target"] == "A"), "other_volume"] = 10
    effects = effects_table(networks, unbalanced=False)
    rows = effects[(effects["effect"] == "total") & (effects["read_out"] == "test_top1") & (effects["n"] == 2)]
    found = {tuple(row[:2]): tuple(row[2:]) for row in rows[["volume", "other_volume", "units", "pairs"]].to_numpy()}
    assert {tuple(None if pd.isna(value) else value for value in key): value for key, value in found.items()} == {
        (None, None): (1, 2),
        (10, None): (1, 1),
        (None, 10): (1, 1),
    }


def lopsided() -> pd.DataFrame:
    """As in the original's logs: one fine-tuned treatment on B targets, the other on A targets."""
    networks = plant()
    return networks[
        ~((networks["treatment"] == "transfer+") & (networks["target"] == "A"))
        & ~((networks["treatment"] == "selffer+") & (networks["target"] == "B"))
    ]


def test_a_comparison_without_pairs_is_refused():
    effects = effects_table(lopsided(), unbalanced=False)
    rows = effects[effects["effect"] == "lingering boost"]
    assert len(rows) == 4 * len(ONE_LABEL)
    assert rows[["mean", "low", "high", "p"]].isna().all(axis=None)
    assert not rows["balanced"].any()
    note = row_of(effects, "lingering boost", 4)["note"]
    assert note.startswith("refused, unless asked for: no pair; transfer+: random0 seed 0 target B, ")
    assert "; selffer+: random0 seed 0 target A, " in note
    assert set(effects[effects["effect"] != "lingering boost"]["note"].dropna()) == {
        "4 units are equal to the last digit: no interval",
        "target A only; 4 units are equal to the last digit: no interval",
        "target B only; 4 units are equal to the last digit: no interval",
    }


def test_units_that_differ_by_less_than_an_image_have_no_interval():
    generator = np.random.default_rng(0)
    networks = plant(noise=lambda: generator.normal(0, 1e-5)).assign(test_images=300)
    effects = effects_table(networks, unbalanced=False)
    for n in (1, None):
        row = row_of(effects, "total", n)
        assert np.isnan([row["low"], row["high"], row["p"]]).all()
        assert row["note"] == "4 units differ by less than one image: no interval"
        # Shares of different spans differ where counts do not.
        assert row["normalised_mean"] < 1
        assert np.isnan([row["normalised_low"], row["normalised_high"]]).all()
        assert row_of(effects, "total", n, "validation_top1")["low"] < 0
        assert row_of(effects, "total", n, "validation_top1")["normalised_low"] < 1
    networks = plant(noise=lambda: generator.normal(0, 0.01)).assign(test_images=300)
    assert row_of(effects_table(networks, unbalanced=False), "total", 1)["note"] is None


def test_an_effect_of_one_target_alone_says_so():
    networks = plant()
    networks = networks[(networks["treatment"] != "transfer") | (networks["target"] == "A")]
    effects = effects_table(networks, unbalanced=False)
    assert row_of(effects, "total", 4)["note"].startswith("target A only; ")
    assert "target" not in row_of(effects, "co-adaptation", 4)["note"]


def test_a_normalised_mean_is_of_units_whose_base_networks_all_beat_guessing():
    generator = np.random.default_rng(0)
    networks = plant(noise=lambda: generator.normal(0, 0.01))
    low = (networks["network"] == "baseB") & (networks["split"] == "random0")
    networks.loc[low, "test_top1"] = 0.05
    row = row_of(effects_table(networks, unbalanced=False), "total", 4)
    rest = row_of(effects_table(networks[networks["split"] != "random0"], unbalanced=False), "total", 4)
    assert row["units"] == 4
    for name in ("normalised_mean", "normalised_low", "normalised_high"):
        assert row[name] == rest[name]
    assert row["note"] == "normalised: 3 of 4 units, where every base network beats guessing"


def test_where_it_is_asked_for_it_is_made_and_marked():
    networks = lopsided()
    effects = effects_table(networks, unbalanced=True)
    for n in (1, 4, 7):
        row = row_of(effects, "lingering boost", n)
        # Targets B are 0.05 easier than A: the whole of what is not in GAINS.
        assert row["mean"] == pytest.approx(0.05 + 0.004 * n - 0.002)
        assert not row["balanced"]
        assert row["note"].startswith("unbalanced: no pair; ")
        assert np.isnan([row["low"], row["p"]]).all()
    assert row_of(effects, "lingering boost", None)["mean"] == pytest.approx(0.05 + 0.016 - 0.002)
    assert effects[effects["effect"] != "lingering boost"]["balanced"].all()


def uneven(gap: float) -> pd.DataFrame:
    """Transfer costs `gap` more on B targets, and random0 lacks its B pair at n = 4."""
    networks = plant()
    networks.loc[(networks["treatment"] == "transfer") & (networks["target"] == "B"), "test_top1"] -= gap
    lacking = (networks["split"] == "random0") & (networks["network"] == "A4B")
    return networks[~lacking]


def test_a_unit_that_lacks_a_target_is_left_out():
    effects = effects_table(uneven(0.2), unbalanced=False)
    row = row_of(effects, "total", 4)
    assert row["mean"] == pytest.approx(-0.03 * 4 - 0.1)
    assert (row["units"], row["pairs"], row["balanced"]) == (3, 6, True)
    assert row["note"].startswith("left out: 1 of 4 units lack a target")
    over = row_of(effects, "total", None)
    assert (over["units"], over["pairs"]) == (3, 18)
    assert over["note"].startswith("left out: 1 of 4 units lack a target or a layer")
    assert row_of(effects, "total", 1)["units"] == 4


def test_with_it_the_mean_is_another_and_marked():
    row = row_of(effects_table(uneven(0.2), unbalanced=True), "total", 4)
    assert row["mean"] == pytest.approx(-0.03 * 4 - 0.1 + 0.1 / 4)
    assert (row["units"], row["pairs"], row["balanced"]) == (4, 7, False)
    assert row["note"].startswith("unbalanced: 1 of 4 units lack a target")


def test_where_every_unit_lacks_a_target_the_mean_is_refused():
    networks = plant(splits={"random0": "random", "random1": "random"})
    lacking = (networks["split"] == "random0") & (networks["network"] == "A4B")
    lacking |= (networks["split"] == "random1") & (networks["network"] == "B4A")
    effects = effects_table(networks[~lacking], unbalanced=False)
    row = row_of(effects, "total", 4)
    assert np.isnan(row["mean"])
    assert row["note"] == "refused, unless asked for: 2 of 2 units lack a target"
    assert not row["balanced"]


def test_networks_that_validate_like_guessing_are_named_in_the_notes():
    networks = plant()
    networks.loc[(networks["network"] == "A4B") & (networks["split"] == "random2"), "reason"] = "the validation loss"
    effects = effects_table(networks, unbalanced=False)
    sentence = "once a network is part of it whose validation loss is that of guessing"
    assert sentence in row_of(effects, "total", 4)["note"]
    assert sentence in row_of(effects, "total", None)["note"]
    assert sentence not in (row_of(effects, "total", 1)["note"] or "")


@pytest.mark.parametrize(
    ("treatments", "expected"),
    [
        (["base"], set()),
        (["base", "transfer"], {"total"}),
        (["selffer", "transfer"], {"specificity"}),
        (["base", "selffer-k1"], {"preserved selffer-k1"}),
    ],
)
def test_a_study_of_few_treatments_has_few_effects(treatments, expected):
    gains = {name: GAINS.get(name, lambda n: 0.01) for name in treatments}
    networks = plant(gains)
    effects = effects_table(networks, unbalanced=False)
    assert set(effects["effect"]) == set(pairs_table(networks)["effect"]) == expected
    assert list(effects) == list(EFFECT_COLUMNS)
    assert list(drops_table(effects, 0.02)) == list(DROP_COLUMNS)
    assert len(match_pairs(networks)) == len(expected) * len(ONE_LABEL) * 8 * 3


def test_a_study_of_one_layer_has_no_row_over_all():
    effects = effects_table(plant(layers=(3,)), unbalanced=False)
    assert set(effects["n"]) == {3}


def test_a_network_that_is_there_twice_is_refused():
    networks = plant()
    with pytest.raises(InputError, match="A4B of random0, seed 0, is there twice; leave one of the two"):
        effects_table(pd.concat([networks, networks[networks["network"] == "A4B"]]), unbalanced=False)


def drops_of(gains: dict, size: float, sigma: float, units: int = 4, layers: tuple[int, ...] = tuple(range(1, 8))):
    """The drops of one study with noise."""
    generator = np.random.default_rng(0)
    splits = dict.fromkeys((f"random{index}" for index in range(units)), "random")
    networks = plant(gains, splits, layers=layers, noise=lambda: generator.normal(0, sigma))
    drops = drops_table(effects_table(networks, unbalanced=False), size)
    return drops[drops["read_out"] == "test_top1"].set_index(["effect", "measure"])


def test_the_first_layer_of_a_drop_is_found_with_its_interval():
    drops = drops_of(CHOSEN, size=0.1, sigma=0.001)
    # Frozen transfer loses 0.03 a layer, 0.12 at n = 4; a selffer never loses 0.1 in 7 layers; the difference is
    # 0.1 at n = 5, just not more.
    assert drops.loc[("total", "accuracy"), ["first", "low", "high"]].tolist() == [4, 4, 4]
    assert drops.loc[("specificity", "accuracy"), ["first", "low", "high"]].tolist() in ([5, 5, 6], [6, 5, 6])
    selffer = drops.loc[("co-adaptation", "accuracy")]
    assert selffer[["first", "low", "high"]].isna().all()
    assert selffer["note"] == "no drop of more than 0.1 at any layer; no layer surely drops by more"
    # Of about 0.47 above guessing, 0.1 are 0.047: reached at n = 2.
    assert drops.loc[("total", "normalised"), ["first", "low", "high"]].tolist() == [2, 2, 2]
    assert ("specificity", "normalised") not in drops.index


def test_more_noise_widens_the_interval_of_the_first_layer():
    drops = drops_of(CHOSEN, size=0.1, sigma=0.02)
    low, high = drops.loc[("total", "accuracy"), ["low", "high"]]
    assert low < 4 <= high
    assert high - low >= 2


def test_a_drop_without_intervals_has_a_first_layer_alone():
    drop = drops_of(CHOSEN, size=0.1, sigma=0, units=1).loc[("total", "accuracy")]
    assert drop["first"] == 4
    assert drop[["low", "high"]].isna().all()
    assert drop["note"] == "no interval: no layer has one"


def test_a_layer_without_an_interval_shows_no_drop_and_excludes_none():
    generator = np.random.default_rng(0)
    networks = plant(CHOSEN, layers=tuple(range(1, 8)), noise=lambda: generator.normal(0, 0.001))
    alone = networks["n"].isin([2, 6]) & (networks["split"] != "random0")
    drops = drops_table(effects_table(networks[~alone], unbalanced=False), 0.1)
    drop = drops[drops["read_out"] == "test_top1"].set_index(["effect", "measure"]).loc[("total", "accuracy")]
    assert drop[["first", "low", "high"]].tolist() == [4, 2, 4]
    assert drop["note"] == "no interval at n = 2 and 6: a drop there is not excluded"


def test_the_interval_of_the_first_layer_holds_it_95_times_in_100():
    studies, truth = 250, 4
    networks = simulate(studies, 9, {name: GAINS[name] for name in ("base", "transfer")}, 0.012, 4)
    drops = drops_table(effects_table(networks, unbalanced=False), 0.1)
    rows = drops[(drops["effect"] == "total") & (drops["measure"] == "accuracy")]
    assert len(rows) == studies
    held = (rows["low"].fillna(99) <= truth) & (truth <= rows["high"].fillna(99))
    assert held.mean() >= stats.binom.ppf(0.001, studies, 0.95) / studies


@pytest.mark.parametrize("kind", ["graded", "whole"])
def test_splits_that_share_a_task_have_means_without_interval_or_test(kind):
    generator = np.random.default_rng(0)
    networks = plant(noise=lambda: generator.normal(0, 0.01))
    drawn, graded = (effects_table(networks.assign(kind=each), unbalanced=False) for each in ("random", kind))
    assert drawn["low"].notna().all()
    assert drawn["p_adjusted"].notna().all()
    without = ["low", "high", "p", "p_adjusted", "normalised_low", "normalised_high", "interval"]
    assert graded[without].isna().all(axis=None)
    assert set(graded["note"]) == {f"{kind} splits share task A: no interval"}
    for name in ("mean", "normalised_mean", "units", "pairs"):
        assert graded[name].equals(drawn[name]), name
    assert set(drops_table(graded, 0.02)["high"].isna()) == {True}
    networks = plant(noise=lambda: generator.normal(0, 0.01), splits={"one": kind}, seeds=(0, 1, 2))
    alone = effects_table(networks, unbalanced=False)
    assert alone["low"].notna().all()
    assert set(alone["note"]) == {"one split: the interval is for it, not for new ones"}
