"""What a launch cannot do: laws over every combination; the tables of docs/distribution.md held against them."""

import importlib.util
import re
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from hpc.core.experiment.program import Launch, Program
from hpc.core.launch.launchers import LAUNCHERS
from hpc.core.launch.possible import ALONE, OURS, Asked, refusals
from hpc.core.resources import Resources

ROOT = Path(__file__).parents[3]
EVERY = [
    Launch(kind, 2, precision, zero, offload, fsdp, (), checkpointing, compiled)
    for kind, precision, zero, offload, fsdp, checkpointing, compiled in product(
        LAUNCHERS,
        ("no", "bf16", "fp16"),
        (None, 0, 1, 2, 3),
        ("", "optimizer", "parameters"),
        ("", "full", "gradients"),
        (False, True),
        (False, True),
    )
    if zero is not None or not offload
]


def asked(launch: Launch, module: str = "", gpus: int = 0) -> Asked:
    """That launch of a program on one node."""
    program = Program(module=module) if module else Program(command="./train")
    return Asked(module, program, launch, Resources(gpus=gpus), {launch.mixed_precision})


def is_refused(launch: Launch, module: str = "", gpus: int = 0) -> bool:
    return any(True for _ in refusals(asked(launch, module, gpus)))


def test_what_no_gpu_can_do_is_refused_whoever_asks() -> None:
    """Two ways to divide, fp16 without GPUs, parameters offloaded where they are whole, stage 3 compiled."""
    for launch, module in product(EVERY, ["", *OURS]):
        hopeless = (
            (launch.fsdp and launch.zero_stage is not None)
            or launch.mixed_precision == "fp16"
            or (launch.offload == "parameters" and launch.zero_stage != 3)
            or (launch.torch_compile and launch.zero_stage == 3)
        )
        assert not hopeless or is_refused(launch, module), launch


def test_a_launcher_alone_is_never_refused() -> None:
    """Processes, and bf16, are what every launcher gives every program, with and without GPUs."""
    for kind, precision, module, gpus in product(LAUNCHERS, ("no", "bf16"), ["", *OURS], (0, 2)):
        assert not is_refused(Launch(kind, 2, precision), module, gpus)


def test_ours_do_the_same_whatever_starts_them_and_with_gpus_no_less() -> None:
    """They read the environment: the launcher decides nothing, and a GPU takes nothing away."""
    for launch, module in product(EVERY, OURS):
        answers = {is_refused(replace(launch, kind=kind), module) for kind in LAUNCHERS}
        assert len(answers) == 1, launch
        assert is_refused(launch, module) or not is_refused(launch, module, 2), launch


def test_what_accelerate_passes_over_without_gpus_is_refused_there_alone() -> None:
    """DeepSpeed and FSDP on CPUs become plain data parallelism in silence; on GPUs they are what was asked."""
    for launch in (Launch("accelerate", 2, zero_stage=2), Launch("accelerate", 2, fsdp="full")):
        (((_, name), why),) = refusals(asked(launch))
        assert name == ("deepspeed" if launch.zero_stage else "fsdp")
        assert "resources.gpus is 0" in why
        assert not is_refused(launch, gpus=2)
    assert not is_refused(Launch("deepspeed", 2, zero_stage=2))


def test_every_refusal_says_what_would_be_valid() -> None:
    """No sentence without a way on."""
    for launch, module, gpus in product(EVERY, ["", *OURS, *ALONE], (0, 2)):
        for path, why in refusals(asked(launch, module, gpus)):
            assert path[0] == "launch"
            assert re.search(r"write |leave |keep one|valid: ", why), why


def test_a_program_that_computes_alone_is_started_once_and_told_nothing() -> None:
    """Two processes of it would train the same twice, into the same folder."""
    for module in ALONE:
        assert [path for path, _ in refusals(asked(Launch(processes=2), module))] == [("launch", "processes")]
        assert not is_refused(Launch(processes=1), module)
        assert is_refused(Launch(processes=1, torch_compile=True), module)


def benchmark() -> Any:
    """`benchmarks.launches`, which is no package."""
    found = importlib.util.spec_from_file_location("benchmarks_launches", ROOT / "benchmarks/launches.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    return module


def cells_of(name: str) -> dict[tuple[str, str], str]:
    """A table of docs/distribution.md: (row, column) → cell."""
    page = (ROOT / "docs/distribution.md").read_text(encoding="utf-8")
    match = re.search(rf"<!-- launches of {name} -->\n+(.*?)\n+<!-- end -->", page, re.DOTALL)
    assert match, name
    head, _, *rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in match[1].splitlines()]
    return {(row, column): cell for row, *cells in rows for column, cell in zip(head[1:], cells, strict=True)}


LARGEST = {"fp32": 1e-5, "gradient checkpointing": 1e-5, "compiled": 1e-5, "bf16": 0.1, "bf16, both": 0.1}
"""How far a loss may lie from one process's in the same number format."""


def test_the_page_has_every_combination_as_plan_answers_it() -> None:
    """Each cell is refused by `plan`, was run within its tolerance, or needs a GPU; none is missing, none invented."""
    launches = benchmark()
    ours, others = cells_of("ours"), cells_of("others")
    assert list(ours) == [(division, setting) for division, setting, _ in launches.ours()]
    for division, setting, launch in launches.ours():
        cell = ours[division, setting]
        assert (cell == launches.REFUSED) == is_refused(replace(launch, processes=2), "train.control"), setting
        if cell != launches.REFUSED:
            assert float(cell) <= LARGEST[setting], (division, setting)
    assert len(others) == 2 * len(list(launches.others()))
    for division, kind, launch in launches.others():
        for gpus, where in ((0, "CPUs"), (2, "GPUs")):
            cell = others[division, f"{kind}, {where}"]
            assert (cell == launches.REFUSED) == is_refused(replace(launch, processes=2), gpus=gpus), (division, kind)
            if cell != launches.REFUSED and gpus:
                assert cell == launches.ON_GPUS
            elif cell != launches.REFUSED:
                assert float(cell) <= LARGEST["fp32"], (division, kind)


@pytest.mark.parametrize("module", sorted(OURS | ALONE))
def test_the_programs_named_are_programs(module: str) -> None:
    """A program that is renamed would be refused what it can do."""
    assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
