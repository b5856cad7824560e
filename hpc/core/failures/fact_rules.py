"""What states, exit records and metrics prove about an attempt's end: the second half of the rule table. Pure.

Each row says which step of `hpc.core.failures.classify` asks it; of one step's rows the first that holds decides.
"""

import re
from collections.abc import Callable, Iterable
from enum import StrEnum

from hpc.core.failures import curves, health
from hpc.core.failures.evidence import Evidence, FailureClass, LogLine
from hpc.core.failures.rule import Role, Tier
from hpc.core.failures.scene import Scene
from hpc.core.immutable import immutable
from hpc.core.slurm.states import SlurmState as S

F = FailureClass

SIGINT, SIGILL, SIGBUS, SIGKILL, SIGUSR1, SIGSEGV, SIGUSR2, SIGTERM, SIGXCPU, SIGXFSZ = (
    2, 4, 7, 9, 10, 11, 12, 15, 24, 25,
)  # fmt: skip
SLURM_OOM = 125  # Slurm's "signal" of a job whose cgroup saw an OOM kill
SLURM_OUTPUT = 53  # … and of a job whose output file could not be opened
CHECKPOINTED = 85
RUN_FOLDER_LOST = 74
NEAR_LIMIT = 0.95  # a peak above this share of the limit is at the limit: sampling misses the last allocation
HANG_S = 600.0  # silence before a time limit that is called a hang …
HANG_SHARE = 0.25  # … if it is also this share of the run


def fact(source: str, text: str) -> LogLine:
    """Something known that is no line of a file."""
    return LogLine(source, 0, text)


class Step(StrEnum):
    """When in the course of a verdict a row is asked; `hpc.core.failures.classify` has the course itself."""

    METRICS = "recorded numbers"  # before anything else
    PRINTED = "printed numbers"  # beside a proof of success, and after named causes
    LEARNING = "learning"  # beside a proof of success
    KERNEL = "kernel"
    TAKEN_AWAY = "taken away"
    PREFLIGHT = "gate before the run"  # the program was not started: nothing else can be the cause
    WATCH = "hang that was ended"  # it is proved, and what the log says afterwards is fallout
    PROGRESS = "starts without progress"
    CHECKPOINT = "checkpoint on request"
    RESUME = "damaged checkpoint"
    SANITY = "ladder of checks"  # after named causes, before errors of the program
    ENDED = "ended from outside"
    EXIT = "exit code"


@immutable
class FactRule:
    """One conclusion from states, exit records and metrics.

    Attributes:
        id: Name of the rule, unique.
        step: When it is asked.
        category, cause: What it leads to.
        holds: Gives the fact that decides, or None.
        proves, leaves_open: As in `Rule`.
        confidence: 0 to 1, the author's.
        suggestion: Where it differs from the class's own.
    """

    id: str
    step: Step
    category: FailureClass
    cause: str
    holds: Callable[[Scene], LogLine | None]
    proves: str
    leaves_open: str
    confidence: float = 0.9
    suggestion: str = ""


def _state_in(*states: S) -> Callable[[Scene], LogLine | None]:
    def holds(scene: Scene) -> LogLine | None:
        state, reason = scene.evidence.state, scene.evidence.state_reason
        known = state in states
        return fact("scheduler", f"state {state}" + (f" ({reason})" if reason else "")) if known else None

    return holds


def _reason_like(pattern: str) -> Callable[[Scene], LogLine | None]:
    compiled = re.compile(pattern, re.IGNORECASE)

    def holds(scene: Scene) -> LogLine | None:
        reason = scene.evidence.state_reason
        return fact("scheduler", f"reason {reason}") if compiled.search(reason) else None

    return holds


def _ended_by(*numbers: int) -> Callable[[Scene], LogLine | None]:
    """Ended by one of these signals, told directly or as a shell tells it (128 + number)."""

    def holds(scene: Scene) -> LogLine | None:
        number = signal_of(scene.evidence)
        return fact("exit record", f"ended by signal {number}") if number in numbers else None

    return holds


