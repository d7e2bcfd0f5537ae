"""Network: the card in a checkpoint's metadata."""

from typing import Annotated, NotRequired, TypedDict

from msgspec import Meta

from transferability.forms.fields import Positive, Text

Channels = Annotated[int, Meta(ge=1, le=16)]
Side = Annotated[int, Meta(ge=1, le=16384)]
"""Pixels a side: more than any network is built for, and less than fills a memory with its first stage alone."""

Width = Annotated[int, Meta(ge=1, le=2**20)]


class NetworkCard(TypedDict):
    """models/.../model.safetensors, metadata `transferability`: what is needed to rebuild a network and to feed it."""

    network: Text
    architecture: dict
    shape: tuple[Channels, Side, Side]
    classes: Annotated[list[Text], Meta(min_length=1)]
    mean: list[float]
    std: list[Positive]
    channels: NotRequired[Text]
    hidden: NotRequired[Annotated[list[Width], Meta(max_length=16)]]
    patches: NotRequired[dict]
