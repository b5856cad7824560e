"""Numbers on the command line of a training program: one out of range is refused with what is valid, not trained on."""

import argparse
import math
from collections.abc import Callable
from typing import TypeVar

Number = TypeVar("Number", int, float)


def number(
    kind: Callable[[str], Number], least: float, most: float = math.inf, *, above: bool = False
) -> Callable[[str], Number]:
    """Make what reads a finite number from the command line, for argparse's ``type``.

    Args:
        kind: ``int`` or ``float``.
        least: Smallest valid number.
        most: Largest valid number.
        above: Whether the smallest one itself is not valid.
    """
    noun = "whole number" if kind is int else "number"
    if above:
        limits = f"above {least}" + (f", at most {most}" if most < math.inf else "")
    else:
        limits = f"from {least} to {most}" if most < math.inf else f"of at least {least}"

    def read(text: str) -> Number:
        refused = argparse.ArgumentTypeError(f"{text} is not a {noun} {limits}")
        try:
            value = kind(text)
        except ValueError:
            raise refused from None
        if not least <= value <= most or value == math.inf or (above and value == least):
            raise refused
        return value

    return read


positive = number(int, 0, above=True)
count = number(int, 0)
seed = number(int, 0, 2**63 - 1)
size = number(float, 0)
above_zero = number(float, 0, above=True)
share = number(float, 0, 1)
some = number(float, 0, 1, above=True)
