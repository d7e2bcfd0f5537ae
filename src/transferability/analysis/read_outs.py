"""Read-outs: the numbers by which networks are compared, each in one record that tables, figures and page read."""

from dataclasses import dataclass

POINTS, NATS = "points", "nats"


@dataclass(frozen=True)
class ReadOut:
    """A number of a network, a column of networks.csv.

    `label` is an axis's and `short` stands in sentences. `chance` is the column of what guessing scores, and `images`
    the column that counts the images of which it is a share; None where there is none. `unit` is that of differences:
    percentage points of a share, or nats of a loss. `metric` is where a network's metrics have it; those of few classes
    do not have an `optional` one.
    """

    name: str
    label: str
    short: str
    chance: str | None
    images: str | None
    unit: str
    metric: str
    optional: bool = False


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
    ReadOut("test_loss", "Test loss", "test loss", None, None, NATS, "test.loss"),
    ReadOut("train_loss", "Training loss", "training loss", None, None, NATS, "train_loss"),
)
"""What differences are taken of.

The difference of training losses tells what accuracy was lost by optimisation (it is positive) from what was lost
by generalisation (it is about 0 or negative).
"""

SHARES = tuple(read_out.name for read_out in READ_OUTS if read_out.unit == POINTS)
"""The names of the read-outs that are shares: those that figures show and drops are found in."""


def read_out_of(name: str) -> ReadOut:
    """The record of a read-out."""
    (record,) = (read_out for read_out in READ_OUTS if read_out.name == name)
    return record
