"""The table of what logs say when something went wrong: one row a message, most specific first. Data, no procedure.

A line is given to the first row that recognises it, so the order is part of the table: messages that name a cause
stand above the words of launchers and of other ranks, those above exceptions of no special meaning. Which of several
recognised lines decides is not settled here but in `hpc.core.failures.classify`.

To add a rule: add a row, and a log in ``tests/corpus`` that fires it (a test fails until there is one).
"""

from typing import Any

from hpc.core.failures.evidence import Evidence, FailureClass
from hpc.core.failures.family_rules import FAMILIES, FILES, MEMORY
from hpc.core.failures.rule import RAISED, Role, Rule, Tier, named, row
from hpc.core.failures.stack_rules import STACK_RULES

F = FailureClass


def _trains_on_cpu(evidence: Evidence) -> bool:
    return evidence.gpus == 0


_CPU_ALLOCATOR = (
    r"DefaultCPUAllocator: (?:can't allocate|not enough) memory"
    r"|_ArrayMemoryError|numpy\S* Unable to allocate [\d.]+ .iB"
    r"|^\s*(?:\w+\.){0,5}MemoryError\b|ArrowMemoryError|std::bad_alloc"
    r"|OOM when allocating tensor.{0,300}(?:device:CPU|allocator (?:mkl)?cpu)"
)


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
        "settings", "which value was meant",
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
        "that this is the cause: no rule knows the message itself",
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

