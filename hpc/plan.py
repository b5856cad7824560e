"""Plan an experiment: check it, freeze its manifest, write the Slurm scripts.

    python -m hpc.plan lora_sweep --cluster lab

Nothing is submitted. Planning again after a change adds only what is new.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import click

from hpc.adapters.files import lock
from hpc.adapters.slurm import check_script
from hpc.console import dry_run_option, json_option, note, print_json, print_table, say, speaks_plainly
from hpc.core.arrays import first_assignment, plan_arrays
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, InputError
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.resources import render_memory, render_time
from hpc.core.spec import Task
from hpc.overrides import Overrides
from hpc.planning import Plan, make_plan, write_plan
from hpc.submission import link_scripts, list_attempts, submitted_tasks
from hpc.workspace import Workspace


@click.command(epilog="Example: python -m hpc.plan lora_sweep --set resources.mem=64GB")
@click.argument("name")
@click.option("--cluster", help="Site profile: a file in manifests/clusters, without .yaml. Default: $HPC_CLUSTER.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Change one value of the experiment.")
@click.option("--seeds", default="", help="Seeds instead of the experiment's: 42,137,256.")
@click.option(
    "--resource-limits", default="", help='Resources instead of the experiment\'s: "gpu:1,mem:32GB,time:24:00:00".'
)
@click.option(
    "--follow-up", is_flag=True, help="Add sweep.further_seeds to the configurations the first seeds did not settle."
)
@dry_run_option
@json_option
@speaks_plainly
def main(
    name: str,
    cluster: str | None,
    assignments: tuple[str, ...],
    seeds: str,
    resource_limits: str,
    follow_up: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Check experiment NAME, freeze its manifest and write the Slurm scripts; prints the command to type next."""
    from hpc.schema import load_profile

    workspace = Workspace.current()
    if follow_up:
        if cluster or assignments or seeds or resource_limits:
            raise InputError(
                "--follow-up adds to the plan as it stands and takes nothing else; plan again to change it"
            )
        return extend(workspace, workspace.layout(name), dry_run=dry_run, as_json=as_json)
    profile = load_profile(workspace.profile_file(cluster))
    overrides = Overrides(assignments, seeds, resource_limits)
    plan = make_plan(workspace, workspace.experiment_file(name), overrides, profile)
    new = tasks_to_submit(plan)
    submissions = [] if dry_run else write_plan(plan, new)
    return tell(plan, new, submissions, workspace, dry_run=dry_run, as_json=as_json)


def extend(workspace: Workspace, layout: RunLayout, *, dry_run: bool, as_json: bool) -> int:
    """Add what the second look asks for; the lock keeps a collection or submission from meeting half a plan."""
    from hpc.extending import decide_follow_up, make_follow_up, write_follow_up

    with lock(layout.lock):
        decided = decide_follow_up(layout)
        plan = make_follow_up(layout, decided)
        new = tasks_to_submit(plan)
        submissions = [] if dry_run else write_follow_up(plan, new)
    if not as_json:
        rows = [(each["label"], " ".join(map(str, each["seeds"])) or "–", each["reason"])
                for each in decided["extensions"]]  # fmt: skip
        print_table("the second look", ("configuration", "further seeds", "why"), rows)
    return tell(plan, new, submissions, workspace, dry_run=dry_run, as_json=as_json, follow_up=decided["extensions"])


def tell(
    plan: Plan,
    new: Sequence[Task],
    submissions: Sequence[SubmissionLayout],
    workspace: Workspace,
    *,
    dry_run: bool,
    as_json: bool,
    **more: object,
) -> int:
    """Link and check the scripts, say what was planned, give the exit code."""
    links = link_scripts(plan.layout, submissions, workspace.rendered) if not dry_run else []
    objections = check_scripts(submissions, plan.frozen.profile.scheduler)
    if as_json:
        print_json({**describe(plan, new, links, objections), **more})
    else:
        show(plan, new, links, workspace, dry_run)
    for objection in objections:
        note(f"warning: {objection}")
    return EXIT_FAILED if any("not checked" not in objection for objection in objections) else EXIT_DONE


