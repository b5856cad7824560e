"""What is left: exceptions by the words in their names, by their stacks, by the topic of their sentence; last words."""

from hpc.core.failures.ending import BADLY, SAID_CODE
from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.rule import RAISED, Role, Rule, Tier, named, row
from hpc.core.failures.rules.asked import ALTERNATIVES, CONSTRAINT, SAID_CONSTRAINT, UNKNOWN_NAME
from hpc.core.failures.rules.program import POINTS_ELSEWHERE
from hpc.core.failures.rules.stack import LIBRARY_REFUSED, STACK_RULES, TABLE_LACKS, refused_to_save
from hpc.core.failures.rules.subjects import NAMED, TOPICS, VAGUE

F = FailureClass


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
        confidence=0.65, unless=refused_to_save,
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
        r"|fortran runtime error: (?:(?:un)?formatted file structure|end of file|end of record|bad (?:real|integer"
        r"|value|item)|cannot open file"
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
    *NAMED,
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
    ALTERNATIVES,
    CONSTRAINT,
    *STACK_RULES,
    TABLE_LACKS,
    *TOPICS,
    POINTS_ELSEWHERE,
    LIBRARY_REFUSED,
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
    row(
        "config-solver-stopped", F.CONFIG, "said_error",
        r"^\s*--> FOAM FATAL (?:IO )?ERROR|^\s*\* \[ABORT\]\W*$|^-{4,} FATAL CALLED -{4,}",
        "a solver stopped itself, as it does for what its input asks for",
        "what it objects to: the lines below say it",
        tier=Tier.TRACE, needs_failure=True, confidence=0.45,
    ),
    row(
        "communication-said", F.COMMUNICATION, "said_error",
        r"\bNCCL WARN\b|^libfabric:\d+:.{1,80}<warn>",
        "the library that carries messages between ranks warned, and nothing else is known",
        "whether the network, a peer or the call was at fault",
        tier=Tier.TRACE, needs_failure=True, confidence=0.45,
    ),
    UNKNOWN_NAME,
    SAID_CONSTRAINT,
    *VAGUE,
    row(
        "bug-terminate", F.CODE_BUG, "said_error",
        r"^terminate called after throwing",
        "an uncaught C++ exception without a message ended the program",
        "what it was about: other lines may say it",
        tier=Tier.TRACE, confidence=0.5,
    ),
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
        r"(?:fatal(?: error)?|error|panic|severe|aborting)\b(?!: \*\*\*)",
        "the program reported an error and exited with a failure code",
        "what it means: no rule knows the message; repeating the run rarely helps",
        tier=Tier.TRACE,
        when=lambda e: e.exit_code is not None and 0 <= e.exit_code < 124 and not e.exit_signal,
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
        rf"^srun: error: .{{0,120}}exited with exit code [1-9]|exitcode\s{{0,4}}: -?[1-9]|{SAID_CODE}",
        "a task ended with a failure code",
        "why: nothing in the log says it",
        tier=Tier.TRACE,
        confidence=0.4,
    ),
)  # fmt: skip
