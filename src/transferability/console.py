"""Console: the command `transferability`, each of whose words is a module's `main`."""

import sys
from importlib import import_module

from transferability.errors import exit_plainly

COMMANDS = {
    "run": ("study.running", "run a study: snakemake, with its progress"),
    "costs": ("study.costs", "what a study will take, before anything runs"),
    "advise": ("analysis.advice", "which strategy to take, from which cut, as a study has measured it"),
    "open": ("study.pages", "open the page of a study, or say where it is"),
    "classify": ("evaluation.classifying", "the classes of images, by an ONNX file of a run"),
    "hours": ("cluster.hours", "what networks have cost, by treatment"),
    "stages": ("study.staged", "the stages of an architecture, at which it can be cut"),
}
"""The words of the command: the module of this package that each runs, and what it does."""


def usage() -> str:
    """The words of the command, a line each."""
    lines = [f"  {name:<10}{summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(["usage: transferability COMMAND ...; transferability COMMAND --help tells more", "", *lines])


def main(arguments: list[str] | None = None) -> None:
    """Run a command with what follows it."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("--help", "-h"):
        print(usage())
    elif name not in COMMANDS:
        sys.exit(f"error: {name}: there is no such command\n{usage()}")
    else:
        sys.argv[0] = f"transferability {name}"
        command = import_module(f"transferability.{COMMANDS[name][0]}").main
        exit_plainly(lambda: command(rest))


if __name__ == "__main__":
    main()
