"""How transferable are the features of a deep network, layer by layer?

Yosinski, Clune, Bengio, Lipson, NIPS 2014, and what grew around it, as software. A room is a subject and a module a
noun; the workflow calls modules as `python -m transferability.<room>.<noun>`.
"""

__version__ = "0.2.0"
