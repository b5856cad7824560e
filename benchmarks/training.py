"""A step of our training loop beside a bare one, with the same model, samples and optimiser.

Run: ``python -m benchmarks.training [--quick] [--json]``. The floor is the loop of Accelerate's own documentation:
loss, backward, clipping, step. Ours (`train.loop`) also checks that loss and gradient are finite, agrees with all
processes on stopping and saving, and records loss, gradient norm, learning rate and pace of every step in metrics.h5.
transformers' Trainer is the peer: it does as much, and writes to no file here. One process, one thread, a CPU.
"""

import argparse
import contextlib
import io
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}  # else DeepSpeed says which it takes

import torch
from accelerate import Accelerator

from benchmarks.measuring import Contender, Cost, Line, answer, as_figures, options_of, take_turns
from hpc.callbacks.stop import StopRequest
from train.checkpoint import Progress
from train.demonstrations import demonstrate
from train.imitation import Batches
from train.learner import Learner, build_learner
from train.loop import LoopConfig, accumulate, fit
from train.model import ModelConfig, Policy, build_policy
from train.recorder import RunRecorder
from train.rollout import Told
from train.schedule import plan_schedule
from train.systems import SYSTEMS

BATCH = 32
NEVER = 10**9


def timed(steps: Callable[[], object]) -> Cost:
    """Do some steps and measure them alone."""
    wall, cpu = time.perf_counter(), time.process_time()
    steps()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def bare(policy: Policy, batches: Batches, steps: int) -> Cost:
    """The floor."""
    accelerator = Accelerator(cpu=True)
    optimizer = torch.optim.AdamW([each for each in policy.parameters() if each.requires_grad], lr=1e-3)
    model, optimizer = accelerator.prepare(policy, optimizer)
    scale = policy.control_scale

    def loop() -> None:
        model.train()
        for step in range(steps):
            rows = torch.arange(step * BATCH, (step + 1) * BATCH) % len(batches)
            loss = (((model(batches.states[rows]) - batches.controls[rows]) / scale) ** 2).mean()
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return timed(loop)


def ours(policy: Policy, batches: Batches, steps: int, home: Path) -> Cost:
    """`train.loop.fit`, recording each step."""
    accelerator = Accelerator(cpu=True)
    learner: Learner = build_learner(accelerator, policy, 0.0, None)
    asked = argparse.Namespace(
        micro_batch_size=BATCH, gradient_accumulation_steps=1, max_steps=steps, epochs=1, learning_rate=1e-3,
        warmup=0.0, least_learning_rate=1e-3, seed=0,
    )  # fmt: skip
    recorder = RunRecorder(home, {}, 1, NEVER)
    with recorder, contextlib.redirect_stdout(io.StringIO()):  # what it prints
        return timed(
            lambda: fit(
                learner,
                batches,
                schedule=plan_schedule(asked, len(batches), 1),
                config=LoopConfig(1.0, 0, 0.0, 0),
                recorder=recorder,
                stop=StopRequest(),
                progress=Progress(),
                save=lambda _: None,
                accumulate=accumulate,
                validate=lambda _: {},
            )
        )


def peer(policy: Policy, batches: Batches, steps: int, home: Path) -> Cost:
    """transformers' Trainer, with the model's loss as its loss."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    class Items(torch.utils.data.Dataset[dict[str, Any]]):
        def __len__(self) -> int:
            return len(batches)

        def __getitem__(self, row: int) -> dict[str, Any]:
            return {"states": batches.states[row], "labels": batches.controls[row]}

    class Imitation(Trainer):
        def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Any:
            return (((model(inputs["states"]) - inputs["labels"]) / policy.control_scale) ** 2).mean()

    asked = TrainingArguments(
        str(home), max_steps=steps, per_device_train_batch_size=BATCH, use_cpu=True, report_to="none",
        save_strategy="no", logging_strategy="steps", logging_steps=1, disable_tqdm=True, learning_rate=1e-3,
        remove_unused_columns=False,
    )  # fmt: skip
    trainer = Imitation(policy, asked, train_dataset=Items())
    trainer.remove_callback(PrinterCallback)
    return timed(trainer.train)


def measure(folder: Path, *, width: int, layers: int, steps: int, rounds: int) -> list[Line]:
    """Each contender trains a model of its own, from the same start."""
    told = Told(SYSTEMS["double_integrator"])
    batches = Batches.of([(told, demonstrate(told.system, 256, 4, 40, 0).training)], torch.device("cpu"))
    config = ModelConfig(None, width, layers, 4, 8)
    number = iter(range(NEVER))

    def fresh() -> Policy:
        return build_policy(config, *batches.scales(), seed=0)

    return take_turns(
        [
            Contender("a bare Accelerate loop (floor)", lambda: bare(fresh(), batches, steps)),
            Contender("the same again", lambda: bare(fresh(), batches, steps)),
            Contender("**train.loop**", lambda: ours(fresh(), batches, steps, folder / str(next(number)))),
            Contender("transformers.Trainer (peer)", lambda: peer(fresh(), batches, steps, folder / "trainer")),
        ],
        rounds,
    )


def table(lines: list[Line], steps: int) -> str:
    """Render as Markdown: milliseconds a step, and ratios to the floor, medians of the rounds."""
    head = "| a training step, 4 layers of width 128, batch 32 × 40 | CPU ms | × floor | wall ms | × floor |\n"
    rows = [
        f"| {each.name} | {each.cpu_s * 1e3 / steps:.1f} | {each.cpu_ratio:.3f} "
        f"| {each.wall_s * 1e3 / steps:.1f} | {each.wall_ratio:.3f} |\n"
        for each in lines
    ]
    return head + "|---|---:|---:|---:|---:|\n" + "".join(rows)


def main() -> None:
    """Run from the command line."""
    options = options_of(__doc__)
    torch.set_num_threads(1)
    sizes = {"width": 16, "layers": 1, "steps": 3, "rounds": 0} if options.quick else {}
    sizes = {"width": 128, "layers": 4, "steps": 40, "rounds": 7} | sizes
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lines = measure(Path(folder), **sizes)
    answer(table(lines, sizes["steps"]), as_figures(lines), as_json=options.json)


if __name__ == "__main__":
    main()
