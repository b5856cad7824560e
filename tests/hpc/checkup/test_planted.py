"""Planted faults: each is found under its name, with what would be right and how to mend it."""

import errno
import fcntl
import json
import os
import resource
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hpc.adapters import shared_disk
from hpc.adapters.this_machine import installed_version
from hpc.checkup.containers import judge_self_test
from hpc.core.checkup.check import BY_NAME, Severity, exit_code
from hpc.core.checkup.containers import SelfTest
from hpc.core.checkup.nodes import Seen, judge_nodes
from hpc.core.checkup.storage import Mount
from tests.hpc.checkup.patients import Patient, make_patient

BASH = shutil.which("bash") or "bash"
BLOCKING, WARNING, NOTE, OK = Severity.BLOCKING, Severity.WARNING, Severity.NOTE, Severity.OK
Plant = Callable[[Patient], None]


@pytest.fixture
def patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Patient:
    """A project in which nothing is wrong."""
    return make_patient(tmp_path, monkeypatch)


def test_a_healthy_patient_has_nothing_that_blocks(patient: Patient) -> None:
    """Without a fault no check blocks or warns; what is found makes sense; every name is in the table."""
    checks = patient.checks()

    assert {name: check.found for name, check in checks.items() if check.severity in (BLOCKING, WARNING)} == {}
    assert exit_code(checks.values()) == 0
    assert set(checks) <= set(BY_NAME)
    assert checks["partition"].found == "gpu (40 nodes, 2-00:00:00)"
    assert checks["gpus"].found == "a node has 4 x a100, 8 x h100, 1 asked for"
    assert checks["imports"].found.startswith("in image train: Python 3.")
    assert list(patient.root.parent.glob(f"{shared_disk.PREFIX}*")) == []


@dataclass(frozen=True)
class Fault:
    """What is planted, the check that has to find it, a part of what it says, and of how it is mended."""

    plant: Plant
    subject: str
    name: str
    found: str
    mend: str
    severity: Severity
    also: tuple[str, ...] = ()
    """Checks that have to block with it."""


def config(old: str, new: str) -> Plant:
    """Change the configuration of the Slurm."""
    return lambda patient: patient.change(patient.site / "config", old, new)


def profile(old: str, new: str) -> Plant:
    """Change the profile."""
    return lambda patient: patient.change(patient.profile, old, new)


def experiment(old: str, new: str) -> Plant:
    """Change the experiment."""
    return lambda patient: patient.change(patient.experiment, old, new)


def no_accounting(patient: Patient) -> None:
    patient.change(patient.site / "config", "accounting_storage/slurmdbd", "accounting_storage/none")


def dead_controller(patient: Patient) -> None:
    message = "slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)"
    patient.client_fault("scontrol", f"echo '{message}' >&2; exit 1")


def hung_accounting(patient: Patient) -> None:
    patient.monkeypatch.setattr("hpc.adapters.slurm_client.QUICK_S", 0.2)
    patient.client_fault("sacctmgr", "exec sleep 60")


def hung_controller(patient: Patient) -> None:
    patient.monkeypatch.setattr("hpc.adapters.slurm_client.QUICK_S", 0.2)
    patient.client_fault("scontrol", "exec sleep 60")


def no_configuration(patient: Patient) -> None:
    patient.client_fault("scontrol", "echo 'fatal: Could not establish a configuration source' >&2; exit 1")


def clock_behind(patient: Patient) -> None:
    later = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 900))
    patient.change(patient.site / "config", "@NOW@", later)


def missing_clients(patient: Patient) -> None:
    patient.monkeypatch.setenv("PATH", str(patient.folder / "bin"))


def cgroup_v2_without_plugin(patient: Patient) -> None:
    patient.monkeypatch.setattr("hpc.checkup.slurm.cgroup_version", lambda: 2)
    patient.change(patient.site / "config", "= autodetect", "= cgroup/v1")


def old_slurm_on_cgroup_v2(patient: Patient) -> None:
    patient.monkeypatch.setattr("hpc.checkup.slurm.cgroup_version", lambda: 2)
    patient.change(patient.site / "config", "CgroupPlugin            = autodetect\n", "")
    (patient.site / "version").write_text("slurm 21.08.8\n")


