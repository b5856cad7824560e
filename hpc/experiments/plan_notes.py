"""What a plan says beside its tables: what waits, what is not set, what the code and its launcher bring with them."""

import os
import shlex
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from hpc.adapters.git import GitState
from hpc.adapters.sbatch import program_path, render_relay
from hpc.core.errors import InputError
from hpc.core.experiment.spec import ExperimentSpec, Task
from hpc.core.extras import install_line
from hpc.core.launch.expansion import references
from hpc.core.launch.launchers import LAUNCHERS
from hpc.core.launch.program import launcher_in
from hpc.core.layout import RunLayout
from hpc.core.profile import ClusterProfile
from hpc.core.slurm.arrays import first_assignment
from hpc.core.words import counted
from hpc.experiments.code_files import CodeFiles, is_no_code, mentions, notes_of
from hpc.experiments.sealing import seal_notes
from hpc.experiments.site_limits import site_texts
from hpc.submissions.sources import split_ready
from hpc.workspace import BUILT_IN, Workspace


def experiment_notes(
    layout: RunLayout, spec: ExperimentSpec, tasks: Sequence[Task], profile: ClusterProfile, code: CodeFiles
) -> tuple[str, ...]:
    """What is to be said of what the experiment asks for."""
    return (
        *seal_notes(layout, spec.raw),
        *_baseline_notes(layout, spec.analysis.baseline_from),
        *_waiting_notes(layout, spec, tasks),
        *notes_of(code, spec.program.inputs),
        *_unset_notes(spec, profile),
        *_relay_notes(layout, profile),
        *_wandb_notes(spec, code),
        *_launcher_notes(spec),
    )


def code_notes(git: GitState | None) -> tuple[str, ...]:
    """Say so where tracked code was changed since its last commit; what git does not track is in the copy of it."""
    if git and any(not is_no_code(name) for name in git.changed):
        return ("the code differs from its last commit; the difference is saved beside the manifest",)
    return ()


def _unset_notes(spec: ExperimentSpec, profile: ClusterProfile) -> tuple[str, ...]:
    """Name the variables that are not set here: the node may set them, and a misspelt one is found now."""
    known = {**os.environ, **profile.environment, **spec.environment}
    texts = list(site_texts(spec, profile))
    places = {name: where for text, where in reversed(texts) for name in references(text) if name not in known}
    return tuple(
        f"${name} ({where}) is not set on this machine; each task takes it from its node, and fails if it is not set "
        "there"
        for name, where in places.items()
    )


def _relay_notes(layout: RunLayout, profile: ClusterProfile) -> tuple[str, ...]:
    """Say so where a site's template takes arrays only: `submit --follow` would find out at night."""
    if not profile.template or profile.scheduler != "slurm":
        return ()
    try:
        render_relay(profile, job_name=layout.experiment, comment="follow", logs=layout.follow_jobs, command=":")
    except InputError as error:
        return (f"no submit --follow here: {error}",)
    return ()


def interpreter_notes(workspace: Workspace, profile: ClusterProfile, image: object, python: str) -> tuple[str, ...]:
    """Say so where programs run by another Python than the one that is active here: other packages, other numbers."""
    environment = os.environ
    active = environment.get("VIRTUAL_ENV", "")
    line = f"source {shlex.quote(active)}/bin/activate"
    if not active and (name := environment.get("CONDA_DEFAULT_ENV", "base")) != "base":
        active, line = environment.get("CONDA_PREFIX", ""), f"conda activate {shlex.quote(name)}"
    if image or not active or os.path.realpath(active) == os.path.realpath(sys.prefix):
        return ()
    if not program_path(profile, python):
        return ()
    own = workspace.project / "manifests/clusters"
    copy = f"mkdir -p {shlex.quote(str(own))} && cp {shlex.quote(str(BUILT_IN / profile.name))}.yaml $_ && "
    line = f"echo {shlex.quote(f'setup: [{line}]')} >> {shlex.quote(str(own / profile.name))}.yaml"
    return (
        f"`python` in tasks is {sys.executable}, where hpc-batch is installed, and not that of {active}, which is "
        f"active here. To take that one: {'' if (own / f'{profile.name}.yaml').exists() else copy}{line}",
    )


def _launcher_notes(spec: ExperimentSpec) -> tuple[str, ...]:
    """Say what comes of a launcher in a command whose output is read: its ranks have one stdout, nobody's own."""
    name = launcher_in(spec.program.command or "")
    if name not in LAUNCHERS or spec.launch.kind != "plain" or spec.metrics.source[0] not in ("stdout", "json"):
        return ()
    return (
        f"{name} starts processes of its own, whose printed lines may run together; to read rank 0's alone, take it "
        f"out of the command and write launch: {{kind: {name}, processes: N}}",
    )


def _wandb_notes(spec: ExperimentSpec, code: CodeFiles) -> tuple[str, ...]:
    """Say where tracking is asked for and nothing of the program's code would do it: we set the variables only."""
    if not spec.wandb or spec.wandb.get("mode") == "disabled":
        return ()
    if (spec.program.module or "").startswith("train."):
        if spec.container.image or find_spec("wandb"):
            return ()
        line = install_line("wandb")
        return (
            f"tracking.wandb: wandb is not installed here; runs train without it, and are recorded as usual: {line}",
        )
    if mentions(code, b"wandb"):
        return ()
    return (
        "tracking.wandb: no Python file of the code mentions wandb; tasks get WANDB_PROJECT, WANDB_RUN_ID and so on, "
        f"but log nothing themselves. To send what is collected: python -m hpc.sync {spec.name}",
    )


def _baseline_notes(layout: RunLayout, name: str) -> tuple[str, ...]:
    """Say so when the stored baseline has not been measured: its variance comes first."""
    source = RunLayout(layout.root, name)
    if not name or layout.stored_baseline(name).exists() or source.verdicts.exists():
        return ()
    return (f"analysis.baseline_from: {name} is not measured yet; run and collect it first: python -m hpc.plan {name}",)


def _waiting_notes(layout: RunLayout, spec: ExperimentSpec, tasks: Sequence[Task]) -> tuple[str, ...]:
    """Say which runs of other experiments the tasks wait for.

    Raises:
        InputError: One of these experiments is not planned, or its runs do not match.
    """
    split = split_ready(layout, spec, [first_assignment(spec, task) for task in tasks])
    jobs = ", ".join(map(str, spec.after_jobs))
    after = (f"each task starts once Slurm job {jobs} ended with COMPLETED, if hpc.submit submits it",) if jobs else ()
    if not split.waiting:
        return after
    return (
        *after,
        f"{len(split.waiting)} of {counted(len(tasks), 'task waits', 'tasks wait')} for other experiments "
        f"({split.why}). Each is submitted once "
        f"what it needs has finished: python -m hpc.submit {spec.name} --follow",
    )
