"""What a site's Slurm must have for a profile and an experiment: each check a small function of what Slurm says."""

import re
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from difflib import get_close_matches

from hpc.core.checkup.check import Check, Severity
from hpc.core.checkup.needs import Needs
from hpc.core.checkup.site import Partition, SiteFacts, default_memory, number_in
from hpc.core.errors import nearest
from hpc.core.profile import ClusterProfile
from hpc.core.resources import render_memory, render_time
from hpc.core.slurm.limits import Limit
from hpc.core.slurm.partitions import NodeKind
from hpc.core.words import counted, few

NEEDED = ("sbatch", "squeue", "scontrol", "scancel", "sinfo")
WANTED = ("sacct", "sacctmgr", "srun")
SKEW_S, BAD_SKEW_S = 5, 60
LEAST_KILL_WAIT_S, ENOUGH_LEAD_S = 10, 60
OK, NOTE, WARNING, BLOCKING = Severity.OK, Severity.NOTE, Severity.WARNING, Severity.BLOCKING


def edit(profile: ClusterProfile, line: str) -> str:
    """The command that writes a line of the profile in the place of the one of its key, typed in the project's folder.

    ``$a\\`` ends a last line that has no end; a profile that is built in gets a file that goes before it.
    """
    key, file = line.partition(":")[0], shlex.quote(f"manifests/clusters/{profile.name}.yaml")
    return f"sed -i -e '/^{key}:/d' -e '$a\\' {file}; echo {shlex.quote(line)} >> {file}"


def plan_again(needs: Needs, profile: ClusterProfile) -> str:
    """The command that plans an experiment for this site."""
    return shlex.join(["python", "-m", "hpc.plan", needs.name, "--cluster", profile.name])


def judge_clients(missing: Collection[str], version: str) -> Check:
    """Judge which of Slurm's commands are on PATH."""
    expected = ", ".join((*NEEDED, *WANTED))
    lacking = [name for name in (*NEEDED, *WANTED) if name in missing]
    if not lacking:
        return Check("clients", f"slurm {version}".strip(), expected)
    severity = BLOCKING if set(lacking) & set(NEEDED) else WARNING
    mend = "python -m hpc.doctor --cluster local  # for this machine alone; else log in to a login node"
    return Check("clients", f"not on PATH: {', '.join(lacking)}", expected, mend, severity)


def judge_clock(skew_s: float) -> Check:
    """Judge this clock against the controller's; its answer is in whole seconds. Munge refuses beyond 300 s."""
    found = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the controller"
    if abs(skew_s) <= SKEW_S:
        return Check("clock", "as the controller's", f"within {SKEW_S} s")
    severity = BLOCKING if abs(skew_s) > BAD_SKEW_S else WARNING
    return Check(
        "clock", found, f"within {SKEW_S} s", "timedatectl status  # ask the site to correct the time here", severity
    )


def judge_accounting(site: SiteFacts) -> Check:
    """Judge whether jobs are remembered."""
    kind = site.config.get("AccountingStorageType", "not said")
    if site.keeps_accounting:
        return Check("accounting", kind, "a database")
    return Check(
        "accounting", f"none ({kind})", "a database",
        "python -m hpc.collect  # soon after runs end: causes then come only from logs and exit.json", WARNING,
    )  # fmt: skip


def judge_account(site: SiteFacts, profile: ClusterProfile) -> Check | None:
    """Judge the account that jobs would be charged to."""
    if site.allowed is None:
        return None
    names = list(dict.fromkeys(each.account for each in site.allowed))
    default = next((each.account for each in site.allowed if each.is_default), "")
    ask = "sacctmgr show assoc user=$USER format=account,partition,qos  # ask the site for one"
    if not names:
        severity = BLOCKING if site.enforces & {"associations", "limits", "all", "qos", "safe"} else NOTE
        return Check(
            "account", f"{site.user} has none", "an association with an account", ask,
            severity,
        )  # fmt: skip
    if profile.account and profile.account not in names:
        line = edit(profile, f"account: {default or names[0]}")
        return Check(
            "account", f"{profile.account} is not one of yours", nearest(profile.account, names), line, BLOCKING
        )
    if not profile.account and not default and len(names) > 1:
        line = edit(profile, f"account: {names[0]}")
        return Check("account", "none named, and no default", f"one of {few(names)}", line, WARNING)
    return Check("account", profile.account or default or names[0], f"one of {few(names)}")


