"""How transferable are the features of a deep network, layer by layer?

Yosinski, Clune, Bengio, Lipson, NIPS 2014, as software. One module per noun; the workflow calls each as
`python -m transferability.<noun>`.
"""

from pathlib import Path

FACTS = Path(__file__).parent / "facts"
"""Published facts that the package carries as data; facts/README.md names the source of each."""

__version__ = "0.1.0"
