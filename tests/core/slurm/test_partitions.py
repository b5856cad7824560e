"""Which of several partitions can run a task, by what sinfo says of them."""

import pytest

from hpc.core.profile import ClusterProfile
from hpc.core.resources import HOUR, Resources
from hpc.core.slurm.partitions import choose, parse_kinds

SINFO = """
short|up|2:00:00|10|64|512000|gpu:a100:4(S:0-1)
long|up|2-00:00:00|4|64|512000|gpu:a100:4(S:0-1),lscratch:100
long|up|2-00:00:00|1|128|2048000|gpu:h100:8
cpu|up|infinite|100|128|256000+|(null)
mig|up|1-00:00:00|2|64|512000|gpu:a100_3g.20gb:8(S:0-1)
shut|inact|infinite|9|64|512000|gpu:4
nonsense
"""
KINDS = parse_kinds(SINFO.splitlines())
ALL = "short,long,cpu,mig,shut"


def choice(partition: str = ALL, gpu_type: str = "", memory: str = "per_node", **asked: int) -> tuple[str, ...]:
    profile = ClusterProfile("s", partition=partition, gpu_type=gpu_type, memory=memory)
    return choose(Resources(**asked), profile, KINDS).taken


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"cpus": 8}, ("short", "long", "cpu", "mig")),
        ({"cpus": 8, "time_s": 3 * HOUR}, ("long", "cpu", "mig")),
        ({"gpus": 4}, ("short", "long", "mig")),
        ({"gpus": 4, "gpu_type": "a100"}, ("short", "long")),
        ({"gpus": 1, "gpu_type": "a100_3g.20gb"}, ("mig",)),
        ({"gpus": 4, "gpu_type": "a100", "nodes": 5}, ("short",)),
        ({"cpus": 100}, ("long", "cpu")),
        ({"memory_mib": 1024_000}, ("long",)),
        ({"memory_mib": 1024_000, "memory": "none", "cpus": 100}, ("long", "cpu")),
        ({"partition": "short,elsewhere", "gpus": 1}, ("short", "elsewhere")),
        ({"partition": "short,cpu", "time_s": 99 * HOUR, "gpus": 9}, ("short", "cpu")),
    ],
)
def test_partitions_that_could_never_run_it_are_left_out(asked: dict, expected: tuple[str, ...]) -> None:
    """By time, cores, memory, GPUs and their type on enough nodes; one that is unknown is Slurm's to judge; so are all
    where none fits."""
    assert choice(**asked) == expected


def test_the_choice_is_said() -> None:
    """With the reason for each that is left out."""
    profile = ClusterProfile("s", partition="short,long,cpu,shut", gpu_type="a100")
    said = str(choose(Resources(gpus=2, time_s=3 * HOUR), profile, KINDS))
    assert said == (
        "partition long; not short: its time limit is 02:00:00, 03:00:00 is asked for; "
        "cpu: it does not have a node of 1 core, 4G and 2 a100 GPUs; shut: it accepts no jobs now"
    )
    assert str(choose(Resources(), profile, KINDS)).startswith("partition short or long or cpu, whichever starts it")
    assert str(choose(Resources(gpus=99), profile, KINDS)).startswith("no partition can run it: short: ")
