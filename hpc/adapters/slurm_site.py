"""What a Slurm site says of itself: its configuration, partitions, nodes, and what bounds a user's jobs. No rule."""

import os
import re
import time
from collections.abc import Sequence

from hpc.adapters.slurm_client import NotHere, SlurmError, or_nothing, read_count, run_quickly
from hpc.core.checkup.site import ALLOWED_FIELDS, Allowed, Partition, parse_allowed, parse_config, parse_partitions
from hpc.core.errors import TemporaryError
from hpc.core.slurm.limits import Association, QosLimits, Site
from hpc.core.slurm.partitions import NodeKind, parse_kinds


def read_node_kinds(partitions: str) -> list[NodeKind]:
    """Ask what nodes and which time limit each of these partitions has; nothing where Slurm does not say.

    Args:
        partitions: Their names, with commas.
    """
    return _ask_kinds("--exact", f"--partition={partitions}")


def ask_kinds() -> tuple[NodeKind, ...]:
    """Ask for the kinds of nodes of every partition; none where Slurm does not say."""
    return tuple(_ask_kinds("--all", "--exact"))


def _ask_kinds(*options: str) -> list[NodeKind]:
    command = ["sinfo", "--noheader", *options, "--format=%R|%a|%l|%D|%c|%m|%G"]
    return parse_kinds(or_nothing(lambda: run_quickly(command), "").splitlines())


def read_config_value(key: str) -> str | None:
    """Read one line of ``scontrol show config``, such as MaxArraySize; None when Slurm does not say."""
    return or_nothing(read_config, dict[str, str]()).get(key)


def is_here() -> bool:
    """Whether this machine belongs to a Slurm, be it down: a client that is installed may have no configuration."""
    try:
        run_quickly(["scontrol", "ping"])
    except NotHere:
        return False
    except (TemporaryError, SlurmError):
        return True
    return True


CONFIG_KEPT_S = 60.0
"""A command asks several times for what a site changes once a month; the controller is asked once."""
_Config = tuple[float, tuple[str | None, ...], dict[str, str]]
_config_read: list[_Config] = []


def read_config() -> dict[str, str]:
    """Read ``scontrol show config``; what was read in the last minute, of the same Slurm, is not asked again."""
    now, which = time.monotonic(), tuple(os.environ.get(name) for name in ("PATH", "SLURM_CONF"))
    for read, known, config in _config_read:
        if known == which and now - read < CONFIG_KEPT_S:
            return config
    lines = run_quickly(["scontrol", "show", "config"]).splitlines()
    pairs = (line.partition("=") for line in lines)
    config = {name.strip(): value.strip() for name, separator, value in pairs if separator}
    _config_read[:] = [(now, which, config)]
    return config


def read_site(user: str, *, account: str = "", qos: str = "", partition: str = "") -> Site:
    """Ask what bounds the number of a user's jobs in the queue; what Slurm does not say is left out.

    Args:
        account, qos, partition: As the jobs ask for; empty where they take the site's default. Of several partitions
            the first counts, as with Slurm.
    """
    config: dict[str, str] = or_nothing(read_config, {})
    partitions: dict[str, dict[str, str]] = or_nothing(_read_partitions, {})
    place = partition.split(",", maxsplit=1)[0] or next(
        (name for name, each in partitions.items() if each.get("Default") == "YES"), ""
    )
    association = or_nothing(lambda: _read_association(user, config.get("ClusterName", ""), account, place), None)
    job_qos = qos or (association.default_qos if association else "")
    partition_qos = partitions.get(place, {}).get("QoS", "N/A").replace("N/A", "")
    known: dict[str, QosLimits] = or_nothing(_read_qos, {}) if association else {}
    tasks = re.search(r"max_array_tasks=(\d+)", config.get("SchedulerParameters", ""))
    sizes = [read_count(config.get("MaxArraySize", "")), read_count(tasks[1] if tasks else "")]
    return Site(
        partition=place,
        max_array_size=min((size for size in sizes if size is not None), default=None),
        max_jobs=read_count(config.get("MaxJobCount", "")),
        association=association,
        partition_qos=known.get(partition_qos),
        job_qos=known.get(job_qos),
        cluster=config.get("ClusterName", ""),
    )


