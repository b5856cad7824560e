"""Make a repository ready: one experiment that runs its own program, ignore lines, schemas for editors.

    hpc init
    hpc init train.py --metric val_loss --yes

The program is read, never run: arguments and printed numbers are found in its source. What is there already stays.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import click

from hpc.adapters.yaml_file import load_yaml
from hpc.console import dry_run_option, json_option, note, print_json, say, speaks_plainly
from hpc.core.errors import EXIT_DONE, InputError, NothingToDo
from hpc.core.immutable import immutable, replace
from hpc.core.layout import name_problem
from hpc.core.program.draft import Draft
from hpc.core.program.naming import Printed, goal_of, guess_for
from hpc.core.words import counted, few
from hpc.workspace import Workspace

if TYPE_CHECKING:
    from hpc.newcomer.find import Program
    from hpc.newcomer.write import Wanted

FIRST = "first_sweep"


@click.command(epilog="Example: python -m hpc.init train.py --metric val_loss --yes")
@click.argument("program", required=False)
@click.option("--name", help=f"Name of the experiment.  [default: {FIRST}]")
@click.option("--metric", help="The metric that decides, as the program prints it.")
@click.option(
    "--goal", type=click.Choice(("min", "max")), help="Whether lower or higher is better. Default: by its name."
)
@click.option("--run-help", is_flag=True, help="Learn the options from PROGRAM --help, which executes PROGRAM.")
@click.option("--makefile", is_flag=True, help="Also write targets for make: manifests, submit, retry, report.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@dry_run_option
@json_option
@speaks_plainly
def main(
    program: str | None,
    name: str | None,
    metric: str | None,
    goal: str | None,
    run_help: bool,
    makefile: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Set up this repository: write an experiment that runs PROGRAM (default: the training program it finds)."""
    from hpc.newcomer.write import check_draft, wanted_files, wanted_makefile, write_files

    workspace = Workspace.current()
    asks = not (yes or as_json or dry_run)
    chosen = choose_name(workspace, name, is_asked=bool(name or program))
    made = make_draft(workspace.project, program, chosen, Answers(metric, goal, run_help, asks)) if chosen else None
    if made:
        check_draft(made)
    else:
        load_yaml(workspace.experiments / f"{newest(workspace)}.yaml")  # what is advised next can be read
    wanted = wanted_files(workspace.project, made)
    if makefile and (targets := wanted_makefile(workspace.project)):
        wanted.append(targets)
    if not wanted:
        there = next_line(newest(workspace))
        raise NothingToDo(f"everything is in place (to add another: python -m hpc.init --name OTHER); next: {there}")
    if not dry_run:
        write_files(workspace.project, wanted)
    if as_json:
        print_json(describe(workspace, made, wanted))
    else:
        show(workspace, made, wanted, dry_run=dry_run)
    return EXIT_DONE


@immutable
class Answers:
    """What is known before anything is asked, and whether it may be."""

    metric: str | None
    goal: str | None
    run_help: bool
    asks: bool


def choose_name(workspace: Workspace, name: str | None, *, is_asked: bool) -> str | None:
    """What the experiment will be called; None where there is one and nobody asked for another.

    Raises:
        InputError: It cannot be a name, or an experiment is called so already.
    """
    there = sorted(path.stem for path in workspace.experiments.glob("*.yaml"))
    if there and not is_asked:
        return None
    chosen = name or FIRST
    if problem := name_problem(chosen):
        raise InputError(f"--name {chosen!r} {problem}")
    if chosen in there:
        raise InputError(f"{workspace.experiments / chosen}.yaml already exists and is left as it is; add --name OTHER")
    return chosen


def newest(workspace: Workspace) -> str:
    """The experiment that was written last."""
    return max(workspace.experiments.glob("*.yaml"), key=lambda path: path.stat().st_mtime).stem


def make_draft(project: Path, command: str | None, name: str, answers: Answers) -> Draft:
    """Find the program and its metric, asking for both where that is wanted.

    Raises:
        InputError: There is no program, or the one named is not there.
    """
    from hpc.newcomer.find import ask_the_program, read_command
    from hpc.newcomer.job_scripts import find_given, started_by
    from hpc.newcomer.write import check_draft

    command = choose_command(project, asks=answers.asks) if command is None else command
    started = started_by(project, PurePath(command))
    program = read_command(project, str(started.relative_to(project)) if started else command)
    if answers.run_help:
        program = ask_the_program(project, program)
    metric, is_guess = choose_metric(program, answers)
    from hpc.adapters.this_machine import share_of_machine  # here: a program that is found needs it, not --help

    cpus, memory = (2, "8GB") if shutil.which("sbatch") else share_of_machine()
    asked = PurePath(command) if started else None
    plain = Draft(name, program.start, program.interface, metric, is_guess, cpus, memory)
    if (read := find_given(project, program.file, program.interface, asked)) is None:
        return plain
    made = replace(plain, given=read[0], interface=read[1])
    try:
        check_draft(made)
    except InputError as error:
        note(f"note: {read[0].script} is left aside: {error.problems[0].message}")
        return plain
    return made


