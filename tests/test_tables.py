"""Tables: they come back as they were written, and files that are none are named."""

import re

import pandas as pd
import pytest
from planted import plant

from transferability.analysis.effects import effects_table
from transferability.analysis.pairs import pairs_table
from transferability.analysis.tables import EFFECT_COLUMNS, NETWORK_COLUMNS, PAIR_COLUMNS, read_table, write_table
from transferability.errors import InputError


def test_tables_come_back_as_they_were_written(tmp_path):
    networks = plant()
    networks.loc[0, ["volume", "reason", "synset_distance"]] = 5, "a reason, with a comma", 0.1 + 0.2
    tables = {
        "networks": (networks, NETWORK_COLUMNS),
        "pairs": (pairs_table(networks), PAIR_COLUMNS),
        "effects": (effects_table(networks, unbalanced=False), EFFECT_COLUMNS),
    }
    for name, (table, columns) in tables.items():
        write_table(tmp_path / f"{name}.csv", table)
        back = read_table(tmp_path / f"{name}.csv", columns)
        # Older pandas read a number to its last digit but one.
        pd.testing.assert_frame_equal(back, table, rtol=1e-15)


def test_names_that_look_like_nothing_are_names(tmp_path):
    networks = plant(splits={"NA": "random", "null": "random", "007": "random"}, dataset="nan")
    write_table(tmp_path / "networks.csv", networks)
    back = read_table(tmp_path / "networks.csv", NETWORK_COLUMNS)
    assert set(back["split"]) == {"NA", "null", "007"}
    assert set(back["dataset"]) == {"nan"}


def test_an_empty_table_is_a_table(tmp_path):
    empty = effects_table(plant({"base": lambda n: 0}), unbalanced=False)
    write_table(tmp_path / "effects.csv", empty)
    assert list(read_table(tmp_path / "effects.csv", EFFECT_COLUMNS)) == list(EFFECT_COLUMNS)


def test_columns_that_are_added_are_kept_behind(tmp_path):
    write_table(tmp_path / "networks.csv", plant().assign(colour="red").iloc[:, ::-1])
    assert list(read_table(tmp_path / "networks.csv", NETWORK_COLUMNS)) == [*NETWORK_COLUMNS, "colour"]


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "networks.csv"
    write_table(path, plant())
    whole = path.read_text()
    first = whole.index("\n") + 1
    for content in (
        b"",
        b"\xff\xfe\x00",
        whole[: whole.rindex(",10,") + 2].encode() + b',"',
        whole.replace(",0.05,", ",much,", 1).encode(),
        (whole[:first] + "a,b\n").encode(),
        b"colour\nred\n",
        whole.replace("treatment", "treat", 1).encode(),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"^{re.escape(str(path))}: .*; delete it and run again$"):
            read_table(path, NETWORK_COLUMNS)
    path.unlink()
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: there is no such file$"):
        read_table(path, NETWORK_COLUMNS)


def test_a_network_that_is_there_twice_is_named(tmp_path):
    path = tmp_path / "networks.csv"
    networks = plant()
    write_table(
        path, pd.concat([networks, networks[(networks["network"] == "R4B") & (networks["split"] == "random2")]])
    )
    with pytest.raises(InputError) as error:
        read_table(path, NETWORK_COLUMNS)
    assert str(error.value) == f"{path}: R4B of random2, seed 0, is there twice; leave one of the two"
