"""What `launch:` can do, tried: every combination that needs no GPU is run, the others are refused or named.

    python -m benchmarks.launches          the two tables of docs/distribution.md, about twenty minutes on two cores

Each run is started by the line and with the variables that the toolkit starts it with, in two processes. Of our
programs printed is the largest relative difference of a loss from one process's in the same number format, over eight
steps; of others the same, by small programs that train two layers.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

from hpc.core.experiment.program import Launch, Program
from hpc.core.launch.launchers import Placement, deepspeed_config, launch_argv, launch_defaults, launch_environment
from hpc.core.launch.possible import Asked, refusals
from hpc.core.resources import Resources
from hpc.metrics import read

CONTROL = (
    "--max_steps", "8", "--demonstrations", "48", "--evaluations", "4", "--horizon", "12", "--d_model", "16",
    "--print_every", "1000",
)  # fmt: skip
DIVISIONS: Mapping[str, Launch] = {
    "DDP": Launch(),
    **{f"ZeRO {stage}": Launch(zero_stage=stage) for stage in range(4)},
    **{f"ZeRO {stage}, optimizer offloaded": Launch(zero_stage=stage, offload="optimizer") for stage in (1, 2, 3)},
    "ZeRO 3, parameters offloaded": Launch(zero_stage=3, offload="parameters"),
    "FSDP full": Launch(fsdp="full"),
    "FSDP gradients": Launch(fsdp="gradients"),
}
"""How two processes divide the work."""
SETTINGS: Mapping[str, Mapping[str, str | bool]] = {
    "fp32": {},
    "bf16": {"mixed_precision": "bf16"},
    "fp16": {"mixed_precision": "fp16"},
    "gradient checkpointing": {"gradient_checkpointing": True},
    "compiled": {"torch_compile": True},
    "bf16, both": {"mixed_precision": "bf16", "gradient_checkpointing": True, "torch_compile": True},
}
"""Beside that."""
KINDS = ("accelerate", "deepspeed", "torchrun")
REFUSED, ON_GPUS = "refused", "GPU only: not run"


def asked_of(launch: Launch, module: str, gpus: int) -> Asked:
    """Two processes of a program on one node, as `plan` looks at them; a program that is not ours has no module."""
    program = Program(module=module) if module else Program(command="python3 other.py")
    return Asked(module, program, replace(launch, processes=2), Resources(gpus=gpus), {launch.mixed_precision})


def is_refused(launch: Launch, module: str, gpus: int) -> bool:
    """Whether `plan` says no."""
    return any(True for _ in refusals(asked_of(launch, module, gpus)))


def ours() -> Iterator[tuple[str, str, Launch]]:
    """Every division with every setting, of our own programs."""
    for (division, launch), (setting, more) in product(DIVISIONS.items(), SETTINGS.items()):
        yield division, setting, replace(launch, kind="accelerate", **more)  # type: ignore[arg-type]


def others() -> Iterator[tuple[str, str, Launch]]:
    """Every division by every launcher, of programs that are not ours, in fp32."""
    for (division, launch), kind in product(DIVISIONS.items(), KINDS):
        yield division, kind, replace(launch, kind=kind)


def run(launch: Launch, argv: list[str], home: Path, processes: int = 2, batch: int = 8) -> None:
    """Start a program as the wrapper on a node does.

    Raises:
        RuntimeError: It failed.
    """
    home.mkdir(parents=True)
    config = home / "deepspeed.json"
    if launch.zero_stage is not None:
        config.write_text(json.dumps(deepspeed_config(launch, batch // processes, 1)))
    place = Placement(
        processes=processes,
        port=20000 + os.getpid() % 9000,
        mixed_precision=launch.mixed_precision,
        zero_stage=launch.zero_stage,
        offload=launch.offload,
        deepspeed_config=str(config) if config.exists() else "",
        fsdp=launch.fsdp,
        gradient_checkpointing=launch.gradient_checkpointing,
        torch_compile=launch.torch_compile,
    )
    variables = {**launch_defaults(place), **launch_environment(launch.kind, place), "OMP_NUM_THREADS": "1"}
    line = [sys.executable if word == "python" else word for word in launch_argv(launch.kind, argv, place)]
    done = subprocess.run(line, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(line)}: exit {done.returncode}\n{done.stderr[-3000:]}")


def control(launch: Launch, home: Path, processes: int = 2) -> list[float]:
    """Losses of `train.control`."""
    divided = ["--micro_batch_size", str(8 // processes), "--output_dir", str(home)]
    run(launch, ["python", "-m", "train.control", *CONTROL, *divided], home, processes)
    return [float(value) for value in read(home / "metrics.h5")["loss"].value]


def other(launch: Launch, home: Path, processes: int = 2) -> list[float]:
    """Losses of a program that is not ours: it calls Accelerator(), or deepspeed.initialize."""
    name = (
        "calls_deepspeed.py" if launch.kind == "deepspeed" and launch.zero_stage is not None else "calls_accelerate.py"
    )
    run(launch, ["python", str(Path(__file__).parent / "strangers" / name), str(home / "losses")], home, processes)
    return [float(line) for line in (home / "losses").read_text().split()]


def apart(found: list[float], reference: list[float]) -> str:
    """The largest relative difference of a loss."""
    return f"{max(abs(one / there - 1) for one, there in zip(found, reference, strict=True)):.0e}"


def table(cells: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """Rows of Markdown: divisions down, settings across."""
    columns = list(dict.fromkeys(column for _, column in cells))
    yield f"| two processes | {' | '.join(columns)} |"
    yield "|---|" + "---|" * len(columns)
    for row in dict.fromkeys(row for row, _ in cells):
        yield f"| {row} | {' | '.join(cells[row, column] for column in columns)} |"


def main() -> None:
    """Run from the command line."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        alone = {
            precision: control(Launch(mixed_precision=precision), home / precision, processes=1)
            for precision in ("no", "bf16")
        }
        mine: dict[tuple[str, str], str] = {}
        for number, (division, setting, launch) in enumerate(ours()):
            no = is_refused(launch, "train.control", 0)
            told = REFUSED if no else apart(control(launch, home / f"a{number}"), alone[launch.mixed_precision])
            mine[division, setting] = told
            print(f"{division}, {setting}: {mine[division, setting]}", file=sys.stderr, flush=True)
        reference = other(Launch(), home / "other", processes=1)
        theirs: dict[tuple[str, str], str] = {}
        for number, (division, kind, launch) in enumerate(others()):
            for gpus in (0, 2):
                place = f"{kind}, {'GPUs' if gpus else 'CPUs'}"
                no = is_refused(launch, "", gpus)
                told = REFUSED if no else ON_GPUS if gpus else apart(other(launch, home / f"b{number}"), reference)
                theirs[division, place] = told
                print(f"{division}, {place}: {told}", file=sys.stderr, flush=True)
    for name, cells in (("ours", mine), ("others", theirs)):
        print(f"<!-- launches of {name} -->\n", *table(cells), "\n<!-- end -->\n", sep="\n")


if __name__ == "__main__":
    main()
