"""`hpc.logs`: what a task printed, followed through its attempts, and a pattern over all runs."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc import logs
from hpc.console import EXIT_UNREAD
from hpc.core.experiment.spec import Task
from hpc.core.layout import RunLayout
from hpc.housekeeping import printed
from hpc.housekeeping.printed import IDLE_S, LOOK_S, Follower, printed_of, with_pauses
from hpc.snapshots.snapshot import Seen
from hpc.snapshots.states import AttemptState, Progress, TaskState
from tests.local_projects import EXPERIMENT, command_environment, copy_project, make_project


def test_one_stream_is_the_file_and_both_are_told_apart(project):
    """`--stdout` gives the bytes of the file, as a pipe takes them; without, each log has a heading."""
    out = (project.attempt("X1") / "stdout.log").read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "hpc.logs", "tiny", "X1", "--stdout"],
        cwd=project.folder, env=command_environment(), capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout == out
    both = project.hpc("logs", "tiny", "X1")
    assert both.index("==> X1 attempt 1 stdout <==") < both.index("begins 1") < both.index("attempt 1 stderr <==")
    assert both.index("attempt 1 stderr <==") < both.index("warning: of 1")
    assert project.hpc("logs", "tiny", "X1", "--stderr").strip() == "warning: of 1"
    assert project.hpc("logs", "tiny", "X1", "--stdout", "--tail", "1").strip() == "loss: 0.5"


RANKS = """
import os, sys
print("out of rank", os.environ["RANK"], sys.argv[2:])
print("err of rank", os.environ["RANK"], file=sys.stderr)
if os.environ["RANK"] == "0":
    print("loss: 1")