LOG_RULES: tuple[Rule, ...] = (
    *MEMORY,
    # ── memory: shared memory first, then the device, then the host ──────────────────────────────────────────────
    row(
        "shm-insufficient", F.OOM_SHM, "dev_shm",
        r"insufficient shared memory|enough space for /dev/shm|/dev/shm.{0,80}not enough space|unable to (?:open"
        r"|mmap|resize|write to|allocate) (?:shared memory|\d+ bytes from file </torch_|file </torch_)"
        r"|check that /dev/shm|no space left.{0,40}'/(?:psm|wnsm|torch|sem)[_.]"
        r"|error while creating shared memory segment|/dev/shm\S*['\"]?.{0,60}no space left"
        r"|no space left.{0,80}/dev/shm|failed to (?:create|allocate|resize) shared memory",
        "the shared-memory file system (/dev/shm) was full or too small",
        "that the host ran out of ordinary memory",
    ),
    row(
        "shm-no-space-in-semaphores", F.OOM_SHM, "dev_shm",
        r"no space left on device|errno 28",
        "a semaphore or shared block could not be created in /dev/shm",
        "that any disk is full",
        near=(
            r"semlock|multiprocessing[./](?:synchronize|shared_memory|heap)|resource_tracker|shm_open"
            r"|/dev/shm .{0,40}100%|100% /dev/shm"
        ),
    ),
    row(
        "shm-bus-error", F.OOM_SHM, "bus_error",
        r"killed by signal: bus error|\bbus error\b.{0,80}(?:shm|shared memory)|^bus error",
        "a process touched shared memory that could not be backed",
        "that /dev/shm was full: a truncated memory map does the same",
        confidence=0.75,
    ),
    row(
        "device-oom-torch", F.OOM_GPU, "cuda",
        r"\b(?:cuda|hip|xpu|npu|hpu|mps)\b.{0,30}\bout of (?:device )?memory|PT_DEVMEM"
        r"|\b(?:device|gpu) memory allocation (?:failed|error)|torch(?:\.cuda)?\.OutOfMemoryError"
        r"|^\s*OutOfMemoryError\b|cupy\S{0,40}OutOfMemoryError|out of memory error on gpu",
        "an allocation on the training device failed",
        "which tensor is too large; that another program held the memory",
    ),
    row(
        "device-oom-runtime", F.OOM_GPU, "cuda",
        r"cuda error: out of memory|cuda_error_out_of_memory|cudaErrorMemoryAllocation|hipErrorOutOfMemory"
        r"|cuda failure '?out of memory|cudaMalloc failed: out of memory|failed to cuda calloc"
        r"|no available memory for the cache blocks|cudaMalloc\w{0,10}\b.{0,60}(?:out of memory|failed)"
        r"|\w{0,20}MemoryAllocationFailure"
        r"|OUT_OF_(?:DEVICE_MEMORY|RESOURCES)\b|memory object allocation failure|MEM_OBJECT_ALLOCATION_FAILURE"
        r"|out_of_memory: cuda|error code 2: outofmemory",
        "the driver refused device memory",
        "that this program used it: another one may share the device",
    ),
    row(
        "device-oom-library", F.OOM_GPU, "library",
        r"CU(?:BLAS|DNN|SOLVER|FFT|SPARSE)_STATUS_ALLOC_FAILED|(?:cublas|cudnn|rocblas|miopen)\w* ?alloc\w* failed"
        r"|rocblas_status_memory_error",
        "a CUDA or ROCm library could not allocate its workspace on the device",
        "the size it needed",
    ),
    row(
        "allocator-oom-cpu-training", F.OOM_GPU, "cpu_allocator",
        _CPU_ALLOCATOR,
        "the program itself was refused memory on the CPU, which is the device it trains on",
        "that the batch is what needs it: a data set held in memory fails in the same words",
        when=_trains_on_cpu,
        confidence=0.85,
    ),
    row(
        "host-oom-allocator", F.OOM_HOST, "cpu_allocator",
        _CPU_ALLOCATOR,
        "the program itself was refused host memory",
        "that the memory limit of the job was reached: one request may simply be huge",
    ),
    row(
        "device-oom-xla", F.OOM_GPU, "xla",
        r"RESOURCE_EXHAUSTED: .{0,80}(?:out of memory|OOM when|while trying to allocate|failed to allocate)"
        r"|OOM when allocating tensor|ResourceExhaustedError(?!.{0,400}(?:no space left|quota))"
        r"|ran out of memory in memory space (?:hbm|vmem)|dst tensor is not initialized"
        r"|Allocator \(GPU_\d+_bfc\) ran out of memory trying to allocate(?!.{0,300}not a failure)",
        "JAX, XLA or TensorFlow could not allocate on the accelerator",
        "that preallocation by another process is not the cause",
    ),
    row(
        "host-oom-cgroup", F.OOM_HOST, "cgroup",
        r"oom[-_]kill event|memory cgroup out of memory|killed by the cgroup out-of-memory"
        r"|^srun: error: .{0,80}: out of memory|some of (?:your processes"
        r"|the step tasks) (?:may )?have been (?:oom )?killed",
        "the kernel killed a process of this job at its memory limit",
        "that it was the training process and not a loader worker",
    ),
    row(
        "host-oom-kernel", F.OOM_HOST, "kernel",
        r"out of memory: kill(?:ed)? process|invoked oom-killer|oom-kill:constraint|ray\.exceptions\.OutOfMemoryError"
        r"|node running low on memory|(?:systemd-oomd|earlyoom|oomd)\b.{0,40}: kill"
        r"|killed .{0,120}due to memory (?:used|pressure)",
        "the kernel of the node ran out of memory",
        "that this job caused it: without a cgroup it may have been a neighbour",
    ),
    row(
        "host-oom-watcher", F.OOM_HOST, "watcher",
        r"due to memory limit|TERM_MEMLIMIT|exceeded (?:job|step|virtual) memory limit.{0,80}(?:being killed|killed)"
        r"|(?:job|step) \S+ exceeded (?:virtual )?memory limit"
        r"|exceeded \d{1,3}% memory budget|\bKilledWorker\b",
        "what watches over memory, Slurm's accounting or a pool of workers, saw too much of it used and killed",
        "which process held the memory",
    ),
    row(
        "host-oom-fork", F.OOM_HOST, "fork",
        r"(?:fork|clone|vfork|mmap)\S{0,20}:? .{0,120}cannot allocate memory|\[errno 12\] cannot allocate memory"
        r"|insufficient virtual memory|parsererror: .{0,60}out of memory|LoadError: OutOfMemoryError"
        r"|cannot allocate vector of size"
        r"|java\.lang\.OutOfMemoryError|memory allocation of \d{1,20} bytes failed"
        r"|exceeding (?:physical|virtual) memory limits|libgomp: out of memory|\b(?:m|c|re)alloc\b.{0,80}(?:failed"
        r"|cannot allocate|error)|: cannot allocate memory\b"
        r"|used [\d.]{1,12} ?[gmt]i?b of [\d.]{1,12} ?[gmt]i?b.{0,40}\bkill",
        "the operating system refused memory to a new process or mapping",
        "a memory limit of the job: ulimit -v and overcommit do the same",
        confidence=0.8,
    ),
    row(
        "host-oom-limit-warning", F.OOM_HOST, "watcher",
        r"exceeded (?:job|step) memory limit at some point",
        "the job was at its limit once",
        "that anything was killed: page cache counts here",
        tier=Tier.SYMPTOM,
        needs_failure=True,
        confidence=0.6,
    ),
    row(
        "host-oom-loader-killed", F.OOM_HOST, "loader",
        r"DataLoader worker .{0,40}is killed by signal: killed",
        "a loader worker got SIGKILL",
        "who sent it: almost always the kernel for want of memory",
        tier=Tier.SYMPTOM,
        confidence=0.7,
    ),
    *FAMILIES,
    # ── numbers: NaN in the input is the data's fault, NaN in the loss the run's ─────────────────────────────────
    row(
        "data-not-a-number", F.DATA, "nan_in_input",
        r"input (?:\w+ )?contains (?:nan|infinity)|(?:nan|non-finite|inf)s? (?:values? )?(?:were )?(?:found"
        r"|detected|present)? ?in (?:the )?(?:input|raw|source|data)\b ?(?:file|set|batch|tensor|array)?|(?:data"
        r"|input)(?:set)? (?:file )?\S{0,80} ?(?:contains|has) (?:\d+ )?(?:nan|non-finite)",
        "values that are not numbers stand in the input",
        "that the model would train well without them",
        role=Role.BAD_INPUT,
    ),
    row(
        "divergence-guard", F.DIVERGENCE, "guard",
        r"(?:training|loss|model|run) (?:has )?diverged|"
        + named(r"NaN|Nan|NonFinite|NotFinite|Diverge|FloatingPoint"),
        "the program's own guard saw a loss or gradient that is not finite",
        "why: learning rate, data order and precision all do this",
        confidence=0.97,
    ),
    row(
        "divergence-loss-not-finite", F.DIVERGENCE, "loss",
        r"loss is (?:nan|inf\b|infinite|not finite|non-finite)|loss became (?:infinite|nan|inf)|(?:nan|inf|invalid"
        r"|non-finite|infinite) loss\b(?!.{0,30}skip)|loss returned in `training_step` is nan|non-finite (?:loss"
        r"|gradients?)|loss (?:exploded|has become nan)|lossnan",
        "a loss that is not a finite number stopped the program",
        "its cause",
    ),
    row(
        "divergence-gradient-not-finite", F.DIVERGENCE, "gradient",
        r"found (?:nan|inf) in (?:local )?(?:grad|forward loss|params)|(?:gradients?|grad norm"
        r"|norm of order \S+) .{0,60}(?:is|are) (?:nan|non-finite|infinite)"
        r"|returned nan values in its \d+th output|nan (?:and/or inf )?(?:values )?(?:detected|found) in (?:grad"
        r"|param|weight|layer|`|model)|detected nan and/or inf values in",
        "gradients or activations are not finite",
        "which step made them so",
    ),
    row(
        "divergence-loss-scale", F.DIVERGENCE, "loss_scale",
        r"loss scale already at minimum|minimum loss scale reached|loss scale .{0,40}(?:below"
        r"|reached) (?:the )?minim",
        "mixed precision found no scale at which gradients stay finite",
        "that the run diverges in full precision too",
    ),
    row(
        "divergence-scale-vanished", F.DIVERGENCE, "loss_scale",
        r"ZeroDivisionError",
        "the loss scale was halved until nothing was left of it",
        "that the run diverges in full precision too",
        near=r"reducing loss scale to \S*e-\d|loss scale: 0\.0\b",
        confidence=0.85,
    ),
    row(
        "divergence-bad-probabilities", F.DIVERGENCE, "distribution",
        r"probability tensor contains either `?inf`?, `?nan`?|found invalid values:"
        r"|invalid value \(nan\) encountered|unexpected result (?:nan|inf)|tensor had (?:nan|inf)"
        r"|parameter contains nan",
        "values that are not finite reached a distribution or a checked operation",
        "that training made them: the input may hold them",
        confidence=0.85,
    ),
    row(
        "divergence-words", F.DIVERGENCE, "words",
        r"\b(?:loss|gradients?|energ\w{1,4}|kl\w{0,12}|divergence|grad[_ ]norm|logits?|weights?|activations?"
        r"|rewards?)\b.{0,40}"
        r"\b(?:is|are|contains?|became|becomes|has|have|turned|went)\b.{0,12}\b(?:nans?|inf|infinite|non-?finite)\b"
        r"|\b(?:nans?|infs?|non-?finite values?)\b (?:or inf )?(?:values? )?(?:was |were )?(?:detected|found"
        r"|encountered|occurred)?"
        r" ?in (?:the )?(?:loss|grad|energ|activation|logit|weight|param|output|model)|\bnan loss\b"
        r"|there are nan or inf|num_nan=[1-9]",
        "the program says that a quantity of the training is not finite",
        "that this is what ended it",
        tier=Tier.FAULT,
        needs_failure=True,
        confidence=0.75,
    ),
    # ── hardware ─────────────────────────────────────────────────────────────────────────────────────────────────
    row(
        "gpu-xid", F.GPU_HARDWARE, "xid",
        r"\bxid\b(?: \([^)]{0,40}\))?:? ?(?!13\b|31\b|43\b|45\b)\d{1,3}\b",
        "the driver reported a hardware fault (Xid 13, 31, 43 and 45 are the program's own and do not count)",
        "that the device is beyond a reset",
    ),
    row(
        "gpu-ecc", F.GPU_HARDWARE, "ecc",
        r"uncorrectable (?:ecc|nvlink)|ecc error (?:encountered|detected)|double.bit ecc|eccnotcorrectable"
        r"|row.remap\w* failure|hardware error.{0,40}gpu|CUDA_ERROR_ECC|uncorrectable hardware errors"
        r"|\bsxid\b.{0,60}fatal",
        "the device's memory or link returned wrong bits",
        "which run suffered first",
    ),
    row(
        "gpu-lost", F.GPU_HARDWARE, "lost",
        r"gpu is lost|fallen off the bus|unable to determine the device handle|devices?(?:\(s\) is/"
        r"| )are busy or unavailable|gpu requires reset|nvmlerror_gpuislost|hw exception by gpu|\bgpu hang\b"
        r"|gpu reset (?:begin|required)|ras uncorrectable|(?:nvswitch|fabricmanager).{0,60}(?:fatal|uncorrect)",
        "the device no longer answers",
        "that it was broken before this job",
    ),
    row(
        "node-memory-error", F.NODE_FAILURE, "hardware",
        r"(?:mce|edac)\b.{0,80}(?:hardware error|\bue\b|uncorrect)|machine check exception|dimm\S* .{0,40}(?:error"
        r"|fail)|kernel panic|soft lockup",
        "the host's own hardware failed",
        "that it hit this job's memory",
        confidence=0.85,
    ),
    row(
        "node-failed", F.NODE_FAILURE, "node_down",
        r"due to node failure|node failure on \S+|node_fail\b.{0,40}(?:job|step)|launch failed requeued held"
        r"|aborting due to node",
        "Slurm lost the node",
        "why",
        confidence=0.97,
        role=Role.TAKEN_AWAY,
    ),
    row(
        "node-prolog", F.NODE_FAILURE, "prolog",
        r"prolog (?:failed|error|hung)|job prolog failed|task launch for \S+ failed on node"
        r"|slurmd\S* .{0,40}unable to launch|job credential (?:expired|revoked)"
        r"|slurmstepd: error: .{0,20}(?:container_[gp]_\w+|task_?(?:pro|epi)log|job_container)\S* .{0,40}fail"
        r"|execve\(\): \S{0,200}/slurm_script: no such file",
        "the node could not start the job",
        "that it is broken for every job",
    ),
    # ── who ended it ─────────────────────────────────────────────────────────────────────────────────────────────
    row(
        "log-time-limit", F.TIMEOUT, "limit",
        r"due to time limit|due to deadline|job (?:has )?reached (?:its )?(?:the )?(?:time|walltime) limit"
        r"|\bwall ?(?:clock )?time\b.{0,40}\bexceed|exceed\w{0,3} .{0,30}\b(?:wall ?(?:clock )?time"
        r"|run(?:ning)? time|runlimit)"
        r"|TERM_RUNLIMIT"
        r"|this job is timed.out",
        "Slurm ended the job at its time limit",
        "that it was making progress",
        tier=Tier.SYMPTOM,
        confidence=0.97,
        role=Role.TIME_LIMIT,
    ),
    row(
        "log-preempted", F.PREEMPTED, "requeue",
        r"due to preemption|due to job requeue|this job is preempted|job preempted|preemption signal"
        r"|spot instance interruption|preemption notice"
        r"|instance .{0,40}(?:is being |was )?(?:reclaimed|preempted)|host maintenance event",
        "Slurm gave the nodes to somebody else or put the job back",
        "that it lost work: that depends on its checkpoints",
        tier=Tier.SYMPTOM,
        confidence=0.95,
        role=Role.TAKEN_AWAY,
    ),
    row(
        "log-cancelled", F.CANCELLED, "scancel",
        r"\*\*\* job \S+ (?:on \S+ )?cancelled at \S+(?! due to)\s*\*\*\*",
        "somebody or something cancelled the job; Slurm names no limit and no preemption",
        "who",
        tier=Tier.TRACE,
        when=lambda e: e.state is None or e.state.value == "CANCELLED",
    ),
    row(
        "log-keyboard-interrupt", F.CANCELLED, "interrupt",
        RAISED
        + r"KeyboardInterrupt\b|got signal: 2\b|received sigint",
        "an interrupt (Ctrl-C or SIGINT) ended the program",
        "that a person pressed it",
        tier=Tier.SYMPTOM,
    ),
    # ── the container ────────────────────────────────────────────────────────────────────────────────────────────
    row(
        "container-overlay-full", F.CONTAINER, "overlay_full",
        r"no space left on device|errno 28",
        "the container's writable overlay is full",
        "that a disk of the host is",
        near=r"^overlay\s|writable-tmpfs|overlay .{0,30}100%",
        confidence=0.8,
        suggestion=(
            "bind a folder of the host for what the program writes, or enlarge the overlay (sessiondir max size)"
        ),
    ),
    row(
        "container-runtime", F.CONTAINER, "runtime",
        r"^\s*FATAL:\s{2,4}\S|failed to create user namespace|user namespace disabled|\bOCI (?:runtime"
        r"|permission)\b|\b(?:crun|runc): |SQUASHFS error"
        r"|pyxis: .{0,80}(?:fail|error|couldn't|could not|child)|enroot-\w+: |^ERROR\s{2}: "
        r"|\[error\] (?:no such file or directory: .{0,200}\.sqsh|failed to mount)|spank: .{0,40}pyxis"
        r"|container creation failed|unsquashfs\S* .{0,40}fail|nvidia-container-cli: .{0,60}error"
        r"|^(?:shifter|ch-run|sarus|udocker|podman|docker|enroot|buildah|crun|runc)\b\S{0,12}: .{0,300}(?:error|fail"
        r"|cannot|can't"
        r"|abort|not found|unable)|docker: error response|cannot connect to the docker daemon"
        r"|image .{0,120} (?:is not|not a valid) (?:a )?(?:sif"
        r"|container)",
        "the container runtime gave up before or while starting the program",
        "anything about the program",
    ),
    row(
        "container-root-full", F.CONTAINER, "overlay_full",
        r"no space left on device.{0,20}'/(?:root|usr|opt|etc|var|srv|workspace|app)/",
        "a folder of the container's own root took no more: its writable layer is full",
        "that the folder is not bound from the host",
        when=lambda evidence: evidence.in_container,
        confidence=0.75,
        suggestion=(
            "bind a folder of the host for what the program writes, or enlarge the overlay (sessiondir max size)"
        ),
    ),
    row(
        "container-missing", F.CONTAINER, "missing",
        r"(?:apptainer|singularity|enroot|podman-hpc)\S{0,3}:? (?:command )?not found"
        r"|\S{1,200}\.(?:sif|sqsh|simg)\b.{0,80}no such file|no such file or directory.{0,200}\.(?:sif|sqsh|simg)\b"
        r"|mount .{0,200}(?:doesn't|does not) exist in container",
        "the container runtime, the image or a bound folder is not where it was said to be",
        "that it never existed: a file system may be missing on this node",
    ),
    # ── the program's surroundings ───────────────────────────────────────────────────────────────────────────────
    row(
        "environment-module-missing", F.ENVIRONMENT, "import",
        r"ModuleNotFoundError|^\S*python\S*: no module named|package \S{1,60} not found in current path"
        r"|there is no package called"
        r"|please (?:pip )?install |(?:pip|conda) install \S|ImportError: (?!.{0,200}circular import)",
        "a package could not be imported here",
        "that it is not installed elsewhere",
    ),
    row(
        "environment-library-missing", F.ENVIRONMENT, "library",
        r"error while loading shared libraries|cannot open shared object file|version `[^']{1,60}' not found"
        r"|undefined symbol:|symbol lookup error|unable to load any plugin"
        r"|(?:cannot|can't|could not|couldn't|unable to|failed to) (?:find|load|open|locate) .{0,40}plug-?in",
        "a shared library or a plug-in is missing or of another version",
        "which of the two is wrong",
    ),
    row(
        "environment-cuda-build", F.ENVIRONMENT, "cuda_build",
        r"not compiled with cuda enabled|CUDAMismatchException|no kernel image is available"
        r"|driver version is insufficient|nvidia driver .{0,40}too old|cuda_home\b.{0,60}not set"
        r"|MissingCUDAException|compiled (?:with|against) .{0,40}(?:but|different) .{0,40}cuda"
        r"|unsupported gnu version|driver/library version mismatch|doesn't have \w{2,8} built in|ptxas fatal"
        r"|(?:was )?built without"
        r"|not built with|library needs to have matching|dnn library initialization failed|ptx codegen error"
        r"|cudnn version incompatibility|not supported on this (?:gpu|device|architecture)"
        r"|only supports? .{0,60}\b(?:gpus?|devices?|architectures?|compute capabilit\w{1,3})\b"
        r"|requires (?:a gpu with )?compute capability",
        "program, CUDA and driver do not fit together",
        "which one to change",
    ),
    row(
        "environment-no-device", F.ENVIRONMENT, "no_device",
        r"no cuda gpus are available|no cuda-capable device|cuda unknown error|found no nvidia driver"
        r"|no gpu/tpu found|no visible gpu devices",
        "the program sees no usable device",
        "that the node has none: --nv, CUDA_VISIBLE_DEVICES or a broken driver do the same",
        confidence=0.8,
    ),
    row(
        "environment-offline", F.ENVIRONMENT, "offline",
        r"outgoing traffic has been disabled|LocalEntryNotFoundError|OfflineModeIsEnabled|offline mode is enabled"
        r"|(?:couldn't|could not|cannot|can't) (?:find|connect).{0,160}(?:in the cached files|cached snapshot)"
        r"|ConnectionError: Couldn't reach .{0,200}offline",
        "a model or file is not in the cache, and this node may not download it",
        "that the name is right",
        suggestion="download it into the cache on a login node before the job, and bind the cache into the container",
    ),
    row(
        "environment-versions", F.ENVIRONMENT, "versions",
        r"binary incompatibility|numpy\.dtype size changed|module '(?:numpy|jax|torch"
        r"|collections)' has no attribute|compiled using numpy 1\.x cannot be run|incompatible versions? of"
        r"|is incompatible with (?!the layer)|out of date and must be regenerated"
        r"|descriptors cannot be created directly"
        r"|operator \w{1,40}::\w{1,60} does not exist|requires (?:at least )?(?:version|python|cuda|torch|numpy)\b",
        "two packages of versions that do not belong together met",
        "which of them to change",
        confidence=0.8,
    ),
    row(
        "environment-compiler", F.ENVIRONMENT, "compiler",
        r"error building extension|error compiling objects|ninja is required|command '\[?'?(?:ninja|which|c\+\+"
        r"|g\+\+|nvcc)\b|(?:gcc|g\+\+|nvcc|ninja|c\+\+): (?:command )?not found"
        r"|no such file or directory: '(?:\S*/)?(?:ninja|nvcc|g\+\+|gcc|c\+\+)'|failed to find c compiler"
        r"|RuntimeError: .{0,40}c\+\+ compiler",
        "code had to be compiled at start and could not be",
        "that the sources are wrong",
    ),
    row(
        "environment-program-missing", F.ENVIRONMENT, "command",
        r"FileNotFoundError: \[Errno 2\] no such file or directory: '[\w.+-]{1,60}'",
        "a program that was to be started is not installed here",
        "that it is not installed elsewhere",
        near=r"in _execute_child|/subprocess\.py",
        confidence=0.85,
    ),
    row(
        "environment-modules", F.ENVIRONMENT, "modules",
        r"lmod has detected the following error|modulecmd.{0,40}error|the following module\(s\) are unknown"
        r"|EnvironmentLocationNotFound|could not find conda environment|CondaError|CommandNotFoundError",
        "the module or conda environment could not be loaded",
        "whether later steps needed it",
    ),
    row(
        "environment-site-profile", F.ENVIRONMENT, "profile",
        r"^hpc: setup failed with \d+ at: "
        r"|^hpc: cannot start: .{0,300}(?:variable \w+ is not set on|cannot stand in a bind)",
        "what the site's profile says of a node does not hold there: a setup line failed, or a variable is not set",
        "whether other nodes of the site have it",
        suggestion="mend the profile's setup, environment or binds, then plan again",
    ),
    row(
        "environment-ulimit", F.ENVIRONMENT, "ulimit",
        r"too many open files|\[errno 24\]|received 0 items of ancdata|watch limit reached|can't start new thread"
        r"|resource temporarily unavailable.{0,60}thread|pthread_create failed",
        "a limit of the operating system (open files, threads) was reached",
        "that the file system is at fault",
        confidence=0.85,
        suggestion="raise ulimit -n (or use fewer loader workers) in the profile's setup lines",
    ),
    row(
        "environment-illegal-instruction", F.ENVIRONMENT, "cpu",
        r"illegal instruction|requires avx|exec format error|cannot execute binary file|wrong elf class"
        r"|the tensorflow library was compiled to use .{0,40} instructions",
        "the program was built for another processor",
        "which node types work",
    ),
    row(
        "communication-mpi", F.COMMUNICATION, "mpi",
        r"\bOFI \w+ (?:\w+ )?failed|MPIDI\w{0,40}OFI|\bPSM2?\b.{0,60}(?:error|fail)|MPI_ERR_(?:OTHER|INTERN"
        r"|UNKNOWN|PROC_FAILED|REVOKED)"
        r"|mca_btl_tcp\w{0,40}:|mca_oob_tcp\w{0,40}:",
        "a message between MPI ranks could not be passed on",
        "whether the network or a dead rank is to blame",
        tier=Tier.SYMPTOM,
        confidence=0.8,
    ),
    # ── checkpoints, before data and storage: both speak of files ────────────────────────────────────────────────
    row(
        "storage-write-failed", F.STORAGE, "write",
        r"(?:cannot|can't|could not|couldn't|unable to|failed to|error) (?:open .{0,200} for writing|write|writing"
        r"|save|saving|flush)\b"
        r"|\bwrite error\b|error (?:during|while|when) writ|netcdf: (?:hdf|i/o) error"
        r"|parent directory \S+ does not exist|unexpected pos \d+ vs \d+"
        r"|iostream error"
        r"|PytorchStreamWriter failed writing|error while serializing: i/o ?error|file write failed"
        r"|\d requested and \d{1,20} written"
        r"|\[errno 27\]|file too large|CheckpointException.{0,200}(?:quota|space|i/o)",
        "a file could not be written to its end; a full disk looks like this",
        "that the disk was full: quotas and broken mounts do the same",
        confidence=0.9,
    ),
    row(
        "checkpoint-unfit", F.CHECKPOINT, "unfit",
        r"KeyError: '\S{0,40}(?:state_dict|optimizer_states?|lr_schedulers|model_states?|pytorch-lightning)|"
        r"error\(s\) in loading state_dict|size mismatch for \S+: copying|missing key\(s\) in state_dict"
        r"|loaded state dict (?:contains|has) .{0,60}(?:parameter group|param)|ZeRORuntimeException"
        r"|(?:stored|saved|checkpoint(?:ed)?) shapes?\b|different dp world size|layer count mismatch when loading"
        r"|mismatch for loaded"
        r"|state dict keys do not match|keys do not match.{0,60}(?:state|ckpt|checkpoint)|weight file containing"
        r"|weights? (?:file|shapes?) .{0,60}do(?:es)? not match|optimizer state .{0,60}(?:does not|doesn't) match",
        "the checkpoint does not belong to this model or number of ranks",
        "that the file is damaged",
    ),
    row(
        "checkpoint-unreadable", F.CHECKPOINT, "unreadable",
        r"PytorchStreamReader failed|failed finding central directory|UnpicklingError|invalid load key"
        r"|EOFError: Ran out of input|error while deserializing header|incomplete metadata, file not fully covered"
        r"|unexpected EOF, expected \d+ more bytes|WeightsUnpickler|InvalidHeader|unable to load weights from"
        r"|unsuccessful tensorslicereader|weights only load failed|MetadataIncompleteBuffer|HeaderTooLarge"
        r"|restor\w{0,4} checkpoint .{0,40}(?:fail|mismatch)|(?:failed|unable|cannot|could not)(?: to)? (?:load"
        r"|restore|read|resume)"
        r" .{0,60}(?:checkpoint|ckpt\b)|checkpoint .{0,120}(?:is )?(?:corrupt|truncated|incomplete|damaged)",
        "a checkpoint is damaged or not in the expected format",
        "when it was damaged",
    ),
    row(
        "checkpoint-missing", F.CHECKPOINT, "missing",
        r"no file named .{0,120}(?:pytorch_model|\.safetensors)|unable to find 'latest'|checkpoint tag"
        r"|open file failed .{0,120}\.(?:pth?|ckpt|bin|safetensors)\b|(?:no such file or directory|cannot find"
        r"|could not find|can't find|not found|does not exist).{0,220}(?:checkpoint|ckpt|\.pth?\b|\.safetensors"
        r"|/step-\d|global_step\d)|(?:Error|Exception): .{0,100}checkpoint\S* .{0,160}(?:not found|does not exist"
        r"|missing)",
        "the checkpoint to go on from is not there",
        "that it was never written",
    ),
    # ── storage ──────────────────────────────────────────────────────────────────────────────────────────────────
    row(
        "storage-full", F.STORAGE, "full",
        r"no space left on device|\[?errno 28\b|os error 28\b|database or disk is full",
        "a file system was full",
        "which one, where the message names no path: /tmp is as likely as scratch",
    ),
    row(
        "storage-quota", F.STORAGE, "quota",
        r"disk quota exceeded|quota exceeded|\[errno 122\]|os error 122\b|file size limit exceeded",
        "a quota was reached",
        "that the disk is full",
    ),
    row(
        "storage-lock", F.STORAGE, "lock",
        r"unable to lock file|filelock\S{0,20}Timeout|the file lock .{0,200}could not be acquired|database is locked"
        r"|unable to (?:synchronously )?(?:open|create) file.{0,80}(?:errno = 11"
        r"|resource temporarily)|no locks available|\[errno 37\]",
        "a file lock was refused",
        "whether another process held it or the file system offers none",
    ),
    row(
        "storage-io", F.STORAGE, "io",
        r"LustreError|stale (?:nfs )?file handle|\[errno (?:5|67|70|71|77|112|116|107|108|121|5[12]\d)\]"
        r"|\.nfs[0-9a-f]{16}|\[errno 110\].{0,40}: '/"
        r"|input/output error"
        r"|transport endpoint is not connected|cannot send after transport endpoint|remote i/o error"
        r"|read-only file system|\[errno 30\]|os error (?:5|30|116)\b",
        "the file system failed while it was used",
        "that it is down for other nodes",
    ),
    row(
        "storage-permission", F.STORAGE, "permission",
        r"PermissionError|\[errno 13\]|permission denied.{0,80}(?:/|')|couldn't chdir to|could not open (?:stdout"
        r"|stderr) file",
        "a path could not be used by this account",
        "that it should be",
        confidence=0.8,
    ),
    *FILES,
    # ── what was asked ───────────────────────────────────────────────────────────────────────────────────────────
    row(
        "config-slurm-request", F.CONFIG, "slurm_request",
        r"(?:sbatch|srun|salloc): error: .{0,120}(?:invalid|more processors requested|not available|can(?:not"
        r"|'t) be satisfied|unrecognized|exceed|permitted|not permitted|node count)"
        r"|unable to create step .{0,60}(?:more processors|invalid|memory|requested)|batch job submission failed"
        r"|requested node configuration is not available|failed to distribute tasks|unable to layout tasks"
        r"|^(?:srun|sbatch|salloc): fatal: (?!.{0,120}(?:plugin|connect|contact|socket|configuration source))",
        "Slurm refused what the job asked for",
        "that another partition would grant it",
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
        "which value was meant",
    ),
    row(
        "config-parallel", F.CONFIG, "parallel",
        r"(?:must be|is not|not) divisible by|does not divide|DeepSpeedConfigError|check batch related parameters"
        r"|train_batch_size is not equal|type fp16 is not supported|world.?size .{0,60}(?:not divisible|must be)"
        r"|not divisible by (?:the )?(?:world|number of|tensor|data|pipeline)|invalid device ordinal"
        r"|duplicate gpu detected|environment variable \w+ expected, but not set",
        "batch sizes, precision or ranks do not fit together",
        "which of them to change",
    ),
    row(
        "config-tracking", F.CONFIG, "tracking",
        r"gated repo|401 client error|403 client error|invalid (?:api key|token|credentials)|no api key configured"
        r"|api key must (?:have|be)|wandb\S*AuthenticationError|wandb\S*UsageError"
        r"|wandb\S* .{0,80}(?:permission denied|unauthori[sz]ed|entity \S+ not found)",
        "the tracking service got no valid key",
        "that the run needs it: offline mode does without",
        suggestion="set tracking.wandb.mode: offline (send later with hpc sync), or give the key",
    ),
    # ── data ─────────────────────────────────────────────────────────────────────────────────────────────────────
    row(
        "bug-index-range", F.CODE_BUG, "index",
        r"ScatterGatherKernel\.cu.{0,160}Assertion `",
        "an index that the program computed lies outside its tensor",
        "that the data are sound: they may have led to the index; never the device",
        confidence=0.7,
    ),
    row(
        "data-label-range", F.DATA, "range",
        r"device-side assert triggered|Assertion `t >= 0 && t < n_classes|target \d+ is out of bounds"
        r"|index out of range in self|srcIndex < srcSelectDimSize|Assertion `.{0,80}index out of bounds",
        "an index (a label or token) lies outside its table",
        "whether the data or the table's size is wrong; never the device",
        confidence=0.8,
    ),
    row(
        "data-damaged", F.DATA, "damaged",
        r"UnidentifiedImageError|image file is truncated|truncated file: eof|file signature not found|BadGzipFile"
        r"|BadZipFile|not a gzipped file|compressed file ended|zlib\.error|Arrow(?:Invalid|TypeError|IOError)"
        r"|tarfile\.\w{0,20}Error|no data left in file|unexpected end of (?:data|file|stream)"
        r"|lmdb\.\w{0,30}(?:Corrupt|Invalid|Page)"
        r"|NonMatching(?:Splits|Checksum)|ExpectedMoreSplits|UnexpectedSplits|DatasetGenerationError"
        r"|checksum (?:mismatch|error)"
        r"|format not recogni[sz]ed|(?:unknown|unsupported|invalid|unrecogni[sz]ed) file format|DataLossError"
        r"|UnicodeDecodeError|JSONDecodeError|ParserError|EmptyDataError"
        r"|corrupt(?:ed)? (?:record"
        r"|sample|shard|data|jpeg|image)|magic bytes not found",
        "an input file is damaged or of another format",
        "that the original is: a copy may be incomplete",
        role=Role.DAMAGED_FILE,
    ),
    row(
        "data-empty", F.DATA, "empty",
        r"num_samples should be a positive integer|dataset is empty|\bempty file\b|file is empty|\.empty\(\)"
        r"|found 0 (?:images|files|samples|files in)"
        r"|empty dataset|no (?:training )?(?:samples|examples|files) found",
        "the data set has nothing in it for this task",
        "that the path is wrong",
    ),
    row(
        "data-not-found", F.DATA, "missing",
        r"DatasetNotFoundError|no variable named|could not find a dataset|not in the dataset\b|no such column"
        r"|forrtl: severe \((?:24|29|30|36|59|67)\)"
        r"|missing column"
        r"|cannot open (?:input )?file .{0,160}no such file"
        r"|couldn't find (?:a |any )?(?:data|dataset)|couldn't reach .{0,120} on the hub"
        r"|dataset .{0,160}(?:not found|does not exist|doesn't exist)|"
        + RAISED
        + r"FileNotFoundError|(?:OSError|IOError): .{0,60}no such file or directory"
        r"|unable to (?:synchronously )?open (?:file \(unable to open file|object \(object)"
        r"|(?:cannot|can't|can not|could not|couldn't|unable to|failed to) (?:open|read|find"
        r"|locate) (?:the )?(?:\S{1,40} ){0,2}(?:training|data|input"
        r"|corpus|sample|shard|annotation|label)",
        "an input is not where the program looks",
        "that it does not exist: a mount or bind may be missing",
        confidence=0.85,
    ),
    # ── between the ranks: symptoms, unless nothing deeper is found ──────────────────────────────────────────────
    row(
        "communication-port", F.COMMUNICATION, "port",
        r"EADDRINUSE|address already in use|errno: 98",
        "the rendezvous port was taken by another program",
        "that the network is at fault",
        tier=Tier.SYMPTOM,
    ),
    row(
        "communication-rendezvous", F.COMMUNICATION, "rendezvous",
        r"Rendezvous(?:Timeout|Connection|Closed|State)?Error|timed out after \d+ seconds waiting for clients"
        r"|client socket has (?:timed out|failed to connect)|DistStoreError|DistNetworkError"
        r"|(?:failed|unable|cannot|could not|couldn't)(?: to)? (?:connect|reach|establish)\b|PMK_KVS"
        r"|pmixp?_\w{1,40}: |ssh: connect to host"
        r"|failed to connect/validate to host|barrier timed out|coordination service|connectFullMesh failed"
        r"|store->get\(|monitoredBarrier",
        "ranks did not find each other",
        "whether the network, a name or a dead rank is to blame",
        tier=Tier.SYMPTOM,
    ),
    row(
        "communication-collective", F.COMMUNICATION, "collective",
        r"watchdog caught collective operation timeout|collective ops is aborted|UnavailableError|\w{0,20}RpcError\b"
        r"|UNAVAILABLE: |failed to connect to all"
        r"|DistBackendError|nccl(?:system|remote|internal|unhandled\w*"
        r"|invalidusage)?error|nccl error|nccl communicator was aborted|gloo.{0,20}transport"
        r"|connect(?:ion)? (?:reset|closed|refused)(?: by peer)?|connection timed out|broken pipe|socket timeout"
        r"|heartbeatmonitor|timed out waiting \d+ms for (?:recv|send) operation|rccl error",
        "a collective operation broke off",
        "who broke it: most often a rank that died of something else",
        tier=Tier.SYMPTOM,
        confidence=0.8,
    ),
    row(
        "communication-fabric", F.COMMUNICATION, "fabric",
        r"IBV_WC_\w+|ibv_\w+ .{0,40}fail|transport retry count\w* exceeded|completion[ _]with[ _]err"
        r"|unhandled timeout error|\bUC[CXPST]\s{1,4}ERROR|\bmlx5\S* .{0,60}(?:error|fail)"
        r"|orte has lost communication|libfabric.{0,60}(?:error|fail)|no route to host|network is (?:unreachable"
        r"|down)|temporary failure in name resolution|name or service not known|CommError|ConnectTimeout"
        r"|max retries exceeded with url"
        r"|ReadTimeout|MaxRetryError|failed to resolve",
        "the network between nodes (or to a service) failed",
        "that it still does",
        tier=Tier.SYMPTOM,
        confidence=0.8,
    ),
    # ── the program's own errors ─────────────────────────────────────────────────────────────────────────────────
    row(
        "bug-shapes", F.CODE_BUG, "shapes",
        r"shapes cannot be multiplied|size of tensor a \(\d+\) must match|must match the size of tensor b"
        r"|shape '\[.{0,80}\]' is invalid for input|sizes of tensors must match|could not be broadcast together"
        r"|incompatible shapes|shape mismatch|mat1 and mat2 must have|incompatible with the layer"
        r"|expected (?:min_)?ndim="
        r"|expected all tensors to be on the same device|expected scalar type|dimension out of range",
        "tensors of unfit shape, type or device met in the code",
        "whether code or configuration chose them",
        tier=Tier.FAULT,
    ),
    row(
        "bug-autograd", F.CODE_BUG, "autograd",
        r"does not require grad and does not have a grad_fn|modified by an inplace operation"
        r"|expected to have finished reduction|backward through the graph a second time|marked (?:as )?ready twice",
        "the computation graph is used wrongly",
        "nothing else",
        tier=Tier.FAULT,
    ),
    row(
        "bug-device-memory-access", F.CODE_BUG, "illegal_access",
        r"illegal memory access|misaligned address|memory access fault by gpu|unspecified launch failure"
        r"|\bxid\b(?: \([^)]{0,40}\))?:? ?(?:13|31|43|45)\b",
        "device code touched memory that is not its own",
        "whose code: the program's, a library's, or (seldom) a failing device's",
        tier=Tier.FAULT,
        confidence=0.7,
    ),
    row(
        "bug-segfault", F.CODE_BUG, "segfault",
        r"(?<!caused by a )segmentation fault|sigsegv|signal 11\b|general protection",
        "native code touched memory that is not its own",
        "whose code",
        tier=Tier.FAULT,
        confidence=0.75,
    ),
    row(
        "bug-heap", F.CODE_BUG, "heap",
        r"double free|free\(\): |malloc\(\): |corrupted (?:size vs|double-linked|unsorted)|invalid next size"
        r"|munmap_chunk|stack smashing"
        r"|heap-buffer-overflow|pure virtual method called",
        "native code damaged its own memory",
        "whose code, and when",
        tier=Tier.FAULT,
        confidence=0.8,
    ),
    row(
        "bug-mpi-call", F.CODE_BUG, "mpi",
        r"\bMPI_ERR_(?:TRUNCATE|ARG|COUNT|TYPE|RANK|ROOT|COMM|BUFFER|TAG|OP|GROUP|REQUEST|TOPOLOGY|DIMS)\b"
        r"|message truncated",
        "an MPI call was given arguments that do not fit its partner's",
        "which rank is wrong",
        tier=Tier.FAULT,
        confidence=0.75,
    ),
    row(
        "not-converged-statement", F.NOT_CONVERGED, "stated",
        r"\b(?:did|does|has|have) not converged?\b|failed to converge|\bnot converged\b|without converg"
        r"|solved 0/\d|no convergence|convergence (?:was )?not (?:reached|achieved)|"
        + named(r"Convergence|NotConverged"),
        "the program itself says that it did not reach its aim",
        "that more steps would help",
        tier=Tier.FAULT,
    ),
    row(
        "cascade-child-failed", F.UNKNOWN, "launcher",
        RAISED
        + r"(?:ChildFailedError|CalledProcessError|SignalException|ProcessExitedException|ProcessRaisedException"
        r"|BrokenProcessPool|TerminatedWorkerError|RayTaskError|RayActorError|ActorDiedError"
        r"|WorkerCrashedError)\b|DataLoader worker \(pid.{0,40}exited unexpectedly"
        r"|background workers are no longer alive"
        r"|DataLoader worker .{0,40}killed by signal: (?:terminated|aborted)|mpi_abort was invoked|SystemExit\b",
        "a child ended badly",
        "why: the child's own words are missing",
        tier=Tier.TRACE,
        confidence=0.4,
    ),
    row(
        "checkpoint-while-loading", F.CHECKPOINT, "loading",
        RAISED
        + r"(?-i:EOFError|OSError|RuntimeError|ValueError|struct\.error|KeyError)\b",
        "reading a checkpoint failed with an error that says little itself",
        "that the file is damaged: the program may expect another format",
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
        "writing a checkpoint failed with an error that says little itself",
        "that the disk is full",
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
        "the program refuses a value it was given",
        "whether the settings or the code chose it",
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
        "a program in another language failed by its own fault",
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
        "the program ended by an exception nobody caught",
        "its cause: no rule knows this message",
        tier=Tier.FAULT,
        confidence=0.6,
        role=Role.UNCAUGHT,
    ),
    row(
        "environment-command-missing", F.ENVIRONMENT, "command",
        r"(?:command not found|: not found)$|^slurmstepd: error: execve\(\): .{0,200}no such file"
        r"|env: .{0,80}no such file",
        "a command of the job script does not exist here",
        "that the program needed it",
        tier=Tier.SYMPTOM,
        confidence=0.8,
        role=Role.NO_PROGRAM,
    ),
    row(
        "killed-without-reason", F.UNKNOWN, "sigkill",
        r"^srun: error: .{0,120}: killed|\(SIGKILL\)|^killed$|: \d+ killed\s|^\s{0,8}exitcode\s{1,4}: -9\b",
        "a process was killed with SIGKILL",
        "by whom: the kernel for memory, Slurm, an operator",
        tier=Tier.TRACE,
        confidence=0.4,
        role=Role.KILLED,
    ),
    row(
        "bug-said-error", F.CODE_BUG, "said_error",
        r"^\W{0,4}(?!srun\b|slurmstepd\b|wandb\b|prolog\b|epilog\b)(?:[\w./-]{1,60}: ?)?"
        r"(?:fatal(?: error)?|error|panic|severe|aborting)\b",
        "the program called something an error and ended itself with a code of failure",
        "what it means: no rule knows the message; a repetition would rarely end otherwise",
        tier=Tier.TRACE,
        when=lambda e: e.exit_code is not None and 0 < e.exit_code < 124 and not e.exit_signal,
        needs_failure=True,
        confidence=0.4,
    ),
    row(
        "step-failed", F.UNKNOWN, "step_failed",
        r"\*\*\* step .{0,200}due to task failure|^srun: error: .{0,80}: tasks? [\d,-]{1,80}: (?:terminated|aborted)",
        "Slurm ended a step because one of its tasks had failed",
        "why that task failed, and whether the job script took notice",
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
