"""Explain a failure: the class, the very line that says so, the rule, what it leaves open, the next step.

python -m hpc.why lora_sweep
python -m hpc.why slurm-4711.out --state FAILED --exit 1:0
python -m hpc.why runs/lora_sweep/tasks/R8_LR1e-4_S42/attempt-1 --json
zcat train.log.gz | python -m hpc.why -
python -m hpc.why --jsonl < cases.jsonl
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hpc import completing
from hpc.console import json_option, note, print_json, say, speaks_plainly
from hpc.core.errors import EXIT_DONE, InputError, Problem
from hpc.core.printable import printable_json
from hpc.explaining.cases import explain_lines
from hpc.explaining.explained import Explained, answer, describe_explanation, explain
from hpc.explaining.folders import describe_folder, explain_folder
from hpc.explaining.given import Given, evidence_of_attempt, evidence_of_log, evidence_of_stream
from hpc.explaining.targets import folder_of, joined, names_attempt

_HELP = """Explain why an attempt ended as it did.

TARGET is an experiment (of it the last failure; default: the one planned last), a task, a Slurm job id, an attempt
directory, any log file (compressed or not), a folder of logs such as slurm-*.out, or - for a log on standard input.
With --jsonl, cases are read from standard input, one JSON object a line with the keys log, slurm_state,
exit_code and metrics, and answered in the same order.

Examples:

\b
  python -m hpc.why slurm-4711.out --state FAILED --exit 1:0
  python -m hpc.why lora_sweep
  python -m hpc.why lora_sweep R8_LR0.0001_S42
  python -m hpc.why runs/demo/tasks/S42/attempt-1 --json
  ssh node cat train.log | python -m hpc.why -
  echo '{"log": "a.log", "slurm_state": "FAILED"}' | python -m hpc.why --jsonl
"""


@click.command(help=_HELP)
@click.argument("targets", nargs=-1, metavar="[TARGET]…", shell_complete=completing.targets)
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
        _refuse_beside_jsonl(targets)
        return _answer_lines()
    _explain(targets, Given(state, exit_code, _parse_json(metrics) if metrics else None), as_json=as_json)
    return EXIT_DONE


def _refuse_beside_jsonl(targets: tuple[str, ...]) -> None:
    if targets:
        raise InputError("--jsonl reads cases from standard input; leave the targets out, or leave out --jsonl")


def _answer_lines() -> int:
    unreadable = 0
    for given in explain_lines(sys.stdin.buffer):
        unreadable += "error" in given
        say(printable_json(json.dumps(given, ensure_ascii=False)))
    return InputError.exit_code if unreadable else EXIT_DONE


def _explain(targets: Sequence[str], given: Given, *, as_json: bool) -> None:
    targets = targets or _planned_last()
    if targets.count(STDIN) > 1:
        raise InputError("standard input can be read once; give - once")
    targets = joined(targets)
    told: list[str] = []
    explained: list[Explained] = []
    problems: list[Problem] = []
    for target in targets:
        try:
            found, text = _explain_target(target, given)
        except InputError as error:
            problems += error.problems
        else:
            explained += found
            told.append(text)
    if problems:
        raise InputError(problems)
    if as_json:
        answers = [answer(each) for each in explained]
        alone = len(targets) == 1 and len(answers) == 1 and answers[0]["target"] == targets[0]
        print_json(answers[0] if alone else answers)
    else:
        say("\n\n".join(told))


def _planned_last() -> Sequence[str]:
    """The experiment planned last, as other commands take it.

    Raises:
        InputError: There is none.
    """
    from hpc.workspace import Workspace

    try:
        return (Workspace.current().layout(None, acts=False).experiment,)
    except InputError:
        raise InputError("nothing to explain; give a log file or an attempt directory, - or --jsonl") from None


STDIN = "-"


def _explain_target(target: str, given: Given) -> tuple[list[Explained], str]:
    """Explain what a target names, one or many; and tell it."""
    folder = None if target == STDIN else folder_of(target)
    path = Path(target)
    if folder is None and target != STDIN and path.is_dir():
        many = explain_folder(path, given)
        return many, describe_folder(path, many)
    one = _explain_log(target, given) if folder is None else _explain_attempt(target, folder, given)
    return [one], describe_explanation(one)


def _explain_log(target: str, given: Given) -> Explained:
    if target == STDIN:
        if sys.stdin.isatty():
            note("note: reading a log from the terminal; end it with Ctrl-D")
        return explain(target, evidence_of_stream(sys.stdin.buffer, given))
    path = Path(target)
    return explain(target, evidence_of_log(path, given.state, given.exit_code, given.metrics, source=path.name))


def _explain_attempt(target: str, folder: Path, given: Given) -> Explained:
    from hpc.adapters.siblings_file import read_siblings
    from hpc.core.layout import AttemptLayout, RunLayout
    from hpc.explaining.not_copied import describe_not_copied
    from hpc.rounds.consequence import find_consequence

    found = evidence_of_attempt(folder, given)
    # What somebody assumes on the command line is not what the plan knows: then the class's own action is said.
    label = target if names_attempt(target) else f"{target}/{folder.parent.name}"
    experiment = folder.absolute().parents[2]
    layout = RunLayout(experiment.parent, experiment.name)
    return explain(
        label,
        found,
        None if given.is_anything else find_consequence(folder),
        siblings=read_siblings(layout),
        note=lambda verdict: describe_not_copied(
            layout, AttemptLayout(folder), [each.text for each in verdict.evidence]
        ),
    )


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError([Problem(f"is not JSON: {error}", "--metrics")]) from None


if __name__ == "__main__":
    main()
