"""Fewer points for a picture: the lowest and the highest of each stretch stay, so that no spike disappears.

Invariant: the first and the last point stay, the order stays, and so do the smallest and the largest value of all.
"""

import numpy as np


def thin(values: np.ndarray, most: int) -> np.ndarray:
    """Indices, ascending, of at most about `most` of the values (float or int[n]); all of them if there are no more.

    most: >= 4. Stretches have the same number of points.
    """
    n = len(values)
    if n <= most:
        return np.arange(n)
    edges = np.linspace(0, n, max(1, (most - 2) // 2) + 1).astype(np.int64)
    kept = {0, n - 1}
    for first, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        part = values[first:end]
        kept |= {first + int(np.argmin(part)), first + int(np.argmax(part))}
    return np.array(sorted(kept))
