"""A step of our training loop beside a bare one, with the same model, samples and optimiser.

Run: ``python -m benchmarks.training [--quick] [--json]``. The floor is the loop of Accelerate's own documentation:
loss, backward, clipping, step. Ours (`train.loop`) also checks that loss and gradient are finite, agrees with all
processes on stopping and saving, and records loss, gradient norm, learning rate and pace of every step in metrics.h5.
transformers' Trainer is the peer: it does as much, and writes to no file here. One process, one thread, a CPU.

What is asked is two percent, and whole runs differ by more from one minute to the next. So all contenders live in one
process, each with a model of its own, and take turns step by step: floor, contender, contender, floor. What drifts
within such a block cancels, and the block gives one ratio. Printed are the median of the ratios and its 95 % interval
(percentile bootstrap over the blocks); the floor against itself says what the measurement is worth. Processor time is
that of the process, all its threads, so that nothing hides in another one; wall time is what other work on the machine
is in, too.
"""

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Semaphore, Thread
from typing import Any, Protocol

os.environ |= {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}  # else DeepSpeed says which it takes

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from benchmarks.measuring import answer, options_of
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


class Contender(Protocol):
    """A training that goes on a step at a time."""

    name: str

    def step(self) -> None:
        """Take one optimiser step."""


class Bare:
    """The floor."""

    def __init__(self, name: str, policy: Policy, batches: Batches) -> None:
        self.name = name
        self._accelerator = Accelerator(cpu=True)
        optimizer = torch.optim.AdamW([each for each in policy.parameters() if each.requires_grad], lr=1e-3)
        self._model, self._optimizer = self._accelerator.prepare(policy, optimizer)
        self._model.train()
        self._batches, self._scale, self._done = batches, policy.control_scale, 0

    def step(self) -> None:
        rows = torch.arange(self._done * BATCH, (self._done + 1) * BATCH) % len(self._batches)
        states, controls = self._batches.states[rows], self._batches.controls[rows]
        loss = (((self._model(states) - controls) / self._scale) ** 2).mean()
        self._accelerator.backward(loss)
        self._accelerator.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._done += 1


class Ours:
    """`train.loop.fit`, recording each step."""

    name = "**train.loop**"

    def __init__(self, policy: Policy, batches: Batches, recorder: RunRecorder) -> None:
        self._learner: Learner = build_learner(Accelerator(cpu=True), policy, 0.0, None)
        self._batches, self._recorder, self._progress = batches, recorder, Progress()
        asked = argparse.Namespace(
            micro_batch_size=BATCH, gradient_accumulation_steps=1, max_steps=NEVER, epochs=1, learning_rate=1e-3,
            warmup=0.0, least_learning_rate=1e-3, seed=0,
        )  # fmt: skip
        self._schedule = plan_schedule(asked, len(batches), 1)

    def step(self) -> None:
        until = replace(self._schedule, steps=self._progress.step + 1)
        self._progress, _ = fit(
            self._learner,
            self._batches,
            schedule=until,
            config=LoopConfig(1.0, 0, 0.0, 0),
            recorder=self._recorder,
            stop=StopRequest(),
            progress=self._progress,
            save=lambda _: None,
            accumulate=accumulate,
            validate=lambda _: {},
        )


class Peer:
    """transformers' Trainer, with the model's loss as its loss; it runs in a thread that waits between its steps."""

    name = "transformers.Trainer (peer)"

    def __init__(self, policy: Policy, batches: Batches, home: Path) -> None:
        from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

        go, done = Semaphore(0), Semaphore(0)

        class Items(torch.utils.data.Dataset[dict[str, Any]]):
            def __len__(self) -> int:
                return len(batches)

            def __getitem__(self, row: int) -> dict[str, Any]:
                return {"states": batches.states[row], "labels": batches.controls[row]}

        class Imitation(Trainer):
            def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Any:
                return (((model(inputs["states"]) - inputs["labels"]) / policy.control_scale) ** 2).mean()

        class TakesTurns(TrainerCallback):
            def on_log(self, *_: Any, **__: Any) -> None:  # the last thing of a step
                done.release()
                go.acquire()

        asked = TrainingArguments(
            str(home), max_steps=NEVER, per_device_train_batch_size=BATCH, use_cpu=True, report_to="none",
            save_strategy="no", logging_strategy="steps", logging_steps=1, disable_tqdm=True, learning_rate=1e-3,
            remove_unused_columns=False,
        )  # fmt: skip
        trainer = Imitation(policy, asked, train_dataset=Items(), callbacks=[TakesTurns()])
        trainer.remove_callback(PrinterCallback)
        self._go, self._done = go, done
        Thread(target=lambda: (go.acquire(), trainer.train()), daemon=True).start()

    def step(self) -> None:
        self._go.release()
        self._done.acquire()


