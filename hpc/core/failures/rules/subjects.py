"""What an error speaks of, where no row knows its message: things that can be wrong, and ways to be wrong.

Each class has its things. An exception may be *named* after one. The *topic* of a line that calls itself an error is
the thing that stands nearest to what is said to be wrong, or the first in order where nothing is. Where nothing else is
known, any line that speaks of a thing and of something wrong with it is *vague* evidence. The type of an error is but a
prior: of an assertion, a key, an index or what is not implemented, the sentence decides if it has both.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import cache, lru_cache

from hpc.core.failures.engine import Pattern
from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.rule import Rule, Tier, named, row
from hpc.core.failures.rules.stack import argued_by_library
from hpc.core.immutable import immutable, replace

F = FailureClass

WRONG = (
    r"(?:not found|missing|lacks?|no such|not exist|cannot|can't|could not|couldn't|unable to|fail(?:ed|s|ure|ing)?"
    r"|invalid|illegal|unknown|bad|unexpected|unsupported|not supported|wrong|mismatch\w*|empty|incomplete|corrupt\w*"
    r"|damaged|truncated|denied|refused|expired|out of (?:range|bounds)|expected|unavailable|not available"
    r"|inconsistent"
    r"|incompatible|conflict\w*|duplicate\w*|too (?:small|large|short|long|few|many|old|slow)|must|exceed(?:s|ed)?"
    r"|unreadable|malformed|not an? (?:multiple|valid)|not (?:recogni[sz]ed|known|defined|understood|allowed"
    r"|permitted"
    r"|loaded|present|readable|implemented|registered|unique|enough|all)|does(?: not|n't) (?:fit|match|exist|contain"
    r"|belong|support)|do not (?:match|fit|agree|exist)|differ\w*|has no|have no|there is no|contains? no|no longer"
    r"|exhausted|but only|at least|(?:larger|smaller|greater|less|more|fewer) than|refusing|remain(?:ing)?|found"
    r"|instead of|insufficient|but not in|not used|compulsory|mandatory|required|bigger than|occurrences?|error"
    r"|errors in|lost|died|dead|closed"
    r"|timed out|time-?out|belongs to another|(?:already|still) (?:taken|in use|bound)|unhealthy|throttl\w+"
    r"|slow-?down"
    r"|broken|faulty|not (?:responding|operational)|not a|needs?|outside|undefined|unrecogni[sz]ed|contradict\w*"
    r"|without|nor|only)"
)
"""Ways to be wrong."""


@immutable
class Subject:
    """A class, and what its errors speak of.

    Attributes:
        category: The class.
        what: Its things, for people.
        topic: Pattern of the things as the topic of an error.
        vague: Pattern of the things in any line; empty as the topic's.
        names: Pattern of words in the names of exceptions; empty where none are named so.
        of_names: What such exceptions are named after.
        open: What a name leaves open.
        tier: How deep it goes.
    """

    category: FailureClass
    what: str
    topic: str
    vague: str = ""
    names: str = ""
    of_names: str = ""
    open: str = ""
    tier: Tier = Tier.FAULT


SUBJECTS: tuple[Subject, ...] = (
    Subject(
        F.DIVERGENCE, "numbers that are not finite",
        r"\bnans?\b|not finite|non-?finite|\binfinit\w*|diverg\w*|\bexplod(?:ed|es|ing)\b|\bgave infs?\b"
        r"|\bbl(?:owing|ows|ew|own)[- ]?up\b|\bblow-?up\b",
        r"\b(?:unphysical|density floor|pressure floor|residuals?|solution|energy|amplitudes?|norm) .{0,30}"
        r"(?:unphysical|explod\w+|unbounded|out of bounds|e\+\d\d)"
        r"|\b(?:density|pressure|temperature) floor\b|\bhas diverged\b|\bexplod(?:ed|es|ing)\b"
        r"|\bmax\w* \S{1,12} ?= ?[-+]?\d\S{0,10}e\+[2-9]\d|\b(?:gone|becom\w{1,4}|became|is"
        r"|turned) (?:numerically )?unstable|\b(?:velocity|speed|temperature|energy"
        r"|cfl|courant"
        r"(?: number)?)\b.{0,60}\b(?:larger than|greater than|exceed(?:s|ed)|above)\b|\bunphysical\b"
        r"|\bbl(?:owing|ows|ew|own)[- ]?up\b|\bblow-?up\b"
        r"|\bnans?\b (?:found|detected|in|for|total|total energy)|\b(?:is|are|became|=) nans?\b|\bnot finite"
        r"|non-?finite",
    ),
    Subject(
        F.NOT_CONVERGED, "a result that is not good enough", "",
        r"\br_?hat\b.{0,30}>|\bchains? .{0,20}not mix\w*|\beffective sample size .{0,40}(?:below|too (?:low|small)|<)"
        r"|\b(?:not|never) (?:reach\w*|met|attain\w*) .{0,30}(?:tolerance|threshold|target|criterion|accuracy)",
    ),
    Subject(
        F.CHECKPOINT, "a checkpoint",
        r"\bcheckpoints?\b|\bckpt\b|state[_ ]dict|\b(?:resum|restor)(?:e|ing)\b|\brestart (?:files?|dumps?|data"
        r"|coordinates)\b"
        r"|\b(?:saved|serialized|pretrained|trained) (?:model|weights|state)\b|\boptimi[sz]er states?\b"
        r"|\bcontinuing from\b",
        r"\b(?:checkpoints?|ckpt|restart (?:files?|dumps?|coordinates)|intact save|state dict"
        r"|optimi[sz]er states?|resum(?:e|ing)"
        r"|serialized model)\b|\.(?:restart|ckpt|chk|cpt)\b",
        r"Checkpoint|StateDict|Unpickling|Deserializ", "checkpoints", "whether the file or the model is at fault",
    ),
    Subject(
        F.CONTAINER, "the container",
        r"\bcontainers?\b|\bsquashfs\b|\boverlay ?fs\b|\boverlayfs?\b|\.sif\b|\.sqsh\b|graph ?driver"
        r"|containers/storage"
        r"|\b(?:docker|podman|apptainer|singularity|enroot|pyxis|crun|runc|OCI|newuidmap|newgidmap)\b|\brootfs\b"
        r"|\b(?:set ?up|user|mount) namespaces?\b|\bregistry\b|\bfrom image\b",
        r"\b(?:containers?|apptainer|singularity|docker|podman|enroot|sif|crun|runc|OCI|newuidmap|newgidmap"
        r"|shifter|sarus|namespaces"
        r"|subuid|image manifest)\b",
    ),
    Subject(
        F.GPU_HARDWARE, "a device that does not work",
        r"\b(?:gpus?|nvlink|pcie|hbm|cards?|accelerators?)\b.{0,60}\b(?:wrong results?|unhealthy|throttl\w+"
        r"|slow-?down"
        r"|missing from the bus|in a bad state|replay counter|power brake|thermal|not responding|faulty"
        r"|defective|too slow)\b"
        r"|\bhardware (?:exception|slow-?down)\b",
        r"\b(?:gpu ?\d{0,3}|nvlink|pcie|hbm|nvidia-smi|dcgm\w*|devices?|card)\b.{0,100}\b(?:wrong results?|unhealthy"
        r"|throttl\w+|slow-?down|brake|missing from|off the bus|replay counter|thermal|faulty|defective"
        r"|too slow|unfit)\b"
        r"|\b(?:dcgm\w*|health|pre-?flight|diag\w*|burn-?in|self-?test)\b.{0,60}\b(?:fail\w*|wrong|unfit|slow)\b"
        r"|\bgpu ?\d{1,3}:? (?:fail\w*|bad|error|wrong)\b|\b(?:fail\w*|error)\W{1,4}gpu:? ?\d{1,3}\b"
        r"|\bhardware.exception\b",
    ),
    Subject(
        F.ENVIRONMENT, "packages, libraries or drivers",
        r"\b(?:installed|installation|pip|conda|packages?|librar(?:y|ies)|drivers?|compilers?|cuda (?:version"
        r"|toolkit)|nvcc|rustc|linker|\.so\b|licen[cs]es?|executable|cuda setup|your environment|version \d"
        r"|versions)\b",
        r"\b(?:packages?|modules?|librar(?:y|ies)|drivers?|compilers?|interpreter|conda|licen[cs]es?|plugins?|toolkit"
        r"|executable|symbols?|shared object|runtime version)\b",
        r"Import|Dependenc|Requirement|Package|Compil(?!er)|Driver|Version(?!NotFound)", "packages or drivers",
        "which of them to change",
    ),
    Subject(
        F.STORAGE, "a file system",
        r"\b(?:disk|quota|file ?system|mount point|inode|nfs|lustre|gpfs)\b",
        r"\b(?:disk|quota|file ?system|inodes?|mount(?: point|ed)?|nfs|lustre|gpfs|fileset)\b",
    ),
    Subject(
        F.COMMUNICATION, "a connection",
        r"\b(?:connections?|sockets?|peers?|rendezvous|heartbeat|unreachable|handshake|timed out|deadline exceeded"
        r"|hostname|endpoint|loss of manager|executors? lost|port \d{2,5})\b",
        r"\b(?:connections?|sockets?|peers?|rendezvous|heartbeats?|handshake|endpoints?|barrier|attaching to node"
        r"|loss of (?:a )?(?:manager|worker|executor)|completion (?:from|with)|async event|port error"
        r"|ranks? (?:arrived|missing))\b",
        r"Connect|Comm(?!and|ent|it)|Network|Socket|SSL|TLS|R[Pp][Cc]|Disconnect|Unreachable|Rendezvous|Timeout"
        r"|TimedOut|HTTP|Proxy|ManagerLost|WorkerLost|NodeLost",
        "connections", "whether the network or the other side is to blame", Tier.SYMPTOM,
    ),
    Subject(
        F.CODE_BUG, "the program's own code",
        r"\b(?:unused|positional|keyword|variable number of) arguments?\b|\bnot implemented for '|\btracers?\b"
        r"|\b(?:index|subscript|array elements?|matrix dimensions?)\b.{0,30}\b(?:exceeds?|out of)\b|\bnull\b"
        r"|\bpointer\b"
        r"|\b(?:method|attribute|callable|function call|iterator|closure|serializable|tensors?|dtype|shapes?"
        r"|operands?|indices|assertion|invariant|recursion|coroutine|event loop)\b",
    ),
    Subject(
        F.CONFIG, "what was asked for",
        r"\b(?:config(?:uration)?s?|settings?|command.line|options?|flags?|hyper-?parameters?|environment variable"
        r"|must be one of|must not be|invalid value|unknown|unrecogni[sz]ed|unsupported value|not allowed"
        r"|mutually exclusive|specify|strateg(?:y|ies)|keywords?|optimi[sz]ers?|schedulers?"
        r"|presets?|profiles?|stud(?:y|ies)|not implemented|illegal \w{1,20} (?:\w{1,20} )?command"
        r"|route section|input deck|requirements? exceeds?|divisible|declared|theory|world size"
        r"|requested \w{1,20}|switch(?:es)?|input variables?"
        r"|processes (?:were )?(?:started|launched)|unused keys|keys are not used)\b",
        r"\b(?:config(?:uration)?s?|settings?|options?|flags?|parameters?|arguments?|keywords?|namelists?"
        r"|number of (?:ranks|tasks|processes|processors|cores|gpus|threads)|divisible|divisor|decompos\w+|input deck"
        r"|input line|yaml|toml|batch.?sizes?|world.?size|gpus|tolerance|cutoff|precision|hidden.size|heads"
        r"|padding token|base model|stud(?:y|ies)|strategy|commands?|requirements?|cards?|units?)\b"
        r"|(?<!\S)--[a-z][\w-]+"
        r"|\bbut only \d{1,6} .{0,40}(?:allocated|available|visible|requested|given)",
        r"[Cc]onfig|Setting|(?<!Invalid)Argument|Option|Flag|Usage|Parameter|Validation|Hyperparam|VersionNotFound"
        r"|Unregistered|NameNotFound",
        "settings", "which value you meant",
    ),
    Subject(
        F.DATA, "the data",
        r"\b(?:data ?sets?|corpus|samples?|columns?|images?|audio|annotations?|labels?|shards?|csv|jsonl?|parquet"
        r"|tfrecords?|input file|training set|vocab\w{0,8}|tokens?|rows?|records?|magic|headers?|slices?"
        r"|volumes?|tiles?"
        r"|bands?|scanlines?|rasters?|reads?|read lengths?|lines?(?![ :]{0,4}\d)|fields?|byte count"
        r"|message length|feature rows?|atoms"
        r"|features|transcripts?|archive|geometry|mesh|trajectory|reference|genome|observations?|stations?"
        r"|unit \d{1,3})\b",
        r"\b(?:data ?sets?|data files?|input files?|samples?|columns?|rows?|records?|images?|labels?|annotations?"
        r"|shards?|csv|jsonl?|parquet|reads|mesh|grid|geometry|structures?|coordinates|reference|genome|header"
        r"|archive"
        r"|files?|checksums?|lines?(?![ :]{0,4}\d)|fields?|variants|atoms|k-points|data|magic|slices?|tiles?"
        r"|scanlines?|bands?"
        r"|read lengths?|message length|vcf|bam|fastq|grib|netcdf|syntax for type|transcripts?)\b",
        r"Dataset|DataLoad|Corrupt|Truncat|Malformed|Decod|Decompress|Pars|Checksum|FileFormat|Shard|Arrow|Tokeniz"
        r"|Csv|Xml|WrongLength|Invalid(?:Data|Dicom|File|Image|Format|Record|TextRep)|UnequalLengths|Schema",
        "data", "whether the data or its reader is at fault",
    ),
)  # fmt: skip
"""In the order in which they count where nothing is said to be wrong."""


_WRONG = re.compile(rf"\b{WRONG}\b", re.IGNORECASE)
REACH = 80
"""Characters between a thing and what is wrong with it."""
ABOUT = 12
"""Characters that make no difference."""


class _About(Pattern):
    """The pattern of lines that speak of one subject rather than of another.

    Args:
        beginning: Pattern the line has to begin with; a group named ``doubt`` is one after which a thing counts only
            with something wrong with it.
        subject: The subject.
        vague: Whether the things of any line are meant, not those of a topic.
    """

    def __init__(self, beginning: str, subject: Subject, *, vague: bool) -> None:
        super().__init__(beginning + ".{0,400}?(?:" + _things(subject, vague=vague) + ")")
        self._begins = re.compile(beginning, re.IGNORECASE)
        self._category, self._vague = subject.category, vague

    def search(self, text: str) -> re.Match[str] | None:
        """The beginning, where the line is about the subject."""
        begins = self._begins.match(text)
        if begins is None:
            return None
        alone = not self._vague and not begins["doubt"]
        return begins if spoken_of(text[begins.end() :], vague=self._vague, alone=alone) is self._category else None


def _things(subject: Subject, *, vague: bool) -> str:
    return (vague and subject.vague) or subject.topic or "(?!)"


@lru_cache(maxsize=256)
def spoken_of(text: str, *, vague: bool, alone: bool) -> FailureClass | None:
    """The class of the thing that stands nearest to a word for what is wrong; of equals the first in order."""
    wrongs = [(m.start(), m.end()) for m in _WRONG.finditer(text)]
    best: tuple[int, int] | None = None
    first: FailureClass | None = None
    for place, subject in enumerate(SUBJECTS):
        for start, end in _found(subject, text, vague):
            first = first or subject.category
            gap = 0 if subject.category in _SAY_IT_ALL else _gap(start, end, wrongs)
            if gap <= REACH and (best is None or (gap // ABOUT, place) < best):
                best = (gap // ABOUT, place)
    if best is not None:
        return SUBJECTS[best[1]].category
    return first if alone else None


_SAY_IT_ALL = (F.DIVERGENCE, F.NOT_CONVERGED, F.GPU_HARDWARE)
"""Subjects whose things are something wrong."""


def _found(subject: Subject, text: str, vague: bool) -> Iterator[tuple[int, int]]:
    pattern = _compiled(_things(subject, vague=vague))
    return ((m.start(), m.end()) for m in pattern.finditer(text))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _gap(start: int, end: int, wrongs: list[tuple[int, int]]) -> int:
    """Characters to the nearest word for what is wrong; 0 where one is part of the other."""
    at = bisect_left(wrongs, (start, start))
    near = wrongs[max(0, at - 1) : at + 2]
    return min((max(0, start - b, a - end) for a, b in near), default=REACH + 1)


def _named_after(subject: Subject) -> Rule:
    """The row of the exceptions whose names speak of a class, where no row knows the message."""
    return row(
        f"named-{subject.category.value}", subject.category, "named", named(subject.names),
        f"an exception named after {subject.of_names}", subject.open, tier=subject.tier,
        confidence=0.6 if subject.tier is Tier.SYMPTOM else 0.7,
    )  # fmt: skip


_UNLESS = {
    F.STORAGE: argued_by_library, F.CONTAINER: argued_by_library, F.COMMUNICATION: argued_by_library,
}  # fmt: skip
"""Topics that a word alone does not make, where a library says it of what it was given."""
_NO_TOPIC = r"(?-i:Type|Name|Attribute|ZeroDivision|UnboundLocal|Syntax|Recursion)Error"
_SAYS_ERROR = (
    r"^\W{0,4}(?!slurmstepd|srun|wandb)(?:[\w./-]{1,40}: (?=(?-i:ERROR|FATAL|Error)))?"
    rf"(?!(?:\w+\.){{0,8}}{_NO_TOPIC})"
    r"(?:(?P<doubt>(?:\w+\.){0,8}(?-i:Assertion|NotImplemented|Key|Index|Lookup)Error)|(?:\w+\.){0,8}"
    r"(?-i:\w*(?:Error|Exception))|(?-i:ERROR|FATAL|Error|Fatal|fatal|error)|what\(\)|panic"
    r"|\[(?:error|fatal|abort)\])(?!\w)"
)
_CALLS_ITSELF = (
    r"^\W{0,6}(?:[\w./-]{1,40}: )?(?:(?:\w+\.){0,8}\w*(?:error|exception)|error|fatal|abort(?:ed)?|panic)?\b"
)


def _topic(subject: Subject) -> Rule:
    """The row of errors that speak of the subject; of an assertion, a key or an index only with what is wrong."""
    base = row(
        f"topic-{subject.category.value.replace('_', '-')}", subject.category, "topic", "(?!)",
        f"the error that ended it speaks of {subject.what}",
        "whether this is the cause: no rule knows the message itself",
        tier=subject.tier, confidence=0.55, sentence=True, unless=_UNLESS.get(subject.category),
    )  # fmt: skip
    return replace(base, says=_About(_SAYS_ERROR, subject, vague=False))


def _vague(subject: Subject) -> Rule:
    """The row of lines that speak of a thing and of something wrong with it, where nothing else is known."""
    base = row(
        f"vague-{subject.category.value.replace('_', '-')}", subject.category, "vague", "(?!)",
        f"a line speaks of {subject.what} and of something wrong with it, and nothing else is known",
        "whether this is what ended it",
        tier=Tier.TRACE, needs_failure=True, sentence=True, confidence=0.4,
    )  # fmt: skip
    return replace(base, says=_About(_CALLS_ITSELF, subject, vague=True))


NAMED = tuple(_named_after(subject) for subject in SUBJECTS if subject.names)
TOPICS = tuple(_topic(subject) for subject in SUBJECTS if subject.topic)
VAGUE = tuple(_vague(subject) for subject in SUBJECTS)
