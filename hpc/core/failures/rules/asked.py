"""What was asked for: of Slurm, on the command line, in settings, of a hub."""

from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.rule import RAISED, Rule, Tier, row
from hpc.core.failures.rules.stack import ends_in

F = FailureClass

EARLY: tuple[Rule, ...] = (
    row(
        "config-refused-by-server", F.CONFIG, "http",
        r"\bHTTP ?Error\W{1,3}(?:400|401|403|404|410|422)\b|\b(?:400|401|403|404|410|422) client error\b"
        r"|\bStatusCode\.(?:INVALID_ARGUMENT|UNAUTHENTICATED|PERMISSION_DENIED|NOT_FOUND|FAILED_PRECONDITION)\b"
        r"|\b(?:401 unauthorized|403 forbidden)\b|\binvalid (?:user|access) token\b"
        r"|is not a local folder and is not a valid model identifier|\b(?:AccessDenied|NoSuchBucket|NoSuchKey)\b",
        "a server answered and refused: there is nothing of that name, or no permission",
        "whether the name or the key is wrong",
        tier=Tier.FAULT, confidence=0.75,
    ),
    row(
        "config-arguments-refused", F.CONFIG, "arguments",
        RAISED + r"SystemExit\b",
        "the reader of the command line ended the program",
        "which argument it did not accept",
        stack=ends_in(r"/(?:argparse|click/core|typer/main|fire/core)\.py", below=r"\bparse_(?:known_)?args\("),
        confidence=0.8,
    ),
    row(
        "config-hub-access", F.CONFIG, "hub",
        r"gated repo|awaiting a review from the repo authors|RepositoryNotFoundError|GatedRepoError"
        r"|access to (?:model|dataset) \S{1,100} is restricted|invalid (?:user )?token.{0,60}(?:hugging|hub)"
        r"|(?:401|403) client error.{0,200}hugging|you must have access to it and be authenticated",
        "the hub refused access to this model or data set, or has none of that name",
        "whether the name is correct",
        suggestion="log in on a login node (HF_TOKEN), download there, and bind the cache into the container",
    ),
    row(
        "config-started-as-script", F.CONFIG, "arguments",
        r"attempted relative import (?:with no known parent package|in non-package)",
        "a file of a package was started as a script",
        "anything else",
        suggestion="start it as a module: python -m package.module instead of python package/module.py",
    ),
    row(
        "config-input-file", F.CONFIG, "file",
        r"\b(?:unknown|invalid|unrecogni[sz]ed|bad|missing|duplicate|double|unexpected|undefined)\b.{0,60}"
        r"\b(?:in|of|from) (?:the |your )?(?:\w{1,20} )?(?:parameter|input|control|namelist|settings?|configuration"
        r"|options?)"
        r" (?:file|section|block|card|deck)|\berrors?(?:\(s\))? in (?:the )?(?:input|parameter|configuration) file"
        r"|\bnamelist (?:object|group|variable|read)\b|\berror reading item '\w{1,20}' from file"
        r"|(?:cannot|can't|could not|unable to|failed to|error) (?:parse|parsing|read|reading|load|loading) .{0,120}"
        r"\.(?:ya?ml|toml|ini|cfg|nml|mdp|inp|in)\b",
        "the program rejected its input or settings",
        "which value you meant",
        tier=Tier.FAULT, confidence=0.7,
    ),
    row(
        "config-never-satisfied", F.CONFIG, "resources",
        r"\b(?:requirements?|requested|resources?|request)\b.{0,80}\b(?:exceeds? (?:the )?(?:available|total|maximum)"
        r"|can ?(?:never|not) be (?:satisfied|met|scheduled)|more than (?:is |are )?available)"
        r"|\bcannot be decomposed\b"
        r"|\berror in routine \s*\w{0,30}(?:card|namelist|input|readin)\w{0,30}",
        "more was asked for than there is, or what cannot be divided so",
        "whether the request or the machine is wrong",
        tier=Tier.FAULT, needs_failure=True, confidence=0.7,
    ),
    row(
        "config-hydra-value", F.CONFIG, "file",
        r"^error merging override|of type '\w{1,20}' could not be converted to \w"
        r"|^interpolation key '.{1,120}' not found"
        r"|^key '.{1,120}' (?:is )?not in\b|^ambiguous value for",
        "a configuration value has the wrong type or is not allowed",
        "which value you meant",
    ),
)  # fmt: skip
"""Asked right after the rows about memory."""

