"""Train, then evaluate: each task starts from the finished run that matches it, and from nothing else."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

import hpc.collect
import hpc.follow
import hpc.status
import hpc.submit
from analysis.data.frame import load_frame, repeated_since_collected
from hpc.core.experiment.spec import Task
from hpc.core.failures.breaker import Trip
from hpc.core.layout import RunLayout
from hpc.core.records.index import Element
from hpc.core.slurm.arrays import first_assignment, plan_arrays
from hpc.core.slurm.successors import Course
from hpc.experiments.freezing import frozen_of
from hpc.node import sources as on_the_node
from hpc.submissions.holds import hold
from hpc.submissions.sources import with_sources
from hpc.unattended.blocked import why_blocked
from hpc.unattended.state import State, write_state
from tests.hpc.strangers.repository import Repository

TRAIN = "import sys; open('model.txt', 'w').write(sys.argv[1]); print('loss=' + sys.argv[1])"
EVALUATE = "import sys; print('loss=' + open(sys.argv[1]).read() + '0')"
COMMAND = "command: 'python e.py {run:train}/work/model.txt {x} {how} {seed}'"


@pytest.fixture
def chain(repository: Repository) -> Repository:
    """A repository with two planned experiments; nothing has run."""
    return make_chain(repository, TRAIN)


def make_chain(repository: Repository, train: str) -> Repository:
    """Plan an experiment of this program, and one that evaluates its runs."""
    repository.write("t.py", train)
    repository.write("e.py", EVALUATE)
    repository.profile("here", scheduler="local")
    repository.experiment("command: python t.py {x} {seed}", name="train", sweep="{grid: {x: [1, 2]}, seeds: [1]}",
                          run_name="'X{x}_S{seed}'")  # fmt: skip
    repository.plan(name="train", cluster="here")
    evaluate(repository)
    return repository


def evaluate(repository: Repository, command: str = COMMAND, grid: str = "x: [1, 2], how: [a, b]") -> None:
    """Write the second experiment, and plan it."""
    repository.experiment(command, sweep=f"{{grid: {{{grid}}}, seeds: [1]}}", run_name="'E{x}{how}'")
    repository.plan(cluster="here")


def entry_of(layout: RunLayout, run_name: str) -> Element:
    """The array element that would be submitted for a task now."""
    manifest = json.loads(layout.manifest.read_text())
    frozen = frozen_of(manifest)
    task = next(Task(**each) for each in manifest["tasks"] if each["run_name"] == run_name)
    plan = plan_arrays([first_assignment(frozen.spec, task)], frozen.profile)[0]
    return with_sources(layout, frozen.spec, frozen.index(plan)).entries[0]


def tell(command: object, *words: str, expect: int = 0) -> str:
    """What a command of ours says, in this process."""
    done = CliRunner().invoke(command, ["theirs", *words])  # type: ignore[arg-type]
    assert done.exit_code == expect, done.output
    return done.output


def test_a_task_starts_when_the_run_it_names_has_finished(chain: Repository) -> None:
    """What is missing is named at plan, status and submit; what is ready goes, and reads the file of its own run."""
    missing = "not finished: train/X1_S1 has not begun"
    assert f"4 of 4 tasks wait for other experiments ({missing}" in chain.plan(cluster="here")
    assert "4 wait for other experiments" in tell(hpc.status.main)
    assert f"0 of 4 submitted ({missing}" in tell(hpc.submit.main, expect=75)

    assert chain.on_a_node(name="train", position=1) == 0  # X2
    told = json.loads(tell(hpc.submit.main, "--dry-run", "--json"))
    assert told["would_submit"] == ["E2a", "E2b"]
    assert (told["would_wait"], told["limit"]) == (2, missing)
    shown = json.loads(chain.plan("--dry-run", "--json", cluster="here"))["jobs"][0]["tasks"]
    model = chain.root / "train/tasks/X2_S1/attempt-1"
    assert [each["argv"][2] for each in shown] == [
        *["{run:train}/work/model.txt"] * 2,
        *[f"{model}/work/model.txt"] * 2,
    ]

    assert chain.on_a_node(position=2) == 0
    assert chain.printed("E2a") == ["loss=20"]
    (used,) = chain.record("E2a")["uses"]
    assert (used["experiment"], used["run_name"], used["attempt"]) == ("train", "X2_S1", 1)
    assert used["path"] == str(model)
    assert len(used["digest"]) == 64


def test_by_hand_it_is_not_started_too_early(chain: Repository) -> None:
    """A plain sbatch before the run has finished starts no program; the log says which run is missing."""
    assert chain.on_a_node() == 2
    assert "it needs the run train/X1_S1, which has not begun" in (chain.attempt("E1a") / "stderr.log").read_text()
    assert not (chain.attempt("E1a") / "metrics.h5").exists()
    told = tell(hpc.collect.main, "--retry-failed", expect=75)  # nor is it tried again before
    assert "0 of 1 submitted (not finished: train/X1_S1 has not begun)" in told


def test_what_changed_since_it_was_submitted_is_refused(chain: Repository) -> None:
    """A model that was written over, an attempt more, a folder of other settings: none is taken for the run."""
    assert chain.on_a_node(name="train") == 0
    layout, run = RunLayout(chain.root, "theirs"), chain.root / "train/tasks/X1_S1"
    entry = entry_of(layout, "E1a")
    assert entry.sources[0].digest

    def objections() -> tuple[str, ...]:
        return on_the_node.look_up(entry.sources, layout, layout.task("E1a"), "")[1]

    assert objections() == ()
    model = run / "attempt-1/work/model.txt"
    text = model.read_text()
    model.write_text("9")
    assert objections() == ("the run train/X1_S1 has changed since this task was submitted",)
    before = model.stat().st_mtime_ns
    model.write_text(text)
    os.utime(model, ns=(before, before + 1))
    assert "has changed" in objections()[0]
    (run / "attempt-2").mkdir()
    assert objections() == ("it needs the run train/X1_S1, which is a run of other settings",)
    (run / "attempt-2").rmdir()
    record = run / "attempt-1/task.json"
    record.write_text(record.read_text().replace(entry.sources[0].task_id, "0" * 12))
    assert objections() == ("it needs the run train/X1_S1, which is a run of other settings",)
    ended = run / "attempt-1/exit.json"
    record.write_text(record.read_text().replace("0" * 12, entry.sources[0].task_id))
    ended.write_text(json.dumps({**json.loads(ended.read_text()), "exit_code": 1}))
    assert objections() == ("it needs the run train/X1_S1, which ended with exit code 1 (attempt 1)",)
    assert not entry_of(layout, "E1a").sources[0].digest


def test_a_checkpoint_made_from_another_model_is_not_gone_on_from(chain: Repository) -> None:
    """A task that resumes has to find what its earlier attempt started from."""
    assert chain.on_a_node(name="train") == 0
    assert chain.on_a_node() == 0
    layout = RunLayout(chain.root, "theirs")
    checkpoint = str(chain.attempt("E1a") / "checkpoints/step_1")
    (source,) = entry_of(layout, "E1a").sources
    look = on_the_node.look_up
    assert look((source,), layout, layout.task("E1a"), checkpoint)[1] == ()
    (chain.root / "train/tasks/X1_S1/attempt-1/work/more.txt").write_text("")
    said = look((source,), layout, layout.task("E1a"), checkpoint)[1]
    assert "not what attempt 1, from whose checkpoint it would go on, was made with" in said[-1]


@pytest.mark.parametrize(
    ("command", "grid", "more", "said"),
    [
        ("command: 'python e.py {run:tain} {x} {how} {seed}'", "x: [1], how: [a]", {}, "no runs of 'tain'"),
        ("command: 'python e.py {run:train} {how} {seed}'", "how: [a]", {}, "2 runs of 'train' match"),
        (
            "command: 'python e.py {run:train} {x} {how} {seed}'",
            "x: [1, 3], how: [a]",
            {},
            "no run of 'train' matches E3a",
        ),
        ("command: 'python e.py {run} {x} {how} {seed}'", "x: [1], how: [a]", {}, "there is no value for {run}"),
        (
            "command: 'python e.py {x} {how} {seed}'",
            "x: [1], how: [a]",
            {"after": "theirs"},
            "comes after 'theirs' itself",
        ),
        (
            "command: 'python e.py {x} {how} {seed}'",
            "x: [1], how: [a]",
            {"after": "true"},
            "neither an experiment nor a Slurm job",
        ),
    ],
)
def test_a_chain_that_cannot_be_is_refused_at_plan(
    chain: Repository, command: str, grid: str, more: dict[str, str], said: str
) -> None:
    """A misspelt experiment, no match, several, a circle: exit 2, with what would be valid."""
    run_name = "'E{how}'" if "x:" not in grid else "'E{x}{how}'"
    chain.experiment(command, sweep=f"{{grid: {{{grid}}}, seeds: [1]}}", run_name=run_name, **more)
    assert said in " ".join(chain.plan(cluster="here", expect=2).split())


def test_experiments_that_wait_for_each_other_are_refused(chain: Repository) -> None:
    """However many steps the circle has."""
    chain.experiment("command: python t.py {x} {seed}", name="train", sweep="{grid: {x: [1, 2]}, seeds: [1]}",
                     run_name="'X{x}_S{seed}'", after="theirs")  # fmt: skip
    assert "'theirs' comes after 'train' itself" in chain.plan(name="train", cluster="here", expect=2)
    chain.experiment("command: python e.py {run:alone} {seed}", name="alone")
    assert "'alone' comes after 'alone' itself" in chain.plan(name="alone", cluster="here", expect=2)


def test_after_alone_waits_for_all_that_agree(chain: Repository) -> None:
    """Without a name in the command every run with the same seed and shared values has to be there."""
    chain.experiment(
        "command: python e.py {how} {seed}", name="all", sweep="{grid: {how: [a]}, seeds: [1]}", after="train"
    )
    assert "not finished: train/X1_S1 has not begun; train/X2_S1" in chain.plan(name="all", cluster="here")
    assert Path(chain.root / "all/manifest.json").exists()


@pytest.mark.parametrize(
    ("states", "dependency", "said"),
    [
        ("RUNNING PENDING", "--dependency=afterok:4711", ""),
        ("COMPLETED RUNNING", "--dependency=afterok:4711", ""),
        ("COMPLETED COMPLETED", "", ""),
        ("COMPLETED FAILED", None, "job 4711 ended with FAILED"),
        ("CANCELLED+", None, "job 4711 ended with CANCELLED"),
        ("", None, "Slurm does not know job 4711, or no longer"),
    ],
)
def test_a_slurm_job_is_waited_for_by_a_dependency(
    repository: Repository, states: str, dependency: str | None, said: str
) -> None:
    """A live one is one; one that ended well needs none; a failed or forgotten one submits nothing, and is named."""
    tools, calls = repository.root.parent / "bin", repository.root.parent / "calls"
    tools.mkdir()
    states_lines = f'printf "%s\\n" {states}' if states else ":"
    answers = {
        "sbatch": f'case "$*" in *--test-only*) ;; *) echo "$@" >> {calls}; echo 9 ;; esac',
        "sacct": f'case "$*" in *--jobs=4711*) {states_lines} ;; esac',
        **dict.fromkeys(("squeue", "scontrol", "sacctmgr"), "exit 0"),
    }
    for name, answer in answers.items():
        (tools / name).write_text(f"#!/bin/sh\n{answer}\n")
        (tools / name).chmod(0o755)
    repository.monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    repository.experiment(after="4711")
    assert "once Slurm job 4711 ended with COMPLETED" in repository.plan()
    told = tell(hpc.submit.main, expect=75 if dependency is None else 0)
    assert said in told
    assert calls.exists() is (dependency is not None)
    if dependency is not None:
        (call,) = calls.read_text().splitlines()
        assert [word for word in call.split() if "dependency" in word] == ([dependency] if dependency else [])


def test_an_evaluation_of_a_run_that_was_repeated_since_is_said_to_be_outdated(chain: Repository) -> None:
    """Status, plan, collect and the report's warnings name it until it is run again, which one pasted line does."""
    layout = RunLayout(chain.root, "theirs")
    for name in ("train", "theirs"):
        assert chain.on_a_node(name=name) == 0
    said = "outdated: made from attempt 1 of train/X1_S1, which has an attempt 2 since: E1a"
    line = "python -m hpc.collect theirs --retry-failed --again outdated"
    assert "outdated" not in tell(hpc.status.main) + chain.plan(cluster="here") + tell(hpc.collect.main)
    assert "every finished run of theirs started from what there is now" in tell(
        hpc.collect.main, "--retry-failed", "--again", "outdated", "--dry-run", expect=2
    )

    again = chain.root / "train/tasks/X1_S1/attempt-2"
    again.mkdir()
    assert repeated_since_collected(load_frame(layout)) == ("E1a",)  # the report says to collect first
    for each in (tell(hpc.status.main), chain.plan(cluster="here"), tell(hpc.collect.main)):
        assert said in " ".join(each.split())
        assert line in " ".join(each.split())
    told = json.loads(tell(hpc.status.main, "--json"))["outdated"]
    assert len(told) == 1
    (task,) = [each for each in json.loads(layout.verdicts.read_text())["tasks"] if each["run_name"] == "E1a"]
    assert task["attempts"][-1]["verdict"]["warnings"] == [
        "made from attempt 1 of train/X1_S1, which has an attempt 2 since"
    ]
    assert repeated_since_collected(load_frame(layout)) == ()  # it says so itself
    assert "E1a had a result" in tell(hpc.collect.main, "--retry-failed", "--again", "outdated", "--dry-run")

    again.rmdir()  # what was only touched, or cleaned away, was not repeated
    (chain.root / "train/tasks/X1_S1/attempt-1/work/model.txt").unlink()
    assert "outdated" not in tell(hpc.status.main)


