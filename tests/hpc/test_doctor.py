"""`hpc doctor` as it is typed: a healthy machine, file systems that are really full or hung, a silent Slurm."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_slurm import make_slurm_project
from tests.hpc.checkup.patients import make_patient
from tests.local_projects import REPO, LocalProject, command_environment, make_project


def severities(answer: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    """Check → severity, of an answer of ``--json``."""
    return {check["name"]: check["severity"] for check in answer["checks"]}


def test_a_healthy_machine_has_nothing_that_blocks(tmp_path: Path) -> None:
    """Exit code 0, with --all a table by subject, else what is not well; what comes next; nothing is left behind."""
    project = make_project(tmp_path)
    short = project.hpc("doctor", "tiny", "--cluster", "local")
    assert "── this machine" not in short or "warning" in short
    assert "\n ok " not in short
    assert short.endswith("next: python -m hpc.plan tiny --cluster local\n")
    told = project.hpc("doctor", "tiny", "--cluster", "local", "--all")
    assert ", 0 blocking" in told
    assert len(told.splitlines()) > 3 * len(short.splitlines())
    for group in ("this machine", "Slurm", "the folder of the runs", "containers", "the experiment"):
        assert f"── {group}" in told
    assert not project.runs.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifests", "program.py"]


def test_json_says_the_same_with_what_mends_it(tmp_path: Path) -> None:
    """One value: each check with group, severity, found, expected and mend; the exit code is the worst of them."""
    project = make_project(tmp_path)
    project.write_experiment(
        (tmp_path / "manifests/experiments/tiny.yaml").read_text() + "tracking: {wandb: {project: p, mode: online}}\n"
    )
    answer = project.json("doctor", "tiny", "--cluster", "local", expect=1, HOME=str(tmp_path), WANDB_API_KEY="")
    (check,) = (each for each in answer["checks"] if each["severity"] == "blocking")
    assert (check["name"], check["group"], check["temporary"]) == ("wandb", "the experiment", False)
    assert check["mend"].startswith("wandb login")
    assert answer["exit_code"] == 1
    assert answer["counts"]["blocking"] == 1
    told = project.hpc("doctor", "tiny", "--cluster", "local", expect=1, HOME=str(tmp_path), WANDB_API_KEY="")
    assert "\n BLOCKING   wandb" in told
    assert told.endswith("next: fix what blocks, then: python -m hpc.doctor tiny --cluster local\n")


def test_checkpoints_that_cannot_be_loaded_are_named(tmp_path: Path) -> None:
    """The newest of each run, an older or unfinished one not; with the line that moves it away, and exit code 1."""
    project = make_project(tmp_path)
    project.hpc("plan", "tiny", "--cluster", "local")
    assert "no run has one" in project.hpc("doctor", "tiny", "--checkpoints", "--all")
    for place, text in (
        ("X1/attempt-1/checkpoints/step-1/state.json", "{"),
        ("X1/attempt-2/checkpoints/step-2/state.json", "{}"),
        ("X1/attempt-2/checkpoints/step-3.tmp/state.json", "{"),
        ("X2/attempt-1/checkpoints/step-9/state.json", '{"cut": '),
    ):
        file = project.runs / "tiny/tasks" / place
        file.parent.mkdir(parents=True)
        file.write_text(text)
    told = project.hpc("doctor", "tiny", "--checkpoints", "--all", expect=1)
    assert "1 checkpoint can be opened" in told
    answer = project.json("doctor", "tiny", "--checkpoints", expect=1)
    (wrong,) = (each for each in answer["checks"] if each["severity"] == "blocking")
    assert wrong["found"].startswith("X2/attempt-1/checkpoints/step-9: state.json is damaged or cut off")
    assert wrong["mend"].startswith("mv ")
    assert "needs an experiment" in project.hpc("doctor", "--checkpoints", expect=2)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("tinny",), "tinny"), (("tiny", "--cluster", "locla"), "locla"), (("--write-profile", "../x"), "../x")],
)
def test_what_is_not_there_is_a_usage_error(tmp_path: Path, arguments: tuple[str, ...], named: str) -> None:
    """An experiment or a profile that is not there, and a name that cannot be one: exit code 2, nothing looked at."""
    told = make_project(tmp_path).hpc("doctor", *arguments, expect=2)
    assert named in told


def test_a_root_that_can_be_none_is_a_usage_error(tmp_path: Path) -> None:
    """A file is no folder of runs: the sentence of every command, and not that it hangs."""
    told = make_project(tmp_path).hpc("doctor", expect=2, HPC_ROOT=str(tmp_path / "program.py"))
    assert "is not a folder" in told


def test_a_silent_controller_is_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses connections, and everything else is well: 75, and the rest was looked at all the same."""
    patient = make_patient(tmp_path, monkeypatch)
    patient.client_fault("scontrol", "echo 'Unable to contact slurm controller (connect failure)' >&2; exit 1")
    project = LocalProject(tmp_path)
    answer = project.json("doctor", "--cluster", "here", "--wait", "30", expect=75)
    found = severities(answer)
    assert found["controller"] == "blocking"
    assert {"python", "flock", "apptainer", "node job"} <= set(found)


SCRIPT = """
set -e
mount -t tmpfs -o size=1m,nr_inodes=60 none "$1"
mount -t tmpfs -o size=1m none /dev/shm
exec "$2" -m hpc.doctor tiny --cluster here --wait 0 --json
"""


