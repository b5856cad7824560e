"""Signs in curves: each is seen where it is, and hardly ever where it is not."""

import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.failures.classify import classify
from hpc.core.failures.evidence import Evidence
from hpc.core.failures.health import CHECKS, Sign, examine, is_result_spoiled

Curves = dict[str, list[float]]
HEALTHY_CURVES = 150
"""Of each kind; the page's rate was measured with 2,000."""


def signs(**series: list[float]) -> set[str]:
    return {warning.sign.value for warning in examine({name.replace("__", "/"): v for name, v in series.items()})}


def falling(n: int, start: float = 3.0, end: float = 1.0) -> list[float]:
    return [end + (start - end) * (1 - i / n) ** 2 for i in range(n)]


# ── each sign, where it is ────────────────────────────────────────────────────────────────────────────────────────


def test_nan_to_the_end() -> None:
    """A loss that stays NaN is a lasting sign and names the value it began at."""
    (warning,) = examine({"loss": [2.0, 1.9, float("nan"), float("inf")]})
    assert (warning.sign, warning.since, warning.lasting) == (Sign.NON_FINITE, 2, True)


def test_nan_that_passed() -> None:
    """A loss that became a number again is a remark, and does not spoil the result."""
    (warning,) = examine({"loss": [2.0, float("nan"), 1.9]})
    assert warning.sign is Sign.NON_FINITE_SURVIVED
    assert not is_result_spoiled(warning)


def test_infinite_gradient_norm_of_mixed_precision_is_healthy() -> None:
    """Single infinite norms are skipped steps of mixed precision, and no sign."""
    assert signs(grad_norm=[float("inf"), 1.0, 1.1] * 9) == set()


def test_spike_that_recovered() -> None:
    """A leap of the loss that came back is seen, once, at its place."""
    values = falling(60)
    values[40] = 48.0
    (warning,) = examine({"loss": values})
    assert (warning.sign, warning.since, warning.lasting) == (Sign.SPIKE_RECOVERED, 40, False)


def test_explosion() -> None:
    """A loss that ends a hundred times above its beginning is lasting."""
    assert signs(loss=[1.0, 1.1, 0.9, 2.0, 90.0, 4e3, 8e4]) == {"explosion"}


def test_plateau_at_chance() -> None:
    """A loss that stays at ln 10, as of ten classes guessed, is no learning."""
    assert signs(loss=[2.3026 + 0.0003 * (i % 2) for i in range(30)]) == {"no_learning"}


def test_train_and_validation_apart() -> None:
    """Validation that rises far above its best while training falls is overfitting."""
    validation = falling(12, 3.0, 1.5) + [1.5 + 0.15 * k for k in range(1, 13)]
    assert signs(train__loss=falling(240, 3.0, 0.2), val__loss=validation) == {"train_validation_apart"}


@pytest.mark.parametrize(
    ("values", "sign"),
    [
        ([1.0] * 20 + [1e-9, 1e-10, 1e-11], "gradient_vanished"),
        ([1.0] * 20 + [2e3, 5e4, 9e5], "gradient_exploded"),
    ],
)
def test_gradient_norm(values: list[float], sign: str) -> None:
    """Norms that go to nothing or beyond all measure are signs."""
    assert signs(grad_norm=values) == {sign}


def test_oscillation() -> None:
    """A loss that jumps up and down at every step and gets nowhere is one."""
    assert signs(loss=[2.0 + (0.9 if i % 2 else -0.9) + 0.01 * (i % 7) for i in range(60)]) == {"oscillation"}


# ── real trainings of a linear model, by hand ─────────────────────────────────────────────────────────────────────


def descend(learning_rate: float, steps: int = 120, seed: int = 0) -> Curves:
    """Train a linear model by stochastic gradient descent; return loss and gradient norm of each step."""
    source = np.random.default_rng(seed)
    truth, weights = source.normal(size=8), source.normal(size=8)
    curves: Curves = {"loss": [], "grad_norm": []}
    for _ in range(steps):
        x = source.normal(size=(32, 8))
        residual = x @ weights - x @ truth - 0.1 * source.normal(size=32)
        gradient = 2 * x.T @ residual / 32
        curves["loss"].append(float(np.mean(residual**2)))
        curves["grad_norm"].append(float(np.linalg.norm(gradient)))
        with np.errstate(over="ignore", invalid="ignore"):
            weights = weights - learning_rate * gradient
        if not np.isfinite(curves["loss"][-1]):
            break
    return curves


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("learning_rate", "expected"),
    [(0.02, set()), (0.1, set()), (2.0, {"explosion", "gradient_exploded"}), (9e3, {"non_finite", "explosion"})],
)
def test_real_training(learning_rate: float, expected: set[str]) -> None:
    """Good learning rates show no sign; too large ones show the explosion, at last in numbers that are none."""
    shown = {warning.sign.value for warning in examine(descend(learning_rate, steps=150))}
    assert shown <= expected | {"gradient_exploded"} if expected else shown == set()
    assert bool(shown) == bool(expected)


# ── healthy curves ────────────────────────────────────────────────────────────────────────────────────────────────


def _decay(r: random.Random, n: int, noise: float) -> list[float]:
    end, start = r.uniform(0.05, 2.5), r.uniform(1.5, 11.0)
    speed = r.uniform(2, 12)
    return [max(1e-4, end + max(0.1, start - end) * 2.718 ** (-speed * i / n) + r.gauss(0, noise)) for i in range(n)]