def judge_qos(site: SiteFacts, profile: ClusterProfile) -> Check | None:
    """Judge the quality of service asked for."""
    if site.allowed is None or not site.allowed:
        return None
    names = sorted({name for each in site.allowed for name in each.qos if profile.account in ("", each.account)})
    if profile.qos and names and profile.qos not in names:
        line = edit(profile, f"qos: {names[0]}")
        return Check("qos", f"{profile.qos} is not open to you", nearest(profile.qos, names), line, BLOCKING)
    default = next((each.default_qos for each in site.allowed if each.default_qos), "")
    return Check("qos", profile.qos or default or "the site's default", f"one of {few(names)}" if names else "")


def judge_partition(site: SiteFacts, profile: ClusterProfile, groups: Collection[str] = ()) -> Check:
    """Judge whether the partitions of a profile exist, take jobs, and let this user in.

    Args:
        groups: Unix groups of the user.
    """
    names = [name for name in profile.partition.split(",") if name]
    there = [each.name for each in site.partitions]
    unknown = [name for name in names if site.partition(name) is None]
    if unknown:
        line = edit(profile, f"partition: {_best_guess(site, profile, unknown[0])}")
        return Check("partition", f"there is no {', '.join(unknown)}", nearest(unknown[0], there), line, BLOCKING)
    found = [partition for name in names or [""] if (partition := site.partition(name))]
    if not found:
        line = edit(profile, f"partition: {_best_guess(site, profile)}")
        return Check("partition", "none named, and the site has no default", f"one of {few(there)}", line, BLOCKING)
    closed = {each.name: why for each in found if (why := _why_closed(each, site, profile, groups))}
    expected = "one that accepts your jobs"
    if not closed:
        return Check("partition", ", ".join(f"{each.name} ({_limits(each, site)})" for each in found), expected)
    open_ones = [each for each in site.partitions if not _why_closed(each, site, profile, groups)]
    best = max(open_ones, key=lambda each: _has_type(site, profile, each), default=None)
    mend = edit(profile, f"partition: {best.name}") if best else "sinfo -s  # ask the site which one is for you"
    said = "; ".join(f"{name}: {why}" for name, why in closed.items())
    severity = BLOCKING if len(closed) == len(found) else WARNING
    return Check("partition", said, expected, mend, severity)


def _has_type(site: SiteFacts, profile: ClusterProfile, partition: Partition) -> bool:
    """Whether a partition has the type of GPU that the profile asks for, if it asks for one."""
    return not profile.gpu_type or any(profile.gpu_type in kind.gpus for kind in site.nodes_of(partition.name))


def _best_guess(site: SiteFacts, profile: ClusterProfile, meant: str = "") -> str:
    """The partition that was meant, as far as its name tells, else one that has the GPUs asked for."""
    if close := get_close_matches(meant, [each.name for each in site.partitions], n=1, cutoff=0.6):
        return close[0]
    fitting = next((each.name for each in site.partitions if profile.gpu_type and _has_type(site, profile, each)), "")
    if fitting:
        return fitting
    default = site.partition("")
    return default.name if default else next((each.name for each in site.partitions), "NAME")


