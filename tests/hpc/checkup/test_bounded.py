"""Nothing that is looked at can hang the command or take the others with it."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from hpc.checkup.bounded import Begin, answers, look
from hpc.core.checkup.check import Check, Severity


def fine() -> Iterator[Begin | Check]:
    yield Begin("python")
    yield Check("python", "3.11")
    yield Begin("packages")
    yield Check("packages", "x" * 200_000)  # more than a pipe holds


def hangs() -> Iterator[Begin | Check]:
    yield Begin("controller")
    yield Check("controller", "answers")
    yield Begin("accounting", 0.3)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.run(["sleep", "60"], check=False)
    yield Check("accounting", "never said")


def dies() -> Iterator[Begin | Check]:
    yield Begin("HDF5 locks")
    os.kill(os.getpid(), signal.SIGKILL)
    yield Check("HDF5 locks", "never said")


def falls_over() -> Iterator[Begin | Check]:
    yield Begin("rename")
    raise RuntimeError("on purpose")


def says_nothing() -> Iterator[Begin | Check]:
    yield from ()


def test_each_subject_is_heard_whatever_becomes_of_the_others() -> None:
    """What hangs, dies or falls over is one check that says so; the rest is as ever; nobody is left behind."""
    told: list[str] = []
    subjects = {"python": fine, "controller": hangs, "HDF5 locks": dies, "rename": falls_over, "program": says_nothing}
    found = {check.name: check for check in look(subjects, told.append)}

    assert {name: check.severity for name, check in found.items()} == {
        "python": Severity.OK, "packages": Severity.OK, "controller": Severity.OK, "accounting": Severity.BLOCKING,
        "HDF5 locks": Severity.WARNING, "rename": Severity.WARNING,
    }  # fmt: skip
    assert (found["accounting"].found, found["accounting"].temporary) == ("no answer within 0.3 s", True)
    assert "died" in found["HDF5 locks"].found
    assert "on purpose" in found["rename"].found
    assert len(found["packages"].found) == 200_000
    assert any("accounting" in names for names in told)


def test_what_was_begun_ends_with_the_command(tmp_path: Path) -> None:
    """Whoever stops listening ends the processes of all subjects, and what these started."""
    mark, cleaned = tmp_path / "pid", tmp_path / "cleaned"

    def starts() -> Iterator[Begin | Check]:
        yield Begin("quota", 60)
        try:
            process = subprocess.Popen(["sleep", "60"])
            mark.write_text(str(process.pid))
            yield Check("quota", "first")
            process.wait()
        finally:
            cleaned.touch()

    checks = look({"quota": starts})
    assert next(checks).found == "first"
    checks.close()  # type: ignore[attr-defined]
    assert cleaned.exists()
    pid = int(mark.read_text())
    end = time.monotonic() + 30
    while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_question_comes_back_or_not() -> None:
    """An error is an answer, too."""

    def refuses() -> None:
        raise PermissionError

    assert answers(refuses)
    assert answers(lambda: None)
    assert not answers(lambda: time.sleep(60), 0.2)
