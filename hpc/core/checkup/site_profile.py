"""A cluster profile from what a Slurm says of itself: YAML with comments, every choice with what it was made of."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpc.core.checkup.site import Allowed, Partition, SiteFacts, default_memory
from hpc.core.checkup.slurm import memory_rule, most_per_cpu
from hpc.core.resources import HOUR, render_memory, render_time
from hpc.core.slurm.partitions import NodeKind
from hpc.core.words import counted

MOST_ARRAY = 1000
"""The profile's own default; a site that takes more is taken at its word."""
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./+-]*")
_WORDS_OF_YAML = frozenset({"true", "false", "null", "yes", "no", "on", "off", "nan", "inf"})
_AMD = re.compile(r"(?i)mi\d{2,3}\w*|gfx\w+|amd\w*|instinct\w*")


@dataclass(frozen=True)
class Containers:
    """What runs containers on the machine that looks.

    Attributes:
        command: ``apptainer`` or ``singularity``; empty where neither is on PATH.
        said: Its version, in its own words.
        modules: Names of modules that bring one, where a module system told.
    """

    command: str = ""
    said: str = ""
    modules: tuple[str, ...] = ()


def choose_partition(site: SiteFacts) -> Partition | None:
    """The partition to begin with: one that is open to the user, with GPUs where the site has some, the default first.

    One that shares its nodes goes before one that gives whole ones, and of several the one with most nodes.
    """
    mine = {each.account for each in site.allowed or ()}
    usable = [each for each in site.partitions if each.state == "UP" and not each.is_hidden and _lets_in(each, mine)]
    if not usable:
        return None

    def weight(partition: Partition) -> tuple[bool, bool, bool, int]:
        having = sum(kind.nodes for kind in site.nodes_of(partition.name) if sum(kind.gpus.values()))
        return (having > 0, not partition.is_exclusive, partition.is_default, having)

    return max(usable, key=weight)


def _lets_in(partition: Partition, accounts: set[str]) -> bool:
    if not accounts:
        return True
    return bool(accounts - set(partition.denied)) and (
        partition.accounts is None or bool(accounts & set(partition.accounts))
    )


def choose_account(site: SiteFacts, partition: Partition | None) -> Allowed | None:
    """The association to begin with: the user's default where the partition takes it, else the first that it takes."""

    def is_taken(each: Allowed) -> bool:
        name = partition.name if partition else ""
        takes = partition is None or _lets_in(partition, {each.account})
        return each.partition in ("", name) and takes

    taken = [each for each in site.allowed or () if is_taken(each)]
    return next((each for each in taken if each.is_default), taken[0] if taken else None)