def _exited_with(*codes: int) -> Callable[[Scene], LogLine | None]:
    def holds(scene: Scene) -> LogLine | None:
        code = scene.evidence.exit_code
        return fact("exit record", f"exit code {code}") if code in codes else None

    return holds


def signal_of(evidence: Evidence) -> int | None:
    """Number of the signal that ended it; None when none did."""
    if evidence.exit_signal:
        return evidence.exit_signal
    code = evidence.exit_code
    if code is None:
        return None
    if code < 0:
        return -code
    return code - 128 if 128 < code < 160 else None


def _cgroup_kill(scene: Scene) -> LogLine | None:
    evidence = scene.evidence
    if evidence.state is S.OUT_OF_MEMORY:
        return fact("scheduler", "state OUT_OF_MEMORY")
    if S.OUT_OF_MEMORY in evidence.step_states:
        return fact("scheduler", "a step of the job is OUT_OF_MEMORY")
    if evidence.oom_kill_count:
        return fact("exit record", f"the kernel killed {evidence.oom_kill_count} process(es) in the memory cgroup")
    if evidence.exit_signal == SLURM_OOM:
        return fact("scheduler", "exit code 0:125: out of memory")
    return None


def _killed_at_limit(scene: Scene) -> LogLine | None:
    evidence = scene.evidence
    peak, limit = evidence.peak_memory_mib, evidence.memory_limit_mib
    if signal_of(evidence) == SIGKILL and not peak:
        return _memory_in_log(scene)
    if signal_of(evidence) != SIGKILL or not peak or not limit or peak < NEAR_LIMIT * limit:
        return None
    return fact("exit record", f"SIGKILL at {peak:.0f} MiB of {limit:.0f} MiB")


_USED = re.compile(r"\bMemory Efficiency: (?P<share>[\d.]{1,8}) ?% of ", re.IGNORECASE)
_TABLE = re.compile(r"\bMaxRSS\b.{1,40}\bReqMem\b", re.IGNORECASE)
_SIZE = re.compile(r"(?<![\w.:-])(\d{1,9}(?:\.\d{1,4})?)([KMGT])[Bcn]?\b")


def _memory_in_log(scene: Scene) -> LogLine | None:
    """Slurm's accounting as a job script printed it at its end: memory used up to the limit."""
    table = False
    for line in scene.lines:
        text = line.text
        if (used := _USED.search(text)) and float(used["share"]) >= 100 * NEAR_LIMIT:
            return line.origin
        sizes = [float(number) * 1024 ** "KMGT".index(unit) for number, unit in _SIZE.findall(text)] if table else []
        if len(sizes) >= 2 and NEAR_LIMIT * sizes[1] <= sizes[0] <= sizes[1] * 1.1:  # used, asked for
            return line.origin
        table = bool(_TABLE.search(text)) or (table and not text.strip("- ")) or (table and not sizes and "-" in text)
    return None


def _checkpointed(scene: Scene) -> LogLine | None:
    evidence = scene.evidence
    if CHECKPOINTED not in (evidence.program_outcome, evidence.exit_code) or evidence.state is S.CANCELLED:
        return None
    return fact("exit record", f"code {CHECKPOINTED}: checkpointed, start me again")


def _stalled(scene: Scene) -> LogLine | None:
    return fact("exit record", scene.evidence.stalled) if scene.evidence.stalled else None


def _rung_broke(scene: Scene) -> LogLine | None:
    return fact("sanity", scene.evidence.sanity) if scene.evidence.sanity else None


def _stalled_by_warning(scene: Scene) -> LogLine | None:
    """Each start was warned of its time limit: there is no time to work in."""
    return _stalled(scene) if _told("USR1")(scene) else None


def _run_folder_lost(scene: Scene) -> LogLine | None:
    """The wrapper's own code for a run folder it cannot use; a program's own 74 stands in its exit record."""
    return None if scene.evidence.exit_recorded else _exited_with(RUN_FOLDER_LOST)(scene)


