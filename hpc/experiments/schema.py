"""From the files people write to the records every other room relies on.

Everything wrong with a file is reported at once, each problem with its line and the nearest valid name. The models are
in `models`, each key is held against its own in `sections`, each block becomes a record in `to_records`; the rules
between values are in `hpc.core.checks`. What comes out are the frozen records of `hpc.core.experiment.spec`,
`hpc.core.resources` and `hpc.core.profile`.
"""

import ast
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from hpc.adapters.yaml_file import YamlDocument, load_yaml
from hpc.core.checks.check import check
from hpc.core.checks.draft import Draft
from hpc.core.errors import InputError, Problem, nearest
from hpc.core.experiment import spec as core
from hpc.core.experiment.asking import read_rules
from hpc.core.experiment.grid import parameter_names
from hpc.core.experiment.metric_source import metric_names, parse_source
from hpc.core.experiment.program import TRUE_FALSE, ConfigFile, Program
from hpc.core.experiment.slug import is_plain
from hpc.core.experiment.values import is_single
from hpc.core.launch.config_file import content_problems
from hpc.core.launch.program import named_experiments
from hpc.core.profile import ClusterProfile
from hpc.experiments.config_template import read_config
from hpc.experiments.models.experiment import ExperimentModel, TrackingModel, WandbModel
from hpc.experiments.models.metrics import MetricsModel
from hpc.experiments.models.profile import ProfileModel
from hpc.experiments.models.program import ConfigModel, ProgramModel
from hpc.experiments.models.resources import ContainerModel
from hpc.experiments.overrides import Overrides, apply_overrides
from hpc.experiments.sections import mapping_of, valid_sections
from hpc.experiments.to_records import (
    analysis_record,
    baseline_record,
    batch_record,
    budget_record,
    check_record,
    launch_record,
    metric_record,
    notice_record,
    pack_record,
    preflight_record,
    profile_record,
    resources_record,
    retry_record,
    sanity_record,
    sweep_record,
    texts,
    watch_record,
)

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
    document, misspelt = apply_overrides(mapping_of(document, "an experiment"), overrides)
    problems = list(misspelt)
    sections = valid_sections(ExperimentModel, document, problems)
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
    document = mapping_of(document, "a cluster profile")
    problems: list[Problem] = []
    sections = valid_sections(ProfileModel, document, problems)
    if problems:
        raise InputError(sorted(problems, key=lambda problem: problem.line), document.source)
    return profile_record(ProfileModel.model_construct(**sections), name or Path(document.source).stem)


def _draft(sections: Mapping[str, Any], document: YamlDocument, problems: list[Problem], code: Path | None) -> Draft:
    """Turn the valid sections into records; None for those that are not there."""
    program = _program(sections["program"], document, problems, code) if "program" in sections else None
    if program and "sweep" in sections:
        program = replace(program, optional=tuple(sections["sweep"].when))
    sweep = sweep_record(sections["sweep"]) if "sweep" in sections else None
    retry, resources, launch = sections.get("retry"), sections.get("resources"), sections.get("launch")
    metrics, known = _metrics(sections, document, problems)
    if program is not None and program.module is not None and code is not None and known is None:
        known = _module_metrics(program.module, code, document, problems)
    return Draft(
        program=program,
        sweep=sweep,
        baseline=baseline_record(sections.get("baseline")),
        metrics=metrics,
        run_name=_run_name(sections, sweep),
        resources=resources_record(resources) if resources else None,
        resource_rules=read_rules([_plain(each) for each in resources.for_ or ()]) if resources else (),
        launch=launch_record(launch) if launch else None,
        batch=batch_record(sections.get("batch")),
        retry=retry_record(retry) if retry else None,
        known_metrics=known,
        criterion=sections["brief"].criterion if "brief" in sections else None,
        analysis=analysis_record(sections["analysis"]) if "analysis" in sections else None,
        acceptance=check_record(sections.get("check")),
        sanity=sanity_record(sections["program"].sanity) if "program" in sections else None,
        pack=pack_record(sections.get("pack")),
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
    return core.Metrics(metric_record(model.primary), tuple(map(metric_record, model.secondary)), source), known


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


def _after(declared: list[str | int], program: Program) -> tuple[str, ...]:
    """The experiments that come before this one, those that its program names included."""
    named = named_experiments(program.command, program.config.content if program.config else None)
    return tuple(dict.fromkeys([*(each for each in declared if isinstance(each, str)), *named]))


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
        environment=texts(sections["environment"]),
        wandb={name: text for name, text in wandb if text is not None} if wandb else None,
        notify=tuple(notice_record(each) for each in sections["notify"]),
        check=draft.acceptance,
        sanity=draft.sanity,
        pack=draft.pack,
        after=_after(sections["after"] or [], _present(draft.program)),
        budget=budget_record(sections["budget"]),
        watch=watch_record(sections["watch"]),
        preflight=preflight_record(sections["preflight"]),
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
