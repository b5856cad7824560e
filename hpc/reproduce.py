"""Make a run again from its records, and hold the two against each other.

    python -m hpc.reproduce R8_S42 --dry-run
    python -m hpc.reproduce lora_sweep/R8_S42 --submit
    python -m hpc.reproduce R8_S42

The first line says what cannot be the same any more. The run made again is an experiment of its own with one task:
the same frozen code, image, arguments, seed and launch. The last line, after its end, compares.
"""

import math
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from hpc import completing
from hpc.console import dry_run_option, json_option, note, print_json, print_table, say, show_text, speaks_plainly
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, EXIT_NOTHING, InputError
from hpc.core.history.entries import Entry
from hpc.core.history.metrics import number
from hpc.core.words import rounded
from hpc.reproduction.by_command import find_entry, next_lines, what_is_kept
from hpc.reproduction.copying import Copy, make_copy, root_variable, write_copy
from hpc.reproduction.looking import Again, Stage, look
from hpc.reproduction.named import Original, find_experiment, find_original, split_name
from hpc.workspace import Workspace, own_command, own_environment

if TYPE_CHECKING:
    from hpc.core.history.reproduced import Repeated


@click.command(epilog="Example: python -m hpc.reproduce R8_S42 --experiment lora_sweep --submit")
@click.argument("run", required=False, metavar="RUN", shell_complete=completing.runs)
@click.option(
    "--experiment", metavar="NAME", shell_complete=completing.experiments,
    help="The experiment of the run, where several have one of that name.",
)  # fmt: skip
@click.option("--submit", "submits", is_flag=True, help="Submit it, too.")
@dry_run_option
@json_option
@speaks_plainly
def main(run: str | None, experiment: str | None, submits: bool, dry_run: bool, as_json: bool) -> int:
    """Make RUN again from its records, and compare: code, image, arguments and seed are those it had."""
    workspace = Workspace.current()
    if run is None:
        raise InputError("which run? Give EXPERIMENT/RUN; to see those there are: python -m hpc.history best")
    asked, name = split_name(run, experiment)
    entry = find_entry(workspace, run) if experiment is None else None
    layout = None if entry else workspace.layout(asked, acts=False) if asked else find_experiment(workspace, name)
    if entry is None and layout is None:
        raise InputError(f"no run {run}, in any planned experiment or in the log; see python -m hpc.history list")
    if layout is None:
        return _by_command(workspace, entry, submits, as_json=as_json)
    original = find_original(layout, name)
    copy = make_copy(workspace, original)
    if dry_run:
        return _tell_plan(original, copy, "would be planned", as_json=as_json)
    if not copy.exists:
        write_copy(original, copy)
    again = look(copy.layout)
    if submits and again.stage is Stage.PLANNED:
        _submit(copy)
        again = look(copy.layout)
    return _tell(original, copy, again, as_json=as_json)


