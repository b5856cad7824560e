"""Whether the runs that are averaged and compared ran the same thing: code, image, launch, global batch, manifest.

Rules only. A run that resumed from a checkpoint ran whatever the attempts behind it ran, so a run can differ in itself.
What was not recorded is unknown: it neither agrees nor differs, and is counted.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ASPECTS = {
    "code": "code",
    "image": "image",
    "launch": "launch",
    "global_batch": "global batch",
    "manifest": "manifest",
}
"""What is compared: name → words."""
MADE = {
    "code": "from other code",
    "image": "in another image",
    "launch": "launched differently",
    "global_batch": "with another global batch",
    "manifest": "from another manifest",
}
"""What is said of a run that differs in it: ``2 of 3 from other code``."""
UNKNOWN = ""
_THEN = " then "
_NO_IMAGE, _NO_LAUNCH, _NO_BATCH = "no image recorded", "no launcher", "none declared"


@dataclass(frozen=True)
class Difference:
    """Runs that ran something else than expected.

    Attributes:
        aspect: Key of `ASPECTS`.
        expected: What the manifest names, or where it names nothing, what most runs ran.
        is_named: Whether the manifest names it.
        ran: Row of each run of which it is known → what it ran; several values mean one after the other.
        others: Those of them that ran something else.
    """

    aspect: str
    expected: str
    is_named: bool
    ran: Mapping[int, str]
    others: Mapping[int, str]

    @property
    def is_mixed(self) -> bool:
        """Whether the runs differ from each other, not only from what the manifest names."""
        return len(set(self.ran.values())) > 1


def what_ran(attempt: Mapping[str, Any]) -> dict[str, str]:
    """Write what one attempt ran, a text per aspect; `UNKNOWN` where it was not recorded."""
    return {
        "code": str(attempt.get("code_sha256") or UNKNOWN),
        "image": _text(attempt, "image_sha256", _NO_IMAGE),
        "launch": _launch_text(attempt["launch"]) if attempt.get("launch") else _text(attempt, "launch", _NO_LAUNCH),
        "global_batch": _text(attempt, "global_batch", _NO_BATCH),
        "manifest": str(attempt.get("manifest_sha") or UNKNOWN),
    }


def what_is_named(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Write what the manifest says its runs run; `UNKNOWN` for what it does not fix."""
    provenance = manifest.get("provenance") or {}
    image = provenance["image"] or {"sha256": _NO_IMAGE} if "image" in provenance else {}
    return {
        "code": str((provenance.get("code") or {}).get("sha256") or UNKNOWN),
        "image": str(image.get("sha256") or UNKNOWN),
        "global_batch": str(((manifest.get("spec") or {}).get("batch") or {}).get("global") or UNKNOWN),
        "manifest": str(manifest["sha256"]),
    }


def joined(values: Iterable[str]) -> str:
    """Join what the attempts behind a result ran, oldest first: one value where they agree; without the unknown."""
    return _THEN.join(dict.fromkeys(value for value in values if value != UNKNOWN))


def renamed(text: str, names: Mapping[str, str]) -> str:
    """Replace what ran by what it is called otherwise."""
    return joined(names.get(one, one) for one in text.split(_THEN))


def find_differences(
    ran: Mapping[str, Sequence[str]], named: Mapping[str, str], rows: Sequence[int]
) -> tuple[Difference, ...]:
    """Find the aspects in which some runs are not what is expected.

    Args:
        ran: Aspect → one text per task.
        named: Aspect → what the manifest names.
        rows: The runs to look at, as rows of `ran`.
    """
    found = []
    for aspect in ASPECTS:
        known = {row: ran[aspect][row] for row in rows if ran[aspect][row] != UNKNOWN}
        if not known:
            continue
        is_named = named.get(aspect, UNKNOWN) != UNKNOWN
        expected = named[aspect] if is_named else Counter(known.values()).most_common(1)[0][0]
        others = {row: value for row, value in known.items() if value != expected}
        if others:
            found.append(Difference(aspect, expected, is_named, known, others))
    return tuple(found)


def count_unknown(ran: Mapping[str, Sequence[str]], rows: Sequence[int]) -> dict[str, int]:
    """Count the runs of which an aspect was not recorded; aspects known of all are left out."""
    counts = {aspect: sum(ran[aspect][row] == UNKNOWN for row in rows) for aspect in ASPECTS}
    return {aspect: count for aspect, count in counts.items() if count}


def short(value: str) -> str:
    """Shorten the hashes in a text to eight digits."""
    return re.sub(r"\b([0-9a-f]{8})[0-9a-f]{24,}\b", r"\1", value)


def other_text(one: Difference, row: int) -> str:
    """Write beside a run what it ran instead: ``from other code (c0ffee12)``."""
    return f"{MADE[one.aspect]} ({short(one.ran[row])})"


def _text(attempt: Mapping[str, Any], key: str, none: str) -> str:
    """Write a value; a recorded null is a value of its own, an absent key is unknown."""
    if key not in attempt:
        return UNKNOWN
    return none if attempt[key] is None else str(attempt[key])


def _launch_text(launch: Mapping[str, Any]) -> str:
    """Write ``accelerate, 2 processes, bf16, ZeRO 2``."""
    processes = launch.get("processes")
    parts = [str(launch.get("kind")), _processes_text(processes)]
    precision = launch.get("mixed_precision")
    parts += [str(precision)] if precision and precision != "no" else []
    parts += [f"ZeRO {launch['zero_stage']}"] if launch.get("zero_stage") is not None else []
    parts += [f"{launch['offload']} in host memory"] if launch.get("offload") else []
    parts += [f"FSDP {launch['fsdp']}"] if launch.get("fsdp") else []
    parts += [said for key, said in _SWITCHES.items() if launch.get(key)]
    return ", ".join(parts)


_SWITCHES = {"gradient_checkpointing": "gradient checkpointing", "torch_compile": "compiled"}


def _processes_text(processes: int | None) -> str:
    if processes is None:
        return "processes auto"
    return "1 process" if processes == 1 else f"{processes} processes"
