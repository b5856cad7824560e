"""When an experiment is held: one cause in many tasks, and never what a retry heals, a result or a wish."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.experiment.spec import Breaker
from hpc.core.failures.breaker import UNCURED, Ended, check_breaker, fingerprint
from hpc.core.failures.evidence import FailureClass, LogLine, Verdict
from hpc.core.retry.actions import ACTIONS

F = FailureClass


def ended(*categories: FailureClass, cause: str = "", line: str = "boom") -> list[Ended]:
    return [
        Ended(f"S{n}", category, "" if category is F.SUCCESS else f"{category}: {line}", n, cause, line)
        for n, category in enumerate(categories)
    ]


def verdict(line: str, category: FailureClass = F.CODE_BUG) -> Verdict:
    return Verdict(category, "rule", (LogLine("stderr", 1, line),), cause="x")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("KeyError at /scratch/anna/run_7/model.py:31", "KeyError at /scratch/anna/run_12/model.py:31"),
        ("2026-11-21 13:05:07,123 ERROR loss 0.31", "2026-11-22T09:00:00Z ERROR loss 1.2e-3"),
        ("object at 0x7f2867c10fb0", "object at 0x7f2867c10000"),
        ("10.1.2.3:29500 refused", "10.1.2.77:29501 refused"),
        ("shape [16, 3] and [8, 3]", "shape [2, 3]  and [1, 3]"),
    ],
)
def test_what_is_one_tasks_own_is_blanked(one: str, other: str) -> None:
    """Numbers, paths, addresses and times make no difference; words do."""
    assert fingerprint(verdict(one)) == fingerprint(verdict(other))
    assert fingerprint(verdict(one)) != fingerprint(verdict(one + " twice"))
    assert fingerprint(verdict(one)) != fingerprint(verdict(one, F.CONFIG))


def test_a_hostile_line_has_a_short_fingerprint() -> None:
    """A line of a megabyte, of digits or of slashes, costs little and stays short."""
    for line in ("9" * 10**6, "/a" * 10**6, "\0" * 10**6, "/" * 10**6):
        assert len(fingerprint(verdict(line))) < 300
    assert fingerprint(Verdict(F.UNKNOWN, "no-rule")) == "unknown/: no-rule"


def test_three_alike_among_the_first_six_hold() -> None:
    """Same fingerprint in three of the first six: held, with the tasks, the line and the counts."""
    trip = check_breaker(ended(F.SUCCESS, F.CODE_BUG, F.CODE_BUG, F.SUCCESS, F.CODE_BUG), 60, Breaker())
    assert trip
    assert trip.tasks == ("S1", "S2", "S4")
    assert trip.evidence == "boom"
    assert trip.reason == "3 of the first 5 tasks that ended (of 60) failed in the same way: code_bug"


def test_later_ones_are_not_the_first() -> None:
    """Three alike after a good beginning do not hold; most of all tasks do."""
    late = ended(*[F.SUCCESS] * 6, *[F.CODE_BUG] * 3)
    assert check_breaker(late, 60, Breaker()) is None
    assert check_breaker([*late, Ended("T", F.CODE_BUG, "another", 99)], 60, Breaker(share=0.4))


def test_most_of_an_array_in_one_class_holds() -> None:
    """Half of ten ended in one class, each with a line of its own: held; nine ended are too few to tell."""
    many = [Ended(f"S{n}", F.DATA if n % 2 else F.SUCCESS, f"data/{n}" if n % 2 else "", n) for n in range(10)]
    assert check_breaker(many[:9], 60, Breaker()) is None
    trip = check_breaker(many, 60, Breaker())
    assert trip
    assert "5 of 10 tasks that ended (of 60) failed in one class: data" in trip.reason
    assert check_breaker(many, 60, Breaker(share=0.0)) is None


def test_one_full_disk_holds_at_once() -> None:
    """A full file system or quota strikes every task that writes; a path that is not ours to write, only one."""
    trip = check_breaker(ended(F.STORAGE, cause="quota"), 60, Breaker())
    assert trip
    assert "storage is full or broken (quota), seen in S0" in trip.reason
    assert check_breaker(ended(F.STORAGE, cause="permission"), 60, Breaker()) is None


def test_what_was_accepted_holds_no_more() -> None:
    """After a release the same fingerprint does not trip again, another one does."""
    failures = ended(*[F.CODE_BUG] * 3)
    trip = check_breaker(failures, 9, Breaker())
    assert trip
    assert check_breaker(failures, 9, Breaker(), accepted={trip.fingerprint}) is None
    assert check_breaker(failures, 9, Breaker(), accepted={"another"})


def test_what_was_accepted_does_not_hold_as_most_of_its_class() -> None:
    """Ten alike, released: their class is no second reason, until as many fail in it over something else."""
    alike = ended(*[F.CODE_BUG] * 10)
    trip = check_breaker(alike, 40, Breaker())
    assert trip
    assert check_breaker(alike, 40, Breaker(), accepted={trip.fingerprint}) is None
    others = [replace(each, run_name=f"other{i}", fingerprint=f"code_bug/: {i}") for i, each in enumerate(alike)]
    again = check_breaker([*alike, *others], 40, Breaker(), accepted={trip.fingerprint})
    assert again
    assert set(again.tasks) == {each.run_name for each in others}


def test_a_release_mends_storage_until_it_fails_again() -> None:
    """One release for all the words in which a full disk was reported; the next full disk holds again."""
    before = [
        Ended(f"S{n}", F.STORAGE, f"storage/full: {line}", n, "full", line) for n, line in enumerate("abcabcabcabc", 1)
    ]
    assert check_breaker(before, 60, Breaker())
    assert check_breaker(before, 60, Breaker(), released=20.0) is None
    again = Ended("S1", F.STORAGE, "storage/full: a", 21.0, "full", "a")
    trip = check_breaker([*before, again], 60, Breaker(), {"storage/full: a"}, released=20.0)
    assert trip
    assert trip.tasks == ("S1",)


@given(st.lists(st.sampled_from(sorted(set(F) - UNCURED)), max_size=40))
def test_healed_classes_results_and_wishes_never_hold(categories: list[FailureClass]) -> None:
    """However many ran out of memory or time, diverged or were cancelled: nothing is held."""
    assert check_breaker(ended(*categories), len(categories), Breaker(same=1, of_first=40, share=0.01)) is None


@given(st.lists(st.sampled_from(sorted(F)), max_size=40), st.sampled_from(["", "full"]))
def test_off_never_holds(categories: list[FailureClass], cause: str) -> None:
    """`breaker: off` means off, for storage too."""
    assert check_breaker(ended(*categories, cause=cause), len(categories), None) is None


def test_no_class_without_a_cure_is_healed() -> None:
    """What the plan never repeats is uncured, a result or a wish; what it repeats with a change is not uncured."""
    never = {category for category, action in ACTIONS.items() if action.action == "none"}
    assert never - UNCURED == {F.DIVERGENCE, F.NOT_CONVERGED, F.CANCELLED}
    assert UNCURED - never == {F.CHECKPOINT, F.UNKNOWN}


@pytest.mark.parametrize(
    ("nodes", "causes", "holds"),
    [
        (("n1",), ("io",), False),
        (("n1", "n1", "n1"), ("io", "io", "io"), False),
        (("n1", "n2"), ("io", "io"), True),
        (("n1", ""), ("io", "io"), True),
        (("",), ("io",), True),
        (("n1",), ("full",), True),
        (("n1", "n1"), ("io", "quota"), True),
    ],
)
def test_one_nodes_io_error_holds_nothing(nodes: tuple[str, ...], causes: tuple[str, ...], holds: bool) -> None:
    """A broken mount is that node's; from several nodes, or from nobody knows where, it is the file system's."""
    tasks = [
        Ended(f"S{n}", F.STORAGE, "storage/io: x", n, cause, "x", node)
        for n, (node, cause) in enumerate(zip(nodes, causes, strict=True))
    ]

    assert bool(check_breaker(tasks, 60, Breaker())) is holds
