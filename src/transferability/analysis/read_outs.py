"""Read-outs: the numbers by which networks are compared, each in one record that tables, figures and page read."""

from dataclasses import dataclass

from transferability.data.tasks import MULTI, SINGLE

POINTS, NATS = "points", "nats"


@dataclass(frozen=True)
class ReadOut:
    """A number of a network, a column of networks.csv.

    `label` is an axis's and `short` stands in sentences. `chance` is the column of what guessing scores, and `images`
    the column that counts the images of which it is a share; None where there is none. `unit` is that of differences:
    percentage points of a share, or nats of a loss. `metric` is where a network's metrics have it; those of few classes
    do not have an `optional` one. `kind` is that of the tasks whose networks have it, those of one label an image or of
    several; None: of both.
    """

    name: str
    label: str
    short: str
    chance: str | None
    images: str | None
    unit: str
    metric: str
    optional: bool = False
    kind: str | None = SINGLE


READ_OUTS = (
    ReadOut(
        "test_top1", "Top-1 accuracy,\ntest", "test, at the end", "test_chance", "test_images", POINTS, "test.top1"
    ),
    ReadOut(
        "chosen_test_top1",
        "Top-1 accuracy,\ntest, chosen on validation",
        "test, chosen on validation",
        "test_chance",
        "test_images",
        POINTS,
        "chosen.test_top1",
    ),
    ReadOut(
        "test_mean_per_class",
        "Mean accuracy of a class,\ntest",
        "test, mean over classes",
        "test_class_chance",
        None,
        POINTS,
        "test.mean_per_class",
    ),
    ReadOut(
        "validation_top1",
        "Top-1 accuracy,\nvalidation",
        "validation, at the end",
        "validation_chance",
        "validation_images",
        POINTS,
        "validation.top1",
    ),
    ReadOut(
        "mean_of_ten_best",
        "Top-1 accuracy,\nmean of ten best validations",
        "mean of the ten best validations",
        "validation_chance",
        None,
        POINTS,
        "mean_of_ten_best.validation_top1",
    ),
    ReadOut(
        "test_top5",
        "Top-5 accuracy,\ntest",
        "test, among the five first",
        None,
        "test_images",
        POINTS,
        "test.top5",
        optional=True,
    ),
    ReadOut("test_map", "mAP,\ntest", "mAP, test, at the end", "test_map_chance", None, POINTS, "test.map", kind=MULTI),
    ReadOut(
        "chosen_test_map",
        "mAP,\ntest, chosen on validation",
        "mAP, test, chosen on validation",
        "test_map_chance",
        None,
        POINTS,
        "chosen.test_map",
        kind=MULTI,
    ),
    ReadOut(
        "test_map11",
        "mAP of VOC2007,\ntest",
        "mAP of VOC2007, test",
        "test_map_chance",
        None,
        POINTS,
        "test.map11",
        kind=MULTI,
    ),
    ReadOut(
        "validation_map",
        "mAP,\nvalidation",
        "mAP, validation, at the end",
        "validation_map_chance",
        None,
        POINTS,
        "validation.map",
        kind=MULTI,
    ),
    ReadOut(
        "test_miou",
        "mIoU of pixels,\ntest",
        "mIoU of pixels, test",
        None,
        None,
        POINTS,
        "test.miou",
        optional=True,
        kind=MULTI,
    ),
    ReadOut("test_loss", "Test loss", "test loss", None, None, NATS, "test.loss", kind=None),
    ReadOut("train_loss", "Training loss", "training loss", None, None, NATS, "train_loss", kind=None),
)
"""What differences are taken of.

The difference of training losses tells what accuracy was lost by optimisation (it is positive) from what was lost
by generalisation (it is about 0 or negative).
"""

SHARES = tuple(read_out.name for read_out in READ_OUTS if read_out.unit == POINTS)
"""The names of the read-outs that are shares: those that figures show and drops are found in."""


MAIN = {SINGLE: "test_top1", MULTI: "test_map"}
"""What a summary tells of networks, for each kind of task."""
LEARNING = {SINGLE: "validation_top1", MULTI: "validation_map"}
"""What is known of networks while they learn, for each kind of task."""


def read_out_of(name: str) -> ReadOut:
    """The record of a read-out."""
    (record,) = (read_out for read_out in READ_OUTS if read_out.name == name)
    return record
