"""Devices: jobs on one machine with several GPUs take one each; on a CPU memory that was freed is used again."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from transferability import devices

CLAIM = """
import sys
from pathlib import Path
from transferability.devices import claim
print(claim(["GPU-a", "GPU-b"], Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def claimant(folder: Path) -> tuple[subprocess.Popen, str]:
    """A process that has claimed one of two GPUs and keeps it until its input ends, and which."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, process.stdout.readline().strip()


def test_each_process_has_a_gpu_for_itself_until_it_ends(tmp_path):
    (first, a), (second, b) = claimant(tmp_path), claimant(tmp_path)
    third, shared = claimant(tmp_path)
    assert (a, b) == ("GPU-a", "GPU-b")
    assert shared in (a, b)
    first.kill()
    first.wait()
    fourth, again = claimant(tmp_path)
    assert again == a
    for process in (second, third, fourth):
        process.communicate()


def test_gpus_are_those_that_the_environment_names(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-c")
    assert devices.visible_gpus() == ["2", "GPU-c"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.visible_gpus() == []


def test_gpus_are_else_those_that_the_driver_knows(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "DRIVER", tmp_path)
    assert devices.visible_gpus() == []
    for name in "ba":
        (tmp_path / f"0000:0{name}").mkdir()
        (tmp_path / f"0000:0{name}/information").write_text(
            f"Model: \t\t NVIDIA H200\nIRQ:   \t\t 20\nGPU UUID: \t GPU-{name}{name}-1\nVideo BIOS: \t 96\n"
        )
    assert devices.visible_gpus() == ["GPU-aa-1", "GPU-bb-1"]


@pytest.mark.parametrize(("visible", "chosen"), [("4,7", "4"), ("5", "5")])
def test_a_job_sees_no_other_gpu(monkeypatch, tmp_path, visible, chosen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    devices.choose_device("auto", threads=1)
    assert devices.os.environ["CUDA_VISIBLE_DEVICES"] == chosen


PAGES = """
import ctypes, resource, sys
import torch
from transferability.devices import choose_device

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

PR_SET_THP_DISABLE = 41
ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
if sys.argv[1] == "kept":
    choose_device("cpu", threads=1)
def step():
    return [torch.ones(10_000_000) for _ in range(2)]
for _ in range(20):
    step()
before = faults()
for _ in range(10):
    step()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library can be told to keep memory")
def test_a_step_is_not_given_its_memory_anew():
    pages = {
        way: int(subprocess.run([sys.executable, "-c", PAGES, way], capture_output=True, text=True, check=True).stdout)
        for way in ("kept", "given back")
    }
    assert 4 * pages["kept"] < pages["given back"]
    assert pages["given back"] > 100_000, "800 MB in pages of 4 kB"