def _why_closed(partition: Partition, site: SiteFacts, profile: ClusterProfile, groups: Collection[str]) -> str:
    """Say why a partition takes no job of this user; empty where it does."""
    if partition.state != "UP":
        return f"its state is {partition.state}"
    account = profile.account or next((each.account for each in site.allowed or () if each.is_default), "")
    if account and (account in partition.denied or (partition.accounts and account not in partition.accounts)):
        takes = f"; it accepts {few(partition.accounts)}" if partition.accounts else ""
        return f"it accepts no jobs of account {account}{takes}"
    if profile.qos and partition.qos and profile.qos not in partition.qos:
        return f"it accepts no jobs of QOS {profile.qos}; it accepts {few(partition.qos)}"
    if groups and partition.groups and not set(groups) & set(partition.groups):
        return f"it is for the groups {few(partition.groups)}"
    return ""


def _limits(partition: Partition, site: SiteFacts) -> str:
    nodes = sum(kind.nodes for kind in site.nodes_of(partition.name)) or partition.nodes
    limit = render_time(partition.max_time_s) if partition.max_time_s else "no time limit"
    return f"{counted(nodes, 'node')}, {limit}"


def _asked_partitions(site: SiteFacts, profile: ClusterProfile) -> list[Partition]:
    names = profile.partition.split(",") if profile.partition else [""]
    return [partition for name in names if (partition := site.partition(name))]


def _asked_nodes(site: SiteFacts, profile: ClusterProfile) -> list[NodeKind]:
    return [kind for each in _asked_partitions(site, profile) for kind in site.nodes_of(each.name)]


def judge_time_limit(site: SiteFacts, profile: ClusterProfile, needs: Needs | None) -> Check | None:
    """Judge the time asked for against the partitions' limits."""
    limits = {each.name: each.max_time_s for each in _asked_partitions(site, profile)}
    if not limits:
        return None
    most = None if None in limits.values() else max(each or 0 for each in limits.values())
    said = ", ".join(f"{name}: {render_time(limit) if limit else 'no limit'}" for name, limit in limits.items())
    if most and needs and needs.time_s > most:
        mend = f"{plan_again(needs, profile)} --set resources.time={render_time(most)}"
        found = f"{needs.name} asks for {render_time(needs.time_s)}"
        return Check("time limit", found, f"{render_time(most)} at most ({said})", mend, BLOCKING)
    if most and profile.max_time_s > most:
        found = f"max_time {render_time(profile.max_time_s)}"
        return Check("time limit", found, said, edit(profile, f'max_time: "{render_time(most)}"'), WARNING)
    return Check("time limit", said)


def judge_cores(site: SiteFacts, profile: ClusterProfile, needs: Needs | None) -> Check | None:
    """Judge the cores asked for against the nodes."""
    most = max((kind.cpus for kind in _asked_nodes(site, profile)), default=0)
    asked = max((each.cpus for each in needs.resources), default=0) if needs else 0
    if not most:
        return None
    if needs and asked > most:
        mend = f"{plan_again(needs, profile)} --set resources.cpus={most}"
        return Check("cores", f"{needs.name} asks for {asked} a node", f"{most} at most", mend, BLOCKING)
    return Check("cores", f"{most} on the largest node" + (f", {asked} asked for" if asked else ""))


def judge_memory(site: SiteFacts, profile: ClusterProfile, needs: Needs | None) -> Check | None:
    """Judge the memory asked for against the nodes."""
    bounds = {each.name: each.most_per_node for each in _asked_partitions(site, profile)}
    most = max(
        (min(kind.memory_mib, bounds[kind.partition] or kind.memory_mib) for kind in _asked_nodes(site, profile)),
        default=0,
    )
    asked = max((each.memory_mib for each in needs.resources), default=0) if needs else 0
    if most <= 1:  # what Slurm says where nobody told it
        return None
    if needs and asked > most and profile.memory != "none":
        mend = f"{plan_again(needs, profile)} --set resources.mem={render_memory(most)}"
        found = f"{needs.name} asks for {render_memory(asked)} a node"
        return Check("memory", found, f"{render_memory(most)} at most", mend, BLOCKING)
    if profile.max_memory_mib > most:
        found = f"max_memory {render_memory(profile.max_memory_mib)}"
        line = edit(profile, f"max_memory: {render_memory(most)}")
        return Check("memory", found, f"{render_memory(most)} at most", line, WARNING)
    return Check(
        "memory",
        f"{render_memory(most)} on the largest node" + (f", {render_memory(asked)} asked for" if asked else ""),
    )


