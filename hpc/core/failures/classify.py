"""Why an attempt ended: Evidence in, one Verdict out. Pure, and total: every evidence gets exactly one verdict.

How it decides, in this order (the first step with an answer wins):

1. numbers       losses that stayed NaN or infinite are a divergence, whatever the exit code says
2. success       the program recorded its end and its metrics are whole; or it exited with 0 and nothing unsurvived
                 stands in its log. A success that learned nothing is `not_converged`
3. kernel        the memory cgroup killed something
4. scheduler     preempted, node lost: what the log says afterwards is fallout
5. checkpointed  the program stopped on request and wants to go on
6. log           deepest message that was not survived: causes before faults; the first of the first failing rank
                 (of a canary's ladder of checks, after a named cause: the rung that broke)
7. scheduler     time limit, cancelled; then the signals the wrapper saw
8. log           symptoms: what ranks and launchers say once somebody is dead; then errors that seemed survived
9. exit code     what is left; and what is not known is `unknown`, never a success
"""

import re
from collections.abc import Callable, Sequence
from itertools import takewhile

from hpc.core.failures.evidence import OF_STATE, UNREADABLE, Evidence, FailureClass, LogLine, Verdict
from hpc.core.failures.fact_rules import CHECKPOINTED, FACT_RULES, SIGINT, FactRule, Step, fact, signal_of
from hpc.core.failures.health import examine
from hpc.core.failures.log_rules import LOG_RULES
from hpc.core.failures.rule import NEIGHBOURS, Role, Rule, Tier
from hpc.core.failures.scene import Event, Scene, observe
from hpc.core.immutable import immutable, replace
from hpc.core.slurm.states import SlurmState as S

F = FailureClass


@immutable
class ClassAdvice:
    """What a class means and what a person does about it.

    Attributes:
        meaning: One sentence.
        suggestion: Next step.
    """

    meaning: str
    suggestion: str


ADVICE: dict[FailureClass, ClassAdvice] = {
    F.SUCCESS: ClassAdvice("the attempt gave its result", "nothing to do"),
    F.OOM_GPU: ClassAdvice(
        "the training device ran out of memory",
        "halve the micro-batch and double the accumulation: the global batch and the optimiser steps stay",
    ),
    F.OOM_HOST: ClassAdvice(
        "the host's memory, or the job's share of it, ran out",
        "ask for more memory (resources.mem) or use fewer loader workers; a smaller batch hardly helps",
    ),
    F.OOM_SHM: ClassAdvice(
        "shared memory (/dev/shm) ran out",
        "use fewer loader workers or a larger /dev/shm; remove what dead jobs left there",
    ),
    F.DIVERGENCE: ClassAdvice(
        "loss or gradients left the finite numbers",
        "it is a result of this configuration; to learn why, look at the gradient norm and learning rate before it",
    ),
    F.TIMEOUT: ClassAdvice("the time limit came first", "resume from the last checkpoint, with more time if needed"),
    F.PREEMPTED: ClassAdvice("the nodes were given to somebody else", "resume from the last checkpoint"),
    F.CANCELLED: ClassAdvice("a person cancelled it", "submit it again if that was not meant"),
    F.NODE_FAILURE: ClassAdvice("the node failed", "resume elsewhere; tell the site if the node fails again"),
    F.GPU_HARDWARE: ClassAdvice("a GPU is broken", "resume on another node and report this one"),
    F.COMMUNICATION: ClassAdvice(
        "ranks lost or never found each other",
        "resume; if it comes back at the same step one rank dies silently: read its own log",
    ),
    F.STORAGE: ClassAdvice("a file system was full, slow or broken", "free space or quota, then submit again"),
    F.CONTAINER: ClassAdvice("the container did not start", "check image path, binds and runtime"),
    F.ENVIRONMENT: ClassAdvice("a package, library, driver or command does not fit", "mend the image or environment"),
    F.DATA: ClassAdvice("an input is missing, damaged or out of range", "mend the data or its path"),
    F.CHECKPOINT: ClassAdvice(
        "a checkpoint cannot be loaded", "go back to the checkpoint before it, or start without one"
    ),
    F.CONFIG: ClassAdvice("what was asked for is not possible", "correct the experiment file"),
    F.CODE_BUG: ClassAdvice("the program has a fault", "read the traceback"),
    F.NOT_CONVERGED: ClassAdvice(
        "it ran to its end without learning", "it is a result; check data, learning rate and reward before others"
    ),
    F.UNKNOWN: ClassAdvice("nothing known explains the end", "read the log's last lines; one retry is worth it"),
}


