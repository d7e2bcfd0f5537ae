"""Errors that the user can mend: each is one sentence that names the file or key and what to do."""

import errno
import sys
from collections.abc import Callable

from transferability.orphans import end_with_starter


class InputError(Exception):
    """Bad input. The message is one sentence for the person who gave it."""


def exit_plainly(command: Callable[[], None]) -> None:
    """Run a command; what the user can mend ends it with one sentence and status 1, without a traceback.

    A command that a workflow has started ends with it.
    """
    end_with_starter()
    try:
        command()
    except (InputError, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            place = error.filename or "writing"
            sys.exit(f"error: {place}: the disk or your quota is full; make room and start again, what is done is kept")
        sys.exit(f"error: {error}")
