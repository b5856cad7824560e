"""Tasks ask for what the experiment says, changed where a condition holds; one array never mixes two kinds."""

from dataclasses import replace

import pytest

from hpc.adapters.yaml_file import parse_yaml
from hpc.core.errors import InputError
from hpc.core.experiment.asking import asked_of_tasks, every_resources, resources_of
from hpc.core.experiment.grid import expand
from hpc.core.experiment.spec import ExperimentSpec, Task
from hpc.core.profile import ClusterProfile
from hpc.core.slurm.arrays import first_assignment, plan_arrays
from hpc.experiments.overrides import Overrides
from hpc.experiments.schema import experiment_from

SIZES = """
name: sizes
type: comparison
program: {module: train.control, args: {epochs: 3}}
sweep:
  cases: [{id: small, n_layers: 2}, {id: large, n_layers: 32, wide: true}]
  grid: {lora_rank: [4, 8]}
  seeds: 0-1
metrics: {primary: {name: final_error}}
batch: {global: 64, micro: 16}
resources:
  mem: 4GB
  for:
    - {where: "n_layers >= 32", mem: 64GB, time: "12:00:00"}
    - {where: "case == 'large' and lora_rank == 8 and epochs == 3", gpus: 4}
    - {where: "wide and seed == 1", mem: 80GB}
"""


def load(**overrides: str) -> ExperimentSpec:
    """Read the experiment."""
    return experiment_from(parse_yaml(SIZES, "x.yaml"), Overrides(**overrides))  # type: ignore[arg-type]


def test_each_task_asks_by_its_own_values() -> None:
    """Rules hold by parameter, case, seed and fixed argument; of several the last one counts; absent holds nothing."""
    spec = load()
    asked = {task.run_name: resources_of(spec, task) for task in expand(spec)}

    assert asked["small_lora_rank4_S0"] == asked["small_lora_rank8_S1"] == spec.resources
    assert [asked[f"large_lora_rank4_S{seed}"].memory_mib for seed in (0, 1)] == [65536, 81920]
    assert (asked["large_lora_rank8_S0"].gpus, asked["large_lora_rank8_S0"].time_s) == (4, 43200)
    assert len(every_resources(spec, expand(spec))) == 5


def test_the_manifest_says_the_same() -> None:
    """What the report reads from the manifest is what was asked; so are old manifests without rules."""
    spec = load()
    tasks = expand(spec)
    written = [{"parameters": one.parameters, "seed": one.seed, "case": one.case} for one in tasks]
    again = experiment_from(replace(parse_yaml(SIZES, "manifest"), data=spec.raw))

    assert asked_of_tasks(spec.raw, written) == [resources_of(spec, task) for task in tasks]
    assert [resources_of(again, task) for task in tasks] == [resources_of(spec, task) for task in tasks]
    assert asked_of_tasks({}, written)[0].memory_mib == 4096


def test_arrays_and_batches_follow() -> None:
    """Each kind has an array of its own, and the accumulation is that of its own processes."""
    spec = load()
    assignments = [first_assignment(spec, task) for task in expand(spec)]

    assert [len(array.assignments) for array in plan_arrays(assignments, ClusterProfile("site"))] == [4, 1, 1, 1, 1]
    assert {(one.resources.gpus, one.accumulation) for one in assignments} == {(0, 4), (4, 1)}


def test_a_task_that_is_not_asked_for_any_more_asks_for_the_plain_resources() -> None:
    """A task whose parameters no rule knows, of an earlier plan, breaks nothing."""
    spec = load()

    assert resources_of(spec, Task("0" * 12, "old", {"other": 1}, 7)) == spec.resources


def test_ranges_of_seeds_are_written_out() -> None:
    """Both ends included, in the file and on the command line."""
    assert load().sweep.seeds == (0, 1)
    assert load(seeds="0-2,5..6").sweep.seeds == (0, 1, 2, 5, 6)
    assert load().raw["sweep"]["seeds"] == [0, 1]
    assert experiment_from(parse_yaml(SIZES.replace("0-1", "0-2, 7"), "x.yaml")).sweep.seeds == (0, 1, 2, 7)


@pytest.mark.parametrize(("seeds", "said"), [
    ("5-1", "not the text '5-1'; a range goes from the smaller seed to the larger"),
    ("0-99999999", "such as 0-9, and holds 100,000 at most"),
    ("a-b", "must be a whole number, not the text 'a-b'"),
    ("3", "must be a list such as [1, 2] or a range such as 0-9, not 3"),
    ("{from: 1}", "must be a list such as [1, 2] or a range such as 0-9, not a block of keys"),
])  # fmt: skip
def test_what_is_no_range_is_told_what_is_one(seeds: str, said: str) -> None:
    """The most natural slips, with the way to write what was meant."""
    with pytest.raises(InputError, match=r"sweep\.seeds") as raised:
        experiment_from(parse_yaml(SIZES.replace("0-1", seeds), "x.yaml"))
    assert said in str(raised.value)
