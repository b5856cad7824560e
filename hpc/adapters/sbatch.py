"""Array plan → sbatch script, through Jinja2. Nothing is computed in a template, nothing undefined renders.

Jinja2 is imported where a script is rendered: `hpc.status` shares this import path and renders none.
"""

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.core.arrays import ArrayPlan, signal_lead_s
from hpc.core.errors import InputError, nearest
from hpc.core.executions import job_name_of
from hpc.core.layout import SubmissionLayout
from hpc.core.resources import ClusterProfile, Resources, render_memory, render_time

if TYPE_CHECKING:
    from jinja2 import Environment

# sbatch splits an option line at white space and honours quotes and backslashes; '%' is its own pattern sign.
_PLAIN_DIRECTIVE = re.compile(r"[^\s'\"\\#%$`]+")
_DIRECTIVE_WITH_PATTERN = re.compile(r"\d+-\d+(%\d+)?")


def _directive(value: object) -> str:
    """Let a value into an #SBATCH line only when it means the same there as here."""
    text = str(value)
    if not (_PLAIN_DIRECTIVE.fullmatch(text) or _DIRECTIVE_WITH_PATTERN.fullmatch(text)):
        raise InputError(
            f"{text!r} cannot stand in an #SBATCH line: it holds a space, quote, backslash or one of #%$`. "
            "Move the run folder (HPC_ROOT) or rename the experiment"
        )
    return text


def _environment(template: str) -> "tuple[Environment, str]":
    """Find a site's template beside ours, so that it may extend ``array.sbatch.j2``."""
    from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined

    loaders: list[FileSystemLoader | PackageLoader] = [PackageLoader("hpc", "templates")]
    name = "array.sbatch.j2"
    if template:
        loaders.insert(0, FileSystemLoader(Path(template).parent))
        name = Path(template).name
    # Shell text, not HTML: escaping is done by the two filters.
    environment = Environment(loader=ChoiceLoader(loaders), undefined=StrictUndefined, autoescape=False)  # noqa: S701
    environment.filters["shell"] = lambda value: shlex.quote(str(value))
    environment.filters["directive"] = _directive
    return environment, name


def resource_options(resources: Resources, profile: ClusterProfile, exclude: tuple[str, ...]) -> dict[str, str]:
    """List the sbatch options of one array, long names without dashes."""
    options = {
        "nodes": str(resources.nodes),
        "ntasks-per-node": "1",
        "cpus-per-task": str(resources.cpus),
        "mem": render_memory(resources.memory_mib),
        "time": render_time(resources.time_s),
    }
    if resources.gpus:
        options["gres"] = f"gpu:{resources.gpus}"
    for name in ("partition", "account", "qos", "constraint"):
        if value := getattr(profile, name):
            options[name] = value
    options |= profile.directives
    if exclude:
        options["exclude"] = ",".join(filter(None, (options.get("exclude", ""), *exclude)))
    return options


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
    from jinja2 import TemplateError

    if ":" in str(code):
        raise InputError(f"{code}: Python splits its search path at ':'. Move the run folder (HPC_ROOT)")
    last = len(plan.assignments) - 1
    throttle = f"%{profile.max_parallel}" if profile.max_parallel else ""
    context: dict[str, Any] = {
        "job_name": job_name_of(experiment),
        "comment": comment,
        "array": f"0-{last}{throttle}",
        "logs": submission.logs,
        "signal_lead_s": signal_lead_s(plan.resources, profile),
        "options": list(resource_options(plan.resources, profile, plan.exclude_nodes).items()),
        "setup": profile.setup,
        "environment": sorted(profile.environment.items()),
        "code": code,
        "python": python,
        "module": module,
        "index": submission.index,
    }
    environment, name = _environment(profile.template)
    try:
        template = environment.get_template(name)
        ours = environment.get_template("array.sbatch.j2").blocks
        for unknown in sorted(set(template.blocks) - set(ours)):  # it would render nowhere, and nobody would know
            raise InputError(
                f"block {unknown!r} is in no array script; {nearest(unknown, list(ours))}", profile.template
            )
        return template.render(context) + "\n"
    except TemplateError as error:
        raise InputError(f"template {profile.template or name}: {error.message or error}", profile.template) from None
