"""What an end is worth by the whole log: counts of nothing, lists that failed, stops before the end, lost results."""

import time

import pytest

from hpc.core.failures.classify import classify
from hpc.core.failures.evidence import Evidence, LogLine
from hpc.core.failures.reading.parts import Line
from hpc.core.failures.tallies import Tallies
from hpc.core.slurm.states import SlurmState

OOM = "CUDA out of memory. Tried to allocate 2.00 GiB"


def verdict_of(*texts: str, state: SlurmState = SlurmState.COMPLETED, exit_code: int = 0) -> str:
    log = tuple(LogLine("log", number, text) for number, text in enumerate(texts, start=1))
    return str(classify(Evidence(state=state, exit_code=exit_code, log=log)).category)


def tallies_of(*texts: str) -> Tallies:
    lines = [Line(LogLine("log", number, text), "", text, number) for number, text in enumerate(texts, start=1)]
    return Tallies(lines)


@pytest.mark.parametrize(
    ("texts", "places"),
    [
        (("Detected 0 audio files", "done"), {0}),
        (("scan 1: loaded 0 spectra", "scan 2: loaded 12 spectra"), set()),  # counted elsewhere
        (("found 0 duplicates", "removed 0 records", "0 files left"), set()),  # no loss
        (("model ready", "mean error: nan", "nothing to plot"), {1, 2}),  # two signs …
        (("model ready", "nothing to plot"), set()),  # … and one
        (("wrote 0 answers", "epoch 1 loss 2.1", "epoch 2 loss 1.9"), set()),  # work went on
    ],
)
def test_nothing_is_counted_beside_the_other_counts(texts: tuple[str, ...], places: set[int]) -> None:
    """A zero says that there was nothing only if no other line counts some of the same things."""
    assert tallies_of(*texts).empty == places


@pytest.mark.parametrize(
    ("texts", "number"),
    [
        ((f"a_{i}: {OOM}, skipped" for i in range(4)), 4),  # from the first
        ((f"a_{i}: {OOM}, skipped" for i in (11, 79, 221)), 0),  # some of many
        (("3 clips in list", *(f"clip {i}: {OOM}" for i in (7, 8, 9))), 3),  # as many as announced
        (("batch 0: ok", *(f"batch {i}: {OOM}" for i in (1, 2, 3)), "batch 4: ok", "12 maps written"), 0),
        ((*(f"attempt {i}: {OOM}" for i in (1, 2, 3)), "connected"), 0),  # one thing, tried again
        ((*(f"item {i}: {OOM}" for i in (1, 2, 3)), "saved 812 items"), 0),
        (
            ("218 regions in list", *("region: " + OOM,) * 3, "... 215 more regions", "mean depth: nan"),
            3,
        ),  # and left out
        ((*(f"part {i}: {OOM}" for i in (0, 1, 2)), "[60 more lines of this kind left out]", f"part 63: {OOM}"), 4),
    ],
)
def test_a_list_failed_if_each_item_did(texts: tuple[str, ...], number: int) -> None:
    """Counted from the first or as many as announced, alike, and nothing counted or measured afterwards."""
    assert len(tallies_of(*texts).all_failed) == number


@pytest.mark.parametrize(
    ("log", "category"),
    [
        (("frame 812/4000", "margin used up, shutting down", "restart file written"), "unknown"),
        (("step 12/50 loss 1.0", "received SIGTERM, leaving", "saved ck.pt"), "preempted"),
        (("epoch 4/50 loss 1.1", "interrupted by user, saving", "saved model.pt"), "cancelled"),
        (("it 9 res 1e9", "residual is nan after 9 of 50 iterations, leaving loop", "wrote out.vtu"), "divergence"),
        (("epoch 17/100 loss 0.4", "no improvement, stopping", "test accuracy 0.87"), "success"),
        (("server up", "received SIGTERM, leaving"), "success"),  # nobody knows how far it was to come
    ],
)
def test_a_run_that_ends_itself_short_of_its_count(log: tuple[str, ...], category: str) -> None:
    """What it saves then is no answer, unless it ended because its work was done."""
    assert verdict_of(*log) == category