ROWS: tuple[Rule, ...] = (
    row(
        "config-not-executable", F.CONFIG, "permission",
        r"slurmstepd: error: execve\(\): .{0,300}: permission denied"
        r"|^\S{0,200}sh: (?:line \d+: )?\./\S{1,200}: permission denied"
        r"|fatal: .{0,120}\bnot executable",
        "the program to start may not be executed by this account",
        "whether the path or its permissions are wrong",
    ),
    row(
        "config-slurm-request", F.CONFIG, "slurm_request",
        r"(?:sbatch|srun|salloc): error: .{0,120}(?:invalid|more processors requested|not available|can(?:not"
        r"|'t) be satisfied|unrecognized|exceed|permitted|not permitted|node count)"
        r"|unable to create step .{0,60}(?:more processors|invalid|memory|requested)|batch job submission failed"
        r"|requested node configuration is not available|failed to distribute tasks|unable to layout tasks"
        r"|^(?:srun|sbatch|salloc): fatal: (?!.{0,120}(?:plugin|connect|contact|socket|configuration source))",
        "Slurm refused what the job asked for",
        "whether another partition would grant it",
    ),
    row(
        "config-command-line", F.CONFIG, "arguments",
        r"error: (?:unrecognized arguments|the following arguments are required|argument \S+: |invalid choice"
        r"|ambiguous option|no such option)|^error: no such (?:option|command)|absl\.flags\S*Error"
        r"|could not consume arg|invalid value for .{0,60}--|is not a valid (?:integer|float|number|choice|boolean"
        r"|uuid)|unrecognized .{0,20}style"
        r"|UnrecognizedFlagError|can't open file '.{0,300}\.py'|flags parsing error|unknown command.line (?:flag"
        r"|option|argument)"
        r"|arguments are not used by|(?:unrecognized|unknown|invalid) (?:option|flag|command.line)|unbound variable"
        r"|missing required (?:argument|option|flag)|environment variable \S{1,60} (?:is )?(?:not set|must be set"
        r"|undefined)",
        "the program does not accept this command line",
        "anything about the program itself",
    ),
    row(
        "config-usage", F.CONFIG, "arguments",
        r"^usage: \S|(?:illegal|invalid) option -- ",
        "the program printed how it is to be called and ended with the code for that",
        "which argument it did not accept",
        tier=Tier.SYMPTOM,
        when=lambda e: e.exit_code in (2, 64),
        confidence=0.75,
    ),
    row(
        "config-file", F.CONFIG, "file",
        r"could not override '|is not in struct\b|^In '[^']{1,80}': could not find '|^available options in '"
        r"|cannot find primary config"
        r"|primary config (?:module|directory) .{0,120}not found|HYDRA_FULL_ERROR|omegaconf\.errors|hydra\.errors"
        r"|ConfigAttributeError|ConfigKeyError|MissingMandatoryValue"
        r"|\b\w{0,40}(?-i:Config|Args|Arguments|Options|Settings"
        r"|Params)\w{0,20}(?:\.__init__)?\(\) got an unexpected keyword"
        r"|pydantic\S*ValidationError|validation errors? for \w|yaml\.(?:scanner|parser|constructor)|ScannerError"
        r"|TOMLDecodeError|no such file or directory: '\S{1,300}\.(?:ya?ml|toml|ini|cfg)'"
        r"|no such file or directory: '\S{0,300}(?:conf|setting|param|args|deepspeed|\bds_|zero)\S{0,80}\.json5?'"
        r"|^Invalid configuration",
        "a configuration file is missing or invalid",
        "which value you meant",
    ),
    row(
        "config-parallel", F.CONFIG, "parallel",
        r"(?:must be|is not|not) divisible by|does not divide|DeepSpeedConfigError|check batch related parameters"
        r"|train_batch_size is not equal|type fp16 is not supported|world.?size .{0,60}(?:not divisible|must be)"
        r"|not divisible by (?:the )?(?:world|number of|tensor|data|pipeline)|invalid device ordinal"
        r"|duplicate gpu detected|environment variable \w+ expected, but not set",
        "batch sizes, precision or ranks contradict each other",
        "which of them to change",
    ),
    row(
        "config-tracking", F.CONFIG, "tracking",
        r"gated repo|401 client error|403 client error|invalid (?:api key|token|credentials)|no api key configured"
        r"|api key must (?:have|be)|wandb\S*AuthenticationError|wandb\S*UsageError"
        r"|wandb\S* .{0,80}(?:permission denied|unauthori[sz]ed|entity \S+ not found)",
        "the tracking service got no valid key",
        "whether the run needs it: offline mode does without",
        suggestion="set tracking.wandb.mode: offline (send later with hpc sync), or give the key",
    ),
)  # fmt: skip

