"""What must hold between the parts of an experiment, each part being valid in itself.

Every check is a pure generator over a `Draft`; a part that is missing or was already found wrong is None, and the
checks that need it are silent, so one mistake is reported once.
"""

from dataclasses import replace

from hpc.core.checks.draft import Draft, Finding, Rule
from hpc.core.checks.names import check_command, check_config, check_formats, check_parameter_names
from hpc.core.checks.questions import (
    check_acceptance,
    check_baseline,
    check_criterion,
    check_metrics,
    check_range,
    check_sanity,
)
from hpc.core.checks.requests import (
    check_batch,
    check_divergence,
    check_for_every_resources,
    check_launch,
    check_pack,
    check_resource_rules,
)
from hpc.core.checks.run_names import check_run_name
from hpc.core.checks.sweep import check_sweep, expand
from hpc.core.experiment.grid import Combination

_NAME_RULES: tuple[Rule, ...] = (check_parameter_names, check_command)
"""They need the names of the sweep only, so a sweep that cannot be expanded still has them checked."""
_RULES: tuple[Rule, ...] = (
    *_NAME_RULES,
    check_formats,
    check_config,
    check_run_name,
    check_baseline,
    check_resource_rules,
    check_for_every_resources(check_batch),
    check_for_every_resources(check_divergence),
    check_for_every_resources(check_launch),
    check_for_every_resources(check_pack),
    check_metrics,
    check_range,
    check_criterion,
    check_acceptance,
    check_sanity,
)


def check(draft: Draft) -> tuple[Finding, ...]:
    """Find everything that does not fit together."""
    found = [*check_sweep(draft.sweep)] if draft.sweep else []
    grid: tuple[Combination, ...] | None = None
    if draft.sweep and not found:
        grid, found = expand(draft.sweep)
    sound = draft if grid else replace(draft, sweep=None)
    for rule in _RULES:
        found += rule(draft if rule in _NAME_RULES else sound, grid or ())
    return tuple(found)