def classify(evidence: Evidence) -> Verdict:
    """Name the class of one attempt, with the rule and the lines that decided. Never fails, never guesses success."""
    return classify_with_reasons(evidence)[0]


def classify_with_reasons(evidence: Evidence) -> tuple[Verdict, tuple[str, ...]]:
    """Name the class, and in words what was looked for before it and not found: what the verdict excludes."""
    return conclude(observe(evidence))


def conclude(scene: Scene) -> tuple[Verdict, tuple[str, ...]]:
    """As `classify_with_reasons`, of logs that somebody else looks into, too."""
    evidence = scene.evidence
    without: list[str] = []
    for sought, step in _STEPS:
        verdict = step(scene)
        if verdict is not None:
            return _with_seen(_with_unread(verdict, evidence), evidence), tuple(
                dict.fromkeys(each for each in without if each != sought)
            )
        without.append(sought)
    raise AssertionError("the last step always answers")


def _with_unread(verdict: Verdict, evidence: Evidence) -> Verdict:
    """Add what could not be read to what decided: of a success it is a warning, of a missing result often the cause."""
    if not evidence.unread:
        return verdict
    return replace(verdict, evidence=(*verdict.evidence, fact("metrics", evidence.unread)))


def _with_seen(verdict: Verdict, evidence: Evidence) -> Verdict:
    """Add what the watch saw to a failure that something else decided: it may have stood still before."""
    if (
        not evidence.watched
        or verdict.category is F.SUCCESS
        or any(each.source == "watch" for each in verdict.evidence)
    ):
        return verdict
    return replace(verdict, evidence=(*verdict.evidence, fact("watch", evidence.watched)))


def _concluded(rule: Rule | FactRule, *lines: LogLine) -> Verdict:
    advice = ADVICE[rule.category]
    return Verdict(
        category=rule.category,
        rule=rule.id,
        evidence=lines,
        confidence=rule.confidence,
        cause=rule.cause,
        summary=rule.proves if _says_it_all(rule) else f"{advice.meaning}: {rule.proves}",
        suggestion=rule.suggestion or advice.suggestion,
    )


def _says_it_all(rule: Rule | FactRule) -> bool:
    """Whether what a row proves needs no word on its class before it, or that word would be wrong."""
    return rule.category is F.UNKNOWN or (isinstance(rule, FactRule) and rule.step is Step.WATCH)


def _first_fact(scene: Scene, *steps: Step) -> Verdict | None:
    for rule in FACT_RULES:
        line = rule.holds(scene) if rule.step in steps else None
        if line is not None:
            said = _said_in_log(scene, rule) if line.source in OF_STATE or rule.step is Step.KERNEL else None
            said = said or (_raised_by_guard(scene) if rule.step in (Step.METRICS, Step.PRINTED) else None)
            said = said if said != line else None
            return _concluded(rule, *((said, line) if said else (line,)))
    return None


def _raised_by_guard(scene: Scene) -> LogLine | None:
    """The exception with which a program that watches its numbers ended itself: it says more than the last number."""
    guards = (event for event in scene.open_events if event.raised and event.rule.category is F.DIVERGENCE)
    return next((event.line for event in guards), None)


