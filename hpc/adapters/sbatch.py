"""Array plan → sbatch script, through Jinja2. Nothing is computed in a template, nothing undefined renders.

Jinja2 is imported where a script is rendered: `hpc.status` shares this import path and renders none.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.core.errors import InputError, nearest
from hpc.core.launch.expansion import expand, references
from hpc.core.layout import SubmissionLayout
from hpc.core.profile import ClusterProfile
from hpc.core.resources import Resources, render_memory, render_time
from hpc.core.slurm.arrays import ArrayPlan, signal_lead_s
from hpc.core.slurm.executions import job_name_of
from hpc.core.slurm.gpu_bound import most_at_once

if TYPE_CHECKING:
    from jinja2 import Environment

# sbatch splits an option line at white space and honours quotes and backslashes; '%' is its own pattern sign.
_PLAIN_DIRECTIVE = re.compile(r"[^\s'\"\\#%$`]+")
# Quoted, sbatch takes white space and '#' (a comment otherwise) as they stand.
_QUOTED_DIRECTIVE = re.compile(r"[^'\"\\%$`\n\r\0]*")
_DIRECTIVE_WITH_PATTERN = re.compile(r"\d+-\d+(%\d+)?")


def directive(value: object) -> str:
    """Let a value into an #SBATCH line only when it means the same there as here.

    Raises:
        InputError: It does not.
    """
    text = str(value)
    if not (_PLAIN_DIRECTIVE.fullmatch(text) or _DIRECTIVE_WITH_PATTERN.fullmatch(text)):
        raise InputError(
            f"{text!r} cannot be written in an #SBATCH line: it contains a space, quote, backslash or one of #%$`. "
            "Move the run folder (HPC_ROOT) or rename the experiment; or use this machine alone: --cluster local"
        )
    return text


def _comment_line(value: object) -> str:
    """Let a value into a line that this machine's own queue passes over: everything but what would end it."""
    text = str(value)
    if text.splitlines() != [text]:
        raise InputError(f"{text!r} is not one line. Move the run folder (HPC_ROOT) or rename the experiment")
    return text


def _option_value(value: object) -> str:
    """Write a site's own value of an option, quoted where an #SBATCH line needs it."""
    text = str(value)
    if not _PLAIN_DIRECTIVE.fullmatch(text) and _QUOTED_DIRECTIVE.fullmatch(text):
        return f'"{text}"'
    return directive(text)


@lru_cache(maxsize=8)
def _environment(template: str, *, is_read_by_slurm: bool) -> "tuple[Environment, str]":
    """Find a site's template beside ours, so that it may extend ``array.sbatch.j2``; compiled once, not once an array.

    Jinja looks at each file again before it takes what it compiled.
    """
    from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined

    loaders: list[FileSystemLoader | PackageLoader] = [PackageLoader("hpc", "templates")]
    name = "array.sbatch.j2"
    if template:
        loaders.insert(0, FileSystemLoader(Path(template).parent))
        name = Path(template).name
    # Shell text, not HTML: escaping is done by the two filters.
    environment = Environment(loader=ChoiceLoader(loaders), undefined=StrictUndefined, autoescape=False)  # noqa: S701
    environment.filters["shell"] = lambda value: shlex.quote(str(value))
    environment.filters["directive"] = directive if is_read_by_slurm else _comment_line
    environment.filters["option_value"] = _option_value
    return environment, name


