"""Families of messages that many programs share: every vendor's collectives, start-up of MPI and CUDA, licences, …

Rows as in `hpc.core.failures.log_rules`, which says in its table where each group of them is asked.
"""

from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.rule import RAISED, Role, Rule, Tier, row

F = FailureClass

_STARTING_MPI = (
    r"PMI[X2]?_?Init\w{0,10}\b.{0,60}(?:fail|error)|\bPMIX? ERROR: (?:UNREACH|OUT-OF|TIMEOUT|LOST)|OPAL ERROR: \w"
    r"|fatal error in (?:internal_|P?MPI_)\w{0,4}Init|MPID\w{0,20}_init_hook|error occurred in MPI_Init\b"
    r"|MPI_INIT failed|PML add procs failed|unable to reach each other for"
    r"|ORTE (?:daemon has unexpectedly failed|was unable to reliably start)|PRTE (?:daemon|has lost)"
    r"|lost connection to .{0,40}(?:orted|prted|hydra_pmi_proxy)|hydra_pmi_proxy.{0,60}(?:fail|error)"
    r"|HYDU?_\w{2,30} \(.{1,120}\): .{0,60}(?:error|fail|unable)"
)
_COLLECTIVES = (
    r"\b(?:HCCL|hccl api|RCCL|oneCCL|CCL_ERROR|HorovodInternalError|MSCCL|ACCL|CNCL|XCCL|BKCL|NVSHMEM)\b.{0,80}"
    r"(?:error|fail|exception|timed? ?out|has been|abort|condition)"
    r"|\bEI00\d\d\b|CCL_ERROR\||getting socket times out"
    r"|watchdog (?:hang|got stuck|thread (?:got stuck|terminated))|heartbeat of its watchdog"
    r"|heartbeat monitor timed out"
    r"|tensors were submitted to be reduced.{0,120}subset of ranks|^missing ranks:|stall detected, shutting down"
    r"|tim(?:ed|e) ?out\b.{0,60}\b(?:process group|barrier|rank|rx|incoming connection|peer|all ?reduce|collective)\b"
    r"|barrier\b.{0,60}timed out|timeout check failed: rank"
    r"|failed to recv,? got 0 bytes|wait timeout after \d{1,12} ?ms, keys?:|collective .{0,80}timed out"
    r"|DEADLINE_EXCEEDED: Barrier|Barrier timed out|rank\w{0,2} (?:\S{1,12} )?failed to (?:reach|pass|join)"
    r"|(?:some|other|remote|peer) (?:ranks?|workers?|process(?:es)?) (?:did not|didn't|never|failed to)"
    r" (?:join|reach|respond|arrive|connect|check in)"
)
_UNSTABLE = (
    r"\blost atoms: original|non-numeric (?:atom|pressure|box|temperature)|out of range atoms"
    r"|bond atoms? \S.{0,40}missing"
    r"|too many (?:LINCS|SETTLE) warnings|LINCS WARNING\b|can ?not be settled|atoms? (?:is |are )?moving too fast"
    r"|(?:simulation|system|integration|solution|run|solver) (?:has become|became|is|went"
    r"|may be) (?:numerically )?unstable"
    r"|(?:simulation|system) (?:is |has )?(?:blow(?:ing|n)|blew) up|particle coordinates? is nan"
    r"|coordinate\w* (?:is|are) nan"
    r"|\bvlimit exceeded|constraint failure in RATTLE|coordinate resetting .{0,20}cannot be accomplished"
    r"|points exceeded cfl|\bcfl\b.{0,40}(?:exceed|violat|too (?:large|high)|> ?1)|courant number .{0,40}(?:exceed|too)"
    r"|DIVERGED_(?:NANORINF|DTOL|BREAKDOWN)|nan or inf norm|Foam::sigFpe|floating point exception|floating invalid"
    r"|\bSIGFPE\b|negative (?:density|pressure|energy|jacobian|volume)\b.{0,40}(?:cell|element|zone|detected|found|at )"
    r"|(?:time ?step|\bdt\b).{0,30}(?:too small|below (?:the )?(?:minimum|limit)|underflow|went to zero)"
    r"|domain decomposition .{0,80}shifted too much|solution (?:has )?diverged|\bdivergence detected\b"
)

