"""Exports: the networks of a split and seed that were written as ONNX files."""

from typing import TypedDict

from transferability.forms.fields import Sha256, Text


class Export(TypedDict):
    """An ONNX file: which network it is, and the weights that it was written from."""

    name: Text
    model_sha256: Sha256


Exports = dict[str, Export]
"""models/.../seed{seed}/exports.json, by the names of the folders that the ONNX files lie in."""
