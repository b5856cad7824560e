"""The wrapper on the compute node: claims, records, reaps, and survives everything around it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc.adapters.files import open_log
from hpc.core.errors import InputError
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.node.attempt import find_checkpoint
from hpc.node.shares import take_shares
from hpc.node.supervision import Supervision
from hpc.run_task import find_element
from tests import disks
from tests.local_projects import EXPERIMENT, REPO, LocalProject, command_environment, family, make_project, wait_until

IMAGE = REPO / "images/minimal.sif"
APPTAINER = Path(os.environ.get("APPTAINER", REPO / ".lab/apptainer/bin/apptainer"))


@pytest.fixture
def planned(tmp_path: Path) -> LocalProject:
    project = make_project(tmp_path / "project")
    project.hpc("plan", "tiny", "--cluster", "local")
    return project


def start(project: LocalProject, position: int = 0, **more: str) -> "subprocess.Popen[str]":
    """Start one element by hand, as the array script does."""
    return subprocess.Popen(
        [sys.executable, "-m", "hpc.run_task", str(index_of(project)), str(position)],
        cwd=project.folder,
        env=command_environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def index_of(project: LocalProject) -> Path:
    return project.runs / "tiny/submissions/001/index.json"


def run(project: LocalProject, position: int = 0, expect: int = 0, **more: str) -> str:
    """Run one element by hand to its end; return what the wrapper prints."""
    wrapper = start(project, position, **more)
    told = wrapper.communicate(timeout=60)[0]
    assert wrapper.returncode == expect, told
    assert "Traceback" not in told
    return told


def load(path: Path) -> dict:
    return json.loads(path.read_text())


def test_an_attempt_leaves_its_whole_record(planned):
    """task.json before, exit.json after, logs, metrics, configuration and final values beside them."""
    run(planned)
    attempt = planned.attempt("X1")
    task, ended = load(attempt / "task.json"), load(attempt / "exit.json")
    assert task["argv"] == ["python3", "program.py", "1", "1"]
    assert task["parameters"] == {"x": 1}
    assert (ended["exit_code"], ended["signal"], ended["starts_again"], ended["fenced"]) == (0, None, False, False)
    assert ended["started"] < ended["ended"]
    assert ended["peak_memory_mib"] > 1
    assert (attempt / "stdout.log").read_text() == "loss: 0.5\n"
    assert load(attempt.parent / "metrics.json")["loss"] == 0.5
    assert "x: 1\n" in (attempt.parent / "config.yaml").read_text()
    assert attempt.parent.stat().st_mode & 0o077 == 0


def test_an_attempt_is_claimed_by_exactly_one_of_many(planned):
    """Eight wrappers of the same element at once: one attempt, the others leave with 0."""
    wrappers = [start(planned) for _ in range(8)]
    told = [wrapper.communicate(timeout=60)[0] for wrapper in wrappers]
    assert {wrapper.returncode for wrapper in wrappers} == {0}
    assert sum("ended with 0" in text for text in told) == 1
    assert sum("nothing to do" in text for text in told) == 7
    assert [path.name for path in planned.attempt("X1").parent.iterdir() if "attempt" in path.name] == ["attempt-1"]


def test_a_manifest_finds_its_tasks_by_number(planned):
    """By hand: `run_task manifest.json 1` runs the second task; a number too high names what there is."""
    manifest = planned.runs / "tiny/manifest.json"
    index, entry, layout = find_element(manifest, 1)
    assert (index.submission, entry.run_name) == (1, "X2")
    assert layout == RunLayout(planned.runs, "tiny")
    with pytest.raises(InputError, match="there are 0 to 1"):
        find_element(manifest, 2)
    done = planned.call("-m", "hpc.run_task", str(planned.folder / "program.py"), "0")
    assert done.returncode == 2
    assert "not valid JSON" in done.stderr
    assert planned.call("-m", "hpc.run_task").returncode == 2


@pytest.mark.parametrize("name", ["index.json", "task.json"])
def test_damaged_records_stop_it_by_name(planned, name):
    """A cut index.json, or a cut task.json of the attempt before: a sentence with the path, and nothing runs."""
    run(planned)
    victim = index_of(planned) if name == "index.json" else planned.attempt("X1") / name
    victim.write_text(victim.read_text()[:100])
    told = run(planned, expect=2)
    assert str(victim) in told
    assert "cut or edited" in told
    assert not planned.attempt("X1", 2).exists()


def test_killed_before_any_of_its_renames_it_leaves_all_or_nothing(planned):
    """Kill -9 before each publishing act: an attempt that can be seen has its task.json; the next command goes on."""
    seen = set()
    for moment in range(1, 40):
        shutil.rmtree(planned.runs / "tiny/tasks", ignore_errors=True)
        done = planned.call(
            str(REPO / "tests/fakes/killed.py"), str(moment), "hpc.run_task", str(index_of(planned)), "0"
        )
        attempt = planned.attempt("X1")
        if attempt.exists():
            assert load(attempt / "task.json")["run_name"] == "X1"
            assert load(attempt / "task.json")["submission"] == 1
        seen.add(((attempt / "task.json").exists(), (attempt / "exit.json").exists()))
        wait_until(lambda gone=attempt: not family(gone), 10, "the end of what it had started")
        if done.returncode != -signal.SIGKILL:
            break
    assert done.returncode == 0
    assert seen == {(False, False), (True, False), (True, True)}


# ── nothing is left behind ───────────────────────────────────────────────────────────────────────────────────────────

FAMILY = """
import os, signal, subprocess, sys, time
from pathlib import Path
how = sys.argv[1]
subprocess.Popen(["sleep", "1000"])                                             # a child
subprocess.Popen(["sleep", "1001"], start_new_session=True)                     # in a session of its own
subprocess.Popen(["sh", "-c", "trap '' TERM HUP INT; while :; do sleep 1; done"])   # deaf
if os.fork() == 0:                                                              # a daemon: forked twice, own session
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(1000)
    os._exit(0)
