"""The summary: every condition has its own numbers in metrics.json."""

from planted import GAINS, plant, reduce

from transferability.analysis.coverage import means_table
from transferability.analysis.effects import effects_table
from transferability.analysis.summary import curves, summarise


def test_the_reduced_task_and_the_other_one_have_names_of_their_own():
    """Of one split with `volume: {A: 10}` the targets A are reduced, and the sources of the targets B."""
    networks = reduce(plant({name: GAINS[name] for name in ("base", "transfer")}, {"few-A": "random"}), {"A": 10})
    accuracy = curves(means_table(networks, "test_top1", unbalanced=False), "treatment")
    found = summarise(networks, accuracy=accuracy)["digits"]["tiny"]
    assert found["random, 10 images a class"]["accuracy"]["transfer"]["n=4"] == 0.38
    assert found["random, 10 of the other task"]["accuracy"]["transfer"]["n=4"] == 0.43


def test_means_that_are_not_balanced_have_no_row_even_where_the_study_asks_for_them():
    networks = plant({name: GAINS[name] for name in ("base", "transfer")}, layers=(4, 7))
    networks = networks[(networks["network"] != "B4A") | (networks["split"] != "random0")]
    effects = effects_table(networks, unbalanced=True)
    found = curves(effects[effects["read_out"] == "test_top1"], "effect")
    assert set(found["n"]) == {7}
