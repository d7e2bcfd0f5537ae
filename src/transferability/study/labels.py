"""Labels: what goes with images that may have several, and what with images of one; checked before any job."""

from transferability.errors import InputError
from transferability.study.probes import PIXELS, reads_patches
from transferability.study.recipes import patched_recipes

SEVERAL = ("voc", "coco", "table")
"""The sources whose images may have several labels."""

PRECISIONS = ("test_map", "chosen_test_map", "test_map11", "validation_map", "test_miou")
"""The read-outs of networks and probes that learn several labels."""

BOXED = ("voc", "coco")
"""The sources that know where objects are."""

DRAWING = ("images_per_class", "redraw", "learn_from")
"""What of a probe draws images class by class, and so needs images of one."""

LOOKS = ("tsne", "retrieval", "shows", "scores")
"""The sections that look at images by the one class of each."""


def sources_of(params: dict, dataset: str) -> set[str]:
    """The sources of a data set's images: one, or those of its sets."""
    images = params["datasets"][dataset]["images"]
    return {member["source"] for member in images.get("sets", {"": images}).values()}


def has_several(params: dict, dataset: str) -> bool:
    """Whether a data set's images may have several labels."""
    return bool(sources_of(params, dataset) & {*SEVERAL})


def check_labels(params: dict) -> None:
    """Refuse read-outs, probes and looks that the labels of a study's data sets cannot have."""
    read_out = params["figures"]["read_out"]
    for dataset in params["study"]["dataset"]:
        several = has_several(params, dataset)
        if several and read_out not in PRECISIONS:
            raise InputError(
                f"params: figures.read_out is {read_out}, and images of datasets.{dataset} may have several labels; "
                f"take test_map (or {', '.join(PRECISIONS[1:])})"
            )
        if read_out in PRECISIONS and not several:
            raise InputError(
                f"params: figures.read_out is {read_out}, and images of datasets.{dataset} have one label; take "
                "test_top1"
            )
        if several:
            refuse_drawing(params, dataset)
        check_boxes(params, dataset)
        check_masks(params, dataset)


def check_boxes(params: dict, dataset: str) -> None:
    """Refuse patches of images without boxes."""
    patched = [f"probes.{name}" for name in params.get("probes", {}) if reads_patches(params, name)]
    patched += [f"recipes.{name}.patches" for name in patched_recipes(params)]
    if patched and not sources_of(params, dataset) & {*BOXED}:
        raise InputError(
            f"params: {patched[0]} learns patches by boxes, and images of datasets.{dataset} have none; take a "
            f"source with boxes ({' or '.join(BOXED)}), or leave it out"
        )


def check_masks(params: dict, dataset: str) -> None:
    """Refuse a pixel probe of images without masks."""
    dense = [name for name, probe in params.get("probes", {}).items() if probe["classifier"] == PIXELS]
    if dense and not params["datasets"][dataset]["images"].get("masks"):
        raise InputError(
            f"params: probes.{dense[0]} learns from masks, and datasets.{dataset}.images has none; take the source voc "
            "or coco with masks, or another classifier"
        )


def refuse_drawing(params: dict, dataset: str) -> None:
    """Refuse what needs images of one label."""
    for name, probe in params.get("probes", {}).items():
        if found := [key for key in DRAWING if probe.get(key) not in (None, False, "target")]:
            raise InputError(
                f"params: probes.{name}.{found[0]} draws images of one label, and those of datasets.{dataset} may have "
                "several; leave it out, and give the split a volume"
            )
    if found := [key for key in LOOKS if key in params]:
        raise InputError(
            f"params: {found[0]} looks at images of one label, and those of datasets.{dataset} may have several; leave "
            "it out"
        )