def _said_in_log(scene: Scene, rule: FactRule) -> LogLine | None:
    """The line of the log that says what a state or an exit record says: a person would quote it, and not the state."""
    if rule.step is Step.EXIT:
        words = _DEATHS.get(signal_of(scene.evidence) or 0)
        told = (line.origin for line in reversed(scene.lines) if words and words.search(line.text))
        return next(told, None)
    named = [event for event in scene.events if event.rule.category is rule.category]
    if rule.category is F.CANCELLED and named:
        asked = next((line for line in scene.lines if _INTERRUPTED.search(line.text)), None)
        return asked.origin if asked and asked.position < named[0].position else named[0].line
    stated = [event for event in named if event.rule.role in (Role.TAKEN_AWAY, Role.TIME_LIMIT)]
    if stated or named:
        return (stated or named)[0].line
    if rule.step is Step.KERNEL:
        killed = next((event.line for event in scene.events if event.rule.role is Role.KILLED), None)
        return killed or next((line.origin for line in reversed(scene.lines) if _DEATHS[9].search(line.text)), None)
    if rule.category is F.NODE_FAILURE:
        return next((event.line for event in scene.events if event.rule.category is F.COMMUNICATION), None)
    if rule.category not in (F.TIMEOUT, F.PREEMPTED, F.CANCELLED):
        return None
    told = (line.origin for line in scene.lines if _TOLD_TO_END.search(line.text))
    return next(told, _last_line(scene) if rule.category is F.TIMEOUT else None)


def _last_line(scene: Scene) -> LogLine | None:
    """The last thing a log says: how far it came, where nothing says why it came no farther."""
    return next((line.origin for line in reversed(scene.lines) if line.text.strip()), None)


_INTERRUPTED = re.compile(r"\binterrupt \(one more|\^C\w", re.IGNORECASE)
"""How srun and a terminal show that somebody pressed Ctrl-C."""
_TOLD_TO_END = re.compile(
    r"\bforcing job termination|\b(?:received|caught|got|handling|on) (?:signal )?(?:SIG)?(?:TERM|USR1|USR2|15"
    r"|10|INT)\b"
    r"|\bsig(?:term|usr1|usr2)\b|\bsignal: ?(?:10|12|15)\b|\bauto-requeue signal|\bJob step aborted"
    r"|\binterrupt \(one more",
    re.IGNORECASE,
)
"""How a launcher or the program says that it was told to end."""


_DEATHS = {
    number: re.compile(rf"\b(?:{words})\b", re.IGNORECASE)
    for number, words in ((4, "illegal instruction|sigill"), (6, "aborted|sigabrt"), (7, "bus error|sigbus"),
                          (8, "floating point exception|sigfpe"),
                          (9, r"killed|sigkill|(?:signal|wtermsig) 9|(?:value|code|status|signal)\W{1,3}-9"),
                          (11, "segmentation fault|sigsegv"), (15, "terminated|sigterm"))
}  # fmt: skip
"""How a shell, srun or a launcher says that a process died of a signal."""


def _asking(step: Step) -> Callable[[Scene], Verdict | None]:
    return lambda scene: _first_fact(scene, step)


def _from_event(scene: Scene, event: Event | None) -> Verdict | None:
    """A verdict from a line, with up to two more lines of the same class behind it."""
    if event is None:
        return None
    alike = [other for other in scene.events if other.rule.category is event.rule.category and other is not event]
    raised = None if event.raised else next((other for other in alike if _says_it_better(other, event)), None)
    better = raised or _says_more(alike, event)
    first = [better.line, event.line] if better else [event.line]
    return _concluded(event.rule, *first, *[other.line for other in alike if other is not better][: 3 - len(first)])


def _says_it_better(other: Event, event: Event) -> bool:
    """Whether a traceback ends with what a library had printed before: that is the line a person quotes."""
    deepest = max(Tier.FAULT, event.rule.tier)
    if not other.raised or other.survived or other.rule.tier > deepest or _POINTS_ELSEWHERE.search(other.line.text):
        return False
    return other.rank == event.rank and other.position > event.position


