"""Images: files of any form as arrays of one size and one number of channels, and as JPEG."""

import io
from functools import cache
from typing import Literal

import numpy as np

# The modes that PIL calls images of so many channels.
MODES = {1: "L", 3: "RGB"}

# What PIL may take a file for, whatever its name says; MPO is among JPEG. PostScript would be run by Ghostscript.
FORMATS = ("JPEG", "JPEG2000", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
# Those that not every PIL can read.
FURTHER_FORMATS = ("AVIF",)

ORIENTATION = 0x0112

# How an image of each orientation is turned upright, in PIL's words. 1, and whatever is none, is upright.
UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}

INTERPOLATIONS = ("bilinear", "bicubic")

START_OF_SCAN, END_OF_IMAGE = 0xDA, b"\xff\xd9"

# Segments that change nothing about a JPEG's pixels: JFIF, comment, tables; and those that tell its form.
HARMLESS_SEGMENTS = {0xE0, 0xFE, 0xDB, 0xC4, 0xDD}
FRAME_SEGMENTS = {0xC0, 0xC1, 0xC2}


def plain_jpeg(data: bytes) -> tuple[str, tuple[int, int]] | None:
    """Mode and size of a JPEG file without metadata that could turn it or change its colours; None for any other."""
    position = 2
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    while position + 10 <= len(data) and data[position] == 0xFF:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4])
        if marker in FRAME_SEGMENTS:
            bits, components = data[position + 4], data[position + 9]
            height, width = (int.from_bytes(data[position + at : position + at + 2]) for at in (5, 7))
            mode = MODES.get(components)
            return (mode, (width, height)) if bits == 8 and mode and height and width else None
        if marker not in HARMLESS_SEGMENTS:
            return None
        position += 2 + length
    return None


def scan_start(data: bytes) -> int:
    """Where the pixels of a JPEG file begin, after its headers and whatever thumbnails are in them."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4])
        # A marker may have fill bytes before it.
        position += 1 if marker == 0xFF else 2 + length
        if marker == START_OF_SCAN:
            break
    return position


def lacks_its_end(data: bytes) -> bool:
    """Whether a JPEG file has no end marker after its pixels and ends in one byte again and again.

    Copies that were interrupted leave such files at full length, and decoders take them for whole.
    """
    if not data.startswith(b"\xff\xd8\xff") or END_OF_IMAGE in data[-64:]:
        return False
    return len(set(data[-16:])) == 1 and data.find(END_OF_IMAGE, scan_start(data)) < 0


def versions() -> dict[str, str]:
    """The versions of what decodes images, which the pixels depend on."""
    from PIL import __version__, features

    return {"pillow": __version__, "libjpeg": features.version("jpg") or "none"}


@cache
def formats() -> tuple[str, ...]:
    """The formats that images may have with the PIL that is installed."""
    from PIL import Image, features

    Image.init()
    return (*FORMATS, *(name for name in FURTHER_FORMATS if name in Image.OPEN and features.check(name.lower())))


def open_image(data: bytes):
    """A PIL image of a file's bytes, decoded or not. A damaged JPEG file that decoders forgive is a ValueError."""
    from PIL import Image

    if lacks_its_end(data):
        raise ValueError("the JPEG file ends before its image does, filled up with one and the same byte")
    plain = plain_jpeg(data)
    if plain is None:
        return Image.open(io.BytesIO(data), formats=formats())
    # The same decoder; PIL's reading of the header takes as long as a small image itself.
    mode, size = plain
    refuse_bomb(*size)
    image = Image.frombytes(mode, size, data, "jpeg", mode, "")
    image.format = "JPEG"
    return image


def orientation(image) -> int:
    """How a PIL image is turned, 1 to 8, 1 for upright; nothing else of its metadata need be whole."""
    value = exif_orientation(image.info.get("exif", b""))
    if value is None:
        try:
            value = image.getexif().get(ORIENTATION, 1)
        except Exception:
            # Metadata comes from strangers, and its reader fails in many ways.
            value = 1
    return value if value in UPRIGHT else 1