def _told(*names: str) -> Callable[[Scene], LogLine | None]:
    def holds(scene: Scene) -> LogLine | None:
        got = [name for name in scene.evidence.signals_received if name.removeprefix("SIG") in names]
        return fact("exit record", f"received {', '.join(got)} and ended") if got else None

    return holds


def _timed_out_silently(scene: Scene) -> LogLine | None:
    evidence = scene.evidence
    if evidence.state not in (S.TIMEOUT, S.DEADLINE) and not scene.says(Role.TIME_LIMIT):
        return None
    silences = [s for s in (evidence.silent_s, scene.silence_s) if s is not None]
    silence = max(silences, default=0.0)
    whole = evidence.elapsed_s or silence
    if silence < HANG_S or silence < HANG_SHARE * whole:
        return None
    return fact("scheduler", f"time limit reached after {silence:.0f} s without progress")


def _unfit(*what: str) -> Callable[[Scene], LogLine | None]:
    """The gate before the run found this of a node."""

    def holds(scene: Scene) -> LogLine | None:
        said = scene.evidence.unfit
        return fact("preflight", said) if said.partition(":")[0] in what else None

    return holds


def _timed_out_in_a_hang(scene: Scene) -> LogLine | None:
    evidence = scene.evidence
    if not evidence.watched or (evidence.state not in (S.TIMEOUT, S.DEADLINE) and not scene.says(Role.TIME_LIMIT)):
        return None
    return fact("watch", evidence.watched)


def _at_time_limit(scene: Scene) -> LogLine | None:
    """Killed or asked to stop when its time was over, where no scheduler state says so."""
    evidence = scene.evidence
    elapsed, limit = evidence.elapsed_s, evidence.time_limit_s
    if evidence.state is not None or not elapsed or not limit or elapsed < limit:
        return None
    return fact("exit record", f"ran {elapsed:.0f} s of {limit:.0f} s")


def _usr1_unanswered(scene: Scene) -> LogLine | None:
    if signal_of(scene.evidence) in (SIGUSR1, SIGUSR2):
        return fact("exit record", "ended by the signal that announces the time limit")
    return _told("USR1")(scene)


def _unhealthy(find: Callable[[health.Series], tuple[health.HealthWarning, ...]], scene: Scene) -> LogLine | None:
    """The first sign of a kind that lasts to the end of the recorded metrics."""
    return _lasting(find(scene.evidence.series))


def _lasting(warnings: Iterable[health.HealthWarning]) -> LogLine | None:
    lasting = (warning for warning in warnings if health.is_result_spoiled(warning))
    return next((fact("metrics", warning.text) for warning in lasting), None)


def _recorded_not_finite(scene: Scene) -> LogLine | None:
    """A recorded loss that is not finite to the end, over more than the one value a meter shows before its first."""
    series = {name: values for name, values in scene.evidence.series.items() if len(values) > 1}
    return _lasting(health.find_non_finite(series))


def _printed_not_finite(scene: Scene) -> LogLine | None:
    """The same of what was printed, by a run that delivered nothing else."""
    if scene.evidence.delivered:
        return None
    series = {name: curve.values for name, curve in scene.curves.items() if len(curve.points) > 1}
    found = next((warning for warning in health.find_non_finite(series) if warning.lasting), None)
    return scene.curves[found.metric].points[found.since].line if found else None


_LAST = 10
_SCORE = (
    r"\b(?:score|accuracy|auc|f1|dice|rmse|mae|mse|r2|chi2\S{0,4}|bleu|perplexity|ppl|result|energy|objective"
    r"|parameters?"
    r"|estimate|mean|likelihood|residual)\b\W{0,4}"
)
_NAN_SCORE = re.compile(_SCORE + r"(?:nan|inf)\b", re.IGNORECASE)
_SOUND_SCORE = re.compile(_SCORE + r"[-+]?\d", re.IGNORECASE)


