"""How often a loop that only looked on decided what people then did. Pure.

A decision is *as people did* when they did the same: started the same run again with the same memory, time and
micro-batch; left alone what it would have left; held what it would have held. It is *otherwise* when they did
something else, and *open* while they have done nothing since.
"""

from collections.abc import Iterable, Sequence

from hpc.core.immutable import immutable
from hpc.core.records.shadow import HOLD, LEAVE, START, Kept
from hpc.core.words import counted, few


@immutable
class Act:
    """What a person had started.

    Attributes:
        time: Unix time at which it was submitted.
        run_name, attempt: What.
        memory_mib, time_s, micro_batch: What it was given; None where no batch is declared.
    """

    time: float
    run_name: str
    attempt: int
    memory_mib: int
    time_s: int
    micro_batch: int | None = None


@immutable
class Score:
    """Decisions beside what people did.

    Attributes:
        same: As people did.
        otherwise: They did something else; each with what.
        unanswered: They have done nothing since.
    """

    same: tuple[Kept, ...]
    otherwise: tuple[tuple[Kept, str], ...]
    unanswered: tuple[Kept, ...]

    @property
    def text(self) -> str:
        """One sentence for people."""
        total = len(self.same) + len(self.otherwise) + len(self.unanswered)
        told = f"in shadow: of {counted(total, 'decision')}, {len(self.same)} as people did"
        told += f", {len(self.otherwise)} otherwise, {len(self.unanswered)} open" if total else ""
        cases = [f"{name_of(kept)}; {what}" for kept, what in self.otherwise]
        return f"{told} ({few(cases, 3, between='. ')})" if cases else told


def name_of(kept: Kept) -> str:
    """``would retry S1 (oom_gpu)``."""
    what = f" ({kept.category})" if kept.category else ""
    return f"would {kept.action} {kept.run_name}{what}".rstrip()


def newest_of(kept: Iterable[Kept], acts: Sequence[Act]) -> list[Kept]:
    """Of decisions about the same thing the last before anybody acted on it."""
    found: dict[tuple[str, str, int], Kept] = {}
    for each in sorted(kept, key=lambda one: one.time):
        before = found.get(each.subject)
        if before is None or not any(before.time < act.time <= each.time for act in _answers(before, acts)):
            found[each.subject] = each
    return list(found.values())


def score(kept: Iterable[Kept], acts: Sequence[Act], *, held_at: float | None = None) -> Score:
    """Hold decisions against what people did.

    Args:
        kept: All of them, in any order.
        acts: All that people submitted.
        held_at: Unix time since which the experiment is held by hand; None: it is not.
    """
    same: list[Kept] = []
    otherwise: list[tuple[Kept, str]] = []
    unanswered: list[Kept] = []
    for each in newest_of(kept, acts):
        answer = _judge(each, acts, held_at)
        if answer is None:
            unanswered.append(each)
        elif answer:
            otherwise.append((each, answer))
        else:
            same.append(each)
    return Score(tuple(same), tuple(otherwise), tuple(unanswered))


def _answers(kept: Kept, acts: Sequence[Act]) -> list[Act]:
    """What people started since, of what a decision is about."""
    least = kept.attempt + 1 if kept.action == LEAVE else kept.attempt
    return [
        act
        for act in acts
        if act.time > kept.time and (kept.action == HOLD or (act.run_name == kept.run_name and act.attempt >= least))
    ]


def _judge(kept: Kept, acts: Sequence[Act], held_at: float | None) -> str | None:
    """What people did instead; empty: the same; None: nothing since."""
    answers = _answers(kept, acts)
    if kept.action == HOLD:
        if answers:
            return f"people started {counted(len(answers), 'task')} more"
        return "" if held_at is not None and held_at >= kept.time else None
    if kept.action == LEAVE:
        if answers:
            return "people started it again"
        return "" if _is_passed_over(kept, acts) else None
    if not answers:
        return "people left it alone" if _is_passed_over(kept, acts) else None
    return "" if kept.action == START else _differences(kept, answers[0])


def _is_passed_over(kept: Kept, acts: Sequence[Act]) -> bool:
    """Whether people have started something else since, and not this."""
    return any(act.time > kept.time for act in acts)


def _differences(kept: Kept, act: Act) -> str:
    """What people gave it that it would not have had; empty where the same."""
    pairs = (
        ("memory", kept.memory_mib, act.memory_mib, " MiB"),
        ("time", kept.time_s, act.time_s, " s"),
        ("micro_batch", kept.micro_batch, act.micro_batch, ""),
    )
    told = [f"{name} {theirs}{unit}, not {ours}{unit}" for name, ours, theirs, unit in pairs if ours != theirs]
    return f"people gave it {' and '.join(told)}" if told else ""
