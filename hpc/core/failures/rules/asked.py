"""What was asked for: of Slurm, on the command line, in settings, of a hub."""

from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.rule import Rule, Tier, row

F = FailureClass

EARLY: tuple[Rule, ...] = (
    row(
        "config-refused-by-server", F.CONFIG, "http",
        r"\bHTTP ?Error\W{1,3}(?:400|401|403|404|410|422)\b|\b(?:400|401|403|404|410|422) client error\b"
        r"|\bStatusCode\.(?:INVALID_ARGUMENT|UNAUTHENTICATED|PERMISSION_DENIED|NOT_FOUND|FAILED_PRECONDITION)\b"
        r"|is not a local folder and is not a valid model identifier|\b(?:AccessDenied|NoSuchBucket|NoSuchKey)\b",
        "a server answered and refused: there is nothing of that name, or no permission",
        "whether the name or the key is wrong",
        tier=Tier.FAULT, confidence=0.75,
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
