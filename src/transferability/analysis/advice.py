"""Advice: what a finished study says of which strategy to take, as `transferability advise` prints it."""

import argparse
from pathlib import Path

from transferability import files
from transferability.errors import InputError
from transferability.forms.advice import Advice, Advices
from transferability.words import counted


def advice_paths(results: Path) -> list[Path]:
    """The files of advice of all studies in a folder of results; an InputError if there is none."""
    paths = sorted(results.glob("*/*/advice.json"))
    if not paths:
        raise InputError(
            f"{results}: there is no advice.json in a folder of a data set and architecture; advice is of studies with "
            "recipes, such as workflow/studies/digits-strategies.yaml: run one first, `transferability run`"
        )
    return paths


def read_advice(path: Path) -> Advices:
    """The advice of a study, by condition; a file that is not whole is an InputError."""
    return files.read_json(path, Advices)


def advice_sentences(path: Path) -> list[str]:
    """The sentence of each condition; it is named where there are several."""
    advices = read_advice(path)
    named = len(advices) > 1
    return [f"On {name}: {one['sentence']}" if named else one["sentence"] for name, one in advices.items()]


def regret_sentence(advice: Advice) -> str:
    """What the advice is worth: what it costs a task that had no part in it."""
    if advice["regret_points"] is None:
        return f"What it is worth is not known: {counted(advice['tasks'], 'task')}."
    return (
        f"A task that had no part in it loses {advice['regret_points']:.1f} points by such advice against its best "
        f"strategy, and {advice['own_regret_points']:.1f} by choosing on its own validation images "
        f"(means over {counted(advice['tasks'], 'task')})."
    )


def advice_lines(path: Path) -> list[str]:
    """The advice of a study as lines: a condition and its sentences."""
    advices = read_advice(path)
    where = f"{path.parent.parent.name} {path.parent.name}"
    if not advices:
        return [f"{where}: no two strategies to compare"]
    return [f"{where}, {name}: {one['sentence']} {regret_sentence(one)}" for name, one in advices.items()]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Tell which strategy a study has found best, and by how much.")
    parser.add_argument("--directory", type=Path, default=Path(), help="folder of what the study made (this one)")
    folder = parser.parse_args(arguments).directory
    for path in advice_paths(folder / "results"):
        print("\n".join(advice_lines(path)))
