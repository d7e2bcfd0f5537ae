"""Thresholds: from which logit on an image is taken to show a class, chosen on validation images by F1."""

import numpy as np

from transferability.data.tasks import DIFFICULT


def best_threshold(logits: np.ndarray, labels: np.ndarray) -> float:
    """The threshold with the highest F1 on images with logits (n,) and labels (n,) of 1, 0 or DIFFICULT.

    It lies midway between two logits; of equal F1 the highest. Images from it on are taken to show the class.
    """
    scored = labels != DIFFICULT
    order = np.argsort(-logits[scored], kind="stable")
    ranked, right = logits[scored][order], np.cumsum(labels[scored][order] == 1)
    taken = np.arange(1, len(ranked) + 1)
    # Images of equal logits are taken together.
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    f1 = 2 * right[ends] / (taken[ends] + right[-1])
    end = ends[int(np.argmax(f1))]
    return float(ranked[end] if end == len(ranked) - 1 else (ranked[end] + ranked[end + 1]) / 2)


def thresholds_of(logits: np.ndarray, labels: np.ndarray) -> list[float]:
    """The threshold of each class, of logits and labels (n, classes)."""
    return [best_threshold(*pair) for pair in zip(logits.T, labels.T, strict=True)]


def mean_f1(logits: np.ndarray, labels: np.ndarray, thresholds: list[float]) -> float:
    """The mean over classes of F1 at thresholds, of logits and labels (n, classes); DIFFICULT images do not count."""
    scored, shown = labels != DIFFICULT, labels == 1
    predicted = (logits >= np.asarray(thresholds)) & scored
    return float(np.mean(2 * (predicted & shown).sum(axis=0) / (predicted.sum(axis=0) + shown.sum(axis=0))))
