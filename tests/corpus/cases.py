"""The labelled cases, which of them rules may be written against, and what the classifier is given of each."""

import hashlib
import json
from pathlib import Path
from typing import Any

from hpc.adapters.logs import read_log
from hpc.core.failures.evidence import Evidence
from hpc.core.slurm.states import parse_state
from hpc.explaining.given import parse_exit, parse_metrics

HERE = Path(__file__).parent
HELD_OUT_BELOW = 102
"""Cases whose id's SHA-256 begins with a byte below this are held out: 102 of 256, 40 %."""

SPLIT = (
    "made", "provoked", "fourth", "fifth", "sixth", "seventh", "eighth", "tenth", "eleventh", "twelfth", "thirteenth",
    "fourteenth",
)  # fmt: skip
"""Origins of which a part is held out; the four before the first split were written with rules in view."""
FRESH = (
    "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth",
    "seventeenth", "eighteenth",
)  # fmt: skip
"""Origins written by readers who had seen no rule; those not in `WHOLE` were opened later and split."""
WHOLE = ("ninth", "fifteenth", "sixteenth", "seventeenth", "eighteenth")
"""Those of them that are held out from end to end, and shown to nobody since."""

Case = dict[str, Any]


def load_cases() -> list[Case]:
    """Read every labelled case, in file order; the fresh waves, in a file of their own, come last."""
    texts = [(HERE / name).read_text(encoding="utf-8") for name in ("cases.jsonl", "fresh.jsonl")]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def digest(case: Case) -> bytes:
    """SHA-256 of a case's name: what it is drawn and remembered by."""
    return hashlib.sha256(case["id"].encode()).digest()


def is_held_out(case: Case) -> bool:
    """Whether rules must not be written against this case."""
    return case["origin"] in WHOLE or (case["origin"] in SPLIT and digest(case)[0] < HELD_OUT_BELOW)


def evidence_of_case(case: Case) -> Evidence:
    """Build what the classifier would be given."""
    code, signal = parse_exit(case["exit_code"])
    state = case["slurm_state"]
    more: Case = case.get("evidence", {})
    extra: Case = {key: tuple(value) if isinstance(value, list) else value for key, value in more.items()}
    return Evidence(
        state=parse_state(state) if state else None,
        exit_code=code,
        exit_signal=signal,
        log=read_log(HERE / case["log"], "log"),
        series=parse_metrics(case.get("metrics")),
        **extra,
    )