def _result_not_finite(scene: Scene) -> LogLine | None:
    """The result by its name; or the last lines name scores, and none of them is a number."""
    found = curves.find_nan_result(scene.curves)
    if found or not scene.names_nan:
        return found
    last = [line for line in scene.lines if line.text.strip()][-_LAST:]
    if any(_SOUND_SCORE.search(line.text) for line in last):
        return None
    return next((line.origin for line in reversed(last) if _NAN_SCORE.search(line.text)), None)


def _exploded(scene: Scene) -> LogLine | None:
    """A training loss that ends far above its beginning, in the metrics or as it was printed."""
    recorded = _unhealthy(health.find_explosions, scene)
    if recorded or scene.evidence.delivered:
        return recorded
    return curves.find_printed_explosion(scene.curves, scene.evidence.series)


def _learned_nothing(scene: Scene) -> LogLine | None:
    """A training loss that never moved, of a run that began at the beginning, or a reward that stays at its floor."""
    flat = None if scene.evidence.resumed else _unhealthy(health.find_no_learning, scene)
    if flat or scene.evidence.delivered:
        return flat
    if not scene.evidence.series and (guessed := curves.find_result_of_guessing(scene.curves)):
        return guessed
    return _reward_never_moves(scene) or _printed_loss_never_moves(scene)


def _printed_loss_never_moves(scene: Scene) -> LogLine | None:
    """A printed loss that stays where it began, or at what a guess comes to, from the first step on.

    A plateau at a log's end proves nothing.
    """
    if scene.evidence.resumed or not scene.begins_at_start:
        return None
    recorded = scene.evidence.series
    texts = (line.text for line in scene.lines)
    return (
        curves.find_flat_loss(scene.curves, recorded)
        or curves.find_nothing_learned(scene.curves, texts, recorded)
        or (None if recorded else _nothing_moves(scene))
    )


def _nothing_moves(scene: Scene) -> LogLine | None:
    """What is printed and recorded nowhere: numbers that stand still."""
    return curves.find_standstill(scene.lines) or curves.find_still_loss(scene.curves)


_REWARD = re.compile(
    r"\b\w{0,20}(?:rew(?:ard)?_mean|mean_reward|reward|episode_return|return)\b[\s:=|]{1,4}(-?\d+(?:\.\d+)?)"
)


def _reward_never_moves(scene: Scene) -> LogLine | None:
    """A reward in the log that lies at its floor four times in five, over at least 15 values."""
    found = [(float(m[1]), line.origin) for line in scene.lines if (m := _REWARD.search(line.text))]
    values = [value for value, _ in found]
    if len(values) < 15:
        return None
    floor, top = min(values), max(values)
    at_floor = values.count(floor) >= 0.8 * len(values) and (floor < 0 or floor < top)
    return found[-1][1] if at_floor else None


def _launch_failed(scene: Scene) -> LogLine | None:
    return None if scene.evidence.started else _reason_like(r"launch ?fail|prolog|JobHoldMaxRequeue")(scene)


def _never_started(scene: Scene) -> LogLine | None:
    evidence = scene.evidence
    if evidence.started:
        return None
    return fact("scheduler", f"state {evidence.state or 'not known'}; the wrapper never claimed the attempt")


_NO_NUMBER = "is not a number"
"""In what is said of values that could not be read (`hpc.core.experiment.metric_source`)."""


def _without_result(scene: Scene) -> LogLine | None:
    evidence = scene.evidence
    ended_well = evidence.exit_code == 0 or evidence.program_outcome == 0 or evidence.state is S.COMPLETED
    if not ended_well or signal_of(evidence) or not evidence.expects_metrics or evidence.complete:
        return None
    return fact("metrics", "the program ended normally, but metrics.h5 is absent or not marked complete")


def _nothing_matched(scene: Scene) -> LogLine | None:
    """The experiment says where the numbers stand, and none of the primary metric was there."""
    found, said = _without_result(scene), scene.evidence.unmatched
    return fact("metrics", f"the program ended normally, but {said}") if found and said else None


