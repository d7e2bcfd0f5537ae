"""Coverage: what is there, what is not, and which means that leaves."""

import numpy as np
import pytest
from planted import plant

from transferability.analysis.coverage import coverage_line, coverage_table, means_table, require_balance
from transferability.analysis.tables import COVERAGE_COLUMNS
from transferability.errors import InputError


def absent(network: str, split: str = "random0") -> dict:
    """A network that has no metrics."""
    place = {"dataset": "digits", "architecture": "tiny", "kind": "random", "split": split, "seed": 0}
    return place | {"network": network, "reason": "there is no such file"}


def test_every_network_that_is_asked_for_has_a_state():
    networks = plant()
    networks.loc[networks["network"] == "R7A", ["trained", "reason"]] = False, "the training loss"
    gone = networks["network"].isin(["A4B", "A7B+"]) & (networks["split"] == "random0")
    coverage = coverage_table(networks[~gone], [absent("A4B"), absent("A7B+")])
    assert list(coverage) == list(COVERAGE_COLUMNS)
    assert len(coverage) == len(networks)
    assert coverage["state"].value_counts().to_dict() == {
        "present": len(networks) - 6,
        "did not train": 4,
        "missing": 2,
    }
    cell = coverage.set_index(["split", "network"])
    columns = ["kind", "seed", "target", "treatment", "n", "state", "reason"]
    assert cell.loc[("random0", "A7B+"), columns].tolist() == [
        *("random", 0, "B", "transfer+", 7, "missing", "there is no such file")
    ]
    assert cell.loc[("random3", "R7A"), columns].tolist() == [
        *("random", 0, "A", "random", 7, "did not train", "the training loss")
    ]
    assert cell.loc[("random1", "A4B"), "state"] == "present"


def test_one_line_says_what_a_study_rests_on():
    networks = plant(seeds=(0, 2))
    assert coverage_line(coverage_table(networks, [])) == (
        "304 of 304 networks; splits: 4; targets: A, B; seeds: 0, 2; did not train: 0; missing: 0"
    )
    networks = plant()
    networks.loc[networks["network"] == "R7A", ["trained", "reason"]] = False, "the training loss"
    networks.loc[networks["network"] == "A7B", "reason"] = "the validation loss"
    gone = (networks["network"] == "A4B") & (networks["split"] == "random0")
    assert coverage_line(coverage_table(networks[~gone], [absent("A4B")])) == (
        "147 of 152 networks; splits: 4; targets: A, B; seed: 0; did not train: 4; missing: 1; "
        "validation loss that of guessing: 4"
    )


def test_a_network_cannot_be_there_and_missing():
    with pytest.raises(InputError, match="A4B of random0, seed 0, is there twice"):
        coverage_table(plant(), [absent("A4B")])


def test_balanced_means_are_the_means():
    networks = plant()
    means = means_table(networks, "test_top1", unbalanced=False)
    assert means["balanced"].all()
    assert means["note"].isna().all()
    expected = networks.groupby(["treatment", "n"])["test_top1"].agg(["mean", "size"])
    found = means.set_index(["treatment", "n"])
    assert found["mean"].to_dict() == pytest.approx(expected["mean"].to_dict())
    assert found["networks"].to_dict() == expected["size"].to_dict()
    require_balance(means)


def test_a_mean_over_other_cells_than_the_bases_is_refused_or_marked():
    networks = plant()
    gone = (networks["treatment"] == "selffer") & (networks["target"] == "B") & (networks["n"] == 4)
    networks = networks[~gone]
    for unbalanced in (False, True):
        means = means_table(networks, "test_top1", unbalanced).set_index(["treatment", "n"])
        row = means.loc[("selffer", 4)]
        assert not row["balanced"]
        assert row["note"] == (
            "lacks: random0 seed 0 target B, random1 seed 0 target B, random2 seed 0 target B and 1 more"
        )
        own = networks[(networks["treatment"] == "selffer") & (networks["n"] == 4)]["test_top1"].mean()
        assert row["mean"] == pytest.approx(own) if unbalanced else np.isnan(row["mean"])
        assert means["balanced"].sum() == len(means) - 1
        assert means["mean"].isna().sum() == (0 if unbalanced else 1)
    with pytest.raises(InputError, match=r"^the mean of selffer at n = 4 \(random\) is over other networks .*random0"):
        require_balance(means.reset_index())


def test_an_untrained_network_unbalances_its_mean():
    networks = plant()
    networks.loc[(networks["network"] == "R7A") & (networks["split"] == "random1"), "trained"] = False
    means = means_table(networks, "test_top1", unbalanced=False).set_index(["treatment", "n"])
    assert means.loc[("random", 7), "note"] == "lacks: random1 seed 0 target A"
    assert means.loc[("random", 7), "networks"] == 7
    assert means["balanced"].sum() == len(means) - 1


def test_where_a_base_lacks_the_others_have_no_base():
    networks = plant()
    gone = (networks["network"] == "baseA") & (networks["split"] == "random1")
    means = means_table(networks[~gone], "test_top1", unbalanced=False).set_index(["treatment", "n"])
    assert means.loc[("transfer", 4), "note"] == "has no base: random1 seed 0 target A"
    assert means.loc[("base", 0), "balanced"]


def test_means_are_of_one_kind_and_volume():
    networks = plant(splits={"random0": "random", "even-odd": "groups", "small": "random"})
    networks.loc[networks["split"] == "small", ["volume", "other_volume"]] = 10
    means = means_table(networks, "test_top1", unbalanced=False)
    assert means["balanced"].all()
    assert set(means["networks"]) == {2}
    assert means.groupby(["kind", "volume"], dropna=False).ngroups == 3


def test_base_networks_that_are_mere_sources_are_in_no_mean():
    networks = plant()
    ours = networks[(networks["target"] == "B") | (networks["treatment"] == "base")]
    means = means_table(ours, "test_top1", unbalanced=False)
    assert means["balanced"].all()
    assert means["mean"].tolist() == means_table(plant(targets="B"), "test_top1", unbalanced=False)["mean"].tolist()
    bases = means_table(networks[networks["treatment"] == "base"], "test_top1", unbalanced=False)
    assert bases["networks"].tolist() == [8]
