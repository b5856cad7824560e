"""Likely causes and debugging steps of every failure class, sub-cause and health sign, as a table. Pure.

`why` prints them, `docs/failure-classes.md` lists them. A sub-cause has a row of its own only where a person would do
something else than for its class.
"""

from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.health import Sign
from hpc.core.immutable import immutable

F = FailureClass


@immutable
class Diagnosis:
    """What usually is behind it, and what to look at, each in the order worth trying.

    Attributes:
        causes: Likely causes, most likely first.
        steps: Debugging steps, cheapest first.
    """

    causes: tuple[str, ...]
    steps: tuple[str, ...]


_NOT_FINITE = Diagnosis(
    (
        "learning rate too high, or no warm-up",
        "gradients not clipped; one batch with extreme values",
        "fp16 overflows where bf16 or fp32 would not",
        "log(0), division by 0, sqrt of a negative number in the loss",
    ),
    (
        "find the first step that is not finite; look at gradient norm and learning rate before it",
        "clip gradients (norm 1.0), halve the learning rate, lengthen the warm-up",
        "repeat from the checkpoint before it in bf16 or fp32",
        "torch.autograd.set_detect_anomaly(True) names the operation",
        "check that batch's inputs and labels for NaN and outliers",
    ),
)
_NO_LEARNING = Diagnosis(
    (
        "learning rate far too low or too high",
        "gradients do not flow: detached graph, frozen or unregistered parameters",
        "labels do not match their inputs, or are constant",
        "the loss or reward does not fit the task; all rewards are equal",
    ),
    (
        "overfit one batch: the loss must go to about 0",
        "compare the first loss with its expected value (log N for N classes)",
        "print the gradient norm of every layer after one step",
        "try learning rates ×10 and ÷10",
        "look at ten inputs with their labels after all preprocessing",
    ),
)
_APART = Diagnosis(
    (
        "overfitting: too many parameters or epochs for the data",
        "validation data from another distribution, or preprocessed differently",
        "no regularisation, or dropout left on in evaluation",
    ),
    (
        "stop at the best validation step: that checkpoint is the result",
        "more data or augmentation, weight decay, dropout, a smaller model",
        "evaluate on a part of the training data with the validation code: the numbers must agree",
        "look for leakage and duplicates between the splits",
    ),
)
_SHAPES = Diagnosis(
    (
        "an axis is missing or swapped (batch, sequence, channels)",
        "the last batch is smaller, or sequences are not padded",
        "the model's width, heads or classes do not match data or checkpoint",
        "tensors on different devices or of different types",
    ),
    (
        "print shape, dtype and device of both operands before the failing line",
        "push one batch through on the CPU, layer by layer",
        "compare the sizes in the message with the settings that are swept",
        "set drop_last=True to see whether only the last batch fails",
    ),
)

