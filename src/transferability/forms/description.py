"""Description: the stages of a library's model."""

from typing import TypedDict

from transferability.forms.fields import Count, Many, Text


class StageForm(TypedDict):
    """A stage; `networks.stages.Stage` has the units."""

    name: Text
    shape: list[Many]
    parameters: Count
    buffers: Count
    multiply_adds: Count
    outputs: Count


class Description(TypedDict):
    """data/architectures/{architecture}/{shape}.json: the stages of a library's model for images of a shape."""

    definition: dict
    versions: dict[str, str | None]
    stages: list[StageForm]
