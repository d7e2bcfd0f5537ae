"""The verdict: what follows from planted effects and their intervals, and nothing that does not."""

import numpy as np
import pandas as pd
from planted import GAINS, PRETRAINED_GAINS, PROBE_GAINS, STAGES, plant

from transferability.analysis.drops import drops_table
from transferability.analysis.effects import effects_table
from transferability.analysis.pairs import match_pairs
from transferability.analysis.unpaired import unpaired_argument
from transferability.analysis.verdict import verdict_of
from transferability.analysis.yosinski2014 import read_published


def noise():
    """Small differences between units, so that means have intervals."""
    drawn = np.random.default_rng(0)
    return lambda: drawn.normal(0, 0.0005)


def verdict(networks: pd.DataFrame, read_out: str = "test_top1") -> list[str]:
    effects = effects_table(networks, unbalanced=read_out == "mean_of_ten_best")
    return verdict_of(networks, effects, drops_table(effects, 0.02), read_out)


def test_stages_that_keep_are_named_and_so_is_where_frozen_ones_begin_to_lose():
    gains = {"base": lambda n: 0, "transfer": lambda n: 0 if n < 4 else -0.02 * n, "transfer+": lambda n: 0.03}
    first, second, third = verdict(plant(gains, layers=(1, 2, 3, 4, 5), noise=noise()))
    assert first.startswith("Freeze stages 1–3: ")
    assert first.endswith(" against training from scratch.")
    assert second.startswith("From n = 4 on frozen features lose, most with −10.")
    assert second.endswith(" at n = 5.")
    assert third.startswith("Fine-tune what is copied: it gains +3.")


def test_a_pretrained_network_is_spoken_of_by_the_names_of_its_stages():
    gains = PRETRAINED_GAINS | {"pretrained": lambda n: 0.01 * n if n <= 6 else 0.06 - 0.03 * (n - 6)}
    first, second, _ = verdict(plant(gains, layers=tuple(STAGES), stages=STAGES, noise=noise()))
    assert first.startswith(f"Freeze stages 1–6 (up to {STAGES[6]}): +6.")
    assert f"at n = 12, {STAGES[12]}" in second


def test_one_run_gives_no_conclusion_and_what_was_seen_is_said():
    networks = plant(GAINS, {"random0": "random"}).assign(test_images=36)
    doubt, seen, image = verdict(networks)
    assert doubt == (
        "No conclusion: 36 test images a task, one run; add splits or seeds (study.split, study.seed), or images."
    )
    assert seen == "Seen here, not more: frozen transfer, AnB − base, is −21.0 points at n = 7."
    assert image == "One of 36 test images is 2.8 points; smaller differences say nothing."


def test_a_difference_of_less_than_one_image_is_no_headline():
    gains = {"base": lambda n: 0, "transfer": lambda n: -0.02}
    networks = plant(gains, {"random0": "random"}).assign(test_images=36)
    assert verdict(networks)[1] == "No difference is larger than one test image, 2.8 points."
    sentences = verdict(plant(gains, noise=noise()).assign(test_images=36))
    assert not [sentence for sentence in sentences if " lose" in sentence]


def test_intervals_that_tell_nothing_give_no_conclusion():
    values = iter([0.3 * (i * 7 % 5 - 2) / 2 for i in range(10_000)]).__next__
    first = verdict(plant({"base": lambda n: 0, "transfer": lambda n: 0}, noise=values))[0]
    assert first.startswith("No conclusion: ")
    assert "4 runs leave every interval too wide to tell" in first


def test_a_study_of_probes_is_told_where_its_features_are_read_best():
    probes = {name: gain for name, gain in PROBE_GAINS.items() if name.endswith("-svm") and name != "base"}
    (sentence,) = verdict(plant(probes | {"pretrained-svm": lambda n: 0.3 - 0.01 * n}))
    assert sentence.startswith("Read features at n = 1, by svm: 8")


def test_where_no_network_trained_from_scratch_the_remedy_is_longer_training():
    networks = plant()
    networks.loc[networks["treatment"] == "base", "trained"] = False
    (sentence,) = verdict(networks)
    count = int((networks["treatment"] == "base").sum())
    assert sentence.startswith(f"No verdict: of the networks trained from scratch none trained ({count} ended as")
    assert sentence.endswith("(training.steps, training.learning_rate).")
    coarse = verdict(networks.assign(test_images=96))
    assert coarse == [sentence], "that one image is a point is no verdict"


def test_a_study_of_base_networks_alone_has_no_verdict():
    (sentence,) = verdict(plant({"base": GAINS["base"]}))
    assert sentence.startswith("No verdict: nothing here is compared")


def test_the_original_says_where_co_adaptation_hurts():
    sentences = verdict(read_published()[0], "mean_of_ten_best")
    assert sentences[:2] == [
        "On random halves of the classes:",
        "Freeze stages 1–2: −0.1 points (95 %: −0.4 to +0.2) against training from scratch.",
    ]
    assert sentences[2].startswith("From n = 3 on frozen features lose, most with −8.3 points")
    assert sentences[3].startswith("Cutting alone, on one's own task, loses most with −3.0 points")
    assert sentences[3].endswith(" at n = 5 (fragile co-adaptation).")


def test_the_boost_of_the_original_is_that_of_its_targets():
    networks, _ = read_published()
    told = unpaired_argument(networks, match_pairs(networks), "mean_of_ten_best")
    # The numbers of docs/yosinski2014.md: 1.60 and 1.38 unpaired, .97 and .97 paired.
    assert told == [
        "No two fine-tuned networks share a target and a split: AnB+ (10 of target B) and BnB+ (10 of target A).",
        "By their means AnB+ is at +1.6 points against the base networks and at +1.4 against BnB+.",
        "Each against the base network of its own target and split, AnB+ is at +1.0 and BnB+ at +1.0 points: "
        "the difference was the targets'.",
        "Whether the other task leaves a lingering boost is neither shown nor excluded here.",
    ]


def test_where_pairs_tell_the_boost_or_nothing_is_fine_tuned_there_is_no_such_argument():
    for gains in (GAINS, {"base": lambda n: 0, "transfer+": lambda n: 0.01}, {"base": lambda n: 0}):
        networks = plant(gains)
        assert unpaired_argument(networks, match_pairs(networks), "test_top1") == []


def test_a_study_without_networks_that_trained_or_without_the_read_out_says_so():
    networks = plant()
    assert verdict(networks.assign(trained=False)) == ["No verdict: no network trained; the coverage says why."]
    assert verdict(networks.assign(test_images=0, test_top1=np.nan)) == [
        "No verdict: no network has the read-out test_top1; set figures.read_out to another."
    ]
    assert verdict(networks.head(1))[0].startswith("No verdict: nothing here is compared")