def timed_step(contender: Contender) -> NDArray[np.float64]:
    """Take one step; seconds of processor and of the clock that it took, shape (2,)."""
    began = time.process_time(), time.perf_counter()
    contender.step()
    return np.array([time.process_time() - began[0], time.perf_counter() - began[1]])


def one_block(floor: Contender, contender: Contender) -> NDArray[np.float64]:
    """Take turns: floor, contender, contender, floor.

    Returns:
        Seconds a step; shape (2, 2): of the floor and of the contender, each of processor and of the clock.
    """
    first, mine, again, last = (timed_step(each) for each in (floor, contender, contender, floor))
    return np.stack([first + last, mine + again]) / 2


def median_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the median."""
    drawn = np.random.default_rng(0).choice(values, (4000, len(values)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Share:
    """Milliseconds a step, and the ratio to the floor with its 95 % interval; all are medians over the blocks."""

    ms: float
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class StepCost:
    """One contender's result, by processor time and by the clock, and the blocks it rests on."""

    name: str
    cpu: Share
    wall: Share
    blocks: int


def measure(folder: Path, *, width: int, layers: int, blocks: int) -> list[StepCost]:
    """Each contender trains a model of its own, from the same start. The peer has a quarter of the blocks."""
    told = Told(SYSTEMS["double_integrator"])
    batches = Batches.of([(told, demonstrate(told.system, 256, 4, 40, 0).training)], torch.device("cpu"))
    config = ModelConfig(None, width, layers, 4, 8)

    def fresh() -> Policy:
        return build_policy(config, *batches.scales(), seed=0)

    recorder = RunRecorder(folder / "ours", {}, 1, NEVER)
    floor = Bare("a bare Accelerate loop (floor)", fresh(), batches)
    others: list[tuple[Contender, int]] = [
        (Bare("the same again", fresh(), batches), blocks),
        (Ours(fresh(), batches, recorder), blocks),
        (Peer(fresh(), batches, folder / "trainer"), -(-blocks // 4)),
    ]
    found: dict[str, list[NDArray[np.float64]]] = {each.name: [] for each, _ in others}
    with recorder, contextlib.redirect_stdout(io.StringIO()):  # what it prints
        for each in (floor, *(one for one, _ in others)):
            each.step()  # warms caches, and is not counted
        for block in range(blocks):
            for each, wanted in others:
                if block < wanted:
                    found[each.name].append(one_block(floor, each))
    costs = [step_cost(name, np.stack(blocks)) for name, blocks in found.items()]
    floors = np.stack([block[[0, 0]] for blocks in found.values() for block in blocks])
    return [step_cost(floor.name, floors), *costs]


def step_cost(name: str, blocks: NDArray[np.float64]) -> StepCost:
    """Sum up the blocks of one contender, shape (blocks, 2, 2): as `one_block` gives each."""
    cpu, wall = (share(blocks[:, :, clock]) for clock in (0, 1))
    return StepCost(name, cpu, wall, len(blocks))


def share(blocks: NDArray[np.float64]) -> Share:
    """Sum up one clock; shape (blocks, 2), seconds a step of the floor and of the contender."""
    ratios = blocks[:, 1] / blocks[:, 0]
    return Share(1e3 * float(np.median(blocks[:, 1])), float(np.median(ratios)), *median_interval(ratios))


def table(results: Sequence[StepCost]) -> str:
    """Render as Markdown."""
    clock = " ms | × floor | 95 % interval |"
    head = f"| a training step, 4 layers of width 128, batch 32 × 40 | CPU{clock} wall{clock} blocks |\n"
    rows = [f"| {each.name} | {_cells(each.cpu)} | {_cells(each.wall)} | {each.blocks} |\n" for each in results]
    return head + "|---" + "|---:" * 7 + "|\n" + "".join(rows)


def _cells(one: Share) -> str:
    return f"{one.ms:.1f} | {one.ratio:.3f} | {one.low:.3f} to {one.high:.3f}"


def main() -> None:
    """Run from the command line."""
    options = options_of(__doc__)
    torch.set_num_threads(1)
    sizes = {"width": 16, "layers": 1, "blocks": 1} if options.quick else {"width": 128, "layers": 4, "blocks": 200}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = measure(Path(folder), **sizes)
    answer(table(results), {each.name: asdict(each) for each in results}, as_json=options.json)
    sys.stdout.flush()
    os._exit(0)  # the peer's thread still waits for its next turn


if __name__ == "__main__":
    main()
