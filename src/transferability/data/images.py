"""Images: files of any form as arrays of one size and one number of channels, and as JPEG."""

import io

import numpy as np

# The modes that PIL calls images of so many channels.
MODES = {1: "L", 3: "RGB"}

# What PIL may take a file for, whatever its name says; MPO is among JPEG. PostScript would be run by Ghostscript.
FORMATS = ("JPEG", "JPEG2000", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")

ORIENTATION = 0x0112

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


def open_image(data: bytes):
    """A PIL image of a file's bytes, decoded or not."""
    from PIL import Image

    plain = plain_jpeg(data)
    if plain is None:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    # The same decoder; PIL's reading of the header takes as long as a small image itself.
    mode, size = plain
    refuse_bomb(*size)
    image = Image.frombytes(mode, size, data, "jpeg", mode, "")
    image.format = "JPEG"
    return image


def refuse_bomb(width: int, height: int) -> None:
    """Refuse more pixels than PIL's limit, which by itself only warns until twice as many."""
    from PIL import Image

    if width * height > Image.MAX_IMAGE_PIXELS:
        raise ValueError(f"{width}×{height} pixels, more than the {Image.MAX_IMAGE_PIXELS} that are taken for harmless")


def fit(image, size: int, channels: int) -> np.ndarray:
    """A PIL image as uint8 (C, size, size): upright, shorter side resized to `size`, then the centre cropped.

    Grey is repeated to colour, colour turned to grey by its luma; 16 bits become the upper 8; what is transparent
    lies on white; of an animation it is the first frame. An image that cannot be shown like this is a ValueError.
    """
    from PIL import Image, ImageOps

    refuse_bomb(*image.size)
    image.load()
    if image.getexif().get(ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        # 16 bits a pixel, which PIL would clip, not scale.
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError("levels of more than 16 bits, whose range is not known")
        image = Image.fromarray((levels // 257).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("levels in floating point, whose range is not known")
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode != MODES[channels]:
        image = image.convert(MODES[channels])
    if image.size != (size, size):
        scale = size / min(image.size)
        width, height = (max(size, round(side * scale)) for side in image.size)
        refuse_bomb(width, height)
        left, top = (width - size) // 2, (height - size) // 2
        image = image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))
    return np.frombuffer(image.tobytes(), np.uint8).reshape(size, size, channels).transpose(2, 0, 1)


def is_stored_form(image, size: int, channels: int) -> bool:
    """Whether a PIL image, decoded or not, is a JPEG that `fit` would leave as it is."""
    return (
        image.format == "JPEG"
        and (image.mode, image.size) == (MODES[channels], (size, size))
        and image.getexif().get(ORIENTATION, 1) == 1
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
