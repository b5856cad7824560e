"""A project and a run folder may lie anywhere on this machine; only what Slurm or Python reads otherwise is refused."""

from pathlib import Path

import pytest

from tests.local_projects import make_project

HOSTILE = "my $(touch x) 100% `a` \\ 'b' \"c\" #1 – ü"


@pytest.mark.parametrize("where", ["project", "root"])
def test_any_path_runs_here(tmp_path: Path, where: str) -> None:
    """Spaces, quotes, dollars, percents: planned, run, collected; for Slurm refused, with the way that is left."""
    project = make_project(tmp_path / (HOSTILE if where == "project" else "project"))
    root = {"HPC_ROOT": str(tmp_path / HOSTILE / "runs")} if where == "root" else {}
    project.hpc("plan", "tiny", "--cluster", "local", **root)
    project.hpc("submit", "tiny", **root)
    assert "2 tasks = 2 finished" in project.hpc("collect", "tiny", **root)
    assert not list(tmp_path.rglob("x"))
    said = project.hpc("plan", "tiny", "--cluster", "slurm", expect=2, **root)
    assert "cannot be written in an #SBATCH line" in said
    assert "--cluster local" in said


def test_a_script_for_this_machine_is_not_handed_to_slurm(tmp_path: Path) -> None:
    """Planned here, submitted there: the path is refused before sbatch reads half of it."""
    project = make_project(tmp_path / "a b")
    project.hpc("plan", "tiny", "--cluster", "local")
    assert "cannot be written in an #SBATCH line" in project.hpc("submit", "tiny", "--backend", "slurm", expect=2)
    assert not list(project.runs.glob("tiny/submissions/*/receipt.json"))
