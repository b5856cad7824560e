"""From the files people write to the records every other room relies on.

Everything wrong with a file is reported at once, each problem with its line and the nearest valid name. The models are
in `hpc.experiments.models`, the rules between values in `hpc.core.checks`; what comes out are the frozen records of
`hpc.core.experiment.spec`, `hpc.core.resources` and `hpc.core.profile`.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from hpc.adapters.yaml_file import YamlDocument, YamlPath, load_yaml
from hpc.core.checks.check import check
from hpc.core.checks.draft import Draft
from hpc.core.errors import InputError, Problem, nearest
from hpc.core.experiment import spec as core
from hpc.core.experiment.asking import read_rules
from hpc.core.experiment.grid import CASE, MAX_TASKS, parameter_names
from hpc.core.experiment.metric_source import metric_names, parse_source
from hpc.core.experiment.program import TRUE_FALSE, ConfigFile, Launch, Preflight, Program, Watch
from hpc.core.experiment.slug import is_plain
from hpc.core.experiment.values import is_single, render_value
from hpc.core.launch.config_file import content_problems
from hpc.core.launch.program import named_experiments
from hpc.core.profile import ClusterProfile, Following
from hpc.core.resources import (
    ALONE,
    Pack,
    Resources,
    parse_carbon,
    parse_duration,
    parse_memory,
    parse_share,
    parse_time,
    parse_times,
)
from hpc.experiments.config_template import read_config
from hpc.experiments.field_types import NEVER, RANGE, shown
from hpc.experiments.models import (
    AnalysisModel,
    BatchModel,
    BreakerModel,
    BudgetModel,
    CheckModel,
    ConfigModel,
    ContainerModel,
    DivergenceModel,
    ExperimentModel,
    LaunchModel,
    MetricModel,
    MetricsModel,
    Model,
    NoticeModel,
    PackModel,
    PreflightModel,
    PrimaryModel,
    ProgramModel,
    ResourcesModel,
    RetryModel,
    SampleModel,
    SanityModel,
    SweepModel,
    TrackingModel,
    WandbModel,
    WatchModel,
    inner_model,
)
from hpc.experiments.overrides import Overrides, apply_overrides
from hpc.experiments.profile_models import FollowModel, ProfileModel

NONE = Overrides()
Part = TypeVar("Part")


def load_experiment(
    path: Path, overrides: Overrides = NONE, *, code: Path | None = None, is_named: bool = False
) -> core.ExperimentSpec:
    """Read and check an experiment.

    Args:
        path: ``manifests/experiments/NAME.yaml``.
        overrides: Changes from the command line.
        code: Folder that holds our own training modules, whose metrics can be looked up; None looks nothing up.
        is_named: As `experiment_from`.

    Raises:
        InputError: Everything that is wrong with it, each with line and nearest valid name.
    """
    return experiment_from(load_yaml(path), overrides, code=code, is_named=is_named)


def load_profile(path: Path) -> ClusterProfile:
    """Read and check a cluster profile, ``manifests/clusters/NAME.yaml``; it is called as its file is.

    Raises:
        InputError: Everything that is wrong with it.
    """
    return profile_from(load_yaml(path), path.stem)


def experiment_from(
    document: YamlDocument, overrides: Overrides = NONE, *, code: Path | None = None, is_named: bool = False
) -> core.ExperimentSpec:
    """Check an experiment and turn it into its record. Also reads back `ExperimentSpec.raw`.

    Args:
        document: The experiment.
        overrides: Changes from the command line.
        code: As `load_experiment`.
        is_named: Its runs have their names already: nobody renders ten thousand of them to look for two alike.

    Raises:
        InputError: Everything that is wrong with it.
    """
    document, misspelt = apply_overrides(_mapping(document, "an experiment"), overrides)
    problems = list(misspelt)
    sections = _sections(ExperimentModel, document, problems)
    draft = _draft(sections, document, problems, code)
    checked = replace(draft, run_name=None) if is_named else draft
    problems += [document.problem(finding.path, finding.message) for finding in check(checked)]
    if problems:
        source = document.source if problems != misspelt else ""  # the file has no part in them
        raise InputError(sorted(problems, key=lambda problem: problem.line), source)
    return _spec(sections, draft)


def profile_from(document: YamlDocument, name: str = "") -> ClusterProfile:
    """Check a cluster profile and turn it into its record.

    Args:
        document: The profile.
        name: What it is called; empty takes the file's name.

    Raises:
        InputError: Everything that is wrong with it.
    """
    document = _mapping(document, "a cluster profile")
    problems: list[Problem] = []
    sections = _sections(ProfileModel, document, problems)
    if problems:
        raise InputError(sorted(problems, key=lambda problem: problem.line), document.source)
    return _profile(ProfileModel.model_construct(**sections), name or Path(document.source).stem)


def _profile(model: ProfileModel, name: str) -> ClusterProfile:
    return ClusterProfile(
        name=name,
        scheduler=model.scheduler,
        partition=model.partition or "",
        account=model.account or "",
        qos=model.qos or "",
        constraint=model.constraint or "",
        gpu_type=model.gpu_type or "",
        gpu_option=model.gpu_option,
        gres=tuple(model.gres),
        memory=model.memory,
        max_array_size=model.max_array_size,
        max_parallel=model.max_parallel,
        max_gpus=model.max_gpus,
        max_submit=model.max_submit,
        max_time_s=parse_time(model.max_time) if model.max_time is not None else 0,
        max_memory_mib=parse_memory(model.max_memory) if model.max_memory is not None else 0,
        signal_lead_s=model.signal_lead_s,
        python=model.python or "",
        apptainer=model.apptainer,
        gpu_vendor=model.gpu_vendor,
        image_dir=model.image_dir or "",
        images_signed_by=model.images_signed_by or "",
        binds=tuple(model.binds),
        setup=tuple(model.setup),
        environment=_texts(model.environment),
        directives=dict(model.directives),
        template=model.template or "",
        group_access=model.group_access,
        carbon=parse_carbon(model.carbon) if model.carbon is not None else 0.0,
        follow=_following(model.follow),
    )


def _following(model: FollowModel) -> Following:
    return Following(
        partition=model.partition or "",
        account=model.account or "",
        qos=model.qos or "",
        constraint=model.constraint,
        time_s=parse_time(model.time),
        memory_mib=parse_memory(model.mem),
        directives=None if model.directives is None else dict(model.directives),
        every_s=parse_time(model.every),
        max_days=model.max_days,
        shadow=model.shadow,
    )


def _draft(sections: Mapping[str, Any], document: YamlDocument, problems: list[Problem], code: Path | None) -> Draft:
    """Turn the valid sections into records; None for those that are not there."""
    program = _program(sections["program"], document, problems, code) if "program" in sections else None
    if program and "sweep" in sections:
        program = replace(program, optional=tuple(sections["sweep"].when))
    sweep = _sweep(sections["sweep"]) if "sweep" in sections else None
    retry, resources, launch = sections.get("retry"), sections.get("resources"), sections.get("launch")
    metrics, known = _metrics(sections, document, problems)
    if program is not None and program.module is not None and code is not None and known is None:
        known = _module_metrics(program.module, code, document, problems)
    return Draft(
        program=program,
        sweep=sweep,
        baseline=_baseline(sections.get("baseline")),
        metrics=metrics,
        run_name=_run_name(sections, sweep),
        resources=_resources(resources) if resources else None,
        resource_rules=read_rules([_plain(each) for each in resources.for_ or ()]) if resources else (),
        launch=_launch(launch) if launch else None,
        batch=_batch(sections.get("batch")),
        retry=_retry(retry) if retry else None,
        known_metrics=known,
        criterion=sections["brief"].criterion if "brief" in sections else None,
        analysis=_analysis(sections["analysis"]) if "analysis" in sections else None,
        acceptance=_check(sections.get("check")),
        sanity=_sanity(sections["program"].sanity) if "program" in sections else None,
        pack=_pack(sections.get("pack")),
        runtime=sections["container"].runtime if "container" in sections else "",
    )


def _program(model: ProgramModel, document: YamlDocument, problems: list[Problem], code: Path | None) -> Program:
    inputs = model.inputs if isinstance(model.inputs, dict) else {name: name for name in model.inputs}
    config = _config(model.config, document, problems, code) if model.config else None
    return Program(model.module, model.command, dict(model.args), model.workdir, dict(inputs), model.booleans, config)


def _config(model: ConfigModel, document: YamlDocument, problems: list[Problem], code: Path | None) -> ConfigFile:
    """Read the template, unless it stands here; empty where it cannot be used, which is said."""
    content = model.content
    if content is None:
        try:
            content = read_config((code or Path()) / model.file)
        except InputError as error:
            lines = [f"line {each.line}: {each.message}" if each.line else each.message for each in error.problems]
            problems += [document.problem(("program", "config"), f"{model.file}: {line}") for line in lines]
            return ConfigFile(model.file, {})
    found = list(content_problems(model.file, content))
    problems += [document.problem(("program", "config"), f"{model.file}: {message}") for message in found]
    return ConfigFile(model.file, {} if found else content)


def _sweep(model: SweepModel) -> core.Sweep:
    return core.Sweep(
        grid={name: tuple(values) for name, values in model.grid.items()},
        zipped={name: tuple(values) for name, values in model.zip.items()},
        cases=_cases(model),
        points=_points(model.sample) if model.sample else (),
        where=model.where or "",
        when=dict(model.when),
        seeds=tuple(model.seeds),
        further_seeds=tuple(model.further_seeds),
    )


def _cases(model: SweepModel) -> tuple[dict[str, core.Value], ...]:
    """Return the cases, those of several axes crossed: the last axis varies fastest."""
    if not model.axes:
        return tuple(model.cases)
    return tuple(_crossed(chosen) for chosen in product(*model.axes.values()))


def _crossed(chosen: Sequence[Mapping[str, core.Value]]) -> dict[str, core.Value]:
    """Make one case of one of each axis."""
    together = {name: value for one in chosen for name, value in one.items()}
    return {**together, "id": "+".join(str(one["id"]) for one in chosen)}


def _points(model: SampleModel) -> tuple[Mapping[str, core.Value], ...]:
    from hpc.experiments.sampling import Range, draw

    space = {
        name: Range(kind, tuple(values)) for name, block in model.space.items() for kind, values in [block.chosen()]
    }
    return draw(space, model.n, model.method, model.seed)


def _baseline(values: Mapping[str, core.Value] | None) -> Mapping[str, core.Value] | None:
    """A case may be named as in the case itself, by `id`; inside it is always `case`."""
    return None if values is None else {CASE if name == "id" else name: value for name, value in values.items()}


def _run_name(sections: Mapping[str, Any], sweep: core.Sweep | None) -> str | None:
    if "run_name" not in sections or sweep is None:
        return sections.get("run_name")
    case = ["{case}"] if sweep.cases else []
    swept = [_named(sweep, name) for name in parameter_names(sweep) if not any(name in one for one in sweep.cases)]
    return sections["run_name"] or "_".join([*case, *swept, "S{seed}"])


def _named(sweep: core.Sweep, name: str) -> str:
    """Return a parameter's part of the default run name."""
    listed = (*sweep.grid.get(name, ()), *sweep.zipped.get(name, ()), *(one.get(name) for one in sweep.points))
    odd = any(not is_single(value) or (isinstance(value, str) and not is_plain(value)) for value in listed)
    return f"{name}{{{name}:slug}}" if odd else f"{name}{{{name}}}"


