"""`hpc doctor --write-profile NAME`: a cluster profile from what this Slurm says, checked by our own reader."""

import os
import re
import shutil
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hpc.adapters import slurm_client, slurm_site
from hpc.adapters.shared_disk import printed_by
from hpc.adapters.yaml_file import parse_yaml
from hpc.checkup.slurm import user_name
from hpc.core.checkup.site import SiteFacts
from hpc.core.checkup.site_profile import Containers, render_profile
from hpc.core.errors import HpcError, InputError, TemporaryError
from hpc.core.layout import name_problem
from hpc.workspace import Workspace

MODULES_S = 5.0
_MODULE = re.compile(r"^(?:apptainer|singularity(?:-?ce|pro)?)(?:/[\w.+-]+)?(?=\s|\(|$)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Written:
    """A profile.

    Attributes:
        path: Where it is, or would be.
        text: What stands in it.
    """

    path: Path
    text: str


def make_profile(workspace: Workspace, name: str) -> Written:
    """Ask Slurm and draft a profile; nothing is written.

    Raises:
        InputError: The name cannot be one, or there is such a profile.
        TemporaryError: Slurm is not here, or does not answer.
    """
    if problem := name_problem(name):
        raise InputError(f"--write-profile '{name}' {problem}")
    path = workspace.project / "manifests" / "clusters" / f"{name}.yaml"
    if os.path.lexists(path):
        raise InputError(f"{path} is there and is not overwritten; give another name: --write-profile {name}-2")
    text = render_profile(ask_site(), _containers(), socket.gethostname(), datetime.now(tz=UTC).date().isoformat())
    check_profile(text, path)
    return Written(path, text)


def ask_site() -> SiteFacts:
    """Ask Slurm for all that a profile is made of.

    Raises:
        TemporaryError: The controller is not here, or does not answer.
    """
    user = user_name()
    try:
        config = slurm_site.ask_controller()
    except slurm_client.SlurmError as error:
        raise TemporaryError(str(error)) from None
    site = SiteFacts(user, config, slurm_site.ask_partitions(), slurm_site.ask_kinds(), None, slurm_site.ask_version())
    if not site.keeps_accounting:
        return site
    try:
        allowed = slurm_site.ask_accounting(user, config.get("ClusterName", ""))
    except HpcError:  # the profile then names no account, and says so
        return site
    return SiteFacts(site.user, site.config, site.partitions, site.kinds, allowed, site.version)


def check_profile(text: str, path: Path) -> None:
    """Hold a draft against our own reader.

    Raises:
        InputError: It is not a profile.
    """
    from hpc.experiments.schema import profile_from

    profile_from(parse_yaml(text, str(path)), path.stem)


def _containers() -> Containers:
    command = next((name for name in ("apptainer", "singularity") if shutil.which(name)), "")
    if command:
        return Containers(command, printed_by([command, "--version"], MODULES_S).strip())
    listed = printed_by(["bash", "-lc", "module -t avail 2>&1"], MODULES_S)
    return Containers(modules=tuple(dict.fromkeys(found[0] for found in _MODULE.finditer(listed))))


def write_profile(written: Written) -> None:
    """Write the file, never over another one.

    Raises:
        InputError: Somebody else was faster.
        OSError: It cannot be written.
    """
    written.path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with written.path.open("x", encoding="utf-8") as file:
            file.write(written.text)
    except FileExistsError:
        raise InputError(f"{written.path} is there and is not overwritten; give another name") from None