@pytest.mark.parametrize(
    ("log", "category"),
    [
        (("fit complete", "Warning: unable to write file m.mat: No space left on device", "shutting down"), "storage"),
        (("/scratch: No space left on device, trying /work", "wrote /work/m.nc (2.1 GB)"), "success"),
        (("evaluating on test", "no checkpoint found at b.pt", "acc1 0.10"), "checkpoint"),
        (("no checkpoint found, training from scratch", "epoch 1 loss 2", "epoch 2 loss 1", "saved b.pt"), "success"),
        (("data set not found, using 1000 random images instead", "epoch 1 loss 6.9"), "data"),
        (("KeyError: 'lat'", "stages: 1 ran, 1 failed, 3 not run", "run finished"), "code_bug"),
        (("number of trials: 4/4 (4 ERROR)", OOM, "the experiment finished"), "oom_gpu"),
        (("reading forcing", "ERROR: variable 'huss' not in tas.nc"), "code_bug"),
        (("+ srun killall sim", "srun: error: n1: task 0: Exited with exit code 1", "+ exit 0"), "unknown"),
        (("100 of 100 steps", "+ srun killall sim", "srun: error: n1: task 0: Exited with exit code 1"), "success"),
        (("This job failed: a", "640 jobs, 640 with exit 0 (3 needed a second try)"), "success"),
        (("settings: kappa = 0.0", "wrote out/traj.dcd"), "success"),
        (("kappa: 0.001 W/mK", "wrote out/traj.dcd"), "success"),
        (("class 7 recall: 0.0", "accuracy: 0.93", "results written to out.csv"), "success"),
        (("cohen_kappa: 0.001", "results written to out.csv"), "not_converged"),
        (("auc 0.501", *(f"step {i}" for i in range(9)), "epoch 2 loss 1.0", "training finished"), "success"),
        ((*(f"Epoch {i}: density 1.002{1 + i % 2}" for i in range(1, 9)), "wrote out/model.pt"), "success"),
        (("expecting 100 steps per epoch; have 3 samples left", "epoch 1 loss 2.0", "epoch 2 loss 1.0"), "success"),
        (("expected 300 tasks, found 20 new", "wrote out/x.h5"), "success"),
        (("WARNING: checkpoint ckpt/last.pt is corrupt: unexpected end of file",), "checkpoint"),
    ],
)
def test_a_result_is_what_is_there_at_the_end(log: tuple[str, ...], category: str) -> None:
    """Lost, made up, measured on nothing, or left undone: no result; taken down or done again: one."""
    assert verdict_of(*log) == category


@pytest.mark.parametrize(("code", "log", "category"), [
    (20, ("s UNSATISFIABLE", "srun: error: n1: task 0: Exited with exit code 20"), "success"),
    (10, ("error: unknown solver", "srun: error: n1: task 0: Exited with exit code 10"), "config"),
])  # fmt: skip
def test_an_exit_code_may_be_the_answer(code: int, log: tuple[str, ...], category: str) -> None:
    """Solvers say by it what they found; without the answer in the log it is a failure."""
    assert verdict_of(*log, state=SlurmState.FAILED, exit_code=code) == category


@pytest.mark.parametrize("line", ["0 " * 200, "a " * 200 + ": 0", "1 of 2 " * 60, "error " * 60 + ": x", "x/" * 200])
def test_counting_is_linear(line: str) -> None:
    """Twice the lines, twice the time; no line takes more than a moment."""

    def seconds(number: int) -> float:
        began = time.process_time()
        tallies = tallies_of(*([line] * number))
        assert tallies.short == -1 or tallies.empty or tallies.all_failed or tallies.undone or tallies.none_good
        return time.process_time() - began

    seconds(20)
    assert seconds(400) < 8 * max(seconds(100), 0.02)