print("loss: 1", flush=True)
if how == "2":
    time.sleep(1000)
"""


@pytest.fixture(params=["host", "image"])
def big_family(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalProject]:
    """A program that leaves children, deaf children and daemons; x=1 ends, x=2 does not."""
    inside = request.param == "image"
    if inside and not (IMAGE.exists() and APPTAINER.exists()):
        pytest.skip(f"needs {IMAGE} and {APPTAINER}")
    text = EXPERIMENT + ("container: {image: minimal}\n" if inside else "")
    project = make_project(tmp_path / "project", text, FAMILY)
    if inside:
        site = project.folder / "manifests/clusters/local.yaml"
        site.write_text(f"scheduler: local\napptainer: {APPTAINER}\nimage_dir: {IMAGE.parent}\nsignal_lead_s: 5\n")
    project.hpc("plan", "tiny", "--cluster", "local")
    yield project
    for run in ("X1", "X2"):
        for pid in family(project.attempt(run)):
            os.kill(pid, signal.SIGKILL)


def test_nothing_survives_a_program_that_ends(big_family):
    """A program exits 0 and leaves a family: the attempt is finished, and every descendant is gone."""
    began = time.monotonic()
    run(big_family)
    assert not family(big_family.attempt("X1"))
    assert load(big_family.attempt("X1") / "exit.json")["exit_code"] == 0
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_survives_its_wrapper(big_family, number):
    """The wrapper of an element of this machine's queue is ended, politely or not: nothing of the attempt is left."""
    script = index_of(big_family).with_name("array.sbatch")
    line = f"from hpc.local.element import run_element; raise SystemExit(run_element({str(script)!r}, 1, 'log'))"
    node = subprocess.Popen([sys.executable, "-c", line], cwd=big_family.folder, env=command_environment())
    attempt = big_family.attempt("X2")
    wait_until(lambda: "loss" in read(attempt / "stdout.log") and len(family(attempt)) >= 5, 30, "the family")
    os.kill(int(load(attempt / "task.json")["pid"].split("/")[1]), number)
    node.wait(timeout=60)
    assert not family(attempt)
    if number == signal.SIGTERM:
        assert load(attempt / "exit.json")["signals_received"] == ["TERM"]
    else:
        assert not (attempt / "exit.json").exists()


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


# ── the disk ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB: the copies of the code take half of it."""
    with disks.small_disk(tmp_path / "disk", "8m") as place:
        yield place


