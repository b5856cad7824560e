"""R12: a command without a launcher is one process, whatever is asked for; `plan` says how many start where."""

import json

import pytest

from hpc.core.experiment.processes import describe_processes, processes_of
from hpc.core.experiment.program import Launch, Program
from hpc.core.launch.program import launcher_in
from hpc.core.resources import Resources
from hpc.metrics import read, read_summary
from tests.hpc.strangers.repository import Repository

COMMAND, MODULE = Program(command="python t.py"), Program(module="mine.train")
SEES_RANKS = "import os; print('started', os.environ.get('RANK'), os.environ.get('WORLD_SIZE')); print('loss=1')"

ONCE = [
    ("{cpus: 2}", "{kind: plain}"),
    ("{gpus: 1, cpus: 2}", "{kind: plain}"),
    ("{gpus: 2, cpus: 2}", "{kind: plain}"),
    ("{gpus: 2, cpus: 2}", "{processes: auto}"),
    ("{gpus: 4, cpus: 2}", "{kind: plain, processes: 1}"),
    ("{gpus: 8, cpus: 64}", "{kind: plain, mixed_precision: bf16}"),
    ("{gpus: 2, cpus: 2, nodes: 2}", "{kind: plain}"),
    ("{nodes: 4, cpus: 2}", "{kind: plain}"),
    ("{nodes: 3, gpus: 4}", "{processes: auto}"),
]


@pytest.mark.parametrize(("resources", "launch"), ONCE)
def test_r12_a_command_is_started_once(repository: Repository, resources: str, launch: str) -> None:
    """However many GPUs and nodes are asked for, the script of a node starts it once and makes it no rank."""
    repository.write("t.py", SEES_RANKS)
    repository.experiment(resources=resources, launch=launch)
    told = repository.plan()
    assert "each task: 1 process on " in told
    assert repository.on_a_node() == 0
    assert repository.printed() == ["started None None", "loss=1"]
    assert "more processes" not in told


@pytest.mark.parametrize(("resources", "count"), [("{gpus: 2, cpus: 2}", 2), ("{cpus: 3}", 3), ("{gpus: 4}", 4)])
def test_r12_processes_that_are_asked_for_are_started(repository: Repository, resources: str, count: int) -> None:
    """`launch.processes` starts so many copies, each with its rank, and `plan` says so beforehand."""
    repository.write("t.py", SEES_RANKS)
    repository.experiment(resources=resources, launch=f"{{processes: {count}}}")
    assert f"{count} processes on 1 node: the program is started {count} times, told apart by RANK" in repository.plan()
    assert repository.on_a_node() == 0
    started = sorted(line for line in repository.printed() if line.startswith("started"))
    assert started == [f"started {rank} {count}" for rank in range(count)]
    assert repository.record()["processes"] == count


PIECES = """
import os, time
for step in range(40):
    for piece in ("loss=", str(1000 * int(os.environ["RANK"]) + step), "\\n"):
        os.write(1, piece.encode())
        time.sleep(0.001)
"""
"""What `print` does under ``python -u``, which launchers start: a line and its end are written apart."""


@pytest.mark.parametrize("kind", ["plain", pytest.param("torchrun", marks=pytest.mark.train)])
def test_r12_numbers_are_those_of_the_first_rank(repository: Repository, kind: str) -> None:
    """Several ranks print at once: none of its numbers is lost, and none of another's is taken for one."""
    repository.write("t.py", PIECES)
    repository.experiment(resources="{cpus: 2}", launch=f"{{kind: {kind}, processes: 2}}")
    repository.plan()
    assert repository.on_a_node() == 0
    assert read(repository.attempt() / "metrics.h5")["loss"].value.tolist() == list(range(40))


def test_r12_numbers_that_the_last_rank_alone_prints_are_found(repository: Repository) -> None:
    """As Megatron prints its loss: where rank 0 says no number, the ranks' own logs are read, the last one first."""
    repository.write("t.py", "import os; print('loss=7' if os.environ['RANK'] == '2' else 'hello')")
    repository.experiment(resources="{cpus: 3}", launch="{processes: 3}")
    repository.plan()
    assert repository.on_a_node() == 0
    assert read_summary(repository.attempt() / "metrics.h5") == {"loss": 7}


LAST_LINE = """
import os, pathlib
home = pathlib.Path(os.environ["HPC_ATTEMPT_DIR"])
if os.environ.get("RANK", "0") == "0":
    (home / "stdout.rank_old.log").write_text("loss=9")
    os.mkfifo(home / "stdout.rank7.log")
print("loss=" + os.environ.get("RANK", "0"), end="")
"""


@pytest.mark.parametrize("count", [1, 2])
def test_r12_a_last_line_without_an_end_counts(repository: Repository, count: int) -> None:
    """The first rank said its number: no other's is taken, and what else lies in the attempt's folder is let be."""
    repository.write("t.py", LAST_LINE)
    repository.experiment(resources="{cpus: 2}", launch=f"{{processes: {count}}}")
    repository.plan()
    assert repository.on_a_node() == 0
    assert read_summary(repository.attempt() / "metrics.h5") == {"loss": 0}


