"""Which parameters are systems: declared ranges first, then what the baseline leaves open, then names."""

from itertools import product

import pytest

from hpc.core.experiment.grid import Combination
from hpc.core.question.systems import ranged_parameter, system_of, system_parameters


def grid(**values: list[object]) -> list[Combination]:
    """The full grid."""
    return [dict(zip(values, point, strict=True)) for point in product(*values.values())]  # type: ignore[arg-type]


CROSS = grid(system=["pendulum", "cartpole"], training=["sft", "grpo"])


@pytest.mark.parametrize(
    ("combinations", "baseline", "question", "ranged", "expected"),
    [
        (CROSS, {"training": "sft"}, "", (), ("system",)),
        (CROSS, {"training": "sft", "system": "pendulum"}, "", (), ()),
        (CROSS, None, "", (), ("system",)),
        (CROSS, None, "", ("sft", "grpo"), ("training",)),
        (grid(rank=[4, 8], rate=[0.1, 0.2]), {"rank": 4}, "", (), ()),
        (grid(rank=[4, 8], size=[1, 2]), {"rank": 4}, "cross_system", (), ("size",)),
        (grid(kind=["a", "b"], arm=[1, 2]), {"arm": 1}, "", (), ("kind",)),
        (grid(kind=["a", "b"], arm=[1, 2]), None, "", (), ()),
        (grid(target_env=["a", "b"], arm=[1, 2]), None, "", (), ("target_env",)),
        (grid(environment_size=[1, 2], arm=[1, 2]), None, "", (), ()),
    ],
)
def test_systems_are_found(
    combinations: list[Combination],
    baseline: dict[str, object] | None,
    question: str,
    ranged: tuple[str, ...],
    expected: tuple[str, ...],
) -> None:
    """A range names them; texts left open are; numbers are where the type of the experiment says so."""
    assert system_parameters(combinations, baseline, question, ranged) == expected  # type: ignore[arg-type]


def test_ranges_find_their_parameter_with_a_misspelt_name_among_them() -> None:
    """Most values in common decide, so that the one that fits nowhere can be named."""
    assert ranged_parameter(CROSS, {"training": "sft"}, ("pendulum", "cartpol")) == "system"
    assert ranged_parameter(CROSS, None, ("walker",)) is None


def test_system_is_called_by_its_values() -> None:
    """One parameter by its value, several by name and value."""
    one: Combination = {"system": "pendulum", "mass": 2.5}
    assert system_of(one, ("system",)) == "pendulum"
    assert system_of(one, ("system", "mass")) == "system=pendulum, mass=2.5"
