"""Where things are: the project the command was started in or below, the run folder, the experiment and the site meant.

The only file that reads HPC_ROOT, HPC_CLUSTER and HPC_SAFE_DIRECTORY.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from hpc.adapters.files import follow_access, read_json_or_none
from hpc.adapters.manifest_store import named_runs, newest_experiment, planned_below, project_of
from hpc.adapters.owner import TRUSTED, foreign_part, is_trusted, refuse_foreign
from hpc.adapters.project import EXPERIMENTS, find_project, runs_root
from hpc.core.errors import InputError, nearest
from hpc.core.immutable import immutable
from hpc.core.layout import RunLayout
from hpc.core.words import few

OWN_CODE = Path(__file__).parents[1]
"""The folder our packages are imported from: the clone, the frozen copy of a run, or site-packages."""
BUILT_IN = OWN_CODE / "hpc" / "profiles"
"""Profiles that are there in every project: ``local`` and ``slurm``. A project's own of the same name goes before."""


def python_path(environment: Mapping[str, str] | None = None) -> str:
    """PYTHONPATH for a process of ours that is started elsewhere: our code first, then what the user asks for."""
    environment = os.environ if environment is None else environment
    return os.pathsep.join([str(OWN_CODE), *filter(None, [environment.get("PYTHONPATH")])])


def own_environment() -> dict[str, str]:
    """The environment for a process of ours that is started elsewhere."""
    return {**os.environ, "PYTHONPATH": python_path()}


def users_python_path() -> str:
    """What the user asked for, of the PYTHONPATH that `python_path` made."""
    return os.pathsep.join(each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each != str(OWN_CODE))


def own_command(module: str, *arguments: str) -> list[str]:
    """A command line for a process of ours: nothing of the current folder, where a user's packages are, is ours."""
    return [sys.executable, "-P", "-m", module, *arguments]


def _readable(path: Path) -> object:
    """A file's JSON; None where there is none, or it cannot be read, which others say."""
    try:
        return read_json_or_none(path)
    except (InputError, OSError):
        return None


