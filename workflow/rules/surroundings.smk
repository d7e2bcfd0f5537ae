# Gives jobs and this file the checkout's code and the interpreter that runs Snakemake, whatever else is installed or
# first on the path.

import atexit
import gc
import os

# Nearly all that a plan makes lives to its end; to look for garbage among it takes up to a tenth of the time.
gc.set_threshold(100_000, 50, 100)
# Nor is it freed piece by piece at the end, a seventh of the time: the process ends anyway.
atexit.register(gc.freeze)

sys.path.insert(0, str(HERE / "src"))
os.environ.update(
    PYTHONPATH=os.pathsep.join([str(HERE / "src"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
)