_POINTS_ELSEWHERE = re.compile(
    r"\b(?:errors?|messages?|logs?|output|details) above\b|\bsee above\b|device-side assert triggered"
    r"|NCCL error in: .{0,200}unhandled|\bCalledProcessError\b|\berror building extension\b",
    re.IGNORECASE,
)


def _says_more(alike: list[Event], event: Event) -> Event | None:
    """What a person quotes instead of a line that only announces it, of an outer call of MPI, or of a first doubt."""
    later = [other for other in alike if other.position > event.position]
    text = event.line.text
    if _NCCL.search(text):
        told = [other for other in alike if "NCCL WARN" in other.line.text and other.position < event.position]
        return told[0] if told else None
    if event.rule.category is F.GPU_HARDWARE and not _NAMES_FAULT.search(text):
        return next((other for other in later if _NAMES_FAULT.search(other.line.text)), None)
    if _ANNOUNCES.search(text):
        return next((other for other in later if not _ANNOUNCES.search(other.line.text)), None)
    if _MPI_CALL.match(text):
        inner = takewhile(lambda other: other.position - event.position <= MPI_STACK and other.line.text != text, later)
        calls = [other for other in inner if _MPI_CALL.match(other.line.text)]
        return calls[-1] if calls else None
    if event.rule.category is F.NOT_CONVERGED and not _ENDS_IT.search(text):
        return next((other for other in later if _ENDS_IT.search(other.line.text)), None)
    return None


_NAMES_FAULT = re.compile(r"\buncorrectable|\bxid\b|\becc\b|off the bus|\bnvlink\b", re.IGNORECASE)
_NCCL = re.compile(r"\bNCCL error in: ")
MPI_STACK = 8
"""Lines of an error stack of MPI that are followed."""
_MPI_CALL = re.compile(r"^P?MPI\w*\(\d{1,5}\)\.*: ")
_ENDS_IT = re.compile(r"\b(?:terminat|abort|stopp|exit|giv)(?:ed|ing|ion)\b|\bgave up\b", re.IGNORECASE)
_ANNOUNCES = re.compile(
    r"\bpyxis: (?:child \d+ failed|failed to (?:import|create|start)|(?:container|image) \w+ failed|couldn't start)"
    r"|\bfailed with (?:error |exit )?code:? -?\d+\W*$|\bfailed to start\.?$",
    re.IGNORECASE,
)


def _input_is_bad(scene: Scene) -> bool:
    return any(event.rule.role is Role.BAD_INPUT for event in scene.open_events)


def _diverged(scene: Scene) -> Verdict | None:
    verdict = _first_fact(scene, Step.METRICS)
    return None if verdict is None or _input_is_bad(scene) else verdict


def _succeeded(scene: Scene) -> Verdict | None:
    proof = _proof_of_success(scene)
    if proof is None:
        return None
    rule, line, confidence = proof
    unhealthy = _first_fact(scene, Step.PRINTED, Step.LEARNING) or _from_event(scene, _says_not_converged(scene))
    advice = ADVICE[F.SUCCESS]
    signs = [fact("metrics", warning.text) for warning in examine(scene.evidence.series)]
    if unhealthy is not None and not scene.evidence.delivered:
        return unhealthy
    # A run that delivered its number keeps it: throwing out those whose curves look bad would flatter the rest.
    signs += unhealthy.evidence if unhealthy else ()
    return Verdict(F.SUCCESS, rule, (line, *signs), confidence, "", advice.meaning, advice.suggestion)


def _says_not_converged(scene: Scene) -> Event | None:
    """The program's own word that it missed its aim; of a run that delivered its number nothing depends on it."""
    if scene.evidence.delivered:
        return None
    return next((event for event in scene.open_events if event.rule.category is F.NOT_CONVERGED), None)


