"""`hpc.shell`: where a run ran, in a copy: what is done there is done as there, and changes nothing of the run."""

import json
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.adapters.files import read_record
from hpc.core.layout import RunLayout
from hpc.core.records.index import Image
from hpc.core.records.task import TaskRecord
from hpc.housekeeping import inside
from hpc.housekeeping.inside import _Moved, as_shell_line, prepare, step_options, through_srun
from tests.fake_slurm import make_slurm_project
from tests.local_projects import LocalProject, command_environment, copy_project

TOKEN = "hf_" + "a1B2c3" * 7


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where copies are made; the program finds its ``go`` four folders above its own."""
    folder = tmp_path / "a/b/c/d"
    folder.mkdir(parents=True)
    (tmp_path / "a/go").touch()
    return folder


def state(project: LocalProject) -> dict[Path, object]:
    """All that is below the runs: contents, times and permissions."""
    found = ((path, path.lstat()) for path in project.runs.rglob("*"))
    return {
        path: (stat.st_mode, stat.st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path, stat in found
        if not path.name.startswith(".")
    }


def test_the_program_fails_there_as_it_failed(project, scratch):
    """Its line is repeated in the copy: the same words, the same exit code, and what it writes is the copy's."""
    before = state(project)
    again = 'pwd; ls; eval "$HPC_COMMAND"'
    told = project.hpc("shell", "tiny", "X2", "--", "sh", "-c", again, expect=1, TMPDIR=str(scratch))
    assert "it was started with: python3 program.py 2 1" in told
    assert "begins 2" in told
    assert "no such thing" in told
    (copy,) = scratch.iterdir()
    assert f"{copy}/attempt-1/work\n" in told
    assert {"program.py", "scratch.bin"} <= set(told.split())
    assert sorted(path.name for path in (copy / "attempt-1/checkpoints").iterdir()) == ["step_1", "step_2"]
    assert f"the copy stays: rm -r {copy}" in told
    assert state(project) == before


def test_variables_and_arguments_are_those_of_the_run_but_for_the_folder(project, scratch):
    """What the record says, with the copy in the place of the attempt; what other attempts left stays where it is."""
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    told = project.hpc("shell", "tiny", "X1", "--", "python3", "-c", program, TMPDIR=str(scratch))
    seen = json.loads(next(line for line in told.splitlines() if line.startswith("{")))
    record = read_record(project.attempt("X1") / "task.json", TaskRecord)
    (copy,) = scratch.iterdir()
    for name, value in record.environment.items():
        wanted = value.replace(str(project.attempt("X1")), f"{copy}/attempt-1").replace(
            str(project.attempt("X1").parent), str(copy)
        )
        assert seen[name].startswith(wanted) if name == "PYTHONPATH" else seen[name] == wanted, name
    assert seen["HPC_COMMAND"] == "python3 program.py 1 1"


def test_the_printed_line_works_when_pasted(project, scratch):
    """`--print` starts nothing; the line does what the command would have done, from any folder."""
    words = ("sh", "-c", 'echo "$HPC_RUN_NAME" in; pwd')
    done = project.call("-m", "hpc.shell", "tiny", "X2", "--print", "--", *words, TMPDIR=str(scratch))
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    pasted = subprocess.run(
        ["bash", "-c", line], cwd="/", env=command_environment(), capture_output=True, text=True, check=True
    )
    (copy,) = scratch.iterdir()
    assert pasted.stdout == f"X2 in\n{copy}/attempt-1/work\n"


def test_of_runs_that_were_moved_the_copy_is_the_same(project, tmp_path, scratch):
    """Copied or restored elsewhere: the code is found there, and nothing leads back to where they were made."""
    mine = copy_project(project.folder, tmp_path / "moved")
    shown = 'pwd; env; python3 -c "import program" 2>&1 | tail -1'
    told = mine.hpc("shell", "tiny", "X2", "--", "sh", "-c", shown, TMPDIR=str(scratch))
    (copy,) = scratch.iterdir()
    assert f"{copy}/attempt-1/work\n" in told
    assert f"rm -r {copy}\n" in told
    assert str(project.runs) not in told
    assert str(mine.runs / "tiny/toolkit") in told


def test_what_cannot_be_is_said(project):
    """A shell without a terminal, a run that there is not, srun for a run of this machine."""
    assert "a shell needs a terminal" in project.hpc("shell", "tiny", "X1", expect=2)
    assert "did you mean 'X2'?" in project.hpc("shell", "tiny", "X22", "--print", expect=2)
    assert "leave out --srun" in project.hpc("shell", "tiny", "X1", "--srun", "--print", expect=2)