def short_kill_wait(patient: Patient) -> None:
    patient.change(patient.site / "config", "= 30 sec", "= 2 sec")
    patient.change(patient.profile, "scheduler: slurm", "scheduler: slurm\nsignal_lead_s: 20")


def no_flock(patient: Patient) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    patient.monkeypatch.setattr(fcntl, "flock", refuse)


def flock_that_excludes_nobody(patient: Patient) -> None:
    patient.monkeypatch.setattr(fcntl, "flock", lambda _descriptor, _operation: None)


def locks_of_one_machine(patient: Patient) -> None:
    mount = Mount("/", "lustre", "mds@o2ib:/scratch", frozenset({"rw", "localflock"}))
    patient.monkeypatch.setattr(shared_disk, "mount_at", lambda _: mount)
    patient.monkeypatch.setattr("hpc.checkup.storage._other_hosts", lambda _: ["g001"])


def node_local_root(patient: Patient) -> None:
    patient.monkeypatch.setattr("hpc.checkup.storage._other_hosts", lambda _: ["g001", "g002"])
    patient.monkeypatch.setattr(shared_disk, "mount_at", lambda _: Mount("/tmp", "tmpfs", "tmpfs", frozenset()))


def no_hard_links(patient: Patient) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    patient.monkeypatch.setattr(os, "link", refuse)


def clock_of_the_file_server(patient: Patient) -> None:
    now = time.time
    patient.monkeypatch.setattr(time, "time", lambda: now() + 300)


def quota_exceeded(patient: Patient) -> None:
    table = (
        "Disk quotas for user me (uid 1000):\\n"
        "     Filesystem   space   quota   limit   grace   files   quota   limit   grace\\n"
        "server:/home 52428800* 41943040 52428800 0 1200 0 0 0\\n"
    )
    patient.on_path("quota", f"#!/bin/sh\nprintf '{table}'\nexit 1\n")


def file_quota(patient: Patient) -> None:
    patient.on_path("quota", "#!/bin/sh\necho '/dev/sdb1 100 0 0 0 499999 0 500000 0'\n")


def hung_quota(patient: Patient) -> None:
    patient.monkeypatch.setattr(shared_disk, "QUOTA_S", 0.2)
    patient.on_path("quota", "#!/bin/sh\nexec sleep 60\n")


def old_package(patient: Patient) -> None:
    wrong = {"click": "7.1.2", "h5py": None}
    patient.monkeypatch.setattr(
        "hpc.checkup.machine.installed_version",
        lambda name: wrong[name] if name in wrong else installed_version(name),
    )


def low_files(patient: Patient) -> None:
    patient.monkeypatch.setattr(
        "hpc.checkup.machine.read_limit", lambda kind: (64, 4096) if kind == resource.RLIMIT_NOFILE else (-1, -1)
    )


def few_processes(patient: Patient) -> None:
    patient.monkeypatch.setattr("hpc.checkup.machine.count_own_threads", lambda: 95)
    patient.monkeypatch.setattr(
        "hpc.checkup.machine.read_limit", lambda kind: (100, 100) if kind == resource.RLIMIT_NPROC else (-1, -1)
    )


def no_apptainer(patient: Patient) -> None:
    patient.change(patient.profile, "apptainer: apptainer", "apptainer: no-such-apptainer")


def old_apptainer(patient: Patient) -> None:
    patient.on_path("apptainer", "#!/bin/sh\necho apptainer version 1.0.3\n")


def no_namespaces(patient: Patient) -> None:
    patient.monkeypatch.setattr("hpc.checkup.containers.userns_problem", lambda: "user.max_user_namespaces is 0")
    patient.monkeypatch.setattr(os, "geteuid", lambda: 1000)


def no_image(patient: Patient) -> None:
    (patient.folder / "images/train.sif").unlink()


def wrong_digest(patient: Patient) -> None:
    """As a copy that was cut, or a disk that lies: size and age are those of the build, the content is not."""
    image = patient.folder / "images/train.sif"
    found = image.stat()
    record = f'[train]\nsha256 = "{"0" * 64}"\nsize = {found.st_size}\nmtime_ns = {found.st_mtime_ns}\n'
    (image.parent / "images.lock.toml").write_text(record)


def another_image_than_planned(patient: Patient) -> None:
    image = {"name": "train", "path": str(patient.folder / "images/train.sif"), "sha256": "1" * 64}
    home = patient.root / "tiny"
    home.mkdir(parents=True)
    (home / "manifest.json").write_text(json.dumps({"provenance": {"image": image}}))


