"""When failures stop being single: one cause behind many of them, which trying again does not cure. Pure.

Results (`divergence`, `not_converged`), wishes (`cancelled`) and what a retry heals never count.
"""

from collections import Counter
from collections.abc import Collection, Sequence

from hpc.core.experiment.spec import Breaker
from hpc.core.failures.evidence import OF_STATE, FailureClass, Verdict
from hpc.core.immutable import immutable
from hpc.core.words import counted

F = FailureClass

UNCURED = frozenset(
    {F.CODE_BUG, F.CONTAINER, F.ENVIRONMENT, F.DATA, F.CONFIG, F.STORAGE, F.CHECKPOINT, F.UNKNOWN}
)  # fmt: skip
"""Classes that no change of ours cures."""

EVERYBODYS = frozenset({"full", "quota", "io", "write", "saving"})
"""Sub-causes of `storage` that strike every task that writes: one is enough."""

ONE_NODES = frozenset({"io"})
"""Those of them that a single node can have, because its mount or its disk is broken: they strike everybody only where
several nodes have them. The node is left out first."""

MAX_LINE = 200


@immutable
class Ended:
    """A task that is over.

    Attributes:
        run_name: As in the manifest.
        category: What its last attempt came to, `success` included.
        fingerprint: As `fingerprint` makes it; empty for a success.
        when: Unix time at which it ended.
        cause: Sub-cause of the class.
        evidence: The line that decided.
        node: The one node it ran on; empty where that is not known, or where there is no other to go to.
    """

    run_name: str
    category: FailureClass
    fingerprint: str
    when: float
    cause: str = ""
    evidence: str = ""
    node: str = ""


@immutable
class Trip:
    """Why an experiment is to be held.

    Attributes:
        reason: One sentence.
        fingerprint: What the failures have in common; once a person has accepted it, it holds nothing any more.
        evidence: A line that shows it.
        tasks: Run names it was seen in.
    """

    reason: str
    fingerprint: str
    evidence: str
    tasks: tuple[str, ...]


def one_node(node: str) -> str:
    """The node where it is a single one; empty of several (``n[1-4]``), of which nobody knows which one it was."""
    return "" if set("[,") & set(node) else node


def fingerprint(verdict: Verdict) -> str:
    """Name what failures of one kind share: class, sub-cause, and the deciding line without what is one task's own.

    Where a state or an exit record decided it stands for the line: not every log says it in words.
    Numbers, paths, addresses and times are blanked, so that ``/scratch/a/x.py line 3`` and ``/scratch/b/x.py line 4``
    are the same.
    """
    from hpc.core.failures.templates import blank  # and with it how logs are read, which who asks for a hold does not

    known = next((line.text for line in verdict.evidence if line.source in OF_STATE), None)
    line = known or (verdict.evidence[0].text if verdict.evidence else verdict.rule)
    return f"{verdict.category}/{verdict.cause}: {blank(line[: 4 * MAX_LINE])[:MAX_LINE]}"


def check_breaker(
    ended: Sequence[Ended],
    total: int,
    policy: Breaker | None,
    accepted: Collection[str] = (),
    released: float = 0.0,
) -> Trip | None:
    """Find a cause that will strike the rest too.

    Args:
        ended: Every task that is over, successes included, in any order.
        total: Tasks of the experiment.
        policy: When to hold; None: never.
        accepted: Fingerprints of earlier trips that somebody has released.
        released: Unix time of the last release: storage that failed before it has been mended, whatever its words.

    Returns:
        Why the experiment is to be held; None where nothing speaks for it. A full file system or quota is found first,
        and an I/O error that several nodes had, then one fingerprint among the first tasks, then one class in most of
        them.
    """
    if policy is None:
        return None
    in_order = sorted(ended, key=lambda each: (each.when, each.run_name))
    return (
        _storage([each for each in in_order if each.when >= released])
        or (_same(in_order, total, policy, accepted) if policy.same else None)
        or (_most(in_order, total, policy, accepted) if policy.share else None)
    )


def _storage(ended: Sequence[Ended]) -> Trip | None:
    struck = [each for each in ended if each.category is F.STORAGE and each.cause in EVERYBODYS]
    nodes = {each.node for each in struck}
    if not struck or (len(nodes) == 1 and "" not in nodes and all(each.cause in ONE_NODES for each in struck)):
        return None  # one node's mount or disk: the retry goes elsewhere
    where = f"{struck[0].run_name} and {len(struck) - 1} more" if len(struck) > 1 else struck[0].run_name
    return _trip(
        f"storage is full or broken ({struck[0].cause}), seen in {where}; other tasks would fail as well", struck
    )


def _is_uncured(task: Ended) -> bool:
    """Whether a failure counts for the two rules about many; storage that strikes everybody has a rule of its own."""
    return task.category in UNCURED and not (task.category is F.STORAGE and task.cause in EVERYBODYS)


def _same(ended: Sequence[Ended], total: int, policy: Breaker, accepted: Collection[str]) -> Trip | None:
    first = ended[: policy.of_first]
    counts = Counter(each.fingerprint for each in first if _is_uncured(each))
    for common, count in counts.most_common():
        if count >= policy.same and common not in accepted:
            struck = [each for each in first if each.fingerprint == common]
            return _trip(
                f"{count} of the first {counted(len(first), 'task')} that ended (of {total}) failed in the same way: "
                f"{struck[0].category}",
                struck,
            )
    return None


def _most(ended: Sequence[Ended], total: int, policy: Breaker, accepted: Collection[str]) -> Trip | None:
    if len(ended) < policy.at_least:
        return None
    # What somebody has looked at and released must not hold the experiment again at the next look, as its class.
    failed = [each for each in ended if _is_uncured(each) and each.fingerprint not in accepted]
    counts = Counter(each.category for each in failed)
    for category, count in counts.most_common(1):
        common = f"{category}: most of the tasks"
        if count >= policy.share * len(ended) and common not in accepted:
            struck = [each for each in failed if each.category is category]
            reason = f"{count} of {counted(len(ended), 'task')} that ended (of {total}) failed in one class: {category}"
            return _trip(reason, struck, common)
    return None


def _trip(reason: str, struck: Sequence[Ended], common: str = "") -> Trip:
    return Trip(
        reason, common or struck[0].fingerprint, struck[0].evidence, tuple(dict.fromkeys(e.run_name for e in struck))
    )
