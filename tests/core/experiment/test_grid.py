"""Every combination once, always in the same order, each under its own name."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.experiment.expression import WORDS
from hpc.core.experiment.grid import combination_count, combinations, expand, parameter_names
from hpc.core.experiment.program import Launch, Program
from hpc.core.experiment.spec import Container, ExperimentSpec, Metric, Metrics, RetryPolicy, Sweep
from hpc.core.resources import Resources

NAMES = st.from_regex(r"[a-z][a-z_]{0,6}", fullmatch=True).filter(
    lambda name: name not in WORDS | {"id", "case", "seed"}
)
NUMBERS = st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True).map(tuple)
GRIDS = st.dictionaries(NAMES, NUMBERS, max_size=4)
SEEDS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3, unique=True).map(tuple)


def experiment(sweep, run_name="x", program=None):
    """Return an experiment around a sweep."""
    return ExperimentSpec(
        name="e", type="comparison", program=program or Program(module="m"), sweep=sweep,
        metrics=Metrics(Metric("loss")),
        run_name=run_name, resources=Resources(), launch=Launch(), container=Container(), retry=RetryPolicy(),
    )  # fmt: skip


@given(grid=GRIDS, seeds=SEEDS)
def test_each_grid_point_appears_exactly_once(grid, seeds):
    """A grid gives the whole product with the seeds, nothing twice, with task ids that are all different."""
    tasks = expand(experiment(Sweep(grid=grid, seeds=seeds)))

    expected = set(product(*grid.values(), seeds))
    assert len(tasks) == len(expected) == combination_count(Sweep(grid=grid)) * len(seeds)
    assert {(*(task.parameters[name] for name in grid), task.seed) for task in tasks} == expected
    assert len({task.task_id for task in tasks}) == len(tasks)


@given(grid=GRIDS, seeds=SEEDS)
def test_the_order_is_the_order_written(grid, seeds):
    """The first key varies slowest, the last fastest, the seeds innermost: as nested loops would."""
    tasks = expand(experiment(Sweep(grid=grid, seeds=seeds)))

    assert [(*task.parameters.values(), task.seed) for task in tasks] == list(product(*grid.values(), seeds))


@given(grid=GRIDS, limit=st.integers(0, 200))
def test_where_keeps_exactly_the_combinations_for_which_it_holds(grid, limit):
    """Filtering gives what filtering by hand gives, in the same order."""
    if not grid:
        return
    condition = f"{' + '.join(grid)} <= {limit}"

    kept = list(combinations(Sweep(grid=grid, where=condition)))

    assert kept == [one for one in combinations(Sweep(grid=grid)) if sum(one.values()) <= limit]


def test_a_condition_may_name_the_case():
    """`where` sees the id of a case under `case` and `id`."""
    sweep = Sweep(cases=({"id": "a", "n": 1}, {"id": "b", "n": 2}), where="case == 'a' or id == 'c'")

    assert list(combinations(sweep)) == [{"case": "a", "n": 1}]


def test_zip_cases_points_and_grid_combine():
    """Cases outermost, then points, then zipped rows, then the grid; the case's id is no parameter."""
    sweep = Sweep(
        grid={"g": (1, 2)}, zipped={"y": (5, 6), "z": (7, 8)}, points=({"p": 0.5}, {"p": 0.7}),
        cases=({"id": "a", "c": 1}, {"id": "b", "c": 2}), seeds=(3,),
    )  # fmt: skip

    tasks = expand(experiment(sweep, "{id}_{p}_{y}{z}_{g}_S{seed}"))

    assert len(tasks) == combination_count(sweep) == 2 * 2 * 2 * 2
    assert [task.run_name for task in tasks[:5]] == [
        "a_0.5_57_1_S3", "a_0.5_57_2_S3", "a_0.5_68_1_S3", "a_0.5_68_2_S3", "a_0.7_57_1_S3",
    ]  # fmt: skip
    assert tasks[0].case == "a"
    assert tasks[0].parameters == {"c": 1, "p": 0.5, "y": 5, "z": 7, "g": 1}
    assert parameter_names(sweep) == ("c", "p", "y", "z", "g")


def test_without_parameters_there_is_one_combination():
    """Seeds alone make a sweep: the same configuration, several times."""
    assert [task.seed for task in expand(experiment(Sweep(seeds=(1, 2, 3))))] == [1, 2, 3]


def test_a_task_is_known_by_what_it_computes():
    """The id depends on program, arguments, parameters and seed, and on nothing else."""
    one = Sweep(grid={"n": (1,)}, seeds=(1,))
    base = expand(experiment(one))[0].task_id

    assert expand(experiment(one, run_name="other"))[0].task_id == base
    assert expand(experiment(Sweep(grid={"n": (1, 2)}, seeds=(1, 2))))[0].task_id == base
    assert expand(experiment(Sweep(grid={"n": (2,)}, seeds=(1,))))[0].task_id != base
    assert expand(experiment(Sweep(grid={"n": (1,)}, seeds=(2,))))[0].task_id != base
    assert expand(experiment(one, program=Program(module="m", args={"x": 1})))[0].task_id != base
    assert expand(experiment(one, program=Program(command="m")))[0].task_id != base


def test_fixed_arguments_can_stand_in_a_run_name():
    """A run name may show what is the same for every task."""
    spec = experiment(Sweep(grid={"n": (1,)}), "{system}_n{n}", Program(module="m", args={"system": "pendulum"}))

    assert expand(spec)[0].run_name == "pendulum_n1"


def test_a_condition_that_cannot_be_computed_names_the_combination():
    """The message of a failing condition shows for which values it failed."""
    with pytest.raises(ValueError, match=r"'n < 3' cannot be computed for \(n='many'\)"):
        expand(experiment(Sweep(grid={"n": (1, "many")}, where="n < 3")))