def fill(disk: Path, leave_kib: int = 0) -> Path:
    """Fill a file system but for so many KiB."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() // 4096 * 4096 - leave_kib * 1024))
    return filler


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != "filler"}


def test_a_full_disk_is_said_and_leaves_nothing_half(tmp_path, small_disk):
    """plan, submit, run_task, collect on a full disk: a sentence, no half file; with room again they go on."""
    project = make_project(tmp_path / "project")
    root = {"HPC_ROOT": str(small_disk)}
    filler = fill(small_disk, leave_kib=64)
    assert "No space left" in project.hpc("plan", "tiny", "--cluster", "local", expect=1, **root)
    assert not [name for name in files(small_disk) if name.endswith((".json", ".sbatch", ".tmp"))]
    filler.unlink()
    project.hpc("plan", "tiny", "--cluster", "local", **root)

    filler = fill(small_disk)
    before = files(small_disk)
    assert "No space left" in project.hpc("submit", "tiny", expect=1, **root)
    index = small_disk / "tiny/submissions/001/index.json"
    done = project.call("-m", "hpc.run_task", str(index), "0", **root)
    assert done.returncode == 74
    assert "No space left" in done.stderr
    assert "No space left" in project.hpc("collect", "tiny", expect=75, **root)
    left = {name for name in files(small_disk) - before if not name.endswith(".lock")}
    assert left <= {"tiny/tasks", "tiny/tasks/X1", "tiny/collected", "tiny/.local", "tiny/.local/runner.log"}
    filler.unlink()
    project.hpc("submit", "tiny", **root)
    assert project.json("collect", "tiny", **root)["outcomes"]["finished"] == 2


FLOOD = """
import sys
for step in range(20000):
    print(f"loss: {step} " + "x" * 500)
print("the end", file=sys.stderr)
"""


def test_a_program_that_fills_the_disk_comes_to_an_end(tmp_path, small_disk):
    """Its log does not fit any more: the wrapper neither hangs nor calls it a success; the collector blames storage."""
    project = make_project(tmp_path / "project", program=FLOOD)
    root = {"HPC_ROOT": str(small_disk)}
    project.hpc("plan", "tiny", "--cluster", "local", **root)
    fill(small_disk, leave_kib=400)
    done = project.call(
        "-m", "hpc.run_task", str(small_disk / "tiny/submissions/001/index.json"), "0", timeout=60, **root
    )
    assert done.returncode == 74
    assert "output is lost from now on: [Errno 28] No space left" in done.stdout
    assert "Traceback" not in done.stderr
    (small_disk / "filler").unlink()
    answer = project.json("collect", "tiny", expect=1, **root)
    assert answer["failures"] == {"unknown": 1}  # there was no room to say more


def test_lost_output_is_evidence_and_no_success(planned):
    """The log's place is full, the rest is not: the record says so, and the collector blames storage."""
    planned.write_program("import sys\nprint('loss: 1')\nsys.exit(1)\n")
    planned.hpc("plan", "tiny", "--cluster", "local")
    attempt = planned.attempt("X1")
    index = max(planned.runs.glob("tiny/submissions/*/index.json"))
    line = (
        "import sys; from hpc.core.layout import AttemptLayout; from pathlib import Path; from hpc import run_task;"
        "AttemptLayout.stdout = property(lambda self: Path('/dev/full'));"
        f"sys.exit(run_task.main([{str(index)!r}, '0']))"
    )
    done = planned.call("-c", line)
    assert done.returncode == 1, done.stderr
    assert "No space left" in load(attempt / "exit.json")["output_lost"]
    assert planned.json("collect", "tiny", expect=1)["failures"] == {"storage": 1}


def test_a_read_only_run_folder_is_said(planned):
    """A run folder that cannot be written: each command says which file, and exits 1."""
    home = planned.runs / "tiny"
    subprocess.run(["mount", "--bind", str(home), str(home)], check=False, capture_output=True)
    if subprocess.run(["mount", "-o", "remount,bind,ro", str(home)], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a folder read-only")
    try:
        for command in (("plan", "tiny", "--cluster", "local"), ("submit", "tiny"), ("collect", "tiny")):
            assert "Read-only file system" in planned.hpc(*command, expect=1)
        done = planned.call("-m", "hpc.run_task", str(index_of(planned)), "0")
        assert (done.returncode, "Read-only file system" in done.stderr) == (74, True)
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)
    run(planned)


