"""What a confidence was worth where nobody wrote rules: ``python -m tests.corpus.calibrate`` prints the table.

The author of a rule states a confidence; printed is the share of held-out failures that were right at it or, where they
are few, near it: isotonic regression (pool adjacent violators) with the stated value as four cases of its own.
"""

import sys
from collections.abc import Sequence

from tests.corpus.answers import Answered, answer_corpus
from tests.corpus.cases import is_held_out

PRIOR = 4.0
"""Cases that a stated value counts for: a level with few cases is not called certain by luck."""

Levels = tuple[tuple[float, float], ...]


def fit(answers: Sequence[Answered]) -> Levels:
    """Measure for each stated confidence the share that is right, never falling: (stated, measured), ascending."""
    failures = [a for a in answers if a.is_failure]
    pools: list[tuple[float, float, list[float]]] = []  # right, cases, stated confidences
    for stated in sorted({a.verdict.confidence for a in failures}):
        those = [a for a in failures if a.verdict.confidence == stated]
        pools.append((sum(a.right for a in those) + PRIOR * stated, len(those) + PRIOR, [stated]))
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
            last, before = pools.pop(), pools.pop()
            pools.append((before[0] + last[0], before[1] + last[1], before[2] + last[2]))
    return tuple(
        (stated, min(0.99, round(20 * right / cases) / 20)) for right, cases, levels in pools for stated in levels
    )


def main() -> int:
    """Print the table as `hpc.core.failures.calibration` holds it."""
    sys.stdout.write(f"MEASURED = {fit([a for a in answer_corpus() if is_held_out(a.case)])}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
