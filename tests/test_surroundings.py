"""Surroundings: what lies around a study, and what its files bring with them, does not reach into its jobs."""

import re
import shutil
import subprocess
import sys

import pytest
from test_workflow import CHECKOUT, start, write_small_params

PACKED = "data/packed/digits/images.npy"
FIGURE = "results/yosinski2014/caffenet/figures/figure2.svg"


def test_what_the_user_has_in_the_folder_and_in_the_environment_reaches_no_job(tmp_path):
    for name in ("random", "queue", "copy", "inspect", "torch", "transferability/__init__", "transferability/data"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text('raise SystemExit("a script of the user was run")\n')
    other = tmp_path / "other"
    subprocess.run(["git", "init", "--quiet", other], check=True)
    own = {"MPLBACKEND": "module://of_another_environment", "GIT_DIR": f"{other}/.git"}
    command = ["env", "-u", "PYTHONPATH", *(f"{name}={value}" for name, value in own.items())]
    command += [sys.executable, "-P", "-m", "snakemake"]
    command += [
        "--snakefile",
        str(CHECKOUT / "Snakefile"),
        "--directory",
        str(tmp_path),
        "--cores",
        "2",
        PACKED,
        FIGURE,
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / FIGURE).stat().st_size > 10_000
    assert (tmp_path / PACKED).exists()


def test_a_checkout_whose_path_python_would_split_is_refused(tmp_path):
    checkout = tmp_path / "a:b"
    checkout.mkdir()
    for name in ("workflow", "src", "profiles"):
        shutil.copytree(CHECKOUT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "params.yaml"):
        shutil.copy(CHECKOUT / name, checkout)
    done = start(tmp_path, "--dry-run", checkout=checkout)
    assert done.returncode != 0
    assert f"{checkout}: a path with a : is two to Python and the shell" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("__use_yte__: true\n__definitions__:\n  - open('ran', 'w')\n", "the key __use_yte__ has code run"),
        ("device: cpu\ndevice: auto\n", "the key 'device' is already in line"),
        ("x: " + "[" * 40 + "]" * 40, "is nested too deeply"),
        ("seed: " + "1" * 5000, "not a YAML file"),
    ],
)
def test_params_that_cannot_be_meant_end_in_a_sentence_before_anything_runs(tmp_path, text, sentence):
    write_small_params(tmp_path)
    with open(tmp_path / "params.yaml", "a") as file:
        file.write(text)
    done = start(tmp_path, "--dry-run")
    assert done.returncode != 0
    assert re.search(rf"params\.yaml: (line \d+: )?{re.escape(sentence)}", done.stdout + done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "ran").exists()


def test_code_in_a_file_of_the_command_line_is_said_to_have_run(tmp_path):
    held = tmp_path / "study.yaml"
    held.write_text("__use_yte__: true\n__definitions__: []\n")
    done = start(tmp_path, "--dry-run", "--configfile", str(held))
    assert done.returncode != 0
    assert "Snakemake has read it before this check, and that code has run" in done.stdout + done.stderr


def test_more_classes_than_fit_into_an_argument_are_packed(tmp_path):
    names = [f"{number:05}_{'Plantae_Tracheophyta_' * 4}{{x}}" for number in range(1500)]
    for number, name in enumerate(names):
        (tmp_path / "images" / name).mkdir(parents=True)
        content = b"P6 2 1 255 " + bytes([number % 256, number // 256, 7, 9, 9, 9])
        (tmp_path / "images" / name / "0.ppm").write_bytes(content)
    study = tmp_path / "study.yaml"
    lines = [*(f"        - '{name}'" for name in names)]
    study.write_text(
        "study: {dataset: [mine]}\ndatasets:\n  mine:\n    parts: {validation: 0.2, test: 0.2, seed: 0}\n"
        "    augmentation: {padding: 0, flip: false}\n"
        "    images:\n      source: folder\n      path: images\n      size: 8\n      channels: 3\n      classes:\n"
        + "\n".join(lines)
    )
    assert len(study.read_text()) > 2**17
    done = start(tmp_path, "--configfile", str(study), "--", "data/packed/mine/images.npy")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len((tmp_path / "data/packed/mine/index.csv").read_text().splitlines()) == 1501


def test_a_group_with_braces_in_its_name_is_no_wildcard(tmp_path):
    write_small_params(tmp_path)
    study = tmp_path / "study.yaml"
    study.write_text(
        "study: {split: [braces]}\ndatasets: {digits: {groups: {'{x}': ['0', '1'], 'a{b': ['2', '3']}}}\n"
        "splits: {braces: {kind: groups, A: '{x}', B: 'a{b'}}\n"
    )
    done = start(tmp_path, "--dry-run", "--configfile", str(study))
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_to_do_about_a_locked_folder_is_the_last_line(tmp_path):
    """Snakemake's own lock, as one that was killed leaves it, on a file that the study makes."""
    write_small_params(tmp_path)
    locks = tmp_path / ".snakemake/locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("results/digits/tiny/effects.csv\n")
    done = start(tmp_path)
    assert done.returncode != 0
    last = (done.stdout + done.stderr).strip().splitlines()[-1]
    assert last == (
        f"error: {tmp_path}: another run works in this folder; wait for its end, or, if it was killed, "
        "`snakemake --unlock` and start again"
    )
