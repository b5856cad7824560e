"""`submit --probe`: one job measures which micro-batch fits before the tasks start, and keeps none from starting."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hpc.adapters import proc
from hpc.core.layout import AttemptLayout
from hpc.core.records.probe import Result, Try
from hpc.core.resources import Resources
from hpc.node.probe import _begin, conclusion, judge, micro_in_use, steps_logged
from tests.local_projects import LocalProject, make_project
from tests.made_records import exit_record, task_record

PROGRAM = """
import os, sys, time
open(os.path.join(os.environ["HPC_ATTEMPT_DIR"], "checkpoints", "step-1"), "w").write("large")
width, micro, accumulation = (int(word) for word in sys.argv[1:4])
print(f"micro {micro} accumulation {accumulation}", flush=True)
activations = bytearray(micro * width * 6 << 20)  # 6 MiB a sample: 384 MiB with 64 of them
for step in range(1, 26):
    print(f"step {step} loss: {1 / step}", flush=True)
    time.sleep(0.15)
"""

EXPERIMENT = """
name: tiny
type: comparison
program:
  command: "python3 program.py {width} {micro_batch_size} {gradient_accumulation_steps} {seed}"
sweep:
  grid: {width: [1, 2]}
  seeds: [1, 2]
metrics:
  primary: {name: loss, goal: min}
  source: {stdout: 'step (?P<step>\\d+) loss: (?P<loss>\\S+)'}
run_name: "W{width}_S{seed}"
resources: {cpus: 1, mem: 300MB, time: "0:10:00"}
batch: {global: 64, micro: 64, parameter: micro_batch_size}
"""


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def planned(folder: Path, experiment: str = EXPERIMENT, program: str = PROGRAM, cluster: str = "local") -> LocalProject:
    project = make_project(folder / "project", experiment, program)
    project.hpc("plan", "tiny", "--cluster", cluster)
    return project


def test_tasks_start_with_what_the_probe_measured(tmp_path: Path) -> None:
    """Each shape once, really out of memory above its micro-batch: every task then finishes in its first attempt."""
    project = planned(tmp_path)
    said = project.hpc("submit", "tiny", "--probe", "--dry-run")
    assert "would first probe: 2 shapes to measure (W1_S1, W2_S1), each for 30 minutes at most" in said
    assert project.json("submit", "tiny", "--probe", "--dry-run")["would_probe"] == ["W1_S1", "W2_S1"]
    assert not (project.runs / "tiny/probes").exists()

    told = project.hpc("submit", "tiny", "--probe")

    assert "probe of W1_S1: micro-batch 32 fits, 64 does not" in told
    assert "probe of W2_S1: micro-batch 16 fits, 64 does not" in told
    shapes = load(project.runs / "tiny/learned.json")["shapes"].values()
    assert {
        each["parameters"]["width"]: (each["fits"]["micro"], each["fails"]["micro"], each["fits"]["where"])
        for each in shapes
    } == {1: (32, 64, "probe 001 (W1_S1/attempt-2)"), 2: (16, 32, "probe 001 (W2_S1/attempt-3)")}
    for width, micro in ((1, 32), (2, 16)):
        for seed in (1, 2):
            record = load(project.attempt(f"W{width}_S{seed}") / "task.json")
            assert (record["micro_batch"], record["accumulation"]) == (micro, 64 // micro)
            assert "probe 001" in record["changes"][0]
    assert project.json("collect", "tiny")["outcomes"]["finished"] == 4
    assert {len(task["attempts"]) for task in project.verdicts().values()} == {1}

    tried = project.runs / "tiny/probes/001/tries/W1_S1"
    assert [each["result"] for each in load(tried / "exit.json")["tries"]] == ["out_of_memory", "fits"]
    assert not (tried / "attempt-2/checkpoints").exists()
    assert 2 <= steps_logged(AttemptLayout(tried / "attempt-2")) < 25, "it is stopped once it trains"
    began = min(load(path)["started"] for path in project.runs.glob("tiny/tasks/*/attempt-1/task.json"))
    assert began > load(tried / "exit.json")["ended"] - 0.5, "nothing runs beside a probe"
    assert "probe 001: W2_S1: micro-batch 16 fits, 64 does not" in project.hpc("status", "tiny")
    assert "everything is queued, running or done" in project.hpc("submit", "tiny", "--probe", expect=3)


def test_a_probe_that_fails_over_something_else_holds_nobody_up(tmp_path: Path) -> None:
    """A bug is no matter of memory: the probe says so in its record, learns nothing; the tasks start as declared."""
    project = planned(tmp_path, EXPERIMENT.replace("[1, 2]}", "[1]}"), "print(undefined)\n")
    told = project.hpc("submit", "tiny", "--probe", expect=1)

    assert "probe of W1_S1: no size was found that fits; tasks start as declared: code_bug: NameError" in told
    assert not (project.runs / "tiny/learned.json").exists()
    (only,) = load(project.runs / "tiny/probes/001/tries/W1_S1/exit.json")["tries"]
    assert (only["result"], only["fits"], only["micro"]) == ("failed", None, 64)
    assert load(project.attempt("W1_S2") / "task.json")["micro_batch"] == 64


def test_without_a_batch_there_is_nothing_to_measure(tmp_path: Path) -> None:
    """It says what to declare; nothing is submitted."""
    project = make_project(tmp_path / "project")
    project.hpc("plan", "tiny", "--cluster", "local")

    assert "declare batch: {global" in project.hpc("submit", "tiny", "--probe", expect=2)
    assert not list(project.runs.glob("tiny/submissions/*/receipt.json"))


def clients(project: LocalProject, **scripts: str) -> dict[str, str]:
    """Pretend Slurm's clients, which note how they are called; return the environment that finds them."""
    folder = project.folder / "bin"
    folder.mkdir(exist_ok=True)
    for name in ("sbatch", "squeue", "sacct", "scontrol", "sacctmgr"):
        path = folder / name
        path.write_text(f'#!/bin/sh\necho "$@" >> {project.folder}/{name}.calls\n{scripts.get(name, "exit 0")}\n')
        path.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


