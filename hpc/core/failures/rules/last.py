"""What is left: exceptions by the words in their names, by their stacks, by the topic of their sentence; last words."""

from typing import Any

from hpc.core.failures.ending import BADLY
from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.rule import RAISED, Role, Rule, Tier, named, row
from hpc.core.failures.rules.stack import STACK_RULES

F = FailureClass


def _named_after(category: FailureClass, words: str, what: str, leaves_open: str, **more: Any) -> Rule:
    """Return the row of the exceptions whose names speak of a class, where no row knows the message."""
    return row(
        f"named-{category.value}", category, "named", named(words), f"an exception named after {what}", leaves_open,
        **{"tier": Tier.FAULT, "confidence": 0.7, **more},
    )  # fmt: skip


_NAMED = (
    _named_after(
        F.CHECKPOINT, r"Checkpoint|StateDict|Unpickling|Deserializ",
        "checkpoints", "whether the file or the model is at fault",
    ),
    _named_after(
        F.CONFIG, r"[Cc]onfig|Setting|(?<!Invalid)Argument|Option|Flag|Usage|Parameter|Validation|Hyperparam",
        "settings", "which value you meant",
    ),
    _named_after(
        F.DATA,
        r"Dataset|DataLoad|Corrupt|Truncat|Malformed|Decod|Decompress|Pars|Checksum|FileFormat|Shard|Arrow|Tokeniz"
        r"|Invalid(?:Data|Dicom|File|Image|Format|Record)",
        "data", "whether the data or its reader is at fault",
    ),
    _named_after(
        F.ENVIRONMENT, r"Import|Dependenc|Version|Requirement|Package|Compil(?!er)|Driver",
        "packages or drivers", "which of them to change",
    ),
    _named_after(
        F.COMMUNICATION,
        r"Connect|Comm(?!and|ent|it)|Network|Socket|SSL|TLS|R[Pp][Cc]|Disconnect|Unreachable|Rendezvous|Timeout"
        r"|TimedOut|HTTP|Proxy",
        "connections", "whether the network or the other side is to blame", tier=Tier.SYMPTOM, confidence=0.6,
    ),
)  # fmt: skip

# How programs begin the line that says what went wrong, unless they name a fault of programming.
_SAYS_ERROR = (
    r"^\W{0,4}(?!(?:\w+\.){0,8}(?-i:Type|Name|Attribute|Key|Index|ZeroDivision|UnboundLocal|Assertion|NotImplemented"
    r"|Syntax|Recursion)Error)"
    r"(?:(?:\w+\.){0,8}(?-i:\w*(?:Error|Exception))|(?-i:ERROR|FATAL|Error|Fatal|fatal|error)|what\(\)"
    r"|panic)\b.{0,200}?"
)


def _topic(category: FailureClass, words: str, what: str, **more: Any) -> Rule:
    return row(
        f"topic-{category.value.replace('_', '-')}",
        category,
        "topic",
        _SAYS_ERROR + rf"(?:{words})",
        f"the error that ended it speaks of {what}",
        "whether this is the cause: no rule knows the message itself",
        **{"tier": Tier.FAULT, "confidence": 0.55, "sentence": True, **more},
    )