def _matched_no_number(scene: Scene) -> LogLine | None:
    """What was found where the experiment says is no number, as ``12%`` or ``3ms``: it will be none the next time."""
    if _NO_NUMBER not in scene.evidence.unread or not _without_result(scene):
        return None
    return fact("metrics", "the program ended normally, and nothing that metrics.source finds is a number")


def _damaged_resume(scene: Scene) -> LogLine | None:
    """A damaged file that stopped a resumed attempt before it logged a step: earlier attempts read the inputs well."""
    event = scene.deepest(Tier.ROOT)
    if not scene.evidence.resumed or scene.evidence.series or scene.curves or event is None:
        return None
    return event.line if event.rule.role is Role.DAMAGED_FILE else None


FACT_RULES: tuple[FactRule, ...] = (
    FactRule(
        "metrics-not-finite",
        Step.METRICS,
        F.DIVERGENCE,
        "metrics",
        _recorded_not_finite,
        "the recorded loss became non-finite and stayed so",
        "when it started to go wrong",
        0.97,
    ),
    FactRule(
        "loss-stayed-nan",
        Step.METRICS,
        F.DIVERGENCE,
        "log",
        _printed_not_finite,
        "the printed loss became non-finite and stayed so",
        "when it started to go wrong",
        0.9,
    ),
    FactRule(
        "last-loss-nan",
        Step.PRINTED,
        F.DIVERGENCE,
        "log",
        lambda scene: scene.lasting_nan or _unhealthy(health.find_non_finite, scene),
        "the last losses, or the only one, are non-finite",
        "whether it was ever measured",
        0.85,
    ),
    FactRule(
        "gradient-stayed-nan",
        Step.PRINTED,
        F.DIVERGENCE,
        "log_gradient",
        lambda scene: scene.lasting_nan_gradient,
        "the printed gradient norm became non-finite and stayed so: no more steps were taken",
        "when it started to go wrong",
        0.85,
    ),
    FactRule(
        "result-not-finite",
        Step.PRINTED,
        F.DIVERGENCE,
        "result",
        lambda scene: None if scene.evidence.delivered else _result_not_finite(scene),
        "the program's result is not a number",
        "whether training, evaluation or an empty data set caused it",
        0.8,
    ),
    FactRule(
        "loss-exploded",
        Step.LEARNING,
        F.DIVERGENCE,
        "explosion",
        _exploded,
        "the loss ended at more than a hundred times its starting value",
        "whether it would have recovered",
        0.8,
    ),
    FactRule(
        "learned-nothing",
        Step.LEARNING,
        F.NOT_CONVERGED,
        "flat",
        _learned_nothing,
        "the score or loss never moved",
        "whether data, reward or learning rate is to blame",
        0.75,
    ),
    FactRule(
        "oom-kill",
        Step.KERNEL,
        F.OOM_HOST,
        "cgroup",
        _cgroup_kill,
        "the kernel killed a process of this job at its memory limit",
        "which process",
        0.98,
    ),
    FactRule(
        "killed-at-limit",
        Step.KERNEL,
        F.OOM_HOST,
        "killed_at_limit",
        _killed_at_limit,
        "SIGKILL came while memory use was at the limit",
        "whether it came from the kernel",
        0.85,
    ),
    FactRule(
        "state-preempted",
        Step.TAKEN_AWAY,
        F.PREEMPTED,
        "state",
        _state_in(S.PREEMPTED),
        "Slurm gave the nodes to another job",
        "nothing",
        0.99,
    ),
    FactRule(
        "state-requeued",
        Step.TAKEN_AWAY,
        F.PREEMPTED,
        "requeue",
        _state_in(S.REQUEUED),
        "Slurm requeued the job",
        "why",
        0.9,
    ),
    FactRule(
        "state-node-fail",
        Step.TAKEN_AWAY,
        F.NODE_FAILURE,
        "node_down",
        _state_in(S.NODE_FAIL),
        "Slurm lost the node",
        "why",
        0.99,
    ),
    FactRule(
        "state-boot-fail",
        Step.TAKEN_AWAY,
        F.NODE_FAILURE,
        "boot",
        _state_in(S.BOOT_FAIL, S.RECONFIG_FAIL),
        "the node did not boot",
        "why",
        0.99,
    ),
    FactRule(
        "state-launch-failed",
        Step.TAKEN_AWAY,
        F.NODE_FAILURE,
        "launch",
        _state_in(S.LAUNCH_FAILED),
        "the node could not start the job",
        "whether the node or the request is at fault",
        0.85,
    ),
    FactRule(
        "reason-launch-failed",
        Step.TAKEN_AWAY,
        F.NODE_FAILURE,
        "launch",
        _launch_failed,
        "the node could not start the job",
        "whether every job fails there",
        0.85,
    ),
    FactRule(
        "preflight-gpu",
        Step.PREFLIGHT,
        F.GPU_HARDWARE,
        "preflight",
        _unfit("gpu"),
        "the preflight check found GPUs missing, of another type, or computing wrong results",
        "whether the node is broken or the request does not match it",
        0.95,
        "look at nvidia-smi on that node; if the GPUs are fine, correct preflight.gpu",
    ),
    FactRule(
        "preflight-node",
        Step.PREFLIGHT,
        F.NODE_FAILURE,
        "preflight",
        _unfit("node"),
        "the preflight check found that the node lacks a file system, /dev/shm or disk space",
        "why",
        0.95,
        "tell the site; if every node lacks it, correct the request",
    ),
    FactRule(
        "preflight-ranks",
        Step.PREFLIGHT,
        F.COMMUNICATION,
        "preflight",
        _unfit("ranks"),
        "the preflight check's all-reduce failed",
        "which node or link is at fault",
        0.95,
        "try NCCL_DEBUG=INFO and NCCL_SOCKET_IFNAME; if single nodes pass, the network between them is at fault",
    ),
    FactRule(
        "preflight-disk",
        Step.PREFLIGHT,
        F.STORAGE,
        "full",
        _unfit("disk"),
        "the run folder has less space than resources.disk asks for",
        "what fills the disk",
        0.95,
        "free space, then release the experiment",
    ),
    FactRule(
        "watch-hang",
        Step.WATCH,
        F.TIMEOUT,
        "hang",
        lambda scene: fact("watch", scene.evidence.hang) if scene.evidence.hang else None,
        "the run hung or had become far slower, and the watch ended it before its time limit",
        "why the odd process stopped where it did",
        0.95,
        "more time does not help a hang: read stacks.txt of the attempt, beginning with the process named here",
    ),
    FactRule(
        "restarts-warned-at-once",
        Step.PROGRESS,
        F.CONFIG,
        "time_limit",
        _stalled_by_warning,
        "at each start the time-limit warning came before the first step",
        "how long a step takes",
        0.9,
        "ask for more time (resources.time): start-up, a few steps and the profile's signal_lead_s must fit",
    ),
    FactRule(
        "restarts-without-progress",
        Step.PROGRESS,
        F.CODE_BUG,
        "no_progress",
        _stalled,
        "the program asks for a restart without having made progress",
        "why it makes no progress",
        0.9,
        "see why it exits with 85 at once: it must log a step or work for a while before it may ask again",
    ),
    FactRule(
        "sanity-rung-broke",
        Step.SANITY,
        F.CODE_BUG,
        "sanity",
        _rung_broke,
        "a check before the canary's run failed; nothing was trained, and the other tasks were not started",
        "whether the data, the model or the check itself is wrong",
        0.9,
        "read sanity.log, fix what its last line names and send another canary",
    ),
    FactRule(
        "checkpointed",
        Step.CHECKPOINT,
        F.TIMEOUT,
        "checkpointed",
        _checkpointed,
        "the program stopped on request and left a checkpoint",
        "how much is left to do",
        0.97,
        "resume from the checkpoint it has just written",
    ),
    FactRule(
        "resume-damaged",
        Step.RESUME,
        F.CHECKPOINT,
        "damaged",
        _damaged_resume,
        "an attempt that resumed from a checkpoint found a damaged file before its first step",
        "whether the file was an input of the first step",
        0.8,
    ),
    FactRule(
        "time-limit-watched-hang",
        Step.ENDED,
        F.TIMEOUT,
        "hang",
        _timed_out_in_a_hang,
        "the watch saw the run hanging when its time limit came",
        "why the odd process stopped where it did",
        0.95,
        "more time does not help a hang: read stacks.txt of the attempt; `watch: {act: resume}` ends such a run early",
    ),
    FactRule(
        "time-limit-hang",
        Step.ENDED,
        F.TIMEOUT,
        "hang",
        _timed_out_silently,
        "the run had made no progress for a long time before the limit",
        "where it hung",
        0.85,
        "more time does not help a hang: find out where it stopped (py-spy, NCCL_DEBUG=INFO), then resume",
    ),
    FactRule(
        "state-timeout",
        Step.ENDED,
        F.TIMEOUT,
        "limit",
        _state_in(S.TIMEOUT),
        "the run reached its time limit",
        "whether it was making progress",
        0.98,
    ),
    FactRule(
        "state-deadline",
        Step.ENDED,
        F.TIMEOUT,
        "deadline",
        _state_in(S.DEADLINE),
        "the job's deadline passed",
        "nothing",
        0.98,
    ),
    FactRule(
        "state-cancelled",
        Step.ENDED,
        F.CANCELLED,
        "scancel",
        _state_in(S.CANCELLED, S.REVOKED),
        "somebody cancelled the job",
        "who and why",
        0.95,
    ),
    FactRule(
        "reason-impossible-request",
        Step.ENDED,
        F.CONFIG,
        "slurm_request",
        _reason_like(
            r"BadConstraints|PartitionTimeLimit|PartitionNodeLimit|Invalid(?:Account|QOS)|AccountNotAllowed"
            r"|QOSNotAllowed|(?:QOS|Assoc)\w*Max\w*PerJob|MaxMemPerLimit|DependencyNeverSatisfied"
        ),
        "Slurm can never start this request",
        "which value to change",
    ),
    FactRule(
        "local-time-limit",
        Step.ENDED,
        F.TIMEOUT,
        "limit",
        _at_time_limit,
        "the run used its whole time limit",
        "whether it was making progress",
        0.8,
    ),
    FactRule(
        "usr1-unanswered",
        Step.ENDED,
        F.TIMEOUT,
        "no_checkpoint",
        _usr1_unanswered,
        "the program was warned of its time limit and ended without a checkpoint",
        "whether it needed more time",
        0.8,
        "let the program write a checkpoint on SIGUSR1 and exit with 85, or give it more time",
    ),
    FactRule(
        "interrupted",
        Step.ENDED,
        F.CANCELLED,
        "interrupt",
        lambda scene: _told("INT")(scene) or _ended_by(SIGINT)(scene),
        "the run was interrupted (Ctrl-C)",
        "by whom",
        0.85,
    ),
    FactRule(
        "terminated",
        Step.ENDED,
        F.CANCELLED,
        "terminated",
        lambda scene: _told("TERM")(scene) if scene.evidence.state is None else None,
        "the run was asked to stop; no scheduler says why",
        "who asked",
        0.7,
    ),
    FactRule(
        "exit-run-folder",
        Step.EXIT,
        F.STORAGE,
        "run_folder",
        _run_folder_lost,
        "the wrapper could not write to the run folder; its log may be missing for the same reason",
        "whether the disk was full, read-only, or the folder removed",
        0.85,
    ),
    FactRule(
        "exit-segfault",
        Step.EXIT,
        F.CODE_BUG,
        "segfault",
        _ended_by(SIGSEGV),
        "native code accessed memory that it does not own",
        "whose code",
        0.7,
    ),
    FactRule(
        "exit-bus-error",
        Step.EXIT,
        F.OOM_SHM,
        "bus_error",
        _ended_by(SIGBUS),
        "memory for a mapped page was not available",
        "whether /dev/shm was full: a truncated file has the same effect",
        0.5,
    ),
    FactRule(
        "exit-illegal-instruction",
        Step.EXIT,
        F.ENVIRONMENT,
        "cpu",
        _ended_by(SIGILL),
        "the program was built for another processor",
        "which library",
        0.8,
    ),
    FactRule(
        "exit-file-size",
        Step.EXIT,
        F.STORAGE,
        "quota",
        _ended_by(SIGXFSZ),
        "a limit on file size was reached",
        "whose limit",
        0.85,
    ),
    FactRule(
        "exit-cpu-time",
        Step.EXIT,
        F.CONFIG,
        "ulimit",
        _ended_by(SIGXCPU),
        "a limit on CPU time was reached",
        "whose limit",
        0.8,
    ),
    FactRule(
        "exit-output-folder",
        Step.EXIT,
        F.STORAGE,
        "output",
        _ended_by(SLURM_OUTPUT),
        "Slurm could not open the job's output file",
        "why",
        0.85,
    ),
    FactRule(
        "exit-command-missing",
        Step.EXIT,
        F.ENVIRONMENT,
        "command",
        _exited_with(127, 126),
        "the command does not exist or cannot be executed here",
        "which one",
        0.8,
    ),
    FactRule(
        "exit-container",
        Step.EXIT,
        F.CONTAINER,
        "runtime",
        lambda scene: _exited_with(255)(scene) if scene.evidence.in_container else None,
        "the container runtime exited with its own error code",
        "what went wrong; its message is missing",
        0.6,
    ),
    FactRule(
        "exit-killed",
        Step.EXIT,
        F.UNKNOWN,
        "sigkill",
        _ended_by(SIGKILL),
        "something sent SIGKILL",
        "who: the kernel because of memory, Slurm, or an operator",
        0.5,
        "look at the node's memory and at dmesg; one retry is worthwhile",
    ),
    FactRule(
        "exit-time-command",
        Step.EXIT,
        F.TIMEOUT,
        "command",
        _exited_with(124),
        "the command `timeout` ended the run: 124 is its exit code",
        "whether the program uses this code itself",
        0.75,
    ),
    FactRule(
        "metrics-source-matched-nothing",
        Step.EXIT,
        F.CONFIG,
        "no_match",
        _nothing_matched,
        "the program ended normally, but nothing it printed or wrote matches `metrics.source`",
        "whether the program ended early or reports its metrics in another form",
        0.9,
        "compare metrics.source with what the program printed (stdout.log) or wrote (work/); fix it and plan again",
    ),
    FactRule(
        "metrics-source-matched-no-number",
        Step.EXIT,
        F.CONFIG,
        "no_number",
        _matched_no_number,
        "the program ended normally, but what `metrics.source` finds of its metrics is no number",
        "whether other runs print it the same way",
        0.9,
        "let the group of metrics.source hold the number alone, such as (?P<acc>[^\\s%]+) for 12.5%; then plan again",
    ),
    FactRule(
        "ended-without-result",
        Step.EXIT,
        F.UNKNOWN,
        "no_result",
        _without_result,
        "the run ended normally but its result is incomplete",
        "why; it may have stopped early or written its result elsewhere",
        0.9,
        "make sure that the program writes the primary metric and closes its writer",
    ),
    FactRule(
        "never-started",
        Step.EXIT,
        F.UNKNOWN,
        "never_started",
        _never_started,
        "the job is over and the wrapper never ran",
        "why",
        0.6,
        "read Slurm's own log of this array element",
    ),
)
"""Every conclusion that is not drawn from a log line; within a step the first that holds decides."""
