"""The rule of comparison: the criterion and the table of verdicts make the same pairs, and what is left is named."""

import json
from collections.abc import Mapping, Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.core.experiment.grid import Combination
from hpc.core.experiment.spec import Value
from hpc.core.question.baseline import agrees, changed_beside, counterparts, uncompared
from hpc.core.question.criterion import Question, bind, parse_criterion, terms

HOLED = [
    {"training": training, "system": system, "lr": lr}
    for training, system, lr in product(("sft", "both"), ("A", "B"), (1, 2))
    if training != "sft" or lr == 1
]
CASES = [{"case": case, "width": width, "lr": lr} for case, width in (("thin", 1), ("wide", 2)) for lr in (1, 2)]


@st.composite
def sweeps(draw: st.DrawFn) -> tuple[list[Combination], dict[str, Value]]:
    """A sweep with holes, with or without cases, and a baseline that names some values of one of its configurations."""
    values = st.sampled_from([0, 1, True, 1.5, "a", None])
    grid = {name: draw(st.lists(values, min_size=1, max_size=3, unique_by=repr)) for name in draw(NAMES)}
    cases = draw(st.sampled_from([[{}], [{"case": "x", "width": 1}, {"case": "y", "width": 2}, {"case": "z"}]]))
    whole = [{**case, **dict(zip(grid, row, strict=True))} for case in cases for row in product(*grid.values())]
    distinct = list({json.dumps(one, sort_keys=True): one for one in whole}.values())
    kept = [one for one in distinct if draw(st.integers(0, 3))] or distinct
    baseline = draw(st.sampled_from(kept))
    named = draw(st.lists(st.sampled_from(sorted(baseline)), min_size=1, unique=True))
    return kept, {name: baseline[name] for name in named}


NAMES = st.lists(st.sampled_from(["lr", "system", "training"]), min_size=1, unique=True)


@settings(max_examples=300, deadline=None)
@given(sweeps())
def test_the_criterion_compares_the_pairs_of_the_table(
    sweep: tuple[Sequence[Combination], Mapping[str, Value]],
) -> None:
    """For any sweep and baseline `all(change < 0)` ranges over exactly the pairs that the table of verdicts shows."""
    combinations, baseline = sweep
    table = {(place, other) for place, other in counterparts(combinations, baseline).items() if place != other}
    question = Question(combinations, ("loss",), baseline, runs=1)
    rule = parse_criterion("all(change < 0)")
    if not table:
        with pytest.raises(ValueError, match="name another configuration"):
            bind(rule, question)
        return

    assert {(one.configuration, one.counterpart) for one in terms(bind(rule, question))} == table


@settings(max_examples=300, deadline=None)
@given(sweeps())
def test_every_configuration_is_compared_or_named(sweep: tuple[Sequence[Combination], Mapping[str, Value]]) -> None:
    """Each configuration has a counterpart that the baseline means, or a reason for having none; never both."""
    combinations, baseline = sweep
    compared, alone = counterparts(combinations, baseline), uncompared(combinations, baseline)

    assert sorted([*compared, *alone]) == list(range(len(combinations)))
    assert all(agrees(combinations[other], baseline) for other in compared.values())
    assert all(compared[place] == place for place, one in enumerate(combinations) if agrees(one, baseline))
    assert all(reason.startswith("no configuration ") for reason in alone.values())


def test_a_baseline_with_holes_is_the_one_of_the_same_system() -> None:
    """Where a baseline was run at one rate only, both rates are compared with it, and the other rate is named."""
    assert counterparts(HOLED, {"training": "sft"}) == {0: 0, 1: 1, 2: 0, 3: 0, 4: 1, 5: 1}
    assert changed_beside(HOLED, {"training": "sft"}) == {3: ("lr",), 5: ("lr",)}
    assert uncompared(HOLED, {"training": "sft"}) == {}


def test_a_system_without_a_baseline_is_named_with_the_reason() -> None:
    """What has no counterpart is not silently left out of the comparisons."""
    more = [*HOLED, {"training": "both", "system": "C", "lr": 1}]

    assert uncompared(more, {"training": "sft"}) == {6: "no configuration with training=sft has system=C"}
    assert set(uncompared(HOLED, {"training": "rl"}).values()) == {"no configuration has training=rl"}


def test_what_a_case_sets_belongs_to_the_case() -> None:
    """A baseline case is compared at the same rate; the width its case sets is no second difference."""
    assert counterparts(CASES, {"case": "thin"}) == {0: 0, 1: 1, 2: 0, 3: 1}
    assert changed_beside(CASES, {"case": "thin"}) == {}


@pytest.mark.parametrize(
    ("value", "chosen", "met"), [(1, 1.0, True), (1, True, False), (0, False, False), (None, None, True)]
)
def test_values_are_the_same_by_kind(value: Value, chosen: Value, met: bool) -> None:
    """1 and 1.0 are one value, 1 and true are two, in the baseline as in the sweep."""
    assert agrees({"x": value}, {"x": chosen}) is met