DIAGNOSES: dict[FailureClass, Diagnosis] = {
    F.SUCCESS: Diagnosis((), ()),
    F.OOM_GPU: Diagnosis(
        (
            "the micro-batch or sequence length is too large for this device",
            "optimiser states and activations, rather than weights",
            "another process holds the device's memory",
            "memory grows: tensors kept with their graph, fragmentation",
        ),
        (
            "smaller micro-batch with gradient accumulation: same global batch",
            "mixed precision (bf16), activation checkpointing",
            "ZeRO stage 2 or 3, or offloading, over several devices",
            "nvidia-smi: is somebody else using the device?",
            "torch.cuda.memory_summary() per step; log .item(), not the tensor",
        ),
    ),
    F.OOM_HOST: Diagnosis(
        (
            "loader workers each hold a copy of the data set",
            "the whole data set or a full state dict is held in memory",
            "the job asked for less than it needs (resources.mem)",
        ),
        (
            "compare the peak memory with resources.mem; ask for a quarter more than the peak",
            "fewer loader workers, a smaller prefetch_factor",
            "memory-map or stream the data",
            "a peak that grows with the steps is a leak: log it every 100 steps",
        ),
    ),
    F.OOM_SHM: Diagnosis(
        (
            "many loader workers pass large batches through /dev/shm",
            "the container or node gives /dev/shm little room (64 MiB is a default)",
            "segments of dead jobs were left behind",
        ),
        (
            "df -h /dev/shm inside the job",
            "fewer workers, or torch.multiprocessing.set_sharing_strategy('file_system')",
            "more memory for the job: /dev/shm counts against it",
            "ls -l /dev/shm: remove what belongs to dead jobs",
        ),
    ),
    F.DIVERGENCE: _NOT_FINITE,
    F.TIMEOUT: Diagnosis(
        ("the task needs more time than it was given", "slower node, file system or data loading than planned"),
        (
            "steps per second × remaining steps: how much time is missing?",
            "write checkpoints on SIGUSR1, so that nothing is lost",
            "compare the throughput with finished tasks of the same size",
        ),
    ),
    F.PREEMPTED: Diagnosis(
        ("a job of higher priority needed the nodes",),
        ("write checkpoints more often than the partition preempts", "use a partition or QOS that is not preempted"),
    ),
    F.CANCELLED: Diagnosis(
        ("somebody ran scancel or pressed Ctrl-C", "a dependency failed, or an administrator emptied the node"),
        ("sacct -j JOB -o State%30 names the user id", "submit it again if it was not intended"),
    ),
    F.NODE_FAILURE: Diagnosis(
        ("the node crashed, lost power, or slurmd stopped answering", "a memory module or CPU reported errors"),
        (
            "sinfo -R and scontrol show node NODE say what the site knows",
            "if the same node keeps appearing, report it and exclude it",
        ),
    ),
    F.GPU_HARDWARE: Diagnosis(
        ("uncorrectable memory errors (ECC) or a broken NVLink", "the device fell off the bus: power, heat, PCIe"),
        (
            "nvidia-smi -q -d ECC,PAGE_RETIREMENT,ROW_REMAPPER on that node",
            "dmesg: the Xid number names the fault",
            "report node and device to the site; run elsewhere",
        ),
    ),
    F.COMMUNICATION: Diagnosis(
        (
            "one rank died, or waits elsewhere (uneven batches, rank-only branch)",
            "wrong network interface or a firewall between nodes",
            "a slow rank (saving, evaluating) outlasts the collective's time-out",
        ),
        (
            "read each rank's own log: who stopped first, and where?",
            "always the same step: the program. Always the same node: the network",
            "NCCL_DEBUG=INFO, TORCH_DISTRIBUTED_DEBUG=DETAIL for one run",
            "set NCCL_SOCKET_IFNAME; raise the time-out around slow sections",
        ),
    ),
    F.STORAGE: Diagnosis(
        ("the file system or quota is full (bytes or files)", "the file system was slow, stale or broken for a while"),
        (
            "df -h and df -i on the path; the site's quota command",
            "remove checkpoints of runs whose results are recorded",
            "write temporary files to a node-local disk",
        ),
    ),
    F.CONTAINER: Diagnosis(
        (
            "the image or a bound folder is not where the profile says",
            "the runtime lacks a permission (user namespaces, set-uid) on this node",
            "the writable overlay or the cache is full",
        ),
        (
            "compare image_dir and binds of the profile with what the node sees",
            "apptainer exec IMAGE true on the same node type",
            "APPTAINER_CACHEDIR and APPTAINER_TMPDIR on a disk with room",
        ),
    ),
    F.ENVIRONMENT: Diagnosis(
        (
            "a package or library is missing or of another version",
            "built for another CUDA, driver, processor or C library",
            "a module or conda environment was not loaded in the job",
        ),
        (
            "run the import alone inside the same image on the same node type",
            "python -m torch.utils.collect_env; compare with nvidia-smi's driver",
            "rebuild the image instead of installing at start",
        ),
    ),
    F.DATA: Diagnosis(
        (
            "the path is wrong, or not bound into the container",
            "a file is damaged or was copied only in part",
            "a label or token lies outside its range",
        ),
        (
            "open the named file alone, inside the container",
            "compare size and checksum with the source",
            "count labels: smallest, largest, number of classes",
            "CUDA_LAUNCH_BLOCKING=1, or one step on the CPU, names the line of a device-side assert",
        ),
    ),
    F.CHECKPOINT: Diagnosis(
        (
            "it was cut off while being written",
            "model, optimiser or number of ranks changed since",
            "the path names another run or step",
        ),
        (
            "load it alone: torch.load(path, map_location='cpu')",
            "compare its keys and shapes with the model's",
            "go back to the previous checkpoint",
            "write to a temporary name and rename it when complete",
        ),
    ),
    F.CONFIG: Diagnosis(
        ("a value is misspelt, of the wrong type or not allowed here", "two settings contradict each other"),
        (
            "the message names the value: correct it in the experiment file",
            "plan again: that lists every mistake",
        ),
    ),
    F.CODE_BUG: Diagnosis(
        (
            "a code path that no earlier run took",
            "an input or setting the code does not expect",
            "a library changed its interface",
        ),
        (
            "read the traceback from its end: the first line in your own file",
            "repeat with the same seed, one process and a small input",
            "python -X faulthandler for crashes in native code; CUDA_LAUNCH_BLOCKING=1 for the device",
        ),
    ),
    F.NOT_CONVERGED: _NO_LEARNING,
    F.UNKNOWN: Diagnosis(
        (
            "killed from outside: memory, an operator, a limit of the site",
            "the last output is in a file that was not given",
        ),
        (
            "read the last lines of stdout, stderr and Slurm's log together",
            "sacct -j JOB -o State,ExitCode,MaxRSS,DerivedExitCode for all steps",
            "ask the site for dmesg of that node at that minute",
        ),
    ),
}
"""Class → what is usual for it. Total: a test sees to it."""

