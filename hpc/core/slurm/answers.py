"""What Slurm's clients say: a job id, or a refusal, or something that leaves open whether the job was taken. Pure.

A client's words pass through a site's own wrappers, and the job exists or not whatever became of them. So an answer is
believed only where it can mean one thing: a job id that stands alone on its line, a refusal that is in the table below.
Everything else is no answer. The job is then looked for by its comment before anything is submitted again.

Source of the messages: ``slurm_errno.c`` and ``opt.c`` of Slurm 20 to 25; ``tests/data/slurm_messages.txt`` has those
of 22.05, each with what it means here.
"""

import re
from functools import cache

MAX_JOB_ID = 0xFFFF_FFFD
"""The two numbers above it stand for "infinite" and "no value" in Slurm (``slurm.h``)."""
SHOWN = 300
"""Characters of an answer that are repeated to the user."""

_ID_LINE = re.compile(
    r"(?:submitted batch job )?([1-9][0-9]{0,9})(?:;[\w.-]+| on cluster [\w.-]+)?", re.IGNORECASE | re.ASCII
)
_SUBMISSION_FAILED = re.compile(r"batch job submission failed: *(.*)", re.IGNORECASE)

_REFUSALS: tuple[tuple[str, str], ...] = (
    ("its options or its script", (
        r"unrecognized option|invalid option|requires an argument|invalid directive|invalid numeric value"
        r"|invalid --?\w|unable to open file|does not look like a batch script|batch script (?:is empty|contains)"
        r"|job script not specified|environment is missing in job|writing script/environment"
        r"|parameter too long"
    )),
    ("who asks", r"access/permission denied|invalid (?:user|group) id|group not permitted|burst buffer permission"),
    ("where it asks to run", (
        r"invalid (?:account|partition|qos|wckey|cluster name|mcs_label)|no partition specified"
        r"|nodes not in this partition|reservation is invalid|access denied to requested reservation"
        r"|multiple partition job request|no eligible clusters|submissions disabled|only batch jobs are accepted"
    )),
    ("what it asks for", (
        r"(?:node|partition) configuration (?:is )?not available|more (?:processors|tasks) (?:requested|than)"
        r"|(?:node|cpu|task) count specification|task distribution|job size specification|memory required by task"
        r"|memory specification can not|time limit (?:is invalid|specification required)|invalid time"
        r"|invalid (?:preferred )?feature|invalid licen[sc]e|invalid (?:generic resource|gres|trackable resource|knl)"
        r"|gres option unsupported|insufficient gres|duplicate generic resource|threads per core than"
        r"|invalid node name|job --batch option|burst buffer re(?:quest|source)|container (?:runtime|support)"
        r"|multiple knl|x11 forwarding not"
    )),
    ("its array or dependency", r"invalid job array|job dependency problem|circular job dependency"),
    ("a limit", (
        r"violates accounting/qos policy|breached requested qos|(?:assoc|qos)\w*limit|maxsubmitjobs|job submit limit"
    )),
    # What a site's job_submit plugin says of its own; Slurm adds only this.
    ("a rule of the site", r"unspecified error"),
    ("a job in the wrong state for the command", (
        r"invalid job id|already (?:started|finished|completing or completed)|not pending nor running"
        r"|no longer pending|is not (?:running|suspended|finished)|is pending execution|operation not permitted"
        r"|requested operation (?:not supported|is presently disabled)|job is current suspended|requested operation dis"
    )),
    ("accounting, which the site does not keep", r"accounting storage is disabled|not running a supported accounting"),
)  # fmt: skip
"""Why Slurm certainly took nothing, and how it says so; compared with the whole message, in small letters."""


def parse_job_id(answer: str) -> str:
    """Read the job id out of what sbatch printed; empty where it cannot be told for certain.

    It is ``4711``, ``4711;cluster`` (``--parsable``) or ``Submitted batch job 4711`` alone on a line. What a site's
    wrapper prints around it is passed over; two lines that name different jobs are no answer.
    """
    lines = (_ID_LINE.fullmatch(line.strip()) for line in answer.split("\n"))
    found = {line[1] for line in lines if line and int(line[1]) <= MAX_JOB_ID}
    return found.pop() if len(found) == 1 else ""


def is_refusal(message: str) -> bool:
    """Whether Slurm surely did not do what it was asked; False where it may have.

    Where sbatch says why the submission failed, that clause decides, and no line before it.
    """
    clause = _SUBMISSION_FAILED.search(message)
    return bool(_refused().search((clause[1] if clause else message).lower()))


@cache
def _refused() -> re.Pattern[str]:
    """The whole table; compiled where Slurm complains, for that takes as long as reading a hundred of its rows."""
    return re.compile("|".join(pattern for _, pattern in _REFUSALS))


def is_submit_limit(message: str) -> bool:
    """Whether sbatch refused because too many jobs are in the queue, and not for what this job asks.

    Slurm's sentence is the same for both; newer versions name the limit in a line before it.
    """
    text = message.lower()
    if named := re.findall(r"(?:assoc|qos)\w*limit", text):
        return any("submit" in name for name in named)
    return "job submit limit" in text or "maxsubmitjobs" in text


def has_no_accounting(message: str) -> bool:
    """Whether a site keeps no accounting, rather than that its data base does not answer."""
    return "accounting storage is disabled" in message.lower()


def shown(answer: str) -> str:
    """An answer on one line, cut, with nothing in it that a terminal would obey."""
    line = " ".join(answer.split())
    line = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"
