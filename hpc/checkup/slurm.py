"""Look at Slurm: clients, controller, accounting, and what both say of the profile and the experiment."""

import os
import pwd
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from hpc.adapters import slurm, slurm_client, slurm_site
from hpc.adapters.this_machine import cgroup_version, own_groups
from hpc.checkup.bounded import Begin
from hpc.checkup.examined import Examined
from hpc.core.checkup.check import Check, Severity
from hpc.core.checkup.site import SiteFacts
from hpc.core.checkup.slurm import (
    NEEDED,
    WANTED,
    judge_accounting,
    judge_clients,
    judge_clock,
    judge_site,
    judge_submit_limits,
)
from hpc.core.errors import HpcError, TemporaryError
from hpc.core.profile import ClusterProfile
from hpc.core.slurm.limits import limits_of

CLIENT_S = slurm_client.QUICK_S + 5
"""One question: its own time-out, and some more for a machine that is busy."""


def user_name() -> str:
    """This user, as Slurm's accounting calls them."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def look_at_slurm(examined: Examined) -> Iterator[Begin | Check]:
    """Make the checks of Slurm; what cannot be asked is left out."""
    profile = examined.profile
    yield Begin("profile")
    yield Check("profile", f"{profile.name} ({profile.scheduler}), {examined.profile_path}")
    if examined.is_local:
        return
    yield Begin("clients", CLIENT_S)
    missing = {name for name in (*NEEDED, *WANTED) if shutil.which(name) is None}
    site = SiteFacts(user=user_name(), version=slurm_site.ask_version() if "sinfo" not in missing else "")
    yield judge_clients(missing, site.version)
    if missing & set(NEEDED):
        return
    yield Begin("controller", CLIENT_S)
    try:
        site = replace(site, config=slurm_site.ask_controller())
    except slurm_client.NotHere as error:
        mend = "try again on a login node, or take this machine alone: --cluster local"
        yield Check("controller", str(error), "a slurm.conf", mend, Severity.BLOCKING)
        return
    except HpcError as error:
        yield _silent("controller", error, "scontrol ping")
        return
    yield Check("controller", f"{site.config.get('ClusterName', 'it')} answers")
    if (skew := _skew(site.config.get("as of", ""))) is not None:
        yield judge_clock(skew)
    yield Begin("accounting", CLIENT_S)
    site, check = _ask_accounting(site, "sacctmgr" in missing)
    yield check
    yield Begin("partition", 2 * CLIENT_S)
    site = replace(site, partitions=slurm_site.ask_partitions(), kinds=slurm_site.ask_kinds())
    yield from judge_site(site, profile, examined.needs, groups=own_groups(), cgroups=cgroup_version())
    yield Begin("submit limits", 8 * CLIENT_S)
    yield _look_at_limits(site.user, profile, examined)


def _silent(name: str, error: HpcError, ask: str) -> Check:
    """Say that a daemon does not answer now."""
    is_temporary = isinstance(error, TemporaryError)
    mend = f"try again later; if it persists, tell the site: {ask}"
    return Check(name, str(error), "an answer", mend, Severity.BLOCKING, is_temporary)


def _skew(text: str) -> float | None:
    """Seconds by which this clock is ahead of the controller's; None where that is not said."""
    try:
        there = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
    found = time.time() - there
    return 0.0 if 0 <= found <= CLIENT_S else found


def _ask_accounting(site: SiteFacts, no_client: bool) -> tuple[SiteFacts, Check]:
    if not site.keeps_accounting or no_client:
        return site, judge_accounting(site)
    try:
        allowed = slurm_site.ask_accounting(site.user, site.config.get("ClusterName", ""))
    except slurm_client.SlurmError:  # it keeps some, and says nothing of users
        return site, judge_accounting(site)
    except TemporaryError as error:
        return site, _silent("accounting", error, "sacctmgr show cluster")
    return replace(site, allowed=allowed), judge_accounting(site)


def _look_at_limits(user: str, profile: ClusterProfile, examined: Examined) -> Check:
    bounds = slurm_site.read_site(user, account=profile.account, qos=profile.qos, partition=profile.partition)
    try:
        queue = slurm.query_load(everybody=bounds.counts_others)
    except HpcError as error:
        return Check("submit limits", str(error), "", "", Severity.NOTE)
    return judge_submit_limits(limits_of(bounds, user, queue, profile.max_submit), examined.needs)
