"""Curves read from logs: every form of print, what they show, no alarm at healthy ones, and agreement with metrics."""

import random
from collections.abc import Callable, Sequence
from itertools import count
from math import exp, isfinite, log

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hpc.core.failures.classify import classify
from hpc.core.failures.curves import read_curves
from hpc.core.failures.evidence import Evidence, LogLine, Verdict
from hpc.core.failures.reading.parts import Line
from hpc.core.slurm.states import SlurmState
from tests.core.failures.test_health import HEALTHY, Curves

NAN = float("nan")
HEALTHY_LOGS = 20
"""Of each kind; the page's rate was measured with 1,000."""


def lines(text: str) -> tuple[LogLine, ...]:
    return tuple(LogLine("log", i, line) for i, line in enumerate(text.splitlines(), 1))


def read(text: str) -> dict[str, tuple[float, ...]]:
    found = read_curves(Line(line, "", line.text, line.line) for line in lines(text))
    return {name: curve.values for name, curve in found.items()}


def ended_well(text: str, **more: object) -> Verdict:
    return classify(Evidence(state=SlurmState.COMPLETED, exit_code=0, log=lines(text), **more))  # type: ignore[arg-type]  # fields of Evidence


# ── every form of print ───────────────────────────────────────────────────────────────────────────────────────────

Printer = Callable[[Curves], str]


def _rows(curves: Curves) -> list[dict[str, float]]:
    """Rows of step → values; shorter curves are spread over the longest."""
    longest = max(map(len, curves.values()))
    rows: list[dict[str, float]] = [{} for _ in range(longest)]
    for name, values in curves.items():
        for i, value in enumerate(values):
            rows[i * longest // len(values)][name] = value
    return rows


def as_words(curves: Curves) -> str:
    return "\n".join(
        f"epoch {i} " + " ".join(f"{name} {value:.4f}" for name, value in row.items())
        for i, row in enumerate(_rows(curves))
    )


def as_pairs(curves: Curves) -> str:
    return "\n".join(
        f"[2026-01-01 10:00:00] step={i} " + ", ".join(f"{name}={value:.4g}" for name, value in row.items())
        for i, row in enumerate(_rows(curves))
    )


def as_dicts(curves: Curves) -> str:
    return "\n".join(str({**row, "epoch": i / 10}) for i, row in enumerate(_rows(curves)))


def as_boxes(curves: Curves) -> str:
    return "\n".join(
        "-" * 40 + "\n" + "\n".join(f"|    {name:<20} | {value:<9.3g} |" for name, value in row.items())
        + f"\n|    iterations           | {i:<9} |"
        for i, row in enumerate(_rows(curves))
    )  # fmt: skip


def as_table(curves: Curves) -> str:
    whole = {name: values for name, values in curves.items() if len(values) == max(map(len, curves.values()))}
    head = "epoch  " + "  ".join(whole)
    body = [f"{i}  " + "  ".join(f"{v:.5f}" for v in row) for i, row in enumerate(zip(*whole.values(), strict=True))]
    return "\n".join([head, "-" * 30, *body])


PRINTERS: list[Printer] = [as_words, as_pairs, as_dicts, as_boxes, as_table]


@pytest.mark.parametrize("printer", PRINTERS)
def test_every_form_is_read(printer: Printer) -> None:
    """Whatever the form, the series come out by name, value by value."""
    given_ = {"loss": [2.3, 1.9, 0.5], "val/accuracy": [0.1, 0.2, 0.75]}
    assert read(printer(given_)) == {name: tuple(values) for name, values in given_.items()}


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("test accuracy: 91.5 %", "test_accuracy", 0.915),
        ("INFO trainer: Training Loss = 2.3e-01", "training_loss", 0.23),
        (" 50%|█████     | 5/10 [00:05<00:05, 1.2it/s, loss=2.31]", "loss", 2.31),
        ("{'train/loss': 82011.3, 'lr': 0.1}", "train/loss", 82011.3),
        ("step 3 loss 1,204.5", "loss", 1204.5),
    ],
)
def test_spellings(text: str, name: str, value: float) -> None:
    """Qualifiers stay, words that say nothing go; per cent become shares."""
    assert read(text) == {name: (value,)}


@pytest.mark.parametrize(
    "text",
    ["loss_scale: 65536.0", "ValueError: loss 3 is wrong", "no loss in 3 packets", "global_step: 82011", "loss: 1.2.3"],
)
def test_what_is_no_curve(text: str) -> None:
    """Scales, messages of exceptions, counters and versions are no metrics."""
    assert read(text) == {}


def test_one_rank_speaks() -> None:
    """Of ranks that print the same, the first counts."""
    printed = [Line(LogLine("log", 1, ""), rank, f"loss {i}.5", i) for i in range(3) for rank in ("0", "1")]
    assert read_curves(printed)["loss"].values == (0.5, 1.5, 2.5)


