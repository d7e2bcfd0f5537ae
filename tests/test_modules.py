"""Modules: a study as part of another workflow, from a checkout beside it or from a repository elsewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
DOCS = (CHECKOUT / "docs/api.md").read_text(encoding="utf-8")
OUTER = re.search(r"```python\n(configfile.*?)```", DOCS, re.DOTALL)[1]
PLACE = 'snakefile: "../transferability/workflow/Snakefile"'
SHORT = "study: {split: [random0], treatment: [transfer], n: [3]}\nexport: []\n"
WHOLE = """
study: {dataset: [digits], architecture: [tiny], split: [random0], seed: [0], treatment: [transfer], n: [3]}
datasets:
  digits:
    images: {source: digits, size: 8, channels: 1}
    parts: {validation: 0.2, test: 0.3, seed: 0}
    augmentation: {padding: 1, flip: false}
splits: {random0: {kind: random, seed: 0}}
architectures: {tiny: {family: tiny, width: 1, norm: batch, dropout: 0}}
training: {steps: 150, batch_size: 64, learning_rate: 0.03}
"""


def plan(directory: Path, snakefile: str, study: str, installed: bool = True) -> subprocess.CompletedProcess:
    """The plan of an outer workflow; `installed`: the package is there without a checkout."""
    (directory / "Snakefile").write_text(OUTER.replace(PLACE, f"snakefile: {snakefile}"))
    (directory / "study.yaml").write_text(study)
    python = {"PYTHONPATH": str(CHECKOUT / "src")} if installed else {}
    command = [sys.executable, "-P", "-m", "snakemake", "--dry-run", "--quiet", "rules", "--cores", "1"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | python
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)


def planned(done: subprocess.CompletedProcess) -> dict[str, int]:
    """How many jobs of each rule a plan has."""
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE)}


JOBS = {
    "answer": 1,
    "all": 1,
    "total": 13,
    "transferability_pack": 1,
    "transferability_split": 1,
    "transferability_tables": 1,
    **{f"transferability_{rule}": 2 for rule in ("base", "curve", "evaluate", "evaluate_curve")},
}
"""What the networks A3B and B3A, their bases and the effects take, and nothing of figures and pages."""


@pytest.mark.parametrize("entry", ["workflow/Snakefile", "Snakefile"])
def test_a_workflow_plans_what_it_asks_of_a_checkout_beside_it(tmp_path, entry):
    assert planned(plan(tmp_path, f'"{CHECKOUT / entry}"', SHORT, installed=False)) == JOBS


@pytest.fixture
def elsewhere(tmp_path) -> str:
    """The workflow, and nothing else, in a repository that is no checkout, as one on GitHub is."""
    repository = tmp_path / "elsewhere"
    shutil.copytree(CHECKOUT / "workflow", repository / "workflow")
    git = ["git", "-c", "user.name=test", "-c", "user.email=test"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "workflow"]):
        subprocess.run([*git, *words], cwd=repository, check=True)
    return f'gitfile("{repository}", path="workflow/Snakefile", ref="HEAD")'


def test_a_workflow_plans_a_study_from_elsewhere_with_the_installed_package(tmp_path, elsewhere):
    assert planned(plan(tmp_path, elsewhere, WHOLE)) == JOBS


def test_a_prefix_is_refused_in_a_sentence(tmp_path):
    done = plan(tmp_path, f'"{CHECKOUT / "workflow/Snakefile"}"\n    prefix: "below"', SHORT)
    assert done.returncode != 0
    last = (done.stdout + done.stderr).strip().splitlines()[-1]
    assert last.startswith("error: module transferability: files are in data/, models/ and results/ of the folder")


@pytest.mark.parametrize("entry", ["Snakefile", "workflow/Snakefile"])
def test_a_start_without_a_target_is_of_the_whole_study(tmp_path, entry):
    (tmp_path / "study.yaml").write_text(SHORT)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(CHECKOUT / entry), "--directory", str(tmp_path)]
    command += ["--dry-run", "--quiet", "rules", "--cores", "1", "--configfile", str(tmp_path / "study.yaml")]
    jobs = planned(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True))
    assert {"pack", "base", "curve", "tables", "figures", "page", "summary", "all"} <= jobs.keys()
