"""What a Slurm says of itself: its configuration, partitions, nodes, and whose jobs it takes. Read from its answers."""

import re
from collections.abc import Iterable, Mapping

from hpc.core.immutable import field, immutable
from hpc.core.resources import parse_time
from hpc.core.slurm.partitions import NodeKind

NONE = frozenset({"", "(null)", "N/A", "NONE", "none", "UNLIMITED", "INFINITE", "ALL", "NO"})
"""How Slurm says that there is none."""


@immutable
class Partition:
    """One partition, as ``scontrol show partition`` has it.

    Attributes:
        is_default: Whether jobs that name none go there.
        state: ``UP``, ``DOWN``, ``DRAIN`` or ``INACTIVE``.
        max_time_s: Its time limit; None for none.
        nodes: How many it has.
        accounts, qos, groups: Who may use it; None is everybody.
        denied: Accounts that may not.
        is_exclusive: Whether jobs get whole nodes.
        own_qos: QOS whose limits hold for the partition; empty for none.
        defaults: Memory that a job gets by default: ``per_node``, ``per_cpu``, ``per_gpu`` → MiB.
        most_per_cpu, most_per_node: Memory that it may ask for, in MiB; None for no bound.
        is_hidden: Whether only root, or those who know its name, see it.
    """

    name: str
    is_default: bool = False
    state: str = "UP"
    max_time_s: int | None = None
    nodes: int = 0
    accounts: tuple[str, ...] | None = None
    qos: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    denied: tuple[str, ...] = ()
    is_exclusive: bool = False
    own_qos: str = ""
    defaults: Mapping[str, int] = field(default_factory=dict)
    most_per_cpu: int | None = None
    most_per_node: int | None = None
    is_hidden: bool = False


@immutable
class Allowed:
    """One association of the user: an account with what may be used in it.

    Attributes:
        partition: Set where it is about one partition only.
        qos: What may be asked for; empty where nothing is said.
        default_qos: QOS of jobs that name none; empty where nothing is said.
        is_default: Whether jobs that name no account go to it.
    """

    account: str
    partition: str = ""
    qos: tuple[str, ...] = ()
    default_qos: str = ""
    is_default: bool = False


@immutable
class SiteFacts:
    """What Slurm says.

    Attributes:
        user: Who asks.
        config: ``scontrol show config``, control groups included.
        partitions: All that can be seen.
        kinds: Kinds of nodes.
        allowed: The user's associations; None where there is no accounting.
        version: Of the clients, such as ``22.05.8``.
    """

    user: str = ""
    config: Mapping[str, str] = field(default_factory=dict)
    partitions: tuple[Partition, ...] = ()
    kinds: tuple[NodeKind, ...] = ()
    allowed: tuple[Allowed, ...] | None = None
    version: str = ""

    def partition(self, name: str) -> Partition | None:
        """The partition of that name, or for an empty one the default; None where there is none."""
        return next((each for each in self.partitions if (each.name == name if name else each.is_default)), None)

    def nodes_of(self, partition: str) -> list[NodeKind]:
        """The kinds of nodes a partition has."""
        return [kind for kind in self.kinds if kind.partition == partition]

    @property
    def enforces(self) -> frozenset[str]:
        """What accounting insists on, such as ``associations`` and ``limits``."""
        words = self.config.get("AccountingStorageEnforce", "").lower()
        return frozenset(word.strip() for word in words.split(",") if word.strip() not in NONE)

    @property
    def keeps_accounting(self) -> bool:
        """Whether jobs are remembered in a database."""
        return self.config.get("AccountingStorageType", "") not in ("accounting_storage/none", "(null)", "")


def parse_config(text: str) -> dict[str, str]:
    """Read ``scontrol show config``; the time it is of stands under ``as of``."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("Configuration data as of "):
            found["as of"] = line.removeprefix("Configuration data as of ").strip()
        name, separator, value = line.partition("=")
        if separator:
            found.setdefault(name.strip(), value.strip())
    return found


def parse_partitions(lines: Iterable[str]) -> tuple[Partition, ...]:
    """Read ``scontrol --oneliner show partition``."""
    records = (dict(word.partition("=")[::2] for word in line.split()) for line in lines)
    return tuple(_partition(record) for record in records if record.get("PartitionName"))


def _partition(record: Mapping[str, str]) -> Partition:
    return Partition(
        name=record["PartitionName"],
        is_default=record.get("Default") == "YES",
        state=record.get("State", "UP"),
        max_time_s=_time(record.get("MaxTime", "")),
        nodes=number_in(record.get("TotalNodes", "")) or 0,
        accounts=_names(record.get("AllowAccounts", "ALL")),
        qos=_names(record.get("AllowQos", "ALL")),
        groups=_names(record.get("AllowGroups", "ALL")),
        denied=_names(record.get("DenyAccounts", "")) or (),
        is_exclusive=record.get("OverSubscribe", "") == "EXCLUSIVE",
        own_qos="" if record.get("QoS", "") in NONE else record["QoS"],
        defaults=default_memory(record),
        most_per_cpu=number_in(record.get("MaxMemPerCPU", "")),
        most_per_node=number_in(record.get("MaxMemPerNode", "")),
        is_hidden=record.get("RootOnly") == "YES" or record.get("Hidden") == "YES",
    )


def default_memory(record: Mapping[str, str]) -> dict[str, int]:
    """The memory that a job gets by default, of a partition or of the configuration: by what → MiB."""
    jobs = dict(re.findall(r"(DefMemPerGPU|DefCpuPerGPU)=(\d+)", record.get("JobDefaults", "")))
    found = {
        "per_node": record.get("DefMemPerNode", ""),
        "per_cpu": record.get("DefMemPerCPU", ""),
        "per_gpu": jobs.get("DefMemPerGPU", ""),
    }
    return {rule: number for rule, text in found.items() if (number := number_in(text))}


def _names(text: str) -> tuple[str, ...] | None:
    return None if text in NONE else tuple(text.split(","))


def number_in(text: str) -> int | None:
    found = re.match(r"\d+", text)
    return int(found[0]) if found else None


def _time(text: str) -> int | None:
    try:
        return parse_time(text)
    except ValueError:  # UNLIMITED
        return None


ALLOWED_FIELDS = "DefaultAccount,Cluster,Account,Partition,QOS,DefaultQOS"
"""What sacctmgr is asked for, with ``withassoc``."""


def parse_allowed(lines: Iterable[str], cluster: str) -> tuple[Allowed, ...]:
    """Read ``sacctmgr -nP show user NAME withassoc format=ALLOWED_FIELDS``: this cluster's alone."""
    rows = (line.split("|") for line in lines)
    return tuple(
        Allowed(account, partition, tuple(filter(None, qos.split(","))), default_qos, account == default)
        for default, where, account, partition, qos, default_qos in (row for row in rows if len(row) == 6)
        if where in ("", cluster) or not cluster
    )