def _proof_of_success(scene: Scene) -> tuple[str, LogLine, float] | None:
    """What shows that the program came to its planned end, strongest first; None when nothing does."""
    evidence = scene.evidence
    delivered = bool(evidence.complete) or not evidence.expects_metrics
    if not evidence.started or not delivered or evidence.exit_code == CHECKPOINTED:
        return None
    if evidence.program_outcome == 0:
        return "outcome-recorded", fact("exit record", "the program recorded its end as its last act"), 0.99
    if evidence.program_outcome is not None:
        return None
    if evidence.exit_recorded and evidence.exit_code == 0 and evidence.complete:
        # Whatever Slurm says: a controller that was away when it ended calls it a time-out later.
        return _proof_by_exit(scene)
    ended_well = evidence.exit_code in (0, None) and not evidence.exit_signal
    known = evidence.exit_code == 0 or evidence.state is S.COMPLETED
    if ended_well and known and evidence.state in (None, S.COMPLETED):
        return _proof_by_exit(scene)
    if (answer := scene.answer) and not any(event.rule.role is Role.KILLED for event in scene.open_events):
        return "exit-code-answers", answer, 0.85
    unasked = evidence.exit_code is None and evidence.state is None and not evidence.exit_signal
    end = scene.lone_end if unasked else None
    if end and not _blocking(scene):
        return "log-says-finished", end, 0.6
    return None


_FAILED_STEP = (S.FAILED, S.OUT_OF_MEMORY, S.NODE_FAIL, S.TIMEOUT, S.PREEMPTED)


def _proof_by_exit(scene: Scene) -> tuple[str, LogLine, float] | None:
    evidence = scene.evidence
    if evidence.exit_recorded or evidence.complete:
        return "exit-recorded", fact("exit record", "exit code 0, result complete"), 0.95
    failed_step = any(state in _FAILED_STEP for state in evidence.step_states)
    if failed_step or any(not event.passed for event in _blocking(scene)):
        return None  # a job script can swallow the exit code of what it ran
    return "completed", fact("scheduler", "exit code 0 and nothing unsurvived in the log"), 0.85


def _blocking(scene: Scene) -> list[Event]:
    """Messages that speak against an exit code of 0."""
    return [event for event in scene.open_events if event.rule.category is not F.NOT_CONVERGED and event.decides]


def _taken_away(scene: Scene) -> Verdict | None:
    """Preemption and lost nodes; a broken GPU that was seen first is the better word for a lost node."""
    verdict = _first_fact(scene, Step.TAKEN_AWAY)
    broken = next((e for e in scene.open_events if e.rule.category is F.GPU_HARDWARE), None)
    if verdict and verdict.category is F.NODE_FAILURE and broken:
        return _from_event(scene, broken)
    return verdict


def _stated_taken_away(scene: Scene) -> Verdict | None:
    """Slurm's reason in the log, where no state is known or the state says less."""
    if scene.evidence.state in (S.TIMEOUT, S.DEADLINE):
        return None
    named = [e for e in scene.events if e.rule.role is Role.TAKEN_AWAY and not e.survived]
    return _from_event(scene, min(named, key=lambda e: e.position, default=None))


def _stands(scene: Scene, event: Event | None) -> bool:
    """Whether an event is a cause. Where something else ended the run, the event must have stopped the work before."""
    if event is None:
        return False
    ended_from_outside = scene.evidence.state in (S.TIMEOUT, S.CANCELLED, S.DEADLINE)
    if ended_from_outside and event.rule.category is F.NOT_CONVERGED:
        return False  # that ends nothing
    if ended_from_outside and event.rule.category is F.CONTAINER and "TERM" in scene.evidence.signals_received:
        return False  # a container that cannot start is gone at once: this one was still starting when it was ended
    return not (ended_from_outside and (event.says_handled or scene.went_on_after(event)))