def _metrics(
    sections: Mapping[str, Any], document: YamlDocument, problems: list[Problem]
) -> tuple[core.Metrics | None, tuple[str, ...] | None]:
    """Return the metrics and, where the source tells, the names that can be written."""
    model: MetricsModel | None = sections.get("metrics")
    if model is None:
        return None, None
    source = ("hdf5", "")
    if model.source is not None:
        source = model.source.chosen()
    known = None
    try:
        known = metric_names(parse_source(source))
    except InputError as error:
        message = error.problems[0].message.removeprefix(f"metrics.source.{source[0]} ")
        problems.append(document.problem(("metrics", "source", source[0]), message))
    tracking: TrackingModel | None = sections.get("tracking")
    if source[0] == "wandb" and tracking and tracking.wandb and tracking.wandb.mode == "disabled":
        message = "finds nothing, as tracking.wandb is off; leave tracking out"
        problems.append(document.problem(("metrics", "source", "wandb"), message))
    return core.Metrics(_metric(model.primary), tuple(map(_metric, model.secondary)), source), known


def _metric(model: MetricModel) -> core.Metric:
    ranges = model.range_ if isinstance(model, PrimaryModel) else None
    return core.Metric(
        model.name,
        model.goal,
        None if model.meaningful is None else parse_share(model.meaningful),
        core.read_ranges(ranges),
    )


