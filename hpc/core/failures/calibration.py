"""What a confidence is worth: the share of verdicts said with it that are right, on logs nobody wrote rules against.

A rule states its author's confidence; what is printed is this table's. It is measured on the held-out failures of
``tests/corpus`` (``python -m tests.corpus.calibrate``), never falls, and has steps of 0.05.
"""

MEASURED = (
    (0.3, 0.55), (0.4, 0.55), (0.45, 0.6), (0.5, 0.6), (0.55, 0.6), (0.6, 0.6), (0.65, 0.8), (0.7, 0.85), (0.75, 0.85),
    (0.8, 0.85), (0.85, 0.85), (0.9, 0.95), (0.95, 0.95), (0.97, 0.99), (0.98, 0.99), (0.99, 0.99),
)  # fmt: skip
"""Stated by a rule → measured, ascending."""


def calibrated(stated: float) -> float:
    """Return what a stated confidence turned out to be worth: the row at it or next below; the first below all."""
    return next((measured for level, measured in reversed(MEASURED) if level <= stated), MEASURED[0][1])
