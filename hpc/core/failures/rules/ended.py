"""Who ended it: the limit, the scheduler, a person; or nobody, where it hung."""

from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.rule import RAISED, Role, Rule, Tier, row

F = FailureClass


def _counted(category: FailureClass, cause: str, proves: str, leaves_open: str) -> Rule:
    """Return the row of lines that say, beside the other counts of their log, that nothing or not all was done."""
    return row(
        f"counted-{cause.replace('_', '-')}", category, cause, r"\b\B", proves, leaves_open,
        tier=Tier.TRACE, confidence=0.6, role=Role.COUNTED,
    )  # fmt: skip


def _reported(name: str, category: FailureClass, cause: str, states: str, meaning: str) -> Rule:
    """Return the row of what a workflow manager says of a job of its own that Slurm ended."""
    return row(
        f"reported-{name}", category, cause,
        r"\b(?:slurm|cluster|batch|sacct|job|step)\b.{0,80}\b(?:status|state|reason|failed with|ended)\b.{0,16}"
        rf"\b(?-i:{states})\b",
        f"the workflow manager reports that a job of it {meaning}",
        "anything about the other jobs",
        confidence=0.85,
    )  # fmt: skip


EARLY: tuple[Rule, ...] = (
    _reported("timeout", F.TIMEOUT, "limit", "TIMEOUT|DEADLINE", "reached its time limit"),
    _reported("memory", F.OOM_HOST, "cgroup", "OUT_OF_MEMORY|OUT_OF_ME\\+", "was killed at its memory limit"),
    _reported("node", F.NODE_FAILURE, "node_down", "NODE_FAIL|BOOT_FAIL", "lost its node"),
    _reported("preempted", F.PREEMPTED, "state", "PREEMPTED", "was preempted"),
    row(
        "timeout-command", F.TIMEOUT, "limit",
        r"^timeout: sending signal \w+ to command",
        "timeout(1) ended the program after the time it was given",
        "whether it was making progress",
        tier=Tier.SYMPTOM,
    ),
    row(
        "timeout-said", F.TIMEOUT, "limit",
        r"\b(?:max_?time|wall_?time|(?:wall ?clock |wall ?|run ?|cpu )?time(?:_| )?(?:limit|budget|allowance"
        r"|allotment)"
        r"|maximum (?:run ?)?time|allotted time|deadline)\b.{0,50}\b(?:reached|exceeded|exhausted|used up|spent|is up"
        r"|hit|over|expired"
        r"|passed|stopp\w+)\b|\b(?:ran|running|run) out of (?:wall ?|run)?time\b",
        "the program stopped at a limit of time",
        "whose limit: the job's, or its own",
        tier=Tier.SYMPTOM, needs_failure=True, confidence=0.7,
    ),
    row(
        "cancelled-by-user", F.CANCELLED, "user",
        r"\b(?:on|at|by|upon) (?:the )?user(?:'s|s')? request\b|\b(?:cancell?ed|aborted|interrupted|stopped"
        r"|terminated"
        r"|halted) by (?:the |a )?(?:user|operator|administrator|admin)\b|\b(?:detected"
        r"|caught) keyboard ?interrupt|\binterrupt (?:request )?received\b|\b(?:pressed|by|on"
        r"|after) ctrl[ +-]?c\b|\bsolve interrupted\b"
        r"|\^C$|\buser (?:has )?(?:requested"
        r"|cancell?ed|aborted"
        r"|interrupted)\b|\b(?:from|by|via) scancel\b|\b(?:stop|abort|exit|kill|halt|quit)[ _-]?file\b.{0,24}"
        r"\b(?:found|detected|present|seen|exists?|encountered|appeared|read)\b|\b(?:found|detected|saw|seeing"
        r"|encountered) "
        r"(?:an? |the )?(?:\S{1,40} )?(?:stop|abort|exit|kill|halt|quit)[ _-]?file\b|\bsoft stop encountered\b"
        r"|\bkeyboard interrupt received\b",
        "a person asked for it to be stopped",
        "who and why",
        tier=Tier.SYMPTOM, confidence=0.8,
    ),
    row(
        "hang-in-collective", F.COMMUNICATION, "hang",
        r"\bno (?:new )?(?:progress|step|steps|activity|batch)\b.{0,40}\b(?:for|in|since) (?:the last )?\d.{0,40}"
        r"\b(?:ranks?|workers?|processes)\b",
        "a watchdog saw no progress, and the ranks waiting for one another",
        "which rank did not come",
        near=r"\b(?:all_?reduce|all_?gather|reduce_?scatter|broadcast|barrier|all_?to_?all|MPI_\w+|nccl\w*|recv)\b",
        tier=Tier.SYMPTOM, confidence=0.75,
        suggestion="more time does not help: read the stack of the rank that stands elsewhere, then resume",
    ),
    row(
        "cancelled-by-signal", F.CANCELLED, "signal",
        r"cancelled at \S{1,40} due to signal (?:terminated|interrupt|hangup)",
        "somebody sent the step a signal through Slurm",
        "who",
        tier=Tier.SYMPTOM, confidence=0.7,
    ),
    row(
        "preempted-capacity", F.PREEMPTED, "reclaimed",
        r"(?:spot|preemptible|instance|capacity|node|vm)\b.{0,60}(?:being |will be |was )?(?:reclaimed|preempted"
        r"|evicted)"
        r"|(?:preemption|termination|eviction) notice|evict(?:ed|ing) pod",
        "the machine was reclaimed for another job",
        "how much work was lost; that depends on the checkpoints",
        tier=Tier.SYMPTOM, confidence=0.85,
        role=Role.TAKEN_AWAY,
    ),
    row(
        "hang-announced", F.TIMEOUT, "hang",
        r"\bno (?:new )?(?:progress|step|steps|heartbeat|output|activity|batch)\b.{0,40}\b(?:for|in"
        r"|since) (?:the last )?\d"
        r"|^timeout \(\d{1,3}:\d\d:\d\d(?:\.\d+)?\)!|\b(?:seems|appears|appear|is|was|looks|got) (?:to be )?(?:hung"
        r"|hanging"
        r"|deadlocked|frozen|stuck)\b|\bhang (?:was )?detected|deadlock detected|stalled for (?:more than )?\d",
        "the program or its watchdog reported that it had stopped making progress",
        "where it hung",
        tier=Tier.SYMPTOM, confidence=0.75,
        suggestion="more time does not help a hang: find where it stood (py-spy, the stacks in the log), then resume",
    ),
)  # fmt: skip
"""Asked right after the rows about memory."""