def memory_rule(site: SiteFacts, partition: Partition | None) -> str:
    """How a site wants to be asked for memory: ``per_node``, ``per_cpu``, ``per_gpu`` or ``none``.

    A partition that gives whole nodes, and a Slurm that does not count memory, are not asked. Otherwise the default
    that the site declares says what it thinks in.
    """
    counts = "MEMORY" in site.config.get("SelectTypeParameters", "").upper()
    if site.config and not counts:
        return "none"
    if partition and partition.is_exclusive:
        return "none"
    if most_per_cpu(site, partition):
        return "per_cpu"
    declared = (partition.defaults if partition else {}) or default_memory(site.config)
    return next((rule for rule in ("per_gpu", "per_cpu", "per_node") if rule in declared), "per_node")


def most_per_cpu(site: SiteFacts, partition: Partition | None) -> int | None:
    """Memory that a job may ask for a core, in MiB; beyond it Slurm adds cores. None for no bound."""
    own = partition.most_per_cpu if partition else None
    return own or number_in(site.config.get("MaxMemPerCPU", ""))


def judge_memory_rule(site: SiteFacts, profile: ClusterProfile) -> Check | None:
    """Judge how the profile asks for memory."""
    asked = _asked_partitions(site, profile)
    if not site.config or not asked:
        return None
    rule, counts = memory_rule(site, asked[0]), site.config.get("SelectTypeParameters", "")
    if rule == "none" and profile.memory != "none":
        whole = asked[0].is_exclusive
        why = f"{asked[0].name} gives whole nodes" if whole else f"memory is not counted ({counts or 'select/linear'})"
        return Check("memory rule", f"{profile.memory}; {why}", "none", edit(profile, "memory: none"), NOTE)
    bound = most_per_cpu(site, asked[0])
    if bound and profile.memory == "per_node":
        found = f"per_node; a core may have {bound} MiB (MaxMemPerCPU)"
        return Check(
            "memory rule", found, "per_cpu: beyond that Slurm adds cores", edit(profile, "memory: per_cpu"), NOTE
        )
    return Check("memory rule", profile.memory, counts)


def judge_gpus(site: SiteFacts, profile: ClusterProfile, needs: Needs | None) -> Check | None:
    """Judge GPUs asked for, and their type, against what the nodes have."""
    kinds = _asked_nodes(site, profile)
    if not kinds:
        return None
    types: dict[str, int] = {}
    for kind in kinds:
        for name, number in kind.gpus.items():
            types[name] = max(types.get(name, 0), number)
    asked = needs.gpus if needs else 0
    there = ", ".join(f"{number} x {name or 'without a type'}" for name, number in types.items()) or "none"
    if profile.gpu_option == "none" and not asked:
        return Check("gpus", there)
    if profile.gpu_type and profile.gpu_type not in types and (types or asked):
        known = [name for name in types if name]
        mend = edit(profile, f"gpu_type: {known[0]}") if known else _elsewhere(site, profile, asked)
        hint = nearest(profile.gpu_type, known) if known else f"a node has {there}"
        return Check("gpus", f"no {profile.gpu_type} here", hint, mend, BLOCKING)
    most = types.get(profile.gpu_type, 0) if profile.gpu_type else max((sum(k.gpus.values()) for k in kinds), default=0)
    if needs and asked > most and profile.gpu_option != "none":
        mend = f"{plan_again(needs, profile)} --set resources.gpus={most}" if most else _elsewhere(site, profile, asked)
        return Check("gpus", f"{needs.name} asks for {asked} a node", f"a node has {there}", mend, BLOCKING)
    return Check("gpus", f"a node has {there}" + (f", {asked} asked for" if asked else ""))


