"""Which runs of a configuration and its baseline are compared: pairs, all there are, or those with seeds taken out."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.statistics.contrasts import Contrast
from analysis.statistics.samples import FEWEST_PAIRS, Sample, are_steady, find_pairs, same_seeds

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sides:
    """The runs of both sides that are compared.

    Attributes:
        ours: Those of the configuration; shifted, with what its seeds add beyond the baseline's taken out.
        base: Those of the baseline.
        is_paired: Runs of the shared seeds, seed by seed; else all there are.
        is_shifted: The sides have different seeds, and the model has taken out what these add.
    """

    ours: Floats
    base: Floats
    is_paired: bool = False
    is_shifted: bool = False

    @property
    def basis(self) -> str:
        """Over which runs the numbers are, in words."""
        if self.is_paired:
            return f"over the {len(self.ours)} shared seeds"
        return "over all runs, seeds taken out" if self.is_shifted else "over all runs"


def take_sides(ours: Sample, base: Sample, contrast: Contrast | None = None) -> Sides:
    """Choose the runs that are compared; the design decides, never a value.

    Args:
        ours: The configuration.
        base: The baseline.
        contrast: What the model says of the configuration; None where it is in none.
    """
    pairs = find_pairs(ours, base)
    if contrast is not None and contrast.is_blocked and not same_seeds(ours, base):
        return Sides(ours.finite + contrast.shift, base.finite, is_shifted=True)
    is_paired = pairs and (contrast.is_blocked if contrast else len(pairs[0]) >= FEWEST_PAIRS or are_steady(*pairs))
    return Sides(*pairs, is_paired=True) if pairs and is_paired else Sides(ours.finite, base.finite)
