"""Running: a study by Snakemake, with a live display on a terminal, and a line of progress where it is piped."""

import argparse
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from transferability.errors import InputError

SNAKEFILE = Path(__file__).parents[3] / "Snakefile"
PROGRESS = re.compile(r"\d+ of \d+ steps \(\d+%\) done")


def snakemake_line(cores: str, studies: list[Path], rest: list[str], live: bool) -> list[str]:
    """The command that runs a study; `rest` is snakemake's own."""
    if not SNAKEFILE.exists():
        raise InputError(f"{SNAKEFILE}: there is no such file; install the package from a checkout, `pip install -e .`")
    if find_spec("snakemake") is None:
        raise InputError(
            "Snakemake is not installed, which runs studies; in the checkout, pip install -e '.[workflow]'"
        )
    line = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--cores", cores]
    line += ["--configfile", *map(str, studies)] if studies else []
    return [*line, *(["--logger", "rich"] if live else []), *rest]


def refuse_locked(folder: Path) -> None:
    """Refuse a folder in which another start of snakemake works, or was killed."""
    if any((folder / ".snakemake/locks").glob("*")):
        raise InputError(
            f"{folder.resolve()}: another run works in this folder; wait for its end, or, if it was killed, "
            "`transferability run --unlock` and start again"
        )


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
        description="Run a study in this folder. Options that are not named here are snakemake's."
    )
    parser.add_argument("study", type=Path, nargs="*", help="files of workflow/studies, or your own")
    parser.add_argument("--cores", default="all", help="jobs at once (all)")
    parser.add_argument("--directory", type=Path, default=Path(), help="folder of what it makes (this one)")
    chosen, rest = parser.parse_known_args(arguments)
    for study in chosen.study:
        if not study.exists():
            raise InputError(f"{study}: there is no such file; name a study file, such as workflow/studies/quick.yaml")
    if not {"--unlock", "--dry-run", "-n"} & set(rest):
        refuse_locked(chosen.directory)
    live = sys.stdout.isatty()
    own = ["--directory", str(chosen.directory)] if chosen.directory != Path() else []
    line = snakemake_line(chosen.cores, chosen.study, [*own, *rest], live)
    if live:
        os.execv(line[0], line)
    sys.exit(follow(line))