def _elsewhere(site: SiteFacts, profile: ClusterProfile, asked: int) -> str:
    having = dict.fromkeys(kind.partition for kind in site.kinds if sum(kind.gpus.values()) >= max(1, asked))
    if having:
        return edit(profile, f"partition: {next(iter(having))}")
    return "sinfo -o '%P %G'  # no partition has them"


def judge_array_size(site: SiteFacts, profile: ClusterProfile, needs: Needs | None) -> Check | None:
    """Judge the size of arrays; the index goes up to MaxArraySize less one."""
    text = site.config.get("MaxArraySize", "")
    if not text.isdecimal():
        return None
    bound = re.search(r"max_array_tasks=(\d+)", site.config.get("SchedulerParameters", ""))
    most = min(int(text) - 1, int(bound[1]) if bound else int(text) - 1)
    if most < 1:
        mend = "scontrol show config | grep MaxArraySize  # ask the site for more"
        return Check("array size", f"MaxArraySize is {text}: arrays are switched off", "2 or more", mend, BLOCKING)
    largest = min(needs.tasks, profile.max_array_size) if needs else 0
    if largest > most:
        found = f"{needs.name if needs else ''} makes an array of {counted(largest, 'task')}"
        return Check("array size", found, f"{most} at most", edit(profile, f"max_array_size: {most}"), BLOCKING)
    if profile.max_array_size > most:
        found = f"max_array_size {profile.max_array_size}"
        return Check("array size", found, f"{most} at most", edit(profile, f"max_array_size: {most}"), WARNING)
    return Check("array size", f"{most} at most", f"{profile.max_array_size} as the profile has it")


def judge_submit_limits(limits: Sequence[Limit], needs: Needs | None) -> Check:
    """Judge how many jobs may be in the queue; what does not fit is fed in portions."""
    tight = min(limits, key=lambda limit: limit.left, default=None)
    if tight is None:
        return Check("submit limits", "none could be read")
    if tight.left == 0:
        mend = "python -m hpc.submit --follow  # jobs feed the rest when there is room"
        return Check("submit limits", str(tight), "room for one more", mend, WARNING)
    if needs and needs.tasks > tight.left:
        mend = f"python -m hpc.submit {shlex.quote(needs.name)} --follow  # feeds what fits, and the rest later"
        return Check("submit limits", str(tight), f"room for {counted(needs.tasks, 'task')} at once", mend, NOTE)
    return Check("submit limits", str(tight))


def judge_cgroups(site: SiteFacts, version_here: int) -> Check | None:
    """Judge whether memory limits are kept.

    Args:
        version_here: Version of the control groups of this machine, 1 or 2; 0 where it has none. Nodes are most
            often as the login node is.
    """
    if not site.config:
        return None
    tracks, plugins = site.config.get("ProctrackType", ""), site.config.get("TaskPlugin", "")
    plugin, holds = site.config.get("CgroupPlugin", ""), site.config.get("ConstrainRAMSpace", "")
    found = f"{tracks}, {plugins}, {plugin or 'no CgroupPlugin'}; this machine has {_version(version_here)}"
    ask = "tell the site (man cgroup.conf): "
    if "cgroup" not in tracks + plugins:
        return Check(
            "control groups", found, "task/cgroup with ConstrainRAMSpace=yes",
            "then only logs tell of out-of-memory kills: ask for a little more memory than runs use", WARNING,
        )  # fmt: skip
    too_old = _release(site.version) < (22, 5) and not plugin
    if version_here == 2 and (plugin == "cgroup/v1" or too_old):
        mend = f"{ask}CgroupPlugin=autodetect, Slurm 22.05 or newer"
        return Check("control groups", found, "CgroupPlugin=cgroup/v2 or autodetect", mend, WARNING)
    if version_here == 1 and plugin == "cgroup/v2":
        return Check("control groups", found, "CgroupPlugin=cgroup/v1 or autodetect", f"{ask}cgroup/v1", WARNING)
    if "cgroup" not in plugins or (holds and holds.lower() not in ("yes", "true")):
        mend = (
            f"{ask}ConstrainRAMSpace=yes; without it a task over its memory limit is killed without being reported as "
            "such"
        )
        return Check("control groups", found, "a memory limit that is enforced", mend, NOTE)
    return Check("control groups", found)


