"""Parameter sets drawn from ranges: Sobol, Latin hypercube or independent random points, the same for the same seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpc.core.errors import HpcError
from hpc.core.experiment.spec import Value

DIGITS = 6
"""Significant digits that are kept: enough for any setting, and short enough for a run name."""


@dataclass(frozen=True)
class Range:
    """Where one parameter comes from.

    Attributes:
        kind: ``linear`` or ``log`` (floats), ``int`` or ``int_log`` (whole numbers, both ends included), ``choices``.
        values: Low and high; for ``choices`` what to choose from.
    """

    kind: str
    values: tuple[Any, ...]

    def at(self, position: float) -> Value:
        """Return the value at a position in [0, 1)."""
        match self.kind:
            case "linear":
                return _rounded(self._between(position, self.values[0], self.values[1]))
            case "log":
                return _rounded(math.exp(self._between(position, math.log(self.values[0]), math.log(self.values[1]))))
            case "int":
                return self._whole(self._between(position, self.values[0], self.values[1] + 1))
            case "int_log":
                # Each whole number k owns [k, k + 1), so that both ends can be drawn.
                return self._whole(
                    math.exp(self._between(position, math.log(self.values[0]), math.log(self.values[1] + 1)))
                )
            case _:
                chosen: Value = self.values[min(int(position * len(self.values)), len(self.values) - 1)]
                return chosen

    @staticmethod
    def _between(position: float, low: float, high: float) -> float:
        return low + position * (high - low)

    def _whole(self, value: float) -> int:
        return min(max(math.floor(value), int(self.values[0])), int(self.values[1]))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def draw(space: Mapping[str, Range], n: int, method: str, seed: int) -> tuple[Mapping[str, Value], ...]:
    """Draw parameter sets.

    Args:
        space: Parameter → range.
        n: How many sets; Sobol points are most even when it is a power of 2.
        method: ``sobol``, ``lhs`` or ``random``.
        seed: Seed of the drawing; nothing else has an influence.

    Raises:
        HpcError: scipy is not installed.
    """
    return tuple(
        {name: values.at(position) for (name, values), position in zip(space.items(), row, strict=True)}
        for row in _unit_points(len(space), n, method, seed)
    )


def _unit_points(dimensions: int, n: int, method: str, seed: int) -> Sequence[Sequence[float]]:
    """Return n points in the unit cube, one row each."""
    try:
        import numpy as np
        from scipy.stats import qmc
    except ImportError:
        raise HpcError(
            "`sweep.sample` needs scipy; install it with the extra `report`: pip install 'hpc-batch[report]'"
        ) from None
    rng = np.random.default_rng(seed)
    if method == "random":
        points = rng.random((n, dimensions))
    elif method == "lhs":
        points = qmc.LatinHypercube(d=dimensions, rng=rng).random(n)
    else:
        # A whole power of 2 is drawn and cut: the first n points of the sequence are the same, without scipy's warning.
        points = qmc.Sobol(d=dimensions, rng=rng).random_base2(math.ceil(math.log2(n)))[:n]
    rows: list[list[float]] = points.tolist()
    return rows
