"""Broken devices and nodes."""

from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.rule import Role, Rule, row

F = FailureClass

EARLY: tuple[Rule, ...] = (
    row(
        "gpu-uncorrectable", F.GPU_HARDWARE, "ecc",
        r"cuda (?:error|failure):? .{0,20}uncorrectable|uncorrectable (?:ecc|nvlink) error"
        r"|\buncorrectable (?:hbm|sram|dram|vram|device|gpu|on-chip) |\bHW_ERR_\w|\b(?:hbm|sram"
        r"|vram)\b.{0,30}\b(?:parity"
        r"|uncorrect\w*|double.bit)\b"
        r"|(?:cuda|hip) (?:error|failure):? (?:hardware stack error|gpu is lost|device (?:is )?lost)"
        r"|\b\w{0,24}DEVICE_LOST\b|\bHARDWARE_EXCEPTION\b|\bhw_(?:power_brake|thermal|slowdown)\w*\W{1,3}active"
        r"|\bhw (?:thermal |power brake )?slow-?down\W{1,3}active|\bremapped rows? pending: yes"
        r"|\bgpu\b.{0,40}\b(?:overheat\w*|thermal (?:shutdown|slowdown)"
        r"|temperature 1\d\d ?c)",
        "the device's memory or link returned wrong bits",
        "which run suffered first",
    ),
    row(
        "gpu-not-initialised", F.GPU_HARDWARE, "not_ready",
        r"\berror:? 802\b|cuda\w{0,10}system ?not ?(?:yet )?(?:ready|initiali[sz]ed)|CUDA_ERROR_SYSTEM_NOT_READY"
        r"|system not yet initialized|RmInitAdapter failed|fabric ?manager.{0,60}(?:not running|not started|failed)"
        r"|GSP RPC|failed to initialize nvml: (?:unknown|gpu)",
        "the node's GPUs could not be initialised",
        "whether a GPU or one of the node's services (fabric manager, driver) is at fault",
        confidence=0.75,
    ),
    row(
        "node-memory-uncorrectable", F.NODE_FAILURE, "hardware",
        r"uncorrectable memory error|DUE TO NODE \S{1,80} FAILURE|node failure on \S"
        r"|memory failure.{0,60}(?:hardware|poison)"
        r"|hardware error\W.{0,60}(?:cpu|memory|bank)",
        "the host's own hardware failed, or Slurm lost the node",
        "whether this job's memory was affected",
        confidence=0.9,
        role=Role.TAKEN_AWAY,
    ),
)  # fmt: skip
"""Asked right after the rows about memory."""

ROWS: tuple[Rule, ...] = (
    row(
        "gpu-xid", F.GPU_HARDWARE, "xid",
        r"\bxid\b(?: \([^)]{0,40}\))?:? ?(?!13\b|31\b|43\b|45\b)\d{1,3}\b",
        "the driver reported a hardware fault (Xid 13, 31, 43 and 45 are the program's own and do not count)",
        "whether a reset brings the device back",
    ),
    row(
        "gpu-ecc", F.GPU_HARDWARE, "ecc",
        r"\bmulti-?bit (?:ecc|error)|uncorrectable hardware error|nvlink\W.{0,30}(?:fatal|uncorrect)"
        r"|device \d{1,3} (?:is )?not operational|uncorrectable (?:ecc|nvlink)|ecc error (?:encountered|detected)"
        r"|double.bit ecc|eccnotcorrectable"
        r"|row.remap\w* failure|hardware error.{0,40}gpu|CUDA_ERROR_ECC|uncorrectable hardware errors"
        r"|\bsxid\b.{0,60}fatal",
        "the device's memory or link returned wrong bits",
        "which run suffered first",
    ),
    row(
        "environment-gpu-taken", F.ENVIRONMENT, "gpu_taken",
        r"devices?(?:\(s\) is/| )are busy or unavailable",
        "the device is in exclusive use by another process",
        "whose: another job's, or another rank's of this one",
        near=r"exclusive|compute mode|another process|shared node",
        confidence=0.8,
        suggestion="one process a GPU, or ask the site for the default compute mode; look who holds it with nvidia-smi",
    ),
    row(
        "gpu-lost", F.GPU_HARDWARE, "lost",
        r"gpu is lost|f(?:allen|ell) off the bus|unable to determine the device handle|devices?(?:\(s\) is/"
        r"| )are busy or unavailable|gpu requires reset|nvmlerror_gpuislost|hw exception by gpu|\bgpu hang\b"
        r"|gpu reset (?:begin|required)|ras uncorrectable|(?:nvswitch|fabricmanager).{0,60}(?:fatal|uncorrect)",
        "the device no longer answers",
        "whether it was broken before this job",
    ),
    row(
        "node-memory-error", F.NODE_FAILURE, "hardware",
        r"(?:mce|edac)\b.{0,80}(?:hardware error|\bue\b|uncorrect)|machine check exception|dimm\S* .{0,40}(?:error"
        r"|fail)|kernel panic|soft lockup",
        "the host's own hardware failed",
        "whether this job's memory was affected",
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
        "whether every job fails there",
    ),
)  # fmt: skip