def test_following_ends_when_what_it_waits_for_is_over_and_failed(repository: Repository) -> None:
    """While somebody may still finish the runs it goes on; then it ends at once, and says which and how to go on."""
    chain = make_chain(repository, "raise SystemExit(1)")
    layout, train = RunLayout(chain.root, "theirs"), RunLayout(chain.root, "train")
    frozen = frozen_of(json.loads(layout.manifest.read_text()))
    waiting = [first_assignment(frozen.spec, Task(**each)) for each in json.loads(layout.manifest.read_text())["tasks"]]

    assert why_blocked(layout, frozen, waiting) == ""  # nothing was submitted yet
    assert chain.on_a_node(name="train") == 1
    assert why_blocked(layout, frozen, waiting) == ""  # nor was X2
    said = "not finished: train/X1_S1 ended with exit code 1 (attempt 1)"
    assert why_blocked(layout, frozen, waiting[:2]) == said
    write_state(train, State(Course.GOES_ON, "local", 0.0))
    assert why_blocked(layout, frozen, waiting[:2]) == ""  # its own follower may try it again
    write_state(train, State(Course.ENDED, "local", 0.0))
    hold(train, Trip("the disk is full", "storage/full", "No space left on device", ("X1_S1",)))
    assert why_blocked(layout, frozen, waiting[:2]) == ""  # once it is released it goes on
    train.hold.unlink()

    assert chain.on_a_node(position=1, name="train") == 1
    told = tell(hpc.follow.main, expect=1)
    assert f"the rest can never start: {said}; train/X2_S1 ended" in told
    assert "python -m hpc.follow theirs" in told
    assert f"no longer followed: the rest can never start ({said}" in tell(hpc.status.main)


