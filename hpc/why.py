"""Explain a failure: the class, the very line that says so, the rule, what it leaves open, the next step.

python -m hpc.why lora_sweep
python -m hpc.why slurm-4711.out --state FAILED --exit 1:0
python -m hpc.why runs/lora_sweep/tasks/R8_LR1e-4_S42/attempt-1 --json
python -m hpc.why --jsonl < cases.jsonl
"""

import json
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpc.adapters.files import read_json
from hpc.console import json_option, note, print_json, say, speaks_plainly
from hpc.core.errors import EXIT_DONE, InputError, Problem
from hpc.core.failures.classify import ADVICE, SUCCESS_RULES, classify, classify_with_reasons, find_rule
from hpc.core.failures.diagnosis import BY_CAUSE, BY_SIGN, DIAGNOSES, Diagnosis, diagnose
from hpc.core.failures.evidence import Evidence, FailureClass, Verdict
from hpc.core.failures.fact_rules import FACT_RULES
from hpc.core.failures.health import examine
from hpc.core.layout import RunLayout, attempt_number
from hpc.core.printable import printable_json
from hpc.core.retry.plan import ACTIONS, default_action
from hpc.core.slurm.states import SlurmState, parse_state
from hpc.core.words import counted, few
from hpc.workspace import Workspace

if TYPE_CHECKING:
    from hpc.rounds.consequence import Consequence  # loaded only for targets that are attempts

WIDTH = 80
Answer = dict[str, Any]


# ── evidence from what was given ─────────────────────────────────────────────────────────────────────────────────


def parse_exit(text: str | int | None) -> tuple[int | None, int | None]:
    """Read ``1:0`` (code:signal, as sacct prints it) or a bare code; return code and signal, None where unknown or 0.

    Raises:
        InputError: It is neither.
    """
    if text is None or text == "":
        return None, None
    code, _, signal = str(text).partition(":")
    try:
        return int(code), int(signal or 0) or None
    except ValueError:
        raise InputError(f"'{text}' is not an exit code; write CODE or CODE:SIGNAL, for example 1:0") from None


def parse_metrics(value: Any) -> dict[str, tuple[float, ...]]:
    """Read a list of numbers (one unnamed metric) or a mapping of names to lists; "nan" and "inf" may be strings.

    Raises:
        InputError: It is neither.
    """
    if value is None:
        return {}
    named = value if isinstance(value, Mapping) else {"metric": value}
    try:
        return {str(name): tuple(_number(value) for value in values) for name, values in named.items()}
    except (TypeError, ValueError):
        raise InputError("metrics must be a list of numbers, or a mapping of names to such lists") from None


def _number(value: Any) -> float:
    """A metric value; JSON has no NaN, so null and "nan" stand for it."""
    return float("nan") if value is None else float(value)


def evidence_of_log(
    path: Path | None, state: str | None, exit_code: str | int | None, metrics: Any, source: str = "log"
) -> Evidence:
    """What a log file and a scheduler's words say.

    Raises:
        InputError: An argument cannot be read.
        OSError: The file cannot be read.
    """
    from hpc.adapters.logs import read_log

    code, signal = parse_exit(exit_code)
    return Evidence(
        state=parse_state(state) if state else None,
        exit_code=code,
        exit_signal=signal,
        log=read_log(path, source) if path else (),
        series=parse_metrics(metrics),
    )


def evidence_of_attempt(folder: Path, state: str | None, exit_code: str | int | None, metrics: Any) -> Evidence:
    """What an attempt directory holds. What was given on the command line goes before it."""
    from hpc.snapshots.evidence import gather, read_results
    from hpc.snapshots.snapshot import Progress, attempt_in

    layout, attempt = attempt_in(folder)
    if attempt.progress is not Progress.OVER:
        note(f"note: {folder} left no record of its end; to ask Slurm: python -m hpc.collect {layout.experiment}")
    if attempt.unreadable:
        note(f"note: judged by its logs alone; cannot be read: {attempt.unreadable}")
    found = gather(layout, attempt, read_results(attempt.layout))
    given: dict[str, Any] = {"state": parse_state(state)} if state else {}
    if exit_code is not None:
        given["exit_code"], given["exit_signal"] = parse_exit(exit_code)
    if metrics is not None:
        given["series"] = parse_metrics(metrics)
    return replace(found, **given)


