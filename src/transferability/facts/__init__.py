"""Published facts that the package carries as data; README.md names the source of each."""

from pathlib import Path

FACTS = Path(__file__).parent