def memory_option(mib: int, cpus: int, gpus: int, profile: ClusterProfile) -> dict[str, str]:
    """Ask for so much memory on a node in the way the site counts it; empty where it is not asked for.

    Args:
        mib: MiB per node; a share is rounded up.
        cpus: Cores per node.
        gpus: GPUs per node.
    """
    match profile.memory:
        case "none":
            return {}
        case "per_cpu":
            return {"mem-per-cpu": render_memory(-(-mib // cpus))}
        case "per_gpu" if gpus:
            return {"mem-per-gpu": render_memory(-(-mib // gpus))}
        case _:
            return {"mem": render_memory(mib)}


def gpu_options(gpus: int, profile: ClusterProfile) -> dict[str, str]:
    """Ask for GPUs per node as the site takes it, and for its other generic resources. One task runs on a node."""
    asked = f"{profile.gpu_type}:{gpus}" if profile.gpu_type else str(gpus)
    is_gres = gpus and profile.gpu_option == "gres"
    gres = ",".join([*([f"gpu:{asked}"] if is_gres else []), *profile.gres])
    own = {profile.gpu_option: asked} if gpus and profile.gpu_option not in ("gres", "none") else {}
    return {**own, **({"gres": gres} if gres else {})}


def resource_options(resources: Resources, profile: ClusterProfile, exclude: tuple[str, ...]) -> dict[str, str]:
    """List the sbatch options of one array, long names without dashes."""
    options = {
        "nodes": str(resources.nodes),
        "ntasks-per-node": "1",
        "cpus-per-task": str(resources.cpus),
        **memory_option(resources.memory_mib, resources.cpus, resources.gpus, profile),
        "time": render_time(resources.time_s),
        **gpu_options(resources.gpus, profile),
    }
    for name in ("partition", "account", "qos", "constraint"):
        if value := getattr(profile, name):
            options[name] = value
    options |= profile.directives
    if exclude:
        options["exclude"] = ",".join(filter(None, (options.get("exclude", ""), *exclude)))
    return options


def program_path(profile: ClusterProfile, python: str) -> str:
    """The folder in which a host's program finds its `python`, if it is not what PATH says; empty if it is.

    That is the interpreter that planned, unless the site decides by its setup lines, the profile names an interpreter
    for the wrapper alone, or we are installed as a tool (pipx, uv), whose interpreter has nothing of the user's.
    """
    is_tool = any((Path(python).parents[1] / mark).is_file() for mark in ("pipx_metadata.json", "uv-receipt.toml"))
    return "" if profile.setup or profile.python or is_tool else str(Path(python).parent)


def relay_profile(profile: ClusterProfile) -> ClusterProfile:
    """The site as a relay asks it: `follow` of the profile goes first, and what only tasks need is not asked for.

    A constraint names nodes of the tasks' partition; in another one nobody may have them.
    """
    follow = profile.follow
    constraint = profile.constraint if follow.constraint is None and not follow.partition else follow.constraint
    own = {name: value for name in ("partition", "account", "qos") if (value := getattr(follow, name))}
    directives = profile.directives if follow.directives is None else follow.directives
    given = {**own, "constraint": constraint or "", "directives": directives, "gres": ()}
    return replace(profile, **given)


def relay_resources(profile: ClusterProfile) -> Resources:
    """What a relay needs: one core of one node."""
    return Resources(cpus=1, memory_mib=profile.follow.memory_mib, time_s=profile.follow.time_s)


def relay_options(profile: ClusterProfile) -> dict[str, str]:
    """List the sbatch options of a relay, asked for as the site wants every job to ask."""
    return resource_options(relay_resources(profile), relay_profile(profile), ())


def render_relay(profile: ClusterProfile, *, job_name: str, comment: str, logs: Path, command: str) -> str:
    """Render the script of a relay, by the site's own template too.

    Args:
        profile: Of the tasks, or `relay_profile` of it.
        logs: Folder of its output.
        command: Shell text.

    Raises:
        InputError: As for an array; or the template knows arrays only.
    """
    context = {
        "job_name": job_name,
        "comment": comment,
        "logs": logs,
        "signal_lead_s": 0,
        "options": list(relay_options(profile).items()),
        "setup": profile.setup,
        "program_path": "",
        "environment": _settled(profile),
        "relay": command,
    }
    try:
        return _render(profile.template, context)
    except InputError as error:
        hint = "; put what is for arrays only inside {% if not relay %} … {% endif %}" if profile.template else ""
        raise InputError(f"the job of submit --follow: {error}{hint}") from None


def _settled(profile: ClusterProfile) -> list[tuple[str, str]]:
    """Variables of the profile that are known here; what names variables of the node the wrapper expands."""
    return sorted((name, expand(text, {})) for name, text in profile.environment.items() if not references(text))


def render_sbatch(
    plan: ArrayPlan,
    profile: ClusterProfile,
    submission: SubmissionLayout,
    *,
    experiment: str,
    comment: str,
    code: Path,
    python: str,
    module: str = "hpc.run_task",
) -> str:
    """Render the script of one array, whose elements each start `module` with the index and their position.

    Raises:
        InputError: A value cannot stand in a script, or a site's template is missing, broken or uses an unknown name.
    """
    if ":" in str(code):
        raise InputError(f"{code}: Python splits its search path at ':'. Move the run folder (HPC_ROOT)")
    asked = plan.asked
    at_once = most_at_once(asked, profile)
    throttle = f"%{at_once}" if at_once else ""
    context: dict[str, Any] = {
        "job_name": job_name_of(experiment),
        "comment": comment,
        "array": f"0-{plan.elements - 1}{throttle}",
        "logs": submission.logs,
        "signal_lead_s": signal_lead_s(asked, profile, plan.resources.time_s),
        "options": list(resource_options(asked, profile, plan.exclude_nodes).items()),
        "setup": profile.setup,
        "program_path": program_path(profile, python),
        "environment": _settled(profile),  # the program gets all of them from the wrapper
        "code": code,
        "python": python,
        "module": module,
        "index": submission.index,
        "relay": "",
    }
    return _render(profile.template, context, is_read_by_slurm=profile.scheduler == "slurm")


def _render(site_template: str, context: Mapping[str, Any], *, is_read_by_slurm: bool = True) -> str:
    """Fill in our template, or a site's that extends it.

    Args:
        is_read_by_slurm: Whether #SBATCH lines are read; else they are comments, in which any path may stand.

    Raises:
        InputError: A value cannot stand in a script, or a site's template is missing, broken or uses an unknown name.
    """
    from jinja2 import TemplateError

    environment, name = _environment(site_template, is_read_by_slurm=is_read_by_slurm)
    try:
        template = environment.get_template(name)
        ours = environment.get_template("array.sbatch.j2").blocks
        for unknown in sorted(set(template.blocks) - set(ours)):  # it would render nowhere, and nobody would know
            raise InputError(f"block {unknown!r} is in no array script; {nearest(unknown, list(ours))}", site_template)
        return template.render(context) + "\n"
    except TemplateError as error:
        raise InputError(f"template {site_template or name}: {error.message or error}", site_template) from None