def _version(number: int) -> str:
    return f"v{number}" if number else "none"


def _release(text: str) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (99, 0)


def judge_preemption(site: SiteFacts) -> Check | None:
    """Judge what becomes of a job that has to make way."""
    kind, mode = site.config.get("PreemptType", ""), site.config.get("PreemptMode", "")
    if not kind:
        return None
    puts_back = site.config.get("JobRequeue", "1") != "0"
    said = f"{kind}, {mode}; JobRequeue={int(puts_back)}"
    if kind == "preempt/none":
        if puts_back:
            return Check("preemption", said)
        mend = "python -m hpc.collect --retry-failed  # Slurm does not requeue a job whose node fails"
        return Check("preemption", said, "JobRequeue=1", mend, NOTE)
    if "CANCEL" in mode.upper() or not puts_back:
        mend = "python -m hpc.submit --follow  # retries preempted tasks; checkpoints (SIGUSR1) keep their work"
        return Check("preemption", said, "PreemptMode=REQUEUE, JobRequeue=1", mend, WARNING)
    return Check("preemption", said)


def judge_endings(site: SiteFacts, profile: ClusterProfile) -> Check | None:
    """Judge the time a task has between the signal, SIGTERM and SIGKILL."""
    wait = _seconds(site.config.get("KillWait", ""))
    if wait is None:
        return None
    over = _seconds(site.config.get("OverTimeLimit", "")) or 0
    said = f"KillWait {wait} s, OverTimeLimit {over} min, SIGUSR1 {profile.signal_lead_s} s before the limit"
    if wait < LEAST_KILL_WAIT_S and profile.signal_lead_s < ENOUGH_LEAD_S:
        mend = edit(profile, "signal_lead_s: 120") + "  # then a checkpoint is written before the end"
        return Check(
            "time to end", said, f"KillWait {LEAST_KILL_WAIT_S} s or more, or an earlier signal", mend, WARNING
        )
    return Check("time to end", said)


def _seconds(text: str) -> int | None:
    found = re.match(r"(\d+)", text)
    return int(found[1]) if found else None


def judge_overrides(site: SiteFacts) -> Check | None:
    """Note where nodes may have less than they are said to have."""
    parameters = site.config.get("SlurmdParameters", "")
    if "config_overrides" not in parameters:
        return None
    mend = "srun --nodes=1 free -m  # what a node really has"
    return Check("node definitions", f"SlurmdParameters={parameters}", "what nodes really have", mend, NOTE)


ByNeeds = Callable[[SiteFacts, ClusterProfile, Needs | None], Check | None]
BY_NEEDS: tuple[ByNeeds, ...] = (
    judge_time_limit, judge_cores, judge_memory, judge_gpus, judge_array_size,
)  # fmt: skip


def judge_site(
    site: SiteFacts, profile: ClusterProfile, needs: Needs | None, *, groups: Collection[str], cgroups: int
) -> Iterator[Check]:
    """Make every check that follows from what Slurm said.

    Args:
        groups: Unix groups of the user.
        cgroups: Version of the control groups here.
    """
    found: list[Check | None] = [
        judge_account(site, profile),
        judge_qos(site, profile),
        judge_partition(site, profile, groups),
        *(judge(site, profile, needs) for judge in BY_NEEDS),
        judge_memory_rule(site, profile),
        judge_cgroups(site, cgroups),
        judge_preemption(site),
        judge_endings(site, profile),
        judge_overrides(site),
    ]
    yield from (check for check in found if check is not None)
