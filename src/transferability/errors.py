"""Errors that the user can mend: each is one sentence that names the file or key and what to do."""

import sys
from collections.abc import Callable


class InputError(Exception):
    """Bad input. The message is one sentence for the person who gave it."""


def exit_plainly(command: Callable[[], None]) -> None:
    """Run a command; what the user can mend ends it with one sentence and status 1, without a traceback."""
    try:
        command()
    except (InputError, OSError) as error:
        sys.exit(f"error: {error}")
