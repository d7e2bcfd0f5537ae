"""Features that are partly alike, for tests and benchmarks that compare two sets of features of the same images."""

import numpy as np

SHARED = ((50, 400, 300), (100, 30, 200), (60, 12, 12))
"""Images, values of one, values of the other: fewer images than values, between, and more."""


def alike(images: int, values: int, others: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, D) and features (N, E) that are in part a mixture of half of them, float64."""
    generator = np.random.default_rng(images)
    one, shared = generator.normal(size=(images, values)), min(values, others) // 2
    mixture = generator.normal(size=(shared, others)) / np.sqrt(shared)
    return one, one[:, :shared] @ mixture + 0.5 * generator.normal(size=(images, others))