@immutable
class Workspace:
    """Attributes:
    project: Folder that holds ``manifests/`` and the code.
    root: Folder of all runs.
    cluster: Name of the site asked for by the environment; empty when it says nothing.
    trusted: Run folders of other owners that may be acted upon; ``*`` is all.
    """

    project: Path
    root: Path
    cluster: str = ""
    trusted: tuple[str, ...] = ()

    @classmethod
    def current(cls, environment: Mapping[str, str] | None = None) -> "Workspace":
        """Find the project (see `hpc.adapters.project`), and take HPC_ROOT (default: its ``runs``) and HPC_CLUSTER."""
        environment = os.environ if environment is None else environment
        trusted = tuple(filter(None, environment.get(TRUSTED, "").split(os.pathsep)))
        project = find_project(Path.cwd(), trusted)
        return cls(project, runs_root(project, environment), environment.get("HPC_CLUSTER", ""), trusted)

    @property
    def experiments(self) -> Path:
        return self.project / EXPERIMENTS

    @property
    def rendered(self) -> Path:
        """Links to the newest scripts, so that the sbatch line is short."""
        return self.project / "manifests" / "rendered"

    def chosen(self, name: str | None) -> str:
        """Name the experiment that is meant: without a name the only one there is.

        Raises:
            InputError: There is none, or more than one; the message lists them.
        """
        if name is not None:
            return name
        known = sorted(each.stem for each in self.experiments.glob("*.yaml"))
        if len(known) == 1:
            return known[0]
        if not known:
            raise InputError(f"there is no experiment in {self.experiments}; write one: python -m hpc.init")
        raise InputError(f"which experiment? Give its name; valid: {few(known, 12)}")

    def experiment_file(self, name: str) -> Path:
        """Find an experiment's YAML by name or path.

        The path of its run folder names it, too, as a shell completes it.

        Raises:
            InputError: There is no such file; the message lists what there is.
        """
        path = Path(name) if name.endswith((".yaml", ".yml")) else self.experiments / f"{name}.yaml"
        if not path.is_file() and "/" in name and not name.endswith((".yaml", ".yml")):
            path = self.experiments / f"{Path(name).name}.yaml"
        if not path.is_file():
            known = sorted(each.stem for each in self.experiments.glob("*.yaml"))
            none = f"there is none in {self.experiments}; write one: python -m hpc.init"
            hint = nearest(name, known) if known else none
            raise InputError(f"no experiment file {path}; {hint}")
        return path

    def layout(self, name: str | None, *, acts: bool = True) -> RunLayout:
        """Find the runs of an experiment by its name, its YAML's path, or (None) the one we planned last.

        What this process creates from here on is as private as they are.

        Args:
            acts: Whether something of them will be written or started; without, runs that are open to the group will
                do, too (see `may_write`).

        Raises:
            InputError: Nothing of that name was planned below the root, it belongs to somebody else, or to another
                project that calls an experiment alike.
        """
        layout = self._find(name)
        if acts and layout.root != self.root:
            home = shlex.quote(str(layout.root))
            raise InputError(f"{layout.home} is not below {self.root}; to go on with it: export HPC_ROOT={home}")
        self.refuse_foreign(layout, acts=acts)
        if acts and (said := self.other_project(layout)):
            raise InputError(said)
        follow_access(layout.home)
        return layout

    def refuse_foreign(self, layout: RunLayout, *, acts: bool = True) -> None:
        """Raise InputError for runs of somebody else, unless they are trusted, or open and only looked at."""
        refuse_foreign(layout, self.trusted, acts=acts)

    def other_project(self, layout: RunLayout, command: str = "") -> str:
        """Say that runs are those of another project's experiment of the same name; empty where they are not.

        Where this project has no such experiment nobody takes one for the other, and nothing is said.

        Args:
            command: The line that plans it here; empty takes the plain one.
        """
        own = self.experiments / f"{layout.experiment}.yaml"
        recorded = project_of(_readable(layout.manifest))
        if recorded is None or recorded.folder == str(self.project.resolve()) or not (command or own.is_file()):
            return ""
        from hpc.adapters.git import identify_project

        if identify_project(self.project).is_same(recorded):
            return ""
        command = command or f"python -m hpc.plan {layout.experiment}"
        usual = self.project / "runs"
        apart = usual if layout.root.resolve() != usual.resolve() else usual.with_name("runs-own")
        return (
            f"{layout.home} holds the runs of another project's experiment of that name, planned in {recorded.folder}; "
            f"this is {self.project}. Give this one another name (name:), or runs of its own: "
            f"HPC_ROOT={shlex.quote(str(apart))} {command} (and the same HPC_ROOT from then on). "
            f"If it is the same project at another place: {command} --moved"
        )

    def other_project_of(self, name: str | None) -> str:
        """What `other_project` says of an experiment that is only read; empty where there is none, which others say."""
        try:
            return self.other_project(self._find(name))
        except InputError:
            return ""

    def may_write(self, layout: RunLayout) -> bool:
        """Whether runs are ours or trusted; those of others are looked at, and nothing is written."""
        return foreign_part(layout) is None or is_trusted(layout.home, self.trusted)

    def _find(self, name: str | None) -> RunLayout:
        if name is None:
            newest = newest_experiment(self.root)
            if newest is None:
                raise InputError(f"nothing of yours was planned below {self.root}; start: {self.begin()}")
            return RunLayout(self.root, newest)
        layout = named_runs(self.root, name)
        stem = layout.experiment
        if not layout.manifest.is_file() and not any(layout.manifests.glob("*.json")):
            known = planned_below(self.root)
            if owner := self._experiment_of(name):
                raise InputError(f"'{stem}' is a run of {owner}: give both, {shlex.quote(owner)} {shlex.quote(name)}")
            raise InputError(
                f"no runs of '{stem}' below {self.root}; "
                f"{nearest(stem, known) if known else 'nothing was planned yet'}. "
                f"To plan one: {self.begin(stem)}"
            )
        return layout

    def layout_and_run(self, name: str | None, run: str | None) -> tuple[RunLayout, str | None]:
        """The runs of an experiment that is only read, and which of them; a run alone is one of that planned last.

        Raises:
            InputError: There is neither such an experiment nor such a run.
        """
        if name and run is None and not RunLayout(self.root, name).manifest.is_file():
            owner, _, inner = name.rpartition("/")
            if owner := owner or self._experiment_of(name):
                return self.layout(owner, acts=False), inner
        return self.layout(name, acts=False), run

    def _experiment_of(self, run_name: str) -> str:
        """The experiment planned last, where it has begun a run of this name; else nothing."""
        newest = newest_experiment(self.root)
        is_name = bool(run_name) and "/" not in run_name and not run_name.startswith(".")
        return newest if newest and is_name and RunLayout(self.root, newest).task(run_name).home.is_dir() else ""

    def begin(self, stem: str = "") -> str:
        """The command that plans an experiment there is: that one, the nearest, the newest; or that makes one."""
        found = sorted(self.experiments.glob("*.yaml"), key=lambda path: path.stat().st_mtime)
        names = [path.stem for path in found]
        if not names:
            return "python -m hpc.init --yes"
        from difflib import get_close_matches

        close = get_close_matches(stem, names, n=1, cutoff=0.0) if stem else []
        return f"python -m hpc.plan {shlex.quote((close or names[-1:])[0])}"

    def profile_file(self, cluster: str | None) -> Path:
        """Find the site's profile: the one asked for, HPC_CLUSTER, else ``slurm`` where there is one, or ``local``.

        A file in the project's ``manifests/clusters`` goes before the built-in one of its name.

        Raises:
            InputError: There is no such profile; the message lists what there is.
        """
        folder = self.project / "manifests" / "clusters"
        name = cluster or self.cluster or ("slurm" if _has_slurm() else "local")
        is_path = name.endswith((".yaml", ".yml"))
        places = [Path(name)] if is_path else [folder / f"{name}.yaml", BUILT_IN / f"{name}.yaml"]
        found = next((path for path in places if path.is_file()), None)
        if found is None:
            known = sorted({each.stem for where in (folder, BUILT_IN) for each in where.glob("*.yaml")})
            asked = "--cluster" if cluster else "HPC_CLUSTER"
            raise InputError(f"{asked} names no profile: {places[0]}; {nearest(name, known)}")
        return found


def _has_slurm() -> bool:
    """Whether this machine belongs to a Slurm; its clients alone, as a package brings them, are none."""
    from hpc.adapters.slurm_site import is_here

    return shutil.which("sbatch") is not None and is_here()