def _root_in_log(scene: Scene) -> Verdict | None:
    event = scene.deepest(Tier.ROOT)
    return _from_event(scene, event) if _stands(scene, event) and not _nan_came_first(scene, event) else None


def _nan_came_first(scene: Scene, event: Event | None) -> bool:
    """Whether an index or value out of range only is what a loss that was not finite before did to the next step."""
    nan = scene.lasting_nan
    if event is None or nan is None or event.rule.category is not F.DATA or event.rule.role is Role.BAD_INPUT:
        return False
    return nan.source == event.line.source and nan.line < event.line.line


def _fault_in_log(scene: Scene) -> Verdict | None:
    event = scene.deepest(Tier.FAULT)
    if not _stands(scene, event) or _was_interrupted_before(scene, event) or _has_known_symptom(scene, event):
        return None
    return _from_event(scene, event)


def _has_known_symptom(scene: Scene, event: Event | None) -> bool:
    """Whether right before an exception that no row knows a lost connection was told: that says more of the cause."""
    if event is None or event.rule.role is not Role.UNCAUGHT:
        return False
    before = (other for other in scene.open_events if 0 < event.position - other.position <= NEIGHBOURS)
    return any(other.rule.tier is Tier.SYMPTOM and other.rule.category is F.COMMUNICATION for other in before)


def _was_interrupted_before(scene: Scene, event: Event | None) -> bool:
    """Whether a person had interrupted the program: what it says as it goes down is fallout."""
    if event is None or signal_of(scene.evidence) != SIGINT:
        return False
    return any(other.rule.category is F.CANCELLED and other.position < event.position for other in scene.events)


def _time_limit_in_log(scene: Scene) -> Verdict | None:
    return _from_event(scene, scene.says(Role.TIME_LIMIT))


def _symptom_in_log(scene: Scene) -> Verdict | None:
    event = scene.deepest(Tier.SYMPTOM)
    if event and event.rule.category is F.COMMUNICATION and _peer_died(scene, event):
        return None
    return _from_event(scene, event)


def _peer_died(scene: Scene, event: Event) -> bool:
    """Whether a broken connection is only how the others noticed that one of them was killed or left."""
    if scene.root_rank and event.rank:
        return event.rank != scene.root_rank
    killed = scene.deepest(Tier.TRACE)
    return bool(killed and killed.rule.role is Role.KILLED and killed.position < event.position)


def _outlived_in_log(scene: Scene) -> Verdict | None:
    """An error after which work seemed to go on, of a run that failed and shows no other."""
    return _from_event(scene, scene.deepest(Tier.ROOT, survived=True) or scene.deepest(Tier.FAULT, survived=True))


def _trace_in_log(scene: Scene) -> Verdict | None:
    """The launcher's word that a child failed says less than how its root cause ended, where it names that."""
    event = scene.deepest(Tier.TRACE)
    if event and event.rule.cause in _SAYS_LITTLE:
        killed = next((other for other in scene.open_events if other.rule.role is Role.KILLED), None)
        event = killed or _told_below(scene, event) or event
    if event and event.rule.cause == "vague":
        event = _first_of_last_group([other for other in scene.open_events if other.rule.cause == "vague"])
    launcher = event is not None and event.rule.cause == "launcher"
    return _from_event(scene, (scene.root_end if launcher else None) or event)


def _told_below(scene: Scene, header: Event) -> Event | None:
    """The line that says what a header such as ``Fatal error:`` only announces."""
    if not _HEADER.search(header.line.text):
        return None
    below = (other for other in scene.open_events if 0 < other.position - header.position <= TOGETHER)
    return next((other for other in below if other.rule.cause == "vague"), None)


_HEADER = re.compile(
    r"^\W*(?:\w+ ){0,4}(?:error|fatal|abort|called|error in routine .{1,40})\b(?: \(\d{1,5}\))?\W*$", re.IGNORECASE
)