ROWS: tuple[Rule, ...] = (
    _counted(
        F.DATA, "nothing", "the program counts nothing it worked on, or nothing that came of it",
        "whether the path, a filter or an earlier step is wrong",
    ),
    _counted(F.CODE_BUG, "none_good", "a summary counts failures and no success", "why they failed"),
    _counted(F.CODE_BUG, "all_failed", "each item failed alike, and nothing came of them", "why they failed"),
    _counted(
        F.CHECKPOINT, "unloaded", "a model was measured of which no weights had been loaded",
        "whether the file, its names or the model is wrong",
    ),
    _counted(
        F.DATA, "made_up", "an input was not there, and the run went on with one that was made up",
        "whether the path or the data is missing",
    ),
    _counted(F.CODE_BUG, "last_word", "the last thing the program said is an error", "what it means"),
    _counted(F.UNKNOWN, "short", "the program ended itself before it had done what it counts", "why it did"),
    _counted(F.CODE_BUG, "undone", "parts were not done because another one had failed", "why that one failed"),
    row(
        "told-to-stop", F.PREEMPTED, "told",
        r"\b(?:received|caught|got|handling) (?:signal )?(?:SIG)?(?:TERM|USR1|USR2|10|12|15)\b"
        r"|\bsig(?:term|usr[12])\b.{0,30}\b(?:received|caught)\b|^terminated\W*$",
        "the program was told to end, and did before its work was done",
        "who told it: the scheduler, or a person",
        tier=Tier.SYMPTOM, needs_failure=True, confidence=0.7, when=lambda e: e.exit_code == 0,
        suggestion="resume from the last checkpoint",
    ),
    row(
        "log-time-limit", F.TIMEOUT, "limit",
        r"due to time limit|due to deadline|job (?:has )?reached (?:its )?(?:the )?(?:time|walltime) limit"
        r"|\b(?:wall ?(?:clock )?|run ?)time\b.{0,40}\bexceed|exceed\w{0,3} .{0,30}\b(?:wall ?(?:clock )?time"
        r"|run(?:ning)? time|runlimit)"
        r"|TERM_RUNLIMIT"
        r"|this job is timed.out",
        "Slurm ended the job at its time limit",
        "whether it was making progress",
        tier=Tier.SYMPTOM,
        confidence=0.97,
        role=Role.TIME_LIMIT,
    ),
    row(
        "log-preempted", F.PREEMPTED, "requeue",
        r"due to preemption|due to job requeue|this job is preempted|job preempted|preemption signal"
        r"|spot instance interruption|preemption notice"
        r"|instance .{0,40}(?:is being |was )?(?:reclaimed|preempted)|host maintenance event",
        "Slurm gave the nodes to somebody else or put the job back",
        "how much work was lost; that depends on the checkpoints",
        tier=Tier.SYMPTOM,
        confidence=0.95,
        role=Role.TAKEN_AWAY,
    ),
    row(
        "log-cancelled", F.CANCELLED, "scancel",
        r"\*\*\* job \S+ (?:on \S+ )?cancelled at \S+(?! due to)\s*\*\*\*",
        "somebody or something cancelled the job; Slurm names no limit and no preemption",
        "who",
        tier=Tier.TRACE,
        when=lambda e: e.state is None or e.state.value == "CANCELLED",
    ),
    row(
        "log-step-cancelled", F.CANCELLED, "scancel",
        r"\*\*\* step \S+ (?:on \S+ )?cancelled at \S+(?! due to)\s*\*\*\*",
        "Slurm cancelled a step of a job that was cancelled",
        "who",
        tier=Tier.TRACE,
        when=lambda e: e.state is not None and e.state.value == "CANCELLED",
    ),
    row(
        "log-keyboard-interrupt", F.CANCELLED, "interrupt",
        RAISED
        + r"KeyboardInterrupt\b|got signal: 2\b|received sigint",
        "an interrupt (Ctrl-C or SIGINT) ended the program",
        "whether a person pressed it",
        tier=Tier.SYMPTOM,
    ),
)  # fmt: skip