def a_new_build_beside_the_planned_one(patient: Patient) -> None:
    """Queued tasks run the file of the old digest, which is kept."""
    another_image_than_planned(patient)
    kept = patient.folder / "images/by-digest" / f"{'1' * 16}.sif"
    kept.parent.mkdir()
    kept.touch()


def replaced_since_its_build(patient: Patient) -> None:
    record = f'[train]\nsha256 = "{"0" * 64}"\nsize = 1\nmtime_ns = 1\n'
    (patient.folder / "images/images.lock.toml").write_text(record)


def missing_import(patient: Patient) -> None:
    (patient.folder / "program.py").write_text("import json, no_such_module_at_all\nimport program2\n")
    (patient.folder / "program2.py").touch()


def broken_python_in_image(patient: Patient) -> None:
    patient.on_path("apptainer", APPTAINER_WITHOUT_PYTHON)


APPTAINER_WITHOUT_PYTHON = """#!/bin/sh
case "$1" in --version) echo "apptainer version 1.4.5"; exit ;; esac
echo 'FATAL: stat /usr/bin/python3: no such file or directory' >&2
exit 255
"""


def tiny_shm(patient: Patient) -> None:
    patient.on_path(
        "apptainer",
        '#!/bin/sh\ncase "$1" in --version) echo "apptainer version 1.4.5"; exit ;; esac\n'
        """echo '{"python": "3.11.2", "failed_imports": {}, "imports": 0, "gpus": 0, "shm_mib": 64}'\n""",
    )


def processes_that_do_not_add(patient: Patient) -> None:
    patient.on_path(
        "apptainer",
        '#!/bin/sh\ncase "$1" in --version) echo "apptainer version 1.4.5"; exit ;; esac\n'
        """echo '{"python": "3.11.2", "imports": 1, "shm_mib": 9999, "all_reduce": "connectFullMesh"}'\n""",
    )


def missing_data(patient: Patient) -> None:
    patient.change(patient.experiment, 'seed}"}', 'seed}", inputs: {data: /no/such/data}}')


def missing_path(patient: Patient) -> None:
    patient.change(patient.experiment, "x: [1, 2, 3]", "x: [/no/such/data.bin]")
    patient.change(patient.experiment, 'run_name: "X{x}"', 'run_name: "S{seed}"')


def missing_bind(patient: Patient) -> None:
    patient.change(patient.profile, "scheduler: slurm", 'scheduler: slurm\nbinds: ["/no/such/folder:/data:ro"]')


def readable_key(patient: Patient) -> None:
    netrc = patient.folder / "home/.netrc"
    netrc.write_text("machine api.wandb.ai login user password SECRETSECRET\n")
    netrc.chmod(0o644)


def open_to_all(patient: Patient) -> None:
    patient.root.mkdir()
    patient.root.chmod(0o777)


def no_program(patient: Patient) -> None:
    (patient.folder / "program.py").unlink()


def denied_hdf5(patient: Patient) -> None:
    import h5py

    def refuse(*_: Any, **__: Any) -> None:
        raise BlockingIOError(errno.ENOLCK, "unable to lock file, errno = 37, error message = 'No locks available'")

    patient.monkeypatch.setattr(h5py, "File", refuse)


