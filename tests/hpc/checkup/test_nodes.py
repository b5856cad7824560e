"""The tiny job: what nodes write is judged, what stays away is said, nothing is left in the queue or on disk."""

from pathlib import Path

import pytest

from hpc.adapters import shared_disk
from hpc.checkup import nodes
from hpc.checkup.bounded import Begin
from hpc.core.checkup.check import Check, Severity
from tests.hpc.checkup.patients import Patient, make_patient

RUNS = """#!/bin/sh
# Takes the job and runs it on this machine, which is the node.
for script; do :; done
grep '^#SBATCH' "$script" > "$CALLS/asked"
SLURMD_NODENAME=n1 setsid bash "$script" > /dev/null 2>&1 < /dev/null &
echo 7
"""
SRUN = '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n'
CANCELS = '#!/bin/sh\necho "$@" > "$CALLS/cancelled"\n'


@pytest.fixture
def patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Patient:
    """A project whose Slurm is quick."""
    monkeypatch.setattr(nodes, "LOOK_S", 0.05)
    monkeypatch.setattr(nodes, "GRACE_S", 0.2)
    monkeypatch.setenv("CALLS", str(tmp_path))
    found = make_patient(tmp_path, monkeypatch)
    found.on_path("srun", SRUN)
    found.on_path("scancel", CANCELS)
    found.on_path("squeue", "#!/bin/sh\necho RUNNING None\n")
    return found


def seen_by(patient: Patient, wait_s: float = 60) -> dict[str, Check]:
    """Name → check; whatever comes, the folder of the runs is as it was."""
    said = nodes.look_from_nodes(patient.examined(), wait_s)
    found = {each.name: each for each in said if not isinstance(each, Begin)}
    assert not list(patient.folder.glob(f"{shared_disk.PREFIX}*"))
    return found


def test_a_node_looks_for_itself(patient: Patient) -> None:
    """It may not have the lock and the name that we hold; it runs the self test; it asked for a GPU of the type."""
    patient.on_path("sbatch", RUNS)
    found = seen_by(patient)
    assert found["node job"].found == "job 7 ran on n1"
    expected = ("node sees the runs", "node locks", "node exclusive create", "node clock", "node container", "imports")
    assert {name: found[name].severity for name in expected} == dict.fromkeys(expected, Severity.OK)
    assert found["imports"].found.startswith("in image train of n1: Python 3.")
    assert "--gres=gpu:a100:1" in (patient.folder / "asked").read_text()
    assert not (patient.folder / "cancelled").exists()


def test_a_node_that_does_not_see_the_folder_blocks(patient: Patient) -> None:
    """The job ended, and nothing of it is here; the last line of its log is said where that is."""
    patient.on_path("squeue", "#!/bin/sh\n")
    patient.on_path(
        "sbatch", "#!/bin/sh\nfor script; do :; done\necho no such folder > ${script%/*}/7_log.out\necho 7\n"
    )
    check = seen_by(patient)["node sees the runs"]
    assert (check.severity, check.found.endswith(": no such folder")) == (Severity.BLOCKING, True)
    assert check.mend.startswith("export HPC_ROOT=")


def test_a_job_that_waits_is_cancelled(patient: Patient) -> None:
    """A note that says why it waits and how to wait longer; nothing stays in the queue."""
    patient.on_path("sbatch", "#!/bin/sh\necho 7\n")
    patient.on_path("squeue", "#!/bin/sh\necho PENDING Resources\n")
    check = seen_by(patient, 0.1)["node job"]
    assert (check.severity, "PENDING Resources" in check.found) == (Severity.NOTE, True)
    assert "--wait 600" in check.mend
    assert (patient.folder / "cancelled").read_text() == "7\n"


@pytest.mark.parametrize(
    ("says", "severity", "temporary"),
    [
        ("Batch job submission failed: Invalid account or account/partition combination specified", "blocking", False),
        ("Batch job submission failed: Socket timed out on send/recv operation", "blocking", True),
    ],
)
def test_a_job_that_is_not_taken_is_said(patient: Patient, says: str, severity: str, temporary: bool) -> None:
    """A refusal blocks; silence may be over soon."""
    patient.on_path("sbatch", f"#!/bin/sh\necho 'sbatch: error: {says}' >&2\nexit 1\n")
    check = seen_by(patient)["node job"]
    assert (check.severity, check.temporary) == (severity, temporary)
