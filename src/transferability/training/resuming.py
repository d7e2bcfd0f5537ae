"""Resuming: the state of training, kept in a file from which a stopped job goes on as if nothing had happened."""

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from transferability import files

KEY = "transferability"

SHARE = 50
"""Saving takes at most one second in so many."""


@dataclass
class Keeper:
    """Keeps a state in a file at `path` every `seconds`, and when the process is told to end.

    `identity` says what the state is of: a file of another one is not taken up. `earlier` is how many seconds went
    into the state that was, before this process.
    """

    path: Path
    identity: dict
    seconds: float
    must_end: bool = False
    earlier: float = 0
    _started: float = field(init=False)
    _next: float = field(init=False)

    def __post_init__(self) -> None:
        self._started = time.monotonic()
        self._next = self._started + self.seconds

    def due(self) -> bool:
        """Whether it is time to save."""
        return self.must_end or time.monotonic() >= self._next

    def save(self, tensors: dict[str, Tensor], progress: dict) -> None:
        """Write tensors and progress, a JSON object, whole or not at all; then ends the process if it must.

        A state that cannot be written costs a line in the log, not the run.
        """
        started = time.monotonic()
        spent = self.earlier + started - self._started
        content = json.dumps({"identity": self.identity, "progress": progress, "seconds": spent})
        try:
            with files.replacing(self.path) as temporary:
                save_file(
                    {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, temporary, {KEY: content}
                )
        except (OSError, SafetensorError) as error:
            print(f"{self.path}: the state could not be kept ({error}); training goes on", file=sys.stderr)
        now = time.monotonic()
        self._next = now + max(self.seconds, SHARE * (now - started))
        if self.must_end:
            sys.exit(f"told to end after step {progress['step']}; {self.path} has the state to go on from")

    def load(self) -> tuple[dict[str, Tensor], dict] | None:
        """The tensors and progress to go on from, if there are any; a line in the log says what is not taken up."""
        try:
            with safe_open(self.path, framework="pt") as file:
                content = json.loads((file.metadata() or {})[KEY])
                if content["identity"] == self.identity:
                    self.earlier = content["seconds"]
                    return {name: file.get_tensor(name) for name in file.keys()}, content["progress"]  # noqa: SIM118
            reason = "is of other parameters, images, code, library versions, device or threads"
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
            reason = f"is no whole state ({error})"
        print(f"{self.path}: {reason}; training starts from the beginning", file=sys.stderr)
        return None

    def forget(self) -> None:
        """Remove the state: what it was kept for is done."""
        self.path.unlink(missing_ok=True)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While the block runs, SIGTERM and SIGINT ask for a last state instead of ending the process at once."""

        def ask(*_: object) -> None:
            self.must_end = True

        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
