"""Input of classical models: cases as numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class EncodedCases(NamedTuple):
    """Input of a classical model for N cases.

    Attributes:
        metadata: Soft one-hot vectors of all features, concatenated, (N, sum of K_f).
        missing: True where a feature was not observed, (N, F).
        target: Class index of each case, (N,).
        group: Patient or lesion of each case, (N,).
    """

    metadata: NDArray[np.float64]
    missing: NDArray[np.bool_]
    target: NDArray[np.int64]
    group: NDArray[np.object_]
