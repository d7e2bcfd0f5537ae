"""How transferable are the features of a deep network, layer by layer?

Yosinski, Clune, Bengio, Lipson, NIPS 2014, as software. One module per noun; the workflow calls each as
`python -m transferability.<noun>`.
"""

__version__ = "0.1.0"
