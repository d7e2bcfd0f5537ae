"""Orphans: a job ends with the snakemake that has started it, so that nobody starts a second writer beside it.

On a cluster that is the snakemake on the job's own node, and the one that handed the job over may end before it.
"""

import os
import select
import signal
import threading
import time
from collections.abc import Callable

STARTER = "TRANSFERABILITY_STARTER"
"""The variable that tells jobs the process that has started them; the workflow sets it, and users' commands lack it."""


def end_with_starter() -> None:
    """From now on, tell this process to end (SIGTERM) when the process that has started it is gone."""
    starter = os.environ.get(STARTER, "")
    if starter.isdigit() and int(starter) != os.getpid():
        awaiting = waiter(int(starter))

        def follow() -> None:
            awaiting()
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=follow, daemon=True).start()


def waiter(process: int) -> Callable[[], None]:
    """A function that returns when a process of this machine is gone."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return lambda: None
    except (AttributeError, OSError):
        return lambda: look_for(process)  # systems without such handles
    return lambda: wait_for(handle)


def wait_for(handle: int) -> None:
    """Return when the process of a handle has ended."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.poll()
    os.close(handle)


def look_for(process: int) -> None:
    """Return when a process is gone, by looking for it once a second."""
    while True:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        except PermissionError:
            pass
        time.sleep(1)
