"""Locks: a file has one writer at a time, on this machine or another that shares the disk."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from transferability.errors import InputError

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What a file system answers that keeps no locks."""


def locked_sentence(folder: Path, command: str) -> str:
    """What to do where another start of snakemake works in a folder, or was killed there."""
    return (
        f"{folder}: another run works in this folder; wait for its end, or, if it was killed, "
        f"`{command} --unlock` and start again"
    )


@contextmanager
def only_writer(paths: list[Path]) -> Iterator[None]:
    """Hold the lock files at `paths` for as long as the block runs; InputError if another process holds one.

    The system gives a lock back when its process ends, however it ends; a lock file says who holds it.
    """
    with ExitStack() as held:
        for path in paths:
            held.enter_context(locked(path))
        yield


@contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold one lock file, <what is written>.lock, and remove it at the end; `wait` for who holds it, if told to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with open(path, "a+", encoding="utf-8") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read() or "another process"
                raise InputError(
                    f"{path.with_suffix('')}: {holder} is making it now; wait until it has ended, or end it"
                ) from None
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                raise InputError(
                    f"{path}: this file system has no POSIX locks ({os.strerror(error.errno)}); mount it with them "
                    "(Lustre: flock, NFS: without nolock), or work on another with `--directory`"
                ) from None
            # Its last holder may have removed the file between our opening and locking it.
            if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                continue
            job = os.environ.get("SLURM_JOB_ID")
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}" + (f" (SLURM job {job})" if job else ""))
            file.flush()
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
