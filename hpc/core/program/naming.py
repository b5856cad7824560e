"""What a program's numbers are called, and what their names say: which is better, and how likely it decides."""

import re

from hpc.core.immutable import immutable

HIGHER = {
    "acc", "accuracy", "top1", "top5", "f1", "auc", "auroc", "reward", "return", "score", "bleu", "rouge", "iou", "map",
    "r2", "precision", "recall", "dice", "psnr", "ssim", "success", "ndcg", "aucpr",
}  # fmt: skip
LOWER = {
    "loss", "error", "err", "mse", "rmse", "mae", "ppl", "perplexity", "nll", "bpc", "bpb", "wer", "cer", "fid", "cost",
    "regret", "logloss", "mlogloss", "mape", "rmsle",
}  # fmt: skip
_NO_METRIC = {"scale", "weight", "weights", "coef", "coeff", "interval", "ratio", "type", "fn", "function"}
"""With one of these a name is that of a setting: ``loss_scale``, ``val_interval``."""
_VALIDATION = {"val", "vali", "valid", "validation", "eval", "dev"}
"""They go before the test: values that are chosen by it say nothing about it any more."""
HELD_OUT = {*_VALIDATION, "test", "final", "best"}


@immutable
class Printed:
    """One number that a program prints, or writes into a file.

    Attributes:
        name: What it would be called as a metric.
        goal: ``min`` or ``max``, by its name.
        pattern: For ``metrics.source``: where the value is in a line, and the step where the same line has one; of a
            file, its path.
        weight: How likely it is what the experiment is about; higher is likelier.
        kind: The key of ``metrics.source``.
    """

    name: str
    goal: str
    pattern: str
    weight: int
    kind: str = "stdout"


def goal_of(name: str) -> str:
    """Whether a metric of this name is better high or low; low where the name does not say."""
    return known_goal(name) or "min"


def known_goal(name: str) -> str:
    """``min`` or ``max`` where the name says which is better; empty where it does not."""
    words = _words(name)
    return "min" if words & LOWER else "max" if words & HIGHER else ""


def guess_for(name: str) -> str:
    """A pattern for a metric of which only the name is known: the number after it, whatever stands between."""
    spelled = r"[\s_-]*".join(re.escape(word) for word in re.split(r"[\s_-]+", name.strip()))
    group = re.sub(r"\W", "_", name.strip())
    return rf"(?i)\b{spelled}\b['\"]?[\s:=|│┃]+(?P<{group}>[^\s,;)}}\]%]+)"


def weight_of(label: str) -> int:
    """How likely a name is that of the metric an experiment is about; 0 for what is no metric."""
    words = _words(label)
    of_metrics = words & (HIGHER | LOWER)
    is_message = of_metrics == {"success"} and not words & {"rate", *HELD_OUT}
    if not of_metrics or is_message or words & _NO_METRIC:
        return 0
    return 2 + 3 * bool(words & HELD_OUT) + 2 * bool(words & _VALIDATION) + bool(words & LOWER)


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+\d*", name.lower().replace("_", " ")))
