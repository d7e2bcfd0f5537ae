"""The project as others find it: its version, its address, what it needs, and what runs on every change."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

import transferability

CHECKOUT = Path(__file__).parent.parent
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
ENGINES = {"dvc", "snakemake", "snakemake-executor-plugin-slurm", "snakemake-logger-plugin-rich"}
"""What runs and shares studies; a script that reads what a run has made needs none of it."""


def names_of(requirements: list[str]) -> set[str]:
    """The packages that requirements name."""
    return {re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower() for requirement in requirements}


def third_parties() -> set[str]:
    """What is installed by pip, of all that the package imports anywhere."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (CHECKOUT / "src").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    found = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    found |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    tops = {name.partition(".")[0] for name in found} - set(sys.stdlib_module_names) - {"transferability"}
    distributions = packages_distributions()
    return {distributions.get(name, [name])[0].lower() for name in tops}


def test_the_version_is_said_alike_everywhere():
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())["version"]
    newest = re.search(r"^## (\d\S*)", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert transferability.__version__ == citation == newest.rstrip(",")


def test_the_address_of_the_repository_stands_in_one_place():
    listed = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a clone: which files are the project's is not known")
    files = [CHECKOUT / name for name in listed.stdout.splitlines() if not name.startswith("tests/")]
    texts = {path.name: path.read_bytes() for path in files if path.is_file()}
    assert [name for name, text in texts.items() if b"example.org/transferability" in text] == ["pyproject.toml"]
    assert all(url.startswith("https://example.org/transferability") for url in PROJECT["urls"].values())


def test_the_package_needs_neither_the_workflow_engine_nor_dvc():
    needed = names_of(PROJECT["dependencies"])
    assert not needed & ENGINES
    extras = PROJECT["optional-dependencies"]
    assert names_of(extras["workflow"]) | names_of(extras["sharing"]) >= ENGINES
    assert {"torch", "pandas"} <= third_parties() <= needed | names_of(extras["timm"])


def test_what_runs_on_every_change_is_what_a_user_runs():
    jobs = yaml.safe_load((CHECKOUT / ".github/workflows/ci.yaml").read_text())["jobs"]
    assert list(jobs) == ["check", "study", "tests"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    targets = set(re.findall(r"^([.\w/]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    made = {command.removeprefix("make ") for command in commands if command.startswith("make ")}
    assert made == {"check", "test", ".venv/installed"} <= targets
    ran = next(command for command in commands if "transferability run" in command)
    assert (CHECKOUT / ran.split()[2]).exists()


def test_forms_for_reports_are_whole():
    forms = sorted((CHECKOUT / ".github/ISSUE_TEMPLATE").glob("*.yaml"))
    assert [form.stem for form in forms] == ["bug", "question"]
    for form in forms:
        content = yaml.safe_load(form.read_text())
        assert {"name", "description", "body"} <= content.keys()
        assert all({"id", "type", "attributes"} <= part.keys() for part in content["body"])