COUNTS = 'case "$*" in *--test-only*) exit 0;; *) grep -cv test-only {folder}/sbatch.calls;; esac'


def test_on_slurm_the_array_waits_for_the_probe_however_it_ends(tmp_path: Path) -> None:
    """Two jobs: an element for each shape, named apart from the tasks, and the tasks behind it with afterany."""
    project = make_project(tmp_path / "project", EXPERIMENT.replace("[1, 2]}", "[1, 2, 3]}", 1))
    slurm = clients(project, sbatch=COUNTS.format(folder=project.folder))
    project.hpc("plan", "tiny", "--cluster", "slurm", **slurm)
    answer = project.json("submit", "tiny", "--probe", **slurm)

    assert (answer["probes"], answer["jobs"]) == ({"1": "1"}, {"1": "2"})
    calls = [line for line in (project.folder / "sbatch.calls").read_text().splitlines() if "--test-only" not in line]
    probe, array = calls
    assert probe == f"--parsable {project.runs}/tiny/probes/001/array.sbatch"
    assert array == f"--parsable --dependency=afterany:1 {project.runs}/tiny/submissions/001/array.sbatch"
    script = (project.runs / "tiny/probes/001/array.sbatch").read_text()
    assert "#SBATCH --job-name=tiny.probe\n" in script
    assert "#SBATCH --array=0-2\n" in script
    assert "-m hpc.node.probe" in script
    assert "/probe-001\n" in script
    assert "probe 001: W3_S1: not started" in project.hpc("status", "tiny", **slurm)


def test_a_probe_at_work_is_waited_for_and_not_submitted_again(tmp_path: Path) -> None:
    """Slurm refused the tasks after it took the probe: the same command submits them behind the probe there is."""
    project = make_project(tmp_path / "project", EXPERIMENT)
    refuses = "case \"$*\" in *afterany*) echo 'sbatch: error: invalid qos' >&2; exit 1;; *) echo 7;; esac"
    slurm = clients(project, sbatch=refuses)
    project.hpc("plan", "tiny", "--cluster", "slurm", **slurm)
    project.hpc("submit", "tiny", "--probe", expect=1, **slurm)
    running = "case \"$*\" in *name=tiny.probe*) echo '7_0|8|RUNNING|None|n1|x/probe-001';; esac"
    clients(project, sbatch="echo 9", squeue=running)
    answer = project.json("submit", "tiny", "--probe", **slurm)

    assert (answer["probes"], answer["jobs"]) == ({}, {"1": "9"})
    assert "--dependency=afterany:7 " in (project.folder / "sbatch.calls").read_text().splitlines()[-1]


