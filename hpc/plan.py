"""Plan an experiment: check it, freeze its manifest, write the Slurm scripts.

    python -m hpc.plan lora_sweep --cluster lab

Nothing is submitted. Planning again after a change adds only what is new. `--dry-run` writes nothing at all and shows
every job: its tasks with their command lines, its script, and what ``sbatch --test-only`` says of it.
"""

import os
import shlex
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import click

from hpc.adapters.collected_file import read_entries
from hpc.adapters.locks import lock
from hpc.adapters.progress import working
from hpc.adapters.slurm import Trial, try_file
from hpc.completing import clusters, experiments
from hpc.console import dry_run_option, json_option, note, print_json, print_table, say, show_text, speaks_plainly
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, InputError
from hpc.core.experiment.asking import every_resources
from hpc.core.experiment.processes import describe_processes, processes_of
from hpc.core.experiment.spec import Task
from hpc.core.forecast.forecast import Forecast, say_forecast
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.resources import ALONE, render_memory, render_time
from hpc.core.slurm.arrays import ArrayPlan, first_assignment, plan_arrays
from hpc.core.slurm.gpu_bound import Place, describe_places, place_all
from hpc.core.slurm.packing import describe_bounds, describe_pack
from hpc.core.words import amount, counted, two_digits
from hpc.experiments.advising import advise, describe_advice, describe_all
from hpc.experiments.detecting import describe_detectable, find_detectable
from hpc.experiments.freezing import Change, Plan
from hpc.experiments.overrides import Overrides
from hpc.rounds.making_way import describe_in_the_way
from hpc.rounds.replanning import PlanRequest, draft, put_in_place
from hpc.snapshots.other_code import describe_other_code, has_failed
from hpc.snapshots.outdated import describe_outdated
from hpc.submissions.prepare import choose_partitions, link_scripts, never_asked
from hpc.submissions.rehearsal import Job, describe_job, kind_of, refuse_broken, rehearse
from hpc.workspace import Workspace


