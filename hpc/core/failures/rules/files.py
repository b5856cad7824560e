"""Files: checkpoints before storage, for both speak of files."""

from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.rule import RAISED, Rule, Tier, row
from hpc.core.failures.rules.stack import LOADING_STATE, refused_to_save

F = FailureClass

_FILE_TROUBLE = (
    r"no such file|\b(?:file|path|folder|directory|header|dump|entry)\b.{0,60}\bnot found|(?:does not"
    r"|doesn't) (?:exist|match|agree|contain|belong|fit)|do not match"
    r"|different (?:number"
    r"|shape|size)|(?:cannot|can't|could not|unable to|failed to|error) (?:find|open|opening|read|reading|load"
    r"|loading"
    r"|decode|locate|parse|synchronously open)|truncated|corrupt|damaged|not a (?:zip|gzip|valid)|BadZipFile|EOFError"
    r"|JSONDecodeError|UnpicklingError|invalid load key|\bmagic\b|allow_pickle|can't get attribute|mismatch"
    r"|byte count"
    r"|unexpected (?:end|key|eof)|missing key|checksum|incomplete|not finali[sz]ed|file signature"
    r"|is for a (?:system|model) of|\bis empty\b|\bends (?:after|early|prematurely|too early)\b|0 bytes"
    r"|\bno (?:intact|valid|usable)\b|differs? from"
)
_RESUMES = (
    r"^(?!.{0,200}\b(?:resum\w*|restart\w*|checkpoint)\W{1,4}(?:no|none|false|null|off"
    r"|0)\b)(?!.{0,80}\bsav(?:ed|ing)\b)"
    r".{0,120}(?:\b(?:auto-?)?resum(?:e|ing|ed)\b|\brestor(?:e|ing)\b|\bre-?start(?:ing)?\b.{0,20}\b(?:from|run"
    r"|at|file)\b"
    r"|\bread_restart\b|\brestart (?:run|file)|\bcontinu(?:e|ing)\b.{0,30}\b(?:from|chain|run|at)\b"
    r"|\bwarm[- ]?(?:re)?start\w*"
    r"|\b(?:load|read|open|import|found)\w* (?:[\w-]+ ){0,3}(?:checkpoints?|ckpt|weights|snapshot|adapter"
    r"|policy|booster"
    r"|agent|save|saved model|last state)\b|\bpicking up\b)"
)

