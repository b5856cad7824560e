"""The parts of an experiment that are valid in themselves, what may be found of them, and the form of a check."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hpc.core.experiment.grid import CASE, Combination
from hpc.core.experiment.program import Launch, Program
from hpc.core.experiment.spec import Analysis, Batch, Check, Metrics, ResourceRule, RetryPolicy, Sanity, Sweep, Value
from hpc.core.launch.program import PLACES
from hpc.core.resources import ALONE, Pack, Resources

RESERVED = ("seed", CASE, "id", *PLACES)
"""Names that mean something else in templates and command lines."""
MEASURED = ("wall_time",)
"""Metrics that need no program: they are measured around it."""


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit.

    Attributes:
        path: Where in the file, outermost key first.
        message: What was found and what would be valid.
    """

    path: tuple[str | int, ...]
    message: str


@dataclass(frozen=True)
class Draft:
    """The parts of an experiment that are valid in themselves; None for the others.

    Attributes:
        known_metrics: Names the program is known to write; None when only running it would tell.
        runtime: What starts the container; empty where that is not known.
    """

    program: Program | None = None
    sweep: Sweep | None = None
    baseline: Mapping[str, Value] | None = None
    metrics: Metrics | None = None
    run_name: str | None = None
    resources: Resources | None = None
    resource_rules: tuple[ResourceRule, ...] = ()
    launch: Launch | None = None
    batch: Batch | None = None
    retry: RetryPolicy | None = None
    known_metrics: tuple[str, ...] | None = None
    criterion: str | None = None
    analysis: Analysis | None = None
    acceptance: Check | None = None
    sanity: Sanity | None = None
    pack: Pack = ALONE
    runtime: str = ""

    @property
    def batch_names(self) -> tuple[str, ...]:
        """The parameters that `batch` sets; none without one."""
        return (self.batch.parameter, self.batch.accumulation_parameter) if self.batch else ()


Rule = Callable[[Draft, Sequence[Combination]], Iterable[Finding]]
"""One check: the parts, and the sweep's combinations, of which there are none where the sweep is wrong or missing."""
