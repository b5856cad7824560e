"""A valid block of a file as its record of `hpc.core`: units read, defaults filled in, axes crossed. One a block."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from hpc.core.experiment import spec as core
from hpc.core.experiment.grid import CASE
from hpc.core.experiment.program import Launch, Preflight, Watch
from hpc.core.experiment.values import render_value
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
from hpc.experiments.field_types import NEVER
from hpc.experiments.models.experiment import NoticeModel
from hpc.experiments.models.metrics import MetricModel, PrimaryModel
from hpc.experiments.models.profile import FollowModel, ProfileModel
from hpc.experiments.models.program import CheckModel, SanityModel
from hpc.experiments.models.question import AnalysisModel
from hpc.experiments.models.resources import BatchModel, BudgetModel, LaunchModel, PackModel, ResourcesModel
from hpc.experiments.models.retry import BreakerModel, DivergenceModel, RetryModel
from hpc.experiments.models.sweep import SampleModel, SweepModel
from hpc.experiments.models.watch import PreflightModel, WatchModel


def profile_record(model: ProfileModel, name: str) -> ClusterProfile:
    """Turn a cluster profile into its record; it is called `name`."""
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
        environment=texts(model.environment),
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


def sweep_record(model: SweepModel) -> core.Sweep:
    """Turn the sweep into its record: axes crossed, the sample drawn."""
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


def baseline_record(values: Mapping[str, core.Value] | None) -> Mapping[str, core.Value] | None:
    """A case may be named as in the case itself, by `id`; inside it is always `case`."""
    return None if values is None else {CASE if name == "id" else name: value for name, value in values.items()}


def metric_record(model: MetricModel) -> core.Metric:
    """Turn a metric into its record: shares read, ranges of systems in the order they are written."""
    ranges = model.range_ if isinstance(model, PrimaryModel) else None
    return core.Metric(
        model.name,
        model.goal,
        None if model.meaningful is None else parse_share(model.meaningful),
        core.read_ranges(ranges),
    )


def resources_record(model: ResourcesModel) -> Resources:
    """Turn what a task asks for into its record: memory in MiB, time in seconds."""
    return Resources(
        nodes=model.nodes,
        gpus=model.gpus,
        cpus=model.cpus,
        memory_mib=parse_memory(model.mem),
        time_s=parse_time(model.time),
        disk_mib=parse_memory(model.disk) if model.disk is not None else 0,
    )


def pack_record(model: PackModel | None) -> Pack:
    """Turn the pack into its record; without one a task is alone."""
    return Pack(model.tasks, model.at_once) if model else ALONE


def launch_record(model: LaunchModel) -> Launch:
    """Turn the launcher into its record."""
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


def batch_record(model: BatchModel | None) -> core.Batch | None:
    """Turn the batch into its record; None without one."""
    if model is None:
        return None
    shape = None if model.shape is None else tuple(model.shape)
    return core.Batch(model.global_, model.micro, model.parameter, model.accumulation, shape)


def retry_record(model: RetryModel) -> core.RetryPolicy:
    """Turn the policy of retries into its record."""
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


def analysis_record(model: AnalysisModel) -> core.Analysis:
    """Turn how results are judged into its record: shares read."""
    return core.Analysis(
        alpha=model.alpha,
        correction=model.correction,
        confidence=model.confidence,
        equivalence=None if model.equivalence is None else parse_share(model.equivalence),
        baseline_from=model.baseline_from or "",
        sigma=model.sigma,
    )


def check_record(model: CheckModel | None) -> core.Check | None:
    """Turn the acceptance check into its record, time in seconds; None without one."""
    if model is None:
        return None
    return core.Check(model.expression or "", model.command or "", parse_time(model.time))


def budget_record(model: BudgetModel | None) -> core.Budget | None:
    """Turn the budget into its record, in hours; None without one."""
    return core.Budget(model.gpu_hours, model.core_hours) if model else None


def sanity_record(model: SanityModel | None) -> core.Sanity | None:
    """Turn the ladder before the program into its record, time in seconds; None without one."""
    return core.Sanity(model.words, parse_time(model.time)) if model else None


def preflight_record(model: PreflightModel | None) -> Preflight | None:
    """Turn the gate of a node into its record: memory in MiB, time in seconds; None without one."""
    if model is None:
        return None
    shm_mib, time_s = parse_memory(model.shm), parse_duration(model.time)
    return Preflight(model.gpu or "", model.matmul, model.all_reduce, shm_mib, time_s)


def watch_record(model: WatchModel | None) -> Watch | None:
    """Turn the watch for hangs into its record, in seconds: the usual one without a block, None where it is off."""
    if model is None:
        return Watch()
    if model.silent == NEVER:
        return None
    slower = parse_times(model.slower_than) if model.slower_than is not None else 0.0
    return Watch(parse_duration(model.silent), slower, model.act or "")


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Write values of environment variables as text."""
    return {name: render_value(value) for name, value in values.items()}


def notice_record(model: NoticeModel) -> core.Notice:
    """Turn a notice into its record."""
    kind, target = next((kind, target) for kind, target in model if kind != "on" and target is not None)
    return core.Notice(kind, target, tuple(model.on))