FAULTS = {
    "no accounting": Fault(
        no_accounting, "slurm", "accounting", "none (accounting_storage/none)", "hpc.collect", WARNING
    ),
    "accounting hung": Fault(hung_accounting, "slurm", "accounting", "did not answer", "sacctmgr", BLOCKING),
    "controller dead": Fault(dead_controller, "slurm", "controller", "Unable to contact", "scontrol ping", BLOCKING),
    "controller hung": Fault(hung_controller, "slurm", "controller", "did not answer", "scontrol ping", BLOCKING),
    "no slurm.conf": Fault(no_configuration, "slurm", "controller", "slurm.conf", "--cluster local", BLOCKING),
    "no clients": Fault(missing_clients, "slurm", "clients", "sbatch, squeue", "--cluster local", BLOCKING),
    "clock skew": Fault(clock_behind, "slurm", "clock", "behind the controller", "timedatectl", BLOCKING),
    "cgroup v2 without plugin": Fault(
        cgroup_v2_without_plugin, "slurm", "control groups", "has v2", "autodetect", WARNING
    ),
    "old Slurm on cgroup v2": Fault(old_slurm_on_cgroup_v2, "slurm", "control groups", "has v2", "22.05", WARNING),
    "no cgroups": Fault(
        lambda p: p.change(p.site / "config", "cgroup", "none"),
        "slurm",
        "control groups",
        "proctrack/none",
        "logs",
        WARNING,
    ),
    "memory is not bounded": Fault(
        config("ConstrainRAMSpace       = yes", "ConstrainRAMSpace       = no"),
        "slurm",
        "control groups",
        "proctrack/cgroup",
        "ConstrainRAMSpace=yes",
        NOTE,
    ),
    "memory by the core": Fault(
        lambda p: p.change(p.site / "partitions", "MaxMemPerNode=UNLIMITED", "MaxMemPerCPU=4000"),
        "slurm",
        "memory rule",
        "4000 MiB",
        "memory: per_cpu",
        NOTE,
    ),
    "memory is not counted": Fault(
        config("CR_CORE_MEMORY", "CR_CORE"), "slurm", "memory rule", "not counted", "memory: none", NOTE
    ),
    "whole nodes": Fault(
        lambda p: p.change(p.site / "partitions", "OverSubscribe=NO", "OverSubscribe=EXCLUSIVE"),
        "slurm",
        "memory rule",
        "gives whole nodes",
        "memory: none",
        NOTE,
    ),
    "jobs are cancelled": Fault(
        config(
            "PreemptMode             = OFF\nPreemptType             = preempt/none",
            "PreemptMode             = CANCEL\nPreemptType             = preempt/qos",
        ),
        "slurm",
        "preemption",
        "CANCEL",
        "--follow",
        WARNING,
    ),
    "not put back": Fault(
        config("JobRequeue              = 1", "JobRequeue              = 0"),
        "slurm",
        "preemption",
        "JobRequeue=0",
        "--retry-failed",
        NOTE,
    ),
    "a short KillWait": Fault(short_kill_wait, "slurm", "time to end", "KillWait 2 s", "signal_lead_s: 120", WARNING),
    "overrides": Fault(
        config("SlurmdParameters        = (null)", "SlurmdParameters = config_overrides"),
        "slurm",
        "node definitions",
        "config_overrides",
        "srun",
        NOTE,
    ),
    "arrays too small": Fault(
        config("= 1001", "= 3"), "slurm", "array size", "an array of 3 tasks", "max_array_size: 2", BLOCKING
    ),
    "arrays off": Fault(config("= 1001", "= 1"), "slurm", "array size", "switched off", "MaxArraySize", BLOCKING),
    "fewer array tasks": Fault(
        config("bf_continue", "max_array_tasks=500"),
        "slurm",
        "array size",
        "max_array_size 1000",
        "max_array_size: 500",
        WARNING,
    ),
    "unknown partition": Fault(
        profile("partition: gpu", "partition: gpuu"), "slurm", "partition", "no gpuu", "partition: gpu", BLOCKING
    ),
    "partition down": Fault(
        profile("partition: gpu", "partition: maint"),
        "slurm",
        "partition",
        "DOWN",
        "partition: gpu",
        BLOCKING,
        ("gpus",),
    ),
    "partition for others": Fault(
        lambda p: p.change(
            p.site / "partitions",
            "PartitionName=gpu AllowGroups=ALL AllowAccounts=ALL",
            "PartitionName=gpu AllowGroups=ALL AllowAccounts=physics",
        ),
        "slurm",
        "partition",
        "account vision",
        "partition: gpu-test",
        BLOCKING,
    ),
    "unknown account": Fault(
        profile("account: vision", "account: visoin"), "slurm", "account", "visoin", "account: vision", BLOCKING
    ),
    "no account": Fault(
        lambda p: (p.site / "associations").write_text(""), "slurm", "account", "has none", "sacctmgr", BLOCKING
    ),
    "unknown QOS": Fault(
        profile("account: vision", "account: vision\nqos: lng"), "slurm", "qos", "lng", "qos: long", BLOCKING
    ),
    "time over the limit": Fault(
        experiment('"1:00:00"', '"3-00:00:00"'),
        "slurm",
        "time limit",
        "3-00:00:00",
        "resources.time=2-00:00:00",
        BLOCKING,
    ),
    "max_time over the limit": Fault(
        profile("2-00:00:00", "9-00:00:00"), "slurm", "time limit", "9-00:00:00", "max_time", WARNING
    ),
    "too many cores": Fault(experiment("cpus: 8", "cpus: 200"), "slurm", "cores", "200", "resources.cpus=96", BLOCKING),
    "too much memory": Fault(experiment("16GB", "2TB"), "slurm", "memory", "2048G", "resources.mem", BLOCKING),
    "missing type of GPU": Fault(profile("a100", "a1000"), "slurm", "gpus", "no a1000", "gpu_type: a100", BLOCKING),
    "GPUs elsewhere": Fault(
        profile("partition: gpu", "partition: cpu"), "slurm", "gpus", "no a100", "partition: gpu", BLOCKING
    ),
    "too many GPUs": Fault(experiment("gpus: 1", "gpus: 9"), "slurm", "gpus", "9 a node", "resources.gpus=4", BLOCKING),
    "no flock": Fault(no_flock, "storage", "flock", "none:", "HPC_ROOT", WARNING),
    "locks for nobody": Fault(flock_that_excludes_nobody, "storage", "flock", "does not exclude", "HPC_ROOT", BLOCKING),
    "locks of one machine": Fault(locks_of_one_machine, "storage", "flock", "localflock", "HPC_ROOT", WARNING),
    "node-local root": Fault(node_local_root, "storage", "shared", "this machine's own", "HPC_ROOT", BLOCKING),
    "no hard links": Fault(no_hard_links, "storage", "hard links", "EPERM", "images", WARNING),
    "file server's clock": Fault(clock_of_the_file_server, "storage", "file times", "behind", "timedatectl", WARNING),
    "quota exceeded": Fault(quota_exceeded, "storage", "quota", "51200 of 51200 MiB", "du -", BLOCKING),
    "file quota": Fault(file_quota, "storage", "quota", "499999 of 500000 files", "du -", WARNING),
    "not enough room": Fault(
        experiment("disk: 1MB", "disk: 900TB"), "storage", "space", "GiB free", "HPC_ROOT", BLOCKING
    ),
    "open to all": Fault(open_to_all, "storage", "owner and access", "0777", "chmod o-w", WARNING),
    "HDF5 without locks": Fault(
        denied_hdf5, "hdf5", "HDF5 locks", "unable to lock", "HDF5_USE_FILE_LOCKING=FALSE", BLOCKING
    ),
    "old package": Fault(
        old_package, "machine", "packages", "click 7.1.2, h5py missing", "'click>=8.1,<9' 'h5py>=3.11,<4'", BLOCKING
    ),
    "low ulimit -n": Fault(low_files, "machine", "open files", "64", "ulimit -Sn 4096", BLOCKING),
    "low ulimit -u": Fault(few_processes, "machine", "processes", "100, 95 run", "ulimit -Hu", BLOCKING),
    "the node's Python": Fault(
        profile("account: vision", "account: vision\npython: /no/python3"),
        "machine",
        "python",
        "/no/python3",
        "--cluster here",
        WARNING,
    ),
    "no Apptainer": Fault(no_apptainer, "containers", "apptainer", "is not here", "module load apptainer", BLOCKING),
    "old Apptainer": Fault(old_apptainer, "containers", "apptainer", "1.0.3", "module avail", BLOCKING),
    "no user namespaces": Fault(no_namespaces, "containers", "user namespaces", "is 0; no setuid", "sysctl", BLOCKING),
    "no image": Fault(no_image, "image", "image", "no image", "Build it", BLOCKING),
    "wrong digest": Fault(wrong_digest, "image", "image digest", "train.sif is", "images.lock.toml", BLOCKING),
    "another image": Fault(
        another_image_than_planned, "image", "image digest", "train.sif is", "hpc.plan tiny", BLOCKING
    ),
    "a new build": Fault(
        a_new_build_beside_the_planned_one, "image", "image digest", "keep the old one", "hpc.plan tiny", WARNING
    ),
    "another file than was built": Fault(
        replaced_since_its_build, "image", "image digest", "train.sif is", "images.lock.toml", WARNING
    ),
    "no Python in the image": Fault(
        broken_python_in_image, "image", "imports", "no such file", "apptainer exec", BLOCKING
    ),
    "missing import": Fault(missing_import, "image", "imports", "no_such_module_at_all", "build an image", BLOCKING),
    "tiny /dev/shm": Fault(tiny_shm, "image", "shared memory", "64 MiB", "num_workers", WARNING),
    "no all-reduce": Fault(processes_that_do_not_add, "image", "all-reduce", "connectFullMesh", "GLOO", BLOCKING),
    "no program": Fault(no_program, "experiment", "program", "program.py", "--dry-run", BLOCKING),
    "missing data": Fault(missing_data, "experiment", "data", "/no/such/data", "ls -l /no/such/data", BLOCKING),
    "a path that is not there": Fault(missing_path, "experiment", "data", "x=/no/such/data.bin", "ls -ld", WARNING),
    "missing bind": Fault(missing_bind, "experiment", "binds", "/no/such/folder", "ls -ld", WARNING),
    "online without a key": Fault(
        experiment("offline", "online"), "experiment", "wandb", "no key", "wandb login", BLOCKING
    ),
    "a key that others read": Fault(readable_key, "experiment", "wandb", "by others", "chmod 600", WARNING),
}