def in_mounts(script: str, patient_folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script of mounts that nobody else sees; the test is skipped where this user may make none."""
    if os.geteuid() or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs root: it mounts file systems of its own")
    root = patient_folder / "runs"
    root.mkdir()
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(root), sys.executable]
    return subprocess.run(
        command, cwd=patient_folder, env=command_environment(), capture_output=True, text=True, timeout=120, check=False
    )


def test_a_full_disk_in_memory_is_found(disk_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real mounts: HPC_ROOT on a tmpfs of 1 MiB and 60 files that no node sees, and a tiny /dev/shm."""
    patient = make_patient(disk_path, monkeypatch)
    (patient.site / "hosts").write_text("g001\n")
    done = in_mounts(SCRIPT, disk_path)
    assert done.returncode == 1, done.stderr
    found = severities(json.loads(done.stdout))
    wrong = {name: severity for name, severity in found.items() if severity in ("blocking", "warning")}
    assert wrong == {"space": "blocking", "inodes": "blocking", "shared": "blocking", "shared memory": "warning"}


READ_ONLY = """
set -e
mount -t tmpfs -o ro none "$1"
exec "$2" -m hpc.doctor --cluster here --wait 0 --json
"""


def test_a_root_that_cannot_be_written_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real mount, read-only."""
    make_patient(tmp_path, monkeypatch)
    done = in_mounts(READ_ONLY, tmp_path)
    assert done.returncode == 1, done.stderr
    (check,) = (each for each in json.loads(done.stdout)["checks"] if each["severity"] == "blocking")
    assert check["name"] == "writable"
    assert "EROFS" in check["found"]
    assert check["mend"] == "export HPC_ROOT=$HOME/runs"


HANGS = """
import ctypes, os, subprocess, sys
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
if ctypes.CDLL(None, use_errno=True).mount(b"hung", sys.argv[1].encode(), b"fuse", 0, options):
    sys.exit(99)
code = subprocess.run([sys.executable, "-m", "hpc.doctor", "tiny", "--cluster", "here", "--json"]).returncode
ctypes.CDLL(None).umount2(sys.argv[1].encode(), 1)
sys.exit(code)
"""


def test_a_hung_mount_hangs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real file system that never answers: the check says so, and all that does not need it was looked at."""
    make_patient(tmp_path, monkeypatch)
    if not Path("/dev/fuse").exists():
        pytest.skip("needs /dev/fuse: a file system whose server never answers")
    (tmp_path / "hangs.py").write_text(HANGS)
    done = in_mounts('exec "$2" hangs.py "$1"', tmp_path)
    if done.returncode == 99:
        pytest.skip("the kernel mounts no FUSE here")
    answer = json.loads(done.stdout)
    found = severities(answer)
    assert (done.returncode, found["writable"]) == (1, "blocking")
    assert found["partition"] == "ok"
    assert found["imports"] == "ok"
    assert "flock" not in found


NO_NAMESPACES = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" -c 'from hpc.adapters.this_machine import *; print(userns_problem())'"  # noqa: E501


def test_a_kernel_that_makes_no_user_namespaces_is_told() -> None:
    """Really switched off, inside a namespace of its own."""
    command = ["unshare", "-Ur", "sh", "-c", NO_NAMESPACES, sys.executable]
    done = subprocess.run(command, env=command_environment(), capture_output=True, text=True, cwd=REPO, check=False)
    if done.returncode:
        pytest.skip("this user may make no user namespace to begin with")
    assert done.stdout.strip() == "user.max_user_namespaces is 0"


def test_a_profile_is_shown_and_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--dry-run` writes nothing; what is written is what was shown; a second call refuses."""
    make_patient(tmp_path, monkeypatch, "mig")
    project, target = LocalProject(tmp_path), tmp_path / "manifests/clusters/new.yaml"
    shown = project.json("doctor", "--write-profile", "new", "--dry-run")
    assert not target.exists()
    told = project.hpc("doctor", "--write-profile", "new")
    assert target.read_text() == shown["text"]
    assert "python -m hpc.doctor --cluster new" in told
    assert "is not overwritten" in project.hpc("doctor", "--write-profile", "new", expect=2)


def test_errors_of_the_environment_name_the_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing image when planning, a missing Slurm when submitting."""
    project = make_slurm_project(tmp_path, monkeypatch)
    text = (tmp_path / "manifests/experiments/tiny.yaml").read_text()
    project.write_experiment(text.replace("name: tiny", "name: imaged") + "container: {image: nowhere}\n", "imaged")
    assert "python -m hpc.doctor imaged" in project.hpc("plan", "imaged", "--cluster", "slurm", expect=2)
    (tmp_path / "bin/sbatch").unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert "python -m hpc.doctor" in project.hpc("submit", "tiny", expect=75)


def test_the_next_line_plans_what_is_not_planned_and_submits_what_is(tmp_path: Path) -> None:
    """Also where the experiment changed since it was planned: then it is to be planned again."""
    project = make_project(tmp_path)
    assert project.hpc("doctor", "tiny").splitlines()[-1] == "next: python -m hpc.plan tiny"
    project.hpc("plan", "tiny", "--cluster", "local")
    assert project.hpc("doctor", "tiny").splitlines()[-1] == "next: python -m hpc.submit tiny"
    os.utime(project.folder / "manifests/experiments/tiny.yaml", (2_000_000_000, 2_000_000_000))
    assert project.hpc("doctor", "tiny").splitlines()[-1] == "next: python -m hpc.plan tiny"
