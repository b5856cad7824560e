"""How fast this machine is just now: a bound in seconds is one for a machine, and machines differ and are shared.

Run as a program it prints the number: ``python -m tests.machine``.
"""

import time

ADDITIONS = 5_000_000
REFERENCE_S = 0.3
"""What the additions take on a core of 3 GHz with nobody beside it (CPython 3.11)."""


def slowness() -> float:
    """How many times as long a fixed piece of Python takes here and now, in processor time; 1 where it is quicker."""
    start, total = time.process_time(), 0
    for number in range(ADDITIONS):
        total += number
    return max(1.0, (time.process_time() - start) / REFERENCE_S)


if __name__ == "__main__":
    print(f"{slowness():.2f}")  # noqa: T201  what it is run for