def _module_metrics(module: str, code: Path, document: YamlDocument, problems: list[Problem]) -> tuple[str, ...] | None:
    """Look up which metrics one of our own modules writes; None for modules from elsewhere."""
    package, *rest = module.split(".")
    if not (code / package).is_dir() or not rest:
        return None
    path = code.joinpath(*module.split(".")).with_suffix(".py")
    if not path.is_file() and not path.with_suffix("").is_dir():
        modules = [f"{package}.{found.stem}" for found in sorted((code / package).glob("*.py")) if found.stem[0] != "_"]
        problems.append(
            document.problem(("program", "module"), f"there is no module '{module}'; {nearest(module, modules)}")
        )
        return None
    return declared_metrics(path.read_text(encoding="utf-8")) if path.is_file() else None


def declared_metrics(source: str) -> tuple[str, ...] | None:
    """Read ``METRICS = ("final_error", …)`` out of a module's text without running it; None when it declares none."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return None
    for statement in statements:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        value = getattr(statement, "value", None)
        if any(isinstance(target, ast.Name) and target.id == "METRICS" for target in targets) and value is not None:
            try:
                return tuple(str(name) for name in ast.literal_eval(value))
            except (ValueError, TypeError):
                return None
    return None


def _resources(model: ResourcesModel) -> Resources:
    return Resources(
        nodes=model.nodes,
        gpus=model.gpus,
        cpus=model.cpus,
        memory_mib=parse_memory(model.mem),
        time_s=parse_time(model.time),
        disk_mib=parse_memory(model.disk) if model.disk is not None else 0,
    )


def _pack(model: PackModel | None) -> Pack:
    return Pack(model.tasks, model.at_once) if model else ALONE


def _launch(model: LaunchModel) -> Launch:
    return Launch(
        kind=model.kind,
        processes=None if model.processes == "auto" else model.processes,
        mixed_precision=model.mixed_precision,
        zero_stage=model.deepspeed.zero_stage if model.deepspeed else None,
        offload=(model.deepspeed.offload or "") if model.deepspeed else "",
        fsdp=model.fsdp.sharding if model.fsdp else "",
        fsdp_wrap=tuple(model.fsdp.wrap) if model.fsdp else (),
        gradient_checkpointing=model.gradient_checkpointing,
        torch_compile=model.torch_compile,
        rank_logs=model.rank_logs,
    )


def _batch(model: BatchModel | None) -> core.Batch | None:
    if model is None:
        return None
    shape = None if model.shape is None else tuple(model.shape)
    return core.Batch(model.global_, model.micro, model.parameter, model.accumulation, shape)


def _retry(model: RetryModel) -> core.RetryPolicy:
    return core.RetryPolicy(
        max_attempts=model.max_attempts,
        min_micro=model.oom_gpu.min_micro,
        timeout_factor=model.timeout.factor,
        memory_factor=model.oom_host.factor,
        divergence=_divergence(model.divergence),
        exclude_hours=model.exclude_nodes.hours,
        exclude_at_most=model.exclude_nodes.at_most,
        breaker=_breaker(model.breaker),
        hook=model.hook or "",
    )


def _divergence(model: DivergenceModel) -> core.Divergence | None:
    """What the block changes; None when it changes nothing."""
    asked = core.Divergence(model.lower_learning_rate, dict(model.set), model.mixed_precision or "")
    return None if asked == core.Divergence() else asked


def _breaker(model: BreakerModel) -> core.Breaker | None:
    """When to hold; None when both rules are off."""
    return core.Breaker(**model.model_dump()) if model.same or model.share else None


def _analysis(model: AnalysisModel) -> core.Analysis:
    return core.Analysis(
        alpha=model.alpha,
        correction=model.correction,
        confidence=model.confidence,
        equivalence=None if model.equivalence is None else parse_share(model.equivalence),
        baseline_from=model.baseline_from or "",
        sigma=model.sigma,
    )


def _check(model: CheckModel | None) -> core.Check | None:
    if model is None:
        return None
    return core.Check(model.expression or "", model.command or "", parse_time(model.time))


def _budget(model: BudgetModel | None) -> core.Budget | None:
    return core.Budget(model.gpu_hours, model.core_hours) if model else None


def _sanity(model: SanityModel | None) -> core.Sanity | None:
    return core.Sanity(model.words, parse_time(model.time)) if model else None


def _preflight(model: PreflightModel | None) -> Preflight | None:
    if model is None:
        return None
    shm_mib, time_s = parse_memory(model.shm), parse_duration(model.time)
    return Preflight(model.gpu or "", model.matmul, model.all_reduce, shm_mib, time_s)


def _watch(model: WatchModel | None) -> Watch | None:
    if model is None:
        return Watch()
    if model.silent == NEVER:
        return None
    slower = parse_times(model.slower_than) if model.slower_than is not None else 0.0
    return Watch(parse_duration(model.silent), slower, model.act or "")


def _after(declared: list[str | int], program: Program) -> tuple[str, ...]:
    """The experiments that come before this one, those that its program names included."""
    named = named_experiments(program.command, program.config.content if program.config else None)
    return tuple(dict.fromkeys([*(each for each in declared if isinstance(each, str)), *named]))


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: render_value(value) for name, value in values.items()}


def _spec(sections: Mapping[str, Any], draft: Draft) -> core.ExperimentSpec:
    """Put the checked parts together; what `check` let through has all that is required."""
    wandb: WandbModel | None = sections["tracking"].wandb
    container: ContainerModel = sections["container"]
    written = {name: _plain(sections[name]) for name in ExperimentModel.model_fields if sections[name] is not None}
    return core.ExperimentSpec(
        name=sections["name"],
        type=sections["type"],
        program=_present(draft.program),
        sweep=_present(draft.sweep),
        metrics=_present(draft.metrics),
        run_name=_present(draft.run_name),
        resources=_present(draft.resources),
        resource_rules=draft.resource_rules,
        launch=_present(draft.launch),
        container=core.Container(container.image, tuple(container.binds), container.runtime),
        retry=_present(draft.retry),
        batch=draft.batch,
        baseline=draft.baseline,
        brief={name: text for name, text in sections["brief"] if text is not None},
        analysis=_present(draft.analysis),
        environment=_texts(sections["environment"]),
        wandb={name: text for name, text in wandb if text is not None} if wandb else None,
        notify=tuple(_notice(each) for each in sections["notify"]),
        check=draft.acceptance,
        sanity=draft.sanity,
        pack=draft.pack,
        after=_after(sections["after"] or [], _present(draft.program)),
        budget=_budget(sections["budget"]),
        watch=_watch(sections["watch"]),
        preflight=_preflight(sections["preflight"]),
        after_jobs=tuple(each for each in sections["after"] or [] if isinstance(each, int)),
        raw={
            **written,
            "program": _written_program(written["program"], _present(draft.program)),
            "sweep": _written_sweep(written["sweep"], _present(draft.sweep)),
            "run_name": draft.run_name,
        },
    )


def _written_sweep(written: Mapping[str, Any], sweep: core.Sweep) -> dict[str, Any]:
    """Write axes down as the cases they are, and no more than before there were `axes` and `when`."""
    said = {name: value for name, value in written.items() if name != "axes" and (name != "when" or value)}
    return {**said, "cases": [dict(case) for case in sweep.cases]}


def _written_program(written: Mapping[str, Any], program: Program) -> dict[str, Any]:
    """Write down what the template held: the manifest has to tell it when the file is another one.

    The usual spelling of true and false is left out: seals of plans from before it could be chosen do not have it.
    """
    said = {name: value for name, value in written.items() if (name, value) != ("booleans", TRUE_FALSE)}
    config = program.config
    return {**said, "config": {"file": config.file, "content": config.content}} if config else said


def _notice(model: NoticeModel) -> core.Notice:
    kind, target = next((kind, target) for kind, target in model if kind != "on" and target is not None)
    return core.Notice(kind, target, tuple(model.on))


def _present(part: Part | None) -> Part:
    if part is None:
        raise AssertionError("a required section passed validation without a value")
    return part


def _plain(value: Any) -> Any:
    """Write blocks as plain JSON values, with defaults filled in and what nobody asked for left out."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {
            field.alias or name: _plain(getattr(value, name))
            for name, field in fields.items()
            if getattr(value, name) is not None
        }
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _mapping(document: YamlDocument, what: str) -> YamlDocument:
    if document.data is None:
        raise InputError(f"is empty; write the keys of {what}", document.source)
    if not isinstance(document.data, dict):
        raise InputError([Problem(f"holds {shown(document.data)}, not the keys of {what}", line=1)], document.source)
    return document


