"""Hours: what networks have cost to train, by treatment, from the records beside them."""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from transferability import files
from transferability.errors import InputError, exit_plainly
from transferability.forms.run import Run


@dataclass(frozen=True)
class Spent:
    """Networks, and the hours of their jobs, start-up included; a job's hours are shared evenly by its networks."""

    networks: int
    hours: float


def spent_hours(runs: Iterable[Path]) -> dict[tuple[str, str], Spent]:
    """What the networks of run.json files have cost, {(treatment, device): ...}, treatments and devices in order."""
    spent: dict[tuple[str, str], Spent] = {}
    for path in runs:
        run = files.read_json(path, Run)
        key = run["network"]["treatment"], run["device"]
        hours = run["job"]["seconds"] / run["job"]["networks"] / 3600
        before = spent.get(key, Spent(0, 0.0))
        spent[key] = Spent(before.networks + 1, before.hours + hours)
    return dict(sorted(spent.items()))


def hours_table(spent: dict[tuple[str, str], Spent]) -> str:
    """The hours as lines of text, with their sum at the end."""
    rows = [(*key, entry) for key, entry in spent.items()]
    rows.append(("all", "", Spent(sum(row[2].networks for row in rows), sum(row[2].hours for row in rows))))
    lines = [f"{'treatment':<14}{'device':<8}{'networks':>9}{'hours':>11}"]
    lines += [f"{treatment:<14}{device:<8}{row.networks:>9,}{row.hours:>11,.2f}" for treatment, device, row in rows]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Sum up the hours that networks have cost to train, by treatment.")
    parser.add_argument("models", type=Path, help="folder of networks, such as models or models/digits/tiny")
    folder = parser.parse_args(arguments).models
    runs = sorted(folder.rglob("run.json"))
    if not runs:
        raise InputError(f"{folder}: there is no run.json below it; name a folder of trained networks")
    print(hours_table(spent_hours(runs)))


if __name__ == "__main__":
    exit_plainly(main)