# ── what they show ────────────────────────────────────────────────────────────────────────────────────────────────


def epochs(name: str, values: Sequence[float], before: str = "") -> str:
    return "\n".join([before, *(f"epoch {i} {name} {v}" for i, v in enumerate(values, 1)), "training finished"])


@pytest.mark.parametrize(
    ("text", "category"),
    [
        (epochs("loss", [2.3, 80.1, 5120.4, 79102.5, 82011.3]), "divergence"),
        (epochs("loss", [2.1, 1.9]) + "\ntest accuracy: nan\nsaved results.json", "divergence"),
        (epochs("loss", [2.303, 2.3021, 2.3035, 2.3026, 2.3029], "dataset: 10 classes"), "not_converged"),
        (epochs("val_acc", [0.1, 0.102, 0.099, 0.1, 0.101], "num_classes: 10"), "not_converged"),
        (epochs("val_acc", [50.0, 50.1, 49.9, 50.0, 50.0], "2 classes"), "success"),  # 50 is no share
        (epochs("acc %", [1], ""), "success"),
        (
            "\n".join(f"epoch {i}/9 triplet 0.2{i % 2:03} margin 0.2 R@1 0.01{i % 3:02}" for i in range(1, 10)),
            "not_converged",
        ),
        ("\n".join(f"epoch {i}/9 triplet 0.2{9 - i:02}0 margin 0.2 R@1 0.1{i}" for i in range(1, 10)), "success"),
        ("\n".join(f"epoch {i}/9 hits 0.998{i % 2} lr 0.01" for i in range(1, 10)), "success"),  # at the top
        ("\n".join(f"step {50 * i} loss 4.6{i % 3}" for i in range(1, 11)), "not_converged"),  # told every 50 steps
        ("\n".join(f"step {50 * i} loss 4.{90 - 5 * i}" for i in range(1, 11)), "success"),
        ("fold 1 auc 0.498\nfold 2 auc 0.501\nsaved model.pkl", "not_converged"),
        ("epoch 1 auc 0.501\nepoch 2 auc 0.741\nsaved model.pkl", "success"),
        ("eval: success rate 0.00\nsaved policy.zip", "not_converged"),
        ("eval: success rate 0.00\neval: success rate 0.41\nsaved policy.zip", "success"),
    ],
)
def test_what_they_show(text: str, category: str) -> None:
    """An explosion without NaN, a final result that is none, a guess at every epoch."""
    assert ended_well(text).category == category


@pytest.mark.parametrize(
    "text",
    [
        epochs("loss", [2.3, 80.1, 9.0, 1.2, 0.9]),  # came back
        epochs("perplexity", [82011, 5120, 300, 90, 60]),
        epochs("reward", [1.0, 80.1, 5120.4, 79102.5, 82011.3]),
        epochs("global_step", [1, 100, 10_000, 100_000, 1_000_000]),
        epochs("loss", [2.3, 2.2, 2.1, 2.0, 82011.3]),  # one high value at the end
        epochs("loss", [0.05, 0.04, 0.03, 0.02]) + "\n" + epochs("loss", [41.0, 39.0, 38.0, 30.0, 29.0, 27.0]),
        epochs("value_loss", [2.3, 80.1, 5120.4, 79102.5, 82011.3]),
        "\n".join(f"step {i} loss {0.02 * 1.3**i:.4f} ep_reward_mean {i * 2.5}" for i in range(30)),
        "vocab_size: 50257\n" + "\n".join(f"step {i} loss {log(50257) - 0.001 * i:.4f}" for i in range(6)),
        "vocab_size: 50257\n" + "\n".join(f"step {i} loss {log(50257) - 0.01 * i:.4f}" for i in range(30)),
        epochs("loss", [0.69, 0.68, 0.66, 0.65, 0.63], "2 classes"),
        epochs("loss", [2.1, 1.9]) + "\ntest accuracy: 0.91\ntest auc: nan",
        "ep_rew_mean: nan\n" + epochs("loss", [2.1, 1.9]),
        "2 classes\n" + "\n".join(f"epoch {i} loss {1 / (1 + i):.3f} val_acc 0.50" for i in range(8)),
    ],
)
def test_healthy_prints_stay_a_success(text: str) -> None:
    """Losses that came back, rewards and counters that rise, perplexities that begin high, short trials at a guess."""
    assert ended_well(text).category == "success", ended_well(text)


def test_a_resumed_run_may_stand_at_a_guess() -> None:
    """What went on from a checkpoint, or whose beginning is not seen, is not judged by a plateau."""
    text = epochs("loss", [2.303] * 8, "10 classes")
    assert ended_well(text, resumed=True).category == "success"
    assert ended_well(text.replace("epoch ", "epoch 9")).category == "success"


# ── no alarm at what is healthy ───────────────────────────────────────────────────────────────────────────────────


