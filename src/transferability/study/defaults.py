"""Defaults: what a study is where its params say nothing, so that a file of one's own holds what is its own."""

from collections.abc import Mapping
from typing import Any

BASE, TRANSFERRED, REDUCED = "base", "transferred", "reduced"
SCHEDULES = (BASE, TRANSFERRED, REDUCED)
"""The sections of `training`; what it states beside them is of all networks."""

DEFAULTS: dict[str, Any] = {
    "training": {},
    "export": [],
    "analysis": {"drop": 0.02, "unbalanced": False},
    "figures": {"read_out": "test_top1", "width": 6.5, "dpi": 200},
    "jobs": "curve",
    "device": "auto",
}

USUAL: dict[str, Any] = {
    "decay": "cosine",
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 0.0005,
    "bias_rate": 1,
    "precision": "fp32",
}
"""What a schedule is where nothing is said: steps, images a step and the learning rate always are."""

MOST_VALIDATIONS = 20


def of_steps(steps: object) -> dict[str, int]:
    """What follows from the number of steps: a tenth of them to warm up, and at most so many validations."""
    if not isinstance(steps, int) or steps < 1:
        return {}
    return {"warmup": steps // 10, "validations": min(MOST_VALIDATIONS, steps)}


def schedule_of_section(kind: str, shared: Mapping, stated: Mapping) -> dict:
    """The whole schedule of a section: what it states, what is stated for all networks, and what is usual."""
    said = {**shared, **stated}
    dropout = {} if kind == BASE else {"frozen_dropout": True}
    whole = {**USUAL, **dropout, **of_steps(said.get("steps")), **said}
    return {key: value for key, value in whole.items() if kind != BASE or key != "frozen_dropout" or key in stated}


def completed_training(training: Mapping) -> dict:
    """The section `training` with whole schedules; what is none is left as it is, and refused by the schema."""
    shared = {key: value for key, value in training.items() if key not in SCHEDULES}
    kinds = [kind for kind in SCHEDULES if kind in training or kind != REDUCED]
    stated = {kind: training.get(kind, {}) for kind in kinds}
    return {
        **shared,
        **{
            kind: schedule_of_section(kind, shared, section) if isinstance(section, Mapping) else section
            for kind, section in stated.items()
        },
    }


def completed(params: Mapping) -> dict:
    """Params with what they leave out; what is no mapping where one is to be is left as it is."""
    whole = {**DEFAULTS, **params}
    for name in ("analysis", "figures"):
        if isinstance(whole[name], Mapping):
            whole[name] = {**DEFAULTS[name], **whole[name]}
    if isinstance(whole["training"], Mapping):
        whole["training"] = completed_training(whole["training"])
    return whole


def without_restated(training: object, above: object) -> object:
    """A section `training` without what its schedules say of keys that a later file states for all networks."""
    if not isinstance(training, Mapping) or not isinstance(above, Mapping):
        return training
    return {
        kind: {key: value for key, value in section.items() if key not in above}
        if kind in SCHEDULES and isinstance(section, Mapping)
        else section
        for kind, section in training.items()
    }
