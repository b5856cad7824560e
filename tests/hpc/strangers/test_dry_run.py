"""`plan --dry-run`: every job as it would be, what Slurm says of it, and nothing written anywhere."""

import json
from pathlib import Path
from typing import Any

import pytest

from hpc.adapters.images import name_of_pin, pin_image
from tests.hpc.strangers.repository import Repository

ACCEPTS = 'cat > "$SAW"; echo "sbatch: Job 7 to start at 2026-11-29T04:30:00 using 2 processors" >&2'


def pretend_sbatch(repository: Repository, answer: str) -> Path:
    """Put an `sbatch` on PATH; return the file in which it may leave what it read."""
    tools, saw = repository.root.parent / "bin", repository.root.parent / "saw"
    tools.mkdir()
    (tools / "sbatch").write_text(f"#!/bin/sh\n{answer}\n")
    (tools / "sbatch").chmod(0o755)
    repository.monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    repository.monkeypatch.setenv("SAW", str(saw))
    return saw


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    """Each file and folder below one, but what `sbatch` left, with when and how it was last changed."""
    found = (path for path in folder.rglob("*") if path.name != "saw")
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in found}


def rehearse(repository: Repository, expect: int = 0, cluster: str = "s") -> dict[str, Any]:
    """Rehearse, and look that nothing was written."""
    before = everything(repository.root.parent)
    told: dict[str, Any] = json.loads(repository.plan("--dry-run", "--json", cluster=cluster, expect=expect))
    assert everything(repository.root.parent) == before
    return told


def test_what_is_shown_is_what_is_written_and_run(repository: Repository) -> None:
    """The script Slurm judged from a pipe is the one planning writes; the command line is the one the node starts."""
    saw = pretend_sbatch(repository, ACCEPTS)
    repository.experiment("command: python t.py --out {out_dir} {attempt_dir} {seed}", sweep="{seeds: [1, 2]}")
    (job,) = rehearse(repository)["jobs"]
    assert saw.read_text() == job["script"]
    assert job["test_only"] == "sbatch: Job 7 to start at 2026-11-29T04:30:00 using 2 processors"
    assert not repository.root.exists()
    repository.plan()
    assert (repository.root / "theirs/submissions/001/array.sbatch").read_text() == job["script"]
    assert [each["submission"] for each in rehearse(repository)["jobs"]] == [1]  # it is there, and unused
    assert repository.on_a_node(position=1) == 0
    assert [each["run_name"] for each in job["tasks"]] == ["S1", "S2"]
    assert repository.record("S2")["argv"] == job["tasks"][1]["argv"]
    assert repository.record("S2")["arguments"] == job["tasks"][1]["arguments"]


def test_people_see_a_line_a_task_and_the_script_once(repository: Repository) -> None:
    """Of a sweep every task stands there as it can be pasted into a shell; two arrays, two scripts."""
    pretend_sbatch(repository, ACCEPTS)
    repository.profile(max_array_size="40")
    sweep = "{grid: {x: [a b, c]}, seeds: [" + ", ".join(map(str, range(30))) + "]}"
    repository.experiment("command: python t.py {x} {seed}", sweep=sweep, run_name="'{seed}'")
    assert "would name both" in repository.plan("--dry-run", expect=2)
    cases = "{cases: [{id: one, x: a b}, {id: two, x: c}], seeds: [" + ", ".join(map(str, range(30))) + "]}"
    repository.experiment("command: python t.py {x} {seed}", sweep=cases, run_name="'{case}_{seed}'")
    told = repository.plan("--dry-run")
    assert told.count("python t.py 'a b' ") == 30
    assert told.count("python t.py c ") == 30
    assert "  39  two_9   python t.py c 9\n" in told
    assert told.count("#SBATCH --array=") == told.count("sbatch --test-only: sbatch: Job 7 to start") == 2
    assert not repository.root.exists()


def test_a_long_job_is_no_flood(repository: Repository) -> None:
    """Of more than 50 tasks the first are shown and the others counted; --json has them all."""
    pretend_sbatch(repository, "echo 'sbatch: Job 7 to start'")
    seeds = ", ".join(map(str, range(60)))
    repository.experiment("command: python t.py {seed}", sweep=f"{{seeds: [{seeds}]}}")
    told = repository.plan("--dry-run")
    assert told.count("python t.py") == 49
    assert "  … and 11 more; --json lists all\n" in told
    (job,) = rehearse(repository)["jobs"]
    assert len(job["tasks"]) == 60


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ("echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1", 1, "invalid partition"),
        ("echo 'sbatch: error: Unable to contact slurm controller' >&2; exit 1", 0, "not checked"),
        ("echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1", 0, "not checked: Slurm takes fewer"),
    ],
)
def test_what_slurm_has_against_it_is_said(repository: Repository, answer: str, code: int, said: str) -> None:
    """A refusal is exit 1 with Slurm's words; an answer that is none is said and no failure."""
    pretend_sbatch(repository, answer)
    repository.experiment()
    told = rehearse(repository, expect=code)
    assert said in told["jobs"][0]["objection"]
    assert [line for line in told["objections"] if line.startswith("submission 001: ") and said in line]


def test_without_slurm_it_says_so(repository: Repository) -> None:
    """This machine's own queue asks nobody."""
    repository.profile("here", scheduler="local")
    repository.experiment()
    (job,) = rehearse(repository, cluster="here")["jobs"]
    assert "without Slurm" in job["test_only"]


def test_bad_input_is_exit_2_as_it_is_of_a_plan(repository: Repository) -> None:
    """A misspelt placeholder, a broken line of the site: nothing is shown as if it would run, nothing is written."""
    repository.experiment("command: python t.py {sed}")
    assert "'seed'" in repository.plan("--dry-run", expect=2)
    repository.experiment()
    repository.profile(setup="['if true']")
    assert "not valid shell" in repository.plan("--dry-run", expect=2)
    assert not repository.root.exists()


def test_kept_runs_of_other_code_are_said_before_anything_is_written(repository: Repository) -> None:
    """A rehearsal says of kept runs what the plan would, and the plan says the same."""
    repository.profile("here", scheduler="local")
    repository.experiment("command: python t.py {seed}", sweep="{seeds: [1]}", run_name="'S{seed}'")
    repository.plan(cluster="here")
    assert repository.on_a_node() == 0
    assert not [line for line in rehearse(repository, cluster="here")["notes"] if "other code" in line]
    repository.write("t.py", "print('loss=5')")
    rehearsed = [line for line in rehearse(repository, cluster="here")["notes"] if "other code" in line]
    assert "changed since: t.py" in rehearsed[0]
    planned = json.loads(repository.plan("--json", cluster="here"))["notes"]
    assert rehearsed == [line for line in planned if "other code" in line]


def test_an_image_gets_no_second_name(tmp_path: Path) -> None:
    """The name its content will give it is told beforehand, and is the one it gets."""
    image = tmp_path / "train.sif"
    image.write_bytes(b"image")
    told = name_of_pin(image, "ab" * 32)
    assert not told.exists()
    assert pin_image(image, "ab" * 32) == told == name_of_pin(image, "ab" * 32)
    assert name_of_pin(image, "") == image
