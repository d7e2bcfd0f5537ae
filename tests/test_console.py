"""Console: the words of the command `transferability`, each as a user types it."""

import importlib.metadata
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from transferability import console
from transferability.errors import InputError
from transferability.study import running

CHECKOUT = Path(__file__).parent.parent


def say(cwd: Path, *words: str) -> subprocess.CompletedProcess:
    """Run the command in a folder."""
    command = [sys.executable, "-m", "transferability.console", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def test_every_word_has_a_module_whose_main_takes_what_follows_it(capsys):
    for _, (module, told) in console.COMMANDS.items():
        with pytest.raises(SystemExit) as left:
            import_module(f"transferability.{module}").main(["--help"])
        assert left.value.code == 0
        assert told
        assert "usage:" in capsys.readouterr().out


def test_the_package_installs_the_command():
    points = importlib.metadata.entry_points(group="console_scripts", name="transferability")
    assert [point.value for point in points] in (["transferability.console:main"], [])
    assert 'transferability = "transferability.console:main"' in (CHECKOUT / "pyproject.toml").read_text()


def test_without_a_word_or_with_a_wrong_one_the_words_are_listed(tmp_path):
    listed = say(tmp_path)
    assert listed.returncode == 0
    assert re.findall(r"^  (\w+)", listed.stdout, re.MULTILINE) == list(console.COMMANDS)
    wrong = say(tmp_path, "tain")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error: tain: there is no such command\nusage: transferability COMMAND")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["run", "nope.yaml"], "nope.yaml: there is no such file; name a study file, such as workflow/studies/"),
        (["run"], "another run works in this folder; wait for its end, or, if it was killed,"),
        (["open"], "results/digits/tiny/report.html: there is no such page; run the study first"),
        (["open", "odd.yaml"], "params: study.dataset and study.architecture name no study"),
        (["classify", "model.onnx", "a.png"], "model.onnx: there is no such file; name a model.onnx of a run"),
        (["classify", "odd.yaml", "a.png"], "odd.yaml: no ONNX file"),
        (["stages", "resnet"], "resnet: no architecture of params.yaml"),
        (["costs"], "params.yaml: there is no such file"),
        (["hours", "models"], "models: there is no run.json below it"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(tmp_path, monkeypatch, words, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.yaml").write_text("study: [1]\n")
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.output.lock").touch()
    with pytest.raises(SystemExit) as left:
        console.main(words)
    assert left.value.code.startswith("error: ")
    assert complaint in left.value.code


def test_a_run_that_is_piped_shows_its_progress_and_of_a_failure_the_end(capfd):
    said = "print('Building'); print('1 of 2 steps (50%) done'); print('error: b'); import sys; sys.exit(3)"
    assert running.follow([sys.executable, "-c", said]) == 3
    out, err = capfd.readouterr()
    assert out == "1 of 2 steps (50%) done\n"
    assert err == "Building\n1 of 2 steps (50%) done\nerror: b\n"


def test_the_line_that_runs_a_study_is_snakemakes():
    line = running.snakemake_line("2", ["a.yaml", "results/x.json", "b.yaml"], ["--dry-run"], live=True)
    assert line[1:] == [
        *("-m", "snakemake", "results/x.json", "--snakefile", str(CHECKOUT / "Snakefile"), "--cores", "2"),
        *("--configfile", "a.yaml", "b.yaml", "--logger", "rich", "--dry-run"),
    ]


def test_options_of_snakemake_keep_their_values():
    words = ["mine.yaml", "--cores", "2", "--config", "device=cpu", "--jobs", "4", "--cores=3"]
    assert running.own_words(words) == (words[:3], words[3:])
    assert running.own_words(["a.yaml", "--directory=x"]) == (["a.yaml", "--directory=x"], [])


def test_a_run_needs_snakemake_and_the_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(running, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"not installed, which runs studies; in the checkout, pip install -e"):
        running.snakemake_line("2", [], [], live=False)
    monkeypatch.setattr(running, "SNAKEFILE", tmp_path / "Snakefile")
    with pytest.raises(InputError, match="install the package from a checkout"):
        running.snakemake_line("2", [], [], live=False)


def test_the_pages_of_a_study_are_found(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "results/digits/tiny/report.html"
    page.parent.mkdir(parents=True)
    page.touch()
    console.main(["open", "--list"])
    assert capsys.readouterr().out.split() == ["results/digits/tiny/report.html"]
    monkeypatch.chdir(tmp_path.parent)
    console.main(["open", "--list", "--directory", str(tmp_path)])
    assert capsys.readouterr().out.split() == [str(page)]


def test_the_stages_of_an_architecture_are_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    console.main(["stages", "caffenet", "--size", "227"])
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in told[1:9]] == [*(f"conv{n}" for n in range(1, 6)), "fc6", "fc7", "fc8"]
    assert told[1].split()[:4] == ["1", "conv1", "96×27×27", "35,040"]
    assert told[-1].startswith("cuts: n = 1 to 7")
