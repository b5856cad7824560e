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

_WRONG = (
    r"(?:not found|missing|no such|not exist|cannot|can't|could not|couldn't|unable to|fail(?:ed|s|ure)?|invalid"
    r"|illegal|unknown"
    r"|unexpected|unsupported|not supported|wrong|mismatch\w*|empty|incomplete|corrupt\w*|damaged|truncated"
    r"|denied|refused|expired"
    r"|out of range|expected|unavailable|not available|inconsistent|incompatible|conflict\w*|duplicate"
    r"|too (?:small|large|short|long"
    r"|few|many|old)|must|exceeds?|unreadable|malformed|not an? (?:multiple|valid)"
    r"|not (?:recogni[sz]ed|known|defined|understood|allowed|permitted|loaded|present|readable)|does(?: not|n't) fit"
    r"|exhausted|no longer|but only"
    r"|at least|(?:larger|smaller|greater|less|more) than|cannot handle|refusing|remain(?:ing)?|found)"
)


def _vague(category: FailureClass, words: str, what: str, *, alone: bool = False) -> Rule:
    """The row of lines that speak of a thing and of something wrong with it, where nothing else is known.

    Args:
        category: Class of the thing.
        words: Pattern of the thing; where they stand `alone`, of what is wrong with it, too.
        what: The thing, for people.
        alone: Whether the words need no other beside them.
    """
    return row(
        f"vague-{category.value.replace('_', '-')}", category, "vague",
        words if alone else rf"\b{_WRONG}\b.{{0,80}}?(?:{words})|(?:{words}).{{0,80}}?\b{_WRONG}\b",
        f"a line speaks of {what} and of something wrong with it, and nothing else is known",
        "whether this is what ended it",
        tier=Tier.TRACE, needs_failure=True, sentence=True, confidence=0.4,
    )  # fmt: skip


