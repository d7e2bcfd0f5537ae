"""What pairing is worth, as its benchmark measures it: planted correlations are found."""

import numpy as np
import pytest
from planted import plant
from test_intervals import benchmark

from transferability.analysis.pairs import pairs_table

pairing = benchmark("pairing")
CHOSEN = {"base": lambda n: 0, "selffer": lambda n: -0.01 * n}


def spread(shared: float, within: list[str]) -> tuple[float, float, int]:
    """What the benchmark finds where treatments of a split, seed and target share so much noise, and have 1 apart."""
    generator = np.random.default_rng(0)
    networks = plant(CHOSEN, seeds=tuple(range(40)), layers=(3,))
    cell = networks.groupby(["split", "seed", "target"]).ngroup().to_numpy()
    common = generator.normal(0, 0.01 * shared, cell.max() + 1)[cell]
    level = networks["target"].map({"A": 0.5, "B": 0.55})
    networks["test_top1"] = level + common + generator.normal(0, 0.01, len(networks))
    values = pairing.values_of_pairs(networks, pairs_table(networks), "test_top1")
    return pairing.pooled(values, within)


@pytest.mark.parametrize("shared", [0.0, 1.0, 3.0])
def test_the_ratio_of_spreads_is_that_of_what_treatments_share(shared):
    paired, unpaired, freedom = spread(shared, ["split", "target", "n"])
    assert freedom == 8 * 39
    assert paired == pytest.approx(np.sqrt(2) * 0.01, rel=0.1)
    assert paired / unpaired == pytest.approx(1 / np.sqrt(1 + shared**2), rel=0.1)


def test_levels_of_targets_are_what_pairing_by_target_takes_away():
    paired, unpaired, freedom = spread(0.0, ["seed", "n"])
    assert freedom == 40 * 7
    assert paired == pytest.approx(np.sqrt(2) * 0.01, rel=0.1)
    assert unpaired == pytest.approx(np.sqrt(2 * (0.01**2 + 0.05**2 / 4 * 8 / 7)), rel=0.1)


def test_one_seed_has_no_spread():
    networks = plant(CHOSEN, layers=(3,))
    values = pairing.values_of_pairs(networks, pairs_table(networks), "test_top1")
    assert pairing.pooled(values, ["split", "target", "n"])[2] == 0