def _submit(copy: Copy) -> None:
    """Submit the copy by the command that submits; what that prints stands beside our answer.

    Raises:
        InputError: It refused; its own words were printed.
    """
    command = own_command("hpc.submit", copy.layout.experiment, "--json")
    done = subprocess.run(
        command, env={**own_environment(), **root_variable(copy.layout)}, stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode not in (EXIT_DONE, EXIT_FAILED, EXIT_NOTHING):
        raise InputError(f"not submitted; try again: python -m hpc.submit {shlex.quote(copy.layout.experiment)}")


def _tell(original: Original, copy: Copy, again: Again, *, as_json: bool) -> int:
    """Say how far it is; after its end, what came of it."""
    name = shlex.quote(copy.layout.experiment)
    if again.attempt is not None:
        return _tell_comparison(original, copy, again, as_json=as_json)
    if again.stage is Stage.FAILED:
        code = _tell_plan(original, copy, "made again, and failed", as_json=as_json)
        note(f"why: python -m hpc.why {name} {shlex.quote(original.task.run_name)}")
        return code or EXIT_FAILED
    told = {Stage.PLANNED: "planned", Stage.LIVE: "submitted; it waits or runs"}[again.stage]
    code = _tell_plan(original, copy, told, as_json=as_json)
    if not as_json:
        say("next:")
        say(f"  python -m hpc.{'submit' if again.stage is Stage.PLANNED else 'status'} {name}")
        say("and when it has ended, to compare:")
        say(f"  python -m hpc.reproduce {shlex.quote(original.name)}")
    return code


def _tell_plan(original: Original, copy: Copy, stage: str, *, as_json: bool) -> int:
    """Say what is made again, and what cannot be the same."""
    if as_json:
        print_json({**_head(original, copy), "stage": stage, "cannot_be_same": list(copy.differs)})
        return EXIT_DONE
    say(f"{original.name}, attempt {original.attempt.number}, as {copy.layout.experiment}: {stage}")
    say(f"  code {original.record.code.sha256[:16]}, {_image_of(copy)}, seed {original.task.seed}")
    show_text(f"  {shlex.join(_arguments_of(copy, original))}")
    for sentence in copy.differs:
        say(f"cannot be the same: {sentence}")
    return EXIT_DONE


def _arguments_of(copy: Copy, original: Original) -> Iterator[str]:
    """The command line made again: where the first run's folders stood, those of the copy."""
    first, again = (layout.task(original.task.run_name) for layout in (original.layout, copy.layout))
    moved = {str(original.attempt.home): str(again.attempt(1).home), str(first.home): str(again.home)}
    return (_moved(word, moved) for word in original.record.argv)


def _moved(word: str, moved: Mapping[str, str]) -> str:
    for old, new in moved.items():
        word = re.sub(rf"{re.escape(old)}(?![\w.-])", new.replace("\\", r"\\"), word)
    return word


def _head(original: Original, copy: Copy) -> dict[str, Any]:
    return {
        "experiment": copy.layout.experiment,
        "home": str(copy.layout.home),
        "reproduces": {"experiment": original.layout.experiment, "run": original.task.run_name,
                       "attempt": original.attempt.number},
        "code": original.record.code.sha256,
        "image": copy.manifest["provenance"]["image"],
        "seed": original.task.seed,
    }  # fmt: skip


def _image_of(copy: Copy) -> str:
    image = copy.manifest["provenance"]["image"]
    return f"image {image['sha256'][:16]}" if image else "no image"


def _tell_comparison(original: Original, copy: Copy, again: Again, *, as_json: bool) -> int:
    from hpc.core.history.reproduced import describe_reproduction, is_reproduced
    from hpc.reproduction.comparing import compare, primary_of, what_differed  # h5py and numpy

    assert again.attempt is not None  # noqa: S101  the caller looked
    metrics, primary = compare(original, again.attempt), primary_of(original)
    differed, verdict = what_differed(original, again.attempt), describe_reproduction(metrics, primary)
    code = EXIT_DONE if is_reproduced(metrics, primary) else EXIT_FAILED
    if as_json:
        print_json({
            **_head(original, copy), "stage": again.stage.value, "differed": list(differed),
            "metrics": [_metric_json(each) for each in metrics], "reproduced": code == EXIT_DONE, "verdict": verdict,
        })  # fmt: skip
        return code
    say(f"{original.name} and {copy.layout.experiment}: {verdict}")
    rows = [_row(each) for each in metrics]
    print_table("", ("metric", "first", "again", "difference", "seed spread", "verdict"), rows, right=(1, 2, 3))
    for sentence in differed:
        say(f"not the same: {sentence}")
    return code


def _row(each: "Repeated") -> tuple[str, ...]:
    values = ("–" if value is None else number(value) for value in (each.before, each.after, each.difference))
    spread = f"{rounded(each.spread.deviation, 2)} (n {each.spread.runs})" if each.spread else "not known"
    told = "a time or size, not judged" if each.is_cost and each.difference else each.sameness.value
    parts = f"; curves part at step {each.curves_part_at}" if each.curves_part_at is not None else ""
    return (each.metric, *values, spread, f"{told}{parts}")


def _metric_json(each: "Repeated") -> dict[str, Any]:
    return {
        "metric": each.metric,
        "first": _finite(each.before),
        "again": _finite(each.after),
        "difference": _finite(each.difference),
        "seed_spread": {"deviation": each.spread.deviation, "runs": each.spread.runs} if each.spread else None,
        "curves_part_at": each.curves_part_at,
        "is_cost": each.is_cost,
        "verdict": each.sameness.value,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _by_command(workspace: Workspace, entry: Entry | None, submits: bool, *, as_json: bool) -> int:
    """Say how a run that was recorded by its command is started again."""
    assert entry is not None  # noqa: S101  the caller looked
    if submits:
        raise InputError(f"{entry.name} was recorded by its command and is started by hand; leave out --submit")
    kept, lines = what_is_kept(workspace, entry), next_lines(entry)
    if as_json:
        print_json({
            "id": entry.name, "command": entry.command, "commit": entry.commit.rstrip("+"),
            "dirty": entry.commit.endswith("+"), "cannot_be_same": list(kept), "next": list(lines),
        })  # fmt: skip
        return EXIT_DONE
    say(f"{entry.name}: recorded by its command on {entry.date}, so only that and the commit are known")
    for sentence in kept:
        say(f"cannot be the same: {sentence}")
    say("next:")
    for line in lines:
        show_text(f"  {line}")
    say(f"  python -m hpc.history start -- {entry.command}")
    return EXIT_DONE


if __name__ == "__main__":
    main()
