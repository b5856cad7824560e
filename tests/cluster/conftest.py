"""One real Slurm for the whole session, on ports and node names of its own, and a user's project to run in it."""

import getpass
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.zygote import run_python

REPO = Path(__file__).parents[2]
APPTAINER = Path(os.environ.get("APPTAINER", REPO / ".lab/apptainer/bin/apptainer"))
IMAGES = REPO / "images"


def missing_parts() -> list[str]:
    """Name what the cluster tests need and this machine lacks."""
    programs = ("slurmctld", "slurmd", "sbatch", "slurmdbd", "munged", "mariadbd")
    path = os.environ["PATH"] + ":/usr/sbin"
    files = (APPTAINER, *(IMAGES / f"{name}.sif" for name in ("minimal", "train-cpu")))
    missing = [name for name in programs if not shutil.which(name, path=path)]
    return missing + [str(file) for file in files if not file.exists()]


@dataclass(frozen=True)
class Lab:
    """The running cluster."""

    environment: dict[str, str]

    def control(self, *arguments: str) -> str:
        """Call the lab script: ``ctld-kill``, ``node-kill m3 hard``, …"""
        return self.run([str(REPO / "scripts/lab/slurm"), *arguments])

    def run(self, command: list[str], check: bool = True) -> str:
        """Run a Slurm client."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def wait_until(self, condition: Callable[[], object], seconds: float, what: str) -> None:
        """Poll until something holds; fail with what was waited for."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (
                f"not within {seconds:g} s: {what}\n{self.run(['squeue', '--array'], check=False)}"
            )
            time.sleep(0.3)

    def wait_idle(self, seconds: float = 240, job_name: str | None = None) -> None:
        """Wait until the queue is empty."""
        which = [f"--name={job_name}"] if job_name else []
        self.wait_until(lambda: not self.run(["squeue", "-h", *which]).strip(), seconds, "an empty queue")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Start a Slurm of our own, and stop it."""
    missing = missing_parts()
    if missing:
        text = f"the cluster tests need {', '.join(missing)}; make test installs them as root on Debian"
        if os.environ.get("HPC_REQUIRE_CLUSTER") == "1":
            pytest.fail(text)
        pytest.skip(text)
    home = tmp_path_factory.mktemp("lab")
    for folder in (home, *home.parents):  # slurmd's children run as the job's user
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    # Ports and node names may be given from outside, so that two such sessions fit on one machine; the processes of one
    # session (pytest -n 3) have a cluster each.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = {"LAB_PORT": str(19400 + 50 * worker), "LAB_PREFIX": "tuvwxyz"[worker % 7]}
    environment = {**own, **os.environ, "LAB": str(home / "slurm")}
    environment["PATH"] += ":/usr/sbin:/sbin"
    script = str(REPO / "scripts/lab/slurm")
    started = subprocess.run(
        [script, "start"], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert started.returncode == 0, started.stdout + started.stderr
    environment |= {"SLURM_CONF": str(home / "slurm/etc/slurm.conf"), "HPC_CLUSTER": "lab"}
    yield Lab(environment)
    subprocess.run([script, "stop"], env=environment, capture_output=True, timeout=120, check=True)


@dataclass(frozen=True)
class Project:
    """A user's own project folder with its runs."""

    folder: Path
    lab: Lab

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def write_experiment(self, name: str, text: str) -> None:
        """Write one experiment's YAML."""
        (self.folder / "manifests/experiments" / f"{name}.yaml").write_text(text)

    def hpc(
        self, verb: str, *arguments: str, expect: int | Collection[int] | None = 0, timeout: float = 300, **more: str
    ) -> str:
        """Run ``python -m hpc.<verb>`` in the project; return stdout. None expects 0 or 1."""
        valid = (0, 1) if expect is None else (expect,) if isinstance(expect, int) else expect
        environment = {**self.lab.environment, "PYTHONPATH": str(REPO), **more}
        done = run_python(["-m", f"hpc.{verb}", *arguments], self.folder, environment, timeout)
        told = f"{verb}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode in valid, told
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    def json(self, verb: str, *arguments: str, expect: int | None = None) -> Any:
        """Run a command with ``--json``."""
        return json.loads(self.hpc(verb, *arguments, "--json", expect=expect))

    def collect_until_done(self, name: str, rounds: int = 12) -> dict[str, Any]:
        """Collect and retry until nothing is left to try and nothing runs."""
        for _ in range(rounds):
            self.lab.wait_idle(job_name=name)
            answer: dict[str, Any] = self.json("collect", name, "--retry-failed")
            if not answer["jobs"] and not answer["outcomes"]["running"] and not answer["outcomes"]["pending"]:
                return answer
            time.sleep(1)
        raise AssertionError(f"still not done after {rounds} rounds: {answer}")

    def verdicts(self, name: str) -> dict[str, dict[str, Any]]:
        """Run name → task of ``verdicts.json``."""
        content = json.loads((self.runs / name / "collected/verdicts.json").read_text())
        return {task["run_name"]: task for task in content["tasks"]}


@pytest.fixture
def project(tmp_path: Path, lab: Lab) -> Iterator[Project]:
    """An empty project with the lab's profile, where Slurm's jobs can reach it. What it leaves queued is cancelled."""
    folder = tmp_path / "project"
    (folder / "manifests/experiments").mkdir(parents=True)
    (folder / "manifests/clusters").mkdir()
    (folder / "manifests/clusters/lab.yaml").write_text(
        "scheduler: slurm\npartition: main\nmax_parallel: 5\nmax_array_size: 1000\n"
        "max_time: '0:10:00'\nmax_memory: 4GB\nsignal_lead_s: 10\n"
        f"apptainer: {APPTAINER}\nimage_dir: {IMAGES}\n"
    )
    shutil.copy(Path(__file__).parent / "trouble.py", folder)
    yield Project(folder, lab)
    if lab.run(["squeue", "-h"], check=False).strip():  # of a test that failed: the next one waits for an empty queue
        lab.run(["scancel", "--state=PENDING", f"--user={getpass.getuser()}"], check=False)
        lab.run(["scancel", f"--user={getpass.getuser()}"], check=False)