def _read_partitions() -> dict[str, dict[str, str]]:
    lines = run_quickly(["scontrol", "--oneliner", "show", "partition"]).splitlines()
    records = [dict(word.partition("=")[::2] for word in line.split()) for line in lines]
    return {record["PartitionName"]: record for record in records if "PartitionName" in record}


def _ask_accounting(what: Sequence[str], fields: str) -> list[dict[str, str]]:
    """Ask sacctmgr for a table."""
    names = fields.split(",")
    answer = run_quickly(["sacctmgr", "-nP", "show", *what, f"format={fields}"])
    rows = (line.split("|") for line in answer.splitlines())
    return [dict(zip(names, row, strict=True)) for row in rows if len(row) == len(names)]


def _read_association(user: str, cluster: str, account: str, partition: str) -> Association | None:
    """Read the association a user's jobs fall under, the one for their partition before the general one."""
    fields = "DefaultAccount,Cluster,Account,Partition,DefaultQOS,MaxSubmitJobs,GrpSubmitJobs"
    rows = [row for row in _ask_accounting(["user", user, "withassoc"], fields) if row["Cluster"] in ("", cluster)]
    rows = [row for row in rows if row["Account"] == (account or row["DefaultAccount"])]
    rows = [row for row in rows if row["Partition"] in ("", partition)]
    if not rows:
        return None
    mine = max(rows, key=lambda row: row["Partition"] != "")
    of_account = ["assoc", "where", f"account={mine['Account']}", f"cluster={cluster}"]
    shared = [row for row in _ask_accounting(of_account, "User,GrpSubmitJobs") if not row["User"]]
    return Association(
        account=mine["Account"],
        partition=mine["Partition"],
        default_qos=mine["DefaultQOS"] or "normal",  # Slurm's own, where a site says nothing
        most=read_count(mine["MaxSubmitJobs"]),
        group=read_count(mine["GrpSubmitJobs"]),
        account_group=read_count(shared[0]["GrpSubmitJobs"]) if shared else None,
    )


def _read_qos() -> dict[str, QosLimits]:
    rows = _ask_accounting(["qos"], "Name,MaxSubmitJobsPerUser,MaxSubmitJobsPerAccount,GrpSubmitJobs")
    return {name: QosLimits(name, *map(read_count, limits)) for name, *limits in (row.values() for row in rows)}


def ask_version() -> str:
    """The clients' own version, such as ``22.05.8``; empty where it is not said."""
    found = re.search(r"\d+\.\d+\S*", or_nothing(lambda: run_quickly(["sinfo", "--version"]), ""))
    return found[0] if found else ""


def ask_controller() -> dict[str, str]:
    """Read ``scontrol show config``, its time in UTC under ``as of``.

    Raises:
        TemporaryError: The controller does not answer.
        SlurmError: It refuses.
    """
    return parse_config(run_quickly(["scontrol", "show", "config"], TZ="UTC"))


def ask_accounting(user: str, cluster: str) -> tuple[Allowed, ...]:
    """Ask the data base for a user's associations.

    Raises:
        TemporaryError: It does not answer.
        SlurmError: There is none.
    """
    command = ["sacctmgr", "-nP", "show", "user", user, "withassoc", f"format={ALLOWED_FIELDS}"]
    return parse_allowed(run_quickly(command).splitlines(), cluster)


def ask_partitions() -> tuple[Partition, ...]:
    """Ask for every partition; none where Slurm does not say."""
    command = ["scontrol", "--oneliner", "--all", "show", "partition"]
    return parse_partitions(or_nothing(lambda: run_quickly(command), "").splitlines())


def ask_hosts(partition: str) -> list[str]:
    """Names of the machines of a partition (an empty name: of all), as they call themselves; none where not said."""
    command = ["sinfo", "--noheader", "--Node", "--format=%n", *([f"--partition={partition}"] if partition else [])]
    return list(dict.fromkeys(or_nothing(lambda: run_quickly(command), "").split()))