@click.command(epilog="Example: python -m hpc.plan lora_sweep --set resources.mem=64GB")
@click.argument("name", required=False, shell_complete=experiments)
@click.option(
    "--cluster",
    shell_complete=clusters,
    help="Site profile: a file in manifests/clusters, without .yaml. Default: $HPC_CLUSTER.",
)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Change one value of the experiment.")
@click.option("--seeds", default="", help="Seeds to use instead of the experiment's: 42,137,256.")
@click.option(
    "--resource-limits",
    default="",
    help='Resources to use instead of the experiment\'s: "gpu:1,mem:32GB,time:24:00:00".',
)
@click.option(
    "--second-look",
    "--follow-up",  # what it was called before
    "second_look",
    is_flag=True,
    help="Add sweep.further_seeds to the configurations the first seeds did not settle.",
)
@click.option(
    "--replace",
    "replaces",
    is_flag=True,
    help="Move results of other settings with the same run names aside; they are kept, and named in the report.",
)
@click.option("--advice", "advises", is_flag=True, help="Say what each cheaper design costs and gives up.")
@click.option("--moved", is_flag=True, help="The project folder was moved: its runs belong to this project.")
@dry_run_option
@json_option
@speaks_plainly
def main(
    name: str | None,
    cluster: str | None,
    assignments: tuple[str, ...],
    seeds: str,
    resource_limits: str,
    second_look: bool,
    replaces: bool,
    advises: bool,
    moved: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Check experiment NAME (default: the only one), freeze its manifest, write the scripts; print what is next."""
    workspace = Workspace.current()
    name = workspace.chosen(name)
    if second_look:
        if cluster or assignments or seeds or resource_limits or replaces or moved:
            raise InputError(
                "--second-look adds to the plan as it stands and takes nothing else; plan again to change it"
            )
        return extend(workspace, workspace.layout(name), dry_run=dry_run, as_json=as_json)
    request = PlanRequest(name, cluster, Overrides(assignments, seeds, resource_limits), moved)
    with working(f"planning {name}"):
        plan = draft(workspace, request)
        expected = forecast_of(plan, only_warns=dry_run or is_for_elsewhere(plan))
        with lock(plan.layout.lock) if plan.layout.home.exists() and not dry_run else nullcontext():
            done = put_in_place(plan, request.command, replaces=replaces, dry_run=dry_run)
    other_code = describe_other_code(plan.layout, plan.manifest, plan.code.files if dry_run else None)
    older = (*other_code, *describe_outdated(plan.layout, plan.manifest))
    plan = replace(plan, notes=(*plan.notes, *describe_in_the_way(plan.layout, done.making_way), *older))
    aside = [each.run_name for each in done.making_way if each.attempts]
    command = f"{request.command} --replace" if replaces else request.command
    if not dry_run:
        from hpc.forecasting.making import keep_forecast

        keep_forecast(plan.layout, expected)
    return tell(
        plan, done.new, done.submissions, workspace, command, expected, dry_run=dry_run, as_json=as_json,
        advises=advises, set_aside=aside,
    )  # fmt: skip


def forecast_of(plan: Plan, *, only_warns: bool = False) -> Forecast:
    """Forecast what a plan's runs take.

    Raises:
        InputError: The disk cannot hold what they will write, and that is more than a warning.
    """
    from hpc.forecasting.making import make_forecast

    spec, profile = plan.frozen.spec, plan.frozen.profile
    return make_forecast(plan.layout, spec, plan.tasks, plan.manifest, profile, only_warns=only_warns)


def is_for_elsewhere(plan: Plan) -> bool:
    """Whether it is for a cluster whose Slurm is not here, as on a laptop: the runs will write somewhere else."""
    return plan.frozen.profile.scheduler == "slurm" and not shutil.which("sbatch")


def extend(workspace: Workspace, layout: RunLayout, *, dry_run: bool, as_json: bool) -> int:
    """Add what the second look asks for; the lock keeps a collection or submission from meeting half a plan."""
    from hpc.experiments.second_look import decide_second_look, make_second_look, write_second_look

    with working("deciding the second look"), nullcontext() if dry_run else lock(layout.lock):
        decided = decide_second_look(layout)
        plan = make_second_look(layout, decided)
        expected = forecast_of(plan)
        new = never_asked(plan.layout, plan.tasks)
        submissions = [] if dry_run else write_second_look(plan, new)
        if not dry_run:
            from hpc.forecasting.making import keep_forecast

            keep_forecast(plan.layout, expected)
    if not as_json:
        rows = [(each["label"], " ".join(map(str, each["seeds"])) or "–", each["reason"])
                for each in decided["extensions"]]  # fmt: skip
        print_table("the second look", ("configuration", "further seeds", "why"), rows)
    command = f"python -m hpc.plan {layout.experiment} --second-look"
    return tell(
        plan, new, submissions, workspace, command, expected, dry_run=dry_run, as_json=as_json,
        follow_up=decided["extensions"],
    )  # fmt: skip


def tell(
    plan: Plan,
    new: Sequence[Task],
    submissions: Sequence[SubmissionLayout],
    workspace: Workspace,
    command: str,
    expected: Forecast,
    *,
    dry_run: bool,
    as_json: bool,
    advises: bool = False,
    **more: object,
) -> int:
    """Link and check the scripts, say what was planned, give the exit code.

    Args:
        command: The command line that plans this.
        expected: What it is forecast to take.
        advises: Whether every cheaper design is named.
    """
    with working("checking scripts"):
        links = link_scripts(plan.layout, submissions, workspace.rendered) if not dry_run else []
        asked = [first_assignment(plan.frozen.spec, task) for task in new]
        jobs = rehearse(plan.layout, plan.frozen, asked) if dry_run else ()
        trials = try_scripts(submissions, plan.frozen.profile.scheduler)
    objections = [f"{script}: {trial.objection}" for script, trial in trials.items() if trial.objection]
    objections += [f"submission {job.number:03d}: {job.trial.objection}" for job in jobs if job.trial.objection]
    for objection in objections:
        note(f"warning: {objection}")
    is_refused = any("not checked" not in objection for objection in objections)
    if as_json:
        rehearsed = {"jobs": [job.to_json() for job in jobs]} if dry_run else {}
        told = {**describe(plan, new, links, objections), "forecast": expected.to_json()}
        print_json({**told, **more, **rehearsed})
    else:
        estimates = [trial.said for trial in trials.values() if trial.said]
        show(
            plan, new, links, command if dry_run else "", jobs, estimates, expected, advises=advises,
            is_refused=is_refused,
        )  # fmt: skip
    return EXIT_FAILED if is_refused else EXIT_DONE


def try_scripts(submissions: Sequence[SubmissionLayout], scheduler: str) -> dict[Path, Trial]:
    """Let bash read a script of each kind (`kind_of`), and Slurm judge it where there is Slurm.

    Raises:
        InputError: A script is no valid shell (a site's template or setup line is broken).
    """
    kinds: dict[str, Path] = {}
    for submission in submissions:
        kinds.setdefault(kind_of(submission.script.read_text(encoding="utf-8"), submission), submission.script)
    for script in kinds.values():
        refuse_broken(script.read_text(encoding="utf-8"))
    return {script: try_file(script) for script in kinds.values() if scheduler == "slurm"}


def describe(plan: Plan, new: Sequence[Task], links: Sequence[Path], objections: Sequence[str]) -> dict[str, object]:
    """The plan as one JSON value."""
    spec = plan.frozen.spec
    can_find = find_detectable(plan.layout, spec, plan.tasks)
    arrays = plan_arrays([first_assignment(spec, task) for task in new], plan.frozen.profile)
    return {
        "experiment": plan.layout.experiment,
        "home": str(plan.layout.home),
        "manifest": str(plan.layout.manifest),
        "manifest_sha": plan.manifest["sha256"],
        "seal": plan.manifest["seal"],
        "tasks": len(plan.tasks),
        "added": list(plan.change.added),
        "kept": list(plan.change.kept),
        "removed": list(plan.change.removed),
        "to_submit": [task.run_name for task in new],
        "processes": asdict(processes_of(spec.program, spec.launch, every_resources(spec, plan.tasks)[0])),
        "arrays": [
            {
                "tasks": len(array.assignments),
                "elements": array.elements,
                "pack": asdict(array.pack) if array.pack.tasks > 1 else None,
                "gpu_hours": array.gpu_hours,
                "at_once": place.at_once,
                "after_those_before": bool(place.after),
            }
            for array, place in zip(arrays, places_of(plan, arrays), strict=True)
        ],
        "can_find": can_find.to_json() if can_find else None,
        "advice": advise(spec, plan.tasks, can_find).to_json(),
        "partitions": describe_partitions(plan, arrays),
        "scripts": [str(link) for link in links],
        "objections": list(objections),
        "notes": list(plan.notes),
    }


def places_of(plan: Plan, arrays: Sequence[ArrayPlan]) -> list[Place]:
    """How the arrays keep to the bounds of the site, one beside or behind the other."""
    return place_all([(array.asked, array.elements) for array in arrays], plan.frozen.profile)


def describe_packs(plan: Plan, arrays: Sequence[ArrayPlan]) -> list[str]:
    """Say how tasks share array elements, and where the site, or this machine's queue, has it otherwise than asked."""
    pack, profile = plan.frozen.spec.pack, plan.frozen.profile
    if pack == ALONE:
        return []
    if profile.scheduler == "local":
        return ["pack is for Slurm: this machine starts each task by itself, --max-parallel at a time"]
    bounds = (describe_bounds(pack, array.resources, profile) for array in arrays)
    told = (describe_pack(len(array.assignments), array.pack, array.resources) for array in arrays)
    numbered = [f"array {number}: {each}" for number, each in enumerate(told, start=1) if each]
    return [*dict.fromkeys(filter(None, bounds)), *numbered]


def describe_partitions(plan: Plan, arrays: Sequence[ArrayPlan]) -> list[str]:
    """Say where each array goes; nothing where the profile leaves no choice."""
    choices = [choose_partitions(plan.frozen.profile, array.asked) for array in arrays]
    return [f"array {number}: {choice}" for number, choice in enumerate(choices, start=1) if choice]


def is_bounded(plan: Plan) -> bool:
    """Whether the arrays have to know of each other, which sbatch typed by hand does not tell them."""
    profile = plan.frozen.profile
    has_gpus = any(asked.gpus for asked in every_resources(plan.frozen.spec, plan.tasks))
    return bool(profile.scheduler == "slurm" and profile.max_gpus and has_gpus)


def show(
    plan: Plan,
    new: Sequence[Task],
    links: Sequence[Path],
    rehearsed: str,
    jobs: Sequence[Job],
    estimates: Sequence[str],
    expected: Forecast,
    *,
    advises: bool = False,
    is_refused: bool = False,
) -> None:
    """Print arrays, tasks and what they cost, what changed, and the exact next command.

    Args:
        rehearsed: The command line that was only rehearsed; empty where it was not.
        jobs: What it would submit.
        estimates: When and where Slurm would start each array now, in its words.
        expected: What it is forecast to take.
        advises: Whether every cheaper design is named.
        is_refused: Whether Slurm objects to a script, so that submitting it would fail.
    """
    spec = plan.frozen.spec
    say(f"{spec.name}: {counted(len(plan.tasks), 'task')}, {len(new)} to submit, on {plan.frozen.profile.name}")
    if new:
        _show_arrays(plan, new, estimates)
    if expected.left:
        for text in say_forecast(expected, spec.name, says_bound=expected.left != len(new)):
            say(text)
    _show_design(plan, advises=advises)
    change = plan.change
    if change.kept or change.removed:
        say(f"compared with the previous plan: {_describe_change(change)}")
    for text in plan.notes:
        say(f"note: {text}")
    for job in jobs:
        show_text("\n".join(("", *describe_job(job))))
    if jobs:
        say()
    say_end(plan, bool(new), links, rehearsed, is_refused=is_refused)


def _show_arrays(plan: Plan, new: Sequence[Task], estimates: Sequence[str]) -> None:
    """What would be submitted: arrays, cost, processes, places and partitions."""
    spec, profile = plan.frozen.spec, plan.frozen.profile
    arrays = plan_arrays([first_assignment(spec, task) for task in new], profile)
    unit, hours = _hours_asked(arrays)
    rows = [
        (position, len(array.assignments), asked.nodes, asked.gpus, asked.cpus, render_memory(asked.memory_mib),
         render_time(asked.time_s), two_digits(most))
        for position, (array, most) in enumerate(zip(arrays, hours, strict=True), start=1)
        for asked in [array.asked]
    ]  # fmt: skip
    columns = ("array", "tasks", "nodes", "GPUs", "CPUs", "memory", "time limit", f"{unit} hours asked")
    print_table("", columns, rows, right=range(len(columns)))
    say(f"cost: at most {amount(sum(hours), f'{unit} hours')}, if every task uses its whole limit")
    told = {**os.environ, **profile.environment, **spec.environment}
    every = (describe_processes(spec.program, spec.launch, one, told) for one in every_resources(spec, new))
    say("\n".join(dict.fromkeys(every)))
    for text in describe_packs(plan, arrays):
        say(text)
    if is_bounded(plan):
        say(describe_places(places_of(plan, arrays), profile))
    if told_where := describe_partitions(plan, arrays):
        say("\n".join([*told_where, *(f"Slurm's estimate: {each}" for each in estimates)]))


def _show_design(plan: Plan, *, advises: bool) -> None:
    """What the design can find, and what would find it for less."""
    spec = plan.frozen.spec
    can_find = find_detectable(plan.layout, spec, plan.tasks)
    advice = advise(spec, plan.tasks, can_find)
    told = describe_detectable(can_find, spec.metrics.primary.name)
    for text in (*told, *(describe_all(advice) if advises else describe_advice(advice))):
        say(text)


def _hours_asked(arrays: Sequence[ArrayPlan]) -> tuple[str, list[float]]:
    """What each array takes at most: GPU hours, or core hours where no task has a GPU."""
    if any(array.resources.gpus for array in arrays):
        return "GPU", [array.gpu_hours for array in arrays]
    return "core", [array.asked.core_hours * array.elements for array in arrays]


def say_end(plan: Plan, is_new: bool, links: Sequence[Path], rehearsed: str, *, is_refused: bool) -> None:
    """Print what was written, and what to type next: not a line that Slurm refuses."""
    verb = "would write" if rehearsed else "manifest:"
    say(f"{verb} {_relative(plan.layout.manifest)} ({plan.manifest['sha256'][:16]})")
    if not rehearsed:
        say(f"sealed: question, metrics, baseline, analysis and seeds ({plan.manifest['seal'][:16]}) in seal.json")
    say()
    if is_refused:
        say("Slurm rejects this plan. next, to see which request exceeds the limits:")
        say(f"  python -m hpc.doctor {plan.frozen.spec.name} --cluster {plan.frozen.profile.name}")
    else:
        say_next(plan, is_new, links, rehearsed)


def say_next(plan: Plan, is_new: bool, links: Sequence[Path], rehearsed: str) -> None:
    """Print the exact next command."""
    name, profile = plan.frozen.spec.name, plan.frozen.profile
    say("next:" if is_new or rehearsed else "everything is already submitted; next:")
    if rehearsed:
        say(f"  {rehearsed}")
    elif not is_new:
        say(f"  python -m hpc.status {name}")
        if has_failed(plan.layout, (task.run_name for task in plan.tasks)):
            say("or, to retry the failed tasks with this plan:")
            say(f"  python -m hpc.collect {name} --retry-failed{_again(plan.layout)}")
    elif plan.frozen.spec.after_jobs:  # a plain sbatch knows nothing of them
        say(f"  python -m hpc.submit {name}")
    elif plan.frozen.spec.after:  # a plain sbatch would start tasks whose runs have not finished
        say(f"  python -m hpc.submit {name} --follow")
    elif profile.scheduler == "local":
        say(f"  python -m hpc.submit {name} --backend local")
    elif is_bounded(plan):
        say(f"  python -m hpc.submit {name}")
        say("which applies max_gpus to all arrays together; sbatch by hand applies it to each array separately")
    else:
        for link in links:
            say(f"  sbatch {shlex.quote(str(_relative(link)))}")
        say("or, to be safe if this is interrupted halfway:")
        say(f"  python -m hpc.submit {name}")


def _again(layout: RunLayout) -> str:
    """The classes that a retry leaves alone unless they are named, of what failed by the newest collection."""
    from hpc.core.retry.actions import MENDED_FIRST

    failed = {entry.get("failure_class") for entry in read_entries(layout).values() if entry.get("outcome") == "failed"}
    return "".join(f" --again {category}" for category in sorted(MENDED_FIRST) if category in failed)


def _describe_change(change: Change) -> str:
    """Count what was added, kept, changed under the same name, and removed."""
    changed = [name for name in change.added if name in set(change.removed)]
    added, removed = ([name for name in names if name not in set(changed)] for names in (change.added, change.removed))
    told = [_count("added", added), _count("kept", change.kept)]
    told += [_count("changed", changed)] if changed else []
    kept = " (runs of removed tasks stay on disk)" if removed else ""
    return f"{', '.join(told)}, {_count('removed', removed)}{kept}"


def _count(word: str, names: Sequence[str]) -> str:
    shown = f" ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})" if names else ""
    return f"{len(names)} {word}{shown}"


def _relative(path: Path) -> Path:
    """A path as it can be typed here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    main()