def _first_of_last_group(events: Sequence[Event]) -> Event:
    """Where nothing is certain, what stands nearest to the end: of lines that stand together the first."""
    first = events[-1]
    for event in reversed(events[:-1]):
        if first.position - event.position > TOGETHER:
            break
        first = event
    return first


TOGETHER = 4
"""Lines between two lines that speak of the same trouble."""
_SAYS_LITTLE = ("said_error", "said_failed", "none_succeeded")
"""Causes of rows that only know that something went wrong: who was killed says more."""


def _unknown(scene: Scene) -> Verdict:
    evidence = scene.evidence
    known = [
        f"{name} {value}"
        for name, value in (
            ("state", evidence.state), ("exit code", evidence.exit_code), ("signal", signal_of(evidence)),
        )
        if value is not None
    ]  # fmt: skip
    last = _last_line(scene)
    what = fact("exit record", ", ".join(known) or "nothing is known")
    advice = ADVICE[F.UNKNOWN]
    return Verdict(
        F.UNKNOWN, "nothing-known", (last, what) if last and not known else (what, last) if last else (what,), 0.3, "",
        advice.meaning, advice.suggestion,
    )  # fmt: skip


_STEPS: tuple[tuple[str, Callable[[Scene], Verdict | None]], ...] = (
    ("metrics that end non-finite", _diverged),
    ("a proof of success", _succeeded),
    ("a kill by the kernel for memory", _asking(Step.KERNEL)),
    ("preemption or a lost node", _taken_away),
    ("a node that failed preflight", _asking(Step.PREFLIGHT)),
    ("restarts without progress", _asking(Step.PROGRESS)),
    ("a checkpoint on request", _asking(Step.CHECKPOINT)),
    ("a hang that the watch ended", _asking(Step.WATCH)),
    ("preemption or a lost node", _stated_taken_away),
    ("a damaged checkpoint", _asking(Step.RESUME)),
    ("a named cause in the log", _root_in_log),
    ("a check before the run", _asking(Step.SANITY)),
    ("a loss that stays NaN", _asking(Step.PRINTED)),
    ("an error of the program itself", _fault_in_log),
    ("time limit, cancellation, signals", _asking(Step.ENDED)),
    ("time limit, cancellation, signals", _time_limit_in_log),
    ("what ranks and launchers report of each other", _symptom_in_log),
    ("errors that the run seemed to survive", _outlived_in_log),
    ("a telling exit code", _asking(Step.EXIT)),
    ("a line that reports a failure", _trace_in_log),
    ("anything known", _unknown),
)
"""What is looked for, in words, and the function that looks; the first that finds something decides."""

SUCCESS_RULES = {
    "outcome-recorded": "the program wrote its outcome as its last act and its metrics are complete",
    "exit-recorded": "the wrapper saw exit code 0 and the metrics are complete (or none were declared)",
    "exit-code-answers": "a solver printed its answer and gave the exit code that stands for it",
    "completed": "the scheduler saw exit code 0 and no unsurvived failure stands in the log",
    "log-says-finished": "only a log is known; it ends with the program's own statement and holds no failure",
}
"""What counts as proof of success, strongest first."""


def find_rule(rule_id: str) -> Rule | FactRule | None:
    """The row with this name; None for the success rules and ``nothing-known``."""
    rows: tuple[Rule | FactRule, ...] = LOG_RULES + FACT_RULES
    return next((row for row in rows if row.id == rule_id), None)


def unreadable_verdict(path: str, problem: str, remedy: str) -> Verdict:
    """Say that nobody can tell how an attempt ended, because a file or folder of it is not what we wrote.

    Args:
        path: The file or folder.
        problem: What was found.
        remedy: What takes it out of the way.
    """
    return Verdict(
        FailureClass.UNKNOWN,
        rule="record.unreadable",
        evidence=(LogLine(path, 0, problem),),
        cause=UNREADABLE,
        summary=f"The attempt cannot be judged: {path} {problem}.",
        suggestion=f"Restore it from a copy; or {remedy}",
    )