def test_in_a_container_the_run_is_read_only_and_no_secret_is_printed(project, scratch, monkeypatch):
    """The image and binds of the run; its folder is closed, the copy open; a key goes by its variable's name."""
    attempt = RunLayout(project.runs, "tiny").task("X1").attempt(1)
    image = Image(
        "apptainer", "/images/train.sif", "0" * 64, ("/data:/data:ro",), mounts=((str(attempt.home.parent), False),)
    )
    record = replace(read_record(attempt.task_json, TaskRecord), image=image, gpus=1)
    monkeypatch.setattr(inside, "read_attempt", lambda _: record)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    host = {"PATH": "/bin", "WANDB_API_KEY": "0" * 40, "NCCL_DEBUG": TOKEN}
    found = prepare(RunLayout(project.runs, "tiny"), attempt, scratch / "copy", (), host)
    mounts = [found.line[n + 1] for n, word in enumerate(found.line) if word == "--mount"]
    assert [mount.endswith(",ro") for mount in mounts] == [True, False]
    assert str(scratch / "copy") in mounts[1]
    assert {"--nv", "/data:/data:ro", "/images/train.sif"} <= set(found.line)
    assert found.environment["APPTAINERENV_WANDB_API_KEY"] == "0" * 40
    line = as_shell_line(found, found.line)
    assert 'APPTAINERENV_WANDB_API_KEY="$WANDB_API_KEY"' in line
    assert "0" * 40 not in line
    assert TOKEN not in line
    assert shlex.split(line)[-3:-1] == ["sh", "-c"]


def test_srun_is_given_what_the_task_was_given(tmp_path, monkeypatch):
    """Time, memory, cores, GPUs, partition, account of its array; nothing that makes an array or a batch job."""
    profile = "partition: gpu\naccount: abc\n"
    project = make_slurm_project(tmp_path / "project", monkeypatch, profile=profile)
    script = project.runs / "tiny/submissions/001/array.sbatch"
    options = step_options(script.read_text())
    assert {"--partition=gpu", "--account=abc", "--cpus-per-task=1"} <= set(options)
    assert any(each.startswith("--time=") for each in options)
    assert any(each.startswith("--mem") for each in options)
    assert [
        each for each in options if each.startswith(("--array", "--output", "--signal", "--comment", "--requeue"))
    ] == []
    record = TaskRecord("0" * 12, "X1", 1, 1, "7_0", 0, "slurm", 0.0, *_parts(project))
    line = through_srun(("sh", "-i"), record, script, interactive=True)
    assert (line[0], line[-3:]) == ("srun", ("--pty", "sh", "-i"))
    pyxis = replace(record, image=Image("apptainer", "x.sqsh", "", runtime="pyxis"))
    step = (
        "/bin/srun",
        "--nodes=1",
        "--ntasks=1",
        "--cpus-per-task=1",
        "--overlap",
        "--mem=0",
        "--container-image=x.sqsh",
        "sh",
    )
    assert through_srun(step, pyxis, script, interactive=False)[-2:] == ("--container-image=x.sqsh", "sh")
    assert "--overlap" not in through_srun(step, pyxis, script, interactive=False)


def _parts(project: LocalProject) -> tuple[object, object]:
    from hpc.adapters.manifest_store import load_index

    index = load_index(RunLayout(project.runs, "tiny").submission(1))
    return index.resources, index.code


paths = st.lists(
    st.sampled_from(["/r/t/X1", "/r/t/X1/attempt-1", "/r/t/X1/attempt-12", "/r/t/X10", "/x", ":", "=", " ", "a"])
).map("".join)


@given(paths)
def test_only_the_attempt_and_the_tasks_own_folder_are_renamed(text):
    """Other attempts, other runs and longer names stay; nothing of the copied attempt is left in a text."""
    moved = _Moved("/r/t/X1/attempt-1", "/c/attempt-1", "/r/t/X1", "/c")(text)
    for kept in ("/r/t/X10", "/r/t/X1/attempt-12"):
        assert moved.count(kept) == text.count(kept)
    whole = r"(?![\w.=+,@-])"
    assert not re.search(r"/r/t/X1/attempt-1" + whole, moved)
    assert not re.search(r"/r/t/X1(?!/attempt-)" + whole, moved)