def test_a_configuration_file_names_runs_too(chain: Repository) -> None:
    """The path stands in each task's own file; the experiment waits as with a name in the command."""
    chain.write("e.py", "import json, sys; print('loss=' + open(json.load(open(sys.argv[1]))['from']).read())")
    content = "{from: '{run:train}/work/model.txt', x: 0, run: {keep: '{run}'}, shape: '{run:03d}'}"
    chain.experiment(
        "command: 'python e.py {config} {seed}'\n  config: {file: c.json, content: " + content + "}",
        sweep="{grid: {x: [1, 2]}, seeds: [1]}", run_name="'E{x}'",
    )  # fmt: skip
    assert "2 of 2 tasks wait for other experiments" in chain.plan(cluster="here")
    assert chain.on_a_node(name="train", position=1) == 0
    number = max(int(path.name) for path in (chain.root / "theirs/submissions").iterdir() if path.name.isdecimal())
    assert chain.on_a_node(number, 1) == 0
    assert chain.printed("E2") == ["loss=2"]
    told = json.loads((chain.attempt("E2") / "work/c.json").read_text())
    assert told["from"] == f"{chain.root}/train/tasks/X2_S1/attempt-1/work/model.txt"
    assert (told["run"], told["shape"]) == ({"keep": "{run}"}, "{run:03d}")
    assert chain.record("E2")["uses"][0]["is_named"]
