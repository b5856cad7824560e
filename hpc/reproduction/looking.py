"""How far the run made again is."""

from enum import StrEnum

from hpc.core.immutable import immutable
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.snapshots.snapshot import take_snapshot


class Stage(StrEnum):
    """How far the run made again is."""

    PLANNED = "planned"
    LIVE = "waits or runs"
    ENDED = "ended"
    FAILED = "failed"


@immutable
class Again:
    """The run made again.

    Attributes:
        stage: How far it is.
        attempt: The attempt that gave its result; None where it has none.
    """

    stage: Stage
    attempt: AttemptLayout | None = None


def look(layout: RunLayout) -> Again:
    """See how far the run made again is."""
    (state,) = take_snapshot(layout, require_slurm=False).tasks[:1]
    if state.is_live:
        return Again(Stage.LIVE)
    well = [each for each in state.attempts if each.end is not None and each.end.is_done]
    if well:
        return Again(Stage.ENDED, well[-1].layout)
    return Again(Stage.FAILED if any(each.is_claimed for each in state.attempts) else Stage.PLANNED)