_NAME = (
    r"(?:[`'][\w.-]{1,40}['`](?: ?=+ ?\S{1,20})?"
    r"|\b[a-z][a-z0-9]{0,20}(?:_[a-z0-9]{1,20}){1,5}\b(?: ?=+ ?\S{1,20})?"
    r"|\b[A-Za-z]\w{0,20} ?=+ ?-?\d\S{0,20}|(?<!\S)--[a-z][\w-]{1,40})"
)
_CONSTRAINED = (
    rf"{_NAME}.{{0,60}}?\b(?:must|should|has to|have to|needs? to|can ?not|may not)\b.{{0,12}}?(?:\b(?:be|lie|match"
    r"|equal|divide|exceed|stay)\b|[<>]=?)"
    rf"|{_NAME}.{{0,30}}?\b(?:is|are|lies) (?:outside|not (?:in|within|between)|out of bounds)\b"
)
CONSTRAINT = row(
    "config-constraint", F.CONFIG, "value",
    RAISED + r"(?-i:ValueError|AssertionError|RuntimeError|NotImplementedError|Exception|ArgumentError)\b"
    r"(?!.{0,400}\b(?:shapes?|dim(?:ension)?s?|tensors?|dtypes?|ndarray|nan|index|indices|device|same length"
    r"|\d-?D|scalar|batch size \d)\b)"
    rf".{{0,200}}?(?:{_CONSTRAINED})",
    "the message says what a parameter would have to be",
    "whether the settings or the code chose it",
    tier=Tier.FAULT, needs_failure=True, confidence=0.6,
)  # fmt: skip
"""Asked with `ALTERNATIVES`."""
_MUST = (
    r"^(?!.{0,200}\b(?:ind(?:ex|ices)|subscripts?|positions?|tensors?|arrays?|matri(?:x|ces))\b).{0,200}?\b(?:must"
    r"|has to|have to) (?:not )?(?:be|start|begin|come|end|lie|match|equal|have|contain|precede|follow|differ|agree"
    r"|fit|divide|exceed|sum|add|cover|use|specify|provide)\b(?!.{0,80}\b(?:tensors?|shapes?|dtypes?|devices?"
    r"|ind(?:ex|ices)"
    r"|arrays?|matri(?:x|ces)|pointers?|callable|iterable|hashable|functions?|instances?|objects?|type|wait"
    r"|installed|files?)\b)"
)
SAID_CONSTRAINT = row(
    "config-said-constraint", F.CONFIG, "vague", rf"{_CONSTRAINED}|{_MUST}",
    "a line says what a parameter would have to be",
    "whether this is what ended it",
    tier=Tier.TRACE, needs_failure=True, confidence=0.5,
)  # fmt: skip
UNKNOWN_NAME = row(
    "config-unknown-name", F.CONFIG, "vague",
    r"\b(?:unknown|unsupported|unrecogni[sz]ed|invalid|illegal|undefined)\b (?!(?:arithmetic|operator|class"
    r"|object|method|token"
    r"|char|byte|label|tag"
    r"|record|line|row"
    r"|symbol|opcode|memory|pointer|utf|column|field|escape|literal|address|instruction|syntax|input|type"
    r"|error)\w*\b)"
    r"(?:\w[\w-]{0,30} ){1,3}[`'\"<]\w",
    "a name that the program was given means nothing to it",
    "whether the settings or the code chose it",
    tier=Tier.TRACE, needs_failure=True, confidence=0.5,
)  # fmt: skip
"""Asked before lines that are vague."""
ALTERNATIVES = row(
    "config-alternatives", F.CONFIG, "value",
    r"^(?!.{0,300}\b(?:has no attribute|is not defined|licen[cs]e|invalid combination of arguments)).{0,400}?"
    r"(?:(?<!not )\b(?:available|valid|supported|known|possible|allowed|registered|accepted|permitted|versioned"
    r"|legal)\b"
    r"[^.:=]{0,40}(?::|=| are) ?(?:[\[({'`\"]|[\w-]{1,40}, ?\w)|\bchoose (?:from|one of)\b"
    r"|\b(?:must|should) (?:be|have|match) (?:either|one of)\b|\bexpected one of\b|\bnot a valid choice\b)",
    "the message lists what would have been allowed",
    "which value was meant",
    tier=Tier.FAULT, needs_failure=True, confidence=0.65,
)  # fmt: skip
"""Asked after the exceptions that are named after something, before topics."""