MEMORY: tuple[Rule, ...] = (
    row(
        "oom-device-resources", F.OOM_GPU, "runtime",
        r"\b(?:PI|UR|ZE|CL)_\w{0,12}ERROR_OUT_OF_(?:\w{1,12}_)?(?:RESOURCES|MEMORY)|\bNPU out of memory"
        r"|ACL_ERROR_RT_MEMORY_ALLOCATION|insufficient device memory",
        "the accelerator's runtime refused memory",
        "which tensor is too large",
        confidence=0.85,
    ),
    row(
        "host-oom-step", F.OOM_HOST, "watcher",
        r"\b(?:step|job)(?:id)?\W{0,2}\S{0,30} exceeded (?:virtual )?memory limit"
        r"|exceeded memory limit.{0,40}being killed",
        "Slurm's accounting saw more memory used than was allowed, and killed the step",
        "which process held it",
    ),
    row(
        "host-oom-workers", F.OOM_HOST, "loader",
        r"exit codes of the workers are \{.{0,80}SIGKILL",
        "a pool's worker got SIGKILL",
        "who sent it: almost always the kernel for want of memory",
        tier=Tier.SYMPTOM, confidence=0.65,
    ),
    row(
        "host-oom-array", F.OOM_HOST, "array",
        r"exceeds (?:the )?maximum (?:possible )?array size|out of memory\. type .{0,3}help memory",
        "one array is larger than what the host may hold",
        "that a smaller one would be",
        confidence=0.8,
    ),
)  # fmt: skip
"""Asked first."""

