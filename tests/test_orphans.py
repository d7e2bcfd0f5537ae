"""Orphans: a job ends with the process that has started it."""

import signal
import subprocess
import sys

import pytest

from transferability.orphans import STARTER

JOB = """
import signal, sys, time
from transferability import orphans
from transferability.errors import exit_plainly
if sys.argv[1] == "without handles":
    del orphans.os.pidfd_open
def told(*_):
    print("told to end", flush=True)
    sys.exit(7)
def work():
    signal.signal(signal.SIGTERM, told)
    print("works", flush=True)
    while True:
        time.sleep(0.05)
exit_plainly(work)
"""


def started(starter: str, system: str = "") -> subprocess.Popen:
    """A job that is told which process has started it, once it works."""
    environment = {STARTER: starter} if starter else {}
    command = ["env", *(f"{name}={value}" for name, value in environment.items()), sys.executable, "-c", JOB, system]
    job = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert job.stdout.readline() == "works\n"
    return job


@pytest.mark.parametrize("system", ["", "without handles"])
def test_a_job_is_told_to_end_when_its_starter_was_killed(system):
    starter = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    job = started(str(starter.pid), system)
    assert job.poll() is None
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    assert job.communicate(timeout=60)[0] == "told to end\n"
    assert job.returncode == 7


@pytest.mark.parametrize("starter", ["", "none"])
def test_a_command_that_a_user_starts_follows_nobody(starter):
    job = started(starter)
    job.send_signal(signal.SIGTERM)
    assert job.communicate(timeout=60)[0] == "told to end\n"
