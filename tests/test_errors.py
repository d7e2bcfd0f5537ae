"""Errors: one sentence each."""

import errno

import pytest

from transferability.errors import InputError, exit_plainly


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InputError("a: is wrong; mend it"), "error: a: is wrong; mend it"),
        (FileNotFoundError(errno.ENOENT, "No such file", "b"), "error: [Errno 2] No such file: 'b'"),
        (OSError(errno.ENOSPC, "No space left", "c/d"), "error: c/d: the disk or your quota is full; make room"),
        (OSError(errno.EDQUOT, "Quota exceeded"), "error: writing: the disk or your quota is full; make room"),
    ],
)
def test_what_a_user_can_mend_is_said_in_a_sentence(error, sentence):
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as left:
        exit_plainly(command)
    assert left.value.code.startswith(sentence)
