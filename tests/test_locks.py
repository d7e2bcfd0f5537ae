"""Locks: two jobs never write one output, and no lock outlives its process."""

import errno
import re
import subprocess
import sys

import pytest

from transferability.errors import InputError
from transferability.locks import only_writer

HOLDER = """
import sys
from pathlib import Path
from transferability.locks import only_writer
with only_writer([Path(sys.argv[1])]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path):
    """A lock file that another process holds, and that process."""
    path = tmp_path / "states/A3B.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    yield path, holder
    holder.kill()
    holder.communicate()


def test_a_second_writer_is_told_who_the_first_is(lock):
    path, holder = lock
    with pytest.raises(InputError) as error, only_writer([path.with_name("A1B.lock"), path]):
        pytest.fail("two writers")
    assert re.fullmatch(
        rf"{path.with_suffix('')}: process {holder.pid} on \S+ is making it now; wait until it has ended, or end it",
        str(error.value),
    )
    assert not path.with_name("A1B.lock").exists()


def test_a_lock_ends_with_its_process_however_it_ends(lock):
    path, holder = lock
    holder.kill()
    holder.wait()
    assert path.exists()
    with only_writer([path]):
        pass
    assert not path.exists()


def test_a_slurm_job_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    with only_writer([tmp_path / "A3B.lock"]):
        assert (tmp_path / "A3B.lock").read_text().endswith("(SLURM job 4711)")


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    path = tmp_path / "A3B.lock"
    from transferability import locks

    lockf, calls = locks.fcntl.lockf, []

    def remove_first(file, how):
        calls.append(how)
        lockf(file, how)
        if len(calls) == 1:
            path.unlink()

    monkeypatch.setattr(locks.fcntl, "lockf", remove_first)
    with only_writer([path]):
        assert path.read_text().startswith("process ")
    assert len(calls) == 2


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_said_with_the_file(tmp_path, monkeypatch, number):
    from transferability import locks

    def refuse(file, how):
        raise OSError(number, "no locks")

    monkeypatch.setattr(locks.fcntl, "lockf", refuse)
    with pytest.raises(InputError, match=r"A3B\.lock: this file system has no POSIX locks \(.*\); mount it with them"):
        only_writer([tmp_path / "A3B.lock"]).__enter__()


def test_another_error_of_locking_stays_what_it_is(tmp_path, monkeypatch):
    from transferability import locks

    def refuse(file, how):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(locks.fcntl, "lockf", refuse)
    with pytest.raises(OSError, match="broken"):
        only_writer([tmp_path / "A3B.lock"]).__enter__()
