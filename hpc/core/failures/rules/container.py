"""The container and its runtime."""

from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.rule import Rule, row

F = FailureClass

ROWS: tuple[Rule, ...] = (
    row(
        "container-overlay-full", F.CONTAINER, "overlay_full",
        r"no space left on device|errno 28",
        "the container's writable overlay is full",
        "whether a disk of the host is full, too",
        near=r"^overlay\s|writable-tmpfs|overlay .{0,30}100%",
        confidence=0.8,
        suggestion=(
            "bind a folder of the host for what the program writes, or enlarge the overlay (sessiondir max size)"
        ),
    ),
    row(
        "container-runtime", F.CONTAINER, "runtime",
        r"insufficient UIDs or GIDs|executable file not found in \$PATH|failed to pull (?:\w{1,20} )?image"
        r"|toomanyrequests|pull rate limit|pull access denied"
        r"|squashfuse\w*|fuse: device not found|ch-run\[\d+\]: error|mount(?:ing)? image\b.{0,60}(?:fail|exit|error)"
        r"|^\s*FATAL:\s{2,4}\S|failed to create (?:user|mount) namespace|user namespaces? (?:are |is )?disabled"
        r"|\bOCI (?:runtime"
        r"|permission)\b|\b(?:crun|runc): |SQUASHFS error"
        r"|^Error: statfs \S|\bmanifest.unknown\b|\breading (?:config|manifest|blob) from image\b"
        r"|while building SIF\b"
        r"|\bcannot set up namespace\b|\bnew[ug]idmap\b.{0,120}(?:fail|not permitted|not found|cannot|no such|setuid)"
        r"|\bcannot find `?new[ug]idmap|pyxis: .{0,80}(?:fail|error|couldn't|could not|child)|enroot-\w+: "
        r"|^ERROR\s{2}: "
        r"|\[error\] (?:no such file or directory: .{0,200}\.sqsh|failed to mount)|spank: .{0,40}pyxis"
        r"|container creation failed|unsquashfs\S* .{0,40}fail|nvidia-container-cli: .{0,60}error"
        r"|^(?:apptainer|singularity|shifter|ch-run|sarus|udocker|podman|docker|enroot|buildah|crun"
        r"|runc)\b\S{0,12}: .{0,300}(?:error|fail"
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
        "the container's writable layer is full",
        "whether the folder is bound from the host",
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
        "the container runtime, the image or a bound folder was not found",
        "whether it ever existed: a file system may be missing on this node",
    ),
)  # fmt: skip