def render_profile(site: SiteFacts, containers: Containers, host: str, day: str) -> str:
    """Write the profile's text.

    Args:
        host: Machine that was asked.
        day: Date, for the first line.
    """
    partition = choose_partition(site)
    kinds = site.nodes_of(partition.name) if partition else []
    cluster = site.config.get("ClusterName", "this Slurm")
    lines = [
        f"# {cluster}, as Slurm {site.version} told `hpc doctor --write-profile` on {host}, {day}.",
        "# Every field: docs/experiment.md, docs/sites.md. Comments after # show the alternatives.",
        "scheduler: slurm",
        "",
        *_where(site, partition),
        "",
        *_how(site, partition, kinds),
        "",
        *_limits(site, partition, kinds),
        "",
        *_node(containers),
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _where(site: SiteFacts, partition: Partition | None) -> Iterator[str]:
    """Partition, account and QOS, with the others."""
    if partition is not None:
        yield _line("partition", quoted(partition.name), _about(partition, site.nodes_of(partition.name)))
    for other in site.partitions:
        if other != partition:
            yield f"#          {other.name}: {_about(other, site.nodes_of(other.name))}"
    chosen = choose_account(site, partition)
    if site.allowed is None:
        yield "# account: no accounting was found here, so none is named"
        return
    if chosen is None:
        yield "# account: the site lists none for you: sacctmgr show assoc user=$USER format=account,qos"
        return
    accounts = list(dict.fromkeys(each.account for each in site.allowed or ()))
    others = f"yours: {', '.join(accounts)}" if len(accounts) > 1 else "your only one"
    yield _line("account", quoted(chosen.account), others)
    allowed = [name for name in chosen.qos if not (partition and partition.qos) or name in (partition.qos or ())]
    default = chosen.default_qos or (allowed[0] if len(allowed) == 1 else "")
    if chosen.default_qos and chosen.default_qos not in allowed and allowed:
        yield _line("qos", quoted(allowed[0]), f"{chosen.default_qos}, your default, is not accepted there")
    elif default or allowed:
        yield f"# qos: left to the site ({default or 'its default'}); yours: {', '.join(chosen.qos)}"


def _about(partition: Partition, kinds: Sequence[NodeKind]) -> str:
    """Say what a partition offers."""
    limit = render_time(partition.max_time_s) if partition.max_time_s else "no time limit"
    parts = [counted(sum(kind.nodes for kind in kinds) or partition.nodes, "node"), limit]
    parts += [
        f"{kind.cpus} cores, {render_memory(max(1, kind.memory_mib))}"
        + "".join(f", {number} x {name or 'GPU'}" for name, number in kind.gpus.items())
        for kind in kinds[:3]
    ]
    notes = [
        "the default" if partition.is_default else "",
        f"state {partition.state}" if partition.state != "UP" else "",
        f"for {', '.join(partition.accounts)}" if partition.accounts else "",
        "whole nodes" if partition.is_exclusive else "",
    ]
    return "; ".join(filter(None, [*notes, *parts]))


def _how(site: SiteFacts, partition: Partition | None, kinds: Sequence[NodeKind]) -> Iterator[str]:
    """GPUs, memory, directives."""
    types = _gpu_types(kinds)
    named = [name for name in types if name]
    whole = partition is not None and partition.is_exclusive
    if whole:
        yield _line("gpu_option", "none", "the partition gives whole nodes")
    elif named:
        best = max(named, key=lambda name: sum(kind.nodes * kind.gpus.get(name, 0) for kind in kinds))
        rest = ", ".join(f"{name} ({number} a node)" for name, number in types.items() if name and name != best)
        yield _line("gpu_type", quoted(best), f"{types[best]} a node" + (f"; or {rest}" if rest else ""))
        yield _line("gpu_option", "gres", "--gres=gpu:TYPE:N")
    elif types:
        yield _line("gpu_option", "gres", f"{types['']} a node, without a type")
    else:
        yield "# gpu_type: the partition's nodes have no GPUs"
    if any(_AMD.fullmatch(name) for name in named):
        yield _line("gpu_vendor", "amd", "containers get --rocm")
    rule = memory_rule(site, partition)
    yield _line("memory", rule, _why_rule(rule, site, partition))
    if whole:
        yield "directives:"
        yield "  exclusive:"


def _gpu_types(kinds: Sequence[NodeKind]) -> dict[str, int]:
    """Type → most on one node."""
    found: dict[str, int] = {}
    for kind in kinds:
        for name, number in kind.gpus.items():
            found[name] = max(found.get(name, 0), number)
    return found


def _why_rule(rule: str, site: SiteFacts, partition: Partition | None) -> str:
    counts = site.config.get("SelectTypeParameters", "")
    if rule == "none":
        return (
            "whole nodes" if partition and partition.is_exclusive else f"memory is not counted: {counts or 'not said'}"
        )
    declared: Mapping[str, int] = (partition.defaults if partition else {}) or default_memory(site.config)
    default = f", {declared[rule]} MiB by default" if rule in declared else ""
    if rule == "per_cpu" and (bound := most_per_cpu(site, partition)):
        default += f", {bound} MiB at most"
    return f"{counts}{default}"


def _limits(site: SiteFacts, partition: Partition | None, kinds: Sequence[NodeKind]) -> Iterator[str]:
    """What the site grants."""
    size = site.config.get("MaxArraySize", "")
    bound = re.search(r"max_array_tasks=(\d+)", site.config.get("SchedulerParameters", ""))
    if size.isdecimal() and int(size) > 1:
        most = min(int(size) - 1, int(bound[1]) if bound else int(size))
        yield _line(
            "max_array_size", str(most), f"MaxArraySize {size}" + (f", max_array_tasks {bound[1]}" if bound else "")
        )
    if partition and partition.max_time_s:
        yield _line("max_time", f'"{render_time(partition.max_time_s)}"', "of the partition")
    else:
        yield "# max_time: the partition has no limit"
    memory = max((kind.memory_mib for kind in kinds), default=0)
    if memory > 1:
        yield _line("max_memory", render_memory(memory), "of the largest node")
    lead = 300 if (partition and (partition.max_time_s or HOUR * 24) >= HOUR * 4) else 60
    yield _line("signal_lead_s", str(lead), f"KillWait is {site.config.get('KillWait', 'not said')}")


def _node(containers: Containers) -> Iterator[str]:
    """What runs on a compute node."""
    if containers.command:
        yield _line("apptainer", quoted(containers.command), containers.said)
    elif containers.modules:
        yield _line(
            "apptainer", "apptainer" if "apptainer" in containers.modules[0] else "singularity", "by the module"
        )
        yield "setup:"
        yield f"  - module load {containers.modules[0]}"
    else:
        yield _line("apptainer", '""', "none was found here; `apptainer` where nodes have it")
    yield "# image_dir: /path/to/images          (left out: images/ of the project)"
    yield "# binds: [/path/to/data:/data:ro]"


def _line(key: str, value: str, why: str) -> str:
    return f"{key}: {value}".ljust(32) + (f" # {why}" if why else "")


def quoted(text: str) -> str:
    """A name as YAML reads it as text."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS_OF_YAML
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