FAMILIES: tuple[Rule, ...] = (
    row(
        "bug-collective-mismatch", F.CODE_BUG, "collective",
        r"mismatch between collectives on ranks|mismatched collectives?|collective .{0,40}(?:does not|doesn't) match"
        r"|ranks? (?:are )?(?:calling|running) different collectives?",
        "the ranks call different collective operations",
        "which of them went the wrong way",
        tier=Tier.FAULT, confidence=0.85,
    ),
    row(
        "environment-mpi-build", F.ENVIRONMENT, "mpi_build",
        r"was not built with \S{1,20}'?s? PMI support|not built with .{0,20}\bPMI[x2]?\b|no PMI2? (?:support|library)"
        r"|MPI_Init_thread.{0,60}(?:different|incompatible) version|mixing .{0,20}MPI implementations",
        "this build of MPI cannot be started by this launcher",
        "whether another launcher (mpirun, srun --mpi=…) would do",
        confidence=0.85,
    ),
    row(
        "gpu-not-initialised", F.GPU_HARDWARE, "not_ready",
        r"\berror:? 802\b|cuda\w{0,10}system ?not ?(?:yet )?(?:ready|initiali[sz]ed)|CUDA_ERROR_SYSTEM_NOT_READY"
        r"|system not yet initialized|RmInitAdapter failed|fabric ?manager.{0,60}(?:not running|not started|failed)"
        r"|GSP RPC|failed to initialize nvml: (?:unknown|gpu)",
        "the node's devices did not come up",
        "whether the device or a service of the node (fabric manager, driver) is at fault",
        confidence=0.75,
    ),
    row(
        "environment-cuda-init", F.ENVIRONMENT, "cuda_init",
        r"\berror:? 80[1345678]\b|code=80[1345678]\b|unsupported display driver / cuda driver combination"
        r"|forward compatibility was attempted|cuda\w{0,8}Mps\w{3,30}|CUDA_ERROR_(?:MPS_\w{3,30}|COMPAT_NOT_SUPPORTED"
        r"|SYSTEM_DRIVER_MISMATCH|STUB_LIBRARY)|MPS (?:client|server|control daemon)\b.{0,60}(?:fail|not|error)"
        r"|cudaErrorStubLibrary|is not compatible with the current PyTorch|cudaErrorInsufficientDriver",
        "CUDA could not be initialised: driver, compatibility package or MPS daemon do not fit",
        "which of them to change",
        confidence=0.85,
    ),
    row(
        "node-memory-uncorrectable", F.NODE_FAILURE, "hardware",
        r"uncorrectable memory error|DUE TO NODE \S{1,80} FAILURE|node failure on \S"
        r"|memory failure.{0,60}(?:hardware|poison)"
        r"|hardware error\W.{0,60}(?:cpu|memory|bank)",
        "the host's own hardware failed, or Slurm lost the node",
        "that it hit this job's memory",
        confidence=0.9,
        role=Role.TAKEN_AWAY,
    ),
    row(
        "cancelled-by-signal", F.CANCELLED, "signal",
        r"cancelled at \S{1,40} due to signal (?:terminated|interrupt|hangup)",
        "somebody sent the step a signal through Slurm",
        "who",
        tier=Tier.SYMPTOM, confidence=0.7,
    ),
    row(
        "environment-licence", F.ENVIRONMENT, "licence",
        r"\b(?:licen[cs]e|licensing)\b.{0,80}(?:checkout failed|manager error|error|expired|denied|not found"
        r"|unavailable"
        r"|could not|cannot|invalid|in use|reached|does not exist|server)"
        r"|(?:could not|cannot|unable to|failed to|no) .{0,50}(?:check ?out|obtain|acquire|find|get"
        r"|connect to)? ?(?:a |any |valid )"
        r"?\w{0,20} ?licen[cs]e|all licen[cs]es .{0,30}(?:in use|taken)|maximum number of users .{0,60}reached"
        r"|no \w{1,20} licen[cs]e found|FlexNet Licensing error|FLEXlm error|LM_LICENSE_FILE",
        "a licence could not be had: all in use, expired, or the server did not answer",
        "whether one comes free",
        confidence=0.85,
        suggestion=("one may come free: submit again later, or ask for it (resources.licenses) so that Slurm waits "
        "for one"),
    ),
    row(
        "config-hub-access", F.CONFIG, "hub",
        r"gated repo|awaiting a review from the repo authors|RepositoryNotFoundError|GatedRepoError"
        r"|access to (?:model|dataset) \S{1,100} is restricted|invalid (?:user )?token.{0,60}(?:hugging|hub)"
        r"|(?:401|403) client error.{0,200}hugging|you must have access to it and be authenticated",
        "the hub gives this model or data set to nobody without a key, or has none of this name",
        "that the name is right",
        suggestion="log in on a login node (HF_TOKEN), download there, and bind the cache into the container",
    ),
    row(
        "environment-headers", F.ENVIRONMENT, "compiler",
        r"fatal error: [\w/.+-]{1,80}\.(?:h|hpp|cuh|mod): no such file|ld: cannot find -l|cannot find crt1\.o"
        r"|undefined reference to `|bad interpreter: no such file",
        "code had to be compiled or started here, and a header, library or interpreter is not where it was",
        "whether a module was loaded",
        confidence=0.85,
    ),
    row(
        "environment-other-runtimes", F.ENVIRONMENT, "import",
        r"UnsupportedClassVersionError|ClassNotFoundException|NoClassDefFoundError|can't locate \S{1,80} in @INC"
        r"|no matching distribution found|could not find a version that satisfies|externally-managed-environment"
        r"|loading required package: .{0,60}fail|namespace load failed|package '?\w{1,40}'? (?:is )?not (?:found"
        r"|installed)"
        r"|LibraryNotFound|DistributionNotFound|could not load library (?:lib)?\w|unsatisfied link|UnsatisfiedLinkError"
        r"|OCTAVE.{0,40}package .{0,30}(?:not|missing)|undefined function or variable",
        "a package or library of this language is missing or of another version",
        "that it is not installed elsewhere",
        confidence=0.85,
    ),
    row(
        "divergence-simulation", F.DIVERGENCE, "unstable",
        _UNSTABLE,
        "the simulation left the range of numbers it can hold: it has become unstable",
        "whether time step, initial state or input made it so",
        confidence=0.85,
    ),
    row(
        "communication-start-up", F.COMMUNICATION, "start_up",
        _STARTING_MPI,
        "MPI's processes could not find or reach one another at the start",
        "whether the network, the launcher or a dead process is to blame",
        tier=Tier.SYMPTOM, confidence=0.8,
    ),
    row(
        "communication-vendor", F.COMMUNICATION, "collective",
        _COLLECTIVES,
        "a collective operation broke off, or its watchdog saw that a rank did not come",
        "who broke it: most often a rank that died of something else",
        tier=Tier.SYMPTOM, confidence=0.8,
    ),
    row(
        "communication-lost-node", F.COMMUNICATION, "lost",
        r"marked dead because the detector has missed|raylet .{0,40}(?:died|is dead)"
        r"|lost connection to (?:the )?(?:worker|node"
        r"|driver|scheduler|head)|(?:worker|executor|node) \S{1,80} (?:is )?(?:lost|unreachable|disassociated)"
        r"|missed too many heartbeats",
        "one of the nodes or workers stopped answering",
        "whether it died or the network did",
        tier=Tier.SYMPTOM, confidence=0.7,
    ),
    row(
        "preempted-capacity", F.PREEMPTED, "reclaimed",
        r"(?:spot|preemptible|instance|capacity|node|vm)\b.{0,60}(?:being |will be |was )?(?:reclaimed|preempted"
        r"|evicted)"
        r"|(?:preemption|termination|eviction) notice|evict(?:ed|ing) pod",
        "the machine was taken away for somebody else",
        "that it lost work: that depends on its checkpoints",
        tier=Tier.SYMPTOM, confidence=0.85,
        role=Role.TAKEN_AWAY,
    ),
    row(
        "hang-announced", F.TIMEOUT, "hang",
        r"\bno (?:new )?(?:progress|step|steps|heartbeat|output|activity|batch)\b.{0,40}\b(?:for|in"
        r"|since) (?:the last )?\d"
        r"|^timeout \(\d{1,3}:\d\d:\d\d(?:\.\d+)?\)!|\b(?:seems|appears|appear|is|was|looks|got) (?:to be )?(?:hung"
        r"|hanging"
        r"|deadlocked|frozen|stuck)\b|\bhang (?:was )?detected|deadlock detected|stalled for (?:more than )?\d",
        "the program or its watchdog says that nothing moved any more",
        "where it hung",
        tier=Tier.SYMPTOM, confidence=0.75,
        suggestion="more time does not help a hang: find where it stood (py-spy, the stacks in the log), then resume",
    ),
    row(
        "environment-locale", F.ENVIRONMENT, "locale",
        r"use ASCII as encoding for the environment|unsupported locale setting",
        "no locale with UTF-8 is set where the program runs",
        "nothing else",
        suggestion="set LC_ALL: C.UTF-8 in the profile's environment",
    ),
    row(
        "environment-loaded-twice", F.ENVIRONMENT, "library",
        r"\bOMP: error #\d|multiple copies of the openmp runtime|already (?:initiali[sz]ed|registered|loaded)\W{0,3}$"
        r"|(?:conflicting|duplicate) (?:versions? of|copies of|symbol)",
        "a library is loaded twice, or in two versions",
        "which package brings the second",
        tier=Tier.FAULT, confidence=0.75,
    ),
    row(
        "config-input-file", F.CONFIG, "file",
        r"\b(?:unknown|invalid|unrecogni[sz]ed|bad|missing|duplicate|double|unexpected|undefined)\b.{0,60}"
        r"\b(?:in|of|from) (?:the |your )?(?:\w{1,20} )?(?:parameter|input|control|namelist|settings?|configuration"
        r"|options?)"
        r" (?:file|section|block|card|deck)|\berrors?(?:\(s\))? in (?:the )?(?:input|parameter|configuration) file"
        r"|(?:cannot|can't|could not|unable to|failed to|error) (?:parse|parsing|read|reading|load|loading) .{0,120}"
        r"\.(?:ya?ml|toml|ini|cfg|nml|mdp|inp|in)\b",
        "the program does not understand its input or settings",
        "which value was meant",
        tier=Tier.FAULT, confidence=0.7,
    ),
    row(
        "data-not-parsed", F.DATA, "damaged",
        r"(?:cannot|can't|could not|unable to|failed to) (?:parse|decode|interpret|convert|deserialize) .{0,80}"
        r"\b(?:records?|lines?|rows?|entry|entries|header|fields?|columns?|string to float)\b"
        r"|(?:unexpected|invalid|illegal) (?:character|byte|tag|field|header|entry|delimiter)\b.{0,60}\b(?:at|in|on) "
        r"(?:line|row|record|position|column|offset|byte)"
        r"|(?:parse|format) error .{0,20}(?:at|in|on) (?:line|row|record)",
        "an input could not be understood at one place",
        "whether the file is damaged or of another format",
        tier=Tier.FAULT, confidence=0.65,
    ),
    row(
        "config-hydra-value", F.CONFIG, "file",
        r"^error merging override|of type '\w{1,20}' could not be converted to \w"
        r"|^interpolation key '.{1,120}' not found"
        r"|^key '.{1,120}' (?:is )?not in\b|^ambiguous value for",
        "a value given to the configuration does not fit it",
        "which value was meant",
    ),
    row(
        "bug-nothing-succeeded", F.CODE_BUG, "none_succeeded",
        r"\ball (?:the |of the )?(?:\d{1,9} )?(?:trials?|fits?|folds?|runs?|seeds?|jobs|tasks|configurations?|workers|"
        r"experiments) (?:have |has )?failed\b"
        r"|\b(?:0|no|none of (?:the )?\d{1,9}) (?:trials?|fits?|folds?|runs?|seeds?|jobs|configurations?|experiments)"
        r" (?:were |was |have |has )?(?:completed|succeeded|finished|successful)"
        r"|\b0(?: of |/)[1-9]\d{0,8} (?:trials?|fits?|folds?|runs?|seeds?|jobs|tasks"
        r"|experiments) (?:were )?(?:completed|succeeded|ok)",
        "the program says that nothing of what it tried came to an end",
        "why: each try has its own message",
        tier=Tier.TRACE, confidence=0.5,
    ),
    row(
        "rank-left-silently", F.CODE_BUG, "rank_exit",
        r"process rank \d{1,7}\b.{0,80}exiting improperly|node \S{1,80} exiting improperly"
        r"|exiting without calling \W?finali"
        r"|has exited due to process rank|MPI_ABORT was invoked on rank|application called MPI_Abort\(",
        "one rank ended itself, and the launcher ended the others",
        "why: that rank's own words are missing",
        tier=Tier.TRACE, confidence=0.5,
    ),
)  # fmt: skip
"""Asked after the rows about memory."""

