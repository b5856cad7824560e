"""What a site never grants, and settings that no node would expand: found where the experiment is planned."""

from collections.abc import Iterator, Sequence

from hpc.core.credentials import names_secret
from hpc.core.errors import InputError, Problem
from hpc.core.experiment.asking import every_resources
from hpc.core.experiment.spec import ExperimentSpec, Task
from hpc.core.launch.expansion import expansion_problem, references
from hpc.core.profile import ClusterProfile
from hpc.core.resources import Resources, render_memory, render_time
from hpc.core.words import counted


def check_against_site(spec: ExperimentSpec, tasks: Sequence[Task], profile: ClusterProfile) -> None:
    """Refuse what the site never grants: Slurm would take the job and let it wait for ever."""
    problems = [problem for asked in every_resources(spec, tasks) for problem in _never_granted(asked, profile)]
    problems += _settings_problems(spec, profile)
    if problems:
        raise InputError(list(dict.fromkeys(problems)), spec.name)


def _never_granted(asked: Resources, profile: ClusterProfile) -> Iterator[Problem]:
    if profile.max_time_s and asked.time_s > profile.max_time_s:
        most = render_time(profile.max_time_s)
        yield Problem(f"{render_time(asked.time_s)}; {profile.name} grants at most {most}", "resources.time")
    if profile.max_memory_mib and asked.memory_mib > profile.max_memory_mib:
        most = render_memory(profile.max_memory_mib)
        yield Problem(f"{render_memory(asked.memory_mib)}; {profile.name} has at most {most}", "resources.mem")
    if 0 < profile.max_gpus < asked.nodes * asked.gpus:
        most = f"{profile.name} lets an experiment use {profile.max_gpus} at once (max_gpus)"
        yield Problem(f"{asked.gpus} on each of {counted(asked.nodes, 'node')}; {most}", "resources.gpus")
    if profile.scheduler == "local" and asked.nodes > 1:
        yield Problem(f"{asked.nodes}; this machine is one node", "resources.nodes")


def _settings_problems(spec: ExperimentSpec, profile: ClusterProfile) -> Iterator[Problem]:
    """Find what no node would expand, and secrets that ``task.json`` would show."""
    for text, where in site_texts(spec, profile):
        if problem := expansion_problem(text):
            yield Problem(problem, where)
        for name in references(text):
            if names_secret(name):
                yield Problem(
                    f"names ${name}, whose value would appear in every task.json; export it in your shell", where
                )


def site_texts(spec: ExperimentSpec, profile: ClusterProfile) -> Iterator[tuple[str, str]]:
    """Return what the node expands, each with its place."""
    for whose, variables in ((f"profile {profile.name}, ", profile.environment), ("", spec.environment)):
        yield from ((text, f"{whose}environment.{name}") for name, text in variables.items())
    yield from ((bind, f"profile {profile.name}, binds") for bind in profile.binds)
    yield from ((bind, "container.binds") for bind in spec.container.binds)
