"""Pages: where the pages of a study are, and to open them."""

import argparse
import webbrowser
from pathlib import Path

from transferability.errors import InputError
from transferability.study.reading import read_study
from transferability.study.running import SNAKEFILE


def found_params(folder: Path) -> Path:
    """The params that a run in a folder reads: the folder's, else the checkout's."""
    own = folder / "params.yaml"
    return own if own.exists() else SNAKEFILE.with_name("params.yaml")


def study_pages(params: dict) -> list[Path]:
    """The page of each data set and architecture of a study."""
    try:
        study = params["study"]
        return [
            Path("results") / dataset / architecture / "report.html"
            for dataset in study["dataset"]
            for architecture in study["architecture"]
        ]
    except (KeyError, TypeError):
        raise InputError("params: study.dataset and study.architecture name no study; see params.yaml") from None


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Open the pages of a study, and say where they are.")
    parser.add_argument("study", type=Path, nargs="*", help="files of the study, on top of params.yaml")
    parser.add_argument("--params", type=Path, help="params.yaml; else this folder's, or the checkout's")
    parser.add_argument("--directory", type=Path, default=Path(), help="folder of what the study made (this one)")
    parser.add_argument("--list", action="store_true", help="only say where they are")
    chosen = parser.parse_args(arguments)
    params = chosen.params or found_params(chosen.directory)
    for page in (chosen.directory / page for page in study_pages(read_study(params, chosen.study))):
        if not page.exists():
            raise InputError(f"{page}: there is no such page; run the study first, `transferability run`")
        print(page)
        if not chosen.list:
            webbrowser.open(page.resolve().as_uri())
