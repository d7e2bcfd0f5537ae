"""Running: a study by Snakemake, with a live display on a terminal, and a line of progress where it is piped."""

import argparse
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from transferability.errors import InputError
from transferability.locks import locked_sentence

SNAKEFILE = Path(__file__).parents[3] / "Snakefile"
PROGRESS = re.compile(r"\d+ of \d+ steps \(\d+%\) done")


def own_words(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What of a command line is this command's, and, from the first option that is not, what is snakemake's."""
    foreign = (
        place
        for place, word in enumerate(arguments)
        if word.startswith("-") and word.partition("=")[0] not in ("--cores", "--directory", "--help", "-h")
    )
    first = next(foreign, len(arguments))
    return arguments[:first], arguments[first:]


def is_study(word: str) -> bool:
    """Whether a word names a file of a study, and not a file to be made."""
    return word.endswith((".yaml", ".yml"))


def snakemake_line(cores: str, words: list[str], rest: list[str], live: bool) -> list[str]:
    """The command that runs a study: `words` are its files and what is to be made, `rest` is snakemake's own."""
    if not SNAKEFILE.exists():
        raise InputError(f"{SNAKEFILE}: there is no such file; install the package from a checkout, `pip install -e .`")
    if find_spec("snakemake") is None:
        raise InputError(
            "Snakemake is not installed, which runs studies; in the checkout, pip install -e '.[workflow]'"
        )
    studies = [word for word in words if is_study(word)]
    targets = [word for word in words if not is_study(word)]
    line = [sys.executable, "-m", "snakemake", *targets, "--snakefile", str(SNAKEFILE), "--cores", cores]
    line += ["--configfile", *studies] if studies else []
    return [*line, *(["--logger", "rich"] if live else []), *rest]


def refuse_locked(folder: Path) -> None:
    """Refuse a folder in which another start of snakemake works, or was killed."""
    if any((folder / ".snakemake/locks").glob("*")):
        raise InputError(locked_sentence(folder.resolve(), "transferability run"))


def follow(line: list[str]) -> int:
    """Run a command whose output is piped: its lines of progress as they come, and, where it fails, the end of it."""
    last: list[str] = []
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for text in process.stdout or ():
            last = [*last[-39:], text]
            if PROGRESS.match(text) or text.startswith(("note: ", "Nothing to be done")):
                print(text, end="", flush=True)
    if process.returncode:
        sys.stderr.writelines(last)
    return process.returncode


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Run a study in this folder. From the first other option on, all is snakemake's."
    )
    parser.add_argument("word", nargs="*", help="files of a study, .yaml; files to be made, else all of it")
    parser.add_argument("--cores", default="all", help="jobs at once (all)")
    parser.add_argument("--directory", type=Path, default=Path(), help="folder of what it makes (this one)")
    own, rest = own_words(sys.argv[1:] if arguments is None else arguments)
    chosen = parser.parse_args(own)
    for study in filter(is_study, chosen.word):
        if not Path(study).exists():
            raise InputError(f"{study}: there is no such file; name a study file, such as workflow/studies/quick.yaml")
    runs, live = not {"--unlock", "--dry-run", "-n"} & set(rest), sys.stdout.isatty()
    if runs:
        refuse_locked(chosen.directory)
    place = ["--directory", str(chosen.directory)] if chosen.directory != Path() else []
    line = snakemake_line(chosen.cores, chosen.word, [*place, *rest], live)
    if live or not runs:
        os.execv(line[0], line)
    sys.exit(follow(line))
