"""What an experiment needs beside a machine: its files, its data, its key."""

import shlex
from collections.abc import Iterator, Mapping, Sequence

from hpc.core.checkup.check import Check, Severity
from hpc.core.checkup.needs import Needs
from hpc.core.words import counted, few

OK, NOTE, WARNING, BLOCKING = Severity.OK, Severity.NOTE, Severity.WARNING, Severity.BLOCKING


def judge_program(needs: Needs, problem: str) -> Check:
    """Judge whether the program's files are there; `problem` says what is missing."""
    if problem:
        mend = f"python -m hpc.plan {needs.name} --dry-run  # shows what is copied"
        return Check("program", problem, "files in the project", mend, BLOCKING)
    return Check("program", "its files are there")


def judge_data(needs: Needs, missing_inputs: Sequence[str], missing_paths: Mapping[str, str]) -> Check:
    """Judge whether data are there.

    Args:
        missing_inputs: Targets of `program.inputs` that are not.
        missing_paths: Argument → absolute path that is not there; it may be one that the program makes.
    """
    if missing_inputs:
        first = missing_inputs[0]
        mend = f"ls -l {shlex.quote(first)}  # fix program.inputs in manifests/experiments/{needs.name}.yaml"
        return Check("data", f"not there: {few(list(missing_inputs))}", "what program.inputs links", mend, BLOCKING)
    if missing_paths:
        said = few([f"{name}={path}" for name, path in missing_paths.items()])
        mend = f"ls -ld {shlex.quote(next(iter(missing_paths.values())))}"
        return Check("data", f"not there: {said}", "files that it reads; those it writes may be missing", mend, WARNING)
    return Check("data", f"{counted(len(needs.inputs) + len(needs.paths), 'path')} there")


def judge_binds(missing: Sequence[str], unset: Sequence[str], is_local: bool) -> Check:
    """Judge the folders that are bound: Apptainer refuses to start where one is missing.

    Args:
        missing: Sources that are not on this machine.
        unset: Binds that name a variable that is not set here.
        is_local: Whether tasks run on this machine.
    """
    if missing:
        mend = f"ls -ld {shlex.quote(missing[0])}  # fix binds: in the profile, or container.binds"
        found = f"not on this machine: {few(list(missing))}"
        return Check("binds", found, "existing folders", mend, BLOCKING if is_local else WARNING)
    if unset:
        mend = "export the variable, or set it in the profile's environment:"
        return Check("binds", f"variables not set here: {few(list(unset))}", "", mend, NOTE)
    return Check("binds", "all there")


def judge_wandb(mode: str, has_key: bool, open_netrc: str, problem: str) -> Check:
    """Judge tracking: the key is looked for and never read out.

    Args:
        mode: ``online``, ``offline``, or ``disabled`` where runs are not tracked.
        has_key: Whether the environment or ~/.netrc holds one.
        open_netrc: Path of a file with a key that others may read; empty where there is none.
        problem: Why the folder of offline runs cannot be written.
    """
    if mode == "disabled":
        return Check("wandb", "off: runs are not tracked")
    if problem:
        return Check("wandb", problem, "a writable folder", "unset WANDB_DIR", BLOCKING)
    if mode == "online" and not has_key:
        mend = "wandb login  # or plan with --set tracking.wandb.mode=offline"
        return Check("wandb", "online, but no key", "WANDB_API_KEY, or ~/.netrc", mend, BLOCKING)
    if open_netrc:
        mend = f"chmod 600 {shlex.quote(open_netrc)}"
        return Check("wandb", f"{open_netrc} can be read by others", "yours alone", mend, WARNING)
    return Check("wandb", f"{mode}, {'a key is there' if has_key else 'no key; only hpc sync needs one'}")


def judge_run_folder(problem: str, where: str) -> Check:
    """Judge whether an experiment's own folder can be written."""
    if problem:
        mend = f"ls -ld {shlex.quote(where)}; export HPC_ROOT=$HOME/runs"
        return Check("run folder", problem, "your own folder, writable", mend, BLOCKING)
    return Check("run folder", where)


def judge_checkpoints(looked_at: int, wrong: Mapping[str, str]) -> Iterator[Check]:
    """Judge the newest checkpoint of each run.

    Args:
        looked_at: How many there are.
        wrong: What is wrong with one, with its place → the line that moves it away.
    """
    told = f"{counted(looked_at - len(wrong), 'checkpoint')} can be opened"
    yield Check("checkpoints", told if looked_at else "no run has one")
    for problem, line in wrong.items():
        mend = f"{line}  # the run then resumes from the one before it"
        yield Check("checkpoints", problem, "a checkpoint that can be loaded", mend, BLOCKING)