BY_CAUSE: dict[tuple[FailureClass, str], Diagnosis] = {
    (F.CODE_BUG, "shapes"): _SHAPES,
    (F.CODE_BUG, "sanity"): Diagnosis(
        (
            "data: rows are in both training and test data, labels do not match their inputs, values are not finite",
            "model: a part gets no gradient, the loss is averaged or scaled in an unintended way",
            "the check expects something other than this configuration provides",
        ),
        (
            "read sanity.log from its end",
            "run it by hand: sanity_argv in task.json is the command line",
            "fix the first check that fails; later ones may fail for the same reason",
        ),
    ),
    (F.OOM_GPU, "cpu_allocator"): Diagnosis(
        (
            "the micro-batch or sequence length is too large for the host's memory",
            "the data set or a copy per loader worker is held in memory",
        ),
        (
            "smaller micro-batch with gradient accumulation: same global batch",
            "compare the size in the message with resources.mem",
            "fewer loader workers; memory-map the data",
        ),
    ),
    (F.TIMEOUT, "hang"): Diagnosis(
        (
            "one rank waits for another that took a different path",
            "data loading or a file system stands still",
            "a deadlock after fork (tokenizers, OpenMP, locks)",
        ),
        (
            "py-spy dump --pid PID on every rank while it hangs",
            "set a collective time-out, so that a hang becomes an error",
            "num_workers=0 and TOKENIZERS_PARALLELISM=false for one run",
            "more time does not help",
        ),
    ),
    (F.COMMUNICATION, "port"): Diagnosis(
        ("two jobs on one node use the same port", "a process of an earlier job still listens"),
        ("derive MASTER_PORT from the job id, or use port 0 with --rdzv-backend=c10d", "ss -ltnp on that node"),
    ),
    (F.DATA, "nan_in_input"): Diagnosis(
        ("missing values were kept as NaN", "a unit or scale factor overflowed in preprocessing"),
        ("count non-finite values per file and column", "mask, fill or drop them before training, and say so"),
    ),
    (F.DIVERGENCE, "loss_scale"): Diagnosis(
        ("fp16 overflows at every scale: learning rate or initialisation too large", "a layer that needs fp32"),
        ("use bf16 where the device has it", "keep softmax, norms and the loss in fp32", *_NOT_FINITE.steps[:2]),
    ),
}
"""Sub-causes that ask for something else than their class."""

BY_SIGN: dict[Sign, Diagnosis] = {
    Sign.NON_FINITE: _NOT_FINITE,
    Sign.NON_FINITE_SURVIVED: _NOT_FINITE,
    Sign.EXPLOSION: _NOT_FINITE,
    Sign.GRADIENT_EXPLODED: _NOT_FINITE,
    Sign.NO_LEARNING: _NO_LEARNING,
    Sign.APART: _APART,
    Sign.GRADIENT_VANISHED: Diagnosis(
        ("saturated activations, or a deep stack without residuals or norms", "it has converged", "loss scale of 0"),
        ("gradient norm of every layer: where does it vanish?", "other activation or initialisation, residuals"),
    ),
    Sign.OSCILLATION: Diagnosis(
        ("learning rate too high for this batch size", "batches that differ much, or are not shuffled"),
        ("halve the learning rate or double the batch", "shuffle; look at the loss of each data source separately"),
    ),
    Sign.SPIKE_RECOVERED: Diagnosis(
        ("a batch with extreme values", "Adam's second moment lags after a quiet stretch"),
        ("look at that step's batch", "clip gradients; lower beta2 or the learning rate if spikes return"),
    ),
}
"""Health signs of `hpc.core.failures.health`, the warning signs of a training that still runs."""


def diagnose(category: FailureClass, cause: str = "") -> Diagnosis:
    """Return causes and steps of a sub-cause, or of its class where it has no row of its own."""
    return BY_CAUSE.get((category, cause), DIAGNOSES[category])


def advice_of(sign: Sign) -> str:
    """Name the first thing to do about a sign, for one line on a terminal."""
    return BY_SIGN[sign].steps[0]
