"""Options: sections of the params that a command is given, as JSON or in a file."""

import json
from pathlib import Path


def json_or_file(text: str) -> object:
    """What an option's JSON says, or that of a file where the option is @FILE: systems limit how long an option is.

    For argparse, to which a ValueError is an option that cannot be.
    """
    try:
        return json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except OSError as error:
        raise ValueError(f"{text}: {error}") from None