def test_r12_a_launcher_in_the_command_is_said_to_mix_lines(repository: Repository) -> None:
    """Its ranks print into one stdout, which nobody can take apart; the plan names what keeps them apart."""
    repository.experiment("command: torchrun --nproc_per_node 2 t.py")
    told = repository.plan()
    assert "torchrun starts processes of its own, whose printed lines may run together" in told
    assert "launch: {kind: torchrun, processes: N}" in told


def test_r12_the_plan_as_json_counts_processes(repository: Repository) -> None:
    """Programs read it, too."""
    repository.experiment(resources="{gpus: 2, cpus: 8}", launch="{kind: torchrun}")
    assert json.loads(repository.plan("--json"))["processes"] == {"nodes": 1, "per_node": 2, "threads": 4}


@pytest.mark.parametrize(
    ("program", "launch", "resources", "expected"),
    [
        (COMMAND, Launch(), Resources(gpus=2, cpus=8), (1, 1, 8)),
        (COMMAND, Launch(), Resources(nodes=2, gpus=2, cpus=8), (1, 1, 8)),
        (COMMAND, Launch(processes=1), Resources(nodes=2, gpus=2, cpus=8), (2, 1, 8)),
        (COMMAND, Launch(processes=3), Resources(cpus=8), (1, 3, 2)),
        (COMMAND, Launch(processes=3), Resources(cpus=2), (1, 3, 1)),
        (COMMAND, Launch("torchrun"), Resources(nodes=2, gpus=4, cpus=16), (2, 4, 4)),
        (COMMAND, Launch("accelerate"), Resources(cpus=16), (1, 1, 16)),
        (MODULE, Launch(), Resources(), (1, 1, 1)),
        (MODULE, Launch(), Resources(gpus=2, cpus=8), (1, 2, 4)),
        (MODULE, Launch(), Resources(nodes=2, gpus=2, cpus=8), (2, 2, 4)),
        (MODULE, Launch("deepspeed"), Resources(nodes=3, gpus=8, cpus=64), (3, 8, 8)),
    ],
)
def test_r12_who_is_started_how_often(
    program: Program, launch: Launch, resources: Resources, expected: tuple[int, int, int]
) -> None:
    """Nodes, processes on each, threads of each: modules and launchers take a process per GPU, commands do not."""
    found = processes_of(program, launch, resources)
    assert (found.nodes, found.per_node, found.threads) == expected
    said = describe_processes(program, launch, resources, {})
    assert said.startswith("each task: 1 process " if found.total == 1 else f"each task: {found.total} processes ")
    assert said.endswith(f"OMP_NUM_THREADS={expected[2]}")


def test_r12_idle_gpus_are_said_with_the_way_to_use_them() -> None:
    """One process beside four GPUs may be meant, and is said; where there is one GPU there is nothing to say."""
    said = describe_processes(COMMAND, Launch(), Resources(gpus=4, cpus=8), {})
    assert "it gets all 4 GPUs of its node; for one process per GPU: launch: {kind: torchrun}" in said
    assert "GPU" not in describe_processes(COMMAND, Launch(), Resources(gpus=1), {})
    assert "first of 2 nodes" in describe_processes(COMMAND, Launch(), Resources(nodes=2), {})


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("torchrun --nproc_per_node=2 t.py {micro_batch_size}", "torchrun"),
        ("/opt/bin/torchrun t.py", "torchrun"),
        ("python -m torch.distributed.run t.py", "torchrun"),
        ("python3 -m accelerate.commands.launch t.py", "accelerate"),
        ("accelerate launch t.py", "accelerate"),
        ("deepspeed t.py", "deepspeed"),
        ("mpirun -n 2 python t.py", "mpirun"),
        ("srun python t.py", "srun"),
        ("python t.py torchrun", ""),
        ("python -m mine.torchrun", ""),
        ("python -m", ""),
        ("bash -c 'torchrun t.py'", ""),
        ("'unclosed", ""),
    ],
)
def test_r12_a_launcher_at_the_front_of_a_command_is_known(command: str, name: str) -> None:
    """By its program or module, and only there: a word of that name elsewhere is an argument."""
    assert launcher_in(command) == name


def test_r12_batch_and_a_launcher_in_the_command_are_refused(repository: Repository) -> None:
    """The global batch would be multiplied without a word: `plan` says which of the two to leave."""
    batch = {"batch": "{global: 8, micro: 4, parameter: micro}", "resources": "{gpus: 2, cpus: 2}"}
    repository.experiment("command: torchrun --nproc_per_node=2 t.py {micro}", **batch)
    told = repository.plan(expect=2)
    assert "'torchrun' starts its own processes" in told
    assert "launch: {kind: torchrun}" in told
    repository.experiment("command: mpirun python t.py {micro}", **batch)
    assert "launch.processes" in repository.plan(expect=2)
    repository.experiment("command: t.py {micro}", **batch, launch="{kind: torchrun}")
    assert "2 processes on 1 node, started by torchrun" in repository.plan()
