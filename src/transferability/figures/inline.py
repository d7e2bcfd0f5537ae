"""Inline: figures and tables as parts of a page that stands alone: SVG among its text, CSV to be downloaded."""

import base64
import gzip
import re
from pathlib import Path

from transferability.errors import InputError

LARGEST = 1_000_000
"""Bytes of a packed table up to which the page carries it."""


def read_svg(path: Path) -> str:
    """The text of a figure; one that is missing or no SVG is an InputError that names it."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such figure; draw the figures again") from None
    except UnicodeDecodeError:
        text = ""
    if "<svg" not in text or "</svg>" not in text:
        raise InputError(f"{path}: not a whole figure; draw the figures again")
    return text


def inline_svg(text: str, name: str) -> str:
    """A figure as an element of a page.

    What stands before the element and its metadata are left out; names begin with the figure's, as several figures
    may have the same ones; its size is the page's to say.
    """
    body = text[text.index("<svg") : text.index("</svg>") + len("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    head, rest = body.split(">", 1)
    head = re.sub(r'\s(?:width|height|xmlns(?::\w+)?|version)="[^"]*"', "", head)
    rest = re.sub(r'(\sid=")', rf"\g<1>{name}-", rest)
    rest = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\g<1>{name}-", rest).replace("xlink:href", "href")
    return f"{head}>{rest}"


def packed(path: Path) -> str | None:
    """A table, gzip in base64, the same for the same bytes; None where it is too large for a page."""
    content = gzip.compress(path.read_bytes(), 9, mtime=0)
    return base64.b64encode(content).decode() if len(content) <= LARGEST else None
