"""What a relay asks of Slurm: memory as its site counts it, and the site's further options or its own."""

from dataclasses import replace

import pytest

from hpc.adapters.sbatch import relay_options
from hpc.core.profile import ClusterProfile, Following
from hpc.core.slurm.successors import Kind, Relay
from hpc.unattended.jobs import dependency_of

MEMORY = [
    ("per_node", {"mem": "2G"}),
    ("per_cpu", {"mem-per-cpu": "2G"}),
    ("per_gpu", {"mem": "2G"}),
    ("none", {}),
]
SITE = ClusterProfile(
    "s", account="x", partition="gpu", constraint="a100", directives={"exclusive": "", "nice": "10"}, gres=("disk:1",)
)
USUAL = {"nodes": "1", "ntasks-per-node": "1", "cpus-per-task": "1", "mem": "2G", "time": "00:30:00", "account": "x"}


def further(own: Following) -> dict[str, str]:
    """What a relay asks for besides the usual."""
    return dict(sorted(set(relay_options(replace(SITE, follow=own)).items()) - set(USUAL.items())))


@pytest.mark.parametrize(("memory", "expected"), MEMORY)
def test_memory_is_asked_for_as_the_site_counts_it(memory: str, expected: dict[str, str]) -> None:
    """Also not at all: a relay is a job like every other."""
    found = relay_options(replace(SITE, memory=memory))
    assert {name: value for name, value in found.items() if name.startswith("mem")} == expected


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (Following(), {"exclusive": "", "nice": "10", "partition": "gpu", "constraint": "a100"}),
        (Following(directives={}), {"partition": "gpu", "constraint": "a100"}),
        (Following(directives={"nice": "1"}, constraint=""), {"nice": "1", "partition": "gpu"}),
        (Following(directives={}, partition="short"), {"partition": "short"}),
        (Following(directives={}, partition="short", constraint="cpu"), {"partition": "short", "constraint": "cpu"}),
    ],
)
def test_it_asks_as_the_tasks_do_unless_told_otherwise(own: Following, expected: dict[str, str]) -> None:
    """Directives left out are the tasks', an empty block is none; a constraint holds in the tasks' partition."""
    assert further(own) == expected


def test_an_end_waits_for_every_array() -> None:
    """A look waits for none: it has a time."""
    assert dependency_of(Relay(Kind.END, after=frozenset({"12", "9"}))) == "afterany:9:12"
    assert dependency_of(Relay(Kind.LOOK, begin=1.0)) == ""
