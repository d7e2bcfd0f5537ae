# Gives jobs and this file the checkout's code and the interpreter that runs Snakemake, whatever else is installed, first on
# the path or set by who starts it: a job sees what the study says.

import atexit
import gc
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from snakemake.exceptions import WorkflowError

# The checkout; none where another workflow takes this one in from a repository that is no folder, such as GitHub's.
HERE = Path(workflow.current_basedir).parents[1] if isinstance(workflow.current_basedir, os.PathLike) else None
# Whether another workflow takes this one in, by `module`.
TAKEN_IN = not workflow.modifier.is_main_snakefile()

# Nearly all that a plan makes lives to its end; to look for garbage among it takes up to a tenth of the time.
gc.set_threshold(100_000, 50, 100)
# Nor is it freed piece by piece at the end, a seventh of the time: the process ends anyway.
atexit.register(gc.freeze)


def say_last(sentence):
    """Say a sentence behind all that Snakemake says: the last lines on the screen are those that help."""
    atexit.register(print, sentence, file=sys.stderr, flush=True)


def refusal(error):
    """What a user can mend as an error of Snakemake's, and once more behind the lines that Snakemake adds."""
    say_last(f"error: {error}")
    return WorkflowError(str(error))


for place in filter(None, (HERE, Path(sys.executable).parent)):
    if os.pathsep in str(place):
        raise WorkflowError(
            f"{place}: a path with a {os.pathsep} is two to Python and the shell; move or rename the folder"
        )

# Without a checkout the package is the one that is installed.
SOURCES = [str(HERE / "src")] if HERE else []
sys.path[:0] = SOURCES
if not SOURCES and find_spec("transferability") is None:
    raise WorkflowError(
        "the package of this workflow is not installed, and there is no checkout of it beside it; install it with pip from "
        "where the module's snakefile is, at the same tag"
    )
# A notebook's backend, options of Python that end jobs or leave them waiting at a prompt, a hook's repository.
for name in (
    *[
        "PYTHONHOME",
        "PYTHONSTARTUP",
        "PYTHONINSPECT",
        "PYTHONOPTIMIZE",
        "PYTHONWARNINGS",
        "PYTHONDEBUG",
        "PYTHONVERBOSE",
    ],
    *["PYTHONPROFILEIMPORTTIME", "PYTHONBREAKPOINT", "PYTHONCASEOK", "PYTHONIOENCODING", "MATPLOTLIBRC"],
    *["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"],
):
    os.environ.pop(name, None)
os.environ.update(
    PYTHONPATH=os.pathsep.join([*SOURCES, *filter(None, [os.environ.get("PYTHONPATH")])]),
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    # The working folder is the user's: a random.py there is none of Python's.
    PYTHONSAFEPATH="1",
    PYTHONUTF8="1",
    MPLBACKEND="agg",
    # A local job ends with this process; on a cluster each node's snakemake reads this anew.
    TRANSFERABILITY_STARTER=str(os.getpid()),
)
