"""The cluster that the tests of this folder share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm import Cluster, why_not


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """A running SLURM; without its packages the tests that need it are skipped."""
    if reason := why_not():
        pytest.skip(reason)
    # Sockets' paths may not be long.
    cluster = Cluster(Path(tmp_path_factory.mktemp("slurm")))
    yield cluster
    cluster.stop()