_TOPICS = (
    _topic(F.OOM_HOST, r"\bout of (?:host |system )?memory\b|(?:insufficient|not enough) memory", "memory"),
    _topic(F.DIVERGENCE, r"\bnans?\b|not finite|non-?finite|\binfinit|diverg", "numbers that are not finite"),
    _topic(F.CHECKPOINT, r"\bcheckpoints?\b|\bckpt\b|state[_ ]dict|\b(?:resum|restor)(?:e|ing)\b", "a checkpoint"),
    _topic(
        F.CONTAINER,
        r"\bcontainer\b|\bsquashfs\b|\boverlay ?fs\b|\boverlayfs?\b|\.sif\b|\.sqsh\b|graph ?driver|containers/storage"
        r"|\b(?:docker|podman|apptainer|singularity|enroot|pyxis)\b|\brootfs\b",
        "the container",
    ),
    _topic(
        F.ENVIRONMENT,
        r"\b(?:installed|installation|pip|conda|packages?|librar(?:y|ies)|drivers?|compilers?|cuda (?:version"
        r"|toolkit)|nvcc|linker|\.so\b"
        r"|version \d|versions)\b",
        "packages, libraries or drivers",
    ),
    _topic(
        F.STORAGE,
        r"\b(?:disk|quota|file ?system|mount point|inode|nfs|lustre|gpfs)\b",
        "a file system",
    ),
    _topic(
        F.COMMUNICATION,
        r"\b(?:connections?|sockets?|peers?|rendezvous|heartbeat|unreachable|handshake|timed out|deadline exceeded"
        r"|hostname)\b",
        "a connection",
        tier=Tier.SYMPTOM,
    ),
    _topic(
        F.CONFIG,
        r"\b(?:config(?:uration)?s?|settings?|command.line|options?|flags?|hyper-?parameters?|environment variable"
        r"|must be one of"
        r"|must not be|invalid value|unknown|unrecogni[sz]ed|unsupported value|not allowed|mutually exclusive"
        r"|specify)\b",
        "what was asked for",
    ),
    _topic(
        F.DATA,
        r"\b(?:data ?sets?|corpus|samples?|columns?|images?|audio|annotations?|labels?|shards?|csv|jsonl?|parquet"
        r"|tfrecords?|input file"
        r"|training set|vocab\w{0,8}|tokens?|rows?)\b",
        "the data",
    ),
)  # fmt: skip

