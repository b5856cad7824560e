"""What was varied: the swept parameters, their values in order, and which runs share one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.data.frame import ExperimentFrame
from analysis.words import show_value

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Swept:
    """One varied parameter.

    Attributes:
        name: Its name; ``case`` for named cases.
        values: Its different values, numbers ascending, other things in the order of the manifest.
        codes: Array of shape (tasks,): place of each task's value in `values`.
        is_numeric: Whether all values are numbers.
    """

    name: str
    values: tuple[Any, ...]
    codes: Ints
    is_numeric: bool

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(show_value(value) for value in self.values)


def find_swept(frame: ExperimentFrame) -> tuple[Swept, ...]:
    """Find every parameter with at least two values, in the manifest's order; cases count as one, seeds do not.

    What a case fixes is the case, and no parameter of its own beside it.
    """
    columns = {str(name): frame.parameters[name].tolist() for name in frame.parameters.columns}
    cases = frame.tasks["case"].tolist()
    swept = [_swept("case", cases)] if len(set(cases)) > 1 else []
    found = [_swept(name, values) for name, values in columns.items()]
    return (*swept, *(one for one in found if len(one.values) > 1 and not (swept and _is_fixed_by(swept[0], one))))


def _is_fixed_by(case: Swept, one: Swept) -> bool:
    """Whether each case has one value of a parameter."""
    return len(set(zip(case.codes.tolist(), one.codes.tolist(), strict=True))) == len(case.values)


def _swept(name: str, raw: Sequence[Any]) -> Swept:
    values = [None if isinstance(one, float) and np.isnan(one) else one for one in raw]
    distinct = list({repr(value): value for value in values}.values())
    is_numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in distinct)
    if is_numeric:
        distinct.sort()
    place = {repr(value): number for number, value in enumerate(distinct)}
    codes = np.array([place[repr(value)] for value in values], dtype=np.int64)
    return Swept(name, tuple(distinct), codes, is_numeric)