def exif_orientation(exif: bytes) -> int | None:
    """The orientation in the bytes of an EXIF segment, None where there is none; PIL's reader stops at odd entries.

    Source: CIPA DC-008, Exif 2.32, 4.6.2: a TIFF header, and entries of 12 bytes from where it points to.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    orders: dict[bytes, Literal["little", "big"]] = {b"II": "little", b"MM": "big"}
    order = orders.get(tiff[:2])
    if order is None:
        return None
    start = int.from_bytes(tiff[4:8], order)
    count = int.from_bytes(tiff[start : start + 2], order)
    for at in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        if int.from_bytes(tiff[at : at + 2], order) == ORIENTATION:
            # A short number, or a long one where the entry says so.
            length = 4 if int.from_bytes(tiff[at + 2 : at + 4], order) == 4 else 2
            return int.from_bytes(tiff[at + 8 : at + 8 + length], order)
    return None


def refuse_bomb(width: int, height: int) -> None:
    """Refuse more pixels than PIL's limit, which by itself only warns until twice as many."""
    from PIL import Image

    if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
        raise ValueError(f"{width}×{height} pixels, more than the {Image.MAX_IMAGE_PIXELS} that are taken for harmless")


def in_8_bits(image):
    """A PIL image with 8 bits a channel, on white where it is transparent; unknown levels are a ValueError."""
    from PIL import Image

    if image.mode.startswith("I"):
        # 16 bits a pixel, which PIL would clip, not scale.
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError("levels of more than 16 bits, whose range is not known")
        return Image.fromarray((levels // 257).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("levels in floating point, whose range is not known")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image


def placement(width: int, height: int, size: int) -> tuple[int, int, int, int]:
    """The width and height of an image whose shorter side is resized to `size`, and where in it the centre begins."""
    scale = size / min(width, height)
    across, down = (max(size, round(side * scale)) for side in (width, height))
    return across, down, (across - size) // 2, (down - size) // 2


def cut_square(image, size: int, interpolation: str):
    """A PIL image with its shorter side resized to `size`, and of that the centre."""
    from PIL import Image

    width, height, left, top = placement(image.width, image.height, size)
    refuse_bomb(width, height)
    resized = image.resize((width, height), Image.Resampling[interpolation.upper()])
    return resized.crop((left, top, left + size, top + size))


def warp(image, size: int, interpolation: str):
    """A whole PIL image resized to a square, whatever its aspect, as DeCAF (Donahue et al. 2014) did."""
    from PIL import Image

    return image.resize((size, size), Image.Resampling[interpolation.upper()])


SQUARES = {"crop": cut_square, "warp": warp}
"""How images become squares."""


def fit(image, size: int, channels: int, interpolation: str = "bilinear", square: str = "crop") -> np.ndarray:
    """A PIL image as uint8 (C, size, size): upright, shorter side resized to `size`, then the centre cropped.

    With the `square` "warp" the whole image is resized, whatever its aspect. Grey is repeated to colour, colour turned
    to grey by its luma; 16 bits become the upper 8; what is transparent lies on white; of an animation it is the first
    frame. `interpolation` is one of INTERPOLATIONS. An image that cannot be shown like this is a ValueError.
    """
    from PIL import Image

    refuse_bomb(*image.size)
    image.load()
    if (turned := orientation(image)) != 1:
        image = image.transpose(Image.Transpose[UPRIGHT[turned]])
    image = in_8_bits(image)
    if image.mode != MODES[channels]:
        image = image.convert(MODES[channels])
    if image.size != (size, size):
        image = SQUARES[square](image, size, interpolation)
    return np.frombuffer(image.tobytes(), np.uint8).reshape(size, size, channels).transpose(2, 0, 1)


def is_stored_form(image, size: int, channels: int) -> bool:
    """Whether a PIL image, decoded or not, is a JPEG that `fit` would leave as it is."""
    return (
        image.format == "JPEG"
        and (image.mode, image.size) == (MODES[channels], (size, size))
        and orientation(image) == 1
    )


def encode(pixels: np.ndarray) -> bytes:
    """A JPEG file of pixels (C, H, W): quality 95, colour at the resolution of brightness."""
    from PIL import Image

    file = io.BytesIO()
    grey_or_colour = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
    Image.fromarray(grey_or_colour).save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


def decode(data: bytes) -> np.ndarray:
    """The pixels (C, H, W) of a JPEG file as `encode` or `is_stored_form` leave it."""
    image = open_image(data)
    width, height = image.size
    pixels = np.frombuffer(image.tobytes(), np.uint8)
    return pixels.reshape(height, width, -1).transpose(2, 0, 1)