ROWS: tuple[Rule, ...] = (
    row(
        "checkpoint-while-loading", F.CHECKPOINT, "loading",
        RAISED
        + r"(?-i:EOFError|OSError|RuntimeError|ValueError|struct\.error|KeyError)\b",
        "reading a checkpoint failed with an unspecific error",
        "whether the file is damaged: the program may expect another format",
        tier=Tier.FAULT,
        near=(
            r"torch/serialization\.py\", line \d+, in (?:load|_load|_legacy_load|_open_file_like|_open_zipfile\w*"
            r"|__init__|read_\w+)\b"
            r"|, in (?:load_checkpoint|load_ckpt|_?resume\w{0,20}|restore\w{0,20}|_load_optimizer\w{0,20})$"
        ),
        confidence=0.7,
    ),
    row(
        "storage-while-saving", F.STORAGE, "saving",
        RAISED
        + r"(?-i:OSError|IOError|RuntimeError)\b",
        "writing a checkpoint failed with an unspecific error",
        "whether the disk is full",
        tier=Tier.FAULT,
        near=(
            r"torch/serialization\.py\", line \d+, in (?:save|_save|__exit__)\b"
            r"|, in (?:save_checkpoint|save_state|save_pretrained)$"
        ),
        confidence=0.65,
    ),
    *_NAMED,
    row(
        "storage-unnamed", F.STORAGE, "unnamed",
        named(r"Storage|Disk|Quota|Filesystem|FileLock|Lock|ReadOnly")
        + "|"
        + RAISED
        + r"(?-i:OSError|IOError|BlockingIOError): \[Errno \d{1,3}\] .{1,60}: '",
        "a file system refused a call: an exception named after storage, or an error number no row knows",
        "why, and which file system",
        tier=Tier.FAULT,
        confidence=0.6,
    ),
    row(
        "config-value", F.CONFIG, "value",
        RAISED
        + r"(?-i:ValueError|AssertionError|RuntimeError|KeyError|NotImplementedError"
        r"|Exception): .{0,160}(?:must be (?:one of|positive|greater|less|between|set)"
        r"|unknown (?:optimi[sz]er|model|scheduler|loss|architecture|activation|device|backend|dataset type|option"
        r"|name)"
        r"|is not (?:a )?(?:supported|valid|allowed|known|registered)|should be one of|choose from|expected one of"
        r"|invalid (?:value|choice|option) for|invalid (?!literal|shape|index|state|data|input"
        r"|file)[\w -]{2,40}: -?[\d'\"]"
        r"|doesn't support bf16|is not recognized)",
        "the program rejected a value it was given",
        "whether the value came from the settings or the code",
        tier=Tier.FAULT,
        confidence=0.65,
    ),
    row(
        "bug-other-languages", F.CODE_BUG, "other_language",
        r"fortran runtime error|forrtl: severe \(\d|\b(?:MethodError|UndefVarError|BoundsError|DimensionMismatch"
        r"|InexactError"
        r"|UndefRefError)\b|subscript out of bounds"
        r"|^error in .{1,120}object '.{1,60}' not found|non-(?:numeric|conformable) arg|thread '.{1,60}' panicked"
        r"|^panic: |NullPointerException"
        r"|ArrayIndexOutOfBounds|ClassCastException|invalid configuration argument|_M_range_check",
        "a program written in another language failed through a fault of its own",
        "whether the code or its input is wrong",
        tier=Tier.FAULT,
        confidence=0.75,
    ),
    *STACK_RULES,
    *_TOPICS,
    row(
        "bug-exception", F.CODE_BUG, "exception",
        RAISED
        + r"(?-i:TypeError|NameError|AttributeError|KeyError|IndexError|ZeroDivisionError|UnboundLocalError"
        r"|AssertionError|NotImplementedError|SyntaxError|IndentationError|RecursionError|OverflowError"
        r"|StopIteration|LookupError|ArithmeticError|ValueError)\b",
        "the program raised an error that it did not expect",
        "whether the code or its input is wrong",
        tier=Tier.FAULT,
        confidence=0.8,
    ),
    row(
        "bug-uncaught", F.CODE_BUG, "uncaught",
        RAISED
        + r"(?!\w*Warning\b)(?-i:[A-Z]\w*(?:Error|Exception))\b(?: ?:|$)|^\s*Exception: "
        r"|terminate called after throwing"
        r"|: Assertion `.{0,200}' failed|fatal python error",
        "an uncaught exception ended the program",
        "its cause: no rule knows this message",
        tier=Tier.FAULT,
        confidence=0.6,
        role=Role.UNCAUGHT,
    ),
    row(
        "environment-command-missing", F.ENVIRONMENT, "command",
        r"(?:command not found|: not found)$|^slurmstepd: error: execve\(\): .{0,200}no such file"
        r"|env: .{0,80}no such file",
        "a command in the job script does not exist on this node",
        "whether the program needed it",
        tier=Tier.SYMPTOM,
        confidence=0.8,
        role=Role.NO_PROGRAM,
    ),
    row(
        "killed-without-reason", F.UNKNOWN, "sigkill",
        r"^srun: error: .{0,120}: killed|\(SIGKILL\)|^killed$|: \d+ killed\s|^\s{0,8}exitcode\s{1,4}: -9\b",
        "a process was killed with SIGKILL",
        "who: the kernel because of memory, Slurm, or an operator",
        tier=Tier.TRACE,
        confidence=0.4,
        role=Role.KILLED,
    ),
    row(
        "bug-said-error", F.CODE_BUG, "said_error",
        r"^\W{0,4}(?!srun\b|slurmstepd\b|wandb\b|prolog\b|epilog\b)(?:[\w./-]{1,60}: ?)?"
        r"(?:fatal(?: error)?|error|panic|severe|aborting)\b",
        "the program reported an error and exited with a failure code",
        "what it means: no rule knows the message; repeating the run rarely helps",
        tier=Tier.TRACE,
        when=lambda e: e.exit_code is not None and 0 < e.exit_code < 124 and not e.exit_signal,
        needs_failure=True,
        confidence=0.4,
    ),
    row(
        "bug-ended-badly", F.CODE_BUG, "said_failed",
        BADLY,
        "the program says of itself that it did not do what it was to do",
        "why: no rule knows the message",
        tier=Tier.TRACE,
        confidence=0.4,
    ),
    row(
        "step-failed", F.UNKNOWN, "step_failed",
        r"\*\*\* step .{0,200}due to task failure|^srun: error: .{0,80}: tasks? [\d,-]{1,80}: (?:terminated|aborted)",
        "Slurm ended a step because one of its tasks had failed",
        "why that task failed, and whether the job script noticed",
        tier=Tier.TRACE,
        confidence=0.4,
    ),
    row(
        "exited-without-reason", F.UNKNOWN, "exit_code",
        r"^srun: error: .{0,120}exited with exit code [1-9]|exitcode\s{0,4}: -?[1-9]",
        "a task ended with a failure code",
        "why: nothing in the log says it",
        tier=Tier.TRACE,
        confidence=0.4,
    ),
)  # fmt: skip
