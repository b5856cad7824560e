"""Every path of a run stays inside the run, and every name can be a folder everywhere."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.layout import RunLayout, attempt_number, name_problem

HOSTILE = ["a'; echo foo", 'a"=0"', "a\nb", "../up", "..", ".", "/etc/passwd", "$(touch x)", "`touch x`", "a b",
           "käse", "-rf",
           "", "a/b", "a\\b", "a\0b", "~root", "a*", "a.", ".hidden", "a|b", "a\u202eb", "ａ", "con:",
           "x" * 121]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused_with_a_reason(name):
    """Quotes, blanks, substitutions, line breaks, parents, other alphabets: each is refused and the reason said."""
    assert name_problem(name)


@pytest.mark.parametrize("name", ["L2_G0.5_S42", "a", "0", "R8_LR1e-05_S1", "x=1,y=2", "a@b", "a+b", "x" * 120, "A..b"])
def test_ordinary_names_are_accepted(name):
    """What parameters usually look like can name a folder."""
    assert name_problem(name) == ""


@given(st.text(max_size=130))
def test_an_accepted_name_is_one_step_below_its_folder(name):
    """Whatever is accepted stays a direct child: no separator, no parent, no blank, nothing a shell would read."""
    if name_problem(name) == "":
        path = PurePosixPath("/runs/tasks") / name
        assert path.parent == PurePosixPath("/runs/tasks")
        assert path.name == name
        assert name.isascii()
        assert not set(name) & set(" '\"`$\\;&|<>*?(){}[]!#~\n\t\0/")


def test_every_path_stays_inside_the_run():
    """No property of the layout leads outside the experiment's folder."""
    run = RunLayout(Path("/scratch"), "lora_sweep")
    task = run.task("R8_S42")
    parts = (run, task, task.attempt(2), run.submission(3))
    paths = [
        value
        for part in parts
        for name in dir(type(part))
        if isinstance(getattr(type(part), name), property) and isinstance(value := getattr(part, name), Path)
    ]

    assert len(paths) > 25
    assert all(path.is_relative_to(run.home) for path in paths)


def test_the_layout_is_the_documented_one():
    """The paths others rely on are where they were promised to be."""
    run = RunLayout(Path("runs"), "e")
    attempt = run.task("R8").attempt(2)

    assert str(run.manifest) == "runs/e/manifest.json"
    assert str(run.submission(1).script) == "runs/e/submissions/001/array.sbatch"
    assert str(run.task("R8").config) == "runs/e/tasks/R8/config.yaml"
    assert str(attempt.exit_json) == "runs/e/tasks/R8/attempt-2/exit.json"
    assert str(run.results) == "runs/e/collected/results.h5"
    assert attempt.number == 2
    assert run.submission(12).number == 12


@given(st.integers(1, 10**6))
def test_attempt_folders_read_back_as_their_number(number):
    """The folder of an attempt gives its number again."""
    assert attempt_number(RunLayout(Path("r"), "e").task("t").attempt(number).home.name) == number


@pytest.mark.parametrize(
    "name", ["attempt-0", "attempt-01", "attempt-", "attempt-1.tmp", "Attempt-1", "attempt-1x", "1"]
)
def test_other_folders_are_no_attempts(name):
    """Leftovers beside the attempts are not taken for one."""
    assert attempt_number(name) is None