FILES: tuple[Rule, ...] = (
    row(
        "environment-compile-cache", F.ENVIRONMENT, "compile_cache",
        RAISED + r"(?-i:FileNotFoundError|OSError|FileExistsError|JSONDecodeError|EOFError|PermissionError|ImportError"
        r"|RuntimeError|json\.decoder\.JSONDecodeError)\b.{0,200}(?:torchinductor|[./]triton/|torch_extensions"
        r"|/\.cache/jax"
        r"|\.nv/ComputeCache|numba|neuron-compile-cache|pytensor|theano|inductor_cache|cupy/kernel_cache)"
        r"|: file too short$|text file busy|cannot cache function|underlying object has vanished",
        "a cache of compiled code was torn: two processes wrote it at once, or it lies where nobody may write",
        "that it comes back: a cache of its own for each job (TRITON_CACHE_DIR, TORCHINDUCTOR_CACHE_DIR) ends it",
        confidence=0.75,
        suggestion=("give each job its own cache on a node-local disk (TRITON_CACHE_DIR, TORCHINDUCTOR_CACHE_DIR), "
        "then retry"),
    ),
    row(
        "bug-file-exists", F.CODE_BUG, "file_exists",
        RAISED + r"(?-i:FileExistsError|IsADirectoryError|NotADirectoryError)\b|\[errno (?:17|20|21|39)\]"
        r"|\bE(?:EXIST|NOTEMPTY|ISDIR|NOTDIR)\b|directory not empty",
        "the program did not expect what it found at a path: a file that is there already, a folder that is not empty",
        "whether an earlier attempt left it",
        tier=Tier.FAULT, confidence=0.7,
    ),
    row(
        "checkpoint-key", F.CHECKPOINT, "unfit",
        RAISED + r"(?-i:KeyError): '(?:optimizer\w{0,20}|param_groups|lr_scheduler\w{0,10}|scaler|rng_state\w{0,10}"
        r"|ema_\w{0,20}|model_state\w{0,10}|state_dict)'$",
        "something that only a checkpoint holds was not in it",
        "whether it is the wrong file or an older program's",
        tier=Tier.FAULT, confidence=0.65,
    ),
    row(
        "storage-errno", F.STORAGE, "errno",
        r"\bE(?:NOSPC|DQUOT|STALE|IO|ROFS|NOLCK|REMOTEIO)\b(?!\w)|\bcode: (?:5|28|30|116|122), kind: \w"
        r"|\berrno\W{1,3}(?:28|122|116|30)\b",
        "the file system refused: it is full, read-only, gone or broken",
        "which file system",
        confidence=0.85,
    ),
)  # fmt: skip
"""Asked after the rows about storage."""
