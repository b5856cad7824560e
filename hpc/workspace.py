"""Where things are: the project the command was started in, the run folder, the experiment and the site meant.

The only file that reads HPC_ROOT and HPC_CLUSTER.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpc.adapters.manifest_store import newest_experiment
from hpc.core.errors import InputError, nearest
from hpc.core.layout import RunLayout, name_problem


@dataclass(frozen=True)
class Workspace:
    """Attributes:
    project: Folder that holds ``manifests/`` and the code.
    root: Folder of all runs.
    cluster: Name of the site asked for by the environment; empty when it says nothing.
    """

    project: Path
    root: Path
    cluster: str = ""

    @classmethod
    def current(cls, environment: Mapping[str, str] | None = None) -> "Workspace":
        """Take the current folder, HPC_ROOT (default ``./runs``) and HPC_CLUSTER."""
        environment = os.environ if environment is None else environment
        project = Path.cwd()
        root = Path(environment.get("HPC_ROOT") or project / "runs").absolute()
        return cls(project, root, environment.get("HPC_CLUSTER", ""))

    @property
    def experiments(self) -> Path:
        return self.project / "manifests" / "experiments"

    @property
    def rendered(self) -> Path:
        """Links to the newest scripts, so that the sbatch line is short."""
        return self.project / "manifests" / "rendered"

    def experiment_file(self, name: str) -> Path:
        """Find an experiment's YAML by name or path.

        Raises:
            InputError: There is no such file; the message lists what there is.
        """
        path = Path(name) if name.endswith((".yaml", ".yml")) else self.experiments / f"{name}.yaml"
        if not path.is_file():
            known = sorted(each.stem for each in self.experiments.glob("*.yaml"))
            hint = nearest(name, known) if known else f"there is none in {self.experiments}"
            raise InputError(f"no experiment file {path}; {hint}")
        return path

    def layout(self, name: str | None) -> RunLayout:
        """Find the runs of an experiment by its name, its YAML's path, or (None) the one planned last.

        Raises:
            InputError: Nothing of that name was planned below the root.
        """
        if name is None:
            newest = newest_experiment(self.root)
            if newest is None:
                raise InputError(f"nothing was planned below {self.root} yet; start with: python -m hpc.plan NAME")
            return RunLayout(self.root, newest)
        stem = Path(name).stem if name.endswith((".yaml", ".yml")) else name
        if problem := name_problem(stem):
            raise InputError(f"experiment name {stem!r} {problem}")
        layout = RunLayout(self.root, stem)
        if not layout.manifest.is_file():
            known = sorted(path.parent.name for path in self.root.glob("*/manifest.json"))
            raise InputError(
                f"no runs of '{stem}' below {self.root}; "
                f"{nearest(stem, known) if known else 'nothing was planned yet'}. "
                f"Plan it first: python -m hpc.plan {stem}"
            )
        return layout

    def profile_file(self, cluster: str | None) -> Path:
        """Find the site's profile: the one asked for, HPC_CLUSTER, else ``slurm`` or ``local`` by what is installed.

        Raises:
            InputError: There is no such profile; the message lists what there is.
        """
        folder = self.project / "manifests" / "clusters"
        name = cluster or self.cluster or ("slurm" if shutil.which("sbatch") else "local")
        path = Path(name) if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
        if not path.is_file():
            known = sorted(each.stem for each in folder.glob("*.yaml"))
            asked = (
                "--cluster" if cluster else "HPC_CLUSTER" if self.cluster else "this machine has sbatch, so --cluster"
            )
            raise InputError(
                f"{asked} names no profile: {path}; {nearest(name, known) if known else f'none in {folder}'}"
            )
        return path
