"""Clusters: what SLURM says of itself, and the sentences that follow from it."""

import subprocess

import pytest

from transferability.cluster import slurm
from transferability.cluster.slurm import (
    Partition,
    Request,
    check_accounting,
    check_accounts,
    check_cluster,
    check_requests,
    minutes_of,
    read_partitions,
    refuse_live_jobs,
)
from transferability.errors import InputError

SINFO = """\
gpu*|1-00:00:00|gpu:a100:2(S:0-1),craynetwork:4|64+|512000
gpu*|1-00:00:00|gpu:4|32|256000+
cpu|infinite|(null)|128|1000000
"""
PARTITIONS = {
    "gpu": Partition("gpu", True, frozenset({"a100", ""}), 64, 512000, 1440),
    "cpu": Partition("cpu", False, frozenset(), 128, 1000000, None),
}
PLAIN = Request("base", None, None, 0, None, 1, 1000, 60)


def test_partitions_are_read_with_their_best_nodes():
    assert read_partitions(SINFO) == PARTITIONS


@pytest.mark.parametrize(
    ("shown", "minutes"),
    [("30:00", 30), ("1:30:00", 90), ("2-00:00:00", 2880), ("infinite", None), ("n/a", None)],
)
def test_time_limits_are_read_in_minutes(shown, minutes):
    assert minutes_of(shown) == minutes


def test_resources_make_a_request():
    resources = {"slurm_partition": "gpu", "gpu": 1, "_cores": 4, "mem_mb": 9000, "runtime": 600, "_nodes": 1}
    assert Request.of("base", resources) == Request("base", "gpu", None, 1, None, 4, 9000, 600)
    assert Request.of("base", {}) == Request("base", None, None, 0, None, 1, None, None)


@pytest.mark.parametrize(
    "request_",
    [
        PLAIN,
        Request("base", "cpu", None, 0, None, 128, 1000000, 10**6),
        Request("base", "gpu", None, 1, "a100", 1, None, 1440),
        Request("base", "cpu,gpu", None, 1, None, 1, None, None),
    ],
)
def test_what_a_partition_has_passes(request_):
    check_requests([request_], PARTITIONS)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (Request("base", "fast", None, 0, None, 1, None, None), "no partition 'fast' (there are: cpu, gpu)"),
        (Request("base", "gpu,fast", None, 0, None, 1, None, None), "no partition 'fast' (there are: cpu, gpu)"),
        (Request("base", "cpu,gpu", None, 1, "h200", 1, None, None), "no node of 'cpu' has a GPU"),
        (Request("base", "cpu", None, 1, None, 1, None, None), "no node of 'cpu' has a GPU (with GPUs: gpu)"),
        (Request("base", "gpu", None, 1, "h200", 1, None, None), "'gpu' has no GPU 'h200'"),
        (Request("base", "gpu", None, 0, None, 65, None, None), "asks for 65 CPUs, and a node of 'gpu' has 64"),
        (Request("base", "gpu", None, 0, None, 1, 512001, None), "asks for 512001 MB, and a node of 'gpu' has 512000"),
        (Request("base", "gpu", None, 0, None, 1, None, 1441), "asks for 1441 minutes, and 'gpu' allows 1440"),
    ],
)
def test_what_no_node_can_do_is_refused(request_, sentence):
    with pytest.raises(InputError) as error:
        check_requests([PLAIN, request_], PARTITIONS)
    assert sentence in str(error.value)


def test_without_a_default_a_partition_must_be_named():
    with pytest.raises(InputError, match="no default partition"):
        check_requests([PLAIN], {"cpu": PARTITIONS["cpu"]})


NO_ACCOUNTS = "AccountingStorageType   = (null)\nMinJobAge               = {} sec\n"
ACCOUNTS = "AccountingStorageType   = accounting_storage/slurmdbd\nMinJobAge               = 2 sec\n"


def test_accounting_is_told_from_the_configuration():
    assert check_accounting([PLAIN], ACCOUNTS, "sacct", 20)
    assert not check_accounting([PLAIN], NO_ACCOUNTS.format(300), "squeue", 20)


@pytest.mark.parametrize(
    ("request_", "age", "command", "sentence"),
    [
        (PLAIN, 300, "sacct", "sacct would never tell of a job's end"),
        (PLAIN, 45, "squeue", "forgets a job 45 s after its end; set at most 15"),
        (
            Request("base", None, "physics", 0, None, 1, None, None),
            300,
            "squeue",
            "cannot tell whether 'physics' is one",
        ),
    ],
)
def test_settings_that_need_accounts_are_refused_without_them(request_, age, command, sentence):
    with pytest.raises(InputError) as error:
        check_accounting([request_], NO_ACCOUNTS.format(age), command, 20)
    assert sentence in str(error.value)


def test_an_account_of_others_is_refused(monkeypatch):
    monkeypatch.setattr(slurm, "ask", lambda *_: "physics\nbiology\n")
    check_accounts([Request("base", None, "physics", 0, None, 1, None, None)], "ada")
    with pytest.raises(InputError, match="ada has no account 'chemistry' here \\(there are: biology, physics\\)"):
        check_accounts([Request("base", None, "chemistry", 0, None, 1, None, None)], "ada")


def test_a_machine_without_slurm_is_no_cluster(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="there is no SLURM on this machine"):
        check_cluster([PLAIN], "squeue", 20)
    refuse_live_jobs(tmp_path)


def test_a_cluster_that_does_not_answer_is_named(monkeypatch, tmp_path):
    for name in slurm.COMMANDS:
        (tmp_path / name).write_text("#!/bin/sh\necho noise >&2; echo 'Unable to contact controller' >&2; exit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(InputError, match=r"SLURM does not answer \(Unable to contact controller\)"):
        check_cluster([PLAIN], "squeue", 20)


def test_only_jobs_of_this_directory_stand_in_the_way(monkeypatch, tmp_path):
    def queue(*command: str, **_: object) -> subprocess.CompletedProcess:
        rows = [("7", "rule_base_wildcards_A", f"{tmp_path}/rule_base/7.log"), ("8", "other", f"{tmp_path}2/8.log")]
        shown = "".join(f"{job:<40}{comment:<400}{log:<4096}\n" for job, comment, log in rows)
        return subprocess.CompletedProcess(command, 0, shown, "")

    monkeypatch.setattr(slurm.shutil, "which", lambda name: name)
    monkeypatch.setattr(slurm.subprocess, "run", queue)
    with pytest.raises(InputError) as error:
        refuse_live_jobs(tmp_path)
    assert "7 (rule_base_wildcards_A)" in str(error.value)
    assert "`scancel 7`" in str(error.value)
    refuse_live_jobs(tmp_path / "elsewhere")