_VAGUE = (
    _vague(
        F.CHECKPOINT, r"\b(?:checkpoints?|ckpt|restart (?:file|dump)|state dict|optimi[sz]er states?|resum(?:e|ing))\b",
        "a checkpoint",
    ),
    _vague(
        F.DIVERGENCE,
        r"\b(?:unphysical|density floor|pressure floor|residuals?|solution|energy|amplitudes?|norm) .{0,30}"
        r"(?:unphysical|explod\w+|unbounded|blow\w* up|blew up|out of bounds|e\+\d\d)"
        r"|\b(?:density|pressure|temperature) floor\b|\bunphysical\b",
        "numbers out of all bounds", alone=True,
    ),
    _vague(
        F.NOT_CONVERGED,
        r"\br_?hat\b.{0,30}>|\bchains? .{0,20}not mix\w*|\beffective sample size .{0,40}(?:below|too (?:low|small)|<)"
        r"|\b(?:not|never) (?:reach\w*|met|attain\w*) .{0,30}(?:tolerance|threshold|target|criterion|accuracy)",
        "a result that is not good enough", alone=True,
    ),
    _vague(F.CONTAINER, r"\b(?:containers?|apptainer|singularity|docker|podman|enroot|sif)\b", "the container"),
    _vague(
        F.ENVIRONMENT,
        r"\b(?:packages?|modules?|librar(?:y|ies)|drivers?|compilers?|interpreter|conda|licen[cs]es?|plugins?"
        r"|toolkit|executable"
        r"|symbols?|shared object|runtime version)\b",
        "packages, libraries or licences",
    ),
    _vague(F.STORAGE, r"\b(?:disk|quota|file ?system|inodes?|mount(?: point|ed)?|nfs|lustre)\b", "a file system"),
    _vague(
        F.CONFIG,
        r"\b(?:config(?:uration)?s?|settings?|options?|flags?|parameters?|arguments?|keywords?|namelists?"
        r"|number of (?:ranks|tasks"
        r"|processes|processors|cores|gpus|threads)|divisible|input deck|yaml|toml|batch.?sizes?|world.?size|gpus"
        r"|tolerance|cutoff|precision|hidden.size|heads|padding token"
        r"|base model)\b|(?<!\S)--[a-z][\w-]+|\bbut only \d{1,6} .{0,40}(?:allocated|available|visible"
        r"|requested|given)",
        "what was asked for",
    ),
    _vague(
        F.DATA,
        r"\b(?:data ?sets?|data files?|input files?|samples?|columns?|rows?|records?|images?|labels?|annotations?"
        r"|shards?|csv|jsonl?"
        r"|parquet|reads|mesh|grid|geometry|structures?|coordinates|reference|genome|header|archive|files?"
        r"|checksums?|lines?|fields?|variants|atoms|k-points|data)\b",
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
    row(
        "data-file-words", F.DATA, "file",
        r"^(?!.{0,300}\b(?:checkpoint|ckpt|state.dict|weights|restart)).{0,400}?(?:(?:error|fail(?:ed|ure)?"
        r"|unable|could not|couldn't|cannot|can't)(?: to| while| when| in)? ?(?:open(?:ing)?|locat(?:e|ing)"
        r"|read(?:ing)?|load(?:ing)?|find(?:ing)?|access(?:ing)?|pars(?:e|ing)) .{0,120}(?:\bfor reading"
        r"|\bindex\b|\bheader\b"
        r"|\.(?:nc|bam|cram|sam|fa|fasta|fq|fastq|vcf|bed|gtf|gff|csv|tsv|txt|dat|h5|hdf5|npz|npy|xyz|pdb|gro|top"
        r"|tpr|mesh|msh"
        r"|su2|cgns|vtk|vtu|tif|tiff|nii|json|jsonl|parquet|tfrecord|gz|zip|tar|mat|rds|xlsx?|png|jpe?g|wav|flac"
        r"|mp4)\b"
        r"|POTCAR|POSCAR|geometry|mesh|topology|coordinates|reference|genome|reads|samples?)"
        r"|\b(?:mesh|input|reads?|sample|grid|geometry|structure|topology|coordinate|reference|genome|forcing"
        r"|boundary"
        r"|trajectory|annotation|label|index) files? \S{0,120} ?(?:was |were |is |are )?(?:not found|missing"
        r"|empty|does not exist"
        r"|do not exist|could not be (?:found|read|opened))|missing input files?|MissingInputException"
        r"|DataFilesNotFound"
        r"|does not look like an? |no overlapping contigs|contigs? .{0,40}not found|label must be in"
        r"|cannot find zipfile"
        r"|fortran runtime error: (?:end of file|end of record|bad (?:real|integer|value|item)|cannot open file"
        r"|file .{0,200} does"
        r" not exist)|unexpected (?:eof|end of)|\bcontains? (?:0|no) (?:atoms|records|rows|samples|reads|entries)\b"
        r"|does not match (?:the )?topology|\bnone of \[.{1,200}\] are in the|SAMFormatException"
        r"|fatal error in reads input"
        r"|mismatched? (?:number of|lengths?).{0,60}\b(?:images|labels|samples|rows|targets|annotations)\b"
        r"|\[errno 2\] no such file or directory: '?/\S{0,120}(?:data|train|val|test|corpus|images))"
        r"|^(?:cat|head|wc|awk|sed|sort|cut|tail|less|zcat|gunzip): .{0,200}: no such file or directory$",
        "an input is missing, or not what the program takes it for",
        "whether the path or the file is at fault",
        tier=Tier.FAULT, confidence=0.7,
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
        "data-named-file", F.DATA, "file",
        RAISED + r"(?-i:ValueError|AssertionError|KeyError|IndexError|RuntimeError"
        r"|Exception)\b(?!.{0,300}\b(?:checkpoint|ckpt|config))"
        r".{0,200}(?:\.(?:csv|tsv|jsonl?|parquet|npz|npy|h5|hdf5|nc|txt|xyz|png|jpe?g|wav|flac|tif|nii|fa|fasta"
        r"|fastq|vcf|bam)\b"
        r"|\bnot found in (?:the )?(?:trajectory|file|header|data|table|archive|data ?set|group|manifest)\b"
        r"|\bduplicate (?:ids?|rows?|keys?|records?|samples?)\b|\bno (?:variants|samples|rows|records|images"
        r"|reads) (?:left|remain))",
        "an exception of the program names an input",
        "whether the input or the code that reads it is at fault",
        tier=Tier.FAULT, confidence=0.65,
    ),
    row(
        "config-refused", F.CONFIG, "refused",
        r"^(?!.{0,300}\b(?:podman|docker|apptainer|singularity|containers?|tensors?|shapes?|dtype)\b)"
        r"(?:" + RAISED + r"(?-i:ValueError|AssertionError|RuntimeError|NotImplementedError|Exception"
        r"|\w{1,40}(?:Config|Setup|Input)"
        r"\w{0,20}(?:Error|Exception)|WorkflowError)\b"
        r"|^\W{0,12}(?:[\w./|-]{1,40} ?[|:]? ?){0,3}(?:fatal (?:io )?error|error|abort"
        r"|fatal|error in routine \s*\w{1,40} \(\d{1,5}\))\b).{0,240}?"
        r"(?:\bnot an? multiple of|\bcannot handle\b|\bplease check the target|\b(?:greater|larger|smaller|less"
        r"|more) than (?:the |half )?(?:\w{1,20} )?(?:derived|maximum|max\w*|number|allowed|available"
        r"|minimum|min\w*|total|supported|limit|permitted)|\bexceeds? (?:the )?(?:maximum|number of|max\w*"
        r"|available|limit of)"
        r"|\bmust (?:be (?:a |an )?(?:positive|equal|divisible|one|greater|less|between|at least|set|non-negative"
        r"|multiple|even|odd"
        r"|power|specified|provided|given|>|<|\d{1,9}(?:[ .,;)]|$))|equal|match the|divide|not exceed|specify"
        r"|provide)"
        r"|\b(?:is |are )?only supported\b|\bunsupported (?:combination|option|value|setting|type)"
        r"|\bwhich is unsupported"
        r"|\bnot compatible with\b|\bcannot be (?:used|combined|set)\b|\bmutually exclusive"
        r"|\bwrong number of (?:pools|processors"
        r"|ranks|tasks|cores|images|arguments)|\bunknown (?:keyword|command|pair style|fix|compute|option"
        r"|configuration|profile"
        r"|section|key|parameter|argument|setting|style|variable)|\bbad line in namelist|\bis undefined in dictionary"
        r"|\bnumber of (?:processors?|ranks|tasks|threads|cores)\b|\bnot equal to the number of"
        r"|\bexpected a <class|\bparser key"
        r"|\bmissing (?:required |mandatory )(?:parameter|option|argument|input|key|setting|field)"
        r"|\bno domain decomposition"
        r"|\bnot found in (?:the )?config|\bconfig(?:uration)? file .{0,120}(?:not found|does not exist|missing)"
        r"|\btoo small$"
        r"|\bis not (?:a )?(?:valid|supported|allowed|recogni[sz]ed|available for))",
        "the program refused what it was asked for",
        "whether the settings or the code chose it",
        tier=Tier.FAULT, confidence=0.65,
    ),
    row(
        "config-missing-parameter", F.CONFIG, "arguments",
        r"^\W{0,6}missing (?:required|mandatory) (?:parameter|option|argument|input|setting)",
        "something that has to be given was not",
        "which value was meant",
        tier=Tier.FAULT, confidence=0.75,
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
        r"|: Assertion `.{0,200}' failed|fatal python error(?!: (?:aborted|bus error))",
        "an uncaught exception ended the program",
        "its cause: no rule knows this message",
        tier=Tier.FAULT,
        confidence=0.6,
        role=Role.UNCAUGHT,
    ),
    row(
        "environment-command-missing", F.ENVIRONMENT, "command",
        r"^\S{0,200}(?:sh|slurm_script): (?:line \d+: )?\S*/bin/\S{1,80}: no such file or directory$"
        r"|(?:command not found"
        r"|: not found)\.?$|^slurmstepd: error: execve\(\): .{0,200}no such file"
        r"|env: .{0,80}no such file",
        "a command in the job script does not exist on this node",
        "whether the program needed it",
        tier=Tier.SYMPTOM,
        confidence=0.8,
        role=Role.NO_PROGRAM,
    ),
    row(
        "killed-without-reason", F.UNKNOWN, "sigkill",
        r"^srun: error: .{0,120}: killed|\(SIGKILL\)|^killed$|: {1,4}\d+ killed\s|^\s{0,8}exitcode\s{1,4}: -9\b",
        "a process was killed with SIGKILL",
        "who: the kernel because of memory, Slurm, or an operator",
        tier=Tier.TRACE,
        confidence=0.4,
        role=Role.KILLED,
    ),
    *_VAGUE,
    row(
        "bug-said-fatal", F.CODE_BUG, "said_error",
        r"^\W{0,4}(?-i:FATAL|PANIC)\b",
        "the program called something fatal",
        "what it means: no rule knows the message",
        tier=Tier.TRACE, confidence=0.4,
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
        "aborted-without-reason", F.UNKNOWN, "sigabrt",
        r"\baborted \(core dumped\)|fatal python error: aborted|: {1,4}\d+ aborted\s|\(SIGABRT\)",
        "a process ended itself with SIGABRT",
        "why: its own words are missing",
        tier=Tier.TRACE, confidence=0.4,
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
