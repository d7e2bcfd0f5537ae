"""Broken params: whatever stands in the place of a value, the study is read or refused in one sentence."""

import copy
import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from transferability.errors import InputError
from transferability.study.architectures import describe_architectures
from transferability.study.defaults import completed
from transferability.study.jobs import probe_jobs, study_jobs
from transferability.study.params import check_networks, check_params
from transferability.study.reading import read_study

CHECKOUT = Path(__file__).parent.parent
SCHEMA = CHECKOUT / "src/transferability/study/params.schema.yaml"
NUMBERS = (True, -1, 0, 1, 2.5, 10**30, 1e308, math.inf, math.nan)
TEXTS = ("", "x", "a\nb", "../x", "{seed}", "baseA", "\0", "5e-05", "x" * 5000)
OTHERS = (None, [], [[]], [1, 2], ["x"], ["x", "x"], [None], {}, {"x": 1}, {"A": ["1"]})
LONGEST = 600
"""Characters of a sentence at most: a value of thousands is not repeated."""
TRIES = 150
"""Broken params of each study."""


def places(value: object, above: tuple = ()) -> Iterator[tuple]:
    """The keys that lead to each value in params."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield (*above, key)
        yield from places(part, (*above, key))


def with_value(params: dict, place: tuple, value: object) -> dict:
    """Params with another value in one place."""
    params = copy.deepcopy(params)
    section = params
    for key in place[:-1]:
        section = section[key]
    section[place[-1]] = value
    return params


def refusal(params: dict) -> str | None:
    """What is said against params, with what they leave out, before the first job; None if nothing is."""
    params = completed(params)
    try:
        check_params(params, SCHEMA)
        describe_architectures(params)
        check_networks(params)
        study_jobs(params)
        probe_jobs(params)
    except InputError as error:
        return str(error)
    return None


@pytest.mark.parametrize("studies", [(), ("zeiler-caltech",)], ids=["default", "zeiler-caltech"])
def test_a_value_of_any_kind_in_any_place_is_read_or_refused_in_one_sentence(studies, tmp_path, monkeypatch):
    files = [CHECKOUT / "workflow" / "studies" / f"{name}.yaml" for name in studies]
    params = read_study(CHECKOUT / "params.yaml", files)
    monkeypatch.chdir(tmp_path)
    draw = random.Random(len(files))
    every = sorted(places(params), key=str)
    refused = 0
    for _ in range(TRIES):
        place, value = draw.choice(every), draw.choice(NUMBERS + TEXTS + OTHERS)
        sentence = refusal(with_value(params, place, value))
        if sentence is not None:
            refused += 1
            assert sentence.startswith("params: ") or place[0] in sentence, f"{place} = {value!r}: {sentence}"
            assert sentence.isprintable(), f"{place} = {value!r}: {sentence}"
            assert len(sentence) <= LONGEST, f"{place} = {value!r}: {sentence}"
    assert refused > 0.8 * TRIES