# ── resuming ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_newest_complete_checkpoint_of_the_newest_attempt_is_found(tmp_path):
    """Half-written ones do not count; an attempt without any sends the search to the one before."""
    task = RunLayout(tmp_path, "e").task("r")
    for name in ("attempt-1/checkpoints/step-00000002", "attempt-1/checkpoints/step-00000010",
                 "attempt-1/checkpoints/step-00000011.tmp", "attempt-1/checkpoints/.hidden",
                 "attempt-2/checkpoints/step-00000003.tmp", "attempt-3/other"):  # fmt: skip
        (task.home / name).mkdir(parents=True)
    newest = task.home / "attempt-1/checkpoints/step-00000010"
    assert find_checkpoint(task, 1, 4) == newest
    assert find_checkpoint(task, 1, 4, "step-00000002") == newest.with_name("step-00000002")
    assert find_checkpoint(task, 2, 4) is None
    assert find_checkpoint(task, 1, 1) is None
    assert find_checkpoint(task, 1, 4, "step-00000011") is None


# ── what becomes of the folder while the program runs ────────────────────────────────────────────────────────────────

BESIDE_ITSELF = """
import os, shutil, sys, time
from pathlib import Path
attempt = Path(os.environ["HPC_ATTEMPT_DIR"])
print("loss: 1", flush=True)
doomed = attempt if sys.argv[1] == "1" else attempt.parent
while doomed.exists():  # the wrapper opens its files in there meanwhile
    shutil.rmtree(doomed, ignore_errors=True)
if sys.argv[2] == "2":
    time.sleep(1000)
"""
QUICK = "import sys; from hpc.node import supervise; supervise.LOOK_S = 0.2; from hpc import run_task;"


@pytest.mark.parametrize("how", ["ends", "goes on"])
@pytest.mark.parametrize("position", [0, 1])
def test_a_removed_folder_stays_removed(tmp_path, position, how):
    """Attempt or task removed, the program ends or goes on: it is ended, said, 74, and no folder is made anew."""
    text = EXPERIMENT.replace("seeds: [1]", f"seeds: [{1 if how == 'ends' else 2}]")
    project = make_project(tmp_path / "project", text, BESIDE_ITSELF)
    project.hpc("plan", "tiny", "--cluster", "local")
    done = project.call(
        "-c", f"{QUICK} sys.exit(run_task.main([{str(index_of(project))!r}, '{position}']))", timeout=60
    )
    attempt = project.attempt(f"X{position + 1}")
    assert done.returncode == 74, done.stdout + done.stderr
    assert f"{attempt} was removed while the program ran" in done.stdout
    assert "Traceback" not in done.stderr
    assert not attempt.exists()
    assert attempt.parent.exists() == (position == 0)
    assert not family(attempt)


VANDAL = """
import os, sys
from pathlib import Path
attempt = Path(os.environ["HPC_ATTEMPT_DIR"])
print("loss: 1", flush=True)
for name in ("task.json", "outcome.json", "summary.json", "stdout.log", "stderr.log", "../metrics.json"):
    path = attempt / name
    path.unlink(missing_ok=True)
    {"fifo": os.mkfifo, "folder": os.mkdir}.get(sys.argv[1], lambda path: path.write_text(sys.argv[1]))(path)
"""


@pytest.mark.parametrize("kind", ["fifo", "folder", "[]", "", '{"code": [], "summary": 3, "pid": {}, "complete": 1}'])
def test_odd_things_in_place_of_its_files_neither_hang_nor_stop_it(tmp_path, kind):
    """A named pipe, a folder, another shape in place of every file of an attempt: the end is recorded all the same."""
    text = EXPERIMENT.replace("[1, 2]", f"[{json.dumps(kind)}]").replace("X{x}", "X")
    project = make_project(tmp_path / "project", text, VANDAL)
    project.hpc("plan", "tiny", "--cluster", "local")
    done = project.call("-m", "hpc.run_task", str(index_of(project)), "0", timeout=60)
    assert "Traceback" not in done.stderr
    assert done.returncode == (74 if kind == "folder" else 0), done.stdout + done.stderr  # metrics.json is a folder
    assert load(project.attempt("X") / "exit.json")["exit_code"] == 0


def test_a_pipe_in_place_of_a_log_is_no_log(tmp_path):
    """Opening a log never waits for a reader, and a pipe that has one is no place to keep output."""
    pipe = tmp_path / "stdout.log"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="No such device"):
        open_log(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="named pipe"):
        open_log(pipe)
    os.close(reader)


# ── exit 85 ──────────────────────────────────────────────────────────────────────────────────────────────────────────