# the node's part


@pytest.mark.parametrize(
    ("code", "log", "received", "stopped", "expected"),
    [
        (0, "", (), False, Result.FITS),
        (85, "", (), True, Result.FITS),
        (1, "MemoryError\n", (), False, Result.OUT_OF_MEMORY),
        (1, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n", (), False, Result.OUT_OF_MEMORY),
        (1, "NameError: name 'x' is not defined\n", (), False, Result.FAILED),
        (85, "", ("USR1",), False, Result.NO_TIME),
        (1, "", ("TERM",), False, Result.NO_TIME),
    ],
)
def test_what_a_try_shows(
    code: int, log: str, received: tuple[str, ...], stopped: bool, expected: Result, tmp_path: Path
) -> None:
    """Stopped while it trained, or exit 0: it fits. Else the log decides, and a signal from outside is no answer."""
    attempt = AttemptLayout(tmp_path)
    attempt.stderr.write_text(
        f'Traceback (most recent call last):\n  File "p.py", line 1, in <module>\n{log}' * bool(log)
    )

    record, ended = (
        task_record(resources=Resources(memory_mib=300)),
        exit_record(exit_code=code, signals_received=received),
    )
    result, said = judge(record, ended, attempt, stopped=stopped)

    assert result is expected
    assert bool(said) == (result is not Result.FITS)


def test_a_program_that_shrinks_by_itself_fits_with_what_it_shrank_to(tmp_path: Path) -> None:
    """`adjustments.json` of our own workloads tells the micro-batch in use; without it, it is the one asked for."""
    assert micro_in_use(AttemptLayout(tmp_path), 64) == 64
    changes = [
        {"step": step, "old_micro_batch": 2 * new, "new_micro_batch": new, "new_accumulation": 64 // new}
        for step, new in ((3, 32), (9, 16))
    ]
    (tmp_path / "adjustments.json").write_text(json.dumps({"adjustments": changes}))
    assert micro_in_use(AttemptLayout(tmp_path), 64) == 16
    for other in ("[]", '{"adjustments": []}', '{"adjustments": [{"new_micro_batch": null}]}', "{"):
        (tmp_path / "adjustments.json").write_text(other)
        assert micro_in_use(AttemptLayout(tmp_path), 64) == 64


def test_a_probe_that_slurm_starts_again_takes_its_folder_over(tmp_path: Path) -> None:
    """Its folder is never seen without the record of who is at work; nothing temporary stays."""
    for _ in range(2):
        own = _begin(tmp_path / "W1_S1", "W1_S1")
        assert load(own.task_json)["pid"] == proc.identity(os.getpid())
    assert [path.name for path in tmp_path.iterdir()] == ["W1_S1"]


def tried(micro: int, result: Result, fits: int | None = None, said: str = "") -> Try:
    return Try(1, micro, 1, result, 1.0, fits, said)


@pytest.mark.parametrize(
    ("tries", "expected"),
    [
        ([tried(64, Result.FITS, 64)], "micro-batch 64 fits"),
        ([tried(64, Result.OUT_OF_MEMORY), tried(32, Result.FITS, 32)], "micro-batch 32 fits, 64 does not"),
        ([tried(64, Result.FITS, 16)], "micro-batch 16 fits, 64 does not"),
        ([tried(2, Result.OUT_OF_MEMORY), tried(1, Result.OUT_OF_MEMORY)], "not even micro-batch 1 fits"),
        ([tried(8, Result.FAILED, said="code_bug: x")], "tasks start as declared: code_bug: x"),
        ([tried(8, Result.OUT_OF_MEMORY), tried(4, Result.NO_TIME, said="over")], "tasks start with less than 8: over"),
    ],
)
def test_the_conclusion_names_what_fits_and_what_does_not(tries: list[Try], expected: str) -> None:
    """One sentence for the log, the record and the terminal."""
    assert expected in conclusion(tries)


def test_the_probe_loads_the_standard_library_only() -> None:
    """It starts on nodes where nothing may be installed, as the wrapper does."""
    import sys

    from tests.test_layers import loaded_by, own

    foreign = {
        name
        for name in loaded_by("hpc.node.probe") - loaded_by("sys")
        if name.split(".")[0] not in sys.stdlib_module_names and not own(name)
    }
    assert foreign == set()
