"""Devices: where the arithmetic is done, and how it is made repeatable."""

import ctypes
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from transferability.errors import InputError

NO_MEMORY = re.compile("CUDA.*out of memory|ALLOC_FAILED")
DRIVER = Path("/proc/driver/nvidia/gpus")

# malloc.h of the GNU C library.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; does not wake them up."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name]
    cards = (card.read_text() for card in sorted(DRIVER.glob("*/information")))
    return [match[1] for card in cards if (match := re.search(r"^GPU UUID:\s*(GPU-\S+)", card, re.MULTILINE))]


def claim(names: list[str], folder: Path) -> str:
    """One of several GPUs that no other process of this machine has claimed; it is this process's until it ends.

    Where there are more processes than GPUs, they share them.
    """
    for name in names:
        # The file stays open, and with it the lock, as long as the process lives.
        file = os.open(folder / f"transferability-{os.getuid()}-gpu-{name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
        else:
            return name
    return names[os.getpid() % len(names)]


def keep_memory() -> None:
    """Keep freed memory for the next step's tensors, where the C library can be told so.

    By itself it gives large tensors back to the system and asks for them anew, zeroed page by page: on a CPU up to a
    sixth of the time of a training step.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return
    library.mallopt(M_MMAP_MAX, 0)
    library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    library.mallopt(M_TOP_PAD, 2**26)


@contextmanager
def fitting(what: str, advice: str) -> Iterator[None]:
    """While the block runs, a GPU's memory that does not suffice for `what` is an InputError with an advice."""
    try:
        yield
    except RuntimeError as error:
        # What cannot be had for a context, or by a library of CUDA's, is an error of another kind.
        if not isinstance(error, torch.cuda.OutOfMemoryError) and not NO_MEMORY.search(str(error)):
            raise
        raise InputError(f"{what} do not fit into the GPU's memory; {advice}") from None


def choose_device(name: str, threads: int) -> torch.device:
    """The device that an option names, set for the whole process so that the same work gives the same bits on it.

    "auto" takes a GPU where there is one; of several, one that is free. On a CPU sums depend on the number of threads.
    """
    if name in ("auto", "cuda") and not torch.cuda.is_initialized() and len(gpus := visible_gpus()) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = claim(gpus, Path(tempfile.gettempdir()))
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        if not torch.cuda.is_available():
            raise InputError('device: "cuda" was asked for, but torch sees no GPU here; use "auto" or "cpu"')
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        # Deterministic algorithms fill new memory with NaN, in case that something reads it; nothing here does.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        # Products of fp32 numbers are fp32, and sums of bf16 products too: torch would make both coarser.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    keep_memory()
    torch.set_num_threads(threads)
    # Weights that decay towards 0 would otherwise slow a CPU down manyfold.
    torch.set_flush_denormal(True)
    return torch.device(name)
