"""What compute nodes saw, in the tiny job of a check-up."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpc.core.checkup.check import Check, Severity
from hpc.core.checkup.storage import KEEP_ELSEWHERE
from hpc.core.words import few

NOTE, WARNING, BLOCKING = Severity.NOTE, Severity.WARNING, Severity.BLOCKING
GOT, REFUSED, BROKEN = 0, 1, 2
SKEW_S = 2.0


@dataclass(frozen=True)
class Seen:
    """What one node saw.

    Attributes:
        host: The node, as it calls itself.
        flock, fcntl: What it met where this machine holds a lock: `REFUSED` is right.
        once: Whether it could not make a name again that this machine had made.
        between: What it met where another node holds a lock; None where there was none.
        skew_s: Seconds by which its clock was ahead, at most: it read ours some time after we wrote it.
        cgroups: Version of its control groups.
        memory_mib: What the job's control group lets it take; None where it is not bounded.
        apptainer: What Apptainer said there; empty where it is not; None where nobody asked.
        image: Whether it saw the image; None where there is none.
        self_test: What its self test printed, or why it printed nothing; None where it ran none.
    """

    host: str
    python: str = ""
    cgroups: int = 0
    memory_mib: int | None = None
    flock: int = REFUSED
    fcntl: int = REFUSED
    once: bool = True
    between: int | None = None
    skew_s: float = 0.0
    apptainer: str | None = None
    image: bool | None = None
    self_test: Mapping[str, Any] | str | None = None


def read_seen(answer: Mapping[str, Any]) -> Seen:
    """Read what a node wrote; keys of later versions are passed over."""
    return Seen(**{name: value for name, value in answer.items() if name in Seen.__dataclass_fields__})


def judge_nodes(seen: Sequence[Seen], waited_s: float) -> Iterator[Check]:
    """Make the checks that follow from what nodes saw.

    Args:
        waited_s: Seconds between our writing the time and the first answer: no smaller skew can be told.
    """
    hosts = few([each.host for each in seen])
    yield Check("node sees the runs", f"{hosts} can read and write there")
    yield _locks(seen)
    again = [each.host for each in seen if not each.once]
    if again:
        found = f"{few(again)} created a name that already existed"
        yield Check("node exclusive create", found, "that a name can be created only once", KEEP_ELSEWHERE, BLOCKING)
    else:
        yield Check("node exclusive create", "a name is made once")
    yield _clock(seen, waited_s)
    said = ", ".join(f"{each.host}: v{each.cgroups}, {_bound(each)}" for each in seen)
    unbounded = any(each.memory_mib is None for each in seen)
    yield Check(
        "node control groups",
        said,
        "a memory limit that is enforced" if unbounded else "",
        "",
        NOTE if unbounded else Severity.OK,
    )
    if any(each.apptainer is not None or each.image is not None for each in seen):
        yield _container(seen)


def _bound(each: Seen) -> str:
    return f"{each.memory_mib} MiB" if each.memory_mib is not None else "memory not limited"


def _locks(seen: Sequence[Seen]) -> Check:
    got = [each.host for each in seen if GOT in (each.flock, each.between)]
    if got:
        mend = KEEP_ELSEWHERE + "  # or act on an experiment from one machine only"
        found = f"{few(got)} got a lock that another machine held"
        return Check("node locks", found, "locks between machines", mend, BLOCKING)
    broken = [each.host for each in seen if BROKEN in (each.flock, each.between)]
    if broken:
        mend = KEEP_ELSEWHERE + "  # leases replace them, more slowly"
        return Check("node locks", f"none on {few(broken)}", "locks between machines", mend, WARNING)
    also = ", and between two nodes" if any(each.between is not None for each in seen) else ""
    return Check("node locks", f"exclude between this machine and a node{also}")


def _clock(seen: Sequence[Seen], waited_s: float) -> Check:
    off = {each.host: each.skew_s for each in seen if each.skew_s < -SKEW_S or each.skew_s > waited_s + SKEW_S}
    if not off:
        return Check("node clock", "as this clock", f"within {SKEW_S:g} s")
    said = ", ".join(f"{host} {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}" for host, skew in off.items())
    return Check(
        "node clock", said, f"within {SKEW_S:g} s", "timedatectl status  # on that node: tell the site", WARNING
    )


def _container(seen: Sequence[Seen]) -> Check:
    without = [each.host for each in seen if each.apptainer == ""]
    blind = [each.host for each in seen if each.image is False]
    if blind:
        mend = "keep images on the shared file system, and name the folder in the profile (image_dir:)"
        return Check("node container", f"{few(blind)} does not see the image", "the image", mend, BLOCKING)
    if without:
        mend = "load it in the profile's setup:  - module load apptainer"
        return Check("node container", f"not on PATH of {few(without)}", "Apptainer", mend, WARNING)
    return Check("node container", f"{seen[0].apptainer or 'image'}, seen from {few([each.host for each in seen])}")