def tasks_to_submit(plan: Plan) -> list[Task]:
    """The tasks nobody submitted yet and that have no attempt."""
    taken = submitted_tasks(plan.layout)
    return [task for task in plan.tasks if task.task_id not in taken and not list_attempts(plan.layout, task.run_name)]


def check_scripts(submissions: Sequence[SubmissionLayout], scheduler: str) -> list[str]:
    """Let bash read every script, and Slurm judge it where there is Slurm.

    Raises:
        InputError: A script is no valid shell (a site's template or setup line is broken).
    """
    objections = []
    for submission in submissions:
        done = subprocess.run(["bash", "-n", str(submission.script)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise InputError(f"not valid shell, check template and setup of the profile: {done.stderr.strip()}")
        if scheduler == "slurm" and (objection := check_script(submission.script)):
            objections.append(f"{submission.script}: {objection}")
    return objections


def describe(plan: Plan, new: Sequence[Task], links: Sequence[Path], objections: Sequence[str]) -> dict[str, object]:
    """The plan as one JSON value."""
    arrays = plan_arrays([first_assignment(plan.frozen.spec, task) for task in new], plan.frozen.profile)
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
        "arrays": [{"tasks": len(array.assignments), "gpu_hours": array.gpu_hours} for array in arrays],
        "scripts": [str(link) for link in links],
        "objections": list(objections),
        "notes": list(plan.notes),
    }


def show(plan: Plan, new: Sequence[Task], links: Sequence[Path], workspace: Workspace, dry_run: bool) -> None:
    """Print arrays, tasks and GPU hours, what changed, and the exact next command."""
    spec, profile = plan.frozen.spec, plan.frozen.profile
    arrays = plan_arrays([first_assignment(spec, task) for task in new], profile)
    rows = [
        (position, len(array.assignments), array.resources.nodes, array.resources.gpus, array.resources.cpus,
         render_memory(array.resources.memory_mib), render_time(array.resources.time_s), f"{array.gpu_hours:,.1f}")
        for position, array in enumerate(arrays, start=1)
    ]  # fmt: skip
    say(f"{spec.name}: {len(plan.tasks)} tasks, {len(new)} to submit, on {profile.name}")
    if rows:
        columns = ("array", "tasks", "nodes", "GPUs", "CPUs", "memory", "time limit", "GPU hours asked")
        print_table("", columns, rows, right=range(len(columns)))
        say(f"at most {sum(array.gpu_hours for array in arrays):,.1f} GPU hours, if every task uses its whole limit")
    change = plan.change
    if change.kept or change.removed:
        say(f"against the plan before: {_count('added', change.added)}, {_count('kept', change.kept)}, "
            f"{_count('removed', change.removed)} (runs of removed tasks stay on disk)")  # fmt: skip
    for text in plan.notes:
        say(f"note: {text}")
    verb = "would write" if dry_run else "manifest:"
    say(f"{verb} {_relative(plan.layout.manifest, workspace)} ({plan.manifest['sha256'][:16]})")
    if not dry_run:
        say(f"sealed: question, metrics, baseline, analysis and seeds ({plan.manifest['seal'][:16]}) in seal.json")
    say("next:")
    if dry_run:
        say("  the same without --dry-run")
    elif not new:
        say(f"  python -m hpc.status {spec.name}     (everything was submitted before)")
    elif profile.scheduler == "local":
        say(f"  python -m hpc.submit {spec.name} --backend local")
    else:
        for link in links:
            say(f"  sbatch {_relative(link, workspace)}")
        say(f"or, to be safe against crashes in between:  python -m hpc.submit {spec.name}")


def _count(word: str, names: Sequence[str]) -> str:
    shown = f" ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})" if names else ""
    return f"{len(names)} {word}{shown}"


def _relative(path: Path, workspace: Workspace) -> Path:
    return path.relative_to(workspace.project) if path.is_relative_to(workspace.project) else path


if __name__ == "__main__":
    main()
