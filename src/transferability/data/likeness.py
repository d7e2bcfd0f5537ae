"""Likeness: photographs that are nearly the same, such as one scene saved twice, found by what they look like."""

from dataclasses import dataclass

import numpy as np

from transferability.data.packed import Images

LEAST_SIDE = 16
"""Pixels a side below which images hold too little to tell one scene from another."""

ROWS, COLUMNS = 8, 9
WORD = np.uint64
MOST_BITS = 3
"""Bits of 64 in which two looks of one scene may differ."""
CORRELATED = 0.99
"""What the brightness of two looks must correlate by, cell for cell."""
NEIGHBOURS = 30
"""How many images of a like look an image is held against."""
BLOCK = 1000
"""Images that are read at once."""


@dataclass(frozen=True)
class Looks:
    """What n images look like: the hash of each, uint64 (n,), and its cells' brightness, float32 (n, ROWS * COLUMNS).

    The hash is the difference hash of N. Krawetz, Kind of Like That, 2013: a bit for each of 8 × 8 pairs of neighbours
    across, set where the right one is brighter. Cells have mean 0 and length 1; those of an image of one colour are 0.
    """

    hashes: np.ndarray
    cells: np.ndarray


def brightness(images: np.ndarray) -> np.ndarray:
    """Images, uint8 (n, C, H, W), as the mean brightness of a grid of cells, float32 (n, ROWS, COLUMNS)."""
    height, width = images.shape[2:]
    rows, columns = (np.linspace(0, side, cells + 1).astype(int) for side, cells in ((height, ROWS), (width, COLUMNS)))
    luma = images.mean(axis=1, dtype=np.float32)
    sums = np.add.reduceat(np.add.reduceat(luma, rows[:-1], axis=1), columns[:-1], axis=2)
    return sums / np.outer(np.diff(rows), np.diff(columns)).astype(np.float32)


def looks_of(images: Images, indices: np.ndarray) -> Looks:
    """The looks of the images at n indices."""
    hashes, cells = [], []
    for start in range(0, len(indices), BLOCK):
        grid = brightness(images[indices[start : start + BLOCK]])
        bits = (grid[:, :, 1:] > grid[:, :, :-1]).reshape(len(grid), -1)
        hashes.append(np.packbits(bits, axis=1).view(">u8").astype(WORD).ravel())
        flat = grid.reshape(len(grid), -1)
        flat = flat - flat.mean(axis=1, keepdims=True)
        length = np.linalg.norm(flat, axis=1, keepdims=True)
        cells.append(flat / np.where(length > 1e-3, length, np.inf))
    return Looks(np.concatenate(hashes), np.concatenate(cells).astype(np.float32))


def bit_counts(words: np.ndarray) -> np.ndarray:
    """The number of bits that are set in each word, uint64 (n,)."""
    return np.unpackbits(words.view(np.uint8).reshape(len(words), 8), axis=1).sum(axis=1, dtype=np.uint8)


def like_pairs(looks: Looks) -> np.ndarray:
    """The pairs of rows whose images look alike, int64 (pairs, 2), each once, the smaller row first, sorted.

    Two hashes that differ in three bits have one of four quarters in common: the hashes are sorted with each quarter in
    front, and each is held against its NEIGHBOURS. In a crowd of nearly equal images not every pair is found.
    """
    pairs: set[tuple[int, int]] = set()
    for quarter in range(4):
        shift = WORD(16 * quarter)
        turned = (looks.hashes << shift) | (looks.hashes >> ((WORD(64) - shift) % WORD(64)) if quarter else WORD(0))
        order = np.argsort(turned, kind="stable")
        for step in range(1, min(NEIGHBOURS, len(order) - 1) + 1):
            one, other = order[:-step], order[step:]
            near = bit_counts(looks.hashes[one] ^ looks.hashes[other]) <= MOST_BITS
            one, other = one[near], other[near]
            alike = np.einsum("ij,ij->i", looks.cells[one], looks.cells[other]) >= CORRELATED
            pairs.update(map(tuple, np.sort(np.stack([one[alike], other[alike]], axis=1), axis=1).tolist()))
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