def _sections(model: type[Model], document: YamlDocument, problems: list[Problem]) -> dict[str, Any]:
    """Validate each top-level key by itself, so that a mistake in one leaves the others usable; wrong ones are out."""
    valid: dict[str, Any] = {}
    known = tuple(model.model_fields)
    problems += [
        document.problem((key,), f"unknown key; {nearest(key, known)}") for key in document.data if key not in known
    ]
    for name, field in model.model_fields.items():
        if name not in document.data:
            if field.is_required():
                problems.append(document.problem((name,), _missing(field.description)))
            else:
                valid[name] = field.get_default()
            continue
        try:
            valid[name] = _adapter(model, name).validate_python(document.data[name])
        except ValidationError as error:
            problems.extend(_problem(model, document, (name,), detail) for detail in _flat(error))
    return valid


@cache
def _adapter(model: type[Model], name: str) -> TypeAdapter[Any]:
    """A validator for one top-level field, as strict as the model it belongs to."""
    annotation = model.model_fields[name].rebuild_annotation()
    is_block = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return TypeAdapter(annotation, config=None if is_block else ConfigDict(strict=True, allow_inf_nan=False))


def _flat(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False)


def _missing(description: str | None) -> str:
    return f"is missing: {(description or '').split('. ')[0].rstrip('.')}"