ROWS: tuple[Rule, ...] = (
    row(
        "storage-write-failed", F.STORAGE, "write",
        r"\bshort write\b|\b(?:wrote|returned|written)(?: only)? \d{1,15} (?:of|out of) \d{1,15} bytes|"
        r"(?:cannot|can't|could not|couldn't|unable to|failed to|error) (?:open .{0,200} for writing|write|writing"
        r"|save|saving|flush)\b"
        r"|\bwrite error\b|error (?:during|while|when) writ|netcdf: (?:hdf|i/o) error"
        r"|parent directory \S+ does not exist|unexpected pos \d+ vs \d+"
        r"|iostream error"
        r"|PytorchStreamWriter failed writing|error while serializing: i/o ?error|file write failed"
        r"|\d requested and \d{1,20} written"
        r"|\[errno 27\]|file too large|CheckpointException.{0,200}(?:quota|space|i/o)",
        "a file could not be written completely, as happens on a full disk",
        "whether the disk was full: quotas and broken mounts do the same",
        confidence=0.9, unless=refused_to_save,
    ),
    row(
        "checkpoint-unfit", F.CHECKPOINT, "unfit",
        r"KeyError: .{0,160}\b(?:missing|not found|not) in (?:the )?(?:checkpoint|ckpt|state.dict)|"
        r"\b(?:restart|checkpoint|wavecar)\b.{0,80}\b(?:does not match|doesn't match|different number|incompatible"
        r"|was (?:saved|written) with)\b|"
        r"KeyError: '\S{0,40}(?:state_dict|optimizer_states?|lr_schedulers|model_states?|pytorch-lightning)|"
        r"error\(s\) in loading state_dict|size mismatch for \S+: copying|missing key\(s\) in state_dict"
        r"|loaded state dict (?:contains|has) .{0,60}(?:parameter group|param)|ZeRORuntimeException"
        r"|(?:stored|saved|checkpoint(?:ed)?) shapes?\b|different dp world size|layer count mismatch when loading"
        r"|mismatch for loaded"
        r"|state dict keys do not match|keys do not match.{0,60}(?:state|ckpt|checkpoint)|weight file containing"
        r"|weights? (?:file|shapes?) .{0,60}do(?:es)? not match|optimizer state .{0,60}(?:does not|doesn't) match",
        "the checkpoint does not belong to this model or number of ranks",
        "whether the file is damaged",
    ),
    row(
        "checkpoint-unreadable", F.CHECKPOINT, "unreadable",
        r"PytorchStreamReader failed|failed finding central directory|UnpicklingError|invalid load key"
        r"|EOFError: Ran out of input|error while deserializing header|incomplete metadata, file not fully covered"
        r"|unexpected EOF, expected \d+ more bytes|WeightsUnpickler|InvalidHeader|unable to load weights from"
        r"|unsuccessful tensorslicereader|weights only load failed|MetadataIncompleteBuffer|HeaderTooLarge"
        r"|\b(?:invalid|unexpected|unknown|wrong|bad|illegal|unrecogni[sz]ed|truncated)\b.{0,60}\b(?:restart"
        r"|checkpoint)"
        r" (?:file|dump)\b|\b(?:restart|checkpoint) (?:file|dump)\b.{0,60}\b(?:invalid|wrong|truncated|unreadable"
        r"|incomplete|magic|version)\b"
        r"|restor\w{0,4} checkpoint .{0,40}(?:fail|mismatch)|(?:failed|unable|cannot|could not)(?: to)? (?:load"
        r"|restore|read|resume)"
        r" .{0,60}(?:checkpoint|ckpt\b)|checkpoint .{0,120}(?:is )?(?:corrupt|truncated|incomplete|damaged)",
        "a checkpoint is damaged or not in the expected format",
        "when it was damaged",
    ),
    row(
        "checkpoint-missing", F.CHECKPOINT, "missing",
        r"(?:cannot|can't|could not|unable to|failed to) (?:open|read|find) (?:the )?restart file"
        r"|\brestart file\b.{0,60}(?:not found|does not exist|missing)|"
        r"no file named .{0,120}(?:pytorch_model|\.safetensors)|unable to find 'latest'|checkpoint tag"
        r"|open file failed .{0,120}\.(?:pth?|ckpt|bin|safetensors)\b|(?:no such file or directory|cannot find"
        r"|could not find|can't find|not found|does not exist).{0,220}(?:checkpoint|ckpt|\.pth?\b|\.safetensors"
        r"|/step-\d|global_step\d)|(?:Error|Exception): .{0,100}checkpoint\S* .{0,160}(?:not found|does not exist"
        r"|missing)|(?:Error|Exception): .{0,60}\bno (?:\w{1,20} ){0,2}(?:checkpoints?|weights)"
        r"(?: files?)? (?:were |was )?found",
        "the checkpoint to resume from does not exist",
        "whether it was ever written",
    ),
    row(
        "storage-full", F.STORAGE, "full",
        r"no space left on device|\bnot enough space left\b|\[?errno 28\b|os error 28\b|database or disk is full",
        "a file system was full",
        "which one, where the message names no path: /tmp is as likely as scratch",
    ),
    row(
        "storage-quota", F.STORAGE, "quota",
        r"disk quota exceeded|\b(?:over|above|exceeds?) (?:its |the |your )?(?:hard|soft|block|inode|file"
        r"|space) (?:limit|quota)|quota exceeded|\[errno 122\]|os error 122\b|file size limit exceeded",
        "a quota was reached",
        "whether the disk is full",
    ),
    row(
        "storage-lock", F.STORAGE, "lock",
        r"\[errno 11\].{0,120}\.lock\b|unable to lock file|filelock\S{0,20}Timeout"
        r"|the file lock .{0,200}could not be acquired|database is locked"
        r"|unable to (?:synchronously )?(?:open|create) file.{0,80}(?:errno = 11"
        r"|resource temporarily)|no locks available|\[errno 37\]",
        "a file lock was refused",
        "whether another process held it or the file system offers none",
    ),
    row(
        "storage-io", F.STORAGE, "io",
        r"structure needs cleaning|communication error on send|LustreError|stale (?:nfs )?file handle"
        r"|\[errno (?:5|67|70|71|77|112|116|107|108|121|5[12]\d)\]"
        r"|\.nfs[0-9a-f]{16}|\[errno 110\].{0,40}: '/"
        r"|input/output error"
        r"|transport endpoint is not connected|cannot send after transport endpoint|remote i/o error"
        r"|read-only file system|\[errno 30\]|os error (?:5|30|116)\b",
        "the file system failed while it was used",
        "whether it is down for other nodes",
    ),
    row(
        "storage-permission", F.STORAGE, "permission",
        r"PermissionError|\[errno 13\]|permission denied.{0,80}(?:/|')|couldn't chdir to|could not open (?:stdout"
        r"|stderr) file",
        "a path could not be used by this account",
        "whether it should have access",
        confidence=0.8,
    ),
    row(
        "checkpoint-being-loaded", F.CHECKPOINT, "loading",
        _FILE_TROUBLE,
        "a file was missing, damaged or did not fit while saved state was being loaded",
        "whether the file or the path is at fault",
        stack=LOADING_STATE, confidence=0.8,
    ),
    row(
        "checkpoint-resuming", F.CHECKPOINT, "loading",
        _FILE_TROUBLE,
        "a file was missing, damaged or did not fit right after the program said that it resumes",
        "whether that file belongs to the checkpoint",
        doing=_RESUMES, needs_failure=True, confidence=0.7,
    ),
    row(
        "environment-compile-cache", F.ENVIRONMENT, "compile_cache",
        RAISED + r"(?-i:FileNotFoundError|OSError|FileExistsError|JSONDecodeError|EOFError|PermissionError"
        r"|ImportError"
        r"|RuntimeError|json\.decoder\.JSONDecodeError)\b.{0,200}(?:torchinductor|[./]triton/|torch_extensions"
        r"|/\.cache/jax"
        r"|\.nv/ComputeCache|numba|neuron-compile-cache|pytensor|theano|inductor_cache|cupy/kernel_cache)"
        r"|: file too short$|text file busy|cannot cache function|underlying object has vanished",
        "a cache of compiled code was damaged (two processes wrote it at once) or is not writable",
        "whether it will recur; a cache for each job (TRITON_CACHE_DIR, TORCHINDUCTOR_CACHE_DIR) prevents it",
        confidence=0.75,
        suggestion=("give each job its own cache on a node-local disk (TRITON_CACHE_DIR, TORCHINDUCTOR_CACHE_DIR), "
        "then retry"),
    ),
    row(
        "bug-file-exists", F.CODE_BUG, "file_exists",
        RAISED + r"(?-i:FileExistsError|IsADirectoryError|NotADirectoryError)\b|\[errno (?:17|20|21|39)\]"
        r"|\bE(?:EXIST|NOTEMPTY|ISDIR|NOTDIR)\b|directory not empty",
        "an output file exists already, or an output folder is not empty",
        "whether an earlier attempt left it",
        tier=Tier.FAULT, confidence=0.7,
    ),
    row(
        "checkpoint-key", F.CHECKPOINT, "unfit",
        RAISED + r"(?-i:KeyError): '(?:optimizer\w{0,20}|param_groups|lr_scheduler\w{0,10}|scaler|rng_state\w{0,10}"
        r"|ema_\w{0,20}|model_state\w{0,10}|state_dict)'$",
        "the checkpoint lacks an entry that the program needs",
        "whether this is the wrong file or comes from another version of the program",
        tier=Tier.FAULT, confidence=0.65,
    ),
    row(
        "storage-errno", F.STORAGE, "errno",
        r"\bE(?:NOSPC|DQUOT|STALE|IO|ROFS|NOLCK|REMOTEIO)\b(?!\w)|\bcode: (?:5|28|30|116|122), kind: \w"
        r"|\berrno\W{1,3}(?:28|122|116|30)\b",
        "the file system reported an error: full, read-only, disconnected or broken",
        "which file system",
        confidence=0.85,
    ),
)  # fmt: skip