def dqn(r: random.Random) -> Curves:
    """A loss that grows a thousandfold with the return."""
    n = r.randint(30, 200)
    return {"ep_rew_mean": [500 * i / n + r.gauss(0, 20) for i in range(n)],
            "loss": [0.02 * exp(7 * i / n) * r.lognormvariate(0, 0.5) for i in range(n)]}  # fmt: skip


def language_model_from_scratch(r: random.Random) -> Curves:
    n = r.randint(3, 80)
    loss = [4 + (log(50257) - 4) * exp(-i / 200) + r.gauss(0, 0.02) for i in range(n)]
    return {"loss": loss, "perplexity": [exp(value) for value in loss]}


def coin(r: random.Random) -> Curves:
    """Two classes, hardly told apart at first."""
    n = r.randint(5, 60)
    loss = [0.693 - 0.15 * i / n + r.gauss(0, 0.01) for i in range(n)]
    return {"loss": loss, "val_acc": [min(1, 0.5 + 0.2 * i / n + r.gauss(0, 0.02)) for i in range(n)]}


KINDS = [*HEALTHY, dqn, language_model_from_scratch, coin]
NAMES_CLASSES = "vocab_size: 50257\nnum_classes: 2\n10 classes\n"


def false_alarms(kind: Callable[[random.Random], Curves], number: int) -> list[Verdict]:
    """Verdicts on healthy logs of a kind that are no success."""
    verdicts = (
        ended_well(NAMES_CLASSES + PRINTERS[seed % len(PRINTERS)](kind(random.Random(seed))) + "\ntraining finished")  # noqa: S311  invented curves
        for seed in range(number)
    )
    return [verdict for verdict in verdicts if verdict.category != "success"]


@pytest.mark.parametrize("kind", KINDS)
def test_healthy_logs_stay_successes(kind: Callable[[random.Random], Curves]) -> None:
    """Printed in any form, a healthy run is a success."""
    assert false_alarms(kind, HEALTHY_LOGS) == []


# ── the law: metrics that agree change nothing ────────────────────────────────────────────────────────────────────

_VALUES = st.lists(
    st.sampled_from([0.0, 0.5, 0.6931, 2.3026, 2.3, 1.9, 80.0, 5e3, 8e4, 9e4, NAN, float("inf")]),
    min_size=1,
    max_size=8,
)
_SERIES = st.dictionaries(
    st.sampled_from(["loss", "val_loss", "test_accuracy", "accuracy", "reward", "error", "train/loss"]),
    st.tuples(_VALUES, st.sampled_from([1, 3])).map(lambda pair: pair[0] * pair[1]),
    min_size=1,
    max_size=3,
)
_LAST = ["", "training finished", "RuntimeError: CUDA out of memory.", "IndexError: list index out of range",
         "OSError: [Errno 28] No space left on device", "slurmstepd: error: Detected 1 oom_kill event"]  # fmt: skip
_ENDS = [(SlurmState.COMPLETED, 0), (SlurmState.FAILED, 1), (SlurmState.TIMEOUT, None), (SlurmState.PREEMPTED, None)]


@settings(max_examples=150, deadline=None)
@given(
    series=_SERIES, printer=st.sampled_from([as_words, as_pairs, as_table]), last=st.sampled_from(_LAST),
    end=st.sampled_from(_ENDS), resumed=st.booleans(), named=st.booleans(),
)  # fmt: skip
def test_metrics_that_agree_with_the_log_change_nothing(
    series: Curves, printer: Printer, last: str, end: tuple[SlurmState, int | None], resumed: bool, named: bool
) -> None:
    """A metrics file with the numbers that were printed, and no others, leaves the class as it was.

    But for a metric whose one value is none: recorded it is the result, printed it may be a meter before its first.
    """
    assume(not any(len(values) == 1 and not isfinite(values[0]) for values in series.values()))
    text = "\n".join([NAMES_CLASSES if named else "", printer(series), last])
    alone = Evidence(state=end[0], exit_code=end[1], log=lines(text), resumed=resumed)
    agreed = Evidence(state=end[0], exit_code=end[1], log=lines(text), resumed=resumed, series=read(text))
    assert classify(agreed).category == classify(alone).category


def test_metrics_that_say_less_do_not_hide_what_was_printed() -> None:
    """Metrics cut short before the explosion leave the log's word."""
    text = epochs("loss", [2.3, 80.1, 5120.4, 79102.5, 82011.3])
    assert ended_well(text, series={"loss": (2.3, 80.1)}).category == "divergence"


def test_reading_is_linear() -> None:
    """A line made to be slow is read at once, and a table needs no memory of what came before."""
    hostile = ("loss " * 400, "a" * 2000, "loss|" * 400, "x " * 1000, "1,1," * 500, "loss nan " * 220)
    steps = count()
    for text in hostile:
        read("\n".join(f"step {next(steps)} {text}" for _ in range(40)))
