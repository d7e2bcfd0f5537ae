"""Guessing: what is scored by knowing nothing but how often each class occurs, and which networks do no better."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from transferability.data.tasks import MULTI, SINGLE

UNTRAINED = 0.95
"""A loss above this share of that of guessing is that of guessing."""


LEARNT, DEVIATIONS = 2, 4
"""A network that names so many times as many images rightly as guessing, and by so many deviations of what luck gives,
has learnt, if its loss does not say."""


def chance(counts: Sequence[float]) -> float:
    """The accuracy of always naming the largest class, from the images of each class: 1 / classes where all are equal.

    The most that can be scored without looking, so that accuracy above it is owed to features, however unbalanced
    the classes.
    """
    return max(counts) / sum(counts)


def guessing_loss(training: Sequence[float], scored: Sequence[float]) -> float:
    """The loss, in nats, of naming every class with its share in training, on images of other shares.

    Both lists hold images of each class, in one order. On training images it is the entropy of their classes, ln C
    where all are equal: the least loss without looking.
    """
    shares = np.asarray(training) / sum(training)
    weights = np.asarray(scored) / sum(scored)
    # A class that training lacks costs without end; one that is not scored costs nothing.
    with np.errstate(divide="ignore"):
        return float(-np.log(shares)[weights > 0] @ weights[weights > 0])


def prevalence(shown: Sequence[float], images: Sequence[float]) -> float:
    """The mean average precision of guessing: the share of images that show a class, of each the mean.

    `shown` are the images of each class, `images` all those in its ranking.
    """
    return float(np.mean(np.asarray(shown) / np.asarray(images)))


def guessing_loss_of_labels(training: Sequence[float], scored: Sequence[float]) -> float:
    """The loss, in nats an image, of giving every class its share in training, on images of other shares.

    Both lists hold the share of images that show each class, in one order; an image may show several.
    """
    guessed, true = (np.stack([np.asarray(shares), 1 - np.asarray(shares)]) for shares in (training, scored))
    with np.errstate(divide="ignore"):
        return float(-np.log(guessed)[true > 0] @ true[true > 0])


GUESSED = {SINGLE: guessing_loss, MULTI: guessing_loss_of_labels}
"""The loss of guessing, for each kind of task."""


def beats_guessing(accuracy: float, counts: Sequence[float]) -> bool:
    """Whether an accuracy on images, so many of each class, is above that of guessing by more than luck."""
    level = chance(counts)
    luck = DEVIATIONS * (level * (1 - level) / sum(counts)) ** 0.5
    return accuracy > max(LEARNT * level, level + luck)


def verdict(
    history: Sequence[Mapping[str, Any]],
    training: Sequence[float],
    validation: Sequence[float],
    guessed: Callable[[Sequence[float], Sequence[float]], float] = guessing_loss,
) -> tuple[bool, str | None]:
    """Whether a network trained, and what is wrong or odd about it.

    `training` and `validation` are the images of each class in these parts of its task, or the shares of images that
    show it: what `guessed` takes. A network did not train if its training loss ended as that of guessing: the classes'
    entropy, which unbalanced classes bring below ln C. A loss still above that is one of large logits, as above a
    pretrained network's features: then its accuracy says whether it trained.

    One that fits its training images, but whose validation loss is that of guessing or worse, has trained: its
    images were too few, or its batch-norm statistics have not settled. Its accuracy is its result (the original's
    networks on 1 and 2 images a class are such, at four times chance), and to keep it out would choose networks
    by their outcome; so it stays in, with a reason, which the coverage counts and the effects name.
    """
    last = history[-1]
    loss, guessing = last["train_loss"], guessed(training, training)
    if not loss < UNTRAINED * guessing:
        reason = f"the training loss ended at {loss:.3f}, that of guessing is {guessing:.3f}"
        right = last.get("validation_top1", 0)
        if guessed is not guessing_loss or loss < guessing / UNTRAINED or not beats_guessing(right, validation):
            return False, reason
        level = chance(validation)
        return True, f"{reason}, though {right:.3f} of validation images are named rightly, by guessing {level:.3f}"
    loss, guessing = last["validation_loss"], guessed(training, validation)
    if loss < UNTRAINED * guessing:
        return True, None
    best = min((row["validation_loss"] for row in history), default=loss)
    if best < UNTRAINED * guessing:
        why = f"it had been {best:.3f}, so training images have been memorised since"
    else:
        why = "it never was better, so training images are memorised, or batch-norm statistics have not settled"
    return True, (
        f"the validation loss ended at {loss:.3f}, that of guessing is {guessing:.3f}, "
        f"though the training loss ended at {last['train_loss']:.3f}: {why}"
    )
