"""p-values adjusted for many comparisons: Holm's, and Benjamini and Hochberg's."""

from collections.abc import Sequence

from scipy import stats

CORRECTIONS = ("holm", "bh")


def adjust(p_values: Sequence[float | None], correction: str) -> tuple[float | None, ...]:
    """Adjust p-values over a family; None stands for a test that could not be made and does not count in it.

    Args:
        p_values: p-values in any order.
        correction: ``holm`` (Holm 1979) or ``bh`` (Benjamini and Hochberg 1995, scipy's).

    Raises:
        ValueError: `correction` is neither.
    """
    if correction not in CORRECTIONS:
        raise ValueError(f"correction must be one of {', '.join(CORRECTIONS)}, not {correction!r}")
    if correction == "holm":
        return holm(p_values)
    tested = [p for p in p_values if p is not None]
    found = iter(stats.false_discovery_control(tested, method="bh").tolist() if tested else ())
    return tuple(None if p is None else float(next(found)) for p in p_values)


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Adjust p-values after Holm (1979): p_(i) · (m − i + 1), made monotone, at most 1.

    Args:
        p_values: m p-values in any order; None stands for a test that could not be made and does not count in m.
    """
    tested = [(p, place) for place, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(sorted(tested)):
        highest = max(highest, min(1.0, p * (len(tested) - rank)))
        adjusted[place] = highest
    return tuple(adjusted)
