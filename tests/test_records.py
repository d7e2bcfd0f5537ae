"""Records: what Snakemake keeps of files, written and read by its own rules."""

from transferability.cluster.records import (
    INCOMPLETE,
    handed_over,
    handed_over_logs,
    mark_unfinished,
    note_handed_over,
    recorded_files,
    settle_handed_over,
    unrecorded_files,
)


def test_what_is_marked_as_unfinished_is_known_to_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = ["models/a.safetensors", f"models/{'deep/' * 60}a.safetensors"]
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert sorted(unrecorded_files(["models"])) == sorted(paths)
    for path in paths:
        mark_unfinished(path)
    assert recorded_files(INCOMPLETE) == set(paths)
    assert list(unrecorded_files(["models"])) == []


def test_what_a_cluster_was_handed_is_known_until_it_is_settled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert handed_over() == set()
    note_handed_over(iter(["b", "a"]), tmp_path / "logs")
    assert handed_over_logs() == tmp_path / "logs"
    assert handed_over() == {"a", "b"}
    settle_handed_over()
    settle_handed_over()
    assert handed_over() == set()
