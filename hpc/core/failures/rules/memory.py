"""Memory that ran out: shared memory first, then the device, then the host."""

from hpc.core.failures.evidence import Evidence, FailureClass
from hpc.core.failures.rule import Rule, Tier, row

F = FailureClass


def _trains_on_cpu(evidence: Evidence) -> bool:
    return evidence.gpus == 0


_CPU_ALLOCATOR = (
    r"DefaultCPUAllocator: (?:can't allocate|not enough) memory"
    r"|_ArrayMemoryError|numpy\S* Unable to allocate [\d.]+ .iB"
    r"|^\s*(?:\w+\.){0,5}MemoryError\b|ArrowMemoryError|std::bad_alloc"
    r"|OOM when allocating tensor.{0,300}(?:device:CPU|allocator (?:mkl)?cpu)"
)

_DEVICE = r"\w{0,24}(?:gpu|cuda|cumem|hip|vram|hbm|device|npu|xpu)\w{0,24}"
_RAN_OUT = (
    r"(?:out of memory|(?:insufficient|not enough|exhausted|no) memory|memory (?:is )?exhausted|std::bad_alloc"
    r"|(?:cannot|could not|unable to|failed to) allocate|alloc\w{0,8}\b.{0,60}\bfail\w*)"
)

ROWS: tuple[Rule, ...] = (
    row(
        "device-oom-words", F.OOM_GPU, "words",
        r"\bout of (?:gpu|device|cuda|hip|npu|hpu|xpu|video|graphics|vram|hbm)(?: \w{1,12})? memory\b"
        r"|\b(?:insufficient|not enough|no) (?:free )?(?:gpu|device|cuda|video|vram|hbm|npu|hpu|xpu) memory\b"
        r"|\b(?:insufficient|not enough|out of|too little) vram\b|\bkv[- ]?cache\b.{0,60}\b(?:does not|doesn't|cannot"
        r"|can't|won't) fit\b|\b(?:does not|doesn't|cannot|can't|won't) fit (?:in|into|on|onto) (?:the |this "
        r"|one |a )?"
        r"(?:gpu|device|vram|card|accelerator)"
        r"|\b(?:gpu|vram|hbm|npu|hpu|xpu)\b.{0,40}\b(?:memory (?:is )?(?:exhausted|full|allocation failed)|ran out of"
        r" memory|oom\b)|(?:not enough|out of|insufficient) memory\b.{0,120}(?:mem.fraction|gpu.memory.utilization)",
        "the program said that memory of the training device ran out",
        "which tensor is too large",
        needs_failure=True, confidence=0.85,
    ),
    row(
        "oom-device-resources", F.OOM_GPU, "runtime",
        r"\b(?:PI|UR|ZE|CL)_\w{0,12}ERROR_OUT_OF_(?:\w{1,12}_)?(?:RESOURCES|MEMORY)|\bNPU out of memory"
        r"|ACL_ERROR_RT_MEMORY_ALLOCATION|insufficient device memory",
        "the accelerator's runtime could not allocate memory",
        "which tensor is too large",
        confidence=0.85,
    ),
    row(
        "host-oom-step", F.OOM_HOST, "watcher",
        r"\b(?:step|job)(?:id)?\W{0,2}\S{0,30} exceeded (?:virtual )?memory limit"
        r"|exceeded memory limit.{0,40}being killed",
        "the step used more memory than it was allowed, and Slurm killed it",
        "which process used it",
    ),
    row(
        "host-oom-workers", F.OOM_HOST, "loader",
        r"exit codes of the workers are \{.{0,80}SIGKILL",
        "a worker process of a pool was killed by SIGKILL",
        "who sent the signal; almost always the kernel, because memory ran out",
        tier=Tier.SYMPTOM, confidence=0.65,
    ),
    row(
        "host-oom-array", F.OOM_HOST, "array",
        r"exceeds (?:the )?maximum (?:possible )?array size|out of memory\. type .{0,3}help memory",
        "the program asked for an array larger than the host allows",
        "whether a smaller array would fit",
        confidence=0.8,
    ),
    row(
        "shm-insufficient", F.OOM_SHM, "dev_shm",
        r"insufficient shared memory|enough space for /dev/shm|/dev/shm.{0,80}not enough space|unable to (?:open"
        r"|mmap|resize|write to|allocate) (?:shared memory|\d+ bytes from file </torch_|file </torch_)"
        r"|check that /dev/shm|no space left.{0,40}'/(?:psm|wnsm|torch|sem)[_.]"
        r"|error while creating shared memory segment|/dev/shm\S*['\"]?.{0,60}no space left"
        r"|no space left.{0,80}/dev/shm|failed to (?:create|allocate|resize) shared memory"
        r"|(?:could not|cannot|unable to|failed to) (?:resize|create|allocate|open|map|attach|extend) (?:the "
        r"|a )?(?:posix "
        r"|system v )?shared[ -]memory|\bshared memory\b.{0,160}no space left"
        r"|\b(?:exceed\w*|larger than|bigger than|more than|does(?: not|n't) fit|too (?:big"
        r"|large) for) .{0,24}/dev/shm"
        r"|/dev/shm\b.{0,40}\b(?:too small|not (?:big|large) enough|is full|only \d)",
        "the shared-memory file system (/dev/shm) was full or too small",
        "whether the host ran out of ordinary memory",
    ),
    row(
        "shm-no-space-in-semaphores", F.OOM_SHM, "dev_shm",
        r"no space left on device|errno 28",
        "a semaphore or shared block could not be created in /dev/shm",
        "whether any disk is full",
        near=(
            r"semlock|multiprocessing[./](?:synchronize|shared_memory|heap)|resource_tracker|shm_open"
            r"|/dev/shm .{0,40}100%|100% /dev/shm"
        ),
    ),
    row(
        "shm-bus-error", F.OOM_SHM, "bus_error",
        r"killed by signal: bus error|\bbus error\b.{0,80}(?:shm|shared memory)|^bus error",
        "a process used shared memory that was not available",
        "whether /dev/shm was full: a truncated memory map does the same",
        confidence=0.75,
    ),
    row(
        "device-oom-torch", F.OOM_GPU, "cuda",
        r"\b(?:cuda|hip|xpu|npu|hpu|mps)\b.{0,30}\bout of (?:device )?memory|PT_DEVMEM"
        r"|\b(?:device|gpu) memory allocation (?:failed|error)|torch(?:\.cuda)?\.OutOfMemoryError"
        r"|^\s*OutOfMemoryError\b|cupy\S{0,40}OutOfMemoryError|out of memory error on gpu",
        "an allocation on the training device failed",
        "which tensor is too large; whether another program held the memory",
    ),
    row(
        "device-oom-runtime", F.OOM_GPU, "cuda",
        r"cuda error: out of memory|cuda_error_out_of_memory|cudaErrorMemoryAllocation|hipErrorOutOfMemory"
        r"|cuda failure '?out of memory|cudaMalloc failed: out of memory|failed to cuda calloc"
        r"|no available memory for the cache blocks|cudaMalloc\w{0,10}\b.{0,60}(?:out of memory|failed)"
        r"|\w{0,20}MemoryAllocationFailure"
        r"|(?<!LAUNCH_)OUT_OF_(?:DEVICE_MEMORY|RESOURCES)\b|no executable batch size found"
        r"|memory object allocation failure|MEM_OBJECT_ALLOCATION_FAILURE"
        r"|out_of_memory: cuda|error code 2: outofmemory",
        "the driver could not allocate device memory",
        "whether this program used it: another one may share the device",
    ),
    row(
        "device-oom-library", F.OOM_GPU, "library",
        r"CU(?:BLAS|DNN|SOLVER|FFT|SPARSE|RAND|TENSOR)_(?:STATUS_)?ALLOC_FAILED"
        r"|\b(?:cu|hip|roc)(?:blas|dnn|fft|solver|sparse|rand|tensor)\w{0,20}? ?alloc\w{0,10}[ _]?failed\b"
        r"|miopen\w* ?alloc\w* failed"
        r"|rocblas_status_memory_error",
        "a CUDA or ROCm library could not allocate its workspace on the device",
        "the size it needed",
    ),
    row(
        "device-oom-on", F.OOM_GPU, "words",
        rf"^(?!.{{0,400}}(?:\bhost|pinned|\bcpu\b|/dev/shm|no space)).{{0,300}}?(?:\b{_DEVICE}.{{0,160}}\b{_RAN_OUT}"
        rf"|\b{_RAN_OUT}.{{0,160}}\b{_DEVICE})",
        "memory ran out, and the line names the training device, its allocator or its source file",
        "which tensor is too large",
        needs_failure=True, confidence=0.85,
    ),
    row(
        "device-oom-beside", F.OOM_GPU, "words",
        rf"\b{_RAN_OUT}\b|^\s*(?:\w+\.){{0,5}}MemoryError\b|\bran out of memory\b",
        "memory ran out, and the lines beside it name the training device or its allocator",
        "which tensor is too large",
        near=r"memory on (?:the )?(?:gpu|device)|\bGPU-function\b|\bgpuArray\b|CUDAAllocator|\bcuMem\w{1,20}"
        r"|\bcudaMalloc|\bhipMalloc|bytes of device memory|\bgpu_allocator|\bdevice allocat",
        needs_failure=True, confidence=0.8,
    ),
    row(
        "allocator-oom-cpu-training", F.OOM_GPU, "cpu_allocator",
        _CPU_ALLOCATOR,
        "the program could not allocate memory on the CPU, the device it trains on",
        "whether the batch is what needs it: a data set held in memory fails in the same words",
        when=_trains_on_cpu,
        confidence=0.85,
    ),
    row(
        "host-oom-allocator", F.OOM_HOST, "cpu_allocator",
        _CPU_ALLOCATOR,
        "the program could not allocate host memory",
        "whether the memory limit of the job was reached: one request may simply be huge",
    ),
    row(
        "device-oom-xla", F.OOM_GPU, "xla",
        r"RESOURCE_EXHAUSTED: .{0,80}(?:out of memory|OOM when|while trying to allocate|failed to allocate)"
        r"|OOM when allocating tensor|ResourceExhaustedError(?!.{0,400}(?:no space left|quota))"
        r"|ran out of memory in memory space (?:hbm|vmem)|dst tensor is not initialized"
        r"|Allocator \(GPU_\d+_bfc\) ran out of memory trying to allocate(?!.{0,300}not a failure)",
        "JAX, XLA or TensorFlow could not allocate on the accelerator",
        "whether preallocation by another process is the cause",
    ),
    row(
        "host-oom-cgroup", F.OOM_HOST, "cgroup",
        r"oom[-_]kill event|memory cgroup out of memory|killed by the cgroup out-of-memory"
        r"|^srun: error: .{0,80}: out of memory|some of (?:your processes"
        r"|the step tasks) (?:may )?have been (?:oom )?killed",
        "the kernel killed a process of this job at its memory limit",
        "whether it was the training process and not a loader worker",
    ),
    row(
        "host-oom-kernel", F.OOM_HOST, "kernel",
        r"out of memory: kill(?:ed)? process|invoked oom-killer|oom-kill:constraint|ray\.exceptions\.OutOfMemoryError"
        r"|node running low on memory|(?:systemd-oomd|earlyoom|oomd)\b.{0,40}: kill"
        r"|killed .{0,120}due to memory (?:used|pressure)",
        "the kernel of the node ran out of memory",
        "whether this job caused it: without a cgroup it may have been a neighbour",
    ),
    row(
        "host-oom-watcher", F.OOM_HOST, "watcher",
        r"due to memory limit|TERM_MEMLIMIT|exceeded (?:job|step|virtual) memory limit.{0,80}(?:being killed|killed)"
        r"|(?:job|step) \S+ exceeded (?:virtual )?memory limit"
        r"|exceeded \d{1,3}% memory budget|\bKilledWorker\b",
        "Slurm's accounting or a pool's supervisor saw too much memory used and killed the process",
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
        r"|\b(?:insufficient|not enough|too little|more) (?:ram|memory is (?:needed|required))\b"
        r"|used [\d.]{1,12} ?[gmt]i?b of [\d.]{1,12} ?[gmt]i?b.{0,40}\bkill",
        "the operating system refused memory to a new process or mapping",
        "a memory limit of the job: ulimit -v and overcommit do the same",
        confidence=0.8,
    ),
    row(
        "host-oom-limit-warning", F.OOM_HOST, "watcher",
        r"exceeded (?:job|step) memory limit at some point",
        "the job was at its limit once",
        "whether anything was killed: page cache counts here",
        tier=Tier.SYMPTOM,
        needs_failure=True,
        confidence=0.6,
    ),
    row(
        "host-oom-loader-killed", F.OOM_HOST, "loader",
        r"DataLoader worker .{0,40}is killed by signal: killed",
        "a loader worker was killed by SIGKILL",
        "who sent the signal; almost always the kernel, because memory ran out",
        tier=Tier.SYMPTOM,
        confidence=0.7,
    ),
    row(
        "host-oom-words", F.OOM_HOST, "words",
        r"^\W*std::bad_alloc|\brefuses to provide (?:more )?memory|\bMemoryError\b|\b(?:not enough|insufficient"
        r"|out of) (?:host |system |main "
        r"|physical |virtual )?"
        r"memory\b(?!.{0,60}\b(?:gpu|cuda|device|hbm|vram)\b)|\bmem(?:ory)? \S{1,20} exceeded limit"
        r"|could not allocate .{0,60}"
        r"(?:memory|bytes)|\b(?:error (?:in )?|^\W{0,9})allocating [a-z]\w{1,40}\b"
        r"|\b(?:cannot|can't|could not|failed to|unable to) allocate (?!memory\b)[\w%()]{1,40}"
        r"(?:,? (?:and )?[\w%()]{1,40}){0,3}$|allocation of .{0,40}(?:bytes|[kmgt]i?b) failed|\[Errno 12\]",
        "the program said that host memory ran out",
        "whether the limit of the job or one request was too much",
        tier=Tier.FAULT, needs_failure=True, confidence=0.75,
    ),
)  # fmt: skip