def choose_command(project: Path, *, asks: bool) -> str:
    """The command of the likeliest program, or what somebody answers who is asked.

    Raises:
        InputError: There is no program, and none was named.
    """
    from hpc.newcomer.find import as_script, find_notebooks, find_other_programs, find_programs

    found, foreign = find_programs(project), find_other_programs(project)
    default = found[0].start if found else foreign[0] if len(foreign) == 1 and asks else ""
    if others := [str(each.file.relative_to(project)) for each in found[1:] if each.file]:
        another = f"another by python -m hpc.init PROGRAM: {few(others)}"
        note(f"note: it is one of {len(found)} programs; {another}")
    command = ask("Which command runs the training?", default) if asks else default
    if not command:
        notebooks = find_notebooks(project)
        beside = f". {notebooks[0]} is a notebook. {as_script(notebooks[0])}" if notebooks else ""
        there = f", of {few(foreign)}" if foreign else ""
        named = f"name it{there}: python -m hpc.init {shlex.quote(foreign[0]) if foreign else 'PROGRAM.py'}"
        raise InputError(f"no training program was found in {project}; {named}{beside}")
    return command


def choose_metric(program: Program, answers: Answers) -> tuple[Printed, bool]:
    """The number that decides; and whether its pattern is a guess, because nothing in the source prints it."""
    likeliest = program.printed[0].name if program.printed else "loss"
    name = answers.metric or (ask("Which number that it prints decides?", likeliest) if answers.asks else likeliest)
    found = next((each for each in program.printed if each.name == name), None)
    goal = answers.goal or (found.goal if found else goal_of(name))
    if found:
        return replace(found, goal=goal), False
    return Printed(name, goal, guess_for(name), 0), True


def ask(question: str, default: str) -> str:
    """Ask one question.

    Raises:
        InputError: Nobody answers.
    """
    try:
        return str(click.prompt(question, default=default or None, err=True))
    except click.Abort:
        raise InputError("no answer came; to be asked nothing: python -m hpc.init --yes") from None


def next_line(name: str, cluster: str = "") -> str:
    """What to type next."""
    on = f" --cluster {cluster}" if cluster else ""
    return f"python -m hpc.plan {name}{on} && python -m hpc.submit {name} --follow"


def describe(workspace: Workspace, made: Draft | None, wanted: list[Wanted]) -> dict[str, object]:
    """What was written as one JSON value."""
    draft = {
        "experiment": made.name,
        "program": made.start,
        "style": made.interface.style,
        "metric": {"name": made.metric.name, "goal": made.metric.goal, "guess": made.is_guess},
        "swept": made.swept.name if made.swept else None,
        "to_fill_in": [each.name for each in made.unknown],
    } if made else {"experiment": None}  # fmt: skip
    return {**draft, "project": str(workspace.project), "files": [str(each.path) for each in wanted]}


def show(workspace: Workspace, made: Draft | None, wanted: list[Wanted], *, dry_run: bool) -> None:
    """Print what was written, what is left to a person, and the next command."""
    for each in wanted:
        say(f"{'would write' if dry_run else 'wrote'} {each.path}: {each.why}")
    if made is None:
        say(f"next: {next_line(newest(workspace))}")
        return
    swept = f"compares values of {' and '.join(made.grid)}" if made.grid else "runs it as it is"
    say(f"{made.name} starts `{made.start}`, {swept} and decides by {made.metric.name} ({made.metric.goal})")
    if made.given:
        say(f"arguments, loops and resources are those of {made.given.script}")
        if made.given.starts > 1:
            note(f"note: it starts the program {made.given.starts} times with other arguments; this is one of them")
        if made.given.others:
            others = counted(made.given.others, "script starts", "scripts start")
            note(f"note: {others} it, too; to take another: python -m hpc.init SCRIPT.sh --name OTHER")
    for line in left_to_do(made):
        note(f"note: {line}")
    from hpc.newcomer.write import SITE, SITE_FILE

    say(f"next, to say what you want to find out: python -m hpc.brief {made.name}")
    site = SITE if any(each.path == SITE_FILE for each in wanted) else ""
    say(f"or at once: {next_line(made.name, site if shutil.which('sbatch') else '')}")
    if site and not shutil.which("sbatch"):
        say(f"or on the cluster: {next_line(made.name, site)}")


def left_to_do(made: Draft) -> list[str]:
    """What only a person knows."""
    told = []
    if made.unknown:
        names = ", ".join(f"{{{each.name}}}" for each in made.unknown)
        told.append(f"the program needs values for {names}: put them into program.command")
    if (first := shlex.split(made.start)[0]) and "/" not in first and not shutil.which(first):
        told.append(f"there is no command {first} on this machine: without a container, no run would start")
    if made.is_guess:
        told.append(f"nothing in its source prints {made.metric.name}: compare metrics.source with its output")
    if made.grid and made.metric.name.startswith("test"):
        told.append(
            f"{made.metric.name} is measured on the test set, and values chosen by it look better than they are: "
            "choose by a validation number, if it prints one"
        )
    if not made.interface.style:
        told.append(
            "its arguments are not in its source; --run-help runs it with --help, or add them to program.command"
        )
    elif not made.takes_seed:
        told.append("it takes no seed, so one run per configuration says nothing about chance; give it a --seed option")
    return told


if __name__ == "__main__":
    main()
