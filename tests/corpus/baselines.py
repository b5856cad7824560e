"""What is to be beaten: answers that need no reading. Each takes a case and says a class."""

import re
from collections.abc import Callable, Sequence

from hpc.core.failures.classify import classify
from hpc.core.failures.evidence import Evidence, FailureClass, Verdict
from hpc.core.slurm.states import SlurmState
from tests.corpus.answers import Answered
from tests.corpus.cases import Case, evidence_of_case

F = FailureClass

KEYWORDS: tuple[tuple[str, FailureClass], ...] = (
    ("cuda out of memory", F.OOM_GPU), ("hip out of memory", F.OOM_GPU), ("resource_exhausted", F.OOM_GPU),
    ("oom-kill", F.OOM_HOST), ("oom_kill", F.OOM_HOST), ("out of memory", F.OOM_HOST), ("memoryerror", F.OOM_HOST),
    ("cannot allocate memory", F.OOM_HOST), ("shared memory", F.OOM_SHM), ("/dev/shm", F.OOM_SHM),
    ("time limit", F.TIMEOUT), ("preempt", F.PREEMPTED), ("node failure", F.NODE_FAILURE), ("cancelled", F.CANCELLED),
    ("xid", F.GPU_HARDWARE), ("ecc error", F.GPU_HARDWARE), ("nccl", F.COMMUNICATION), ("rendezvous", F.COMMUNICATION),
    ("connection re", F.COMMUNICATION), ("mpi_abort", F.COMMUNICATION), ("no space left", F.STORAGE),
    ("quota", F.STORAGE), ("stale file handle", F.STORAGE), ("input/output error", F.STORAGE),
    ("fatal:", F.CONTAINER), ("modulenotfounderror", F.ENVIRONMENT), ("importerror", F.ENVIRONMENT),
    ("command not found", F.ENVIRONMENT), ("cannot open shared object", F.ENVIRONMENT),
    ("filenotfounderror", F.DATA), ("no such file", F.DATA), ("checkpoint", F.CHECKPOINT), ("state_dict", F.CHECKPOINT),
    ("unrecognized arguments", F.CONFIG), ("invalid", F.CONFIG), ("nan", F.DIVERGENCE), ("diverged", F.DIVERGENCE),
    ("traceback", F.CODE_BUG), ("segmentation fault", F.CODE_BUG), ("error", F.CODE_BUG),
)  # fmt: skip
"""What somebody would grep for, from the telling to the vague: forty words, first written and never tuned."""
_WORDS = [(re.compile(r"\b" + re.escape(word), re.IGNORECASE), category) for word, category in KEYWORDS]


def by_state(case: Case) -> FailureClass:
    """Say what Slurm's state and the exit code alone say."""
    whole = evidence_of_case(case)
    return classify(Evidence(state=whole.state, exit_code=whole.exit_code, exit_signal=whole.exit_signal)).category


def by_keyword(case: Case) -> FailureClass:
    """Say the class of the first keyword of the table that stands anywhere; a success is what ended with 0."""
    evidence = evidence_of_case(case)
    if evidence.state is SlurmState.COMPLETED:
        return F.SUCCESS
    text = "\n".join(line.text for line in evidence.log)
    return next((category for word, category in _WORDS if word.search(text)), F.UNKNOWN)


BASELINES: tuple[tuple[str, Callable[[Case], FailureClass]], ...] = (
    ("Slurm's state and exit code alone", by_state),
    ("the first keyword of a table of forty", by_keyword),
)


def answer_with(say: Callable[[Case], FailureClass], answers: Sequence[Answered]) -> list[Answered]:
    """Answer the same cases with a baseline."""
    return [Answered(a.case, Verdict(say(a.case), "baseline")) for a in answers]
