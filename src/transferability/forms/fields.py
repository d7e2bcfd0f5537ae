"""Fields: the kinds of values that forms are made of."""

from typing import Annotated

from msgspec import Meta

Text = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=0, le=2**62)]
Many = Annotated[int, Meta(ge=1, le=2**62)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
Seconds = Annotated[float, Meta(ge=0)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Shape = tuple[Many, Many, Many]

SEVERAL = "several"
"""What metrics, and the card of a packed set, say of labels where an image may have more than one."""