def test_a_users_program_is_brought_what_it_imports(patient: Patient) -> None:
    """Each package by its name on one line, without the dozen that our own workloads need."""
    test = SelfTest("on the host", failed_imports={"torch": "none", "sklearn": "none"})
    checks = {each.name: each for each in judge_self_test(test, patient.examined())}
    assert checks["imports"].mend == "python -m pip install torch scikit-learn"


def test_every_check_can_be_made(patient: Patient) -> None:
    """Each row of the table is seen in a healthy patient, by a fault, or from nodes; no row is only promised."""
    seen = set(patient.checks()) | {fault.name for fault in FAULTS.values()} | {"node job"}
    seen |= {check.name for check in judge_nodes([Seen("n1", image=True)], 1.0)}
    assert seen | {"checkpoints"} == set(BY_NAME)  # made when asked for: tests/hpc/test_doctor.py


COMMANDS = {
    "python", "export", "ulimit", "chmod", "ls", "du", "wandb", "module", "mount", "apptainer", "sysctl", "sacctmgr",
    "scontrol", "sinfo", "srun", "timedatectl", "nvidia-smi", "sed",
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_and_can_be_mended(patient: Patient, name: str) -> None:
    """It has its check's name, its severity, what was found and how to mend it; and nothing else blocks with it."""
    fault = FAULTS[name]
    fault.plant(patient)
    checks = patient.checks(fault.subject)
    check = checks[fault.name]

    assert fault.found in check.found
    assert fault.mend in check.mend
    assert check.severity is fault.severity
    assert check.expected
    others = [each.name for each in checks.values() if each.severity is BLOCKING and each.name != fault.name]
    assert tuple(others) == fault.also
    if check.mend.split(" ")[0] in COMMANDS:  # then all of it can be pasted: remarks stand behind a #
        assert subprocess.run([BASH, "-n"], input=check.mend, text=True, check=False).returncode == 0
        assert shlex.split(check.mend, comments=True)
    if check.mend.startswith(("sed ", "chmod ")):  # then pasting it is all there is to do
        subprocess.run([BASH, "-e", "-c", check.mend], cwd=patient.folder, check=True)
        assert patient.checks(fault.subject)[fault.name].severity is OK, check.mend


@pytest.mark.parametrize("name", ["accounting hung", "controller dead", "controller hung"])
def test_a_silent_slurm_is_temporary(patient: Patient, name: str) -> None:
    """Exit code 75 where nothing but Slurm's silence blocks; 1 where anything else does, too."""
    FAULTS[name].plant(patient)
    checks = patient.checks("slurm", "machine")
    assert exit_code(checks.values()) == 75
    low_files(patient)
    assert exit_code(patient.checks("slurm", "machine").values()) == 1


def test_a_quota_command_that_hangs_is_passed_over(patient: Patient) -> None:
    """It costs its time-out, and nothing else."""
    hung_quota(patient)
    assert patient.checks("storage")["quota"].severity is OK


def test_the_key_is_never_printed(patient: Patient) -> None:
    """Neither one of the environment nor one of ~/.netrc stands in any check."""
    readable_key(patient)
    patient.monkeypatch.setenv("WANDB_API_KEY", "ANOTHERSECRET")
    told = str(patient.checks("experiment", "machine"))
    assert "SECRET" not in told
    assert "a key is there" in told or "read by others" in told
