"""Word to people: an experiment ended, is held, or was given up. Declared by ``notify:``, sent once per occurrence.

``notices.jsonl`` is the ledger: a line when a notice is due, then one for each way it was sent or failed. It is due
before anything is sent, so a death in between costs at most a second copy. What failed is tried again with the next
notice and by `send_due`, three times in all. Nothing here fails the command that has something to say.
"""

import contextlib
import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpc.adapters.ledger import append_json_line, read_json_lines
from hpc.adapters.locks import lock
from hpc.core.errors import HpcError
from hpc.core.experiment.spec import ExperimentSpec, Notice
from hpc.core.layout import RunLayout
from hpc.submissions.holds import held

MAX_ROUNDS = 3
LOCK_S = 150.0
"""Longer than three ways take in one round."""


def notify(
    spec: ExperimentSpec, layout: RunLayout, event: str, title: str, text: str, *, occurrence: str = ""
) -> list[str]:
    """Send word of an event to whoever the experiment names; what was said before is not said again.

    Args:
        event: ``ended``, ``held`` or ``gave_up``.
        title: One line.
        text: The rest.
        occurrence: What tells this occurrence from another of the same event; left out: title and text.

    Returns:
        What became of it, one line each way. Nothing is ever raised.
    """
    if not any(event in notice.on for notice in spec.notify):
        return []
    digest = hashlib.sha256((occurrence or f"{title}\n{text}").encode("utf-8", "replace")).hexdigest()
    due = {"state": "due", "key": f"{event}:{digest[:16]}", "event": event, "title": title, "text": text}
    return _send(spec, layout, due)


def tell_held(spec: ExperimentSpec, layout: RunLayout) -> list[str]:
    """Say that an experiment is held, once each time it is; try again what did not leave. Nothing is ever raised."""
    present = held(layout)
    if present is None:
        return send_due(spec, layout)
    tasks = ", ".join(present.tasks[:10]) + (", …" if len(present.tasks) > 10 else "")
    text = "\n".join(filter(None, (present.evidence, tasks, f"To go on: {present.command}")))
    title = f"{layout.experiment} is held: {present.reason}"
    return notify(spec, layout, "held", title, text, occurrence=str(present.time))


def send_due(spec: ExperimentSpec, layout: RunLayout) -> list[str]:
    """Try again what is due and did not leave. Nothing is ever raised."""
    return _send(spec, layout, None) if ledger_path(layout).exists() else []


def ledger_path(layout: RunLayout) -> Path:
    """The ledger of an experiment's notices."""
    return layout.home / "notices.jsonl"


def read_ledger(layout: RunLayout) -> list[dict[str, Any]]:
    """Read the ledger, oldest line first; a line that a death cut off is left out."""
    found = read_json_lines(ledger_path(layout))
    return [each for each in found if isinstance(each, dict) and {"state", "key"} <= each.keys()]


def _send(spec: ExperimentSpec, layout: RunLayout, due: Mapping[str, str] | None) -> list[str]:
    try:
        with _alone(layout):  # two at once would both send
            ledger = _ledger_or_nothing(layout)
            if due and due["key"] not in {each["key"] for each in ledger}:
                _append(layout, due)
                ledger = [*ledger, dict(due)]
            return [_send_one(layout, notice, each) for notice, each in open_notices(spec, ledger)]
    except HpcError as error:
        return [f"no notice was sent: {error}"]


@contextlib.contextmanager
def _alone(layout: RunLayout) -> Iterator[None]:
    """Hold the notices' lock; where a full disk has no room for it, word that comes twice is better than none."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(lock(layout.home / ".notices.lock", timeout_s=LOCK_S))
        yield


def _ledger_or_nothing(layout: RunLayout) -> list[dict[str, Any]]:
    """The ledger; where the file system cannot read it, word that comes twice is better than none."""
    try:
        return read_ledger(layout)
    except OSError:
        return []


def open_notices(spec: ExperimentSpec, ledger: Sequence[Mapping[str, Any]]) -> list[tuple[Notice, Mapping[str, Any]]]:
    """Pair each notice that is due with each way it has not left by, unless that failed too often."""
    sent = {(each["key"], each.get("way")) for each in ledger if each["state"] == "sent"}
    failed = Counter((each["key"], each.get("way")) for each in ledger if each["state"] == "failed")
    return [
        (notice, due)
        for due in ledger
        if due["state"] == "due"
        for notice in spec.notify
        if due["event"] in notice.on
        and (due["key"], way_of(notice)) not in sent
        and failed[due["key"], way_of(notice)] < MAX_ROUNDS
    ]


def way_of(notice: Notice) -> str:
    """Name a way without saying more than the experiment's file does: ``webhook_env HPC_WEBHOOK``."""
    return f"{notice.kind} {notice.target}"


def _send_one(layout: RunLayout, notice: Notice, due: Mapping[str, Any]) -> str:
    from hpc.adapters.notices import NotSent  # HTTP, TLS and e-mail: loaded where there is something to send

    outcome = {"state": "sent", "key": due["key"], "way": way_of(notice), "detail": ""}
    try:
        _SENDERS[notice.kind](notice.target, layout.experiment, due)
    except NotSent as error:
        outcome |= {"state": "failed", "detail": str(error)}
    except OSError as error:
        outcome |= {"state": "failed", "detail": error.strerror or type(error).__name__}
    _append(layout, outcome)
    return f"notice by {outcome['way']}: {outcome['detail'] or 'sent'}"


def _by_command(target: str, experiment: str, due: Mapping[str, Any]) -> None:
    from hpc.adapters.notices import send_by_command

    variables = {"HPC_EVENT": due["event"], "HPC_TITLE": due["title"], "HPC_TEXT": due["text"]}
    send_by_command(target, f"{due['title']}\n\n{due['text']}\n", {**variables, "HPC_EXPERIMENT": experiment})


def _by_webhook(target: str, experiment: str, due: Mapping[str, Any]) -> None:
    from hpc.adapters.notices import NotSent, send_by_webhook

    if not os.environ.get(target):
        raise NotSent(f"the environment variable {target} is not set here")
    fields = {"event": due["event"], "experiment": experiment, "title": due["title"]}
    send_by_webhook(os.environ[target].strip(), {"text": f"{due['title']}\n{due['text']}", **fields})


def _by_mail(target: str, experiment: str, due: Mapping[str, Any]) -> None:
    from hpc.adapters.notices import send_by_mail

    send_by_mail(target, f"{experiment}: {due['title']}", due["text"])


_SENDERS = {"command": _by_command, "webhook_env": _by_webhook, "email": _by_mail}


def _append(layout: RunLayout, entry: Mapping[str, Any]) -> None:
    """Add a line to the ledger; what a full disk does not take may be sent once more."""
    with contextlib.suppress(OSError):
        append_json_line(ledger_path(layout), {"time": time.time(), **entry})