def folder_of(target: str) -> Path | None:
    """Find the attempt directory a target names; None when it is a log file.

    Raises:
        InputError: It is no log file, no attempt, and no run or job of any experiment here.
    """
    path = Path(target)
    if path.is_file():
        return None
    if path.is_dir() and attempt_number(path.name) is None and not (path / "task.json").exists():
        raise InputError(f"{target} has no attempt; give …/tasks/<run name>/attempt-<number> or a log file")
    folder = path if path.is_dir() else _find_attempt(target)
    if folder is None:
        raise InputError(
            f"{target} is neither a log file, an attempt directory (…/tasks/<run name>/attempt-<number>), "
            f"nor a run or Slurm job of an experiment below {Workspace.current().root}{_did_you_mean(target)}"
        )
    return folder


def _did_you_mean(name: str) -> str:
    runs = [path.name for path in Workspace.current().root.glob("*/tasks/*")]
    close = get_close_matches(name, runs, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _find_attempt(name: str) -> Path | None:
    """Find an attempt below the run folder by what somebody calls it; None where nothing is called so.

    That is the newest attempt of a run (``R8_S1``, or ``sweep/R8_S1`` where two experiments have one), the one that ran
    in a Slurm job (``12_3``), or of an experiment the one that failed last.
    """
    if not re.fullmatch(r"[\w.=+,@-]+(/[\w.=+,@-]+)?", name):
        return None
    root = Workspace.current().root
    experiment, _, run = name.rpartition("/")
    if experiment:
        return _newest(root.glob(f"{experiment}/tasks/{run}/attempt-*"))
    if (root / name / "manifest.json").is_file():
        return _failed_last(RunLayout(root, name))
    attempts = list(root.glob(f"*/tasks/{name}/attempt-*"))
    if not attempts and re.fullmatch(r"\d+(_\d+)?", name):
        claims = root.glob("*/tasks/*/attempt-*/claim")
        attempts = [claim.parent for claim in claims if _job_of(claim) == name]
    return _newest(attempts)


def _newest(attempts: Iterable[Path]) -> Path | None:
    return max(attempts, key=lambda path: (path.stat().st_mtime, attempt_number(path.name) or 0), default=None)


def _failed_last(layout: RunLayout) -> Path:
    """Find of all runs of an experiment the attempt that failed last, and name the others that failed.

    Raises:
        InputError: None left a record of a failure.
    """
    from hpc.snapshots.other_code import newest_records
    from hpc.submissions.on_disk import list_attempts, list_runs

    ends = {run: newest_records(layout, run)[1] for run in list_runs(layout)}
    failed = {run: ended.ended for run, ended in ends.items() if ended is not None and not ended.is_done}
    if not failed:
        raise InputError(
            f"no run of {layout.experiment} has recorded a failure; what became of each: "
            f"python -m hpc.collect {layout.experiment}"
        )
    last, *others = sorted(failed, key=lambda run: -failed[run])
    if others:
        note(f"note: {counted(len(failed), 'run')} failed, {last} last; the others by name: {few(others)}")
    return layout.task(last).attempt(list_attempts(layout, last)[-1]).home


def _job_of(claim: Path) -> str:
    """The job that claimed an attempt; empty where the claim cannot be read: one of many must not hide the others."""
    try:
        content = read_json(claim)
    except (InputError, OSError):
        return ""
    return str(content.get("job", "")) if isinstance(content, dict) else ""


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Explained:
    """Everything `why` says of one target.

    Attributes:
        excluded: What was looked for before the rule that decided, and not found.
        diagnosis: Likely causes and debugging steps; of the first warning sign where the run is a success.
        consequence: What follows for this task; None for a bare log file.
    """

    target: str
    verdict: Verdict
    excluded: tuple[str, ...]
    diagnosis: Diagnosis
    consequence: "Consequence | None" = None


def explain(target: str, evidence: Evidence, consequence: "Consequence | None" = None) -> Explained:
    """Judge the evidence and say what is usual for such a verdict."""
    verdict, excluded = classify_with_reasons(evidence)
    warnings = examine(evidence.series) if verdict.category is FailureClass.SUCCESS else ()
    diagnosis = BY_SIGN[warnings[0].sign] if warnings else diagnose(verdict.category, verdict.cause)
    return Explained(target, verdict, excluded, diagnosis, consequence)


def answer(explained: Explained) -> Answer:
    """An explanation as JSON with fixed keys: target, category, rule, evidence, confidence, summary, suggestion …"""
    verdict, row = explained.verdict, find_rule(explained.verdict.rule)
    action = default_action(verdict.category)
    return {
        "target": explained.target,
        "category": verdict.category.value,
        "cause": verdict.cause,
        "rule": verdict.rule,
        "evidence": [asdict(line) for line in verdict.evidence],
        "confidence": verdict.confidence,
        "summary": verdict.summary,
        "suggestion": verdict.suggestion,
        "retry": asdict(action) if action else None,
        "excludes": list(explained.excluded),
        "leaves_open": row.leaves_open if row else "",
        "causes": list(explained.diagnosis.causes),
        "steps": list(explained.diagnosis.steps),
        "decision": asdict(explained.consequence) if explained.consequence else None,
    }


def describe_explanation(explained: Explained) -> str:
    """An explanation for people, in 80 columns."""
    verdict, row = explained.verdict, find_rule(explained.verdict.rule)
    cause = f" ({verdict.cause})" if verdict.cause else ""
    parts = [
        ("why", verdict.summary),
        *((f"{line.source}:{line.line}" if line.line else line.source, line.text) for line in verdict.evidence),
        ("rule", f"{verdict.rule}, confidence {verdict.confidence:.2f}"),
        *([("excludes", ", ".join(explained.excluded))] if explained.excluded else []),
        *([("leaves open", row.leaves_open)] if row else []),
        *_listed("causes", explained.diagnosis.causes),
        *_listed("look at", explained.diagnosis.steps),
        ("next", verdict.suggestion),
        *_retry_parts(verdict, explained.consequence),
    ]
    head = f"{explained.target}: {verdict.category}{cause}"
    return "\n".join((head, *(_paragraph(*part) for part in parts)))


def _listed(label: str, items: tuple[str, ...]) -> list[tuple[str, str]]:
    """One paragraph an item, the label at the first."""
    return [("" if i else label, f"· {item}") for i, item in enumerate(items)]


def _retry_parts(verdict: Verdict, consequence: "Consequence | None") -> list[tuple[str, str]]:
    """What a retry changes: for this task where there is one, else for the class."""
    action = default_action(verdict.category)
    if consequence is None:
        return [("retry", _describe_action(action.action, action.changes, action.reason) if action else _NO_RETRY)]
    if consequence.kind == "finished":
        return [("retry", _NO_RETRY)]
    if consequence.attempt is None:
        return [("retry", f"none: {'; '.join(filter(None, (consequence.reason, consequence.next_step)))}")]
    planned = consequence.kind == "retry"
    lead = f"attempt {consequence.attempt}" + (", planned" if planned else ", already there")
    details = (*consequence.changes, *filter(None, (consequence.next_step,)))
    return [("retry", lead if details else f"{lead}: as it was"), *(("", f"· {each}") for each in details)]


_NO_RETRY = "none: it succeeded"


def _describe_action(action: str, changes: str, reason: str) -> str:
    return f"none: {reason}" if action == "none" else f"{action}: {changes}"


def _paragraph(label: str, text: str) -> str:
    lead = f"  {label:<11} "
    words, command, rest = text.partition("python -m hpc.")
    short = words if len(words) <= 3 * WIDTH else words[: 3 * WIDTH] + " …"
    hang = " " * (16 if text.startswith("· ") else 14)
    filled = textwrap.fill(short, WIDTH, initial_indent=lead, subsequent_indent=hang)
    return f"{filled}\n{hang}{command}{rest}" if command else filled  # a command is pasted as it stands: in one line


def explain_case(case: Mapping[str, Any]) -> Answer:
    """Answer one line of ``--jsonl``: ``log, slurm_state, exit_code, metrics``; a log that is not there is said so."""
    log = case.get("log")
    target = str(case.get("id") or log or "")
    path = Path(log) if log else None
    evidence = evidence_of_log(path, case.get("slurm_state"), case.get("exit_code"), case.get("metrics"))
    given = answer(explain(target, evidence))
    return given if path is None or path.exists() else {**given, "error": f"{log}: no such file"}


def explain_lines(lines: Iterable[str]) -> Iterable[Answer]:
    """Answer each JSON line in order; one that cannot be read is answered with `error` and class unknown."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            case = json.loads(line)
            if not isinstance(case, dict):
                raise InputError("a case is a JSON object with log, slurm_state, exit_code and metrics")
            yield explain_case(case)
        except (InputError, OSError, json.JSONDecodeError) as error:
            text = f"line {number}: {error}"
            yield {**answer(_unreadable(text)), "error": text}


def _unreadable(text: str) -> Explained:
    verdict = Verdict(FailureClass.UNKNOWN, "unreadable-case", summary=text)
    return Explained("", verdict, (), diagnose(verdict.category))


def render_failure_table() -> str:
    """``docs/failure-classes.md``, from the tables in code."""
    parts = (_classes_part(), _diagnosis_part(), _rules_part(), _success_part(), _states_part())
    return "\n".join(line for part in parts for line in part) + "\n"


def _classes_part() -> list[str]:
    head = [
        "# Failure classes",
        "",
        "Generated from `hpc/core/failures/` (classify, log_rules) and `hpc/core/retry/plan.py`; do not edit.",
        "Root cause goes before symptom, evidence before state, and what is unknown is never a success.",
        "",
        "| class | meaning | what a retry changes | what a person does |",
        "|---|---|---|---|",
    ]
    return head + [
        _row_of(f"`{category}`", ADVICE[category].meaning, _retry_cell(category), ADVICE[category].suggestion)
        for category in FailureClass
    ]


def _diagnosis_part() -> list[str]:
    rows = [
        *((f"`{category}`", found) for category, found in DIAGNOSES.items() if found.steps),
        *((f"`{category}`, {cause}", found) for (category, cause), found in BY_CAUSE.items()),
        *((f"a curve: {sign.value.replace('_', ' ')}", found) for sign, found in BY_SIGN.items()),
    ]
    return [
        "", "## Likely causes and debugging steps", "",
        "From `hpc/core/failures/diagnosis.py`, printed by `hpc why`; the likeliest cause and the cheapest step first.",
        "", "| class or sign | likely causes | what to look at |", "|---|---|---|",
        *(_row_of(name, "<br>".join(found.causes), "<br>".join(found.steps)) for name, found in rows),
    ]  # fmt: skip


def _retry_cell(category: FailureClass) -> str:
    action = ACTIONS.get(category)
    return _describe_action(action.action, action.changes, action.reason) if action else "—"


def _rules_part() -> list[str]:
    from hpc.core.failures.log_rules import LOG_RULES

    head = ["| rule | class | cause | proves | leaves open |", "|---|---|---|---|---|"]
    facts = [_row_of(f"`{r.id}`", r.category, r.cause, r.proves, r.leaves_open) for r in FACT_RULES]
    logs = [
        _row_of(f"`{r.id}`", r.category, r.cause, f"{r.tier.name.lower()}", r.proves, r.leaves_open) for r in LOG_RULES
    ]
    return [
        "", "## What states, exit records and metrics prove", "", *head, *facts,
        "", "## What log lines prove", "",
        "A line belongs to the first row that recognises it. *root* names a cause, *fault* is the program's own error,",
        "*symptom* is said by others once somebody is dead, *trace* only shows that something ended badly.", "",
        "| rule | class | cause | tier | proves | leaves open |", "|---|---|---|---|---|---|", *logs,
    ]  # fmt: skip


def _success_part() -> list[str]:
    rows = [_row_of(f"`{rule}`", meaning) for rule, meaning in SUCCESS_RULES.items()]
    return ["", "## What proves success", "", "| rule | shown by |", "|---|---|", *rows]


def _states_part() -> list[str]:
    head = ["", "## A Slurm state alone", "", "| state | class when nothing else is known |", "|---|---|"]
    ended = [state for state in SlurmState if state.is_finished]
    return head + [_row_of(f"`{state}`", classify(Evidence(state=state)).category) for state in ended]


def _row_of(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


# ── command ──────────────────────────────────────────────────────────────────────────────────────────────────────

_HELP = """Explain why an attempt ended as it did.

TARGET is an experiment (of it the last failure), a task, a Slurm job id, an attempt directory or any log file.
With --jsonl, cases are read from standard input, one JSON object a line with the keys log, slurm_state,
exit_code and metrics, and answered in the same order.

Examples:

\b
  python -m hpc.why slurm-4711.out --state FAILED --exit 1:0
  python -m hpc.why lora_sweep
  python -m hpc.why R8_LR0.0001_S42
  python -m hpc.why runs/demo/tasks/S42/attempt-1 --json
  echo '{"log": "a.log", "slurm_state": "FAILED"}' | python -m hpc.why --jsonl
"""


@click.command(help=_HELP)
@click.argument("targets", nargs=-1, metavar="TARGET…")
@click.option("--state", help="The state Slurm reported, such as FAILED or 'CANCELLED by 1000'.")
@click.option("--exit", "exit_code", metavar="C:S", help="Exit code and signal, as sacct prints them, such as 1:0.")
@click.option("--metrics", metavar="JSON", help='A list of values, or {"loss": [..], ..}.')
@click.option("--jsonl", is_flag=True, help="Read cases from standard input, answer with one JSON object per line.")
@json_option
@speaks_plainly
def main(
    targets: tuple[str, ...], state: str | None, exit_code: str | None, metrics: str | None, jsonl: bool, as_json: bool
) -> int:
    """Entry point of ``python -m hpc.why`` and ``hpc why``."""
    if jsonl:
        return _answer_lines()
    _explain(targets, state, exit_code, metrics, as_json=as_json)
    return EXIT_DONE


def _answer_lines() -> int:
    unreadable = 0
    for given in explain_lines(sys.stdin):
        unreadable += "error" in given
        say(printable_json(json.dumps(given, ensure_ascii=False)))
    return InputError.exit_code if unreadable else EXIT_DONE


def _explain(
    targets: tuple[str, ...], state: str | None, exit_code: str | None, metrics: str | None, *, as_json: bool
) -> None:
    if not targets:
        raise InputError("nothing to explain; give a log file or an attempt directory, or --jsonl")
    series = _parse_json(metrics) if metrics else None
    explained: list[Explained] = []
    problems: list[Problem] = []
    for target in targets:
        try:
            explained.append(_explain_target(target, state, exit_code, series))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    if as_json:
        answers = [answer(each) for each in explained]
        print_json(answers[0] if len(answers) == 1 else answers)
    else:
        say("\n\n".join(describe_explanation(each) for each in explained))


def _explain_target(target: str, state: str | None, exit_code: str | None, series: Any) -> Explained:
    folder = folder_of(target)
    if folder is None:
        path = Path(target)
        return explain(target, evidence_of_log(path, state, exit_code, series, source=path.name))
    from hpc.rounds.consequence import find_consequence

    found = evidence_of_attempt(folder, state, exit_code, series)
    # What somebody assumes on the command line is not what the plan knows: then the class's own action is said.
    assumed = state is not None or exit_code is not None or series is not None
    label = target if _names_attempt(target) else f"{target}/{folder.parent.name}"
    return explain(label, found, None if assumed else find_consequence(folder))


def _names_attempt(target: str) -> bool:
    """Whether a target says which attempt or run is meant, and not only which experiment."""
    return Path(target).is_dir() or not (Workspace.current().root / target / "manifest.json").is_file()


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError([Problem(f"is not JSON: {error}", "--metrics")]) from None


if __name__ == "__main__":
    main()
