"""Pretraining: what the page of a study says of the pretrained weights that its networks start from."""

from pathlib import Path

from transferability import files
from transferability.forms.pretrained import Pretrained
from transferability.words import in_words


def pretrained_record(models: Path) -> Path | None:
    """The run.json of the pretrained weights of an architecture, of which `models` is the folder of its networks."""
    record = models.parents[1] / "pretrained" / models.name / "run.json"
    return record if record.exists() else None


def pretraining_facts(record: Path | None) -> list[tuple[str, str]]:
    """What pretrained weights are and how their images look, from their run.json; nothing where there are none."""
    if record is None:
        return []
    content = files.read_json(record, Pretrained)
    weights = f"{content['weights']} (SHA-256 {content['sha256'][:12]}…)"
    seen = preprocessing_text(content["preprocessing"])
    assumed = content.get("assumed", [])
    if assumed:
        seen += f"; nothing says {in_words(assumed)}: as usual for ImageNet"
    if folded := content.get("folded_norms"):
        weights += f"; {folded} batch norms are folded into its convolutions; fine-tuned networks have them unfolded"
    return [
        ("Pretrained weights", weights),
        ("Images as they expect them", f"{seen}. Mean, deviation and order of colours hold for all networks here"),
        ("Seen before", "whether the weights were trained on test images of this study is not known"),
    ]


def preprocessing_text(preprocessing: dict) -> str:
    """How images are brought into the form that weights expect, in words."""
    mean, std = (", ".join(f"{value:.3g}" for value in preprocessing[key]) for key in ("mean", "std"))
    colours = {"rgb": "red first", "bgr": "blue first"}[preprocessing["channels"]]
    return (
        f"{preprocessing['size']} pixels, {preprocessing['interpolation']}, {100 * preprocessing['crop']:.3g} % of the "
        f"side; {colours}, mean {mean}, deviation {std}, of values 0 to 1"
    )