"""


@pytest.mark.parametrize("apart", [False, True])
def test_one_rank_is_shown_alone_where_ranks_print_apart(tmp_path, apart):
    """With `launch.rank_logs` its own two logs; without, stdout alone is its own, because the numbers stand there.

    A note says which log the ranks of its node share.
    """
    project = make_project(tmp_path / "project")
    project.write_program(RANKS)
    command = EXPERIMENT.replace("{x} {seed}", "{x} 'a  b' {seed}")
    project.write_experiment(command + f"launch: {{processes: 3, rank_logs: {str(apart).lower()}}}\n")
    project.hpc("plan", "tiny", "--cluster", "local")
    project.call("-m", "hpc.run_task", str(project.runs / "tiny/submissions/001/index.json"), "0")
    assert json.loads((project.attempt("X1") / "exit.json").read_text())["exit_code"] == 0
    told = project.call("-m", "hpc.logs", "tiny", "X1", "--rank", "2")
    assert ("out of rank 2" in told.stdout, "out of rank 1" in told.stdout) == (True, False)
    assert ("err of rank 2" in told.stdout, "err of rank 1" in told.stdout) == (True, not apart)
    assert "out of rank 2 ['a  b', '1']" in told.stdout
    assert ("the ranks of a node share stderr.log" in told.stderr) is not apart
    every = project.hpc("logs", "tiny", "X1")
    assert all(f"{stream} of rank {rank}" in every for stream in ("out", "err") for rank in range(3))


def test_ranks_whose_output_nobody_reads_share_both_logs(tmp_path):
    """The numbers stand in a file: nothing is kept apart, and the note says one log."""
    project = make_project(tmp_path / "project")
    project.write_program(RANKS.replace('print("loss: 1")', 'open("m.json", "w").write(\'{"loss": 1}\')'))
    source = EXPERIMENT.replace("{stdout: 'loss: (?P<loss>\\S+)'}", "{json_file: m.json}")
    assert source != EXPERIMENT
    project.write_experiment(source + "launch: {processes: 2}\n")
    project.hpc("plan", "tiny", "--cluster", "local")
    project.call("-m", "hpc.run_task", str(project.runs / "tiny/submissions/001/index.json"), "0")
    assert not list(project.attempt("X1").glob("*.rank*"))
    told = project.call("-m", "hpc.logs", "tiny", "X1", "--rank", "1")
    assert "out of rank 0" in told.stdout
    assert "the ranks of a node share one log" in told.stderr


def test_a_terminal_gets_no_escape_sequence(project):
    """What would colour it, or write into its clipboard, is taken out; the words stay."""
    script = Path(shutil.which("script") or "/usr/bin/script")
    command = f"{sys.executable} -m hpc.logs tiny X1 --stdout"
    done = subprocess.run(
        [script, "-qec", command, "/dev/null"], cwd=project.folder, env=command_environment(), capture_output=True,
        stdin=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    assert b"red end" in done.stdout
    assert b"\x1b" not in done.stdout


def test_without_a_task_it_is_the_one_that_failed(project):
    """Nothing runs: the newest failed one is shown, and named."""
    told = project.hpc("logs", "tiny")
    assert "tiny: X2, the newest that failed" in told
    assert "no such thing" in told


def test_what_is_not_there_is_said_with_what_is(project):
    """A run, an attempt and a rank that there are not; contradictions, all at once."""
    assert "did you mean 'X2'?" in project.hpc("logs", "tiny", "X22", expect=2)
    assert "X1 has no attempt 7; there are 1" in project.hpc("logs", "tiny", "X1", "--attempt", "7", expect=2)
    assert "X1 has rank 0 alone" in project.hpc("logs", "tiny", "X1", "--rank", "3", expect=2)
    told = project.hpc("logs", "tiny", "-f", "--grep", "a", "--json", expect=2)
    assert "use only one of them" in told
    assert "leave out --follow" in told
    assert "is not a valid pattern" in project.hpc("logs", "tiny", "--grep", "a(", expect=2)


def test_grep_names_run_and_line_and_counts(project):
    """Each line with its run, attempt, log and number; how many a run on stderr; exit 1 where none matches."""
    told = project.hpc("logs", "tiny", "--grep", "begins|no such")
    assert "X1/attempt-1/stdout.log:1: begins 1" in told
    assert "X2/attempt-1/stderr.log:" in told
    assert "in 2 of 2 runs: X2 2, X1 1" in told
    assert "X1" not in project.hpc("logs", "tiny", "X2", "--grep", "begins")
    answer = project.json("logs", "tiny", "--grep", "warning: of", "--stderr")
    assert answer["counts"] == {"X1": 1, "X2": 1}
    assert answer["matches"][0]["text"] == "warning: of 1"
    assert "no line of 2 runs matches 'nowhere'" in project.hpc("logs", "tiny", "--grep", "nowhere", expect=1)


def test_where_no_attempt_began_the_wrapper_speaks(project, tmp_path):
    """A setup line that failed, a node without the file system: what Slurm and the wrapper printed is shown."""
    mine = copy_project(project.folder, tmp_path / "project")
    (wrapper,) = mine.runs.glob("tiny/submissions/*/logs/*_1.log")
    wrapper.write_text("hpc: setup failed with 1 at: module load nothing\n")
    shutil.rmtree(mine.runs / "tiny/tasks/X2")
    told = mine.hpc("logs", "tiny", "X2")
    assert "setup failed with 1 at: module load nothing" in told
    assert "no attempt has begun" in told


def test_what_the_loop_leaves_alone_is_over(monkeypatch):
    """A failed task that is followed unattended ends only once the loop has declined that very attempt."""
    layout = RunLayout(Path("/nowhere"), "tiny")
    attempt = AttemptState(2, 1, "", Progress.OVER, layout.task("X1").attempt(2), None, None, None)
    state = TaskState(Task("0" * 12, "X1", {}, 1, None), (attempt,))
    for number, action, is_over in ((2, "declined", True), (1, "declined", False), (2, "retry", False)):
        entry = {"attempts": [{"attempt": number}], "decision": {"action": action}}
        monkeypatch.setattr(logs, "read_entries", lambda _, entry=entry: {"0" * 12: entry})
        assert logs.is_left_alone(layout, state) is is_over
    monkeypatch.setattr(logs, "read_entries", lambda _: {})
    assert not logs.is_left_alone(layout, state)


def test_json_has_the_lines(project):
    """One value with the lines of each log, the last ones where a number is given."""
    answer = project.json("logs", "tiny", "X1", "--tail", "1")
    assert (answer["run"], answer["attempt"]) == ("X1", 1)
    assert [each["lines"] for each in answer["logs"]] == [["loss: 0.5"], ["warning: of 1"]]


def test_a_reader_who_leaves_is_no_error(project):
    """`| head -1` ends it without a word."""
    command = f"{sys.executable} -m hpc.logs tiny X1 | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=project.folder, env=command_environment(), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("==> X1 attempt 1 stdout <==\n", "")
    assert done.returncode in (0, EXIT_UNREAD)


# following


def test_a_task_is_followed_to_its_end(ran):
    """From before it begins until it is over: every line once, and the exit code is its outcome's."""
    assert {run: each.code for run, each in ran.followed.items()} == {"X1": 0, "X2": 1}
    for run, each in ran.followed.items():
        (out, err) = (ran.project.attempt(run) / f"{name}.log" for name in ("stdout", "stderr"))
        shown = [line for line in each.out.splitlines() if not line.startswith("==> ")]
        assert sorted(shown) == sorted((out.read_text() + err.read_text()).splitlines())
    assert "X1: finished" in ran.followed["X1"].err
    assert "X2: failed; python -m hpc.why X2" in ran.followed["X2"].err
    told = ran.project.hpc("logs", "tiny", "X2", "-f", expect=1)  # of what is over there is only to show
    assert "no such thing" in told


