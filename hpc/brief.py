"""Ask what has to be said before anything runs, and write it into the experiment: its brief.

    hpc brief lora_sweep
    hpc brief lora_sweep --from answers.yaml --non-interactive

One question after the other; Enter keeps what is there already. An answer that leaves open what would count is asked
about once more. The threshold becomes a criterion that the report evaluates, and is read back in words before anything
is written. Only the brief block of the file changes.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpc.completing import experiments
from hpc.console import (
    as_typed,
    dry_run_option,
    json_option,
    note,
    print_json,
    say,
    show_text,
    speaks_plainly,
)
from hpc.core.errors import EXIT_DONE, EXIT_NOTHING, InputError, NothingToDo
from hpc.core.layout import RunLayout
from hpc.core.question.phase_zero import QUESTIONS, STAGES, Asked, headings, in_order, unanswered
from hpc.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpc.experiments.briefing import Subject

PROBES = 2
"""How often one answer is asked about again."""


@click.command(epilog="Example: python -m hpc.brief lora_sweep --from answers.yaml --non-interactive")
@click.argument("name", required=False, shell_complete=experiments)
@click.option(
    "--from", "answers", type=click.Path(path_type=Path), help="YAML file with answers: any keys of the brief."
)
@click.option("--non-interactive", is_flag=True, help="Ask nothing; name every question without an answer.")
@dry_run_option
@json_option
@speaks_plainly
def main(name: str | None, answers: Path | None, non_interactive: bool, dry_run: bool, as_json: bool) -> int:
    """Ask what experiment NAME (default: the only one) should find out, question vague answers, and write its brief."""
    from hpc.experiments.briefing import put_together, read_answers, read_subject, refuse_missing, rewrite, write_brief
    from hpc.experiments.sealing import sealed_words

    workspace = Workspace.current()
    name = workspace.chosen(name)
    subject = read_subject(workspace.experiment_file(name), workspace.project)
    given = read_answers(answers) if answers else {}
    sealed = sealed_words(RunLayout(workspace.root, subject.spec.name))
    if sealed and not as_json:
        note(sealed)
    if non_interactive or as_json:
        brief = put_together(subject, given)
        try:
            refuse_missing(subject, brief, shlex.quote(name))
        except InputError:
            note_flags(subject, given)
            raise
    else:
        brief = interview(subject, given)
    try:
        text, changed = rewrite(subject, brief, workspace.project)
    except InputError:
        if not (non_interactive or as_json):
            tell_so_far(brief)
        raise
    if as_json:
        print_json(describe(subject, brief, changed, sealed, written=bool(changed) and not dry_run))
    else:
        show(subject, brief, changed, is_asked=not non_interactive, dry_run=dry_run)
    if not changed:
        raise NothingToDo(
            f"the brief of {subject.spec.name} already says this; next: python -m hpc.plan {shlex.quote(name)}"
        )
    if dry_run:
        return EXIT_DONE
    if not (non_interactive or as_json) and not confirmed(subject):
        note("nothing was written")
        return EXIT_NOTHING
    write_brief(subject, text)
    if not as_json:
        say(f"wrote the brief into {as_typed(subject.file)}: {', '.join(changed)}")
        say(f"next: python -m hpc.plan {shlex.quote(name)}")
    return EXIT_DONE


def interview(subject: Subject, given: Mapping[str, str]) -> dict[str, str]:
    """Ask every question that was not answered on the command line.

    Raises:
        InputError: Nobody answers; what was said so far is printed, to be used again.
    """
    from hpc.experiments.briefing import put_together

    note("Enter keeps an answer, or leaves a question open. Ctrl-C stops and shows your answers so far.")
    brief = put_together(subject, given)
    if "criterion" not in given and "criterion" not in subject.written:
        brief.pop("criterion", None)
    before = dict(brief)
    try:
        for asked, about in zip(QUESTIONS, headings(QUESTIONS), strict=True):
            if about:
                note(f"\n{about}")
            if asked.key in given and asked.key != "criterion":
                note(f"  {asked.question} {given[asked.key]}")
                answer = given[asked.key]
            else:
                answer = ask_one(subject, asked, brief)
            brief = in_order({**brief, asked.key: probe(subject, asked, answer)})
    except click.Abort as error:
        if brief != before:
            tell_so_far(brief)
        if isinstance(error.__context__, KeyboardInterrupt):
            note("nothing was written")
            raise KeyboardInterrupt from None
        raise InputError("no answer came, so nothing was written; --non-interactive lists what is missing") from None
    return brief


def ask_one(subject: Subject, asked: Asked, brief: Mapping[str, str]) -> str:
    """Ask one question, with what is there as the default."""
    if asked.key == "stage":
        return ask_stage(asked, brief.get("stage", STAGES[0]))
    if asked.key == "criterion":
        return ask_rule(subject, asked, brief)
    return put(asked.question, asked.hint, brief.get(asked.key, ""), asked.key)


def put(question: str, hint: str, now: str, key: str = "") -> str:
    """Print a question and read the line that answers it, again where it cannot stand in a brief.

    Args:
        question: What is asked.
        hint: What an answer holds.
        now: What Enter keeps; empty for nothing.
        key: Of the answer; empty where it is checked elsewhere.

    Raises:
        click.Abort: Nobody answers.
    """
    note(f"  {question} ({hint})" if hint else f"  {question}")
    if now:
        note(f"  now: {now}")
    from hpc.experiments.briefing import not_an_answer

    while True:
        typed = str(click.prompt("  >", default=now, show_default=False, prompt_suffix=" ", err=True))
        # what a terminal could not decode is no text, and could not be written
        answer = typed.strip().encode("utf-8", "replace").decode("utf-8")
        wrong = not_an_answer(key, answer) if key and answer else ""
        if not wrong:
            return answer
        note(f"  no: {wrong}")


def ask_stage(asked: Asked, now: str) -> str:
    """Ask for one of two words; the first letters will do."""
    while True:
        answer = put(asked.question, asked.hint, now).lower()
        if fits := [one for one in STAGES if answer and one.startswith(answer)]:
            return fits[0]
        note(f"  {answer!r} is neither; valid: {', '.join(STAGES)}")


def ask_rule(subject: Subject, asked: Asked, brief: Mapping[str, str]) -> str:
    """Ask for the criterion, with the threshold as a rule where it could be read, until it is one or left open."""
    from hpc.core.question.criterion import EXAMPLE
    from hpc.core.question.threshold import whats_wrong
    from hpc.experiments.briefing import draft_rule, example_rule, read_back, rule_hint

    now = draft_rule(subject, brief)
    hint = asked.hint if now else f"{asked.hint}; {rule_hint(subject, brief)}"
    while True:
        answer = put(asked.question, hint, now)
        if answer and (read := draft_rule(subject, {"success": answer})):
            answer = read
        wrong = whats_wrong(answer, subject.question) if answer else ()
        if not wrong:
            if answer:
                note(f"  {read_back(subject, {'criterion': answer})}")
            return answer
        for said in wrong:
            note(f"  no: {said.replace(EXAMPLE, example_rule(subject))}")
        now = "" if answer == now else now


def probe(subject: Subject, asked: Asked, answer: str) -> str:
    """Ask again where an answer leaves open what would count, and say what the file leaves open beside it."""
    from hpc.experiments.briefing import flags_of, flags_of_file

    for _ in range(PROBES):
        if not (flags := flags_of(subject, asked.key, answer)):
            break
        note(f"  ! {flags[0].betrays}.")
        again = put(flags[0].question, "say it in one sentence, or press Enter to leave it as it is", answer, asked.key)
        if again == answer:
            break
        answer = again
    for one in flags_of_file(subject, {asked.key: answer}) if asked.key in ("baseline", "metrics") else ():
        if one.key == asked.key:
            note(f"  ! {one.text}")
    return answer


def note_flags(subject: Subject, given: Mapping[str, str]) -> None:
    """Say what the answers leave open, where others are missing altogether."""
    from hpc.experiments.briefing import Found, flags_of

    for key, answer in given.items():
        for flag in flags_of(subject, key, answer):
            note(f"note: {Found(key, flag).text}")


def confirmed(subject: Subject) -> bool:
    """Ask whether it is meant so."""
    try:
        return click.confirm(f"Is that what you mean? It goes into {as_typed(subject.file)}", default=True, err=True)
    except click.Abort:
        return False


def tell_so_far(brief: Mapping[str, str]) -> None:
    """Print the answers in a form that --from reads."""
    from hpc.experiments.rewriting import block_lines

    note("\nyour answers so far, as --from reads them:")
    for line in block_lines("brief", brief):
        note(line)


def describe(
    subject: Subject, brief: Mapping[str, str], changed: tuple[str, ...], sealed: str, *, written: bool
) -> dict[str, object]:
    """The brief as one JSON value."""
    from hpc.experiments.briefing import flags_in, read_back

    return {
        "experiment": subject.spec.name,
        "file": str(subject.file),
        "brief": dict(brief),
        "changed": list(changed),
        "in_words": read_back(subject, brief) or None,
        "flags": [one.to_json() for one in flags_in(subject, brief)],
        "sealed": sealed or None,
        "written": written,
    }


def show(
    subject: Subject, brief: Mapping[str, str], changed: tuple[str, ...], *, is_asked: bool, dry_run: bool
) -> None:
    """Print the brief, its rule in words, and what it leaves open."""
    from hpc.experiments.briefing import flags_in, read_back, undeclared_baseline
    from hpc.experiments.rewriting import block_lines

    if is_asked:
        say()
    if changed:
        show_text("\n".join(block_lines("brief", brief)))
    if words := read_back(subject, brief):
        say(f"{words}.")
        say("REFUTED if no value that is still possible meets it; else UNDECIDED, or MET AT FACE VALUE without a test.")
    if open_ones := [one.key for one in unanswered(brief)]:
        note(f"note: left open: {', '.join(open_ones)}")
    flags = () if is_asked else flags_in(subject, brief)  # where it was asked, each was said beside its question
    for text in (*(one.text for one in flags), undeclared_baseline(subject, brief)):
        if text:
            note(f"note: {text}")
    if dry_run and changed:
        say(f"would write the brief into {as_typed(subject.file)}: {', '.join(changed)}")


if __name__ == "__main__":
    main()