def language_model(r: random.Random) -> Curves:
    n = r.randint(60, 400)
    loss = [2.2 + 8.0 / (1 + i) ** 0.35 + r.gauss(0, 0.08) for i in range(n)]
    return {"loss": loss, "grad_norm": [r.lognormvariate(0, 0.8) for _ in range(n)], "eval/loss": loss[::20]}


def small_classifier(r: random.Random) -> Curves:
    n = r.randint(5, 60)
    train = _decay(r, n, 0.05)
    return {"train/loss": train, "val/loss": [value * r.uniform(1.0, 1.12) for value in train],
            "val/accuracy": [1 / (1 + value) for value in train]}  # fmt: skip


def tiny_run(r: random.Random) -> Curves:
    n = r.randint(1, 8)
    return {"loss": _decay(r, n, 0.2), "grad_norm": [r.uniform(0.1, 3) for _ in range(n)]}


def reinforcement(r: random.Random) -> Curves:
    n = r.randint(40, 400)
    returns = [-200 + 190 * i / n + r.gauss(0, 45) for i in range(n)]
    return {
        "ep_rew_mean": returns,
        "value_loss": [r.lognormvariate(i / n * 5, 1.2) for i in range(n)],
        "policy_loss": [r.gauss(0, 0.02) for _ in range(n)],
        "entropy_loss": [-1.09 + 0.6 * i / n for i in range(n)],
        "loss": [r.lognormvariate(0, 0.9) for _ in range(n)],
        "approx_kl": [abs(r.gauss(0.01, 0.01)) for _ in range(n)],
    }


def fine_tuning(r: random.Random) -> Curves:
    """Barely falling, noisy batch losses of a pretrained model."""
    n = r.randint(40, 300)
    return {"loss": [max(0.05, 1.2 - 0.1 * i / n + r.gauss(0, 0.25)) for i in range(n)],
            "grad_norm": [r.lognormvariate(0, 0.5) for _ in range(n)]}  # fmt: skip


def warm_restarts(r: random.Random) -> Curves:
    n = 200
    return {"loss": [0.4 + 2.0 / (1 + i / 9) + 0.5 * (1 - (i % 50) / 50) + r.gauss(0, 0.05) for i in range(n)]}


def adversarial(r: random.Random) -> Curves:
    n = 200
    return {"d_loss": [0.7 + r.gauss(0, 0.3) for _ in range(n)], "g_loss": [2 + r.gauss(0, 0.8) for _ in range(n)]}


def to_nothing(r: random.Random) -> Curves:
    """A problem that is solved exactly: loss and gradient go to the noise of float32."""
    n = r.randint(30, 200)
    loss = [max(1e-7, 2.718 ** (-12 * i / n)) * r.uniform(0.8, 1.2) for i in range(n)]
    return {"loss": loss, "grad_norm": [value**0.5 for value in loss]}


HEALTHY = [
    language_model, small_classifier, tiny_run, reinforcement, fine_tuning, warm_restarts, adversarial, to_nothing,
]  # fmt: skip


@pytest.mark.parametrize("kind", HEALTHY)
def test_healthy_curves_raise_no_alarm(kind: Callable[[random.Random], Curves]) -> None:
    """At most one healthy run in a hundred shows any sign, and none a sign that would take its result away."""
    raised = [
        examine(kind(random.Random(seed)))  # noqa: S311  invented curves
        for seed in range(HEALTHY_CURVES)
    ]
    assert not [w for warnings in raised for w in warnings if is_result_spoiled(w)]
    assert sum(map(bool, raised)) <= 0.01 * HEALTHY_CURVES, Counter(w.sign.value for ws in raised for w in ws)


def test_steady_numbers_that_are_no_loss_are_healthy() -> None:
    """Learning rates, scales and perfect accuracies may stand still."""
    assert signs(lr=[1e-4] * 60, loss_scale=[65536.0] * 60, accuracy=[1.0] * 60, loss=[0.0] * 60) == set()


@given(st.dictionaries(st.sampled_from(["loss", "val/loss", "grad_norm", "x"]), st.lists(st.floats(), max_size=60)))
def test_any_numbers_are_taken(series: Curves) -> None:
    """Whatever stands in the metrics, every check answers; and what spoils a result is lasting."""
    assert all(w.lasting for w in examine(series) if is_result_spoiled(w))
    assert len(CHECKS) >= 7


# ── evidence at the end ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("loss", "category"),
    [
        ([2.0, 1.5, float("nan")], "divergence"),
        ([1.0, 1.0, 1.0, 50.0, 3e3, 4e4], "divergence"),
        ([0.6931] * 25, "not_converged"),
        (falling(40), "success"),
    ],
)
def test_spoiled_result_is_no_success(loss: list[float], category: str) -> None:
    """A run that recorded its end and exited with 0 is judged by its curve."""
    evidence = Evidence(
        exit_code=0, program_outcome=0, complete=True, expects_metrics=True, series={"loss": tuple(loss)}
    )
    assert classify(evidence).category == category


def test_success_tells_its_signs() -> None:
    """A success with a passing sign stays one and quotes it."""
    values = falling(60)
    values[40] = 48.0
    verdict = classify(Evidence(exit_code=0, program_outcome=0, complete=True, series={"loss": tuple(values)}))
    assert verdict.category == "success"
    assert "jumped" in verdict.evidence[1].text