class World:
    """A task's folder that changes at each look, and what Slurm would say of it."""

    def __init__(self, root: Path) -> None:
        self.layout = RunLayout(root, "tiny")
        self.task = Task("0" * 12, "X1", {}, 1, None)
        self.printed = dict[tuple[int, str], str]()
        self.number, self.is_over, self.is_gone = 0, False, False

    def home(self) -> Path:
        return self.layout.task("X1").attempt(self.number).home

    def begin(self) -> None:
        """An attempt begins; the one before has ended."""
        if self.number and self.home().exists():
            (self.home() / "exit.json").touch()
        self.number += 1
        self.home().mkdir(parents=True)

    def write(self, stream: str, text: str) -> None:
        """The program prints a line."""
        if self.number and self.home().exists():
            with (self.home() / f"{stream}.log").open("a") as file:
                file.write(text + "\n")
            key = self.number, stream
            self.printed[key] = self.printed.get(key, "") + text + "\n"

    def remove(self) -> None:
        """Somebody removes the folder of the attempt."""
        if self.number:
            shutil.rmtree(self.home(), ignore_errors=True)

    def look(self, *_: object, **__: object) -> Seen:
        """What `look_at` would say."""
        progress = Progress.OVER if self.is_over else Progress.RUNNING
        attempt = self.layout.task("X1").attempt(max(self.number, 1))
        state = AttemptState(self.number, 1, "", progress, attempt, None, None, None)
        return Seen((TaskState(self.task, (state,)),), 0.0, "", ())


acts = st.lists(
    st.one_of(
        st.just(("begin", "")), st.tuples(st.sampled_from(["stdout", "stderr"]), st.text("abc", max_size=3)),
        st.just(("look", "")),
    ),
    max_size=14,
)  # fmt: skip


@settings(max_examples=60)
@given(acts)
def test_nothing_is_lost_on_the_way_through_the_attempts(tmp_path_factory, history):
    """Whatever begins, prints and ends between two looks: every byte of every attempt that was met comes once."""
    world, told = World(tmp_path_factory.mktemp("world")), dict[tuple[int, str], str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(printed, "look_at", world.look)
        patch.setattr(printed, "ASK_S", -1.0)
        pieces = Follower(world.layout, world.task, printed_of, lambda _: True).pieces()
        first = None
        for what, text in [*history, ("end", "")]:
            if what == "begin":
                world.begin()
            elif what in ("stdout", "stderr"):
                world.write(what, text)
            world.is_over = what == "end"
            if what in ("look", "end"):
                first = first or world.number
                take(pieces, told, to_the_end=what == "end")
    assert told == {key: text for key, text in world.printed.items() if key[0] >= (first or 0)}


def take(pieces: Iterator[printed.Piece | None], told: dict[tuple[int, str], str], *, to_the_end: bool) -> None:
    """Take what comes until it waits, or ends."""
    for piece in pieces:
        if piece is None and not to_the_end:
            return
        if piece is not None:
            key = piece.source.attempt, piece.source.stream
            told[key] = told.get(key, "") + piece.data.decode()


def test_a_folder_that_is_removed_ends_nothing_by_itself(tmp_path, monkeypatch):
    """What it still held is read; the next attempt is followed as ever."""
    world, told = World(tmp_path), dict[tuple[int, str], str]()
    monkeypatch.setattr(printed, "look_at", world.look)
    pieces = Follower(world.layout, world.task, printed_of, lambda _: True).pieces()
    world.begin()
    world.write("stdout", "a")
    take(pieces, told, to_the_end=False)
    world.write("stdout", "b")
    world.remove()
    take(pieces, told, to_the_end=False)
    world.begin()
    world.write("stdout", "c")
    world.is_over = True
    (world.home() / "exit.json").touch()
    take(pieces, told, to_the_end=True)
    assert told == {(1, "stdout"): "a\nb\n", (2, "stdout"): "c\n"}


def test_it_waits_between_looks_and_longer_the_longer_nothing_comes():
    """No look follows another at once where nothing came."""
    waits: list[float] = []
    source = printed.Printed("X1", 1, "stdout", 0, Path("x"))
    piece = printed.Piece(source, b"x")
    assert list(with_pauses(iter([None, None, None, None, None, piece, None]), waits.append)) == [piece]
    assert waits == [0.25, 0.5, 1.0, IDLE_S, IDLE_S, LOOK_S]


@pytest.mark.parametrize("words", [("X2",), ("tiny/X2",), ("tiny", "X2")])
def test_a_run_alone_is_one_of_the_experiment_planned_last(project, words):
    """As `hpc why` and `hpc reproduce` take it; what is neither run nor experiment is refused."""
    assert "==> X2 attempt 1 stdout <==" in project.hpc("logs", *words)
    assert "no runs of 'X9'" in project.hpc("logs", "X9", expect=2)
