"""States: training that is stopped anywhere goes on to the same bits, and only from a state of its own."""

import errno
import json
import os
import random
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_training import ARCHITECTURES, SCHEDULE, command, execute, learners_of, run, setup_of, start

from transferability import files
from transferability.data.tasks import Task, open_task
from transferability.training.loop import train
from transferability.training.resuming import KEY, Keeper
from transferability.training.sharing import state_hash

torch.set_num_threads(1)

LONG = replace(SCHEDULE, steps=12, validations=4)
NAMES = ["R2B", "R6B"]


@pytest.fixture(scope="module")
def task(packed_digits, digits_split) -> Task:
    """Task B of the digits' split random0."""
    return open_task(digits_split, "B", packed_digits)


class Interrupted(Keeper):
    """Tells training to end after some of its steps."""

    def due(self) -> bool:
        self.must_end = next(self.ends)
        return super().due()


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("seed", range(3))
def test_training_that_is_stopped_at_random_steps_gives_the_same_bits(kind, seed, task, tmp_path):
    whole = start(NAMES, ARCHITECTURES[kind], task, None)
    expected = run(whole, task, LONG)
    chance, stops, lines = random.Random(seed), 0, []
    while True:
        networks = start(NAMES, ARCHITECTURES[kind], task, None)
        keeper = Interrupted(tmp_path / "state.safetensors", {"code": 1}, 3600)
        keeper.ends = iter(lambda: chance.random() < 0.3, None)
        learners = learners_of(networks, LONG)
        try:
            train(learners, setup_of(task, LONG), lines.append, keeper)
            break
        except SystemExit:
            stops += 1
    assert stops > 0
    assert len([line for line in lines if line.startswith("going on after step")]) == stops
    assert {learner.name: learner.history for learner in learners} == expected
    assert {name: state_hash(network) for name, network in networks.items()} == {
        name: state_hash(network) for name, network in whole.items()
    }


def keeper_at(path: Path, **identity: object) -> Keeper:
    return Keeper(path, {"seed": 0, "code": "abc"} | identity, 0)


@pytest.mark.parametrize("change", [{"seed": 1}, {"code": "abd"}, {"versions": {"torch": "3"}}])
def test_a_state_of_other_parameters_or_code_is_not_taken_up(change, tmp_path, capsys):
    path = tmp_path / "state.safetensors"
    keeper_at(path).save({"weights": torch.ones(2)}, {"step": 3})
    tensors, progress = keeper_at(path).load()
    assert torch.equal(tensors["weights"], torch.ones(2))
    assert progress == {"step": 3}
    assert keeper_at(path, **change).load() is None
    assert capsys.readouterr().err == (
        f"{path}: is of other parameters, images, code, library versions, device or threads; "
        "training starts from the beginning\n"
    )


@pytest.mark.parametrize("damage", [lambda whole: whole[:-1], lambda whole: b"", lambda whole: b"{}" + whole])
def test_a_damaged_state_is_not_taken_up(damage, tmp_path, capsys):
    path = tmp_path / "state.safetensors"
    keeper_at(path).save({"weights": torch.ones(2)}, {"step": 3})
    path.write_bytes(damage(path.read_bytes()))
    assert keeper_at(path).load() is None
    assert capsys.readouterr().err.startswith(f"{path}: is no whole state (")


def test_a_full_disk_costs_a_line_and_leaves_the_last_state_whole(tmp_path, capsys, monkeypatch):
    keeper = keeper_at(tmp_path / "state.safetensors")
    keeper.save({"weights": torch.ones(2)}, {"step": 3})

    def fill(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill)
    keeper.save({"weights": torch.zeros(2)}, {"step": 4})
    assert (
        "the state could not be kept ([Errno 28] No space left on device); training goes on" in capsys.readouterr().err
    )
    assert keeper.load()[1] == {"step": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_saving_takes_a_small_share_of_the_time(tmp_path, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    keeper = Keeper(tmp_path / "state.safetensors", {}, 10)
    assert not keeper.due()
    clock[0] = 1010
    assert keeper.due()
    monkeypatch.setattr(files, "replacing", slow(files.replacing, clock, 2))
    keeper.save({"weights": torch.ones(2)}, {"step": 3})
    clock[0] += 99
    assert not keeper.due()
    clock[0] += 1
    assert keeper.due()


def slow(function, clock: list[float], seconds: float):
    """A function after which the clock is so many seconds further."""

    def slowed(*arguments):
        clock[0] += seconds
        return function(*arguments)

    return slowed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_command_goes_on_where_it_was_ended(number, packed_digits, digits_split, tmp_path):
    def words(folder: str) -> list[str]:
        done = command(tmp_path / folder, digits_split, packed_digits, ["R3B", "R5B"], None)
        longer = '"steps": 400, "validations": 40'
        done = [word.replace('"validations": 2, ', "").replace('"steps": 4', longer) for word in done]
        return [*done, "--save-seconds", "0"]

    def steps_kept() -> int:
        if not state.exists():
            return 0
        # At one go: safe_open opens a file twice, which may be another one by then.
        content = state.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return json.loads(header["__metadata__"][KEY])["progress"]["step"]

    assert execute(words("whole")).returncode == 0
    state = tmp_path / "ended/states/R3B_R5B.safetensors"
    for _ in range(2):
        before = steps_kept()
        process = subprocess.Popen(words("ended"), stderr=subprocess.PIPE, text=True)
        while process.poll() is None and steps_kept() == before:
            time.sleep(0.01)
        process.send_signal(number)
        said = process.communicate()[1]
        assert process.returncode == (1 if number == signal.SIGTERM else -number), said
        assert number == signal.SIGKILL or f"; {state} has the state to go on from\n" in said
        assert not (tmp_path / "ended/R3B").exists()
    done = execute(words("ended"))
    assert done.returncode == 0
    assert "going on after step" in done.stderr
    for name in ("R3B", "R5B"):
        for file in ("model.safetensors", "history.csv"):
            assert (tmp_path / "ended" / name / file).read_bytes() == (tmp_path / "whole" / name / file).read_bytes()
    assert not any((tmp_path / "ended/states").iterdir())


def test_two_jobs_on_one_output_are_refused(packed_digits, digits_split, tmp_path):
    words = command(tmp_path, digits_split, packed_digits, ["R3B"], None)
    first = subprocess.Popen(
        [word.replace('"steps": 4', '"steps": 100000') for word in words], stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "states/R3B.lock").exists():
        time.sleep(0.01)
    time.sleep(0.1)
    second = execute(command(tmp_path, digits_split, packed_digits, ["R3B", "R4B"], None))
    first.terminate()
    first.communicate()
    assert second.returncode == 1
    assert f"R3B: process {first.pid} on " in second.stderr


def test_the_time_of_earlier_processes_is_counted(tmp_path, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    path = tmp_path / "state.safetensors"
    for spent in (0, 7, 14):
        keeper = keeper_at(path)
        keeper.load()
        assert keeper.earlier == spent
        clock[0] += 7
        keeper.save({"weights": torch.ones(2)}, {"step": 3})