def _problem(model: type[Model], document: YamlDocument, prefix: YamlPath, detail: ErrorDetails) -> Problem:
    steps = tuple(step for step in (*prefix, *detail["loc"]) if step != "[key]")
    return document.problem(steps, _message(model, steps, detail))


def _message(model: type[Model], path: YamlPath, detail: ErrorDetails) -> str:
    """Say in a user's words what pydantic found."""
    kind, found, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key; {nearest(str(path[-1]), _keys_at(model, path[:-1]))}"
    if kind == "missing":
        return _missing(_description_at(model, path))
    if kind == "literal_error":
        valid = [str(option) for option in re.findall(r"'([^']*)'", str(context.get("expected", "")))]
        return f"{shown(found)} is not one of its values; {nearest(str(found), valid)}"
    template = _MESSAGES.get(kind)
    bounds = {key: f"{value:g}" if isinstance(value, float) else value for key, value in context.items()}
    return template.format(found=shown(found), **bounds) + _quote_hint(kind, found) if template else detail["msg"]


_MESSAGES: Mapping[str, str] = {
    "said": "{text}",
    "int_type": "must be a whole number, not {found}",
    "int_from_float": "must be a whole number, not {found}",
    "float_type": "must be a number, not {found}",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false, not {found}",
    "string_type": "must be text, not {found}",
    "string_too_short": "is empty",
    "string_too_long": "is longer than {max_length} characters",
    "string_pattern_mismatch": "{found} is not a dotted Python name, such as train.control",
    "model_type": "must be a block of keys, not {found}",
    "model_attributes_type": "must be a block of keys, not {found}",
    "dict_type": "must be a block of keys, not {found}",
    "list_type": "must be a list such as [a, b], not {found}",
    "too_short": "is empty; it needs at least {min_length}",
    "greater_than_equal": "must be at least {ge}, not {found}",
    "greater_than": "must be above {gt}, not {found}",
    "less_than_equal": "must be at most {le}, not {found}",
    "less_than": "must be below {lt}, not {found}",
}
"""pydantic's kinds of error, in our words; a test makes sure that none of the models can raise another one."""


def _quote_hint(kind: str, found: Any) -> str:
    if kind not in ("int_type", "float_type") or not isinstance(found, str):
        return ""
    if kind == "int_type" and RANGE.fullmatch(found):
        return f"; a range goes from the smaller seed to the larger, such as 0-9, and holds {MAX_TASKS:,} at most"
    return f"; write {found} without quotes" if re.fullmatch(r"-?[\d.]+", found) else ""


def _aliases(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _keys_at(model: type[Model], path: YamlPath) -> tuple[str, ...]:
    here = _block_at(model, path)
    return tuple(_aliases(here)) if here else ()


def _block_at(model: type[BaseModel], path: YamlPath) -> type[BaseModel] | None:
    """Find the block whose keys are written at a path; names of parameters and list positions lead nowhere new."""
    here: type[BaseModel] | None = model
    for step in path:
        fields = _aliases(here) if here else {}
        if step in fields:
            here = inner_model(fields[str(step)].annotation)
    return here


def _description_at(model: type[Model], path: YamlPath) -> str | None:
    here = _block_at(model, path[:-1])
    field = _aliases(here).get(str(path[-1])) if here else None
    return field.description if field else None