RESTLESS = """
import os, sys
from pathlib import Path
attempt, resumed = Path(os.environ["HPC_ATTEMPT_DIR"]), os.environ["HPC_RESUME_FROM"]
last = int(resumed.rpartition("-")[2]) if resumed else 0
if sys.argv[1] == "2":
    print(f"step {last + 1} loss: 1", flush=True)
if sys.argv[1] == "2" and last == 6:
    sys.exit(0)
(attempt / f"checkpoints/step-{last + 1:08d}").mkdir()
sys.exit(85)
"""


def test_restarts_that_get_nothing_done_come_to_an_end(tmp_path):
    """A new checkpoint but no step, time after time: three starts, named as a fault; with a step each it goes on."""
    text = EXPERIMENT.replace("'loss: ", "'step (?P<step>\\d+) loss: ")
    project = make_project(tmp_path / "project", text, RESTLESS)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", expect=1)
    assert [len(list(project.attempt(run).parent.glob("attempt-*"))) for run in ("X1", "X2")] == [3, 7]
    ended = load(project.attempt("X1", 3) / "exit.json")
    assert ended["starts_again"] is False
    assert ended["stalled"].startswith("3 starts in a row exited with 85")
    answer = project.json("collect", "tiny", expect=1)
    assert answer["failures"] == {"code_bug": 1}
    assert answer["outcomes"]["finished"] == 1
    [judged] = [each["verdict"] for each in project.verdicts()["X1"]["attempts"] if each["attempt"] == 3]
    assert (judged["rule"], judged["evidence"][0]["text"]) == ("restarts-without-progress", ended["stalled"])


# ── what is printed and cannot be read, what is kept and must not be ─────────────────────────────────────────────────


def test_values_that_could_not_be_read_are_counted_and_named(tmp_path):
    """One unusable key loses no other; how many, and the first, stand in the record, in collect's answer and in why."""
    program = """
import json
for step in range(3):
    print(json.dumps({"step": step, "loss": 1.5, "accuracy": "0,9", "note": "all is well", "": 1, "speed": "3.5,"}))
"""
    text = EXPERIMENT.replace("{stdout: 'loss: (?P<loss>\\S+)'}", "{json: step}")
    assert "json" in text
    project = make_project(tmp_path / "project", text, program)
    project.hpc("plan", "tiny", "--cluster", "local")
    run(project)
    ended = load(project.attempt("X1") / "exit.json")
    assert ended["metrics_unread"] == {"count": 6, "example": "accuracy: '0,9' is not a number"}
    final = load(project.attempt("X1").parent / "metrics.json")
    assert (final["loss"], final["speed"]) == (1.5, 3.5)
    said = "6 printed values could not be read, e.g. accuracy: '0,9' is not a number"
    project.hpc("submit", "tiny")
    project.hpc("collect", "tiny")
    assert said in project.verdicts()["X1"]["attempts"][0]["verdict"]["warnings"]
    assert said in " ".join(project.hpc("why", "X1").split())


SECRETS = {
    "HPC_WEBHOOK": "https://hooks.example.org/services/T0/planted-1",
    "HPC_NOTIFY_TO": "planted-2@example.org",
    "HPC_ROOM": "planted-3",
    "NCCL_PROXY": "http://user:planted-4@proxy:3128",
    "NCCL_AUTH": "planted5",
    "CUDA_REGISTRY_PWD": "planted6",
    "CUDA_DOWNLOAD": "https://planted-7.example.org/?sig=8c4f1d20",
    "OMP_LICENSE": "a3f9c1e7b2d84f60planted8",
    "ACCELERATE_HUB": "hf_planted9xAq81LkzPq7",
    "WANDB_API_KEY": "planted-10",
    "AWS_SECRET_ACCESS_KEY": "planted-11",
}


def test_no_secret_of_the_environment_reaches_a_file_of_the_run(tmp_path):
    """Secrets in eleven variables, a whole run from plan to report: none of them stands in any file it leaves."""
    project = make_project(tmp_path / "project")
    told = SECRETS | {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "OMP_NUM_THREADS": "2", "NCCL_IB_HCA": "mlx5_0:1,mlx5_1:1"}
    project.hpc("plan", "tiny", "--cluster", "local", **told)
    project.hpc("submit", "tiny", **told)
    project.hpc("collect", "tiny", **told)
    written = [path for path in project.runs.rglob("*") if path.is_file()]
    assert len(written) > 20
    leaking = {str(path) for path in written for value in SECRETS.values() if value.encode() in path.read_bytes()}
    assert leaking == set()
    kept = load(project.attempt("X1") / "exit.json")["environment"]
    assert {name: kept.get(name) for name in told if name not in SECRETS} == {
        name: value for name, value in told.items() if name not in SECRETS
    }
    assert kept["HPC_RUN_NAME"] == "X1"


