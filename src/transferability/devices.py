"""Devices: where the arithmetic is done, and how it is made repeatable."""

import os

import torch

from transferability.errors import InputError


def choose_device(name: str, threads: int) -> torch.device:
    """The device that an option names, set for the whole process so that the same work gives the same bits on it.

    "auto" takes a GPU where there is one. On a CPU sums depend on the number of threads.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        if not torch.cuda.is_available():
            raise InputError('device: "cuda" was asked for, but torch sees no GPU here; use "auto" or "cpu"')
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    torch.set_num_threads(threads)
    # Weights that decay towards 0 would otherwise slow a CPU down manyfold.
    torch.set_flush_denormal(True)
    return torch.device(name)
