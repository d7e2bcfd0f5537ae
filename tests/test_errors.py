"""Errors: one sentence each."""

import errno
from types import SimpleNamespace

import pytest

from transferability.cluster.hooks import failure_sentences
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


def test_of_jobs_that_failed_each_sentence_is_said_once_or_where_the_log_is(tmp_path):
    said = {
        "a.log": "note: x\nerror: first\nerror: last; mend it\n",
        "b.log": "error: last; mend it\n",
        "c.log": "Killed\n",
    }
    for name, text in said.items():
        (tmp_path / name).write_text(text)
    logs = [[tmp_path / name] for name in said] + [[tmp_path / "none.log"], []]
    failed = [SimpleNamespace(rule=SimpleNamespace(name="base"), log=log) for log in logs]
    workflow = SimpleNamespace(scheduler=SimpleNamespace(failed=failed))
    assert failure_sentences(workflow) == [
        "error: last; mend it",
        f"error: base failed; its log is {tmp_path / 'c.log'}",
        f"error: base failed; its log is {tmp_path / 'none.log'}",
        "error: base failed; its log is above",
    ]
    assert failure_sentences(SimpleNamespace(scheduler=None)) == []