def test_several_nodes_wait_for_each_other(tmp_path):
    """The step over the nodes sets no limit on how long the last may write after the first has left: --wait=0."""
    project = make_project(tmp_path / "project")
    fakes = tmp_path / "bin"
    fakes.mkdir()
    (fakes / "srun").write_text(
        """#!/bin/sh
for last; do :; done
attempt=$(dirname "$last")
echo "$@" > "$attempt/srun"
echo '{"output_lost": "No space left", "unread": 2, "unread_example": "loss: 0.9,"}' > "$attempt/node-0.json"
"""
    )
    (fakes / "srun").chmod(0o755)
    project.hpc("plan", "tiny", "--cluster", "local")
    index = load(index_of(project))
    index["resources"]["nodes"] = 2  # as planned for a cluster
    index["launch"]["processes"] = 1
    index_of(project).write_text(json.dumps(index))
    project.call("-m", "hpc.run_task", str(index_of(project)), "0", PATH=f"{fakes}:{os.environ['PATH']}")
    told = (project.attempt("X1") / "srun").read_text().split()
    assert {"--nodes=2", "--kill-on-bad-exit=1", "--wait=0"} <= set(told)
    ended = json.loads((project.attempt("X1") / "exit.json").read_text())
    assert (ended["output_lost"], ended["metrics_unread"]["count"]) == ("No space left", 2)


FAILING_RANK = """
import os, pathlib, signal, sys, time
here = pathlib.Path(os.environ["HPC_ATTEMPT_DIR"])
if os.environ["RANK"] == "0":
    (here / "waits").write_text(str(os.getpid()))
    time.sleep(600)  # as in a collective that the other never comes to
while not (here / "waits").exists():
    time.sleep(0.01)
os._exit(3) if sys.argv[1] == "1" else os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_rank_that_leaves_without_a_word_ends_the_task(tmp_path):
    """Its own code or signal is the task's end, and the rank that waits for it is gone."""
    project = make_project(tmp_path / "project")
    project.write_program(FAILING_RANK)
    project.write_experiment(EXPERIMENT + "launch: {processes: 2}\n")
    project.hpc("plan", "tiny", "--cluster", "local")
    for place, name, end in ((0, "X1", (3, None)), (1, "X2", (None, 9))):
        project.call("-m", "hpc.run_task", str(index_of(project)), str(place))
        ended = json.loads((project.attempt(name) / "exit.json").read_text())
        assert (ended["exit_code"], ended["signal"]) == end
        waiting = int((project.attempt(name) / "waits").read_text())
        assert not Path(f"/proc/{waiting}").exists()


DONE, SAVED, TERMED = {"exit_code": 0}, {"exit_code": 85}, {"exit_code": 143, "received": ["TERM"]}
FAILED, CRASHED = {"exit_code": 7}, {"signal": 11}


@pytest.mark.parametrize(
    ("shares", "srun", "expected"),
    [
        ((DONE, DONE), 0, (0, None)),
        ((SAVED, SAVED), 0, (85, None)),
        ((SAVED, DONE), 0, (85, None)),
        ((FAILED, TERMED), 143, (7, None)),
        ((TERMED, CRASHED), 143, (None, 11)),
        ((SAVED, FAILED), 7, (7, None)),
        ((TERMED, None), 137, (137, None)),  # a node that was killed by the kernel left no share
        ((SAVED, None), 137, (137, None)),
        ((TERMED, TERMED), 143, (143, None)),
    ],
)
def test_the_end_over_several_nodes_is_that_of_the_node_that_made_it(tmp_path, monkeypatch, shares, srun, expected):
    """srun knows the largest code only; those it ended itself do not count, and 85 is no failure."""
    attempt = AttemptLayout(tmp_path)
    for rank, share in enumerate(shares):
        if share is not None:
            (tmp_path / f"node-{rank}.json").write_text(json.dumps(share))
    result = Supervision(exit_code=srun)
    take_shares(result, attempt, len(shares))
    assert (result.exit_code, result.signal) == expected
